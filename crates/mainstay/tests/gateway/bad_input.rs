//! Requests that are wrong, too long, too slow, or not allowed.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::raw::{read_answer, shout};
use crate::support::{Caller, Plane, Upstream, ask, dead, fill, infer, json, post};

const ROUTES: &str = r"
limits: { head: 8KiB, body: 64KiB, replay: 16KiB, head_timeout: $timeout }
backends:
  oip: { url: 'http://$up', protocol: open-inference }
  chat: { url: 'http://$up', protocol: openai }
  web: { url: 'http://$up', protocol: http }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 10s
    ladder: [{ level: 0, backend: oip }, { level: 4, respond: { outputs: [{ name: d, value: 1 }] } }]
  - name: chat
    path: /v1/chat/completions
    deadline: 10s
    ladder: [{ level: 0, backend: chat }, { level: 4, respond: { text: sorry } }]
  - name: web
    path: /web/*
    deadline: 10s
    ladder: [{ level: 0, backend: web }, { level: 4, respond: { body: {} } }]
";

async fn place(timeout: &str) -> (Plane, Upstream) {
    let up = Upstream::start(|_| async { json(200, "{}") }).await;
    let plane = Plane::start(&fill(ROUTES, &[("up", &up.addr), ("timeout", &timeout)]));
    (plane, up)
}

#[tokio::test]
async fn what_is_not_http_is_refused_and_counted() {
    let (plane, up) = place("20s").await;
    for garbage in [
        "\x16\x03\x01\x02\r\n\r\n",
        "GET / SMTP\r\n\r\n",
        "GET /web/x HTTP/1.1\r\nno colon\r\n\r\n",
        "POST /web/x HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
        "POST /web/x HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "POST /web/x HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: gzip\r\n\r\nabcd",
    ] {
        let answer = shout(plane.addr(), garbage.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{garbage:?}: {answer:?}");
    }
    plane.counted("mainstay_refused_requests", &[("reason", "malformed_http")], 6).await;

    let many: String = (0..2000).fold(String::new(), |head, n| head + &format!("x-{n}: 1\r\n"));
    let long = format!("x-long: {}\r\n", "y".repeat(20_000));
    for head in [many, long] {
        let answer = shout(plane.addr(), format!("GET /web/x HTTP/1.1\r\nhost: x\r\n{head}\r\n").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer:?}");
    }
    plane.counted("mainstay_refused_requests", &[("reason", "head_too_large")], 2).await;

    let long = "y".repeat(20_000);
    let answer = Caller::connect_h2(plane.addr()).await.ask(infer(&[("x-long", &long)])).await;
    assert_eq!(answer.status, 431);
    let chunked = "POST /web/x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n";
    let answer = shout(plane.addr(), chunked.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
    assert_eq!(up.count(), 0);
    plane.close().await;
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_in_the_protocols_shape() {
    let (plane, up) = place("20s").await;
    let mut stream = TcpStream::connect(plane.addr()).await.unwrap();
    let head = "POST /v2/models/fraud/infer HTTP/1.1\r\nhost: x\r\nx-request-id: me\r\ncontent-length: 70000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_answer(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "before any of it was sent: {answer}");
    assert!(answer.contains("\r\nx-request-id: me\r\n") && answer.contains("x-mainstay-reason: request_too_large"));
    assert!(answer.contains(r#"{"error":"the request's body is longer than 65536 bytes"#), "{answer}");

    // Chunked, so that nobody knows before.
    let mut stream = TcpStream::connect(plane.addr()).await.unwrap();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..10 {
        let chunk = format!("2000\r\n{}\r\n", " ".repeat(0x2000));
        if stream.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    let answer = read_answer(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains(r#""code":"request_too_large""#), "{answer}");
    plane.counted("mainstay_requests", &[("route", "score"), ("level", "none"), ("code", "413")], 1).await;
    plane.counted("mainstay_requests", &[("route", "chat"), ("level", "none"), ("code", "413")], 1).await;
    assert_eq!(plane.backend("chat").breaker, "closed");
    assert!(up.seen().iter().all(|s| s.body.len() <= 65_536), "nothing longer got through");
    plane.close().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_waited_for_only_so_long() {
    let (plane, up) = place("200ms").await;
    for (path, shape) in [
        ("/v2/models/fraud/infer", "{\"error\":\"the request's body did not arrive"),
        ("/web/x", "\"code\":\"body_timeout\""),
    ] {
        let mut stream = TcpStream::connect(plane.addr()).await.unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12345");
        let began = Instant::now();
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = read_answer(&mut stream).await;
        assert!(answer.contains("\r\nx-should-retry: true\r\n") && answer.contains("\r\nretry-after-ms: "), "{answer}");
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains(shape), "{answer}");
        assert!(began.elapsed() >= Duration::from_millis(190));
    }
    plane.counted("mainstay_requests", &[("code", "408")], 2).await;
    let mut stream = TcpStream::connect(plane.addr()).await.unwrap();
    stream
        .write_all(b"POST /v2/models/fraud/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12345")
        .await
        .unwrap();
    drop(stream);
    plane.counted("mainstay_requests", &[("route", "score"), ("level", "none"), ("code", "400")], 1).await;
    assert_eq!(up.count(), 0);
    plane.close().await;
}

#[tokio::test]
async fn an_unknown_path_is_a_404_in_the_protocols_shape() {
    let (plane, up) = place("20s").await;
    for (path, pointer, wanted) in [
        ("/v2/models/other/infer", "/error", "no route takes the path /v2/models/other/infer"),
        ("/v1/embeddings", "/error/code", "not_found"),
        ("/elsewhere", "/title", "Not Found"),
    ] {
        let answer = ask(plane.addr(), post(path, &[("x-request-id", "mine")], "{}")).await;
        assert_eq!((answer.status, answer.header("x-request-id")), (404, "mine"));
        assert_eq!(answer.json().pointer(pointer).and_then(|v| v.as_str()), Some(wanted));
    }
    let web = ask(plane.addr(), post("/elsewhere", &[], "{}")).await;
    assert_eq!(web.header("content-type"), "application/problem+json");
    plane.counted("mainstay_refused_requests", &[("reason", "no_route")], 4).await;
    assert_eq!(up.count(), 0);
    plane.close().await;
}

#[tokio::test]
async fn broken_json_is_a_400_only_where_it_has_to_be_read() {
    let (plane, up) = place("20s").await;
    for (path, body, status) in [
        ("/web/x", "{ broken", 200),
        ("/v2/models/fraud/infer", "{ broken", 200),
        ("/v2/models/fraud/infer", r#"{ "id": broken"#, 400),
        ("/v2/models/fraud/infer", r#"{"parameters": [}"#, 400),
        ("/v1/chat/completions", r#"{"model": "x", "stream": tru"#, 400),
    ] {
        let answer = ask(plane.addr(), post(path, &[], body)).await;
        assert_eq!(answer.status, status, "{path} {body}");
        if status == 400 {
            assert!(answer.json()["error"].is_string() || answer.json()["error"]["type"] == "invalid_request_error");
            assert_eq!(answer.header("x-mainstay-reason"), "bad_request");
        }
    }
    assert_eq!(up.count(), 2);
    let mut request = infer(&[("inference-header-content-length", "999999")]);
    *request.body_mut() = Full::new(Bytes::from_static(b"{}"));
    assert_eq!(ask(plane.addr(), request).await.status, 400);
    plane.counted("mainstay_requests", &[("route", "score"), ("code", "400")], 3).await;
    plane.counted("mainstay_requests", &[("route", "chat"), ("code", "400")], 1).await;
    plane.close().await;
}

const CALLERS: &str = r#"
trust: { from: [$trusted], headers: [x-user-tier] }
objectives: { background: 3 }
clients:
  checkout: { key: env:CHECKOUT, max_class: 0 }
  batch: { key: env:BATCH, max_class: 2 }
  slow: { key: env:SLOW, max_class: 1, rate: 2/s }
backends:
  keyed: { url: 'http://$up', protocol: open-inference, keys: [env:OURS] }
  free: { url: 'http://$up', protocol: http }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 10s
    priority:
      - { class: 0, when: 'header("x-user-tier") == "premium"' }
      - { class: 1, when: 'header("x-any") == "yes"' }
    ladder: [{ level: 0, backend: keyed }, { level: 4, respond: { outputs: [{ name: d, value: 1 }] } }]
  - name: free
    path: /free
    deadline: 10s
    priority:
      - { class: 0, when: 'header("x-user-tier") == "premium" || header("x-any") == "yes"' }
    ladder: [{ level: 0, backend: free }, { level: 4, respond: { body: {} } }]
"#;

#[tokio::test]
async fn strangers_are_class_3_and_get_nothing_that_costs_our_keys() {
    let up = Upstream::start(|_| async { json(200, "{}") }).await;
    let plane = Plane::start(&fill(CALLERS, &[("up", &up.addr), ("trusted", &"")]));
    for headers in [&[][..], &[("authorization", "Bearer wrong")], &[("x-api-key", "wrong")]] {
        let answer = ask(plane.addr(), infer(headers)).await;
        assert_eq!((answer.status, answer.header("x-mainstay-reason")), (401, "invalid_api_key"));
        assert!(answer.json()["error"].is_string());
    }
    assert_eq!(up.count(), 0);
    let answer = ask(plane.addr(), post("/free", &[("x-any", "yes"), ("x-user-tier", "premium")], "{}")).await;
    assert_eq!((answer.status, answer.header("x-mainstay-backend")), (200, ""));
    assert_eq!(up.only().header("x-user-tier"), "", "only trusted callers may say so");
    assert_eq!(up.only().header("x-any"), "yes");
    plane.counted("mainstay_requests", &[("route", "free"), ("class", "3"), ("code", "200")], 1).await;
    plane.counted("mainstay_requests", &[("route", "score"), ("class", "3"), ("code", "401")], 3).await;
    plane.close().await;
}

#[tokio::test]
async fn a_class_is_what_rules_clients_and_wishes_leave_of_it() {
    let up = Upstream::start(|_| async { json(200, "{}") }).await;
    let plane = Plane::start(&fill(CALLERS, &[("up", &up.addr), ("trusted", &"")]));
    let mut counted = [0u32; 4];
    for (headers, class) in [
        (&[("authorization", "Bearer CHECKOUT"), ("x-any", "yes")][..], 1),
        (&[("authorization", "bearer CHECKOUT"), ("x-any", "yes"), ("x-user-tier", "premium")], 1),
        (&[("x-api-key", "CHECKOUT"), ("x-any", "yes"), ("x-mainstay-priority", "2")], 2),
        (&[("x-api-key", "CHECKOUT"), ("x-any", "yes"), ("x-mainstay-priority", "0")], 1),
        (&[("x-api-key", "CHECKOUT"), ("x-any", "yes"), ("x-mainstay-priority", "9")], 1),
        (&[("x-api-key", "CHECKOUT"), ("x-any", "yes"), ("x-gateway-inference-objective", "background")], 3),
        (&[("x-api-key", "CHECKOUT")], 3),
        (&[("x-api-key", "BATCH"), ("x-any", "yes")], 2),
    ] {
        let answer = ask(plane.addr(), infer(headers)).await;
        assert_eq!(answer.facts(), (200, "0", "false", "1", ""), "{headers:?}");
        counted[class] += 1;
        let labels = [("route", "score"), ("class", ["0", "1", "2", "3"][class]), ("code", "200")];
        plane.counted("mainstay_requests", &labels, counted[class]).await;
    }
    assert!(up.seen().iter().all(|s| s.header("authorization") == "Bearer OURS" && s.header("x-api-key").is_empty()));
    plane.close().await;

    let plane = Plane::start(&fill(CALLERS, &[("up", &up.addr), ("trusted", &"127.0.0.0/8")]));
    let body = r#"{"parameters":{"priority":3},"inputs":[]}"#;
    for (request, class) in [
        (infer(&[("x-user-tier", "premium")]), "0"),
        (post("/v2/models/fraud/infer", &[("x-user-tier", "premium")], body), "2"),
    ] {
        assert_eq!(ask(plane.addr(), request).await.header("x-mainstay-backend"), "keyed");
        plane.counted("mainstay_requests", &[("route", "score"), ("class", class)], 1).await;
    }
    plane.close().await;
}

#[tokio::test]
async fn a_client_over_its_rate_is_told_when_to_come_back() {
    let up = Upstream::start(|_| async { json(200, "{}") }).await;
    let plane = Plane::start(&fill(CALLERS, &[("up", &up.addr), ("trusted", &"")]));
    let mut caller = Caller::connect(plane.addr()).await;
    let mut refused = Vec::new();
    for _ in 0..6 {
        let answer = caller.ask(infer(&[("x-api-key", "SLOW")])).await;
        if answer.status == 429 {
            refused.push(answer);
        }
    }
    assert!((3..=4).contains(&refused.len()), "a burst of two, then two per second: {}", refused.len());
    let answer = &refused[0];
    assert_eq!((answer.header("x-mainstay-reason"), answer.header("x-should-retry")), ("rate_limit_exceeded", "true"));
    let millis: u64 = answer.header("retry-after-ms").parse().unwrap();
    assert!(
        (1..=750).contains(&millis) && answer.header("retry-after") == "1",
        "{millis}: not all at once, and not before its time"
    );
    assert!(answer.json()["error"].as_str().unwrap().contains("`slow`"));
    plane.counted("mainstay_requests", &[("code", "429")], refused.len() as u32).await;
    // However many there are, those that are told to come back are within the route's retry budget.
    let mut told = [0; 2];
    for _ in 0..40 {
        let answer = caller.ask(infer(&[("x-api-key", "SLOW")])).await;
        told[usize::from(answer.header("x-should-retry") == "true")] += usize::from(answer.status == 429);
    }
    assert!(told[0] >= 20 && told[1] <= 12, "{told:?}");
    assert_eq!(ask(plane.addr(), infer(&[("x-api-key", "CHECKOUT")])).await.status, 200, "others are not concerned");
    plane.close().await;
}

#[tokio::test]
async fn a_ladder_without_an_answer_is_a_503_or_a_504_that_says_do_not_retry() {
    let (gone, _socket) = dead();
    let hanging = Upstream::hanging().await;
    let config = r"
backends: { up: { url: 'http://$up', protocol: http, retry: { attempts: 1 } } }
routes:
  - name: web
    path: /web
    deadline: 200ms
    ladder:
      - { level: 0, backend: up }
      - { level: 4, respond: { body: {} } }
";
    for (up, status, code) in [(gone, 503, "all_levels_failed"), (hanging.addr, 504, "deadline_exceeded")] {
        // A last level that cannot answer is no config; so the plan is changed afterwards.
        let mut plan = crate::support::plane::plan(&fill(config, &[("up", &up)]));
        plan.routes[0].ladder.pop();
        let plane = Plane::start(&fill(config, &[("up", &up)]));
        plane.gateway.reload(std::sync::Arc::new(plan)).unwrap();
        let answer = loop {
            let answer = ask(plane.addr(), post("/web", &[], "{}")).await;
            if answer.status != 200 {
                break answer;
            }
        };
        assert_eq!((answer.status, answer.header("x-should-retry")), (status, "false"));
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.json()["code"], code);
        plane.counted("mainstay_all_failed", &[("route", "web")], 1).await;
        plane.close().await;
    }
}

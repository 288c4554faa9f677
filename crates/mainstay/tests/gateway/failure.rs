//! Backends that fail, and callers that do.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use crate::support::raw::RawUpstream;
use crate::support::upstream::predicts;
use crate::support::{Caller, Flow, Plane, Upstream, ask, fill, infer, json, post, soon, until};

const ONE: &str = r"
backends:
  primary:
    url: http://$primary
    protocol: open-inference
    limit: { fixed: { max: 64 } }
    breaker: { consecutive: 5, open: 1h, open_max: 1h }
    retry: { attempts: $attempts }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: $deadline
    confidence: { pointer: /outputs/0/data/0, as: probability }
    ladder:
      - { level: 0, backend: primary }
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
";

fn one(primary: impl std::fmt::Display, attempts: u32, deadline: &str) -> Plane {
    Plane::start(&fill(ONE, &[("primary", &primary), ("attempts", &attempts), ("deadline", &deadline)]))
}

/// The breaker's figures so that it never opens.
const PATIENT: &str = "breaker: { consecutive: 10000, min_calls: 1000000, open: 1h, open_max: 1h }";

fn patient(primary: impl std::fmt::Display, attempts: u32, deadline: &str) -> Plane {
    let config = fill(ONE, &[("primary", &primary), ("attempts", &attempts), ("deadline", &deadline)]);
    Plane::start(&config.replace("breaker: { consecutive: 5, open: 1h, open_max: 1h }", PATIENT))
}

#[tokio::test]
async fn whatever_cannot_be_used_costs_one_level_and_counts_against_the_backend() {
    let answers: [(&'static [u8], &str); 9] = [
        (b"", "backend_closed"),
        (b"\x16\x03\x01 this is not HTTP \xff\xff\r\n\r\n", "bad_answer"),
        (b"HTTP/1.1 two hundred\r\n\r\n", "bad_answer"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", "bad_answer"),
        (b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n", "backend_closed"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{\"outputs\":",
            "backend_closed",
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n",
            "backend_closed",
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n",
            "backend_closed",
        ),
        (b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{\"outputs\":", "bad_answer"),
    ];
    for (bytes, reason) in answers {
        let what = String::from_utf8_lossy(bytes);
        let primary = RawUpstream::start(bytes).await;
        let plane = one(primary.addr, 1, "10s");
        for call in 1..=5 {
            let answer = ask(plane.addr(), infer(&[])).await;
            assert_eq!(answer.facts(), (200, "4", "true", "1", reason), "call {call} of {what}");
            assert_eq!(answer.json()["outputs"][0]["data"][0], "review");
        }
        plane.backend_is("primary", &format!("a breaker open after {what}"), |b| b.breaker == "open").await;
        let answer = ask(plane.addr(), infer(&[])).await;
        assert_eq!(answer.facts(), (200, "4", "true", "0", "breaker_open"), "{what}");
        assert_eq!(primary.calls(), 5, "{what}");
        plane.counted("mainstay_predictions", &[], 0).await;
        plane.close().await;
    }
}

#[tokio::test]
async fn a_long_answer_that_breaks_off_breaks_off_for_the_caller_too() {
    let primary = RawUpstream::start(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: 9999999\r\n\r\nthe start",
    )
    .await;
    let plane = one(primary.addr, 1, "10s");
    for _ in 0..5 {
        let mut caller = Caller::connect(plane.addr()).await;
        let response = soon("a head", caller.begin(infer(&[]))).await.unwrap();
        assert_eq!(response.headers()["content-length"], "9999999");
        let body = http_body_util::BodyExt::collect(response.into_body());
        soon("the end", body).await.map(drop).expect_err("it does not look whole");
    }
    plane.backend_is("primary", "an open breaker", |b| b.breaker == "open" && b.in_flight == 0).await;
    plane.close().await;
}

#[tokio::test]
async fn a_backend_that_never_answers_costs_its_levels_time_and_no_more() {
    let (first, second) = (Upstream::hanging().await, Upstream::predicting("small", 0.5).await);
    let config = r"
backends:
  first: { url: 'http://$first', protocol: open-inference, retry: { attempts: 3 } }
  second: { url: 'http://$second', protocol: open-inference }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 60s
    ladder:
      - { level: 0, backend: first, timeout: 150ms }
      - { level: 2, backend: second }
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
";
    let plane = Plane::start(&fill(config, &[("first", &first.addr), ("second", &second.addr)]));
    let began = Instant::now();
    let answer = ask(plane.addr(), infer(&[])).await;
    let took = began.elapsed();
    assert_eq!(answer.facts(), (200, "2", "true", "2", "timeout"), "its time is spent: there is no second attempt");
    assert!((Duration::from_millis(150)..Duration::from_secs(5)).contains(&took), "{took:?}");
    until("the call to be given up", || (first.cancelled() == 1 && first.under_way() == 0).then_some(())).await;
    plane.close().await;
}

#[tokio::test]
async fn five_hanging_levels_answer_by_the_deadline() {
    let hanging = Upstream::hanging().await;
    let config = r"
backends:
  a: { url: 'http://$hanging', protocol: open-inference }
  b: { url: 'http://$hanging/b', protocol: open-inference }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 500ms
    ladder:
      - { level: 0, backend: a, timeout: 120ms }
      - { level: 1, backend: b, timeout: 120ms }
      - { level: 2, backend: a, timeout: 120ms }
      - { level: 3, backend: b, timeout: 120ms }
      - { level: 3, backend: a, timeout: 120ms }
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
";
    let plane = Plane::start(&fill(config, &[("hanging", &hanging.addr)]));
    let mut caller = Caller::connect(plane.addr()).await;
    let began = Instant::now();
    let answer = caller.ask(infer(&[])).await;
    let took = began.elapsed();
    let attempts: usize = answer.header("x-mainstay-attempts").parse().unwrap();
    assert_eq!(
        (answer.status, answer.header("x-mainstay-level"), answer.header("x-mainstay-reason")),
        (200, "4", "timeout")
    );
    assert!(attempts == 4 || attempts == 5, "{attempts}: the fifth has 15 ms at best");
    assert!((Duration::from_millis(480)..Duration::from_secs(1)).contains(&took), "{took:?}");
    until("the calls to be given up", || (hanging.cancelled() == attempts).then_some(())).await;
    plane.close().await;
}

#[tokio::test]
async fn a_caller_may_shorten_the_deadline_and_not_lengthen_it() {
    let hanging = Upstream::hanging().await;
    let plane = one(hanging.addr, 1, "400ms");
    let triton = || post("/v2/models/fraud/infer", &[], r#"{"parameters":{"timeout":100000},"inputs":[]}"#);
    let hurried =
        || [infer(&[("x-mainstay-deadline-ms", "100")]), infer(&[("x-stainless-read-timeout", "0.1")]), triton()];
    let patient = || [infer(&[("x-mainstay-deadline-ms", "60000")]), infer(&[("x-mainstay-deadline-ms", "-1")])];
    let ask = async |request: Request<Full<Bytes>>, wanted: std::ops::Range<u128>| {
        let what = format!("{:?}", request.headers());
        let mut caller = Caller::connect(plane.addr()).await;
        let began = Instant::now();
        let answer = caller.ask(request).await;
        let took = began.elapsed().as_millis();
        assert_eq!(answer.facts(), (200, "4", "true", "1", "timeout"), "{what}");
        assert!(wanted.contains(&took), "{what}: {took} ms");
    };
    // However many are in a hurry: that a backend is slower than they wish is not its failure.
    for request in hurried().into_iter().chain(hurried()).chain(hurried()) {
        ask(request, 90..350).await;
    }
    assert_eq!(plane.backend("primary").breaker, "closed", "9 callers in a hurry");
    for request in patient().into_iter().chain(patient()).chain([infer(&[])]) {
        ask(request, 390..900).await;
    }
    plane.backend_is("primary", "a breaker that those who wait opened", |b| b.breaker == "open").await;
    plane.close().await;
}

#[tokio::test]
async fn mlservers_not_ready_is_a_failure_and_other_400s_are_the_callers() {
    let primary = Upstream::start(|seen| async move {
        match seen.header("x-say") {
            "not ready" => json(400, r#"{"error":"Model fraud is not ready yet."}"#),
            "" => predicts(&seen, "fraud", 0.5),
            status => json(status.parse().unwrap(), r#"{"error":"your fault"}"#),
        }
    })
    .await;
    let plane = one(primary.addr, 1, "10s");
    for status in [400, 404, 409, 413, 415, 422].repeat(4) {
        let answer = ask(plane.addr(), infer(&[("x-say", &status.to_string())])).await;
        assert_eq!(answer.facts(), (status, "0", "false", "1", ""));
        assert_eq!(&*answer.body, br#"{"error":"your fault"}"#);
    }
    assert_eq!(plane.backend("primary").breaker, "closed", "24 faults of callers");
    for _ in 0..5 {
        let answer = ask(plane.addr(), infer(&[("x-say", "not ready")])).await;
        assert_eq!(answer.facts(), (200, "4", "true", "1", "backend_error"));
    }
    plane.backend_is("primary", "an open breaker", |b| b.breaker == "open").await;
    plane.counted("mainstay_requests", &[("level", "0"), ("code", "422")], 4).await;
    plane.counted("mainstay_predictions", &[], 0).await;
    plane.close().await;
}

#[tokio::test]
async fn a_failed_attempt_is_made_again_within_the_budget() {
    let primary = Upstream::start(|seen| async move {
        if seen.number == 0 { json(503, "{}") } else { predicts(&seen, "fraud", 0.5) }
    })
    .await;
    let plane = one(primary.addr, 3, "10s");
    assert_eq!(ask(plane.addr(), infer(&[])).await.facts(), (200, "0", "false", "2", ""));
    let seen = primary.seen();
    assert_eq!(seen[0].body, seen[1].body);
    assert_eq!(seen[0].header("x-request-id"), seen[1].header("x-request-id"));
    plane.close().await;

    // The budget: one per second over ten seconds, and a tenth of what was admitted.
    let primary = Upstream::start(|_| async { json(503, "{}") }).await;
    let plane = patient(primary.addr, 3, "10s");
    let mut caller = Caller::connect(plane.addr()).await;
    let mut attempts = 0;
    for _ in 0..40 {
        let answer = caller.ask(infer(&[])).await;
        assert_eq!(answer.facts().1, "4");
        attempts += answer.header("x-mainstay-attempts").parse::<usize>().unwrap();
    }
    assert_eq!(primary.count(), attempts);
    assert!((50..=54).contains(&attempts), "{attempts} attempts for 40 requests");
    plane.close().await;
}

#[tokio::test]
async fn who_was_asked_for_again_pays_nothing_into_the_retry_budget() {
    const GOOD: usize = 200;
    const FAILING: usize = 40;
    // How often the backend is asked again for the failing ones, and how long all of it took.
    let repeated = async |headers: &'static [(&'static str, &'static str)]| {
        let primary = Upstream::start(|seen| async move {
            if seen.number < GOOD { predicts(&seen, "fraud", 0.75) } else { json(503, "{}") }
        })
        .await;
        let plane = patient(primary.addr, 2, "10s");
        let (mut caller, began) = (Caller::connect(plane.addr()).await, Instant::now());
        for _ in 0..GOOD + FAILING {
            assert_eq!(caller.ask(infer(headers)).await.status, 200);
        }
        let again = primary.count() - GOOD - FAILING;
        plane.close().await;
        (again, began.elapsed())
    };
    for headers in [&[("x-mainstay-attempt", "2")], &[("x-mainstay-attempt", "3")], &[("x-stainless-retry-count", "1")]]
    {
        let (again, took) = repeated(headers).await;
        // The floor is all there is: one per second, over ten seconds.
        let floor = 10 + took.as_secs() as usize + 1;
        assert!((10..=floor).contains(&again), "{headers:?}: {again} of {FAILING} within {took:?}");
    }
    // First attempts pay a tenth each: 20 for the good ones, and up to 4 for the others.
    let (again, took) = repeated(&[("x-mainstay-attempt", "1")]).await;
    assert!(again >= 30 || took > Duration::from_secs(9), "{again} of {FAILING} within {took:?}");
}

#[tokio::test]
async fn a_backend_that_asks_to_be_left_alone_is_left_alone() {
    // After one 429 that says so, after as many 503 as open the breaker anyway.
    for (status, calls, reason) in [(429, 1, "throttled"), (503, 5, "backend_error")] {
        let primary = Upstream::start(move |_| async move {
            let mut answer = json(status, "{}");
            answer.headers_mut().insert("retry-after", "30".parse().unwrap());
            answer
        })
        .await;
        let config = fill(ONE, &[("primary", &primary.addr), ("attempts", &3), ("deadline", &"10s")]);
        let plane = Plane::start(&config.replace("open: 1h, open_max: 1h", "open: 10ms, open_max: 10ms"));
        for _ in 0..calls {
            let answer = ask(plane.addr(), infer(&[])).await;
            assert_eq!(answer.facts(), (200, "4", "true", "1", reason), "no attempt that could not wait so long");
        }
        let answer = ask(plane.addr(), infer(&[])).await;
        assert_eq!(answer.facts(), (200, "4", "true", "0", "breaker_open"), "{status}");
        assert_eq!(primary.count(), calls);
        let wait = plane.backend("primary").retry_at.expect("it will be tried again").since(plane.clock.now());
        assert!((20..=30).contains(&wait.as_secs()), "{wait:?}");
        plane.close().await;
    }
    let primary = Upstream::start(|seen| async move {
        let mut answer = json(503, "{}");
        answer.headers_mut().insert("retry-after-ms", "200".parse().unwrap());
        if seen.number == 0 { answer } else { predicts(&seen, "fraud", 0.5) }
    })
    .await;
    let config = fill(ONE, &[("primary", &primary.addr), ("attempts", &3), ("deadline", &"10s")]);
    let plane = Plane::start(&config);
    let began = Instant::now();
    let answer = ask(plane.addr(), infer(&[])).await;
    assert_eq!(answer.facts(), (200, "0", "false", "2", ""), "a short wish is waited for");
    assert!(began.elapsed() >= Duration::from_millis(200));
    plane.close().await;
}

#[tokio::test]
async fn a_caller_that_leaves_takes_its_call_along_and_nothing_is_held_against_the_backend() {
    let hanging = Upstream::hanging().await;
    let plane = one(hanging.addr, 3, "60s");
    for call in 1..=10 {
        let mut caller =
            if call % 2 == 0 { Caller::connect(plane.addr()).await } else { Caller::connect_h2(plane.addr()).await };
        let asking = tokio::spawn(async move { caller.begin(infer(&[])).await.map(drop) });
        until("the call", || (hanging.count() == call).then_some(())).await;
        assert_eq!(plane.backend("primary").in_flight, 1);
        asking.abort();
        until("its end", || (hanging.cancelled() == call && hanging.under_way() == 0).then_some(())).await;
        plane.backend_is("primary", "its permit", |b| b.in_flight == 0).await;
    }
    assert_eq!(plane.backend("primary").breaker, "closed");
    plane.close().await;
}

#[tokio::test]
async fn a_caller_that_breaks_its_own_body_off_is_not_the_backends_fault() {
    use tokio::io::AsyncWriteExt;
    let primary = Upstream::predicting("fraud", 0.5).await;
    let plane = {
        let config = fill(ONE, &[("primary", &primary.addr), ("attempts", &3), ("deadline", &"10s")]);
        Plane::start(&format!("limits: {{ replay: 1KiB, body: 64KiB }}\n{config}"))
    };
    for call in 1..=8 {
        let mut stream = tokio::net::TcpStream::connect(plane.addr()).await.unwrap();
        let head = "POST /v2/models/fraud/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 50000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b' '; 20_000]).await.unwrap();
        plane.backend_is("primary", &format!("call {call}"), |b| b.in_flight == 1).await;
        drop(stream);
        plane.backend_is("primary", &format!("the end of call {call}"), |b| b.in_flight == 0).await;
    }
    assert_eq!(plane.backend("primary").breaker, "closed");

    // Longer than allowed, which shows only on the way.
    for _ in 0..8 {
        let (sender, body) = tokio::sync::mpsc::unbounded_channel();
        for _ in 0..100 {
            sender.send(Ok(Bytes::from_static(&[b' '; 1024]))).unwrap();
        }
        drop(sender);
        let stream = tokio::net::TcpStream::connect(plane.addr()).await.unwrap();
        let io = hyper_util::rt::TokioIo::new(stream);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io).await.unwrap();
        let connection = tokio::spawn(connection);
        let path = "http://x/v2/models/fraud/infer";
        let request = http::Request::post(path).body(Flow::Parts(body)).unwrap();
        let answer = soon("an answer", sender.send_request(request)).await.unwrap();
        let answer = crate::support::Answer::read(answer).await;
        assert_eq!(answer.status, 413);
        assert!(answer.json()["error"].as_str().unwrap().contains("limits.body"), "{:?}", answer.body);
        connection.abort();
    }
    assert_eq!(plane.backend("primary").breaker, "closed");
    assert_eq!(ask(plane.addr(), infer(&[])).await.facts(), (200, "0", "false", "1", ""));
    plane.counted("mainstay_requests", &[("code", "413")], 8).await;
    plane.close().await;
}

#[tokio::test]
async fn a_caller_whose_long_body_trickles_is_told_so_and_not_the_backend() {
    use tokio::io::AsyncWriteExt;
    let primary = Upstream::predicting("fraud", 0.5).await;
    let config = fill(ONE, &[("primary", &primary.addr), ("attempts", &3), ("deadline", &"200ms")]);
    let plane = Plane::start(&format!("limits: {{ replay: 1KiB }}\n{config}"));
    for _ in 0..6 {
        let mut stream = tokio::net::TcpStream::connect(plane.addr()).await.unwrap();
        let head = "POST /v2/models/fraud/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 50000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b' '; 20_000]).await.unwrap();
        let answer = crate::support::raw::read_answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
    assert_eq!(plane.backend("primary").breaker, "closed");
    plane.close().await;
}

#[tokio::test]
async fn an_answer_that_began_before_the_body_ended_is_not_the_backends_fault_when_the_caller_breaks_off() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    // Answers before it has read the body, and goes on for as long as the body does.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let accepting = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                assert!(stream.read(&mut bytes).await.unwrap() > 0);
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n";
                stream.write_all(head.as_bytes()).await.unwrap();
                while matches!(stream.read(&mut bytes).await, Ok(1..)) {}
            });
        }
    });
    let config = fill(ONE, &[("primary", &addr), ("attempts", &1), ("deadline", &"20s")]);
    let plane = Plane::start(&format!("limits: {{ replay: 1KiB }}\n{config}"));
    for call in 1..=8 {
        let mut stream = tokio::net::TcpStream::connect(plane.addr()).await.unwrap();
        let head = "POST /v2/models/fraud/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 50000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b' '; 20_000]).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"ok\r\n") {
            assert!(soon("the answer's start", stream.read_buf(&mut answer)).await.unwrap() > 0, "call {call}");
        }
        drop(stream);
        plane.backend_is("primary", &format!("the end of call {call}"), |b| b.in_flight == 0).await;
    }
    assert_eq!(plane.backend("primary").breaker, "closed");
    accepting.abort();
    plane.close().await;
}

#[tokio::test]
async fn a_backend_that_refuses_our_own_key_is_at_fault_and_one_that_refuses_the_callers_is_not() {
    let primary = Upstream::start(|_| async { json(401, r#"{"error":"who are you"}"#) }).await;
    let config = fill(ONE, &[("primary", &primary.addr), ("attempts", &1), ("deadline", &"10s")]);
    let plane = Plane::start(&config);
    for _ in 0..6 {
        assert_eq!(ask(plane.addr(), infer(&[])).await.facts(), (401, "0", "false", "1", ""));
    }
    assert_eq!(plane.backend("primary").breaker, "closed");
    plane.close().await;

    let plane = Plane::start(&config.replace("limit:", "keys: [env:OURS]\n    limit:"));
    for _ in 0..5 {
        assert_eq!(ask(plane.addr(), infer(&[])).await.facts(), (200, "4", "true", "1", "backend_error"));
    }
    plane.backend_is("primary", "an open breaker", |b| b.breaker == "open").await;
    assert!(primary.seen()[6..].iter().all(|s| s.header("authorization") == "Bearer OURS"));
    plane.close().await;
}

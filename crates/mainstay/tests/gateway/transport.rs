//! HTTP/1.1, HTTP/2 and TLS, in and out.

use bytes::Bytes;
use http::Version;

use crate::support::tls::Identity;
use crate::support::upstream::predicts;
use crate::support::{Caller, Flow, Plane, Upstream, dead, fill, infer, post, soon};

const ONE: &str = r"
limits: { workers: 1 }
backends:
  primary: { url: '$scheme://$primary', protocol: open-inference, retry: { attempts: 1 } $more }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 10s
    ladder:
      - { level: 0, backend: primary }
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
";

#[tokio::test]
async fn connections_are_kept_on_both_sides() {
    let primary = Upstream::predicting("fraud", 0.5).await;
    let plane = Plane::start(&fill(ONE, &[("scheme", &"http"), ("primary", &primary.addr), ("more", &"")]));
    let mut caller = Caller::connect(plane.addr()).await;
    for _ in 0..20 {
        assert_eq!(caller.ask(infer(&[])).await.facts(), (200, "0", "false", "1", ""));
    }
    assert_eq!((primary.count(), primary.connections()), (20, 1));
    assert!(primary.seen().iter().all(|s| s.version == Version::HTTP_11));
    plane.close().await;
    caller.closed().await;
}

#[tokio::test]
async fn http_2_without_tls_works_in_and_out_with_many_calls_on_one_connection() {
    let primary = Upstream::predicting("fraud", 0.5).await;
    let config = fill(ONE, &[("scheme", &"http"), ("primary", &primary.addr), ("more", &", h2c: true, limit: none")]);
    let plane = Plane::start(&config);
    let mut caller = Caller::connect_h2(plane.addr()).await;
    assert_eq!(caller.ask(infer(&[])).await.facts(), (200, "0", "false", "1", ""));
    let Caller::H2(sender) = &caller else { unreachable!("it was made so") };
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let mut caller = Caller::H2(sender.clone());
            tokio::spawn(async move { caller.ask(infer(&[])).await })
        })
        .collect();
    for call in calls {
        let answer = call.await.unwrap();
        assert_eq!(answer.facts(), (200, "0", "false", "1", ""));
        assert_eq!(answer.version, Version::HTTP_2);
    }
    assert_eq!((primary.count(), primary.connections()), (51, 1));
    assert!(primary.seen().iter().all(|s| s.version == Version::HTTP_2));
    plane.close().await;
    caller.closed().await;
}

#[tokio::test]
async fn tls_is_spoken_with_callers_and_backends_in_both_versions_of_http() {
    let identity = Identity::new("both");
    for (offered, version) in [("h2", Version::HTTP_2), ("http/1.1", Version::HTTP_11)] {
        let tls = identity.server(&[offered]);
        let answer = |seen: crate::support::Seen| async move { predicts(&seen, "fraud", 0.5) };
        let primary = Upstream::start_tls(Some(tls), answer).await;
        let ca = format!(", ca: '{}'", identity.certificate_file.display());
        let config = fill(ONE, &[("scheme", &"https"), ("primary", &primary.addr), ("more", &ca)]);
        let (certificate, key) = (identity.certificate_file.display(), identity.key_file.display());
        let plane = Plane::start(&format!("tls: {{ cert: '{certificate}', key: '{key}' }}\n{config}"));
        let stream = identity.connect(plane.addr(), &[offered]).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(offered.as_bytes()));
        let mut caller = if offered == "h2" { Caller::h2(stream).await } else { Caller::h1(stream).await };
        for _ in 0..3 {
            let answer = caller.ask(infer(&[])).await;
            assert_eq!(answer.facts(), (200, "0", "false", "1", ""), "{offered}");
            assert_eq!(answer.version, version);
        }
        assert_eq!(primary.connections(), 1);
        assert!(primary.seen().iter().all(|s| s.version == version));
        plane.close().await;
        caller.closed().await;
    }
}

#[tokio::test]
async fn a_backend_whose_certificate_nobody_vouches_for_is_not_spoken_to() {
    let identity = Identity::new("unknown");
    let tls = identity.server(&["http/1.1"]);
    let answer = |seen: crate::support::Seen| async move { predicts(&seen, "fraud", 0.5) };
    let primary = Upstream::start_tls(Some(tls), answer).await;
    let plane = Plane::start(&fill(ONE, &[("scheme", &"https"), ("primary", &primary.addr), ("more", &"")]));
    let answer = crate::support::ask(plane.addr(), infer(&[])).await;
    assert_eq!(answer.facts(), (200, "4", "true", "1", "connect_failed"));
    assert_eq!(primary.count(), 0);
    plane.close().await;
}

#[tokio::test]
async fn health_is_asked_over_whatever_the_backend_speaks() {
    let identity = Identity::new("health");
    let tls = identity.server(&["h2"]);
    let answer = |seen: crate::support::Seen| async move { predicts(&seen, "fraud", 0.5) };
    let encrypted = Upstream::start_tls(Some(tls), answer).await;
    let more = format!(", ca: '{}', health: {{ path: /ready, every: 20ms }}", identity.certificate_file.display());
    let plane = Plane::start(&fill(ONE, &[("scheme", &"https"), ("primary", &encrypted.addr), ("more", &more)]));
    plane.backend_is("primary", "a verdict", |b| b.healthy == Some(true)).await;
    assert_eq!(encrypted.seen()[0].path, "/ready");
    plane.close().await;

    let plain = h2_only().await;
    let more = ", h2c: true, health: { path: /ready, every: 20ms }";
    let plane = Plane::start(&fill(ONE, &[("scheme", &"http"), ("primary", &plain), ("more", &more)]));
    plane.backend_is("primary", "a verdict", |b| b.healthy == Some(true)).await;
    plane.close().await;

    let (gone, _socket) = dead();
    let plane = Plane::start(&fill(ONE, &[("scheme", &"http"), ("primary", &gone), ("more", &more)]));
    plane.backend_is("primary", "a verdict", |b| b.healthy == Some(false)).await;
    plane.close().await;
}

/// An upstream that understands HTTP/2 alone.
async fn h2_only() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = hyper::service::service_fn(|_| async {
                Ok::<_, std::convert::Infallible>(http::Response::new(Flow::Whole(None)))
            });
            let io = hyper_util::rt::TokioIo::new(stream);
            let builder = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
            tokio::spawn(builder.serve_connection(io, service));
        }
    });
    addr
}

#[tokio::test]
async fn tritons_binary_extension_passes_untouched() {
    let head =
        br#"{"id":"b-1","inputs":[{"name":"x","shape":[4],"datatype":"UINT8","parameters":{"binary_data_size":4}}]}"#;
    let body = Bytes::from([&head[..], &[0, 255, 10, 13]].concat());
    let answer_body = Bytes::from([&br#"{"id":"b-1","outputs":[]}"#[..], &[1, 0, 254, 128, 0]].concat());
    let sent = answer_body.clone();
    let primary = Upstream::start(move |_| {
        let sent = sent.clone();
        async move {
            http::Response::builder()
                .header("content-type", "application/octet-stream")
                .header("inference-header-content-length", "25")
                .body(Flow::Whole(Some(sent)))
                .unwrap()
        }
    })
    .await;
    let plane =
        Plane::start(&fill(ONE, &[("scheme", &"http"), ("primary", &primary.addr), ("more", &", model: fraud")]));
    let length = head.len().to_string();
    let mut request = post("/v2/models/fraud/infer", &[("inference-header-content-length", &length)], body.clone());
    request.headers_mut().insert("content-type", "application/octet-stream".parse().unwrap());
    let answer = crate::support::ask(plane.addr(), request).await;
    assert_eq!(answer.facts(), (200, "0", "false", "1", ""));
    assert_eq!(answer.body, answer_body);
    assert_eq!(answer.header("inference-header-content-length"), "25");
    let seen = primary.only();
    assert_eq!((&seen.body, seen.header("inference-header-content-length")), (&body, &*length));
    assert_eq!(seen.header("content-type"), "application/octet-stream");
    plane.close().await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let (gone, _socket) = dead();
    let config = fill(ONE, &[("scheme", &"http"), ("primary", &gone), ("more", &"")]);
    let plane = Plane::start(&config.replace("workers: 1", "workers: 1, head_timeout: 200ms"));
    // The second is the start of HTTP/2's preface, the third of a request.
    for start in [&b""[..], b"PRI * HT", b"POST /v2/mod"] {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(plane.addr()).await.unwrap();
        stream.write_all(start).await.unwrap();
        let mut answer = Vec::new();
        soon("the gateway to close", stream.read_to_end(&mut answer)).await.unwrap();
    }
    plane.counted("mainstay_refused_requests", &[("reason", "head_timeout")], 3).await;
    plane.close().await;
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_handshake() {
    let (gone, _socket) = dead();
    let identity = Identity::new("silent");
    let (certificate, key) = (identity.certificate_file.display(), identity.key_file.display());
    let config = fill(ONE, &[("scheme", &"http"), ("primary", &gone), ("more", &"")]);
    let plane = Plane::start(&format!("tls: {{ cert: '{certificate}', key: '{key}' }}\n{config}"));
    let silent = tokio::net::TcpStream::connect(plane.addr()).await.unwrap();
    // Its handshake has begun once another, made later, is through.
    drop(identity.connect(plane.addr(), &["h2"]).await);
    plane.close().await;
    drop(silent);
}

#[tokio::test]
async fn older_and_unusual_ways_to_say_a_request_are_understood() {
    use crate::support::raw::{read_answer, shout};
    use tokio::io::AsyncWriteExt;
    let primary = Upstream::start(|seen| async move { crate::support::json(200, seen.body) }).await;
    let plane = Plane::start(&fill(ONE, &[("scheme", &"http"), ("primary", &primary.addr), ("more", &"")]));

    let old = "POST /v2/models/fraud/infer HTTP/1.0\r\ncontent-length: 2\r\n\r\n{}";
    let answer = shout(plane.addr(), old.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("\r\n\r\n{}"), "{answer}");

    // Two requests in one packet, the second in absolute form and the connection's last.
    let two = "POST /v2/models/fraud/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n[10]\
               POST http://gateway.test/v2/models/fraud/infer?q=1 HTTP/1.1\r\nhost: x\r\nconnection: close, x-private\r\n\
               x-private: 1\r\ntransfer-encoding: chunked\r\n\r\n2\r\n[2\r\n2\r\n0]\r\n0\r\n\r\n";
    let answer = shout(plane.addr(), two.as_bytes()).await;
    let bodies: Vec<&str> =
        answer.split("HTTP/1.1 200 OK\r\n").skip(1).filter_map(|a| a.split("\r\n\r\n").nth(1)).collect();
    assert_eq!(bodies, ["[10]", "[20]"], "{answer}");
    let seen = primary.seen().pop().unwrap();
    assert_eq!((seen.path.as_str(), seen.header("x-private")), ("/v2/models/fraud/infer?q=1", ""));
    assert_eq!((seen.header("connection"), seen.header("content-length")), ("", "4"));

    let mut stream = tokio::net::TcpStream::connect(plane.addr()).await.unwrap();
    let head = "POST /v2/models/fraud/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(read_answer(&mut stream).await, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"{}").await.unwrap();
    let answer = read_answer(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("{}"), "{answer}");
    assert_eq!(primary.seen().pop().unwrap().header("expect"), "");
    drop(stream);
    plane.close().await;
}

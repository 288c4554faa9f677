//! Bodies that are long, or come slowly.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};

use crate::support::upstream::parts;
use crate::support::{Answer, Caller, Flow, Plane, Upstream, ask, fill, json, post, soon, until};

const CHAT: &str = r"
limits: { replay: 64KiB, answer: 64KiB, body: 1MiB }
backends:
  chat: { url: 'http://$chat', protocol: openai, limit: { fixed: { max: 8 } }, retry: { attempts: 1 } }
routes:
  - name: chat
    path: /v1/chat/completions
    deadline: $deadline
    stream: { buffer: { tokens: 1 } }
    ladder:
      - { level: 0, backend: chat }
      - { level: 4, respond: { text: 'Later, please.' } }
";

/// A token, as a provider writes it.
fn token(text: &str) -> String {
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
}

const STOPS: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";

const ASKED: &str = r#"{"model":"m","stream":true,"messages":[]}"#;

/// An upstream whose only answer is a stream, and the stream's other end.
async fn streaming(
    content_type: &'static str,
) -> (Upstream, tokio::sync::mpsc::UnboundedSender<std::io::Result<Bytes>>) {
    let (sender, answer) = parts(content_type);
    let answer = std::sync::Arc::new(std::sync::Mutex::new(Some(answer)));
    let upstream = Upstream::start(move |_| {
        let answer = answer.lock().expect("nobody panics with it").take().expect("it is asked once");
        async move { answer }
    })
    .await;
    (upstream, sender)
}

#[tokio::test]
async fn an_event_stream_is_relayed_as_it_comes_event_for_event() {
    let (upstream, sender) = streaming("text/event-stream; charset=utf-8").await;
    let plane = Plane::start(&fill(CHAT, &[("chat", &upstream.addr), ("deadline", &"20s")]));
    let mut caller = Caller::connect(plane.addr()).await;
    let request = post("/v1/chat/completions", &[], ASKED);
    let asked = tokio::spawn(async move { (caller.begin(request).await.unwrap(), caller) });
    let events = [token("a"), token("\u{e9}"), token("b") + &token("c"), format!("{STOPS}data: [DONE]\n\n")];
    // A comment, and an event that is cut in the middle of a character.
    let sent = |at: usize| [Bytes::from(": keep-alive\r\n\r\n"), Bytes::from(events[at].clone())];
    for bytes in sent(0) {
        sender.send(Ok(bytes)).unwrap();
    }
    let (mut response, caller) = soon("the head", asked).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    assert_eq!(response.headers()["x-mainstay-level"], "0");
    for (at, event) in events.iter().enumerate() {
        if at > 0 {
            let [comment, bytes] = sent(at);
            let half = event.find('\u{e9}').map_or(0, |at| at + 1);
            for bytes in [comment, bytes.slice(..half), bytes.slice(half..)] {
                sender.send(Ok(bytes)).unwrap();
            }
        }
        // Nothing more is sent before this part has arrived.
        let part = soon("a part", response.body_mut().frame()).await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(part, event.as_bytes());
        let in_flight = u32::from(at + 1 < events.len());
        assert_eq!(plane.backend("chat").in_flight, in_flight, "a stream holds its permit until it ends");
    }
    drop(sender);
    assert!(soon("the end", response.body_mut().frame()).await.is_none());
    plane.counted("mainstay_requests", &[("route", "chat"), ("level", "0"), ("code", "200")], 1).await;
    plane.counted("gen_ai_server_time_to_first_token", &[("route", "chat")], 1).await;
    plane.counted("gen_ai_server_time_per_output_token", &[("route", "chat")], 1).await;
    drop(caller);
    plane.close().await;
}

#[tokio::test]
async fn a_caller_that_leaves_a_stream_ends_it_upstream_and_nothing_is_held_against_the_backend() {
    let (upstream, sender) = streaming("text/event-stream").await;
    let plane = Plane::start(&fill(CHAT, &[("chat", &upstream.addr), ("deadline", &"20s")]));
    let mut caller = Caller::connect(plane.addr()).await;
    sender.send(Ok(token("1").into())).unwrap();
    let mut response = soon("a head", caller.begin(post("/v1/chat/completions", &[], ASKED))).await.unwrap();
    soon("a part", response.body_mut().frame()).await.unwrap().unwrap();
    drop((response, caller));
    soon("the upstream to see it", sender.closed()).await;
    plane.backend_is("chat", "the permit back", |b| b.in_flight == 0 && b.breaker == "closed").await;
    plane.close().await;
}

/// What is left of the answer is an error, which every client of OpenAI's raises.
async fn is_told(body: &mut hyper::body::Incoming, why: &str) {
    let rest = soon("the end", body.collect()).await.expect("it does not break").to_bytes();
    let text = std::str::from_utf8(&rest).expect("it is text");
    assert!(text.starts_with("data: {\"error\":{") && text.contains(why) && !text.contains("[DONE]"), "{text}");
}

#[tokio::test]
async fn a_stream_that_is_late_or_broken_ends_with_an_error_that_says_so() {
    let (upstream, sender) = streaming("text/event-stream").await;
    let plane = Plane::start(&fill(CHAT, &[("chat", &upstream.addr), ("deadline", &"300ms")]));
    let mut caller = Caller::connect(plane.addr()).await;
    sender.send(Ok(token("1").into())).unwrap();
    let mut response = soon("a head", caller.begin(post("/v1/chat/completions", &[], ASKED))).await.unwrap();
    soon("a part", response.body_mut().frame()).await.unwrap().unwrap();
    is_told(response.body_mut(), "deadline").await;
    soon("the upstream to see it", sender.closed()).await;
    plane.close().await;

    let (upstream, sender) = streaming("text/event-stream").await;
    let plane = Plane::start(&fill(CHAT, &[("chat", &upstream.addr), ("deadline", &"20s")]));
    let mut caller = Caller::connect(plane.addr()).await;
    sender.send(Ok(token("1").into())).unwrap();
    let mut response = soon("a head", caller.begin(post("/v1/chat/completions", &[], ASKED))).await.unwrap();
    soon("a part", response.body_mut().frame()).await.unwrap().unwrap();
    sender.send(Err(std::io::Error::other("the upstream breaks"))).unwrap();
    is_told(response.body_mut(), "stream_cut").await;
    plane.close().await;
}

#[tokio::test]
async fn bodies_longer_than_what_is_held_pass_both_ways() {
    // With the names that are looked for, and an end that the gateway does not see before the backend does.
    let text: String = (0..60_000).fold(String::new(), |text, n| text + &n.to_string() + " ");
    let long = Bytes::from(format!(r#"{{"model":"m","stream":false,"messages":[{{"content":"{text}"}}]}}"#));
    let upstream = Upstream::start(|seen| async move {
        if seen.header("x-how") == "chunked" {
            let (sender, answer) = parts("application/json");
            for part in seen.body.chunks(7_777) {
                sender.send(Ok(Bytes::copy_from_slice(part))).unwrap();
            }
            answer
        } else {
            json(200, seen.body)
        }
    })
    .await;
    let plane = Plane::start(&fill(CHAT, &[("chat", &upstream.addr), ("deadline", &"20s")]));
    let mut caller = Caller::connect(plane.addr()).await;
    for how in ["whole", "chunked"] {
        let request = post("/v1/chat/completions", &[("x-how", how)], long.clone());
        let answer = caller.ask(request).await;
        assert_eq!(answer.facts(), (200, "0", "false", "1", ""), "{how}");
        assert!(answer.body == long, "{how}: {} bytes", answer.body.len());
        let seen = upstream.seen().pop().unwrap();
        assert!(seen.body == long, "{how}: {} bytes", seen.body.len());
        assert_eq!(seen.header("content-length"), long.len().to_string(), "{how}");
    }
    let wanted = [("route", "chat"), ("level", "0"), ("code", "200")];
    plane.counted("mainstay_requests", &wanted, 2).await;

    // Chunked requests, short enough to be held and not.
    let addr = plane.addr();
    for length in [1000, 300_000] {
        let said = &text[..length];
        let long = format!(r#"{{"choices":[{{"message":{{"content":"{said}"}},"finish_reason":"stop"}}]}}"#);
        let long = Bytes::from(long);
        let (parts, body) = tokio::sync::mpsc::unbounded_channel();
        for part in long.chunks(999) {
            parts.send(Ok(Bytes::copy_from_slice(part))).unwrap();
        }
        drop(parts);
        let stream = tokio::net::TcpStream::connect(addr).await.unwrap();
        let io = hyper_util::rt::TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = http::Request::post("/v1/chat/completions").header("host", "x").body(Flow::Parts(body)).unwrap();
        let answer = Answer::read(soon("an answer", sender.send_request(request)).await.unwrap()).await;
        assert_eq!(answer.facts(), (200, "0", "false", "1", ""), "{length}");
        assert!(answer.body == long, "{length}");
        connection.abort();
    }
    plane.close().await;
}

#[tokio::test]
async fn a_body_that_was_sent_once_is_not_sent_again() {
    let upstream = Upstream::start(|_| async { json(500, "{}") }).await;
    let config = fill(CHAT, &[("chat", &upstream.addr), ("deadline", &"20s")]);
    let config = config.replace("- { level: 4", "- { level: 2, backend: chat }\n      - { level: 4");
    let plane = Plane::start(&config);
    let answer = ask(plane.addr(), post("/v1/chat/completions", &[], vec![b' '; 200_000])).await;
    assert_eq!(answer.facts(), (200, "4", "true", "1", "backend_error"));
    assert_eq!(upstream.count(), 1);
    plane.close().await;
}

#[tokio::test]
async fn a_head_request_and_empty_answers_keep_their_shape() {
    let upstream = Upstream::start(|seen| async move {
        match seen.method.as_str() {
            "HEAD" => http::Response::builder().header("content-length", "1234").body(Flow::Whole(None)).unwrap(),
            "GET" => json(200, r#"{"got":true}"#),
            _ => http::Response::builder().status(204).body(Flow::Whole(None)).unwrap(),
        }
    })
    .await;
    let config = r"
backends: { web: { url: 'http://$web', protocol: http } }
routes: [{ name: web, path: /web/*, deadline: 10s, ladder: [{ level: 0, backend: web }, { level: 4, respond: { body: {} } }] }]
";
    let plane = Plane::start(&fill(config, &[("web", &upstream.addr)]));
    let mut caller = Caller::connect(plane.addr()).await;
    let request = |method: &str| http::Request::builder().method(method).uri("/web/x").body(Full::default()).unwrap();
    let head = caller.ask(request("HEAD")).await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, "1234", 0));
    let got = caller.ask(request("GET")).await;
    assert_eq!((got.status, &*got.body), (200, &br#"{"got":true}"#[..]), "the connection is still in step");
    let deleted = caller.ask(request("DELETE")).await;
    assert_eq!((deleted.status, deleted.header("content-length"), deleted.body.len()), (204, "", 0));
    assert_eq!(deleted.header("x-mainstay-level"), "0");
    let methods: Vec<String> = upstream.seen().iter().map(|s| s.method.to_string()).collect();
    assert_eq!(methods, ["HEAD", "GET", "DELETE"]);
    assert!(upstream.seen().iter().all(|s| s.body.is_empty() && s.header("transfer-encoding").is_empty()));
    until("one connection", || (upstream.connections() == 1).then_some(())).await;
    plane.close().await;
}

#[tokio::test]
async fn a_refusal_longer_than_what_is_held_arrives_in_whole_and_counts_against_nobody() {
    let long = Bytes::from(vec![b'x'; 300_000]);
    let body = long.clone();
    let upstream = Upstream::start(move |_| {
        let body = body.clone();
        async move { json(422, body) }
    })
    .await;
    let plane = Plane::start(&fill(CHAT, &[("chat", &upstream.addr), ("deadline", &"20s")]));
    for _ in 0..6 {
        let answer = ask(plane.addr(), post("/v1/chat/completions", &[], "{}")).await;
        assert_eq!(answer.facts(), (422, "0", "false", "1", ""));
        assert!(answer.body == long, "{} bytes", answer.body.len());
    }
    assert_eq!(plane.backend("chat").breaker, "closed");
    plane.counted("mainstay_predictions", &[], 0).await;
    plane.close().await;
}

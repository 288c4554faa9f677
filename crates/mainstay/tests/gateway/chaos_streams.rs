//! Faults on purpose in streamed answers: what callers see of each, and what answers it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use mainstay_core::chaos::order::Order;
use tokio::sync::mpsc::UnboundedSender;

use crate::support::experiment::{TOUCHED, beats, order, summed};
use crate::support::upstream::parts;
use crate::support::{Caller, Plane, Upstream, ask, fill, json, post, soon, until};

const CHAT: &str = r"
backends:
  chat:
    url: http://$chat
    protocol: openai
    limit: $limit
    breaker: { consecutive: 3, open: 1h, open_max: 1h }
    retry: { attempts: 1 }
routes:
  - name: chat
    path: /v1/chat/completions
    deadline: $deadline
    stream: { buffer: { tokens: $held } }
    ladder:
      - { level: 0, backend: chat }
      - { level: 4, respond: { text: 'Later, please.' } }
";

const ASKED: &str = r#"{"model":"m","stream":true,"messages":[]}"#;

/// A part of an answer, as a provider writes it.
fn part(delta: &str, finish: &str) -> String {
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}")
}

/// Three tokens, why it ends and that it ends: five parts, which come in one chunk.
fn whole_stream() -> String {
    let [a, b, c] = ["a", "b", "c"].map(|token| part(&format!("{{\"content\":\"{token}\"}}"), "null"));
    format!(": hi\n\n{a}\n\n{b}\r\n\r\n{c}\n\n{}\n\ndata: [DONE]\n\n", part("{}", "\"stop\""))
}

/// What a caller sees of it: comments are the backend's own.
fn seen() -> String {
    whole_stream().replace(": hi\n\n", "").replace("\r\n", "\n")
}

/// What of it comes with two parts.
fn two() -> String {
    let at = seen().match_indices("\n\n").nth(1).unwrap().0;
    seen()[..at + 2].to_owned()
}

/// Whether a caller saw two tokens and was told that they are not all.
fn is_told(came: &(Vec<u8>, bool), why: &str) -> bool {
    let (bytes, ended) = came;
    let text = std::str::from_utf8(bytes).unwrap();
    let Some(rest) = text.strip_prefix(two().as_str()) else { return false };
    *ended && rest.starts_with("data: {\"error\":{") && rest.contains(why) && !rest.contains("[DONE]")
}

fn on_chat(fault: &str) -> Order {
    Order { route: "chat".to_owned(), ..order(fault) }
}

/// A backend that streams the answer at once, and what it was asked.
async fn chat(limit: &str, deadline: &str, held: u32) -> (Plane, Upstream) {
    let upstream = Upstream::start(|_| async {
        let (sender, answer) = parts("text/event-stream");
        sender.send(Ok(whole_stream().into())).expect("it is read");
        answer
    })
    .await;
    let config = fill(CHAT, &[("chat", &upstream.addr), ("limit", &limit), ("deadline", &deadline), ("held", &held)]);
    (Plane::start(&config), upstream)
}

/// All that comes of an answer, and whether it came to an end.
async fn read(body: &mut Incoming) -> (Vec<u8>, bool) {
    let mut came = Vec::new();
    loop {
        match soon("a frame", body.frame()).await {
            Some(Ok(frame)) => came.extend_from_slice(&frame.into_data().expect("there are no trailers")),
            Some(Err(_)) => return (came, false),
            None => return (came, true),
        }
    }
}

/// Reads until so many bytes have come.
async fn read_up_to(body: &mut Incoming, length: usize) -> Vec<u8> {
    let mut came = Vec::new();
    while came.len() < length {
        let frame = soon("a part", body.frame()).await.expect("it goes on").expect("it is not broken");
        came.extend_from_slice(&frame.into_data().expect("there are no trailers"));
    }
    came
}

fn whole() -> (Vec<u8>, bool) {
    (seen().into_bytes(), true)
}

#[tokio::test]
async fn a_truncated_stream_is_told_after_its_parts_and_the_breaker_learns_of_it() {
    let (plane, upstream) = chat("none", "60s", 1).await;
    let mut before = Caller::connect(plane.addr()).await;
    let mut answer = before.begin(post("/v1/chat/completions", &[], ASKED)).await.unwrap();
    assert_eq!(answer.headers().get(TOUCHED), None);
    assert_eq!(read(answer.body_mut()).await, whole());
    plane.gateway.inject(on_chat(r#"{"truncated_stream":{"parts":2}}"#)).unwrap();
    for h2 in [false, true, false] {
        let addr = plane.addr();
        let mut caller = if h2 { Caller::connect_h2(addr).await } else { Caller::connect(addr).await };
        let mut answer = soon("a head", caller.begin(post("/v1/chat/completions", &[], ASKED))).await.unwrap();
        assert_eq!(answer.headers()["x-mainstay-level"], "0");
        assert_eq!(answer.headers()[TOUCHED], "EXP-2026-0001");
        let came = read(answer.body_mut()).await;
        assert!(is_told(&came, "stream_cut"), "HTTP/2: {h2}: {came:?}");
    }
    let answer = ask(plane.addr(), post("/v1/chat/completions", &[], ASKED)).await;
    assert_eq!(answer.facts(), (200, "4", "true", "0", "breaker_open"));
    assert_eq!(answer.header(TOUCHED), "", "no stream, no fault");
    let [_, experiment] = summed(&beats(&plane, 4).await);
    assert_eq!((experiment.injected, experiment.unanswered), (3, 3));
    plane.counted("mainstay_faults_injected", &[("fault", "truncated_stream"), ("route", "chat")], 3).await;
    assert!(upstream.connections() >= 3, "a connection whose stream was cut is not used again");
    drop(before);
    plane.close().await;
}

#[tokio::test]
async fn a_stream_that_is_cut_while_it_is_held_is_answered_by_the_next_level() {
    let (plane, _upstream) = chat("none", "60s", 3).await;
    plane.gateway.inject(on_chat(r#"{"truncated_stream":{"parts":2}}"#)).unwrap();
    for _ in 0..3 {
        let answer = ask(plane.addr(), post("/v1/chat/completions", &[], ASKED)).await;
        assert_eq!(answer.facts(), (200, "4", "true", "1", "stream_cut"));
        let text = std::str::from_utf8(&answer.body).unwrap();
        assert!(text.contains("Later, please.") && text.ends_with("data: [DONE]\n\n"), "{text}");
    }
    assert_eq!(plane.backend("chat").breaker, "open");
    plane.close().await;
}

#[tokio::test]
async fn a_stream_that_ends_before_the_cut_is_whole() {
    let (plane, _upstream) = chat("none", "60s", 1).await;
    for fault in [r#"{"truncated_stream":{"parts":5}}"#, r#"{"stalled_stream":{"parts":5}}"#] {
        let run = fault[2..7].to_owned();
        plane.gateway.inject(Order { run: run.clone(), ..on_chat(fault) }).unwrap();
        let answer = ask(plane.addr(), post("/v1/chat/completions", &[], ASKED)).await;
        assert_eq!(answer.body, seen().as_bytes(), "{fault}");
        plane.gateway.withdraw_fault(&run, 1);
    }
    assert_eq!(plane.backend("chat").breaker, "closed");
    plane.close().await;
}

#[tokio::test]
async fn a_stalled_stream_ends_at_the_deadline_and_the_breaker_learns_of_it() {
    let (plane, _upstream) = chat("{ fixed: { max: 8 } }", "500ms", 1).await;
    plane.gateway.inject(on_chat(r#"{"stalled_stream":{"parts":2}}"#)).unwrap();
    for _ in 0..3 {
        let mut caller = Caller::connect(plane.addr()).await;
        let began = Instant::now();
        let mut answer = soon("a head", caller.begin(post("/v1/chat/completions", &[], ASKED))).await.unwrap();
        let came = read(answer.body_mut()).await;
        assert!(is_told(&came, "deadline"), "{came:?}");
        assert!(began.elapsed() >= Duration::from_millis(500), "it stayed open");
    }
    let answer = ask(plane.addr(), post("/v1/chat/completions", &[], ASKED)).await;
    assert_eq!(answer.facts(), (200, "4", "true", "0", "breaker_open"));
    let [_, experiment] = summed(&beats(&plane, 4).await);
    assert_eq!((experiment.injected, experiment.unanswered), (3, 3));
    plane.close().await;
}

/// A backend whose only answer is a stream, and the stream's other end.
async fn streaming() -> (Plane, Upstream, UnboundedSender<std::io::Result<Bytes>>) {
    let (sender, answer) = parts("text/event-stream");
    let answer = Arc::new(Mutex::new(Some(answer)));
    let upstream = Upstream::start(move |_| {
        let answer = answer.lock().expect("nobody panics with it").take().expect("it is asked once");
        async move { answer }
    })
    .await;
    let config = fill(
        CHAT,
        &[("chat", &upstream.addr), ("limit", &"{ fixed: { max: 8 } }"), ("deadline", &"60s"), ("held", &1)],
    );
    (Plane::start(&config), upstream, sender)
}

#[tokio::test]
async fn a_caller_that_leaves_a_stalled_stream_ends_it_upstream_and_nobody_is_blamed() {
    let (plane, _upstream, sender) = streaming().await;
    plane.gateway.inject(on_chat(r#"{"stalled_stream":{"parts":2}}"#)).unwrap();
    sender.send(Ok(whole_stream().into())).unwrap();
    let mut caller = Caller::connect(plane.addr()).await;
    let mut answer = soon("a head", caller.begin(post("/v1/chat/completions", &[], ASKED))).await.unwrap();
    assert_eq!(read_up_to(answer.body_mut(), two().len()).await, two().as_bytes());
    assert_eq!(plane.backend("chat").in_flight, 1, "a stalled stream holds its permit");
    drop((answer, caller));
    soon("the upstream to see it", sender.closed()).await;
    plane.backend_is("chat", "the permit back", |b| b.in_flight == 0 && b.breaker == "closed").await;
    let [_, experiment] = summed(&beats(&plane, 1).await);
    assert_eq!((experiment.injected, experiment.unanswered), (1, 0), "who leaves does not wait for an answer");
    plane.close().await;
}

#[tokio::test]
async fn a_stalled_stream_goes_on_when_its_order_ends() {
    for ends in ["withdrawn", "halted", "expired"] {
        let (plane, _upstream, sender) = streaming().await;
        let ttl = if ends == "expired" { Duration::from_millis(1_500) } else { Duration::from_mins(1) };
        plane.gateway.inject(Order { ttl, ..on_chat(r#"{"stalled_stream":{"parts":2}}"#) }).unwrap();
        sender.send(Ok(whole_stream().into())).unwrap();
        let mut caller = Caller::connect(plane.addr()).await;
        let mut answer = soon("a head", caller.begin(post("/v1/chat/completions", &[], ASKED))).await.unwrap();
        let mut came = read_up_to(answer.body_mut(), two().len()).await;
        assert_eq!(came, two().as_bytes());
        match ends {
            "withdrawn" => plane.gateway.withdraw_fault("EXP-2026-0001", 1),
            "halted" => plane.gateway.halt_faults(true),
            _ => {}
        }
        drop(sender);
        let (rest, ended) = read(answer.body_mut()).await;
        came.extend(rest);
        assert_eq!((came, ended), whole(), "{ends}");
        plane.backend_is("chat", "the permit back", |b| b.in_flight == 0 && b.breaker == "closed").await;
        drop(caller);
        plane.close().await;
    }
}

#[tokio::test]
async fn a_slow_first_token_is_seen_by_the_caller_and_by_the_limit_on_first_tokens() {
    let (plane, _upstream) = chat("{ ttft: { target: 50ms } }", "60s", 1).await;
    let limit = plane.backend("chat").limit.expect("it has one");
    plane.gateway.inject(on_chat(r#"{"slow_first_token":{"fixed":"700ms"}}"#)).unwrap();
    let mut caller = Caller::connect(plane.addr()).await;
    let began = Instant::now();
    let mut answer = soon("a head", caller.begin(post("/v1/chat/completions", &[], ASKED))).await.unwrap();
    assert_eq!(answer.headers()[TOUCHED], "EXP-2026-0001");
    let first = soon("a part", answer.body_mut().frame()).await.unwrap().unwrap().into_data().unwrap();
    assert!(began.elapsed() >= Duration::from_millis(700), "{:?}", began.elapsed());
    assert_eq!(first, seen().as_bytes(), "nothing is lost");
    assert_eq!(read(answer.body_mut()).await, (Vec::new(), true));
    plane.counted("gen_ai_server_time_to_first_token", &[("route", "chat")], 1).await;
    drop(caller);

    // First tokens that do not come at all make the limit smaller while more than half of its places wait for them.
    plane.gateway.withdraw_fault("EXP-2026-0001", 1);
    let slower = Order { generation: 2, ..on_chat(r#"{"slow_first_token":{"fixed":"50s"}}"#) };
    plane.gateway.inject(slower).unwrap();
    let addr = plane.addr();
    let waiting: Vec<_> = (0..12)
        .map(|_| tokio::spawn(async move { ask(addr, post("/v1/chat/completions", &[], ASKED)).await }))
        .collect();
    plane.backend_is("chat", "a smaller limit", |b| b.in_flight == 12 && b.limit.is_some_and(|now| now < limit)).await;
    // What is held back comes at once when the order ends.
    plane.gateway.withdraw_fault("EXP-2026-0001", 2);
    for answer in waiting {
        assert_eq!(soon("an answer", answer).await.unwrap().body, seen().as_bytes());
    }
    plane.close().await;
}

#[tokio::test]
async fn an_answer_that_is_no_stream_is_left_alone() {
    let chat = r#"{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}"#;
    let upstream = Upstream::start(move |_| async move { json(200, chat) }).await;
    let config = fill(CHAT, &[("chat", &upstream.addr), ("limit", &"none"), ("deadline", &"20s"), ("held", &1)]);
    let plane = Plane::start(&config);
    for (generation, fault) in [
        (1, r#"{"truncated_stream":{"parts":0}}"#),
        (2, r#"{"stalled_stream":{"parts":0}}"#),
        (3, r#"{"slow_first_token":{"fixed":"10m"}}"#),
    ] {
        plane.gateway.inject(Order { generation, ..on_chat(fault) }).unwrap();
        let answer = ask(plane.addr(), post("/v1/chat/completions", &[], "{}")).await;
        assert_eq!((answer.facts(), answer.header(TOUCHED)), ((200, "0", "false", "1", ""), ""), "{fault}");
        let [_, experiment] = summed(&beats(&plane, 1).await);
        assert_eq!((experiment.requests, experiment.injected), (1, 0), "{fault}");
    }
    until("no faults", || (plane.metric("mainstay_faults_injected", &[]) == 0.0).then_some(())).await;
    plane.close().await;
}

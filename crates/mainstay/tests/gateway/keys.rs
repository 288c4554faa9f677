//! Several keys of one backend: what is wrong with one of them is its own affair.

use std::fmt::Write as _;
use std::time::Duration;

use http::HeaderValue;
use mainstay_core::event::EventKind;

use crate::support::upstream::parts;
use crate::support::{Flow, Plane, Seen, Upstream, ask, fill, json, post};

const KEYS: &str = r"
backends:
  chat: { url: 'http://$chat', protocol: openai, keys: [env:A, env:B, env:C], model: m, limit: none, retry: { attempts: 1 }, breaker: { consecutive: 3, open: 1h, open_max: 1h } }
routes:
  - name: chat
    path: /v1/chat/completions
    deadline: 10s
    stream: { buffer: { tokens: 1 } }
    ladder:
      - { level: 0, backend: chat }
      - { level: 4, respond: { text: 'Later, please.' } }
";

const GOOD: &str = r#"{"id":"c","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}"#;
const SPENT: &str = r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#;
const LIMITED: &str = r#"{"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}"#;
const REFUSED: &str =
    r#"{"error":{"message":"Incorrect API key provided","type":"invalid_request_error","code":"invalid_api_key"}}"#;

fn chat(stream: bool) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    post("/v1/chat/completions", &[], format!(r#"{{"model":"any","stream":{stream},"messages":[]}}"#))
}

fn key_of(seen: &Seen) -> String {
    seen.header("authorization").trim_start_matches("Bearer ").to_owned()
}

/// Answers by key: `A` as told, the others well.
async fn upstream(of_a: impl Fn() -> http::Response<Flow> + Clone + Send + Sync + 'static) -> Upstream {
    Upstream::start(move |seen| {
        let answer = if key_of(&seen) == "A" { of_a() } else { json(200, GOOD) };
        async move { answer }
    })
    .await
}

fn keys(upstream: &Upstream) -> Vec<String> {
    upstream.seen().iter().map(key_of).collect()
}

#[tokio::test]
async fn a_key_that_is_refused_or_spent_costs_one_call_and_the_others_go_on() {
    for (status, body, why) in [(401, REFUSED, "refused"), (429, SPENT, "spent"), (403, REFUSED, "refused")] {
        let of_a = move || json(status, body);
        let upstream = upstream(of_a).await;
        let plane = Plane::start(&fill(KEYS, &[("chat", &upstream.addr)]));
        assert_eq!(ask(plane.addr(), chat(false)).await.facts(), (200, "0", "false", "2", ""), "{why}");
        for _ in 0..4 {
            assert_eq!(ask(plane.addr(), chat(false)).await.facts(), (200, "0", "false", "1", ""), "{why}");
        }
        assert_eq!(keys(&upstream), ["A", "B", "C", "B", "C", "B"], "{why}");
        assert_eq!(plane.backend("chat").breaker, "closed");
        assert_eq!(plane.metric("mainstay_key_up", &[("backend", "chat"), ("key", "0")]), 0.0);
        assert_eq!(plane.metric("mainstay_key_up", &[("backend", "chat")]), 2.0);
        assert_eq!(plane.metric("mainstay_key_faults", &[("key", "0"), ("reason", why)]), 1.0);
        assert_eq!(plane.metric("mainstay_key_calls", &[("key", "1")]), 3.0);
        let told = crate::support::until("the event", || {
            plane.events().into_iter().find(|kind| matches!(kind, EventKind::KeyRests { .. }))
        });
        let EventKind::KeyRests { backend, key, reason, .. } = told.await else { unreachable!() };
        assert_eq!((backend.as_str(), key, &*reason), ("chat", 0, why));
        plane.close().await;
    }
}

#[tokio::test]
async fn a_limited_key_rests_for_as_long_as_its_provider_says() {
    let upstream = upstream(|| {
        let mut answer = json(429, LIMITED);
        answer.headers_mut().insert("retry-after-ms", HeaderValue::from_static("700"));
        answer
    })
    .await;
    let plane = Plane::start(&fill(KEYS, &[("chat", &upstream.addr)]));
    assert_eq!(ask(plane.addr(), chat(false)).await.facts(), (200, "0", "false", "2", ""));
    assert_eq!(ask(plane.addr(), chat(false)).await.facts(), (200, "0", "false", "1", ""));
    assert_eq!(keys(&upstream), ["A", "B", "C"]);
    let returned = |kind: &EventKind| matches!(kind, EventKind::KeyReturned { key: 0, .. });
    crate::support::until("the key back", || plane.events().into_iter().find(&returned)).await;
    assert_eq!(ask(plane.addr(), chat(false)).await.header("x-mainstay-attempts"), "2");
    assert_eq!(keys(&upstream), ["A", "B", "C", "A", "B"]);
    plane.close().await;
}

#[tokio::test]
async fn only_when_no_key_is_left_the_backend_is_at_fault_and_nobody_is_asked_in_vain() {
    let upstream = Upstream::start(|_| async { json(429, SPENT) }).await;
    let plane = Plane::start(&fill(KEYS, &[("chat", &upstream.addr)]));
    let first = ask(plane.addr(), chat(false)).await;
    assert_eq!(first.facts(), (200, "4", "true", "3", "backend_error"));
    assert_eq!(keys(&upstream), ["A", "B", "C"]);
    for _ in 0..5 {
        let answer = ask(plane.addr(), chat(false)).await;
        assert_eq!((answer.header("x-mainstay-level"), answer.header("x-mainstay-attempts")), ("4", "0"));
    }
    assert_eq!(upstream.count(), 3, "a spent key is never asked with again");
    plane.close().await;
}

#[tokio::test]
async fn a_stream_that_begins_with_a_limit_goes_on_with_the_next_key() {
    let upstream = Upstream::start(|seen| async move {
        let (sender, answer) = parts("text/event-stream");
        let events = if key_of(&seen) == "A" {
            format!("data: {LIMITED}\n\n")
        } else {
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n".to_owned()
        };
        sender.send(Ok(events.into())).expect("it is read");
        answer
    })
    .await;
    let plane = Plane::start(&fill(KEYS, &[("chat", &upstream.addr)]));
    let answer = ask(plane.addr(), chat(true)).await;
    assert_eq!(answer.facts(), (200, "0", "false", "2", ""));
    assert!(answer.body.ends_with(b"data: [DONE]\n\n"));
    assert_eq!(keys(&upstream), ["A", "B"]);
    assert_eq!(plane.backend("chat").breaker, "closed");
    plane.close().await;
}

#[tokio::test]
async fn keys_never_leave_in_metrics_events_or_answers_and_live_on_over_a_reload() {
    let upstream = upstream(|| json(401, REFUSED)).await;
    let config = fill(KEYS, &[("chat", &upstream.addr)]).replace("env:A", "env:A, env:THE_SECRET_ONE");
    let plane = Plane::start(&config);
    let mut said = String::new();
    for _ in 0..4 {
        let answer = ask(plane.addr(), chat(false)).await;
        write!(said, "{:?}", answer.headers).unwrap();
    }
    write!(said, "{:?} {:?}", plane.gateway.metrics(), plane.events()).unwrap();
    assert!(!said.contains("THE_SECRET_ONE"), "{said}");
    plane.reload(&config.replace("deadline: 10s", "deadline: 9s")).expect("it reloads");
    let nine = Duration::from_secs(9);
    crate::support::until("the reload", || (plane.gateway.plan().routes[0].deadline == nine).then_some(())).await;
    for _ in 0..4 {
        assert_eq!(ask(plane.addr(), chat(false)).await.facts(), (200, "0", "false", "1", ""));
    }
    assert_eq!(keys(&upstream).iter().filter(|key| *key == "A").count(), 1, "it still rests");
    plane.close().await;
}

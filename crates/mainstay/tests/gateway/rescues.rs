//! Streams that break after their callers saw some of them, and who takes over.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mainstay_core::event::EventKind;
use serde_json::{Value, json};

use crate::support::upstream::parts;
use crate::support::{Caller, Plane, Upstream, ask, fill, json as whole, post, soon, until};

pub(crate) const CHAT: &str = r"
backends:
  first: { url: 'http://$first', protocol: openai, limit: none, retry: { attempts: 1 } }
  second: { url: 'http://$second', protocol: openai, prefill: $prefill, limit: none, retry: { attempts: 1 } }
routes:
  - name: chat
    path: /v1/chat/completions
    deadline: 20s
    stream: { buffer: { tokens: 2 }, gap: 1s, first_token: 2s, after_commit: $policy }
    ladder:
      - { level: 0, backend: first }
      - { level: 2, backend: second }
      - { level: 4, respond: { text: 'Later, please.' } }
";

pub(crate) const TEXT: &str = "one two three four five six ";
pub(crate) const ASKED: &str = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"Count."}]}"#;

pub(crate) fn chunk(model: &str, delta: &Value, finish: Option<&str>) -> String {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
    format!(
        "data: {}\n\n",
        json!({"id": "c-1", "object": "chat.completion.chunk", "model": model, "choices": [choice]})
    )
}

pub(crate) fn words(model: &str, text: &str) -> String {
    let role = chunk(model, &json!({"role": "assistant", "content": ""}), None);
    text.split_inclusive(' ').fold(role, |stream, word| stream + &chunk(model, &json!({"content": word}), None))
}

/// What becomes of the first backend's stream after four words.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Break {
    Cut,
    Ends,
    Stalls,
    Errs,
}

pub(crate) async fn first(how: Break) -> Upstream {
    Upstream::start(move |_| async move {
        let (sender, answer) = parts("text/event-stream");
        sender.send(Ok(words("big", "one two three four ").into())).unwrap();
        match how {
            // What was written has left before the connection breaks.
            Break::Cut => drop(tokio::spawn(async move {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                let _ = sender.send(Err(std::io::Error::other("cut")));
            })),
            Break::Ends => {}
            Break::Errs => {
                sender.send(Ok("data: {\"error\":{\"message\":\"m\",\"type\":\"server_error\"}}\n\n".into())).unwrap();
            }
            Break::Stalls => drop(tokio::spawn(async move { sender.closed().await })),
        }
        answer
    })
    .await
}

/// Answers from the beginning, or from where the assistant's last message ends.
pub(crate) async fn second() -> Upstream {
    Upstream::start(|seen| async move {
        let body: Value = serde_json::from_slice(&seen.body).unwrap();
        assert_eq!(body["stream_options"]["include_usage"], true, "usage is always asked for");
        let last = body["messages"].as_array().unwrap().last().unwrap().clone();
        let so_far = if last["role"] == "assistant" { last["content"].as_str().unwrap().to_owned() } else { String::new() };
        let rest = TEXT.strip_prefix(&so_far).expect("it is a prefix of the answer");
        let (sender, answer) = parts("text/event-stream");
        let end = chunk("small", &json!({}), Some("stop"));
        let usage = "data: {\"id\":\"c\",\"model\":\"small\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":6,\"total_tokens\":15}}\n\n";
        sender.send(Ok((words("small", rest) + &end + usage + "data: [DONE]\n\n").into())).unwrap();
        answer
    })
    .await
}

#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) texts: Vec<String>,
    pub(crate) models: Vec<String>,
    pub(crate) finish: Option<String>,
    pub(crate) usage: u32,
    pub(crate) ends: u32,
    pub(crate) errors: Vec<String>,
}

pub(crate) fn read(body: &[u8]) -> Read {
    let mut read = Read { texts: vec![String::new()], ..Read::default() };
    for data in std::str::from_utf8(body).unwrap().lines().filter_map(|line| line.strip_prefix("data: ")) {
        if data == "[DONE]" {
            read.ends += 1;
            continue;
        }
        let event: Value = serde_json::from_str(data).unwrap();
        if event["mainstay"]["restart"] == true {
            read.texts.push(String::new());
        }
        if let Some(code) = event["error"]["code"].as_str() {
            read.errors.push(code.to_owned());
        }
        read.usage += u32::from(event["usage"].is_object());
        let choice = &event["choices"][0];
        *read.texts.last_mut().unwrap() += choice["delta"]["content"].as_str().unwrap_or_default();
        read.finish = choice["finish_reason"].as_str().map(Into::into).or(read.finish);
        if let Some(model) = event["model"].as_str()
            && read.models.last().is_none_or(|last| last != model)
        {
            read.models.push(model.to_owned());
        }
    }
    read
}

async fn asked(how: Break, policy: &str, prefill: bool) -> (Read, String) {
    let (first, second) = (first(how).await, second().await);
    let plane = Plane::start(&fill(
        CHAT,
        &[("first", &first.addr), ("second", &second.addr), ("prefill", &prefill), ("policy", &policy)],
    ));
    let answer = soon("an answer", ask(plane.addr(), post("/v1/chat/completions", &[], ASKED))).await;
    assert_eq!(answer.status, 200);
    let level = answer.header("x-mainstay-level").to_owned();
    plane.close().await;
    (read(&answer.body), level)
}

#[tokio::test]
async fn another_backend_goes_on_where_the_first_broke_off() {
    for how in [Break::Cut, Break::Ends, Break::Stalls, Break::Errs] {
        let (read, level) = asked(how, "continue", true).await;
        assert_eq!((read.texts.as_slice(), level.as_str()), ([TEXT.to_owned()].as_slice(), "0"), "{how:?}: {read:?}");
        assert_eq!(
            (read.finish.as_deref(), read.ends, read.errors.len(), read.usage),
            (Some("stop"), 1, 0, 0),
            "{how:?}"
        );
        assert_eq!(read.models, ["big", "small"], "{how:?}: the model that serves is named");
    }
}

#[tokio::test]
async fn a_backend_that_cannot_go_on_is_not_asked_to() {
    let (read, _) = asked(Break::Cut, "continue", false).await;
    assert_eq!((read.texts.as_slice(), read.ends), (["one two three four ".to_owned()].as_slice(), 0), "{read:?}");
    assert_eq!(read.errors, ["stream_cut"]);
}

#[tokio::test]
async fn a_restart_is_told_and_whole() {
    let (read, _) = asked(Break::Stalls, "restart", false).await;
    assert_eq!(read.texts, ["one two three four ", TEXT], "{read:?}");
    assert_eq!((read.ends, read.errors.len()), (1, 0));
}

#[tokio::test]
async fn atomic_shows_nothing_before_all_of_it_and_fail_tells() {
    let (read, level) = asked(Break::Cut, "atomic", false).await;
    assert_eq!((read.texts.as_slice(), level.as_str(), read.ends), ([TEXT.to_owned()].as_slice(), "2", 1), "{read:?}");
    assert_eq!(read.models, ["small"], "nothing of what failed is shown");
    let (read, level) = asked(Break::Errs, "fail", true).await;
    assert_eq!(
        (read.errors.as_slice(), level.as_str(), read.ends),
        (["error_in_stream".to_owned()].as_slice(), "0", 0),
        "{read:?}"
    );
}

#[tokio::test]
async fn a_restart_may_be_an_answer_of_our_own() {
    let first = first(Break::Cut).await;
    let second = Upstream::start(|_| async { whole(500, "{}") }).await;
    let plane = Plane::start(&fill(
        CHAT,
        &[("first", &first.addr), ("second", &second.addr), ("prefill", &false), ("policy", &"restart")],
    ));
    let answer = soon("an answer", ask(plane.addr(), post("/v1/chat/completions", &[], ASKED))).await;
    let read = read(&answer.body);
    assert_eq!((read.texts.last().map(String::as_str), read.ends), (Some("Later, please."), 1), "{read:?}");
    plane.close().await;
}

#[tokio::test]
async fn what_is_no_stream_is_a_failed_attempt() {
    for (content_type, encoding, reason) in
        [("text/html", "", "not_a_stream"), ("text/event-stream", "gzip", "compressed_stream")]
    {
        let first = Upstream::start(move |_| async move {
            let (sender, mut answer) = parts(content_type);
            if !encoding.is_empty() {
                answer.headers_mut().insert("content-encoding", encoding.parse().unwrap());
            }
            sender.send(Ok("<html>hello</html>".into())).unwrap();
            answer
        })
        .await;
        let second = second().await;
        let plane = Plane::start(&fill(
            CHAT,
            &[("first", &first.addr), ("second", &second.addr), ("prefill", &false), ("policy", &"fail")],
        ));
        let answer = ask(plane.addr(), post("/v1/chat/completions", &[], ASKED)).await;
        assert_eq!(answer.facts(), (200, "2", "true", "2", reason));
        plane.close().await;
    }
}

#[tokio::test]
async fn a_silent_backend_is_asked_once_and_a_caller_that_leaves_while_it_is_silent_ends_it() {
    let calls = Arc::new(AtomicUsize::new(0));
    let (gone, mut left) = tokio::sync::mpsc::unbounded_channel();
    let counted = Arc::clone(&calls);
    let first = Upstream::start(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        let gone = gone.clone();
        async move {
            let (sender, answer) = parts("text/event-stream");
            sender.send(Ok(chunk("big", &json!({"role": "assistant", "content": ""}), None).into())).unwrap();
            tokio::spawn(async move {
                sender.closed().await;
                let _ = gone.send(std::time::Instant::now());
            });
            answer
        }
    })
    .await;
    let second = second().await;
    let config = CHAT.replace("attempts: 1", "attempts: 3");
    let plane = Plane::start(&fill(
        &config,
        &[("first", &first.addr), ("second", &second.addr), ("prefill", &false), ("policy", &"fail")],
    ));
    let answer = soon("an answer", ask(plane.addr(), post("/v1/chat/completions", &[], ASKED))).await;
    assert_eq!(answer.facts(), (200, "2", "true", "2", "first_token_timeout"));
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    left.recv().await.unwrap();

    let mut caller = Caller::connect(plane.addr()).await;
    let asking = tokio::spawn(async move { caller.begin(post("/v1/chat/completions", &[], ASKED)).await.map(drop) });
    while calls.load(Ordering::Relaxed) < 2 {
        tokio::task::yield_now().await;
    }
    asking.abort();
    let _ = asking.await;
    let began = std::time::Instant::now();
    let at = soon("the upstream to see it", left.recv()).await.unwrap();
    assert!(at.duration_since(began).as_millis() < 1000, "{:?}", at.duration_since(began));
    plane.backend_is("first", "the permit back", |b| b.in_flight == 0).await;
    plane.close().await;
}

#[tokio::test]
async fn a_chat_that_is_too_long_goes_to_a_model_that_takes_more_and_is_asked_once_of_each() {
    let refuses = |code: &'static str| {
        move |_| async move { whole(400, format!(r#"{{"error":{{"message":"m","code":"{code}"}}}}"#)) }
    };
    let first = Upstream::start(refuses("context_length_exceeded")).await;
    let smaller = Upstream::start(refuses("context_length_exceeded")).await;
    let larger = second().await;
    let config = CHAT
        .replace("protocol: openai, limit", "protocol: openai, context: 8000, limit")
        .replace(
            "routes:",
            "  smaller: { url: 'http://$smaller', protocol: openai, context: 4000, limit: none }\nroutes:",
        )
        .replace("prefill: $prefill", "context: 32000")
        .replace(
            "- { level: 2, backend: second }",
            "- { level: 2, backend: smaller }\n      - { level: 2, backend: second }",
        )
        .replace("attempts: 1", "attempts: 3");
    let filled = |first: &Upstream| {
        let addresses =
            [("first", &first.addr as &dyn std::fmt::Display), ("second", &larger.addr), ("smaller", &smaller.addr)];
        fill(&config, &[addresses[0], addresses[1], addresses[2], ("policy", &"fail")])
    };
    let plane = Plane::start(&filled(&first));
    let answer = ask(plane.addr(), post("/v1/chat/completions", &[], ASKED)).await;
    assert_eq!(answer.facts(), (200, "2", "true", "2", "context_too_long"));
    assert_eq!((first.seen().len(), smaller.seen().len(), larger.seen().len()), (1, 0, 1));
    plane.close().await;

    // What a filter refuses is an answer: nobody else is asked.
    let first = Upstream::start(refuses("content_policy_violation")).await;
    let plane = Plane::start(&filled(&first));
    let answer = ask(plane.addr(), post("/v1/chat/completions", &[], ASKED)).await;
    assert_eq!((answer.status, first.seen().len(), larger.seen().len()), (400, 1, 1));
    plane.close().await;
}

#[tokio::test]
async fn a_refusal_at_the_beginning_of_a_stream_is_an_answer() {
    let first = Upstream::start(|_| async {
        let (sender, answer) = parts("text/event-stream");
        let no =
            "data: {\"error\":{\"message\":\"no\",\"type\":\"invalid_request_error\",\"code\":\"content_filter\"}}\n\n";
        sender.send(Ok(no.into())).unwrap();
        answer
    })
    .await;
    let second = second().await;
    let addresses = [("first", &first.addr as &dyn std::fmt::Display), ("second", &second.addr)];
    let plane = Plane::start(&fill(CHAT, &[addresses[0], addresses[1], ("prefill", &false), ("policy", &"restart")]));
    let answer = ask(plane.addr(), post("/v1/chat/completions", &[], ASKED)).await;
    let error: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.status, &error["error"]["message"], second.seen().len()), (400, &"no".into(), 0));
    plane.close().await;
}

#[tokio::test]
async fn an_answer_that_a_filter_cuts_is_taken_over_as_the_route_has_it() {
    // policy, what the route does about refusals; texts, end, who answers at last
    let cases: [(&str, &str, &[&str], &str); 5] = [
        ("restart", "next", &["one two three four ", TEXT], "stop"),
        ("continue", "next", &[TEXT], "stop"),
        ("atomic", "next", &[TEXT], "stop"),
        ("fail", "next", &["one two three four "], "content_filter"),
        ("restart", "stop", &["one two three four "], "content_filter"),
    ];
    for (policy, refusals, texts, finish) in cases {
        let first = Upstream::start(|_| async {
            let (sender, answer) = parts("text/event-stream");
            sender.send(Ok(words("big", "one two three four ").into())).unwrap();
            drop(tokio::spawn(async move {
                // The caller has the first words when the filter comes.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                let end = chunk("big", &json!({}), Some("content_filter")) + "data: [DONE]\n\n";
                let _ = sender.send(Ok(end.into()));
            }));
            answer
        })
        .await;
        let second = second().await;
        let addresses = [("first", &first.addr as &dyn std::fmt::Display), ("second", &second.addr)];
        let filled = fill(CHAT, &[addresses[0], addresses[1], ("prefill", &true), ("policy", &policy)]);
        let refused = format!("deadline: 20s\n    on_content_refusal: {refusals}");
        let plane = Plane::start(&filled.replacen("deadline: 20s", &refused, 1));
        let answer = ask(plane.addr(), post("/v1/chat/completions", &[], ASKED)).await;
        let read = read(&answer.body);
        let what = format!("{policy}, {refusals}: {read:?}");
        assert_eq!(
            (&read.texts[..], read.finish.as_deref()),
            (&texts.iter().map(ToString::to_string).collect::<Vec<_>>()[..], Some(finish)),
            "{what}"
        );
        assert_eq!((read.ends, read.errors.len()), (1, 0), "{what}");
        assert_eq!(answer.header("x-mainstay-level"), if policy == "atomic" { "2" } else { "0" }, "{what}");
        assert_eq!(second.seen().len(), usize::from(finish == "stop"), "{what}");
        assert_eq!(plane.backend("first").breaker, "closed");
        plane.close().await;
    }
}

/// A caller that does not read for longer than `gap` is no reason to blame the backend, whose answer waits.
#[tokio::test]
async fn a_caller_that_reads_slowly_gets_all_of_it() {
    const EVENTS: usize = 200;
    let text = "x".repeat(64 << 10) + " ";
    let sent = text.clone();
    let first = Upstream::start(move |_| {
        let event = chunk("big", &json!({"content": sent}), None);
        async move {
            let (sender, answer) = parts("text/event-stream");
            for _ in 0..EVENTS {
                sender.send(Ok(event.clone().into())).unwrap();
            }
            sender.send(Ok((chunk("big", &json!({}), Some("stop")) + "data: [DONE]\n\n").into())).unwrap();
            answer
        }
    })
    .await;
    let addresses = [("first", &first.addr as &dyn std::fmt::Display), ("second", &first.addr)];
    let config = CHAT.replace("gap: 1s", "gap: 500ms, min_tokens: 10/s");
    let plane = Plane::start(&fill(&config, &[addresses[0], addresses[1], ("prefill", &false), ("policy", &"fail")]));
    let mut caller = Caller::connect(plane.addr()).await;
    let response = caller.begin(post("/v1/chat/completions", &[], ASKED)).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    let read = read(&body);
    assert_eq!((read.texts[0].len(), read.ends, read.errors.len()), (text.len() * EVENTS, 1, 0));
    assert_eq!(plane.backend("first").breaker, "closed");
    plane.close().await;
}

#[tokio::test]
async fn what_is_told_of_an_answer_that_was_taken_over_counts_all_calls() {
    let (first, second) = (first(Break::Cut).await, second().await);
    let values = [("first", &first.addr as &dyn std::fmt::Display), ("second", &second.addr), ("prefill", &false)];
    let plane = Plane::start(&fill(CHAT, &[values[0], values[1], values[2], ("policy", &"restart")]));
    let answer = ask(plane.addr(), post("/v1/chat/completions", &[], ASKED)).await;
    assert_eq!((answer.status, read(&answer.body).ends), (200, 1));
    let told = until("the event", || {
        plane.events().into_iter().find_map(|kind| match kind {
            EventKind::RequestFinished(request) => Some((request.attempts, request.backend)),
            _ => None,
        })
    });
    assert_eq!(told.await, (2, Some("second".to_owned())));
    plane.close().await;
}

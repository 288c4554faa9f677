//! Answers of language models that look well and are not: whole ones and streams, and what they are counted as.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mainstay_core::event::EventKind;
use mainstay_core::slo::series::Counts;
use serde_json::{Value, json};

use crate::rescues::{ASKED, CHAT, TEXT, chunk, read, second, words};
use crate::support::upstream::parts;
use crate::support::{Flow, Plane, Upstream, ask, fill, infer, json as whole, post, until};

const PATHS: &str = r"
limits: { replay: 64KiB }
backends:
  first: { url: 'http://$first', protocol: openai, limit: none, retry: { attempts: 3 } }
routes:
  - name: any
    path: /v1/*
    deadline: 10s
    stream: { buffer: { tokens: 1 }, gap: 1s }
    ladder:
      - { level: 0, backend: first }
      - { level: 4, respond: { text: 'Later, please.' } }
";

const GOOD: &str = r#"{"id":"c","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":3}}"#;

/// A stream that is all there before it is read.
fn stream(content_type: &'static str, text: String) -> http::Response<Flow> {
    let (sender, answer) = parts(content_type);
    sender.send(Ok(text.into())).unwrap();
    answer
}

fn two(first: &Upstream, second: &Upstream, config: &str) -> Plane {
    let addresses = [("first", &first.addr as &dyn Display), ("second", &second.addr)];
    Plane::start(&fill(config, &[addresses[0], addresses[1], ("prefill", &false), ("policy", &"fail")]))
}

#[tokio::test]
async fn answers_whose_meaning_is_in_their_body_are_not_asked_for_compressed() {
    // As OpenAI's client does it: compressed where that was allowed.
    let answers = |seen: crate::support::Seen| async move {
        if seen.header("accept-encoding").is_empty() {
            return whole(400, r#"{"error":{"message":"m","code":"context_length_exceeded"}}"#);
        }
        let mut answer = whole(400, &b"\x1f\x8b\x08not to be read"[..]);
        answer.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
        answer
    };
    let (first, second) = (Upstream::start(answers).await, Upstream::start(|_| async { whole(200, GOOD) }).await);
    let config = CHAT
        .replace("protocol: openai, limit", "protocol: openai, context: 8000, limit")
        .replace("prefill: $prefill", "context: 32000");
    let plane = two(&first, &second, &config);
    let asked = ASKED.replace("true", "false");
    let answer = ask(plane.addr(), post("/v1/chat/completions", &[("accept-encoding", "gzip, deflate")], asked)).await;
    assert_eq!(answer.facts(), (200, "2", "true", "2", "context_too_long"));
    plane.close().await;

    let model = Upstream::predicting("fraud", 0.5).await;
    let config = r"
backends:
  model: { url: 'http://$model', protocol: open-inference }
  web: { url: 'http://$model', protocol: http }
routes:
  - { name: score, path: /v2/models/fraud/infer, deadline: 10s, ladder: [{ level: 0, backend: model }, { level: 4, respond: { outputs: [{ name: decision, value: review }] } }] }
  - { name: web, path: /web, deadline: 10s, ladder: [{ level: 0, backend: web }, { level: 4, respond: { body: {} } }] }
";
    let plane = Plane::start(&fill(config, &[("model", &model.addr)]));
    ask(plane.addr(), infer(&[("accept-encoding", "gzip")])).await;
    ask(plane.addr(), post("/web", &[("accept-encoding", "gzip")], "{}")).await;
    let seen: Vec<String> = model.seen().iter().map(|seen| seen.header("accept-encoding").to_owned()).collect();
    assert_eq!(seen, ["", "gzip"], "what is only passed on is the caller's affair");
    plane.close().await;
}

#[tokio::test]
async fn a_stream_whose_request_is_too_long_to_be_read_is_whole_or_told_as_well() {
    let first = Upstream::start(|seen| async move {
        let end = if seen.number == 0 { "" } else { &(chunk("big", &json!({}), Some("stop")) + "data: [DONE]\n\n") };
        stream("text/event-stream", words("big", TEXT) + end)
    })
    .await;
    let plane = Plane::start(&fill(PATHS, &[("first", &first.addr)]));
    let image = "x".repeat(200_000);
    let long = format!(r#"{{"messages":[{{"content":"{image}"}}],"stream":true,"model":"m"}}"#);
    let cut = read(&ask(plane.addr(), post("/v1/chat/completions", &[], long.clone())).await.body);
    assert_eq!((cut.texts.as_slice(), cut.ends), ([TEXT.to_owned()].as_slice(), 0), "{cut:?}");
    assert_eq!(cut.errors, ["stream_cut"]);
    let all = read(&ask(plane.addr(), post("/v1/chat/completions", &[], long)).await.body);
    assert_eq!((all.ends, all.errors.len(), first.count()), (1, 0, 2), "{all:?}");
    plane.counted("mainstay_streams_ended", &[("route", "any"), ("outcome", "broken")], 1).await;
    plane.counted("mainstay_streams_ended", &[("route", "any"), ("outcome", "complete")], 1).await;
    plane.close().await;
}

#[tokio::test]
async fn a_stream_of_responses_that_does_not_say_that_it_is_whole_was_cut() {
    let first = Upstream::start(|seen| async move {
        let event = |name: &str| format!("event: {name}\ndata: {{\"type\":\"{name}\",\"delta\":\"a\"}}\n\n");
        let begins = event("response.created") + &event("response.output_text.delta");
        let text = match seen.json()["model"].as_str() {
            Some("whole") => begins + &event("response.completed"),
            Some("failed") => begins + &event("response.failed"),
            _ => begins + "event: response.completed\ndata: {\"type\":\"resp",
        };
        stream("text/event-stream", text)
    })
    .await;
    let plane = Plane::start(&fill(PATHS, &[("first", &first.addr)]));
    let asked = async |model: &str| {
        let body = json!({"model": model, "stream": true, "input": "Hi"}).to_string();
        String::from_utf8(ask(plane.addr(), post("/v1/responses", &[], body)).await.body.to_vec()).unwrap()
    };
    let all = asked("whole").await;
    assert!(all.ends_with("{\"type\":\"response.completed\",\"delta\":\"a\"}\n\n"), "{all}");
    let cut = asked("cut").await;
    let (before, error) = cut.split_once("event: error\ndata: ").unwrap();
    assert!(before.ends_with("\"delta\":\"a\"}\n\n") && !before.contains("completed"), "{before}");
    let error: Value = serde_json::from_str(error.trim_end()).unwrap();
    assert_eq!((&error["type"], &error["error"]["code"]), (&"error".into(), &"stream_cut".into()));
    let failed = asked("failed").await;
    assert!(failed.contains("response.failed") && !failed.contains("event: error"), "{failed}");
    plane.counted("gen_ai_server_request_duration", &[("error_type", "502")], 2).await;
    plane.counted("gen_ai_server_request_duration", &[("route", "any")], 3).await;
    plane.close().await;
}

#[tokio::test]
async fn a_success_that_is_no_answer_is_a_failed_attempt_whatever_its_dialect() {
    const CUT: &str =
        r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"abort"}]}"#;
    // How often each is asked: what is silent, or no answer, is so the next time as well.
    let cases: [(&str, &str, &str, usize); 5] = [
        ("application/json", r#"{"choices":[]}"#, "silent_answer", 1),
        ("text/html", "<html>Please log in</html>", "bad_answer", 1),
        ("application/json", r#"{"id":"c","choices":[{"index":0,"mess"#, "bad_answer", 1),
        ("application/json", r#"{"error":{"message":"m","type":"server_error"}}"#, "error_in_answer", 3),
        ("application/json", CUT, "answer_cut", 3),
    ];
    for (content_type, body, reason, calls) in cases {
        for has_length in [true, false] {
            let first = Upstream::start(move |_| async move {
                if has_length {
                    let mut answer = whole(200, body);
                    answer.headers_mut().insert("content-type", content_type.parse().unwrap());
                    return answer;
                }
                stream(content_type, body.to_owned())
            })
            .await;
            let second = Upstream::start(|_| async { whole(200, GOOD) }).await;
            let plane = two(&first, &second, &CHAT.replacen("attempts: 1", "attempts: 3", 1));
            let answer = ask(plane.addr(), post("/v1/chat/completions", &[], ASKED.replace("true", "false"))).await;
            let attempts = (calls + 1).to_string();
            assert_eq!(answer.facts(), (200, "2", "true", attempts.as_str(), reason), "{body} {has_length}");
            assert_eq!(first.count(), calls, "{body}");
            plane.close().await;
        }
    }
    // What is kept at the provider is asked for at the same path, and is no chat.
    let first = Upstream::start(|_| async { whole(200, r#"{"object":"list","data":[]}"#) }).await;
    let plane = Plane::start(&fill(PATHS, &[("first", &first.addr)]));
    let kept = http::Request::get("/v1/chat/completions").body(http_body_util::Full::default()).unwrap();
    assert_eq!(ask(plane.addr(), kept).await.facts(), (200, "0", "false", "1", ""));
    plane.close().await;
}

#[tokio::test]
async fn a_stream_that_breaks_before_it_is_shown_is_asked_for_again_and_one_that_is_too_long_is_not() {
    let first = Upstream::start(|seen| async move {
        if seen.number == 0 {
            return stream("text/event-stream", words("big", "") + &chunk("big", &json!({}), Some("abort")));
        }
        stream("text/event-stream", words("big", TEXT) + &chunk("big", &json!({}), Some("stop")) + "data: [DONE]\n\n")
    })
    .await;
    let second = second().await;
    let config = CHAT.replace("attempts: 1", "attempts: 3");
    let plane = two(&first, &second, &config);
    let answer = ask(plane.addr(), post("/v1/chat/completions", &[], ASKED)).await;
    assert_eq!(answer.facts(), (200, "0", "false", "2", ""));
    assert_eq!(read(&answer.body).texts, [TEXT]);
    plane.close().await;

    let first =
        Upstream::start(|_| async { stream("text/event-stream", format!("data: {}\n", "x".repeat(3 << 20))) }).await;
    let plane = two(&first, &second, &config);
    let answer = ask(plane.addr(), post("/v1/chat/completions", &[], ASKED)).await;
    assert_eq!(answer.facts(), (200, "2", "true", "2", "stream_too_long"));
    plane.close().await;
}

#[tokio::test]
async fn two_choices_are_whole_when_both_are() {
    let first = Upstream::start(|_| async {
        let end = chunk("big", &json!({}), Some("stop"));
        stream("text/event-stream", words("big", TEXT) + &end)
    })
    .await;
    let plane = Plane::start(&fill(PATHS, &[("first", &first.addr)]));
    for (n, complete) in [(1, true), (2, false)] {
        let body = json!({"model": "m", "stream": true, "n": n, "messages": []}).to_string();
        let read = read(&ask(plane.addr(), post("/v1/chat/completions", &[], body)).await.body);
        assert_eq!((read.ends == 1, read.errors.is_empty()), (complete, complete), "{n}: {read:?}");
    }
    // So many for each prompt.
    let body = json!({"model": "m", "stream": true, "prompt": ["a", "b"]}).to_string();
    let answer = ask(plane.addr(), post("/v1/completions", &[], body)).await;
    assert!(String::from_utf8_lossy(&answer.body).contains("stream_cut"), "{:?}", answer.body);
    plane.close().await;
}

#[tokio::test]
async fn a_chat_that_is_too_long_by_the_first_event_of_a_stream_goes_to_a_larger_model() {
    let no = "data: {\"error\":{\"message\":\"m\",\"code\":\"context_length_exceeded\"}}\n\n";
    let first = Upstream::start(move |_| async move { stream("text/event-stream", no.into()) }).await;
    let second = second().await;
    let config = CHAT
        .replace("protocol: openai, limit", "protocol: openai, context: 8000, limit")
        .replace("prefill: $prefill", "context: 32000");
    let plane = two(&first, &second, &config);
    let answer = ask(plane.addr(), post("/v1/chat/completions", &[], ASKED)).await;
    assert_eq!(answer.facts(), (200, "2", "true", "2", "context_too_long"));
    plane.close().await;
    // Without a larger one the caller is told.
    let plane = two(&first, &second, &config.replace("context: 32000", "context: 8000"));
    let answer = ask(plane.addr(), post("/v1/chat/completions", &[], ASKED)).await;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (400, Some("context_length_exceeded")));
    plane.close().await;
}

#[tokio::test]
async fn a_lone_key_whose_money_is_spent_is_not_asked_with_again() {
    let spent = r#"{"error":{"message":"m","type":"insufficient_quota","code":"insufficient_quota"}}"#;
    let first = Upstream::start(move |_| async move { whole(429, spent) }).await;
    let config = PATHS.replace("protocol: openai,", "protocol: openai, keys: [env:LONE],");
    let plane = Plane::start(&fill(&config, &[("first", &first.addr)]));
    for reason in ["backend_error", "keys_rest", "keys_rest", "keys_rest"] {
        let answer = ask(plane.addr(), post("/v1/chat/completions", &[], ASKED)).await;
        assert_eq!((answer.header("x-mainstay-level"), answer.header("x-mainstay-reason")), ("4", reason));
    }
    assert_eq!(first.count(), 1);
    assert_eq!(plane.metric("mainstay_key_up", &[("backend", "first")]), 0.0);
    let rests = |kind: EventKind| matches!(kind, EventKind::KeyRests { .. });
    crate::support::until("the event", || plane.events().into_iter().any(rests).then_some(())).await;
    plane.close().await;
}

#[tokio::test]
async fn a_whole_answer_that_becomes_a_stream_is_counted_as_one_with_its_tokens() {
    let first = Upstream::start(|_| async { whole(200, GOOD) }).await;
    let plane = Plane::start(&fill(PATHS, &[("first", &first.addr)]));
    let answer = ask(plane.addr(), post("/v1/chat/completions", &[], ASKED)).await;
    assert_eq!(read(&answer.body).ends, 1);
    plane.counted("mainstay_streams_begun", &[("route", "any")], 1).await;
    plane.counted("mainstay_streams_ended", &[("route", "any"), ("outcome", "complete")], 1).await;
    plane.counted("gen_ai_client_token_usage", &[("gen_ai_token_type", "output")], 1).await;
    plane.close().await;
}

#[tokio::test]
async fn every_path_of_openais_has_a_last_level() {
    let down = Upstream::start(|_| async { whole(500, "{}") }).await;
    let config = r"
backends: { down: { url: 'http://$down', protocol: openai, retry: { attempts: 1 } } }
routes:
  - { name: texts, path: /v1/*, deadline: 10s, ladder: [{ level: 0, backend: down }, { level: 4, respond: { text: 'Later, please.' } }] }
  - { name: vectors, path: /v1/embeddings, deadline: 10s, ladder: [{ level: 0, backend: down }, { level: 4, respond: { body: { object: list, data: [] } } }] }
";
    let plane = Plane::start(&fill(config, &[("down", &down.addr)]));
    for (path, at) in [
        ("/v1/chat/completions", "/choices/0/message/content"),
        ("/v1/completions", "/choices/0/text"),
        ("/v1/responses", "/output/0/content/0/text"),
    ] {
        let answer = ask(plane.addr(), post(path, &[], r#"{"model":"m"}"#)).await;
        assert_eq!(answer.facts(), (200, "4", "true", "1", "backend_error"), "{path}");
        assert_eq!(answer.json().pointer(at), Some(&"Later, please.".into()), "{path}");
    }
    let answer = ask(plane.addr(), post("/v1/embeddings", &[], r#"{"model":"m","input":"Hi"}"#)).await;
    assert_eq!(
        (answer.facts(), answer.json()["object"].as_str()),
        ((200, "4", "true", "1", "backend_error"), Some("list"))
    );
    plane.close().await;
}

#[tokio::test]
async fn embeddings_on_a_prefix_are_answered_from_the_cache_or_by_an_error_in_openais_shape() {
    let asked = Arc::new(AtomicUsize::new(0));
    let once = Upstream::start(move |_| {
        let first = asked.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            let vector = r#"{"object":"list","model":"m","data":[{"object":"embedding","index":0,"embedding":[0.5]}]}"#;
            if first { whole(200, vector) } else { whole(500, "{}") }
        }
    })
    .await;
    let config = r"
backends: { once: { url: 'http://$once', protocol: openai, retry: { attempts: 1 } } }
routes:
  - { name: all, path: /v1/*, deadline: 10s, ladder: [{ level: 0, backend: once }, { level: 3, cache: { max_age: 1h } }, { level: 4, respond: { text: 'Later, please.' } }] }
";
    let plane = Plane::start(&fill(config, &[("once", &once.addr)]));
    let embed = |input: &str| post("/v1/embeddings", &[], format!(r#"{{"model":"m","input":"{input}"}}"#));
    for level in ["0", "3"] {
        let answer = ask(plane.addr(), embed("Hi")).await;
        assert_eq!((answer.status, answer.header("x-mainstay-level")), (200, level));
        assert_eq!(answer.json().pointer("/data/0/embedding/0"), Some(&0.5.into()));
    }
    let answer = ask(plane.addr(), embed("Something else")).await;
    assert_eq!((answer.status, answer.header("x-should-retry")), (503, "false"));
    let error = answer.json()["error"].clone();
    assert_eq!(error["message"], "no level had an answer");
    assert!(error["type"].is_string() && error["code"].is_string() && error["param"].is_null(), "{error}");
    plane.close().await;
}

/// The first one counts as it goes, and breaks off; the second one ends the answer.
async fn counts_and_breaks() -> Upstream {
    Upstream::start(|_| async {
        let used = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":900,\"completion_tokens\":4}}\n\n";
        stream("text/event-stream", words("big", "one two three four ") + used)
    })
    .await
}

#[tokio::test]
async fn an_answer_that_was_taken_over_is_counted_for_whoever_ended_it() {
    for (policy, level) in [("restart", "2"), ("continue", "2"), ("fail", "0")] {
        let (first, second) = (counts_and_breaks().await, second().await);
        let addresses = [("first", &first.addr as &dyn Display), ("second", &second.addr)];
        let plane = Plane::start(&fill(CHAT, &[addresses[0], addresses[1], ("prefill", &true), ("policy", &policy)]));
        let answer = ask(plane.addr(), post("/v1/chat/completions", &[], ASKED)).await;
        assert_eq!((read(&answer.body).ends == 1, answer.header("x-mainstay-level")), (policy != "fail", "0"));
        plane.counted("mainstay_requests", &[("route", "chat"), ("level", level)], 1).await;
        // The tokens of the one that broke off are its own.
        let of = |model: &'static str| [("gen_ai_request_model", model), ("gen_ai_token_type", "input")];
        plane.counted("gen_ai_client_token_usage", &of("first"), 1).await;
        plane.counted("gen_ai_client_token_usage", &of("second"), u32::from(policy != "fail")).await;
        let status = if policy == "fail" { "first" } else { "second" };
        plane.counted("gen_ai_server_request_duration", &[("gen_ai_request_model", status)], 1).await;
        plane.counted("mainstay_streams_begun", &[("route", "chat")], 1).await;
        plane.close().await;
    }
}

#[tokio::test]
async fn an_objective_on_complete_streams_counts_those_that_broke_off_as_bad() {
    let slos = "slos:\n  - availability: { name: whole, target: 99%, route: chat, good_levels: 4 }\n";
    for (policy, whole) in [("fail", false), ("continue", true), ("restart", true), ("atomic", true)] {
        let (first, second) = (counts_and_breaks().await, second().await);
        let addresses = [("first", &first.addr as &dyn Display), ("second", &second.addr)];
        let config = CHAT.to_owned() + slos;
        let plane =
            Plane::start(&fill(&config, &[addresses[0], addresses[1], ("prefill", &true), ("policy", &policy)]));
        let answer = ask(plane.addr(), post("/v1/chat/completions", &[], ASKED)).await;
        assert_eq!((answer.status, read(&answer.body).ends == 1), (200, whole), "{policy}");
        let counted = until("it to be counted", || plane.gateway.take_sums().counts.pop()).await;
        assert_eq!(
            (counted.0.as_str(), counted.2),
            ("whole", Counts { good: u64::from(whole), bad: u64::from(!whole) }),
            "{policy}"
        );
        plane.close().await;
    }
}

#[tokio::test]
async fn what_takes_the_place_of_an_answer_is_checked_before_it_is_shown() {
    let says = |text: &'static str, seen: &crate::support::Seen| {
        let end = chunk("small", &json!({}), Some("stop")) + "data: [DONE]\n\n";
        let _ = seen;
        stream("text/event-stream", words("small", text) + &end)
    };
    let first = counts_and_breaks().await;
    let second = Upstream::start(move |seen| async move { says("harm and more ", &seen) }).await;
    let third = Upstream::start(move |seen| async move { says(TEXT, &seen) }).await;
    let addresses = [("first", &first.addr as &dyn Display), ("second", &second.addr)];
    let config = fill(CHAT, &[addresses[0], addresses[1], ("prefill", &true), ("policy", &"restart")]);
    let more = format!("  third: {{ url: 'http://{}', protocol: openai, limit: none }}\nroutes:", third.addr);
    let config = config
        .replace("routes:", &more)
        .replace("      - { level: 4", "      - { level: 3, backend: third }\n      - { level: 4");
    let plane =
        Plane::start(&format!("{config}safety: {{ checks: {{ words: {{ patterns: [harm], when: inline }} }} }}\n"));
    let answer = ask(plane.addr(), post("/v1/chat/completions", &[], ASKED)).await;
    let read = read(&answer.body);
    assert_eq!((read.texts.last().map(String::as_str), read.ends), (Some(TEXT), 1), "{read:?}");
    assert!(!read.texts.iter().any(|text| text.contains("harm")), "{read:?}");
    assert_eq!((first.count(), second.count(), third.count()), (1, 1, 1));
    plane.close().await;
}

#[tokio::test]
async fn a_caller_that_waits_is_shown_that_somebody_is_there_where_it_wants_that() {
    let first = Upstream::start(|seen| async move {
        let late = std::time::Duration::from_millis(if seen.number == 2 { 0 } else { 1000 });
        tokio::time::sleep(late).await;
        if seen.number == 1 {
            return whole(400, r#"{"error":{"message":"too odd","type":"invalid_request_error","code":"odd"}}"#);
        }
        let end = chunk("big", &json!({}), Some("stop")) + "data: [DONE]\n\n";
        stream("text/event-stream", words("big", TEXT) + &end)
    })
    .await;
    let config = PATHS.replace("gap: 1s", "gap: 1s, heartbeat: 200ms");
    let plane = Plane::start(&fill(&config, &[("first", &first.addr)]));
    let asked = async |body: &str| {
        let request = post("/v1/chat/completions", &[("x-request-id", "mine")], body.to_owned());
        let answer = ask(plane.addr(), request).await;
        let beats = String::from_utf8_lossy(&answer.body).matches(": keep-alive\n\n").count();
        (answer, beats)
    };
    let (answer, beats) = asked(ASKED).await;
    assert_eq!(
        (answer.status, answer.header("content-type"), answer.header("x-request-id")),
        (200, "text/event-stream", "mine")
    );
    let all = read(&answer.body);
    assert_eq!((all.texts.as_slice(), all.ends, all.errors.len()), ([TEXT.to_owned()].as_slice(), 1, 0), "{all:?}");
    assert!((2..=5).contains(&beats), "{beats}");
    assert!(answer.body.starts_with(b": keep-alive\n\n"));
    // What had another status is told in the stream.
    let (answer, beats) = asked(ASKED).await;
    let told = read(&answer.body);
    assert_eq!((answer.status, told.ends, told.errors), (200, 0, vec!["odd".to_owned()]));
    assert!(beats >= 2 && String::from_utf8_lossy(&answer.body).contains("too odd"));
    plane.counted("mainstay_requests", &[("code", "400")], 1).await;
    // What comes in time is as it was, and nobody else is shown anything.
    let (answer, beats) = asked(ASKED).await;
    assert_eq!((answer.facts(), beats), ((200, "0", "false", "1", ""), 0));
    let (answer, beats) = asked(&ASKED.replace("true", "false")).await;
    assert_eq!((answer.status, answer.header("x-mainstay-level"), beats), (200, "0", 0));
    plane.close().await;
}

/// A host that is gone takes no connection, and is no model that says nothing: its neighbour is asked.
#[tokio::test]
async fn an_endpoint_that_takes_no_connection_has_its_neighbour_asked() {
    // Once the line of those that wait to be accepted is full, nobody answers whoever knocks.
    let full = tokio::net::TcpSocket::new_v4().unwrap();
    full.bind(std::net::SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let full = full.listen(1).unwrap();
    let address = full.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(Ok(one)) =
        tokio::time::timeout(std::time::Duration::from_millis(300), tokio::net::TcpStream::connect(address)).await
    {
        waiting.push(one);
        assert!(waiting.len() < 64, "the line has no end");
    }
    let good = Upstream::start(|_| async { whole(200, GOOD) }).await;
    let config = PATHS.replace(
        "url: 'http://$first', protocol: openai,",
        "endpoints: ['http://$full', 'http://$first'], connect_timeout: 200ms, protocol: openai,",
    );
    let plane = Plane::start(&fill(&config, &[("full", &address), ("first", &good.addr)]));
    let mut attempts = 0;
    for _ in 0..12 {
        let answer = ask(plane.addr(), post("/v1/chat/completions", &[], ASKED.replace("true", "false"))).await;
        assert_eq!(answer.header("x-mainstay-level"), "0", "{}", answer.header("x-mainstay-reason"));
        attempts += answer.header("x-mainstay-attempts").parse::<u32>().unwrap();
    }
    assert!(attempts > 12, "the one that is full was never asked");
    plane.close().await;
}

//! Ladders of language models whose backends speak another dialect than their callers, or answer in another way than asked.

use std::sync::{Arc, Mutex};

use http_body_util::BodyExt;
use serde_json::{Value, json as value};

use crate::support::upstream::parts;
use crate::support::{Caller, Flow, Plane, Upstream, ask, fill, json, post, soon};

const MIXED: &str = r"
backends:
  gpt: { url: 'http://$gpt', protocol: openai, model: gpt, limit: none, retry: { attempts: 1 }, breaker: { consecutive: 1000 } }
  claude: { url: 'http://$claude', protocol: anthropic, keys: [env:OURS], model: claude, prefill: true, limit: none, retry: { attempts: 1 }, breaker: { consecutive: 1000 } }
routes:
  - name: chat
    path: /v1/chat/completions
    deadline: 10s
    stream: { buffer: { tokens: 1 }, after_commit: continue }
    ladder:
      - { level: 0, backend: gpt }
      - { level: 1, backend: claude }
      - { level: 4, respond: { text: 'Later, please.' } }
  - name: messages
    path: /v1/messages
    deadline: 10s
    stream: { buffer: { tokens: 1 }, after_commit: restart }
    ladder:
      - { level: 0, backend: gpt }
      - { level: 1, backend: claude }
      - { level: 4, respond: { text: 'Later, please.' } }
";

const GPT: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-9","choices":[{"index":0,"message":{"role":"assistant","content":"Hi","tool_calls":[{"id":"call_1","type":"function","function":{"name":"look","arguments":"{\"at\":1}"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#;
const CLAUDE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-9","content":[{"type":"text","text":"Hi"}],"stop_reason":"max_tokens","usage":{"input_tokens":3,"output_tokens":2}}"#;
const CLAUDE_STREAM: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-9\",\"content\":[],\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n\
event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n\
event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" there\"}}\n\n\
event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n\
event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\n\
event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
const GPT_BEGINS: &str = "data: {\"id\":\"c\",\"model\":\"gpt-9\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Hi\"}}]}\n\n";

fn busy() -> http::Response<Flow> {
    json(503, r#"{"error":{"message":"overloaded"}}"#)
}

fn stream(text: &'static str) -> http::Response<Flow> {
    let (sender, answer) = parts("text/event-stream");
    sender.send(Ok(text.into())).expect("it is read");
    answer
}

async fn plane(gpt: fn() -> http::Response<Flow>, claude: fn() -> http::Response<Flow>) -> (Plane, Upstream, Upstream) {
    let gpt = Upstream::start(move |_| async move { gpt() }).await;
    let claude = Upstream::start(move |_| async move { claude() }).await;
    (Plane::start(&fill(MIXED, &[("gpt", &gpt.addr), ("claude", &claude.addr)])), gpt, claude)
}

fn chat(body: &Value) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    let callers = [("authorization", "Bearer the-callers-own"), ("openai-organization", "o")];
    post("/v1/chat/completions?beta=1", &callers, body.to_string())
}

fn messages(body: &Value) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    let callers = [("x-api-key", "the-callers-own"), ("anthropic-version", "2023-06-01"), ("anthropic-beta", "b")];
    post("/v1/messages", &callers, body.to_string())
}

fn said(events: &str) -> String {
    let data = events.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    let read = data.map(|data| serde_json::from_str::<Value>(data).expect("JSON"));
    let text = |event: Value| {
        let found = [&event["choices"][0]["delta"]["content"], &event["delta"]["text"]];
        found.into_iter().find_map(Value::as_str).unwrap_or_default().to_owned()
    };
    read.map(text).collect()
}

#[tokio::test]
async fn a_chat_of_openais_is_answered_by_anthropics_model() {
    let (plane, _gpt, claude) = plane(busy, || json(200, CLAUDE)).await;
    let system = value!({"role": "system", "content": "Be kind."});
    let asked = value!({"model": "any", "max_tokens": 7, "messages": [system, {"role": "user", "content": "Hi"}]});
    let answer = ask(plane.addr(), chat(&asked)).await;
    assert_eq!(answer.facts(), (200, "1", "true", "2", "backend_error"));
    let read: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(read["object"], "chat.completion");
    assert_eq!(read["model"], "claude-9");
    assert_eq!(read["choices"][0]["message"]["content"], "Hi");
    assert_eq!((&read["choices"][0]["finish_reason"], &read["usage"]["total_tokens"]), (&value!("length"), &value!(5)));
    let seen = claude.only();
    assert_eq!(seen.path, "/v1/messages");
    assert_eq!((seen.header("x-api-key"), seen.header("anthropic-version")), ("OURS", "2023-06-01"));
    assert_eq!((seen.header("authorization"), seen.header("openai-organization")), ("", ""));
    assert_eq!(seen.header("x-mainstay-attempt"), "2");
    let sent = seen.json();
    assert_eq!(
        (&sent["system"], &sent["model"], &sent["max_tokens"]),
        (&value!("Be kind."), &value!("claude"), &value!(7))
    );
    plane.close().await;
}

#[tokio::test]
async fn a_message_of_anthropics_is_answered_by_openais_model() {
    let (plane, gpt, _claude) = plane(|| json(200, GPT), busy).await;
    let asked = value!({"model": "any", "max_tokens": 7, "messages": [{"role": "user", "content": "Hi"}]});
    let answer = ask(plane.addr(), messages(&asked)).await;
    assert_eq!(answer.facts(), (200, "0", "false", "1", ""));
    let read: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(
        (&read["type"], &read["model"], &read["stop_reason"]),
        (&value!("message"), &value!("gpt-9"), &value!("tool_use"))
    );
    assert_eq!(read["content"][1]["input"], value!({"at": 1}));
    assert_eq!(read["usage"], value!({"input_tokens": 3, "output_tokens": 2}));
    let seen = gpt.only();
    assert_eq!(seen.path, "/v1/chat/completions");
    // The caller's key is for the provider whose dialect it speaks.
    for header in ["authorization", "x-api-key", "anthropic-version", "anthropic-beta", "x-mainstay-attempt"] {
        assert_eq!(seen.header(header), "", "{header}");
    }
    plane.close().await;
}

#[tokio::test]
async fn streams_are_read_in_the_backends_dialect_and_shown_in_the_callers() {
    let (plane, _gpt, _claude) = plane(busy, || stream(CLAUDE_STREAM)).await;
    let asked = value!({"model": "any", "stream": true, "stream_options": {"include_usage": true}, "messages": [{"role": "user", "content": "Hi"}]});
    let answer = ask(plane.addr(), chat(&asked)).await;
    let text = std::str::from_utf8(&answer.body).expect("text");
    assert_eq!((answer.status, answer.header("x-mainstay-level")), (200, "1"), "{text}");
    assert_eq!(said(text), " there");
    assert!(text.ends_with("data: [DONE]\n\n") && text.contains("\"prompt_tokens\":3"), "{text}");
    assert!(!text.contains("message_start"), "{text}");
    plane.close().await;
}

/// What a caller reads of a stream of OpenAI's that is cut once the caller has its beginning, and what Anthropic's backend was asked.
async fn cut(request: http::Request<http_body_util::Full<bytes::Bytes>>) -> (String, Value) {
    let (sender, answer) = parts("text/event-stream");
    let answer = Arc::new(Mutex::new(Some(answer)));
    let gpt = Upstream::start(move |_| {
        let answer = answer.lock().expect("nobody panics with it").take().expect("it is asked once");
        async move { answer }
    })
    .await;
    let claude = Upstream::start(|_| async { stream(CLAUDE_STREAM) }).await;
    let plane = Plane::start(&fill(MIXED, &[("gpt", &gpt.addr), ("claude", &claude.addr)]));
    let mut caller = Caller::connect(plane.addr()).await;
    sender.send(Ok(GPT_BEGINS.into())).expect("it is read");
    let mut response = soon("a head", caller.begin(request)).await.expect("it comes");
    let first = soon("a part", response.body_mut().frame()).await.expect("it comes").expect("it is whole");
    sender.send(Err(std::io::Error::other("cut"))).expect("it is read");
    let rest = soon("the end", response.into_body().collect()).await.expect("it is whole").to_bytes();
    let read = [first.into_data().expect("data"), rest].concat();
    drop(caller);
    plane.close().await;
    (String::from_utf8(read).expect("text"), claude.only().json())
}

#[tokio::test]
async fn the_other_provider_goes_on_where_the_first_broke_off() {
    let asked = value!({"model": "any", "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
    let (text, asked_of_claude) = cut(chat(&asked)).await;
    assert_eq!(said(&text), "Hi there", "{text}");
    assert!(text.ends_with("data: [DONE]\n\n") && !text.contains("\"error\""), "{text}");
    assert_eq!(asked_of_claude["messages"][1]["content"][0]["text"], "Hi", "it goes on from there");

    // Anthropic's callers are told that it begins again, as their route has it.
    let asked =
        value!({"model": "any", "stream": true, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
    let (text, asked_of_claude) = cut(messages(&asked)).await;
    assert!(text.contains("event: mainstay_restart"), "{text}");
    assert!(text.trim_end().ends_with("{\"type\":\"message_stop\"}"), "{text}");
    assert_eq!(said(&text), "Hi there");
    assert_eq!(asked_of_claude["messages"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_whole_answer_to_a_request_for_a_stream_becomes_one() {
    let (plane, _gpt, _claude) = plane(|| json(200, GPT), busy).await;
    let asked =
        value!({"model": "any", "stream": true, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
    let answer = ask(plane.addr(), chat(&asked)).await;
    let text = std::str::from_utf8(&answer.body).expect("text");
    assert_eq!(answer.facts(), (200, "0", "false", "1", ""), "{text}");
    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert!(said(text) == "Hi" && text.contains("call_1") && text.ends_with("data: [DONE]\n\n"), "{text}");
    let answer = ask(plane.addr(), messages(&asked)).await;
    let text = std::str::from_utf8(&answer.body).expect("text");
    assert!(said(text) == "Hi" && text.contains("input_json_delta") && text.contains("message_stop"), "{text}");
    plane.close().await;
}

#[tokio::test]
async fn refusals_come_in_the_callers_dialect_and_what_cannot_be_translated_is_passed() {
    let (plane, _gpt, claude) = plane(busy, || {
        json(400, r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 > 8"}}"#)
    })
    .await;
    let asked = value!({"model": "any", "messages": [{"role": "user", "content": "Hi"}]});
    let answer = ask(plane.addr(), chat(&asked)).await;
    assert_eq!(answer.status, 400);
    let read: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(read["error"]["code"], "context_length_exceeded");
    assert_eq!(read["error"]["message"], "prompt is too long: 9 > 8");
    // Two choices at once are nothing that Anthropic's dialect has.
    let asked = value!({"model": "any", "n": 2, "messages": [{"role": "user", "content": "Hi"}]});
    let answer = ask(plane.addr(), chat(&asked)).await;
    assert_eq!((answer.status, answer.header("x-mainstay-level")), (200, "4"));
    assert_eq!(claude.count(), 1);
    plane.counted("mainstay_answer_failures", &[("reason", "untranslatable")], 1).await;
    plane.close().await;
}

#[tokio::test]
async fn a_filters_refusal_is_an_answer_unless_the_route_has_others_asked() {
    let refuses = || json(400, r#"{"error":{"code":"content_policy_violation","message":"no"}}"#);
    let gpt = Upstream::start(move |_| async move { refuses() }).await;
    let claude = Upstream::start(|_| async { json(200, CLAUDE) }).await;
    let config = fill(MIXED, &[("gpt", &gpt.addr), ("claude", &claude.addr)]);
    let asked = value!({"model": "any", "messages": [{"role": "user", "content": "Hi"}]});
    let plane = Plane::start(&config);
    assert_eq!(ask(plane.addr(), chat(&asked)).await.status, 400);
    plane.close().await;
    let plane = Plane::start(&config.replacen("deadline: 10s", "deadline: 10s\n    on_content_refusal: next", 1));
    assert_eq!(ask(plane.addr(), chat(&asked)).await.facts(), (200, "1", "true", "2", "content_refused"));
    plane.close().await;
}

#[tokio::test]
async fn the_models_of_the_ladders_are_listed_in_either_shape() {
    let (plane, _gpt, _claude) = plane(busy, busy).await;
    let get = |path: &str, header: &'static str| {
        let request = http::Request::get(path).header("host", "test").header(header, "2023-06-01");
        ask(plane.addr(), request.body(http_body_util::Full::default()).expect("a request"))
    };
    let answer = get("/v1/models", "x-other").await;
    let read: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let ids: Vec<_> =
        read["data"].as_array().expect("a list").iter().filter_map(|model| model["id"].as_str()).collect();
    assert_eq!((answer.status, ids), (200, vec!["gpt", "claude"]), "{read}");
    let answer = get("/v1/models/claude", "anthropic-version").await;
    let read: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!((&read["type"], &read["display_name"]), (&value!("model"), &value!("claude")));
    assert_eq!(get("/v1/models/other", "x-other").await.status, 404);
    assert_eq!(get("/v2/models", "x-other").await.status, 404);
    plane.close().await;
}

#[tokio::test]
async fn tokens_are_counted_and_responses_given_by_their_own_provider_as_they_are() {
    let claude = Upstream::start(|_| async { json(200, r#"{"input_tokens": 14}"#) }).await;
    let gpt = Upstream::start(|_| async { stream("event: response.created\ndata: {\"type\":\"response.created\"}\n\nevent: response.completed\ndata: {\"type\":\"response.completed\"}\n\n") }).await;
    let config = r"
backends:
  gpt: { url: 'http://$gpt', protocol: openai, keys: [env:OURS], model: gpt, limit: none }
  claude: { url: 'http://$claude', protocol: anthropic, keys: [env:OURS], model: claude, limit: none }
routes:
  - { name: count, path: /v1/messages/count_tokens, deadline: 5s, ladder: [{ level: 0, backend: claude }, { level: 4, respond: { body: { input_tokens: 0 } } }] }
  - { name: responses, path: /v1/responses, deadline: 5s, ladder: [{ level: 0, backend: gpt }, { level: 4, respond: { text: Later. } }] }
";
    let plane = Plane::start(&fill(config, &[("gpt", &gpt.addr), ("claude", &claude.addr)]));
    let asked = value!({"model": "any", "messages": [{"role": "user", "content": "Hi"}]});
    let answer = ask(plane.addr(), post("/v1/messages/count_tokens", &[], asked.to_string())).await;
    assert_eq!(answer.facts(), (200, "0", "false", "1", ""));
    assert_eq!(&answer.body[..], br#"{"input_tokens": 14}"#);
    assert_eq!((claude.only().header("x-api-key"), &claude.only().json()["model"]), ("OURS", &value!("claude")));
    let asked = value!({"model": "any", "input": "Hi", "stream": true});
    let answer = ask(plane.addr(), post("/v1/responses", &[], asked.to_string())).await;
    assert_eq!(answer.facts(), (200, "0", "false", "1", ""));
    assert!(answer.body.ends_with(b"data: {\"type\":\"response.completed\"}\n\n"));
    let seen = gpt.only();
    assert_eq!(
        (seen.header("authorization"), &seen.json()["model"], &seen.json()["stream_options"]),
        ("Bearer OURS", &value!("gpt"), &Value::Null)
    );
    plane.close().await;
}

#[tokio::test]
async fn a_model_that_is_asked_in_the_other_dialect_alone_is_translated_too() {
    let (plane, _gpt, claude) = {
        let gpt = Upstream::start(|_| async { busy() }).await;
        let claude = Upstream::start(|_| async { json(200, CLAUDE) }).await;
        let config = fill(MIXED, &[("gpt", &gpt.addr), ("claude", &claude.addr)]);
        (Plane::start(&config.replace("      - { level: 0, backend: gpt }\n", "")), gpt, claude)
    };
    let asked = value!({"model": "any", "messages": [{"role": "user", "content": "Hi"}]});
    assert_eq!(ask(plane.addr(), chat(&asked)).await.status, 200);
    assert_eq!(claude.only().path, "/v1/messages");
    plane.close().await;
}

#[tokio::test]
async fn a_caller_that_hears_nothing_for_long_in_the_middle_gets_a_sign_of_life_in_its_dialect() {
    for (path, sign) in
        [("chat", &b": keep-alive\n\n"[..]), ("messages", &b"event: ping\ndata: {\"type\":\"ping\"}\n\n"[..])]
    {
        let (sender, answer) = parts("text/event-stream");
        let answer = Arc::new(Mutex::new(Some(answer)));
        let gpt = Upstream::start(move |_| {
            let answer = answer.lock().expect("nobody panics with it").take().expect("it is asked once");
            async move { answer }
        })
        .await;
        let config = fill(MIXED, &[("gpt", &gpt.addr), ("claude", &gpt.addr)]);
        let config = config.replace("deadline: 10s", "deadline: 60s").replace("stream: {", "stream: { gap: 50s,");
        let plane = Plane::start(&config);
        let mut caller = Caller::connect(plane.addr()).await;
        sender.send(Ok(GPT_BEGINS.into())).expect("it is read");
        let asked = value!({"stream": true, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
        let request = if path == "chat" { chat(&asked) } else { messages(&asked) };
        let mut response = soon("a head", caller.begin(request)).await.expect("it comes");
        soon("a part", response.body_mut().frame()).await.expect("it comes").expect("it is whole");
        let next = soon("a sign of life", response.body_mut().frame()).await.expect("it comes").expect("it is whole");
        assert_eq!(next.into_data().expect("data"), sign, "{path}");
        drop((response, caller));
        plane.close().await;
    }
}

use serde_json::{Value, json};

use super::super::Dialect;
use super::super::delta::{Reader, Said, Told};
use super::super::sse::Parser;
use super::*;

fn read(dialect: Dialect, body: &Value) -> Result<Whole, Fault> {
    Whole::read(dialect, body.to_string().as_bytes())
}

fn written(whole: &Whole, dialect: Dialect) -> Value {
    serde_json::from_slice(&whole.write(dialect, "r-1", 5)).unwrap()
}

fn chat() -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 5, "model": "big",
        "choices": [{"index": 0, "logprobs": null, "finish_reason": "tool_calls", "message": {
            "role": "assistant", "content": "I look.", "refusal": null, "reasoning_content": "Hm.",
            "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{\"at\":\"it\"}"}}]}}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 8, "total_tokens": 15},
    })
}

fn message() -> Value {
    json!({
        "id": "chatcmpl-1", "type": "message", "role": "assistant", "model": "big",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": ""},
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "call_1", "name": "look", "input": {"at": "it"}}],
        "stop_reason": "tool_use", "stop_sequence": null, "usage": {"input_tokens": 7, "output_tokens": 8},
    })
}

#[test]
fn answers_cross_dialects_in_both_directions() {
    let whole = read(Dialect::OpenaiChat, &chat()).unwrap();
    assert_eq!(written(&whole, Dialect::OpenaiChat), chat());
    assert_eq!(written(&whole, Dialect::AnthropicMessages), message());
    let whole = read(Dialect::AnthropicMessages, &message()).unwrap();
    assert_eq!(written(&whole, Dialect::OpenaiChat), chat());
    assert_eq!(written(&whole, Dialect::AnthropicMessages), message());
}

#[test]
fn tokens_that_a_cache_spared_are_tokens_of_the_request() {
    let mut body = message();
    body["usage"]["cache_read_input_tokens"] = json!(90);
    body["usage"]["cache_creation_input_tokens"] = json!(3);
    assert_eq!(read(Dialect::AnthropicMessages, &body).unwrap().usage.input, Some(100));
}

#[test]
fn silence_is_no_answer_and_a_stop_by_something_else_is_one() {
    let judged = |dialect, body: &Value| read(dialect, body).and_then(|whole| whole.judge());
    let choice =
        |message: Value, finish: Value| json!({"choices": [{"index": 0, "message": message, "finish_reason": finish}]});
    let nothing = json!({"role": "assistant", "content": ""});
    for silent in [
        json!({"choices": []}),
        json!({"choices": [{}]}),
        choice(nothing.clone(), json!("stop")),
        choice(nothing.clone(), Value::Null),
        choice(json!({"content": null, "tool_calls": []}), json!("stop")),
    ] {
        assert_eq!(judged(Dialect::OpenaiChat, &silent), Err(Fault::Silent), "{silent}");
    }
    for answer in [
        choice(nothing.clone(), json!("length")),
        choice(nothing, json!("content_filter")),
        choice(json!({"content": null, "refusal": "No."}), json!("stop")),
        json!({"choices": [{"text": "Hi", "finish_reason": "stop"}]}),
    ] {
        assert_eq!(judged(Dialect::OpenaiChat, &answer), Ok(()), "{answer}");
    }
    for cut in [Value::Null, json!("abort"), json!("error"), json!("insufficient_system_resource")] {
        assert_eq!(judged(Dialect::OpenaiChat, &choice(json!({"content": "Hi"}), cut)), Err(Fault::Cut));
    }
    let empty = json!({"type": "message", "content": [], "stop_reason": "end_turn"});
    assert_eq!(judged(Dialect::AnthropicMessages, &empty), Err(Fault::Silent));
    assert_eq!(judged(Dialect::AnthropicMessages, &message()), Ok(()));
}

#[test]
fn what_is_no_answer_is_told_from_an_error() {
    assert_eq!(Whole::read(Dialect::OpenaiChat, b"<html>"), Err(Fault::Malformed));
    assert_eq!(Whole::read(Dialect::OpenaiChat, b"{\"choices\":"), Err(Fault::Malformed));
    assert_eq!(read(Dialect::OpenaiChat, &json!([])), Err(Fault::Malformed));
    let error = json!({"error": {"type": "server_error", "code": 503, "message": "m"}});
    let told = Told { kind: "server_error".into(), code: "503".into(), message: "m".into() };
    assert_eq!(read(Dialect::OpenaiChat, &error), Err(Fault::Told(told)));
}

#[test]
fn a_stream_gathers_to_the_whole_answer() {
    let stream = [
        json!({"id": "chatcmpl-1", "model": "big", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}),
        json!({"choices": [{"index": 0, "delta": {"reasoning_content": "Hm."}}]}),
        json!({"choices": [{"index": 0, "delta": {"content": "I "}}]}),
        json!({"choices": [{"index": 0, "delta": {"content": "look."}}]}),
        json!({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "look", "arguments": ""}}]}}]}),
        json!({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{\"at\":"}}]}}]}),
        json!({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "\"it\"}"}}]}}]}),
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}),
        json!({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 8}}),
    ];
    let stream = stream.map(|chunk| format!("data: {chunk}\n\n")).concat();
    let gather = |bytes_max| {
        let (mut whole, mut reader, mut parts) = (Whole::default(), Reader::new(Dialect::OpenaiChat), Vec::new());
        let read = Parser::default().push(stream.as_bytes(), &mut |mut event| match reader.read(&mut event) {
            Said::Part(part) => parts.push(part),
            other => panic!("{other:?}"),
        });
        read.unwrap();
        parts.into_iter().try_for_each(|part| whole.take(part, bytes_max)).map(|()| whole)
    };
    assert_eq!(written(&gather(1000).unwrap(), Dialect::OpenaiChat), chat());
    assert_eq!(gather(10), Err(Fault::TooLong));
}

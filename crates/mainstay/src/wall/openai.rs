//! Chat completions, as OpenAI's API shapes them.

use serde_json::{Value, json};

use super::dialect::{Trouble, Usage};

const CREATED: u64 = 1_700_000_000;

fn usage(usage: Usage) -> Value {
    let Usage { prompt, completion } = usage;
    json!({ "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion })
}

pub(super) fn whole(model: &str, text: &str, counted: Usage) -> Value {
    let message = json!({ "role": "assistant", "content": text, "refusal": null });
    json!({
        "id": "chatcmpl-wall", "object": "chat.completion", "created": CREATED, "model": model,
        "choices": [{ "index": 0, "message": message, "logprobs": null, "finish_reason": "stop" }],
        "usage": usage(counted),
    })
}

fn chunk(model: &str, choices: &Value, more: Option<Value>) -> Vec<u8> {
    let mut chunk = json!({
        "id": "chatcmpl-wall", "object": "chat.completion.chunk", "created": CREATED, "model": model, "choices": choices,
    });
    if let (Some(counted), Some(fields)) = (more, chunk.as_object_mut()) {
        fields.insert("usage".to_owned(), counted);
    }
    format!("data: {chunk}\n\n").into_bytes()
}

fn choice(delta: &Value, finish: Option<&str>) -> Value {
    json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish }])
}

/// The role alone: the first chunk is not the first token.
pub(super) fn opening(model: &str) -> Vec<Vec<u8>> {
    vec![chunk(model, &choice(&json!({ "role": "assistant", "content": "" }), None), None)]
}

pub(super) fn token(model: &str, text: &str) -> Vec<u8> {
    chunk(model, &choice(&json!({ "content": text }), None), None)
}

pub(super) fn closing(model: &str, counted: Usage, include_usage: bool) -> Vec<Vec<u8>> {
    let mut events = vec![chunk(model, &choice(&json!({}), Some("stop")), None)];
    if include_usage {
        events.push(chunk(model, &json!([]), Some(usage(counted))));
    }
    events
}

pub(super) fn error(trouble: Trouble, message: &str) -> Value {
    let (kind, code) = match trouble {
        Trouble::RateLimit => ("rate_limit_error", Some("rate_limit_exceeded")),
        Trouble::Server => ("server_error", None),
        Trouble::Overloaded => ("server_error", Some("server_is_overloaded")),
        Trouble::ContextLength => ("invalid_request_error", Some("context_length_exceeded")),
        Trouble::ContentPolicy => ("invalid_request_error", Some("content_policy_violation")),
        Trouble::NotFound => ("invalid_request_error", Some("model_not_found")),
        Trouble::Prefill => ("invalid_request_error", None),
    };
    json!({ "error": { "message": message, "type": kind, "param": null, "code": code } })
}

//! Messages, as Anthropic's API shapes them.

use serde_json::{Value, json};

use super::dialect::{Trouble, Usage};

fn event(name: &str, data: &Value) -> Vec<u8> {
    format!("event: {name}\ndata: {data}\n\n").into_bytes()
}

fn message(model: &str, content: &Value, stop: Option<&str>, usage: &Value) -> Value {
    json!({
        "id": "msg_wall", "type": "message", "role": "assistant", "model": model, "content": content,
        "stop_reason": stop, "stop_sequence": null, "usage": usage,
    })
}

pub(super) fn whole(model: &str, text: &str, counted: Usage) -> Value {
    let usage = json!({ "input_tokens": counted.prompt, "output_tokens": counted.completion });
    message(model, &json!([{ "type": "text", "text": text }]), Some("end_turn"), &usage)
}

/// The message without content, its first block without text, and a ping.
pub(super) fn opening(model: &str, counted: Usage) -> Vec<Vec<u8>> {
    let empty = message(model, &json!([]), None, &json!({ "input_tokens": counted.prompt, "output_tokens": 1 }));
    let block = json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } });
    vec![
        event("message_start", &json!({ "type": "message_start", "message": empty })),
        event("content_block_start", &block),
        event("ping", &json!({ "type": "ping" })),
    ]
}

pub(super) fn token(text: &str) -> Vec<u8> {
    let delta = json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } });
    event("content_block_delta", &delta)
}

pub(super) fn closing(counted: Usage) -> Vec<Vec<u8>> {
    let end = json!({
        "type": "message_delta", "delta": { "stop_reason": "end_turn", "stop_sequence": null },
        "usage": { "output_tokens": counted.completion },
    });
    vec![
        event("content_block_stop", &json!({ "type": "content_block_stop", "index": 0 })),
        event("message_delta", &end),
    ]
}

pub(super) fn mark() -> Vec<u8> {
    event("message_stop", &json!({ "type": "message_stop" }))
}

pub(super) fn error(trouble: Trouble, message: &str) -> Value {
    let kind = match trouble {
        Trouble::RateLimit => "rate_limit_error",
        Trouble::Server => "api_error",
        Trouble::Overloaded => "overloaded_error",
        Trouble::NotFound => "not_found_error",
        Trouble::ContextLength | Trouble::ContentPolicy | Trouble::Prefill => "invalid_request_error",
    };
    json!({ "type": "error", "error": { "type": kind, "message": message }, "request_id": "req_wall" })
}

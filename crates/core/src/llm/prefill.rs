//! A request that lets another backend go on with an answer that has begun.

use serde_json::{Map, Value, json};

use super::Dialect;

/// The request's body with what was said so far as the assistant's last message; `None`: it cannot be put so.
///
/// A request with tools or for JSON is not continued: what was said so far may stand in the middle of either.
///
/// ```
/// use mainstay_core::llm::{Dialect, prefill::with_prefill};
///
/// let body = br#"{"model":"m","messages":[{"role":"user","content":"Count."}]}"#;
/// let body = with_prefill(Dialect::OpenaiChat, body, "One, two").unwrap();
/// let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
/// assert_eq!(body["messages"][1]["content"], "One, two");
/// ```
pub fn with_prefill(dialect: Dialect, body: &[u8], so_far: &str) -> Option<Vec<u8>> {
    let mut body: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let is_set = |name: &str| {
        body.get(name).is_some_and(|value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()))
    };
    let structured =
        body.get("response_format").and_then(|format| format.get("type")).is_some_and(|kind| kind != "text");
    if dialect == Dialect::OpenaiCompletions || is_set("tools") || is_set("functions") || structured {
        return None;
    }
    let messages = body.get_mut("messages")?.as_array_mut()?;
    // Anthropic refuses a started answer that ends in white space.
    let so_far = if dialect == Dialect::AnthropicMessages { so_far.trim_end() } else { so_far };
    messages.push(json!({"role": "assistant", "content": so_far}));
    serde_json::to_vec(&body).ok()
}

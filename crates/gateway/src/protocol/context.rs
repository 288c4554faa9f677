//! A chat without its oldest turns, for a model or a budget that takes less.

use bytes::Bytes;
use mainstay_core::answer::context::{Message, PER_ATTACHMENT, Role, fit, tokens};
use serde_json::value::RawValue;

use crate::json::{self, JsonError};

/// Why a chat cannot be made to fit.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ContextError {
    /// The body is not JSON.
    #[error("the request's body is {0}")]
    Json(#[from] JsonError),
    /// The body holds no list of messages.
    #[error("the request has no messages")]
    NoMessages,
    /// What is never left out is more than that.
    #[error("the system's messages and the last turn alone are longer than the context")]
    TooLong,
}

/// The body with as many of its oldest turns left out as make it fit `max` tokens, by the estimate of
/// [`mainstay_core::answer::context`]; every other byte as it was.
///
/// ```
/// use bytes::Bytes;
/// use mainstay_gateway::protocol::body_with_context;
///
/// let body = Bytes::from_static(
///     br#"{"model":"m","messages":[{"role":"system","content":"be kind"},{"role":"user","content":"long ago"},{"role":"user","content":"now"}]}"#,
/// );
/// let fitted = body_with_context(&body, 18).unwrap();
/// assert_eq!(&fitted[..], br#"{"model":"m","messages":[{"role":"system","content":"be kind"},{"role":"user","content":"now"}]}"#);
/// assert_eq!(body_with_context(&body, 1000).unwrap(), body);
/// ```
pub fn body_with_context(body: &Bytes, max: u64) -> Result<Bytes, ContextError> {
    let [messages, tools, functions, format] =
        json::fields(body, ["messages", "tools", "functions", "response_format"])?;
    let messages = messages.ok_or(ContextError::NoMessages)?;
    let list = json::elements(messages.get().as_bytes())?.ok_or(ContextError::NoMessages)?;
    let read: Vec<Message> = list.iter().map(|raw| message(raw)).collect::<Result<_, _>>()?;
    let besides = [tools, functions, format].into_iter().flatten().map(|raw| tokens(raw.get())).sum();
    let kept = fit(&read, besides, max).ok_or(ContextError::TooLong)?;
    if kept.stays.iter().all(|stays| *stays) {
        return Ok(body.clone());
    }
    let mut fitted = String::with_capacity(messages.get().len());
    for (raw, _) in list.iter().zip(&kept.stays).filter(|(_, stays)| **stays) {
        fitted.push(if fitted.is_empty() { '[' } else { ',' });
        fitted.push_str(raw.get());
    }
    fitted.push(']');
    Ok(json::splice(body, json::span(body, messages), &[fitted.as_bytes()]))
}

fn message(raw: &RawValue) -> Result<Message, JsonError> {
    let [role, content, calls] = json::fields(raw.get().as_bytes(), ["role", "content", "tool_calls"])?;
    let role = role.and_then(json::string).map_or(Role::Other, |role| Role::of(&role));
    let said = match content {
        Some(content) => match json::string(content) {
            Some(text) => tokens(&text),
            None => parts(content)?,
        },
        None => 0,
    };
    Ok(Message { role, tokens: said + calls.map_or(0, |calls| tokens(calls.get())) })
}

/// Parts of text by their length, others by a fixed number.
fn parts(content: &RawValue) -> Result<u64, JsonError> {
    let mut sum = 0;
    for part in json::elements(content.get().as_bytes())?.unwrap_or_default() {
        let [text] = json::fields(part.get().as_bytes(), ["text"])?;
        sum += text.and_then(json::string).map_or(PER_ATTACHMENT, |text| tokens(&text));
    }
    Ok(sum)
}

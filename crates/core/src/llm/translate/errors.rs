//! A provider's error in the caller's dialect.

use serde_json::{Value, json};

use super::super::Dialect;
use super::super::delta::Told;
use super::super::taxonomy::{self, Kind};
use super::text;

/// Longest message of a provider that is passed on, in characters.
const MESSAGE_MAX: usize = 2000;

/// What a body says of an error: OpenAI's, Azure's and Anthropic's `error` object, an `error` that is a text, vLLM's bare object,
/// the `detail` of many Python servers.
///
/// ```
/// use mainstay_core::llm::translate::told;
///
/// let body = serde_json::json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
/// assert_eq!(told(&body).kind, "overloaded_error");
/// assert_eq!(told(&serde_json::json!({"detail": "Not Found"})).message, "Not Found");
/// ```
pub fn told(body: &Value) -> Told {
    let error = match &body["error"] {
        Value::Null => body,
        error => error,
    };
    let message = [&error["message"], error, &error["detail"]].into_iter().find_map(Value::as_str).unwrap_or_default();
    let code = match &error["code"] {
        Value::Null => String::new(),
        Value::String(code) => code.clone(),
        other => other.to_string(),
    };
    Told { kind: text(&error["type"]).to_owned(), code, message: message.chars().take(MESSAGE_MAX).collect() }
}

/// The body of an error of this kind in a dialect; [`super::super::taxonomy::status`] has the status that goes with it.
///
/// ```
/// use mainstay_core::llm::delta::Told;
/// use mainstay_core::llm::taxonomy::Kind;
/// use mainstay_core::llm::{Dialect, translate::error};
///
/// let told = Told { message: "prompt is too long: 9 > 8".into(), ..Told::default() };
/// let body: serde_json::Value = serde_json::from_slice(&error(Dialect::OpenaiChat, Kind::Context, &told, "r-1")).unwrap();
/// assert_eq!(body["error"]["code"], "context_length_exceeded");
/// ```
pub fn error(dialect: Dialect, kind: Kind, told: &Told, request_id: &str) -> Vec<u8> {
    let message = if told.message.is_empty() { default_message(kind) } else { &told.message };
    let body = match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiCompletions => {
            let (word, code) = openai(kind);
            json!({"error": {"message": message, "type": word, "param": null, "code": code}})
        }
        Dialect::AnthropicMessages => {
            json!({"type": "error", "error": {"type": anthropic(kind), "message": message}, "request_id": request_id})
        }
    };
    body.to_string().into_bytes()
}

/// A backend's answer with an error's status, as a caller of this dialect is used to. A status that only says that the caller made a mistake stays.
///
/// ```
/// use mainstay_core::llm::{Dialect, translate::error_answer};
///
/// let body = br#"{"type":"error","error":{"type":"not_found_error","message":"model: none"}}"#;
/// let (status, body) = error_answer(Dialect::OpenaiChat, 404, body, "r-1");
/// assert_eq!(status, 404);
/// let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
/// assert_eq!(body["error"]["message"], "model: none");
/// ```
pub fn error_answer(dialect: Dialect, status: u16, body: &[u8], request_id: &str) -> (u16, Vec<u8>) {
    let kind = taxonomy::of_answer(status, body).unwrap_or(Kind::Caller);
    let told = serde_json::from_slice::<Value>(body).map(|body| told(&body)).unwrap_or_default();
    let status = if kind == Kind::Caller { status } else { taxonomy::status(dialect, kind) };
    (status, error(dialect, kind, &told, request_id))
}

/// OpenAI's type and code.
const fn openai(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Capacity => ("server_error", "server_is_overloaded"),
        Kind::Rate => ("rate_limit_error", "rate_limit_exceeded"),
        Kind::Spend => ("insufficient_quota", "insufficient_quota"),
        Kind::Auth => ("authentication_error", "invalid_api_key"),
        Kind::Context => ("invalid_request_error", "context_length_exceeded"),
        Kind::Content => ("invalid_request_error", "content_policy_violation"),
        Kind::Caller => ("invalid_request_error", "invalid_request"),
        Kind::Silent | Kind::Cut | Kind::Malformed | Kind::Server => ("server_error", "upstream_error"),
    }
}

/// Anthropic's type.
const fn anthropic(kind: Kind) -> &'static str {
    match kind {
        Kind::Capacity => "overloaded_error",
        Kind::Rate => "rate_limit_error",
        Kind::Spend => "billing_error",
        Kind::Auth => "authentication_error",
        Kind::Context | Kind::Content | Kind::Caller => "invalid_request_error",
        Kind::Silent | Kind::Cut | Kind::Malformed | Kind::Server => "api_error",
    }
}

const fn default_message(kind: Kind) -> &'static str {
    match kind {
        Kind::Capacity => "the model's provider is overloaded",
        Kind::Rate => "the model's provider takes fewer requests",
        Kind::Spend => "the quota at the model's provider is spent",
        Kind::Auth => "the model's provider refuses the key",
        Kind::Context => "the request has more tokens than the model takes",
        Kind::Content => "the model's provider refuses the content",
        Kind::Caller => "the model's provider refuses the request",
        Kind::Silent => "the model said nothing",
        Kind::Cut => "the answer was cut off",
        Kind::Malformed => "the answer could not be read",
        Kind::Server => "the model's provider failed",
    }
}

//! Requests and errors of one dialect in another, for levels whose backend speaks another dialect than their caller.
//!
//! What decides the answer is translated or refused by name. What is only a hint to one provider (caching, storing, seeds, penalties,
//! how hard to think) is left out. Sources: OpenAI's reference of chat completions, Anthropic's of messages.
//!
//! ```
//! use mainstay_core::llm::Dialect;
//! use mainstay_core::llm::translate::{Untranslatable, request};
//!
//! let chat = br#"{"model":"m","messages":[{"role":"system","content":"Be kind."},{"role":"user","content":"Hi"}]}"#;
//! let messages = request(Dialect::OpenaiChat, Dialect::AnthropicMessages, chat).unwrap();
//! let messages: serde_json::Value = serde_json::from_slice(&messages).unwrap();
//! assert_eq!(messages["system"], "Be kind.");
//! assert_eq!(messages["messages"][0]["content"][0]["text"], "Hi");
//!
//! let chat = br#"{"messages":[{"role":"user","content":"Hi"}],"n":2}"#;
//! let refused = request(Dialect::OpenaiChat, Dialect::AnthropicMessages, chat);
//! assert_eq!(refused, Err(Untranslatable::Field("n".to_owned())));
//! ```

mod errors;
#[cfg(test)]
mod tests;
mod to_anthropic;
mod to_openai;

pub use errors::{error, error_answer, told};

use serde_json::{Map, Value};

use super::Dialect;

/// Why something cannot be put in another dialect.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Untranslatable {
    /// It is no JSON object.
    #[error("the body is not a JSON object")]
    NotJson,
    /// The dialects have too little in common, whatever the request.
    #[error("{} cannot be translated to {}", name(*from), name(*to))]
    Dialects {
        /// What the caller speaks.
        from: Dialect,
        /// What the backend speaks.
        to: Dialect,
    },
    /// This part of the request has no counterpart; its name, with slashes where it lies deeper.
    #[error("`{0}` has no counterpart in the backend's dialect")]
    Field(String),
}

/// Whether requests of one dialect can be put in the other at all, for findings of `check`.
///
/// ```
/// use mainstay_core::llm::Dialect;
/// use mainstay_core::llm::translate::translates;
///
/// assert!(translates(Dialect::OpenaiChat, Dialect::AnthropicMessages));
/// assert!(!translates(Dialect::OpenaiCompletions, Dialect::OpenaiChat));
/// ```
pub fn translates(from: Dialect, to: Dialect) -> bool {
    let has_messages = |dialect| match dialect {
        Dialect::OpenaiChat | Dialect::AnthropicMessages => true,
        Dialect::OpenaiCompletions => false,
    };
    from == to || (has_messages(from) && has_messages(to))
}

/// The path, below `/v1`, at which a dialect is spoken.
pub const fn path(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenaiChat => "/chat/completions",
        Dialect::OpenaiCompletions => "/completions",
        Dialect::AnthropicMessages => "/messages",
    }
}

/// A caller's path as one of the backend's dialect: what stands before the dialect's own part stays.
///
/// ```
/// use mainstay_core::llm::Dialect;
/// use mainstay_core::llm::translate::path_in;
///
/// assert_eq!(path_in("/v1/chat/completions", Dialect::AnthropicMessages).as_deref(), Some("/v1/messages"));
/// assert_eq!(path_in("/v1/embeddings", Dialect::AnthropicMessages), None);
/// ```
pub fn path_in(caller: &str, to: Dialect) -> Option<String> {
    let from = Dialect::of_path(caller)?;
    Some(format!("{}{}", caller.strip_suffix(path(from))?, path(to)))
}

/// A request's body in another dialect; in its own it stays as it is. The model's name is left for the caller to put.
///
/// Numbers within a tool's arguments that no 64 bits hold lose digits.
pub fn request(from: Dialect, to: Dialect, body: &[u8]) -> Result<Vec<u8>, Untranslatable> {
    if from == to {
        return Ok(body.to_vec());
    }
    if !translates(from, to) {
        return Err(Untranslatable::Dialects { from, to });
    }
    let body: Map<String, Value> = serde_json::from_slice(body).map_err(|_| Untranslatable::NotJson)?;
    let translated = match to {
        Dialect::AnthropicMessages => to_anthropic::request(&body)?,
        Dialect::OpenaiChat | Dialect::OpenaiCompletions => to_openai::request(&body)?,
    };
    serde_json::to_vec(&translated).map_err(|_| Untranslatable::NotJson)
}

const fn name(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenaiChat => "OpenAI's chat completions",
        Dialect::OpenaiCompletions => "OpenAI's completions",
        Dialect::AnthropicMessages => "Anthropic's messages",
    }
}

/// An object that is being translated.
type Object = Map<String, Value>;

fn refused<T>(field: impl Into<String>) -> Result<T, Untranslatable> {
    Err(Untranslatable::Field(field.into()))
}

/// Refuses each of these fields that asks for something.
fn refuse(body: &Object, fields: &[&str]) -> Result<(), Untranslatable> {
    match fields.iter().find(|field| is_set(body.get(**field))) {
        Some(field) => refused(*field),
        None => Ok(()),
    }
}

/// Whether a field asks for something: neither absent nor null, false, zero or empty.
fn is_set(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => false,
        Some(Value::Bool(is)) => *is,
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Object(fields)) => !fields.is_empty(),
    }
}

/// Puts a field of one under a name of the other, where it is set at all.
fn carry(from: &Object, name: &str, to: &mut Object, as_name: &str) {
    if let Some(value) = from.get(name).filter(|value| !value.is_null()) {
        to.insert(as_name.to_owned(), value.clone());
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

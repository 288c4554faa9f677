//! What of an answer is looked at.

use serde_json::Value;

use super::Why;
use crate::llm::Dialect;
use crate::llm::whole::Whole;

/// Deepest JSON that is looked through: the reader takes no deeper one.
const DEPTH_MAX: usize = 128;

impl Whole {
    /// Everything that it says, a line between two texts: what the model thought, said, refused, and gives to tools.
    pub fn says(&self) -> String {
        let mut all = String::with_capacity(self.bytes() + 16);
        let choices = self.choices.values();
        let texts = choices.flat_map(|choice| {
            let tools = choice.tools.values().flat_map(|call| [&call.name, &call.arguments]);
            [&choice.reasoning, &choice.text, &choice.refusal].into_iter().chain(tools)
        });
        texts.for_each(|text| add(&mut all, text));
        all
    }
}

/// What an answer says: of a language model's dialect its texts, of other JSON every string in it, of anything else that is text all of it.
///
/// ```
/// use mainstay_core::safety::{Why, said};
///
/// assert_eq!(said(None, br#"{"a": "b\u00e9", "c": ["d", 1]}"#).unwrap(), "b\u{e9}\nd");
/// assert_eq!(said(None, b"plain").unwrap(), "plain");
/// assert_eq!(said(None, b"\xff"), Err(Why::Unreadable));
/// ```
pub fn said(dialect: Option<Dialect>, body: &[u8]) -> Result<String, Why> {
    if let Some(dialect) = dialect {
        return Whole::read(dialect, body).map(|whole| whole.says()).map_err(|_| Why::Unreadable);
    }
    let text = std::str::from_utf8(body).map_err(|_| Why::Unreadable)?;
    let Ok(value) = serde_json::from_str::<Value>(text) else { return Ok(text.to_owned()) };
    let mut all = String::new();
    strings(&value, &mut all, DEPTH_MAX);
    Ok(all)
}

fn strings(value: &Value, all: &mut String, depth: usize) {
    let Some(below) = depth.checked_sub(1) else { return };
    match value {
        Value::String(text) => add(all, text),
        Value::Array(items) => items.iter().for_each(|item| strings(item, all, below)),
        Value::Object(fields) => fields.values().for_each(|field| strings(field, all, below)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn add(all: &mut String, text: &str) {
    if text.is_empty() {
        return;
    }
    if !all.is_empty() {
        all.push('\n');
    }
    all.push_str(text);
}

//! What a whole answer says of itself, without a copy of it: for answers that are passed on as they are.

use serde::Deserialize;
use serde_json::Value;

use super::super::answering::Fault;
use super::super::delta::Tokens;
use super::super::translate::told;
use super::super::{Dialect, Finish, Usage};

/// What an answer says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Glance {
    /// Tokens; those of the request include what a cache spared.
    pub usage: Usage,
    /// Why it ended: its first choice, where it has several.
    pub finish: Option<Finish>,
}

/// Reads what any answer of a language model says of itself, embeddings included; nothing of what is no JSON.
///
/// ```
/// use mainstay_core::llm::whole::glance;
///
/// let body = br#"{"data":[],"choices":null,"usage":{"prompt_tokens":7.0,"input_tokens":9}}"#;
/// assert_eq!(glance(body).usage.input, Some(7));
/// ```
pub fn glance(body: &[u8]) -> Glance {
    serde_json::from_slice(body).map_or_else(|_| Glance::default(), |body| of(&body))
}

/// Whether a success with this body is an answer of the dialect at all, and what it says of itself.
///
/// It is none where it is no JSON of the dialect's ([`Fault::Malformed`]), an error ([`Fault::Told`]), where nothing stands in it and nothing
/// says why ([`Fault::Silent`]), or where a choice says that it broke off ([`Fault::Cut`]). Fields that only its provider knows count as
/// something: sounds, pictures, citations.
///
/// ```
/// use mainstay_core::llm::Dialect;
/// use mainstay_core::llm::answering::Fault;
/// use mainstay_core::llm::whole::judge;
///
/// assert_eq!(judge(Dialect::OpenaiChat, b"<html>"), Err(Fault::Malformed));
/// assert_eq!(judge(Dialect::OpenaiChat, br#"{"choices":[]}"#), Err(Fault::Silent));
/// ```
pub fn judge(dialect: Dialect, body: &[u8]) -> Result<Glance, Fault> {
    let body: Value = serde_json::from_slice(body).map_err(|_| Fault::Malformed)?;
    let list = match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiCompletions => &body["choices"],
        Dialect::AnthropicMessages => &body["content"],
    };
    let Some(list) = list.as_array() else {
        return Err(if body["error"].is_null() { Fault::Malformed } else { Fault::Told(told(&body)) });
    };
    let said = of(&body);
    let breaks = |word: &Value| word.as_str().is_some_and(|word| Finish::parse(word).is_break());
    let is_cut = breaks(&body["stop_reason"]) || list.iter().any(|choice| breaks(&choice["finish_reason"]));
    let says_something = match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiCompletions => list.iter().any(|choice| {
            let is_stopped = !matches!(choice["finish_reason"].as_str(), None | Some("" | "stop"));
            is_stopped || is_something(&choice["text"]) || says(&choice["message"], "role")
        }),
        Dialect::AnthropicMessages => {
            let is_stopped = !matches!(said.finish, None | Some(Finish::Stop));
            is_stopped || list.iter().any(|block| says(block, "type"))
        }
    };
    if is_cut {
        Err(Fault::Cut)
    } else if says_something {
        Ok(said)
    } else {
        Err(Fault::Silent)
    }
}

/// Whether an object has anything beside what it is.
fn says(object: &Value, but: &str) -> bool {
    object.as_object().is_some_and(|fields| fields.iter().any(|(name, value)| name != but && is_something(value)))
}

fn is_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    }
}

fn of(body: &Value) -> Glance {
    let usage = Tokens::deserialize(&body["usage"]).map(|tokens| tokens.known()).unwrap_or_default();
    let choices = body["choices"].as_array().map(Vec::as_slice).unwrap_or_default();
    let finish = choices.iter().find_map(|choice| choice["finish_reason"].as_str()).or(body["stop_reason"].as_str());
    Glance { usage, finish: finish.filter(|word| !word.is_empty()).map(Finish::parse) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_answer_is_told_from_what_is_one() {
        let chat = |body: &str| judge(Dialect::OpenaiChat, body.as_bytes());
        let choice = |message: &str, finish: &str| {
            chat(&format!(r#"{{"choices":[{{"index":0,"message":{message},"finish_reason":{finish}}}]}}"#)).map(drop)
        };
        for cut in [r#"{"choices":[{"message":"#, "", "<html></html>", "[]", r#"{"object":"list"}"#] {
            assert_eq!(chat(cut), Err(Fault::Malformed), "{cut}");
        }
        assert!(matches!(chat(r#"{"error":{"message":"m"}}"#), Err(Fault::Told(_))));
        for silent in [r#"{"role":"assistant","content":""}"#, r#"{"content":null,"tool_calls":[],"refusal":null}"#] {
            assert_eq!(choice(silent, r#""stop""#), Err(Fault::Silent), "{silent}");
            assert_eq!(choice(silent, "null"), Err(Fault::Silent), "{silent}");
            assert_eq!(choice(silent, r#""length""#), Ok(()), "{silent}");
        }
        for said in [
            r#"{"content":"Hi"}"#,
            r#"{"content":null,"audio":{"id":"a"}}"#,
            r#"{"content":null,"function_call":{"name":"f"}}"#,
        ] {
            assert_eq!(choice(said, "null"), Ok(()), "{said}");
            assert_eq!(choice(said, r#""abort""#), Err(Fault::Cut), "{said}");
        }
        assert_eq!(judge(Dialect::OpenaiCompletions, br#"{"choices":[{"text":"Hi"}]}"#).map(drop), Ok(()));
        let message = |body: &str| judge(Dialect::AnthropicMessages, body.as_bytes()).map(drop);
        assert_eq!(message(r#"{"content":[],"stop_reason":"end_turn"}"#), Err(Fault::Silent));
        assert_eq!(message(r#"{"content":[],"stop_reason":"max_tokens"}"#), Ok(()));
        assert_eq!(message(r#"{"content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn"}"#), Ok(()));
        assert_eq!(message(r#"{"content":[{"type":"text","text":"Hi"}],"stop_reason":"error"}"#), Err(Fault::Cut));
    }

    #[test]
    fn tokens_are_read_however_they_are_written() {
        let usage = |body: &str| glance(body.as_bytes()).usage;
        let known = |input, output| Usage { input: Some(input), output: Some(output) };
        // Both names at once, fractions, a list that is null, and what a cache spared.
        let both = r#"{"choices":null,"usage":{"prompt_tokens":7,"input_tokens":7,"completion_tokens":8.0,"output_tokens":8}}"#;
        assert_eq!(usage(both), known(7, 8));
        let cached = r#"{"usage":{"input_tokens":7,"cache_read_input_tokens":90,"cache_creation_input_tokens":3,"output_tokens":8}}"#;
        assert_eq!(usage(cached), known(100, 8));
        assert_eq!(glance(br#"{"choices":[{},{"finish_reason":"length"}]}"#).finish, Some(Finish::Length));
        assert_eq!(glance(b"<html>"), Glance::default());
    }
}

//! What a whole answer says of itself, without a copy of it: for answers that are passed on as they are.

use super::super::answering::Fault;
use super::super::translate::told;
use super::super::{Dialect, Finish, Usage};
use super::look::{Answer, Seen, Word};

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
    serde_json::from_slice(body).map_or_else(|_| Glance::default(), of)
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
    let answer: Answer = serde_json::from_slice(body).map_err(|_| Fault::Malformed)?;
    let Seen(list) = match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiCompletions => &answer.choices,
        Dialect::AnthropicMessages => &answer.content,
    };
    if !list.is_one {
        return Err(if answer.has_error { refusal(body) } else { Fault::Malformed });
    }
    let Seen(Word(stop)) = &answer.stop;
    let says_something = match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiCompletions => list.says || list.is_stopped,
        Dialect::AnthropicMessages => list.shows || !matches!(stop, None | Some(Finish::Stop)),
    };
    if list.is_cut || stop.as_ref().is_some_and(Finish::is_break) {
        Err(Fault::Cut)
    } else if says_something {
        Ok(of(answer))
    } else {
        Err(Fault::Silent)
    }
}

fn refusal(body: &[u8]) -> Fault {
    serde_json::from_slice(body).map_or(Fault::Malformed, |body| Fault::Told(told(&body)))
}

fn of(answer: Answer) -> Glance {
    let (Seen(choices), Seen(Word(stop))) = (answer.choices, answer.stop);
    Glance { usage: answer.usage, finish: choices.finish.or(stop) }
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
    fn no_field_is_a_reason_not_to_read_the_others() {
        let known =
            |body: &str| judge(Dialect::OpenaiChat, body.as_bytes()).map(|said| (said.usage.input, said.finish));
        let odd = [
            r#"{"id":7,"usage":{"prompt_tokens":3},"choices":[{"message":{"content":"Hi","annotations":[[{}]]},"finish_reason":"stop"}],"error":null}"#,
            r#"{"stop_reason":{"a":[1]},"choices":[7,"x",null,{"finish_reason":["x"],"message":"Hi"},{"text":1e9,"finish_reason":"stop"}],"usage":{"prompt_tokens":3}}"#,
            "{\"usage\":7,\"usage\":{\"prompt_tokens\":3},\"\\u0063hoices\":[{\"finish_reason\":\"st\\u006fp\",\"text\":\"\\n\"}]}",
        ];
        for body in odd {
            assert_eq!(known(body), Ok((Some(3), Some(Finish::Stop))), "{body}");
        }
        for body in
            [r#"{"choices":[{"text":"Hi"}]} x"#, r#"{"choices":[{"text":"Hi"}]"#, r#"["choices"]"#, "\"choices\""]
        {
            assert_eq!(known(body), Err(Fault::Malformed), "{body}");
        }
        assert_eq!(known(r#"{"error":{"message":"m","code":1e999}}"#), Err(Fault::Malformed));
        assert_eq!(known(r#"{"choices":7,"usage":"x"}"#), Err(Fault::Malformed));
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

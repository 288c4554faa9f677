//! What is played for one request: a plain list of steps, decided before the first byte goes out.

use std::time::Duration;

use super::catalogue::Kind;
use super::dialect::{Dialect, Trouble, Usage};
use super::model::{Knobs, Model};
use super::{answer, quirks, streams};

/// How long a silent upstream is silent.
const SILENCE: Duration = Duration::from_mins(2);

/// From the headers to the first token where that is slow.
pub(super) const FIRST_TOKEN: Duration = Duration::from_secs(20);

/// How long a stream stalls before it breaks off.
pub(super) const STALL: Duration = Duration::from_secs(30);

/// Tokens before a cut, and before a stall.
pub(super) const CUT_AFTER: usize = 40;
pub(super) const STALL_AFTER: usize = 20;

/// What the script depends on.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) dialect: Dialect,
    /// The whole name, as it comes back in answers.
    pub(super) name: String,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    /// What the last message says, where it is the assistant's.
    pub(super) prefill: Option<String>,
    pub(super) prompt_tokens: usize,
    /// Which attempt at this model it is, from 1.
    pub(super) attempt: usize,
    /// Since the first attempt at this model.
    pub(super) since_first: Duration,
    pub(super) key: String,
}

/// One answer, or what is played instead of one.
#[derive(Debug, PartialEq)]
pub(super) struct Script {
    pub(super) head: Option<Head>,
    pub(super) steps: Vec<Step>,
    pub(super) end: End,
}

#[derive(Debug, PartialEq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) framing: Framing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Chunked,
    Length(usize),
}

#[derive(Debug, PartialEq)]
pub(super) enum Step {
    Send(Vec<u8>),
    /// Bytes with the time of sending between them, in microseconds since 1970.
    Stamp(Vec<u8>, Vec<u8>),
    Wait(Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// As HTTP wants it; the connection stays.
    Whole,
    /// The connection is closed in the middle.
    Cut,
    /// The connection is reset.
    Reset,
}

impl Script {
    /// The whole answer of a model, as a JSON document.
    pub(super) fn json(status: u16, headers: Vec<(&'static str, String)>, document: &serde_json::Value) -> Self {
        Self::body(status, headers, "application/json", document.to_string().into_bytes())
    }

    pub(super) fn body(status: u16, mut headers: Vec<(&'static str, String)>, media: &str, body: Vec<u8>) -> Self {
        headers.push(("content-type", media.to_owned()));
        let head = Head { status, headers, framing: Framing::Length(body.len()) };
        Self { head: Some(head), steps: vec![Step::Send(body)], end: End::Whole }
    }

    pub(super) fn status(&self) -> u16 {
        self.head.as_ref().map_or(0, |head| head.status)
    }
}

impl Asked {
    pub(super) fn refused(&self, trouble: Trouble, message: &str) -> Script {
        Script::json(trouble.status(self.dialect), Vec::new(), &self.dialect.error(trouble, message))
    }

    /// What there is to say: the answer, or what comes after the part of it that was said already.
    pub(super) fn tokens(&self, knobs: &Knobs) -> Vec<&'static str> {
        let canonical = answer::tokens_after(self.prefill.as_deref().unwrap_or_default());
        match knobs.tokens {
            Some(tokens) => canonical.into_iter().cycle().take(tokens).collect(),
            None => canonical,
        }
    }

    pub(super) fn usage(&self, completion: usize) -> Usage {
        Usage { prompt: self.prompt_tokens, completion }
    }
}

/// What is played for a request.
pub(super) fn script(model: &Model, asked: &Asked) -> Script {
    match model.kind {
        Kind::Scenario(number) => scenario(number, model, asked),
        Kind::Healthy { prefill: false } if asked.prefill.is_some() => {
            asked.refused(Trouble::Prefill, "This model does not support assistant message prefill.")
        }
        Kind::Keyed if !model.knobs.good.contains(&asked.key) => limited(asked, None),
        Kind::Healthy { .. } | Kind::Capacity | Kind::Keyed => healthy(model, asked),
        Kind::Slow => streams::slow(&model.knobs, asked),
        Kind::Down => asked.refused(Trouble::Overloaded, "The engine is currently overloaded."),
        Kind::Quirk(quirk) => quirks::play(quirk, asked),
    }
}

fn scenario(number: u8, model: &Model, asked: &Asked) -> Script {
    let first = asked.attempt == 1;
    match number {
        1 if first => limited(asked, Some("2")),
        2 => limited(asked, None),
        3 if first => asked.refused(Trouble::Server, "The server had an error while processing your request."),
        4 | 16 => asked.refused(Trouble::Overloaded, "The engine is currently overloaded."),
        5 if first => Script { head: None, steps: Vec::new(), end: End::Reset },
        6 => Script { head: None, steps: vec![Step::Wait(SILENCE)], end: End::Cut },
        7..=11 | 14 => streams::troubled(number, asked),
        12 => asked.refused(Trouble::ContextLength, too_long(asked.dialect)),
        13 => asked.refused(Trouble::ContentPolicy, against_the_rules(asked.dialect)),
        15 if asked.since_first < model.knobs.down => {
            asked.refused(Trouble::Overloaded, "The engine is currently overloaded.")
        }
        _ => healthy(model, asked),
    }
}

fn limited(asked: &Asked, after: Option<&str>) -> Script {
    let headers = after.map(|after| ("retry-after", after.to_owned())).into_iter().collect();
    let error = asked.dialect.error(Trouble::RateLimit, "Rate limit reached for requests.");
    Script::json(429, headers, &error)
}

/// In each provider's own words: one of them has no code for it.
const fn too_long(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Openai => "This model's maximum context length is 8192 tokens.",
        Dialect::Anthropic => "prompt is too long: 210000 tokens > 200000 maximum",
    }
}

const fn against_the_rules(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Openai => "Your request was rejected by the safety system.",
        Dialect::Anthropic => "Output blocked by content filtering policy",
    }
}

pub(super) fn healthy(model: &Model, asked: &Asked) -> Script {
    let tokens = asked.tokens(&model.knobs);
    if asked.stream {
        return streams::whole(&tokens, asked);
    }
    let document = asked.dialect.whole(&asked.name, &tokens.concat(), asked.usage(tokens.len()));
    Script::json(200, Vec::new(), &document)
}

#[cfg(test)]
#[path = "script_tests.rs"]
mod tests;

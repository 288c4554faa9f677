//! What an event of a stream says, in one vocabulary for every dialect.

mod anthropic;
pub(super) mod loose;
mod openai;
#[cfg(test)]
mod tests;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::sse::Event;
use super::{Dialect, Finish, Usage};

/// What an event says.
#[derive(Clone, PartialEq, Debug)]
pub enum Said {
    /// A part of the answer.
    Part(Part),
    /// The answer is over.
    End,
    /// The provider gave up: what it says of it.
    Error(Told),
    /// Nothing about the answer.
    Nothing,
    /// It cannot be read.
    Malformed,
}

/// A part of an answer.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Part {
    /// The answer's id.
    pub id: Option<String>,
    /// The model that answers.
    pub model: Option<String>,
    /// What is new.
    pub pieces: Vec<Piece>,
    /// Tokens so far.
    pub usage: Usage,
    /// It says who speaks and what comes, and nothing of it yet.
    pub is_opening: bool,
    /// The choices that it speaks of; the [`bit`] of each.
    pub choices: u128,
}

/// The bit of a choice. The last one stands for all beyond it.
pub const fn bit(choice: u32) -> u128 {
    1 << if choice < u128::BITS { choice } else { u128::BITS - 1 }
}

/// Something new of one choice (OpenAI) or of the only one (Anthropic).
#[derive(Clone, PartialEq, Debug)]
pub struct Piece {
    /// Which choice.
    pub choice: u32,
    /// What is new.
    pub what: What,
}

/// What is new.
#[derive(Clone, PartialEq, Debug)]
pub enum What {
    /// Text that the user reads.
    Text(String),
    /// What the model thinks.
    Reasoning(String),
    /// Text that says no.
    Refusal(String),
    /// A call of a tool, or more of its arguments.
    Tool {
        /// Which call of the answer, from 0.
        index: u32,
        /// Its id, at its beginning.
        id: Option<String>,
        /// The tool's name, at its beginning.
        name: Option<String>,
        /// More of its arguments, JSON in pieces.
        arguments: String,
    },
    /// It stopped.
    Finish(Finish),
}

impl What {
    /// Whether it is a token, and not only a mark.
    pub const fn is_token(&self) -> bool {
        !matches!(self, What::Finish(_))
    }
}

/// What a provider says of an error.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Told {
    /// The kind in its own words, such as `overloaded_error`.
    pub kind: String,
    /// A code, such as `context_length_exceeded`.
    pub code: String,
    /// The message.
    pub message: String,
}

/// Reads the events of one stream.
#[derive(Clone, Debug)]
pub struct Reader {
    dialect: Dialect,
    /// Anthropic's open blocks that are tools: the block's index and the call's.
    tools: Vec<(u32, u32)>,
}

/// Most calls of tools in one answer whose blocks are told apart.
const TOOLS_MAX: usize = 256;

impl Reader {
    /// Of a stream in this dialect.
    pub const fn new(dialect: Dialect) -> Reader {
        Reader { dialect, tools: Vec::new() }
    }

    /// Reads one event, and gives an event of Anthropic's the name that its data has: some proxies leave names out.
    ///
    /// What is no JSON, or not in UTF-8, is malformed. JSON of another shape than the dialect's is read as far as it goes.
    pub fn read(&mut self, event: &mut Event) -> Said {
        let Ok(data) = std::str::from_utf8(&event.data) else { return Said::Malformed };
        let is_end = data.trim_ascii() == "[DONE]" && self.dialect != Dialect::AnthropicMessages;
        if is_end || !data.trim_ascii_start().starts_with('{') {
            return if is_end { Said::End } else { Said::Malformed };
        }
        match self.dialect {
            Dialect::OpenaiChat | Dialect::OpenaiCompletions => openai::read(&event.name, data),
            Dialect::AnthropicMessages => {
                let (said, kind) = self.anthropic(&event.name, data);
                event.name = kind;
                said
            }
        }
    }
}

/// What stands in a provider's error object, or in its text.
fn told(raw: &RawValue) -> Told {
    #[derive(Deserialize)]
    struct Error {
        #[serde(default, rename = "type")]
        kind: Option<String>,
        #[serde(default)]
        code: Option<Value>,
        #[serde(default)]
        message: Option<String>,
    }
    match serde_json::from_str::<Error>(raw.get()) {
        Ok(error) => Told {
            kind: error.kind.unwrap_or_default(),
            code: error
                .code
                .map(|code| code.as_str().map_or_else(|| code.to_string(), ToOwned::to_owned))
                .unwrap_or_default(),
            message: error.message.unwrap_or_default(),
        },
        Err(_) => {
            let message = serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().to_owned());
            Told { message, ..Told::default() }
        }
    }
}

/// Tokens as either dialect counts them.
#[derive(Clone, Default, Deserialize)]
pub(super) struct Tokens {
    #[serde(default, rename = "prompt_tokens")]
    prompt: Option<Value>,
    #[serde(default, rename = "completion_tokens")]
    completion: Option<Value>,
    #[serde(default, rename = "input_tokens")]
    input: Option<Value>,
    #[serde(default, rename = "output_tokens")]
    output: Option<Value>,
    #[serde(default, rename = "cache_creation_input_tokens")]
    cache_written: Option<Value>,
    #[serde(default, rename = "cache_read_input_tokens")]
    cache_read: Option<Value>,
}

impl Tokens {
    /// OpenAI counts what a cache spared among the request's tokens, Anthropic beside them.
    pub(super) fn known(&self) -> Usage {
        let cached = [&self.cache_written, &self.cache_read].map(|value| count(value.as_ref()).unwrap_or(0));
        let input = count(self.input.as_ref()).map(|input| cached.into_iter().fold(input, u64::saturating_add));
        Usage {
            input: count(self.prompt.as_ref()).or(input),
            output: count(self.completion.as_ref()).or(count(self.output.as_ref())),
        }
    }
}

/// A number of tokens; some servers write it as a fraction.
fn count(value: Option<&Value>) -> Option<u64> {
    let value = value?;
    value.as_u64().or_else(|| value.as_f64().filter(|number| *number >= 0.0).map(|number| number as u64))
}

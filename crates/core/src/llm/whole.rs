//! A whole answer: read from a body or gathered from a stream, judged, and written in either dialect.
//!
//! ```
//! use mainstay_core::llm::Dialect;
//! use mainstay_core::llm::answering::Fault;
//! use mainstay_core::llm::whole::Whole;
//!
//! let body = br#"{"id":"c","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}"#;
//! let whole = Whole::read(Dialect::OpenaiChat, body).unwrap();
//! assert_eq!(whole.judge(), Ok(()));
//! let message: serde_json::Value = serde_json::from_slice(&whole.write(Dialect::AnthropicMessages, "r-1", 0)).unwrap();
//! assert_eq!(message["content"][0]["text"], "Hi");
//!
//! let nothing = Whole::read(Dialect::OpenaiChat, br#"{"choices":[]}"#).unwrap();
//! assert_eq!(nothing.judge(), Err(Fault::Silent));
//! ```

mod glance;
mod look;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;

pub use glance::{Glance, glance, judge};

use super::answering::Fault;
use super::delta::{Part, Piece, What};
use super::{Finish, Usage};

/// Most choices, and most calls of tools in each, that are told apart.
pub const PARTS_MAX: usize = 256;

/// An answer, independent of its dialect. Fields that only one dialect has (log probabilities, citations, signatures) are left out.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Whole {
    /// Its id.
    pub id: Option<String>,
    /// The model that gave it.
    pub model: Option<String>,
    /// The choices by their index; Anthropic's answers have one.
    pub choices: BTreeMap<u32, Choice>,
    /// Tokens; those of the request include what a cache spared.
    pub usage: Usage,
}

/// One choice of an answer.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Choice {
    /// What the model thought.
    pub reasoning: String,
    /// What the user reads.
    pub text: String,
    /// Text that says no.
    pub refusal: String,
    /// Calls of tools by their index.
    pub tools: BTreeMap<u32, Call>,
    /// Why it ended.
    pub finish: Option<Finish>,
}

/// A call of a tool.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Call {
    /// Its id.
    pub id: String,
    /// The tool.
    pub name: String,
    /// What it is given, as JSON.
    pub arguments: String,
}

impl Choice {
    /// Whether the model said anything in it.
    pub fn says_something(&self) -> bool {
        let texts = [&self.reasoning, &self.text, &self.refusal];
        !self.tools.is_empty() || texts.iter().any(|text| !text.is_empty())
    }

    /// All of it, in the order in which models say it, and why it ended.
    fn pieces(&self, mut push: impl FnMut(What)) {
        let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        some(&self.reasoning).map(What::Reasoning).into_iter().for_each(&mut push);
        some(&self.text).map(What::Text).into_iter().for_each(&mut push);
        some(&self.refusal).map(What::Refusal).into_iter().for_each(&mut push);
        for (index, call) in &self.tools {
            let Call { id, name, arguments } = call.clone();
            push(What::Tool { index: *index, id: Some(id), name: Some(name), arguments });
        }
        push(What::Finish(self.finish.clone().unwrap_or(Finish::Stop)));
    }

    /// Whether it is no answer at all: nothing in it, and no reason for that but that the model was done.
    fn is_silent(&self) -> bool {
        !self.says_something() && matches!(self.finish, None | Some(Finish::Stop))
    }
}

impl Whole {
    /// Whether it is an answer: it is silent without a choice, or where no choice says anything although nothing stopped it, and cut where a
    /// choice does not say why it ended, or says that something broke.
    pub fn judge(&self) -> Result<(), Fault> {
        let is_cut = |choice: &Choice| choice.finish.as_ref().is_none_or(Finish::is_break);
        if self.choices.values().all(Choice::is_silent) {
            Err(Fault::Silent)
        } else if self.choices.values().any(is_cut) {
            Err(Fault::Cut)
        } else {
            Ok(())
        }
    }

    /// All of it as one part of a stream.
    pub fn part(&self) -> Part {
        let mut pieces = Vec::new();
        for (index, choice) in &self.choices {
            choice.pieces(|what| pieces.push(Piece { choice: *index, what }));
        }
        Part { id: self.id.clone(), model: self.model.clone(), pieces, usage: self.usage, ..Part::default() }
    }

    /// Adds a part of a stream. `bytes_max`: the longest answer, in bytes of text; what would be longer is a fault.
    pub fn take(&mut self, part: Part, bytes_max: usize) -> Result<(), Fault> {
        self.usage = part.usage.or(self.usage);
        self.id = self.id.take().or(part.id);
        self.model = part.model.or(self.model.take());
        for piece in part.pieces {
            self.take_piece(piece)?;
        }
        if self.bytes() > bytes_max { Err(Fault::TooLong) } else { Ok(()) }
    }

    /// Bytes of all its texts.
    pub fn bytes(&self) -> usize {
        let of_tool = |call: &Call| call.id.len() + call.name.len() + call.arguments.len();
        let of_choice = |choice: &Choice| {
            let texts = choice.reasoning.len() + choice.text.len() + choice.refusal.len();
            texts + choice.tools.values().map(of_tool).sum::<usize>()
        };
        self.choices.values().map(of_choice).sum()
    }

    fn take_piece(&mut self, piece: Piece) -> Result<(), Fault> {
        if self.choices.len() >= PARTS_MAX && !self.choices.contains_key(&piece.choice) {
            return Err(Fault::TooLong);
        }
        let choice = self.choices.entry(piece.choice).or_default();
        match piece.what {
            What::Text(text) => choice.text.push_str(&text),
            What::Reasoning(text) => choice.reasoning.push_str(&text),
            What::Refusal(text) => choice.refusal.push_str(&text),
            What::Finish(finish) => choice.finish = Some(finish),
            What::Tool { index, id, name, arguments } => {
                if choice.tools.len() >= PARTS_MAX && !choice.tools.contains_key(&index) {
                    return Err(Fault::TooLong);
                }
                let call = choice.tools.entry(index).or_default();
                call.id = id.unwrap_or(std::mem::take(&mut call.id));
                call.name = name.unwrap_or(std::mem::take(&mut call.name));
                call.arguments.push_str(&arguments);
            }
        }
        Ok(())
    }
}

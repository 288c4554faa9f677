//! Tokens of an answer that several backends gave, as its caller is told.
//!
//! The caller asked once and has one answer: the tokens of its request are those of the first backend, those of its answer the sum of all parts.
//! A backend that broke off mostly has not counted: then what it gave is counted as it came.

use super::super::Usage;
use super::source::Source;

/// More bytes than this in an event are several tokens.
const EVENT_BYTES: u64 = 8;
/// So many bytes are one of them.
const TOKEN_BYTES: u64 = 4;

/// What is known of the parts before the one that is given.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    /// Of the request, where the first backend had counted it.
    input: Option<u64>,
    /// Of the parts that others went on from; `None`: nobody went on from any.
    output: Option<u64>,
    broke_off: Option<Given>,
}

/// What a backend gave that broke off.
#[derive(Clone, Copy, Debug)]
struct Given {
    input: Option<u64>,
    output: u64,
    /// It had repeated what the caller had.
    repeats: bool,
}

impl Counted {
    /// A backend broke off.
    pub(super) fn handle_broken(&mut self, source: &Source) {
        let came = estimate(source.tokens, source.bytes);
        // Providers begin to count at the head of their answer: what they say there is not the last word.
        let output = if came == 0 { 0 } else { source.usage.output.map_or(came, |counted| counted.max(came)) };
        self.broke_off = Some(Given { input: source.usage.input, output, repeats: source.repeats });
    }

    /// Somebody goes on from what the caller has.
    pub(super) fn handle_continued(&mut self) {
        let Some(given) = self.broke_off.take() else { return };
        self.input = match self.output {
            None => given.input,
            Some(_) => self.input,
        };
        let before = if given.repeats { 0 } else { self.output.unwrap_or(0) };
        self.output = Some(before + given.output);
    }

    /// What the caller is told where the last backend counted so much.
    pub(super) fn told(&self, usage: Usage, repeats: bool) -> Usage {
        let Some(before) = self.output else { return usage };
        let output = usage.output.map(|output| if repeats { output } else { before + output });
        // What others gave was a part of the last one's request.
        let input = self.input.or_else(|| usage.input.map(|input| input.saturating_sub(before)));
        Usage { input, output }
    }
}

/// How many tokens came in so many events of so many bytes.
const fn estimate(events: u64, bytes: u64) -> u64 {
    if bytes > events * EVENT_BYTES { bytes.div_ceil(TOKEN_BYTES) } else { events }
}

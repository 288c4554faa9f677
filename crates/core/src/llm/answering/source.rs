//! One upstream's stream, while it is read.

use std::time::Duration;

use super::super::delta::{Part, Piece, Reader, What, bit};
use super::super::sse::Parser;
use super::super::{Dialect, Finish, Usage};
use super::{END_GRACE, Fault, SLOW_WINDOW};
use crate::plan::Stream;
use crate::time::Time;

/// A stream and what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) parser: Parser,
    pub(super) reader: Reader,
    /// Its events are passed on as they are.
    pub(super) passes: bool,
    /// It begins an answer again of which the caller has seen some.
    pub(super) restarts: bool,
    /// Until when its first token must have come.
    first_token_until: Time,
    pub(super) first_token: Option<Time>,
    last_token: Option<Time>,
    /// The tokens of the window that began then.
    window: (Time, u64),
    /// Events with tokens.
    pub(super) tokens: u64,
    /// Bytes of what they said.
    pub(super) bytes: u64,
    pub(super) events: u64,
    pub(super) malformed: u64,
    /// Choices that were spoken of and have not stopped; the bit of each.
    open: u128,
    /// Those that have.
    pub(super) stopped: u128,
    /// Those that are to come, whether they were spoken of or not.
    awaited: u128,
    finished: Option<Time>,
    pub(super) finish: Option<Finish>,
    pub(super) usage: Usage,
    pub(super) model: Option<String>,
    /// What the caller has already, where this goes on from it, and what came so far of it once more.
    echo: Option<(String, String)>,
    /// It did.
    pub(super) repeats: bool,
    /// It was given what the caller has without the white space at its end.
    was_trimmed: bool,
}

impl Source {
    pub(super) fn new(dialect: Dialect, passes: bool, restarts: bool, so_far: Option<String>, until: Time) -> Source {
        Source {
            parser: Parser::default(),
            reader: Reader::new(dialect),
            passes,
            restarts,
            first_token_until: until,
            first_token: None,
            last_token: None,
            window: (until, 0),
            tokens: 0,
            bytes: 0,
            events: 0,
            malformed: 0,
            open: 0,
            stopped: 0,
            awaited: 0,
            finished: None,
            finish: None,
            usage: Usage::default(),
            model: None,
            repeats: false,
            was_trimmed: dialect == Dialect::AnthropicMessages,
            echo: so_far.filter(|text| !text.is_empty()).map(|text| (text, String::new())),
        }
    }

    /// The same for so many choices. One needs no number: it is whatever comes.
    pub(super) fn of_choices(mut self, choices: u32) -> Source {
        if choices > 1 {
            self.awaited = (0..choices.min(u128::BITS)).fold(0, |all, choice| all | bit(choice));
        }
        self
    }

    pub(super) fn held_bytes(&self) -> usize {
        let echo = self.echo.as_ref().map_or(0, |(so_far, came)| so_far.len() + came.len());
        self.parser.held() + echo
    }

    /// Whether the model has stopped, in all the choices that it spoke of.
    pub(super) const fn has_stopped(&self) -> bool {
        self.finished.is_some() && self.open == 0
    }

    /// Whether it has stopped in all the choices that were asked for as well.
    pub(super) const fn has_finished(&self) -> bool {
        self.has_stopped() && self.awaited & !self.stopped == 0
    }

    /// When it is to be judged next, in the absence of bytes.
    pub(super) fn timeout(&self, stream: &Stream) -> Time {
        if let Some(at) = self.finished.filter(|_| self.has_finished()) {
            return at + END_GRACE;
        }
        let Some(last) = self.last_token else { return self.first_token_until };
        let slow = stream.min_tokens.map(|_| self.window.0 + SLOW_WINDOW);
        slow.into_iter().fold(last + stream.gap, Time::min)
    }

    /// What is wrong with it at this moment.
    pub(super) fn judge(&mut self, stream: &Stream, now: Time) -> Option<Fault> {
        let Some(last) = self.last_token else { return (now >= self.first_token_until).then_some(Fault::FirstToken) };
        if now >= last + stream.gap {
            return Some(Fault::Stall);
        }
        let (began, tokens) = self.window;
        let least = stream.min_tokens?;
        if now < began + SLOW_WINDOW {
            return None;
        }
        self.window = (now, 0);
        (tokens as f64 / now.since(began).as_secs_f64() < least).then_some(Fault::Slow)
    }

    /// For this long nobody read it.
    pub(super) fn pause(&mut self, unread: Duration) {
        self.first_token_until = self.first_token_until + unread;
        self.window.0 = self.window.0 + unread;
        for at in self.last_token.iter_mut().chain(&mut self.finished) {
            *at = *at + unread;
        }
    }

    /// Counts a part; what of it is to be shown.
    pub(super) fn take(&mut self, mut part: Part, now: Time) -> Part {
        self.usage = part.usage.or(self.usage);
        if let Some(model) = part.model.as_ref().filter(|model| !model.is_empty()) {
            self.model = Some(model.clone());
        }
        self.open |= part.choices & !self.stopped;
        let (mut came, mut tokens) = (0, 0);
        for piece in &part.pieces {
            came += self.count(piece, now);
            tokens += tokens_in(&piece.what);
            self.bytes += bytes_in(&piece.what) as u64;
        }
        if came > 0 {
            if self.first_token.is_none() {
                self.first_token = Some(now);
                self.window = (now, 0);
            }
            self.last_token = Some(now);
            self.tokens += came;
            self.window.1 += tokens;
        }
        if self.echo.is_some() {
            for piece in std::mem::take(&mut part.pieces) {
                if !piece.what.is_token() {
                    part.pieces.extend(self.rest());
                }
                part.pieces.extend(self.without_echo(piece));
            }
        }
        part
    }

    fn count(&mut self, piece: &Piece, now: Time) -> u64 {
        let bit = bit(piece.choice);
        match &piece.what {
            What::Finish(why) => {
                self.open &= !bit;
                self.stopped |= bit;
                self.finished = Some(now);
                self.finish = Some(why.clone());
                0
            }
            What::Text(_) | What::Reasoning(_) | What::Refusal(_) | What::Tool { .. } => {
                self.open |= bit & !self.stopped;
                1
            }
        }
    }

    /// A continuation that begins with what the caller has: that is left out.
    fn without_echo(&mut self, piece: Piece) -> Option<Piece> {
        let Piece { choice, what } = piece;
        let What::Text(text) = what else { return Some(Piece { choice, what }) };
        let Some((so_far, came)) = &mut self.echo else { return Some(Piece { choice, what: What::Text(text) }) };
        came.push_str(&text);
        if so_far.starts_with(came.as_str()) && so_far.len() > came.len() {
            return None;
        }
        let space = &so_far[so_far.trim_end().len()..];
        let again = if self.was_trimmed { came.strip_prefix(space) } else { None };
        let rest = came.strip_prefix(so_far.as_str()).or(again);
        self.repeats = rest.is_some();
        let rest = rest.unwrap_or(came).to_owned();
        self.echo = None;
        (!rest.is_empty()).then_some(Piece { choice, what: What::Text(rest) })
    }

    /// What looked like an echo until the end, and was none.
    fn rest(&mut self) -> Option<Piece> {
        let (so_far, came) = self.echo.take()?;
        let is_news = !came.is_empty() && came != so_far;
        is_news.then_some(Piece { choice: 0, what: What::Text(came) })
    }
}

/// How many tokens come with a piece, roughly: servers that are asked for much write several at once. Four bytes of text are one.
fn tokens_in(what: &What) -> u64 {
    if what.is_token() { ((bytes_in(what) as u64 + 2) / 4).max(1) } else { 0 }
}

fn bytes_in(what: &What) -> usize {
    match what {
        What::Text(text) | What::Reasoning(text) | What::Refusal(text) => text.len(),
        What::Tool { name, arguments, .. } => name.as_ref().map_or(0, String::len) + arguments.len(),
        What::Finish(_) => 0,
    }
}

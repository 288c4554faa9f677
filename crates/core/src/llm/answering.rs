//! One streamed answer to one caller, whoever gives it.
//!
//! Until something is shown nothing of it can be wrong: a stream that fails before is only a failed attempt. What is shown afterwards is
//! either the whole answer with its end mark, or ends with an error that the caller reads as one.
//!
//! ```
//! use mainstay_core::llm::Dialect;
//! use mainstay_core::llm::answering::{Answering, Begun, Effect, End, Settings};
//! use mainstay_core::plan::Stream;
//! use mainstay_core::time::Time;
//!
//! let now = Time::from_secs(100);
//! let settings = Settings::new(Dialect::OpenaiChat, Stream::default());
//! let mut answering = Answering::new(settings);
//! answering.handle_upstream(Dialect::OpenaiChat, Begun::Fresh, now);
//! answering.handle_bytes(b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n", now);
//! assert!(answering.poll_effect().is_none()); // held: it may still come to nothing
//! answering.handle_end(End::Broken, now);
//! assert!(matches!(answering.poll_effect(), Some(Effect::Failed(_))));
//! ```

mod counted;
mod filtered;
mod kept;
mod source;
mod spoken;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use super::delta::{Part, Piece, Said, Told, What};
use super::render::Renderer;
use super::sse::{Event, TooLong};
use super::taxonomy::{self, Kind};
use super::{Dialect, Finish, Usage};
use crate::plan::{AfterCommit, Stream};
use crate::resilience::outcome::FailureKind;
use crate::time::Time;
use counted::Counted;
use filtered::Filtered;
use kept::Kept;
use source::Source;
use spoken::Spoken;

/// How long the end mark and the usage may take once the model has stopped.
pub const END_GRACE: Duration = Duration::from_secs(2);

/// Over how long the least rate of tokens is judged.
pub const SLOW_WINDOW: Duration = Duration::from_secs(5);

/// Most bytes that are held before the first are shown, unless all of them are.
pub const BUFFER_BYTES: usize = 64 << 10;

/// Longest text that another backend is asked to continue.
pub const CONTINUED_BYTES_MAX: usize = 256 << 10;

/// How often an answer that was shown may be taken over.
pub const RESCUES_MAX: u32 = 4;

/// What is known of an answer before it begins.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What its caller reads.
    pub dialect: Dialect,
    /// Whether the caller asked for a chunk about usage (OpenAI).
    pub include_usage: bool,
    /// Choices that the caller asked for: the answer is not whole before each of them is.
    pub choices: u32,
    /// The route's bounds.
    pub stream: Stream,
    /// Whether others are asked where a provider's filter cuts the answer.
    pub others_on_filter: bool,
    /// Most bytes that are held before any are shown: of the whole answer (`atomic`), of what comes before its first token.
    pub hold_bytes: usize,
    /// Most bytes of what is said that are kept for whoever is to look at it; 0: nothing is.
    pub said_max: usize,
    /// Most bytes of an answer that is kept in whole, to be given once more; 0: none is.
    pub whole_max: usize,
    /// The request's id, for answers that have none.
    pub request_id: String,
    /// Seconds since the Unix epoch, for answers that are written anew.
    pub created: u64,
}

impl Settings {
    /// With usual bounds.
    pub fn new(dialect: Dialect, stream: Stream) -> Settings {
        Settings {
            dialect,
            include_usage: false,
            choices: 1,
            stream,
            others_on_filter: false,
            hold_bytes: 4 << 20,
            said_max: 0,
            whole_max: 0,
            request_id: String::new(),
            created: 0,
        }
    }
}

/// How an upstream answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Begun {
    /// From the beginning.
    Fresh,
    /// It was given what the caller has, to go on from there.
    Continued,
}

/// How an upstream's body ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// As HTTP has it.
    Clean,
    /// Its connection broke, or it was compressed in a way that nobody asked for.
    Broken,
}

/// What is wrong with an upstream's stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// No token in time.
    FirstToken,
    /// No further token in time.
    Stall,
    /// Fewer tokens than the route takes.
    Slow,
    /// It ended before the model had stopped.
    Cut,
    /// It said so itself.
    Told(Told),
    /// None of its events could be read.
    Malformed,
    /// An event, or an answer that is held in whole, is too long.
    TooLong,
    /// The model stopped without having said anything.
    Silent,
    /// A filter of the provider's stopped it, and others are to be asked.
    Filtered,
}

impl Fault {
    /// In one word, for headers and metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Fault::FirstToken => "first_token_timeout",
            Fault::Stall => "stream_stalled",
            Fault::Slow => "stream_slow",
            Fault::Cut => "stream_cut",
            Fault::Told(_) => "error_in_stream",
            Fault::Malformed => "stream_malformed",
            Fault::TooLong => "stream_too_long",
            Fault::Silent => "silent_answer",
            Fault::Filtered => "content_filtered",
        }
    }

    /// What it means, in the words of providers' errors.
    pub fn means(&self) -> Kind {
        match self {
            // A model that says nothing says nothing the next time either.
            Fault::FirstToken | Fault::Stall | Fault::Slow | Fault::Silent => Kind::Silent,
            Fault::Cut => Kind::Cut,
            Fault::Told(told) => taxonomy::of_stream(told),
            Fault::Malformed | Fault::TooLong => Kind::Malformed,
            Fault::Filtered => Kind::Content,
        }
    }

    /// What a breaker learns of it.
    pub const fn kind(&self) -> FailureKind {
        match self {
            Fault::FirstToken | Fault::Stall | Fault::Slow => FailureKind::Timeout,
            Fault::Cut => FailureKind::BrokenStream,
            Fault::Told(_) | Fault::Malformed | Fault::TooLong | Fault::Silent | Fault::Filtered => FailureKind::Server,
        }
    }
}

/// What is to be done.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// From here on the caller sees it; comes once, before the first [`Effect::Send`].
    Commit,
    /// Bytes for the caller.
    Send(Vec<u8>),
    /// The upstream's stream came to nothing, and nobody saw any of it: another attempt's chance.
    Failed(Fault),
    /// The stream failed after its caller saw some of it: somebody else is to take over.
    Rescue(Rescue, Fault),
    /// The answer is over.
    Done(Box<Summary>),
}

/// How somebody else takes over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rescue {
    /// It goes on from this text; only backends that accept a started answer can.
    Continue {
        /// What the caller has.
        so_far: String,
    },
    /// It begins again.
    Restart,
}

/// What became of an answer.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Summary {
    /// Whether its caller has all of it.
    pub complete: bool,
    /// Why the model stopped.
    pub finish: Option<Finish>,
    /// Tokens, as the last backend counted them; what others had counted before it is told when they fail ([`Answering::usage`]).
    pub usage: Usage,
    /// The model that ended it.
    pub model: Option<String>,
    /// Events with tokens that were shown, of all backends.
    pub tokens: u64,
    /// Events that could not be read.
    pub malformed: u64,
    /// When the first token came.
    pub first_token: Option<Time>,
    /// When the last one came.
    pub last_token: Option<Time>,
    /// How often it was taken over.
    pub rescues: u32,
    /// What went wrong in the end.
    pub fault: Option<Fault>,
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Answering {
    settings: Settings,
    renderer: Renderer,
    source: Option<Source>,
    committed: bool,
    over: bool,
    /// Rendered, and not sent.
    held: Vec<u8>,
    /// The text that the caller has or will have; kept for `continue` alone.
    text: String,
    /// Whether that is all that it has.
    text_only: bool,
    /// All that was shown or is held, as far as it is kept.
    said: Spoken,
    /// The answer in whole, where it is to be kept and is not too long.
    whole: Option<Kept>,
    /// The end that a provider's filter made, while others are asked.
    filtered: Option<Filtered>,
    /// Tokens of the parts that others gave before.
    counted: Counted,
    summary: Summary,
    effects: VecDeque<Effect>,
}

impl Answering {
    /// Waits for an upstream.
    pub fn new(settings: Settings) -> Answering {
        let renderer = renderer(&settings);
        let whole = kept(&settings);
        Answering {
            settings,
            whole,
            renderer,
            source: None,
            committed: false,
            over: false,
            held: Vec::new(),
            text: String::new(),
            text_only: true,
            said: Spoken::default(),
            filtered: None,
            counted: Counted::default(),
            summary: Summary::default(),
            effects: VecDeque::new(),
        }
    }

    /// All of an answer that was kept and came from one backend, as one part.
    pub fn whole(&self) -> Option<&Part> {
        self.whole.as_ref().filter(|_| self.summary.complete && self.summary.rescues == 0).map(Kept::part)
    }

    /// Whether the caller has seen any of it.
    pub const fn is_committed(&self) -> bool {
        self.committed
    }

    /// What its caller reads.
    pub const fn dialect(&self) -> Dialect {
        self.settings.dialect
    }

    /// Whether a token of the upstream's has come.
    pub fn has_begun(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.first_token.is_some())
    }

    /// Bytes that it holds: of an event that has begun, of what is not shown yet, of the text that another could go on from, and
    /// of what [`Answering::poll_effect`] was not asked for.
    pub fn held_bytes(&self) -> usize {
        let sends = self.effects.iter().map(|effect| if let Effect::Send(bytes) = effect { bytes.len() } else { 0 });
        let source = self.source.as_ref().map_or(0, Source::held_bytes);
        source + self.held.len() + self.text.len() + sends.sum::<usize>()
    }

    /// Tokens of the backend that answers or has just failed, as far as it has counted them; most count at the end alone.
    pub fn usage(&self) -> Usage {
        let counted = self.source.as_ref().map(|source| source.usage).unwrap_or_default();
        counted.or(self.summary.usage)
    }

    /// Events with tokens so far, and when the first of them came.
    pub const fn shown(&self) -> (u64, Option<Time>) {
        (self.summary.tokens, self.summary.first_token)
    }

    /// All that the caller has seen of it, and what is held, a line between what is not one text: answers that were void before a restart
    /// included. `None`: it was more than is kept.
    pub fn said(&self) -> Option<String> {
        self.said.all(self.settings.said_max)
    }

    /// Whether it is over.
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// An upstream's answer begins; its first token is waited for since `asked`.
    pub fn handle_upstream(&mut self, dialect: Dialect, begun: Begun, asked: Time) {
        if self.over {
            return;
        }
        self.filtered = None;
        self.summary.usage = Usage::default();
        match begun {
            Begun::Fresh => self.counted = Counted::default(),
            Begun::Continued => self.counted.handle_continued(),
        }
        let passes = dialect == self.settings.dialect && !self.committed;
        let restarts = self.committed && begun == Begun::Fresh;
        let so_far = if begun == Begun::Continued { Some(self.text.clone()) } else { None };
        let until = asked + self.settings.stream.first_token;
        self.source = Some(Source::new(dialect, passes, restarts, so_far, until).of_choices(self.settings.choices));
    }

    /// An answer of our own takes the place of an upstream's.
    pub fn handle_text(&mut self, text: &str, model: &str, now: Time) {
        self.handle_upstream(self.settings.dialect, Begun::Fresh, now);
        let Some(source) = &mut self.source else { return };
        source.passes = false;
        let pieces = [What::Text(text.to_owned()), What::Finish(Finish::Stop)].map(|what| Piece { choice: 0, what });
        self.show(None, Part { model: Some(model.to_owned()), pieces: pieces.into(), ..Part::default() }, now);
        self.complete(now);
    }

    /// The upstream answered in whole, though a stream was asked for: all of it as one part.
    pub fn handle_part(&mut self, part: Part, now: Time) {
        self.handle_upstream(self.settings.dialect, Begun::Fresh, now);
        let Some(source) = &mut self.source else { return };
        source.passes = false;
        self.show(None, part, now);
        self.complete(now);
    }

    /// More of the upstream's body.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Time) {
        let Some(source) = &mut self.source else { return };
        let mut parser = std::mem::take(&mut source.parser);
        // Events after the one that ended the stream find no source, and are passed over.
        let read = parser.push(bytes, &mut |event| self.handle_event(event, now));
        let Some(source) = &mut self.source else { return };
        source.parser = parser;
        match read {
            Ok(()) => self.settle(now),
            Err(TooLong) => self.broke(Fault::TooLong, now),
        }
    }

    /// The upstream's body ended.
    pub fn handle_end(&mut self, end: End, now: Time) {
        let Some(source) = &self.source else { return };
        if source.has_finished() {
            return self.complete(now);
        }
        let only_malformed = source.events == 0 && source.malformed > 0;
        self.fail(if only_malformed && end == End::Clean { Fault::Malformed } else { Fault::Cut }, now);
    }

    /// When [`Answering::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Time> {
        let source = self.source.as_ref()?;
        let show = self.shows_at(source);
        Some(show.into_iter().fold(source.timeout(&self.settings.stream), Time::min))
    }

    /// The caller took nothing for this long, so nobody read the upstream's body: its silence is not counted.
    pub fn handle_pause(&mut self, unread: Duration) {
        if let Some(source) = &mut self.source {
            source.pause(unread);
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Time) {
        let Some(source) = &mut self.source else { return };
        if source.has_finished() {
            if now >= source.timeout(&self.settings.stream) {
                self.complete(now);
            }
            return;
        }
        match source.judge(&self.settings.stream, now) {
            Some(fault) => self.fail(fault, now),
            None => self.settle(now),
        }
    }

    /// What is to be done next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Nobody took over, or the time for all of it is over: the caller is told, where it saw any of it.
    pub fn handle_no_rescue(&mut self, told: &Told, now: Time) {
        if self.over {
            return;
        }
        self.source = None;
        self.summary.last_token = self.summary.last_token.or(Some(now));
        if let Some(filtered) = self.filtered.take().filter(|_| self.committed) {
            return self.end_as_filtered(filtered);
        }
        if self.committed {
            self.renderer.error(told, &mut self.held);
            self.send();
        }
        self.finish(false);
    }

    /// Bytes that show a caller that waits that somebody is there.
    pub fn heartbeat(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.renderer.heartbeat(&mut bytes);
        bytes
    }

    fn handle_event(&mut self, mut event: Event, now: Time) {
        let Some(source) = &mut self.source else { return };
        match source.reader.read(&mut event) {
            Said::Part(part) => {
                source.events += 1;
                self.show(Some(&event), part, now);
            }
            // Servers that know no `n` give one choice and say that this is all.
            Said::End if source.has_stopped() => self.complete(now),
            Said::End => self.fail(Fault::Cut, now),
            Said::Error(told) => self.broke(Fault::Told(told), now),
            Said::Nothing if source.passes => self.renderer.pass_nothing(&event, &mut self.held),
            Said::Nothing => {}
            Said::Malformed => {
                source.malformed += 1;
                self.summary.malformed += 1;
            }
        }
    }

    fn show(&mut self, event: Option<&Event>, part: Part, now: Time) {
        let Some(source) = &mut self.source else { return };
        let passes = source.passes;
        let mut part = source.take(part, now);
        let is_break = |piece: &Piece| matches!(&piece.what, What::Finish(why) if why.is_break());
        let breaks = part.pieces.iter().any(is_break);
        if source.restarts {
            // An end without anything before it is no answer that could take the place of the one that the caller has.
            if part.pieces.iter().all(|piece| piece.what == What::Finish(Finish::Stop) || is_break(piece)) {
                part.pieces.clear();
            } else {
                source.restarts = false;
                self.renderer.restart(&mut self.held);
                self.text.clear();
                self.text_only = true;
            }
        }
        for piece in &part.pieces {
            self.note(piece, now);
        }
        part.pieces.iter().for_each(|piece| self.said.add(piece, self.settings.said_max));
        if let Some(mut whole) = self.whole.take() {
            self.whole = whole.add(&part, self.settings.whole_max).then_some(whole);
        }
        if self.others_are_asked(&part) {
            return self.filter_cut(part, now);
        }
        if breaks {
            part.pieces.retain(|piece| piece.what.is_token());
            if self.committed && !part.pieces.is_empty() {
                self.renderer.write(&part, &mut self.held);
            }
            return self.fail(Fault::Cut, now);
        }
        match event.filter(|_| passes) {
            Some(event) => self.renderer.pass(event, &part, &mut self.held),
            None => self.renderer.write(&part, &mut self.held),
        }
    }

    fn note(&mut self, piece: &Piece, now: Time) {
        if !piece.what.is_token() {
            return;
        }
        self.summary.tokens += 1;
        self.summary.first_token.get_or_insert(now);
        self.summary.last_token = Some(now);
        // Only who is to go on from it needs it: thousands of streams would hold all that they have said.
        if self.settings.stream.after_commit != AfterCommit::Continue {
            return;
        }
        match &piece.what {
            What::Text(text) if piece.choice == 0 && self.text.len() + text.len() <= CONTINUED_BYTES_MAX => {
                self.text.push_str(text);
            }
            _ => self.text_only = false,
        }
    }

    /// Shows what may be shown.
    fn settle(&mut self, now: Time) {
        let Some(source) = &self.source else { return };
        if self.committed {
            return self.send();
        }
        if self.held.len() > self.settings.hold_bytes {
            return self.fail(Fault::TooLong, now);
        }
        if self.settings.stream.after_commit == AfterCommit::Atomic {
            return;
        }
        let enough = source.tokens >= self.settings.stream.buffer_tokens.max(1) || self.held.len() >= BUFFER_BYTES;
        let waited = self.shows_at(source).is_some_and(|at| now >= at);
        if source.tokens > 0 && (enough || waited) {
            self.commit();
        }
    }

    /// When what is held has been held for long enough.
    fn shows_at(&self, source: &Source) -> Option<Time> {
        let holds = !self.committed && self.settings.stream.after_commit != AfterCommit::Atomic;
        source.first_token.filter(|_| holds).map(|at| at + self.settings.stream.buffer_time)
    }

    fn commit(&mut self) {
        if !std::mem::replace(&mut self.committed, true) {
            self.effects.push_back(Effect::Commit);
        }
        self.send();
    }

    fn send(&mut self) {
        if !self.held.is_empty() {
            self.effects.push_back(Effect::Send(std::mem::take(&mut self.held)));
        }
    }

    fn complete(&mut self, now: Time) {
        let Some(source) = &self.source else { return };
        let is_silent = !self.committed && self.summary.tokens == 0;
        if source.restarts || (is_silent && matches!(source.finish, None | Some(Finish::Stop | Finish::Tool))) {
            return self.fail(Fault::Silent, now);
        }
        let passes = source.passes;
        let usage = self.counted.told(source.usage, source.repeats);
        self.summary.usage = source.usage;
        self.summary.model.clone_from(&source.model);
        self.summary.finish.clone_from(&source.finish);
        if !passes {
            self.renderer.usage(usage, &mut self.held);
        }
        self.renderer.end(usage, &mut self.held);
        self.commit();
        self.finish(true);
    }

    fn finish(&mut self, complete: bool) {
        self.source = None;
        self.over = true;
        self.summary.complete = complete;
        if complete {
            self.summary.fault = None;
        }
        self.effects.push_back(Effect::Done(Box::new(self.summary.clone())));
    }

    /// The stream went wrong; once the model has stopped, that takes nothing from its answer.
    fn broke(&mut self, fault: Fault, now: Time) {
        match &self.source {
            Some(source) if source.has_finished() => self.complete(now),
            Some(_) | None => self.fail(fault, now),
        }
    }

    fn fail(&mut self, fault: Fault, now: Time) {
        if let Some(source) = self.source.take() {
            self.counted.handle_broken(&source);
            self.summary.usage = source.usage.or(self.summary.usage);
            self.summary.model = source.model.or(self.summary.model.take());
        }
        self.summary.fault = Some(fault.clone());
        if !self.committed {
            self.held.clear();
            self.renderer = renderer(&self.settings);
            self.text.clear();
            self.text_only = true;
            self.said = Spoken::default();
            self.whole = kept(&self.settings);
            self.summary.tokens = 0;
            self.summary.first_token = None;
            self.summary.usage = Usage::default();
            return self.effects.push_back(Effect::Failed(fault));
        }
        self.send();
        let rescue = match self.settings.stream.after_commit {
            _ if self.summary.rescues >= RESCUES_MAX || is_refusal(&fault, self.settings.others_on_filter) => None,
            AfterCommit::Continue if self.text_only && self.settings.choices < 2 => {
                Some(Rescue::Continue { so_far: self.text.clone() })
            }
            AfterCommit::Restart => Some(Rescue::Restart),
            AfterCommit::Continue | AfterCommit::Atomic | AfterCommit::Fail => None,
        };
        match rescue {
            Some(rescue) => {
                self.summary.rescues += 1;
                self.effects.push_back(Effect::Rescue(rescue, fault));
            }
            None => self.handle_no_rescue(&broken(&fault), now),
        }
    }
}

/// Whether a provider says no to the request, which somebody else must not pass round, unless the route has others asked about its filters.
fn is_refusal(fault: &Fault, others_on_filter: bool) -> bool {
    let Fault::Told(told) = fault else { return false };
    match taxonomy::of_stream(told) {
        Kind::Content => !others_on_filter,
        kind => kind == Kind::Caller,
    }
}

/// What the caller of an answer that breaks off is told.
pub fn broken(fault: &Fault) -> Told {
    let message = match fault {
        Fault::FirstToken => "the model did not begin in time",
        Fault::Stall => "the model fell silent in the middle of its answer",
        Fault::Slow => "the model became too slow in the middle of its answer",
        Fault::Cut => "the answer was cut off",
        Fault::Told(_) => "the model's provider gave up in the middle of its answer",
        Fault::Malformed => "the answer could not be read",
        Fault::TooLong => "the answer has a part that is too long",
        Fault::Silent => "the model said nothing",
        Fault::Filtered => "a filter of the model's provider stopped it",
    };
    Told {
        kind: "api_error".into(),
        code: fault.reason().into(),
        message: format!("{message}; what came before is not all of it"),
    }
}

fn kept(settings: &Settings) -> Option<Kept> {
    (settings.whole_max > 0).then(Kept::default)
}

fn renderer(settings: &Settings) -> Renderer {
    Renderer::new(settings.dialect, settings.include_usage, &settings.request_id, settings.created)
}

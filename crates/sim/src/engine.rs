//! An engine that serves a language model by continuous batching: prompts are read in chunks, every step gives each
//! running sequence a token, all share one cache, and who came last loses its place when that is full.

mod oracle;

use std::collections::VecDeque;
use std::time::Duration;

use mainstay_core::drill;
use mainstay_core::rng::Rng;
use mainstay_core::time::Time;

pub(crate) use oracle::{Oracle, oracle};

use crate::servers::{Normal, Owner};

/// Most sequences that wait; the engine refuses beyond.
const LINE_MAX: usize = 1 << 20;
/// The share of the cache that is left free when a sequence joins: those that run need room for their next tokens.
const SPARE: f64 = 0.01;

/// What one request asks of an engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Work {
    /// Tokens of the prompt.
    pub(crate) prompt: u32,
    /// Tokens of the answer.
    pub(crate) output: u32,
}

/// Something that a step brought about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    /// The first token of an answer.
    First(Owner),
    /// The last one; whether the answer had lost its place on the way.
    Done { owner: Owner, preempted: bool },
}

/// A sequence.
#[derive(Clone, Copy, Debug)]
struct Sequence {
    owner: Owner,
    work: Work,
    /// Tokens given.
    given: u32,
    /// Tokens that are to be read before the next one can be given.
    unread: u32,
    /// Read in the step that is under way.
    reads: u32,
    preempted: bool,
}

/// An engine.
pub(crate) struct Engine {
    model: drill::Engine,
    pub(crate) slow: f64,
    line: VecDeque<Sequence>,
    running: Vec<Sequence>,
    steps: bool,
}

impl Work {
    /// What the request with this key asks: the same under every limit.
    pub(crate) fn of(model: &drill::Engine, key: u64) -> Work {
        let (mut rng, mut normal) = (Rng::new(key), Normal::default());
        let long = model.long.share > 0.0 && rng.unit() < model.long.share;
        let (prompt, output) = (normal.draw(&mut rng), normal.draw(&mut rng));
        Work { prompt: if long { model.long.prompt } else { model.prompt.at(prompt) }, output: model.output.at(output) }
    }
}

impl Sequence {
    const fn held(&self) -> u32 {
        self.work.prompt + self.given
    }
}

impl Engine {
    pub(crate) const fn new(model: drill::Engine) -> Engine {
        Engine { model, slow: 1.0, line: VecDeque::new(), running: Vec::new(), steps: false }
    }

    /// A request comes; `false`: it is refused.
    pub(crate) fn send(&mut self, owner: Owner, work: Work) -> bool {
        // What the cache can never hold, real engines refuse as well.
        if self.line.len() >= LINE_MAX || work.prompt + work.output > self.model.cache {
            return false;
        }
        self.line.push_back(Sequence { owner, work, given: 0, unread: work.prompt, reads: 0, preempted: false });
        true
    }

    /// Everything that it works on is lost. A step under way ends without effect.
    pub(crate) fn clear(&mut self) {
        self.line.clear();
        self.running.clear();
    }

    /// The same, and whose it was.
    pub(crate) fn take_all(&mut self) -> Vec<Owner> {
        let all = self.running.drain(..).chain(self.line.drain(..));
        all.map(|sequence| sequence.owner).collect()
    }

    /// Begins a step if none is under way and there is work: when it ends. Those that nobody waits for are dropped.
    pub(crate) fn begin_step(&mut self, now: Time, is_wanted: impl Fn(&Owner) -> bool) -> Option<Time> {
        if self.steps {
            return None;
        }
        self.running.retain(|sequence| is_wanted(&sequence.owner));
        self.fit();
        self.admit(&is_wanted);
        if self.running.is_empty() {
            return None;
        }
        self.steps = true;
        let seconds = self.plan_step() * self.slow;
        Some(now + Duration::from_nanos((seconds * 1e9) as u64))
    }

    /// The step ends: what it brought about.
    pub(crate) fn end_step(&mut self, progress: &mut Vec<Progress>) {
        self.steps = false;
        for sequence in &mut self.running {
            sequence.unread -= std::mem::take(&mut sequence.reads);
            // With its prompt read a sequence has its next token in the same step.
            if sequence.unread > 0 {
                continue;
            }
            sequence.given += 1;
            if sequence.given == 1 {
                progress.push(Progress::First(sequence.owner));
            }
            if sequence.given >= sequence.work.output {
                progress.push(Progress::Done { owner: sequence.owner, preempted: sequence.preempted });
            }
        }
        self.running.retain(|sequence| sequence.given < sequence.work.output);
    }

    /// What the running sequences hold, with the token that each gets next.
    fn held(&self) -> u64 {
        self.running.iter().map(|sequence| u64::from(sequence.held()) + 1).sum()
    }

    /// Who came last loses its place until the others fit.
    fn fit(&mut self) {
        let mut held = self.held();
        while held > u64::from(self.model.cache) && self.running.len() > 1 {
            let Some(mut last) = self.running.pop() else { return };
            held -= u64::from(last.held()) + 1;
            last.unread = last.held();
            last.preempted |= last.given > 0;
            self.line.push_front(last);
        }
    }

    fn admit(&mut self, is_wanted: &impl Fn(&Owner) -> bool) {
        let room = f64::from(self.model.cache) * (1.0 - SPARE);
        let mut held = self.held();
        while self.running.len() < self.model.sequences as usize {
            let Some(next) = self.line.front() else { return };
            let needed = u64::from(next.held()) + 1;
            let fits = (held + needed) as f64 <= room || self.running.is_empty();
            if !is_wanted(&next.owner) {
                self.line.pop_front();
            } else if fits {
                held += needed;
                self.running.extend(self.line.pop_front());
            } else {
                return;
            }
        }
    }

    /// Shares out the step's tokens; how long it takes, in seconds.
    fn plan_step(&mut self) -> f64 {
        let mut chunk = self.model.chunk;
        let mut decoding = 0u32;
        for sequence in &mut self.running {
            if sequence.unread == 0 {
                decoding += 1;
            } else {
                sequence.reads = sequence.unread.min(chunk);
                chunk -= sequence.reads;
            }
        }
        let read = self.model.chunk - chunk;
        self.model.step.as_secs_f64()
            + self.model.decode.as_secs_f64() * f64::from(decoding)
            + self.model.prefill.as_secs_f64() * f64::from(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_core::drill::engine::{Lengths, Long, Promise};

    fn model(sequences: u32, cache: u32) -> drill::Engine {
        drill::Engine {
            sequences,
            cache,
            chunk: 100,
            step: Duration::from_millis(10),
            decode: Duration::from_millis(1),
            prefill: Duration::from_millis(1),
            prompt: Lengths { median: 100.0, spread: 0.0, max: 1_000 },
            output: Lengths { median: 10.0, spread: 0.0, max: 1_000 },
            long: Long::default(),
            promise: Promise {
                first_token: Duration::from_secs(1),
                prompt_token: Duration::ZERO,
                token: Duration::from_millis(60),
            },
        }
    }

    fn owner(visit: u32) -> Owner {
        Owner { visit, turn: 0 }
    }

    /// All progress until nothing is left, with its time in milliseconds.
    fn drain(engine: &mut Engine) -> Vec<(u64, Progress)> {
        let (mut now, mut all) = (Time::ZERO, Vec::new());
        while let Some(end) = engine.begin_step(now, |_| true) {
            let mut progress = Vec::new();
            now = end;
            engine.end_step(&mut progress);
            all.extend(progress.into_iter().map(|it| (now.as_millis(), it)));
        }
        all
    }

    #[test]
    fn a_lone_request_takes_its_prompt_and_its_tokens() {
        let mut engine = Engine::new(model(4, 1_000));
        assert!(engine.send(owner(1), Work { prompt: 150, output: 3 }));
        // Two chunks: 10 + 100 ms, then 10 + 50 ms with the first token; two more of 10 + 1 ms.
        let done = Progress::Done { owner: owner(1), preempted: false };
        assert_eq!(drain(&mut engine), [(170, Progress::First(owner(1))), (192, done)]);
    }

    #[test]
    fn who_came_last_loses_its_place_when_the_cache_is_full() {
        let mut engine = Engine::new(model(4, 240));
        assert!(engine.send(owner(1), Work { prompt: 100, output: 60 }));
        assert!(engine.send(owner(2), Work { prompt: 100, output: 60 }));
        assert!(!engine.send(owner(3), Work { prompt: 200, output: 60 }), "it can never fit");
        let done: Vec<Progress> = drain(&mut engine).into_iter().map(|(_, it)| it).collect();
        let at = |wanted: Progress| done.iter().position(|it| *it == wanted);
        let first = at(Progress::Done { owner: owner(1), preempted: false });
        let second = at(Progress::Done { owner: owner(2), preempted: true });
        assert!(first.is_some() && first < second, "{done:?}");
        assert_eq!(done.iter().filter(|it| matches!(it, Progress::First(_))).count(), 2);
    }

    #[test]
    fn the_formula_for_capacity_is_near_what_a_full_engine_does() {
        let model = drill::Engine {
            prompt: Lengths { median: 400.0, spread: 0.8, max: 8_000 },
            output: Lengths { median: 150.0, spread: 1.0, max: 2_048 },
            chunk: 2_048,
            step: Duration::from_millis(12),
            decode: Duration::from_micros(200),
            prefill: Duration::from_micros(60),
            ..model(64, 76_800)
        };
        let measured = oracle(&model, 1);
        let ratio = measured.requests_s / model.capacity();
        assert!((0.85..1.1).contains(&ratio), "{measured:?}, by the formula {}", model.capacity());
    }
}

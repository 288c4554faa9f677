//! Counts of a span of time, and the facts that expectations ask for.

mod fine;
mod watched;

use std::time::Duration;

use mainstay_core::route::{Class, Level};
use mainstay_core::time::Time;
use serde_json::{Value, json};

use crate::store::Used;
use fine::Fine;
use watched::Watched;

/// From which wait on a request that is turned away after a worse one had a place counts.
const INVERSION: Duration = Duration::from_millis(200);

/// Longest wait for an answer that is good.
pub(crate) const LONGEST: Duration = Duration::from_mins(2);

/// Seconds of an experiment that are told apart: a day.
const SECONDS_MAX: usize = 86_400;

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// A backend at the best level, or anything else at some level, answered.
    Answered { level: Level, good: bool },
    /// There was no room.
    Shed,
    /// No level had an answer.
    Failed,
}

/// A request that ended.
pub(crate) struct Ended {
    pub(crate) class: Class,
    pub(crate) began: Time,
    pub(crate) deadline: Time,
    pub(crate) ending: Ending,
    /// One of a worse class that came later had a place.
    pub(crate) overtaken: bool,
    /// What it asked of an engine.
    pub(crate) tokens: u32,
    /// Whether it is of the arm of an experiment that runs.
    pub(crate) arm: Option<bool>,
    /// The features that it was answered with.
    pub(crate) used: Option<Used>,
}

/// Counts of a span of time.
pub(crate) struct Span {
    pub(crate) from: Time,
    pub(crate) to: Time,
    requests: u64,
    asked: u64,
    good: u64,
    degraded: u64,
    shed: u64,
    failed: u64,
    by_class: [(u64, u64); Class::COUNT],
    unanswered_class: [u64; Class::COUNT],
    /// When something was first seen to be wrong.
    noticed: Option<Time>,
    /// Requests whose calls met a fault on purpose.
    injected: u64,
    arms: Option<Box<[Arm; 2]>>,
    latency: Fine,
    call: Fine,
    late: Duration,
    levels: [u64; Level::COUNT],
    deepest: u8,
    attempts: u64,
    hedges: u64,
    hedges_won: u64,
    failures: u64,
    opened: u64,
    opened_at: Option<(Time, u64)>,
    probes_max: u32,
    stale: u64,
    moved_by_stale: u64,
    limits: (u32, u32),
    capacity: f64,
    inversions: u64,
    tokens: Tokens,
    second: Second,
    worst_second: f64,
    /// What those who watch saw, and what feature stores gave.
    pub(crate) watched: Watched,
}

/// What engines gave.
#[derive(Default)]
struct Tokens {
    asked: u64,
    good: u64,
    could: f64,
    first: Fine,
    answers: u64,
    preempted: u64,
}

#[derive(Default)]
struct Second {
    came: u64,
    good: u64,
    capacity: f64,
    length: Duration,
}

impl Second {
    fn goodput(&self) -> f64 {
        share(self.good as f64, (self.came as f64).min(self.capacity))
    }
}

impl Span {
    pub(crate) fn new(from: Time, to: Time) -> Span {
        Span {
            from,
            to,
            requests: 0,
            asked: 0,
            good: 0,
            degraded: 0,
            shed: 0,
            failed: 0,
            by_class: [(0, 0); Class::COUNT],
            unanswered_class: [0; Class::COUNT],
            noticed: None,
            injected: 0,
            arms: None,
            latency: Fine::default(),
            call: Fine::default(),
            late: Duration::ZERO,
            levels: [0; Level::COUNT],
            deepest: 0,
            attempts: 0,
            hedges: 0,
            hedges_won: 0,
            failures: 0,
            opened: 0,
            opened_at: None,
            probes_max: 0,
            stale: 0,
            moved_by_stale: 0,
            limits: (u32::MAX, 0),
            capacity: 0.0,
            inversions: 0,
            tokens: Tokens::default(),
            second: Second::default(),
            worst_second: f64::INFINITY,
            watched: Watched::default(),
        }
    }

    pub(crate) fn came(&mut self, class: Class, again: bool, start: Level, tokens: u32) {
        self.tokens.asked += u64::from(tokens);
        self.requests += 1;
        self.asked += u64::from(!again);
        self.by_class[class.index()].0 += 1;
        self.second.came += 1;
        self.deepest = self.deepest.max(start.number());
    }

    /// Something is seen to be wrong.
    pub(crate) fn noticed(&mut self, now: Time) {
        self.noticed.get_or_insert(now);
    }

    /// A call meets a fault on purpose.
    pub(crate) fn injected(&mut self) {
        self.injected += 1;
    }

    pub(crate) fn called(&mut self) {
        self.attempts += 1;
    }

    /// A call is made beside one that is late.
    pub(crate) fn hedged(&mut self) {
        self.hedges += 1;
    }

    /// Such a call answered first.
    pub(crate) fn hedge_won(&mut self) {
        self.hedges_won += 1;
    }

    /// An engine's first token came, so long after the request.
    pub(crate) fn first_token(&mut self, waited: Duration) {
        self.tokens.first.record(waited);
    }

    /// An engine's answer is whole.
    pub(crate) fn generated(&mut self, preempted: bool) {
        self.tokens.answers += 1;
        self.tokens.preempted += u64::from(preempted);
    }

    pub(crate) fn call_failed(&mut self) {
        self.failures += 1;
    }

    pub(crate) fn opened(&mut self, now: Time) {
        self.opened += 1;
        self.opened_at.get_or_insert((now, self.failures));
        self.noticed(now);
    }

    /// So many calls test a half-open backend.
    pub(crate) fn probes(&mut self, calls: u32) {
        self.probes_max = self.probes_max.max(calls);
    }

    /// A result came of a call that began before the breaker's state did.
    pub(crate) fn stale(&mut self, moved: bool) {
        self.stale += 1;
        self.moved_by_stale += u64::from(moved);
    }

    pub(crate) fn ended(&mut self, ended: &Ended, now: Time) {
        if let Some(arm) = ended.arm {
            let second = now.since(self.from).as_secs();
            self.arms.get_or_insert_default()[usize::from(arm)].ended(ended, second, now);
        }
        if matches!(ended.ending, Ending::Shed | Ending::Failed) {
            self.unanswered_class[ended.class.index()] += 1;
        }
        match ended.ending {
            Ending::Answered { level, good } => {
                self.levels[level.index()] += 1;
                self.late = self.late.max(now.since(ended.deadline));
                if let Some(used) = &ended.used {
                    self.watched.answered_with(used);
                }
                if good && now <= ended.deadline {
                    self.good += 1;
                    self.tokens.good += u64::from(ended.tokens);
                    self.second.good += 1;
                    self.latency.record(now.since(ended.began));
                } else {
                    self.degraded += 1;
                    self.note_inversion(ended, now);
                }
            }
            Ending::Shed => {
                self.shed += 1;
                self.note_inversion(ended, now);
            }
            Ending::Failed => self.failed += 1,
        }
    }

    /// A request ended, perhaps one that came within the span.
    pub(crate) fn one_that_came_ended(&mut self, ended: &Ended, now: Time) {
        let good = matches!(ended.ending, Ending::Answered { good: true, .. }) && now <= ended.deadline;
        if good && self.from <= ended.began && ended.began < self.to {
            self.by_class[ended.class.index()].1 += 1;
        }
    }

    pub(crate) fn call_went_well(&mut self, took: Duration) {
        self.call.record(took);
    }

    /// When the last of those that came has been answered for certain.
    pub(crate) fn last_answer(&self) -> Time {
        self.to + LONGEST
    }

    fn note_inversion(&mut self, ended: &Ended, now: Time) {
        self.inversions += u64::from(ended.overtaken && now.since(ended.began) >= INVERSION);
    }

    /// Some time passed in which so much could be carried and so many were let in at once.
    pub(crate) fn passed(&mut self, time: Duration, (capacity, tokens): (f64, f64), limit: u32) {
        self.tokens.could += tokens * time.as_secs_f64();
        let carried = capacity * time.as_secs_f64();
        self.capacity += carried;
        self.limits = (self.limits.0.min(limit), self.limits.1.max(limit));
        self.second.capacity += carried;
        self.second.length += time;
        if self.second.length >= Duration::from_secs(1) {
            self.worst_second = self.worst_second.min(self.second.goodput());
            self.second = Second::default();
        }
    }

    /// What expectations may ask for.
    pub(crate) fn facts(&self, unloaded_p99_s: f64) -> Value {
        let could = (self.requests as f64).min(self.capacity);
        let of = |fine: &Fine, q| fine.quantile(q).map(|it| it.as_secs_f64() * 1e3);
        let ms = |q| of(&self.latency, q);
        let (opened_s, before_open) = match self.opened_at {
            Some((at, failures)) => (at.since(self.from).as_secs_f64(), failures as f64),
            None => (-1.0, -1.0),
        };
        let goodput = share(self.good as f64, could);
        let mut facts = self.watched.facts(self.from);
        let counted = json!({
            "requests": self.requests as f64,
            "asked": self.asked as f64,
            "good": self.good as f64,
            "degraded": self.degraded as f64,
            "shed": self.shed as f64,
            "failed": self.failed as f64,
            "goodput": goodput,
            "goodput_min": if self.worst_second.is_finite() { self.worst_second } else { goodput },
            "success_class": self.by_class.map(|(came, good)| share(good as f64, came as f64)),
            "requests_class": self.by_class.map(|(came, _)| came as f64),
            "p50_ms": ms(0.5),
            "p99_ms": ms(0.99),
            "call_p99_ms": of(&self.call, 0.99),
            "unloaded_p99_ms": unloaded_p99_s * 1e3,
            "late_ms": self.late.as_secs_f64() * 1e3,
            "ttft_p50_ms": of(&self.tokens.first, 0.5),
            "ttft_p99_ms": of(&self.tokens.first, 0.99),
            "tokens_good": self.tokens.good as f64,
            "token_goodput": share(self.tokens.good as f64, (self.tokens.asked as f64).min(self.tokens.could)),
            "preempted": self.tokens.preempted as f64 / self.tokens.answers.max(1) as f64,
            "levels": self.levels.map(|count| count as f64),
            "deepest": f64::from(self.deepest),
            "attempts": self.attempts as f64,
            "amplification": share(self.attempts as f64, self.asked as f64),
            "backend_failures": self.failures as f64,
            "opened": self.opened as f64,
            "opened_s": opened_s,
            "failures_before_open": before_open,
            "probes_max": f64::from(self.probes_max),
            "stale": self.stale as f64,
            "moved_by_stale": self.moved_by_stale as f64,
            "limit_min": f64::from(self.limits.0),
            "limit_max": f64::from(self.limits.1),
            "inversions": self.inversions as f64,
            "unanswered_class": self.unanswered_class,
            "noticed_s": self.noticed.map(|at| at.since(self.from).as_secs_f64()),
            "injected": self.injected,
            "arms": self.arms.as_ref().map(|arms| arms.each_ref().map(Arm::facts)),
        });
        facts.extend([
            ("p999_ms".to_owned(), json!(ms(0.999))),
            ("ttft_p999_ms".to_owned(), json!(of(&self.tokens.first, 0.999))),
            ("hedges".to_owned(), json!(self.hedges as f64)),
            ("hedges_won".to_owned(), json!(self.hedges_won as f64)),
        ]);
        if let Value::Object(counted) = counted {
            facts.extend(counted);
        }
        Value::Object(facts)
    }
}

/// Requests of one arm of an experiment, while its fault is in force.
#[derive(Default)]
struct Arm {
    latency: Fine,
    levels: [u64; Level::COUNT],
    /// Unanswered requests and all, by second.
    seconds: Vec<(u64, u64)>,
}

impl Arm {
    fn ended(&mut self, ended: &Ended, second: u64, now: Time) {
        let second = usize::try_from(second).unwrap_or(usize::MAX).min(SECONDS_MAX - 1);
        if self.seconds.len() <= second {
            self.seconds.resize(second + 1, (0, 0));
        }
        let (unanswered, all) = &mut self.seconds[second];
        *all += 1;
        match ended.ending {
            Ending::Answered { level, .. } => {
                self.levels[level.index()] += 1;
                self.latency.record(now.since(ended.began));
            }
            Ending::Shed | Ending::Failed => *unanswered += 1,
        }
    }

    fn facts(&self) -> Value {
        let p99 = self.latency.quantile(0.99).map(|it| it.as_secs_f64());
        json!({ "p99_s": p99, "levels": self.levels, "seconds": self.seconds })
    }
}

/// 1 where there was nothing to do.
fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 1.0 }
}

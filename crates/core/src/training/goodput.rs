//! Where the time of a run went: every second in exactly one bucket.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::Time;

/// What time was spent on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Bucket {
    /// Steps that are kept.
    Productive,
    /// Steps that were made before.
    Redo,
    /// Steps that were undone: booked as productive at first.
    Discarded,
    /// From the start of an attempt to its first step.
    Startup,
    /// Saving, while no step is made.
    Saving,
    /// Evaluation.
    Evaluation,
    /// From the last progress to the moment at which a hang was noticed.
    Hang,
    /// From the request to end to the end.
    Stopping,
    /// Pauses between attempts.
    Backoff,
    /// Gates.
    Gates,
    /// Anything else.
    Other,
}

impl Bucket {
    /// All of them.
    pub const ALL: [Bucket; 11] = [
        Bucket::Productive,
        Bucket::Redo,
        Bucket::Discarded,
        Bucket::Startup,
        Bucket::Saving,
        Bucket::Evaluation,
        Bucket::Hang,
        Bucket::Stopping,
        Bucket::Backoff,
        Bucket::Gates,
        Bucket::Other,
    ];

    /// The word in `status.json`.
    pub const fn name(self) -> &'static str {
        match self {
            Bucket::Productive => "productive",
            Bucket::Redo => "redo",
            Bucket::Discarded => "discarded",
            Bucket::Startup => "startup",
            Bucket::Saving => "saving",
            Bucket::Evaluation => "evaluation",
            Bucket::Hang => "hang",
            Bucket::Stopping => "stopping",
            Bucket::Backoff => "backoff",
            Bucket::Gates => "gates",
            Bucket::Other => "other",
        }
    }
}

/// Steps whose time is remembered one by one, so that a rollback can book it anew; older ones are kept as one sum.
const STEPS_REMEMBERED: usize = 100_000;

/// The ledger of a run, over all its attempts.
///
/// ```
/// use std::time::Duration;
/// use mainstay_core::time::Time;
/// use mainstay_core::training::goodput::{Bucket, Ledger};
///
/// let at = |seconds| Time::from_secs(1_000 + seconds);
/// let mut ledger = Ledger::new(at(0));
/// ledger.enter(Bucket::Startup, at(0));
/// ledger.handle_step(1, at(5));
/// ledger.handle_step(2, at(6));
/// ledger.handle_failure(at(7));
/// ledger.go_back(1, at(9));
/// assert_eq!(ledger.spent(Bucket::Startup), Duration::from_secs(5));
/// assert_eq!(ledger.spent(Bucket::Discarded), Duration::from_secs(1));
/// assert_eq!(ledger.total(), Duration::from_secs(9));
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Ledger {
    began: Time,
    /// What the time since `since` is booked as.
    current: Bucket,
    since: Time,
    spent: BTreeMap<Bucket, Duration>,
    /// The time of each step that is kept.
    steps: BTreeMap<u64, Duration>,
    /// The greatest step ever made.
    furthest: u64,
    failures: u32,
    lost_steps: u64,
}

impl Ledger {
    /// An empty ledger.
    pub fn new(now: Time) -> Ledger {
        Ledger {
            began: now,
            current: Bucket::Other,
            since: now,
            spent: BTreeMap::new(),
            steps: BTreeMap::new(),
            furthest: 0,
            failures: 0,
            lost_steps: 0,
        }
    }

    /// From now on time is spent on this.
    pub fn enter(&mut self, bucket: Bucket, now: Time) {
        self.book(now);
        self.current = bucket;
    }

    /// A step was made: the time since the last entry was spent on it, where nothing else is under way.
    pub fn handle_step(&mut self, step: u64, now: Time) {
        let stepping = matches!(self.current, Bucket::Productive | Bucket::Redo | Bucket::Other);
        if stepping {
            let took = now.since(self.since);
            let bucket = if step <= self.furthest { Bucket::Redo } else { Bucket::Productive };
            self.add(bucket, took);
            self.since = self.since.max(now);
            if bucket == Bucket::Productive {
                self.remember(step, took);
            }
        } else {
            self.book(now);
        }
        self.furthest = self.furthest.max(step);
        self.current = if step < self.furthest { Bucket::Redo } else { Bucket::Productive };
    }

    /// An attempt failed; what follows is neither step nor pause until it is entered.
    pub fn handle_failure(&mut self, now: Time) {
        self.book(now);
        self.current = Bucket::Other;
        self.failures += 1;
    }

    /// The run goes on from this step: the time of later ones was for nothing, and is booked so.
    pub fn go_back(&mut self, step: u64, now: Time) {
        self.book(now);
        let undone = self.steps.split_off(&(step + 1));
        self.lost_steps += self.furthest.saturating_sub(step);
        self.furthest = self.furthest.min(step);
        let time: Duration = undone.values().sum();
        let productive = self.spent.entry(Bucket::Productive).or_default();
        let time = time.min(*productive);
        *productive -= time;
        self.add(Bucket::Discarded, time);
    }

    /// Books the time up to now.
    pub fn book(&mut self, now: Time) {
        let took = now.since(self.since);
        self.since = self.since.max(now);
        self.add(self.current, took);
    }

    /// What was spent on a bucket.
    pub fn spent(&self, bucket: Bucket) -> Duration {
        self.spent.get(&bucket).copied().unwrap_or_default()
    }

    /// All that was booked: the time from the start to the last booking.
    pub fn total(&self) -> Duration {
        self.spent.values().sum()
    }

    /// When it began.
    pub const fn began(&self) -> Time {
        self.began
    }

    /// The share of time that went into steps which are kept; `None` before any time passed.
    pub fn goodput(&self) -> Option<f64> {
        let total = self.total().as_secs_f64();
        (total > 0.0).then(|| self.spent(Bucket::Productive).as_secs_f64() / total)
    }

    /// Attempts that failed.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Mean time between failures; `None` without any.
    pub fn between_failures(&self) -> Option<Duration> {
        (self.failures > 0).then(|| self.total() / self.failures)
    }

    /// Steps that were undone.
    pub const fn lost_steps(&self) -> u64 {
        self.lost_steps
    }

    /// How long `left` more steps take at the pace and the goodput so far; `None` before anything is known.
    pub fn remaining(&self, left: u64) -> Option<Duration> {
        let made = self.steps.len() as u64;
        let total = self.total();
        (made > 0).then(|| total.mul_f64(left as f64 / made as f64))
    }

    fn add(&mut self, bucket: Bucket, time: Duration) {
        *self.spent.entry(bucket).or_default() += time;
    }

    fn remember(&mut self, step: u64, took: Duration) {
        *self.steps.entry(step).or_default() += took;
        if self.steps.len() > STEPS_REMEMBERED
            && let Some((_, oldest)) = self.steps.pop_first()
            && let Some(mut next) = self.steps.first_entry()
        {
            *next.get_mut() += oldest;
        }
    }
}

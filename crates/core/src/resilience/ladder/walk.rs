//! One request's way down a ladder, under one deadline.

use std::time::Duration;

use crate::resilience::breaker::Phase;
use crate::route::Level;
use crate::time::Time;

use super::{Component, Entry};

/// What is kept back for the last local entry if it does not say how long it takes.
const RESERVE: Duration = Duration::from_millis(5);

/// What a request does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Ask the backend of this entry, for at most `timeout`.
    Remote {
        /// Index into the entries.
        entry: usize,
        /// How long the attempt may take: what the entry allows and the deadline leaves, less the reserve.
        timeout: Duration,
    },
    /// Answer here and now.
    Local {
        /// Index into the entries.
        entry: usize,
    },
    /// No entry is left.
    Exhausted,
}

/// One request's way down a ladder: from the current level deeper as attempts fail, all under ONE deadline.
///
/// Backends are asked only while more than a reserve is left, so that the last local entry always has its time; a local
/// entry is never skipped, even after the deadline.
///
/// ```
/// use mainstay_core::resilience::ladder::{Entry, Step, Walk};
/// use mainstay_core::route::Level;
/// use mainstay_core::time::Time;
/// use std::time::Duration;
///
/// let level = |n| Level::new(n).unwrap();
/// let entries = [Entry::remote(level(0), 0), Entry::remote(level(2), 1), Entry::local(level(4))];
/// let mut walk = Walk::new(&entries, Level::FULL, Time::from_millis(100), Time::ZERO);
///
/// let timeout = Duration::from_millis(95);
/// assert_eq!(walk.next(Time::ZERO), Step::Remote { entry: 0, timeout });
/// // It hung for its whole time: nothing is left for level 2, but level 4 has its five milliseconds.
/// assert_eq!(walk.next(Time::from_millis(95)), Step::Local { entry: 2 });
/// assert_eq!(walk.next(Time::from_millis(95)), Step::Exhausted);
/// ```
#[derive(Clone, Debug)]
pub struct Walk<'a> {
    entries: &'a [Entry],
    next: usize,
    probe: Option<usize>,
    deadline: Time,
    reserve: Duration,
}

/// A better entry than `start`, one of whose breakers wants to be tried and none of which forbids it, so that its recovery
/// does not wait for the ladder. `state` tells what a component's last health check said, and its breaker's phase. Where there are several
/// they take turns, by the request's random `key`: calls to the first may decide nothing, as those of callers that are over limits of their own.
pub fn probe(
    entries: &[Entry],
    start: Level,
    key: u64,
    state: impl Fn(Component) -> (Option<bool>, Phase),
) -> Option<usize> {
    let wants_probe = |entry: &Entry| {
        let mut half_open = false;
        for (check, phase) in entry.components().map(&state) {
            if check == Some(false) || matches!(phase, Phase::Open | Phase::ForcedOpen) {
                return false;
            }
            half_open |= phase == Phase::HalfOpen;
        }
        half_open
    };
    let better = entries.iter().take_while(|e| e.level < start).enumerate();
    let wanting = || better.clone().filter(|(_, entry)| wants_probe(entry)).map(|(at, _)| at);
    let count = wanting().count() as u64;
    (count > 0).then(|| wanting().nth((key % count) as usize)).flatten()
}

impl<'a> Walk<'a> {
    /// A walk from the first entry at `start` or deeper (the last entry if there is none) until `deadline`.
    pub fn new(entries: &'a [Entry], start: Level, deadline: Time, now: Time) -> Walk<'a> {
        let next = entries.iter().position(|entry| entry.level >= start).unwrap_or(entries.len().saturating_sub(1));
        let wanted = match entries.iter().rev().find(|entry| entry.is_local()) {
            Some(last_local) => last_local.timeout.unwrap_or(RESERVE),
            None => Duration::ZERO,
        };
        let reserve = wanted.min(deadline.since(now) / 2);
        Walk { entries, next, probe: None, deadline, reserve }
    }

    /// Tries the entry at index `entry`, above the start, before all others: it is asked whether it has recovered. Once
    /// the walk has begun, or where the entry is not above the start, nothing changes.
    pub fn with_probe(mut self, entry: usize) -> Walk<'a> {
        self.probe = (entry < self.next).then_some(entry);
        self
    }

    /// Goes on below this entry, which has been asked already.
    pub fn after(mut self, entry: usize) -> Walk<'a> {
        self.next = self.next.max(entry + 1);
        self
    }

    /// The time kept back for the last local entry.
    pub const fn reserve(&self) -> Duration {
        self.reserve
    }

    /// The next attempt, the one before having failed.
    pub fn next(&mut self, now: Time) -> Step {
        if let Some(timeout) = self.remote_time(now)
            && let Some(entry) = self.probe.take()
        {
            return self.step(entry, timeout);
        }
        while self.next < self.entries.len() {
            let entry = self.next;
            self.next += 1;
            if self.entries[entry].is_local() {
                return Step::Local { entry };
            }
            if let Some(timeout) = self.remote_time(now) {
                return self.step(entry, timeout);
            }
        }
        Step::Exhausted
    }

    fn step(&self, entry: usize, left: Duration) -> Step {
        let chosen = &self.entries[entry];
        if chosen.is_local() {
            return Step::Local { entry };
        }
        Step::Remote { entry, timeout: chosen.timeout.map_or(left, |timeout| timeout.min(left)) }
    }

    /// What the deadline leaves for a backend; `None` if nothing.
    fn remote_time(&self, now: Time) -> Option<Duration> {
        let left = self.deadline.since(now).saturating_sub(self.reserve);
        (left > Duration::ZERO).then_some(left)
    }
}

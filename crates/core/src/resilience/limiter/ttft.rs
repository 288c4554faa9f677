//! Excess time to first token: for backends that batch, such as language models.
//!
//! The latency of a whole answer is its length, not its wait; the time to the first token in excess of what an idle
//! backend needs *is* the queue, and is known within a fraction of a second. Additive increase, multiplicative
//! decrease on its p80. What is limited is plain concurrency.

use std::time::Duration;

use crate::stats::LogHistogram;
use crate::time::Time;

use super::{LimitReason, MAX_LIMIT, Slice};

/// The limit before anything is known.
pub(super) const INITIAL: u32 = 20;
/// A window's shortest duration.
const WINDOW: Duration = Duration::from_secs(1);
/// First tokens a window needs.
const SAMPLES: u64 = 5;
/// At most one decrease in this time: the effect of the last one shows only when its queue has drained.
const BETWEEN_DECREASES: Duration = Duration::from_secs(2);
/// No first token for this many targets while calls wait for one is a blackout.
const BLACKOUT_TARGETS: f64 = 3.0;
/// A blackout's step.
const BLACKOUT_FACTOR: f64 = 0.7;
/// How long the idle backend's time to first token is remembered.
const IDLE_MEMORY: Duration = Duration::from_mins(5);

#[derive(Clone, Debug)]
pub(super) struct Ttft {
    target_s: f64,
    limit: f64,
    window: Slice,
    opened: Time,
    decreased: Option<Time>,
    /// When a first token was last seen, or nobody waited for one.
    sign_of_life: Time,
    /// Lower envelope of the time to first token, in seconds: (this period's, the one's before).
    idle_s: [Option<f64>; 2],
    idle_since: Time,
}

impl Ttft {
    pub(super) fn new(target: Duration, now: Time) -> Ttft {
        Ttft {
            target_s: target.as_secs_f64().max(1e-3),
            limit: f64::from(INITIAL),
            window: Slice::new(),
            opened: now,
            decreased: None,
            sign_of_life: now,
            idle_s: [None; 2],
            idle_since: now,
        }
    }

    pub(super) fn unqueued(&self) -> Option<Duration> {
        let known = self.idle_s.into_iter().flatten().reduce(f64::min)?;
        Some(Duration::from_secs_f64(known))
    }

    pub(super) fn handle_window(&mut self, slice: &Slice, now: Time) -> Option<(f64, LimitReason)> {
        self.window.merge(slice);
        if slice.signal.count() > 0 || slice.in_flight <= slice.begun {
            self.sign_of_life = now;
        }
        if self.is_blackout(now) {
            return self.decrease(BLACKOUT_FACTOR, LimitReason::Blackout, now);
        }
        if now.since(self.opened) < WINDOW || self.window.signal.count() < SAMPLES {
            return None;
        }
        self.learn_idle(now);
        let p80 = self.window.signal.quantile(0.8)?.as_secs_f64();
        let excess = (p80 - self.unqueued().map_or(0.0, |idle| idle.as_secs_f64())).max(0.0);
        let limited = self.window.limited;
        self.window.clear();
        self.opened = now;
        if excess > self.target_s {
            return self.decrease((self.target_s / excess).clamp(0.7, 0.95), LimitReason::Queueing, now);
        }
        limited.then(|| self.increase(excess))
    }

    /// Calls fill at least half of the limit, and no first token for long: fewer calls must be what helps.
    fn is_blackout(&self, now: Time) -> bool {
        let idle = self.unqueued().map_or(0.0, |idle| idle.as_secs_f64());
        let patience = BLACKOUT_TARGETS * (self.target_s + idle);
        f64::from(self.window.in_flight) >= self.limit / 2.0 && now.since(self.sign_of_life).as_secs_f64() > patience
    }

    fn decrease(&mut self, factor: f64, why: LimitReason, now: Time) -> Option<(f64, LimitReason)> {
        if self.decreased.is_some_and(|last| now.since(last) < BETWEEN_DECREASES) {
            return None;
        }
        self.decreased = Some(now);
        self.limit = (self.limit * factor).max(1.0);
        Some((self.limit, why))
    }

    fn increase(&mut self, excess: f64) -> (f64, LimitReason) {
        let step = (0.03 * self.limit).max(1.0) * (1.0 - excess / self.target_s);
        self.limit = (self.limit + step).min(f64::from(MAX_LIMIT));
        (self.limit, LimitReason::Room)
    }

    /// Learns from windows that the limit did not touch: under the limit's pressure the fastest tenth waits as well.
    fn learn_idle(&mut self, now: Time) {
        if now.since(self.idle_since) >= IDLE_MEMORY && !self.window.limited {
            self.idle_s = [None, self.idle_s[0]];
            self.idle_since = now;
        }
        if self.window.limited && self.idle_s != [None; 2] {
            return;
        }
        let fastest = |seen: &LogHistogram| seen.quantile(0.1).map(|idle| idle.as_secs_f64());
        if let Some(seen) = fastest(&self.window.signal) {
            self.idle_s[0] = Some(self.idle_s[0].map_or(seen, |known| known.min(seen)));
        }
    }
}

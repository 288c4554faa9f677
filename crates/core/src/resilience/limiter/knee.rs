//! The knee of the load curve: rate times unqueued latency (Little's law), as BBR finds a path's capacity.
//!
//! ```text
//!              base is old and the limit is reached,
//!              or the rate fell while it is reached
//!   Follow ────────────────────────────────────────> Drain ── in flight <= limit ──> Settle ── window ──> Measure
//!     ^                                                ^                                                    │
//!     │                                                └──── rate did not fall: the queue is still there ───┤
//!     └───────────────────────────── rate fell: this is the latency without a queue ────────────────────────┘
//! ```
//!
//! `base` is the mean latency without a queue inside the backend. It is the least mean seen, and is measured afresh by
//! lowering the limit, but only while the limit is reached: a backend with room is never made to refuse anybody. A
//! backend that turned slow is recognised by a rate that fell although as much was in flight as before, and is
//! measured at once, and so is one most of whose calls run out of time. Measurements that find what was known grow rarer.
//! If the rate stays the same while fewer calls are in flight, what was measured was still a queue,
//! and the probe goes deeper; so a backend that lost servers is told from one whose every answer takes longer.

use std::time::Duration;

use crate::rng::Rng;
use crate::time::Time;

use super::{LimitReason, MAX_LIMIT, Slice};

/// Answers a window needs.
const SAMPLES: u64 = 20;
/// Answers a measurement needs: it stands alone, where windows are pooled.
const MEASURE_SAMPLES: u64 = 64;
/// Answers that a measurement needs to go deeper.
const DEEPER_SAMPLES: u64 = 3 * MEASURE_SAMPLES;
/// A window's shortest duration; it also lasts at least two mean latencies.
const WINDOW: Duration = Duration::from_millis(100);
/// The limit over the knee: a little queue keeps every server of the backend busy.
const GAIN: f64 = 1.2;
/// The same for small knees, per square root: room for the variation of few calls.
const GAIN_SQRT: f64 = 0.5;
/// A queue of so many seconds inside the backend costs less than a line in front of it: a backend that answers within
/// microseconds is not held to the few calls that would do.
const CHEAP: f64 = 0.005;
/// In flight at this share of the limit, the limit is what holds callers back.
const REACHED: f64 = 0.9;
/// How far a probe goes below the knee ...
const PROBE: f64 = 0.7;
/// ... and each further step of it.
const DEEPER: f64 = 0.5;
/// A probe that keeps this share of the rate has not reached the knee.
const RATE_KEPT: f64 = 0.92;
/// The base is measured afresh after this time (varied by a fifth, so that a fleet does not probe in step) ...
const REFRESH: Duration = Duration::from_secs(10);
/// Each measurement that finds what was known doubles the time until the next, up to so many times: a probe idles
/// servers.
const DOUBLINGS: u32 = 3;
/// A base within this share of the one before is the same.
const SAME: f64 = 0.25;
/// Below this share of the limit that the last measurement gave, the base is measured at once: under a base that is too
/// small each step down lowers the rate, and so the next step.
const SUNK: f64 = 0.85;
/// ... and after this many windows, so that slow backends are not probed all the time.
const REFRESH_WINDOWS: u32 = 60;
/// A limit within this multiple of its target is near it.
const NEAR: f64 = 1.2;
/// Least windows between probes for a fallen rate.
const SHIFT_WINDOWS: u32 = 8;
/// Windows remembered: the largest rate counts, and the mean latency of all their answers together.
const RECENT: usize = 6;
/// Drops above this share lower the limit.
const DROPS: f64 = 0.1;
/// Drops above this share say that most of what is in flight is for nothing: it has to go before anything is judged.
const FLOOD: f64 = 0.3;
/// The limit over what is in flight when callers do not reach it.
const SLACK: f64 = 3.0;

#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    initial: f64,
    min: f64,
    max: f64,
}

impl Bounds {
    pub(super) fn new(initial: u32, min: u32, max: u32) -> Bounds {
        let min = min.clamp(1, MAX_LIMIT);
        let max = max.clamp(min, MAX_LIMIT);
        Bounds { initial: f64::from(initial.clamp(min, max)), min: f64::from(min), max: f64::from(max) }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Knee {
    bounds: Bounds,
    rng: Rng,
    limit: f64,
    window: Slice,
    opened: Option<Time>,
    recent: [Window; RECENT],
    next: usize,
    base: Option<Base>,
    phase: Phase,
    /// Windows since the last probe.
    windows: u32,
    /// Consecutive windows in which the limit was reached and the rate was low.
    fallen: u32,
    /// No queue was ever seen: the limit doubles.
    ramping: bool,
    /// Doublings of the time between measurements.
    calm: u32,
    /// The limit that the last measurement gave.
    measured: f64,
}

/// What is remembered of a window: answers per second, answers, and the sum of their latencies in seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    rate: f64,
    answers: f64,
    latency_sum: f64,
}

/// The mean latency without a queue.
#[derive(Clone, Copy, Debug)]
struct Base {
    seconds: f64,
    /// Least mean since `at`: takes over when the base expires while there is room.
    fresh: f64,
    at: Time,
    refresh: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// The first window: of the first calls the short ones end first, so its mean says nothing.
    Start,
    Follow,
    /// Waiting until no more than the limit is in flight, at most until `until`.
    Drain {
        rate: f64,
        until: Time,
    },
    /// Waiting until what queued before the drain has been answered.
    Settle {
        rate: f64,
    },
    Measure {
        rate: f64,
    },
}

/// A closed window.
#[derive(Clone, Copy)]
struct Seen {
    mean: f64,
    answers: f64,
    rate: f64,
    reached: bool,
    in_flight_max: f64,
}

impl Knee {
    pub(super) fn new(bounds: Bounds, rng: Rng) -> Knee {
        Knee {
            bounds,
            rng,
            limit: bounds.initial,
            window: Slice::new(),
            opened: None,
            recent: [Window::default(); RECENT],
            next: 0,
            base: None,
            phase: Phase::Start,
            windows: 0,
            fallen: 0,
            ramping: true,
            calm: 0,
            measured: 0.0,
        }
    }

    pub(super) fn unqueued(&self) -> Option<Duration> {
        self.base.map(|base| Duration::from_secs_f64(base.seconds))
    }

    pub(super) fn handle_window(&mut self, slice: &Slice, now: Time) -> Option<(f64, LimitReason)> {
        let opened = *self.opened.get_or_insert(now);
        self.window.merge(slice);
        if let Phase::Drain { rate, until } = self.phase {
            if f64::from(slice.in_flight) <= self.limit || now >= until {
                self.phase = Phase::Settle { rate };
                self.reopen(now);
            }
            return None;
        }
        let mean = self.window.latency_mean_s();
        let elapsed = now.since(opened);
        let shortest = WINDOW.as_secs_f64().max(2.0 * mean.unwrap_or(0.0));
        let samples = if matches!(self.phase, Phase::Measure { .. }) { MEASURE_SAMPLES } else { SAMPLES };
        if self.window.finished() < samples || elapsed.as_secs_f64() < shortest || self.is_in_doubt(elapsed) {
            return None;
        }
        let step = self.handle_closed(mean, elapsed.as_secs_f64(), now);
        self.reopen(now);
        let (limit, why) = step?;
        self.limit = limit.clamp(self.bounds.min, self.bounds.max);
        Some((self.limit, why))
    }

    /// A measurement that says "deeper" idles most of the backend if it is wrong: it takes more answers than the other.
    fn is_in_doubt(&self, elapsed: Duration) -> bool {
        let Phase::Measure { rate } = self.phase else { return false };
        let kept = self.window.answered as f64 >= RATE_KEPT * rate * elapsed.as_secs_f64();
        kept && self.window.finished() < DEEPER_SAMPLES
    }

    fn reopen(&mut self, now: Time) {
        self.window.clear();
        self.opened = Some(now);
    }

    fn handle_closed(&mut self, mean: Option<f64>, elapsed: f64, now: Time) -> Option<(f64, LimitReason)> {
        let in_flight_max = f64::from(self.window.in_flight_max);
        let reached = self.window.limited || in_flight_max >= REACHED * self.limit.floor();
        self.windows = self.windows.saturating_add(1);
        // What ends while a drain settles began before it.
        let settles = matches!(self.phase, Phase::Settle { .. });
        if reached && !settles && self.window.dropped_share() > DROPS {
            return Some(self.shrink(mean.unwrap_or(elapsed), elapsed, now));
        }
        let answers = self.window.answered as f64;
        if let Phase::Settle { rate } = self.phase {
            self.phase = Phase::Measure { rate };
            return None;
        }
        let seen = Seen { mean: mean?, answers, rate: answers / elapsed, reached, in_flight_max };
        match self.phase {
            Phase::Start => {
                self.phase = Phase::Follow;
                None
            }
            Phase::Follow => self.follow(seen, now),
            Phase::Drain { .. } | Phase::Settle { .. } => None,
            Phase::Measure { rate } => Some(self.measured(rate, seen, now)),
        }
    }

    fn follow(&mut self, seen: Seen, now: Time) -> Option<(f64, LimitReason)> {
        let rate_before = self.rate();
        self.remember(seen);
        let base = self.learn_base(seen, now);
        if !seen.reached {
            self.ramping = false;
            self.fallen = 0;
            return self.idle(seen, base);
        }
        if self.ramping && seen.mean > 1.3 * base.seconds + CHEAP {
            // What was learnt while the limit doubled may have been a queue from the start.
            self.ramping = false;
            return Some(self.probe(self.below_knee(base), seen.rate, seen.mean, now));
        }
        let fell = seen.mean > 1.4 * base.seconds + CHEAP && seen.rate < 0.7 * rate_before;
        self.fallen = if fell { self.fallen + 1 } else { 0 };
        let shifted = self.fallen >= 2 && self.windows >= SHIFT_WINDOWS;
        // Draining far more than the knee would leave nobody served meanwhile: first down to about the knee.
        let near = self.limit <= NEAR * target(self.rate(), base.seconds);
        let sunk = self.limit < SUNK * self.measured;
        let old = now.since(base.at) >= base.refresh || sunk;
        let due = near && old && self.windows >= REFRESH_WINDOWS;
        if shifted || due {
            if shifted || sunk {
                self.calm = 0;
            }
            let rate = if shifted { seen.rate } else { self.rate_mean() };
            return Some(self.probe(self.below_knee(base), rate, seen.mean, now));
        }
        Some(self.pursue(seen, base))
    }

    /// The limit is reached: towards the knee.
    fn pursue(&self, seen: Seen, base: Base) -> (f64, LimitReason) {
        let target = target(self.rate(), base.seconds);
        let unqueued = seen.mean < 1.1 * base.seconds + CHEAP;
        if self.ramping {
            (self.limit * 2.0, LimitReason::Room)
        } else if unqueued {
            (target.clamp(self.limit * 1.1 + 1.0, self.limit * 1.25 + 1.0), LimitReason::Room)
        } else if target > self.limit {
            (target.min(self.limit * 1.25 + 1.0), LimitReason::Room)
        } else {
            (f64::midpoint(self.limit, target), LimitReason::Queueing)
        }
    }

    /// The callers do not reach the limit: keep it at a multiple of what they use.
    fn idle(&self, seen: Seen, base: Base) -> Option<(f64, LimitReason)> {
        let enough = (SLACK * seen.in_flight_max).max(self.bounds.initial);
        if self.limit > enough {
            Some((0.9 * self.limit + 0.1 * enough, LimitReason::Idle))
        } else if seen.mean < 1.3 * base.seconds + CHEAP {
            Some(((self.limit * 1.1).min(enough), LimitReason::Room))
        } else {
            None
        }
    }

    fn remember(&mut self, seen: Seen) {
        self.recent[self.next] =
            Window { rate: seen.rate, answers: seen.answers, latency_sum: seen.mean * seen.answers };
        self.next = (self.next + 1) % RECENT;
    }

    /// The base is the least mean of the recent windows *together*: the least of single ones would be an accident.
    fn learn_base(&mut self, seen: Seen, now: Time) -> Base {
        let answers: f64 = self.recent.iter().map(|window| window.answers).sum();
        let mean = self.recent.iter().map(|window| window.latency_sum).sum::<f64>() / answers;
        let renewed = match self.base {
            Some(base) if base.seconds <= mean => {
                let fresh = base.fresh.min(mean);
                let expired = !seen.reached && now.since(base.at) >= base.refresh;
                if expired { self.confirm(fresh, now) } else { Base { fresh, ..base } }
            }
            Some(_) | None => self.fresh_base(mean, now),
        };
        self.base = Some(renewed);
        renewed
    }

    /// A measurement: one like the last says that there is time until the next.
    fn confirm(&mut self, seconds: f64, now: Time) -> Base {
        let same = self.base.is_some_and(|base| (seconds / base.seconds - 1.0).abs() <= SAME);
        self.calm = if same { (self.calm + 1).min(DOUBLINGS) } else { 0 };
        self.fresh_base(seconds, now)
    }

    fn fresh_base(&mut self, seconds: f64, now: Time) -> Base {
        let refresh = REFRESH.mul_f64(self.rng.between(0.8, 1.2)) * (1 << self.calm);
        Base { seconds, fresh: f64::INFINITY, at: now, refresh }
    }

    /// Too much is dropped: down by a tenth, or by up to half and to a measurement once what is in flight has gone.
    fn shrink(&mut self, mean: f64, elapsed: f64, now: Time) -> (f64, LimitReason) {
        let share = self.window.dropped_share();
        if share <= FLOOD {
            self.phase = Phase::Follow;
            return (self.limit * 0.9, LimitReason::Drops);
        }
        self.calm = 0;
        let rate = self.window.answered as f64 / elapsed;
        let (limit, _) = self.probe(self.limit * (1.0 - share / 2.0), rate, mean, now);
        (limit, LimitReason::Drops)
    }

    fn probe(&mut self, limit: f64, rate: f64, mean: f64, now: Time) -> (f64, LimitReason) {
        self.windows = 0;
        self.fallen = 0;
        self.phase = Phase::Drain { rate, until: now + Duration::from_secs_f64((4.0 * mean).clamp(0.1, 60.0)) };
        (limit, LimitReason::Probe)
    }

    fn measured(&mut self, rate: f64, seen: Seen, now: Time) -> (f64, LimitReason) {
        if seen.rate >= RATE_KEPT * rate && seen.reached && self.limit > self.bounds.min {
            return self.probe(self.limit * DEEPER, rate.max(seen.rate), seen.mean, now);
        }
        self.phase = Phase::Follow;
        self.base = Some(self.confirm(seen.mean, now));
        self.recent = [Window::default(); RECENT];
        self.remember(Seen { rate: rate.max(seen.rate), ..seen });
        self.measured = target(self.rate(), seen.mean);
        (self.measured, LimitReason::Measured)
    }

    /// Where a probe begins.
    fn below_knee(&self, base: Base) -> f64 {
        self.limit.min(self.rate() * base.seconds) * PROBE
    }

    fn rate(&self) -> f64 {
        self.recent.iter().map(|window| window.rate).fold(0.0, f64::max)
    }

    fn rate_mean(&self) -> f64 {
        let rates = || self.recent.iter().map(|window| window.rate).filter(|rate| *rate > 0.0);
        rates().sum::<f64>() / rates().count().max(1) as f64
    }
}

fn target(rate: f64, base_s: f64) -> f64 {
    let knee = rate * base_s;
    knee * GAIN + knee.sqrt() * GAIN_SQRT + rate * CHEAP
}

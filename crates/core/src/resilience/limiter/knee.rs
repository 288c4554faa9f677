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
//! measured at once. If the rate stays the same while fewer calls are in flight, what was measured was still a queue,
//! and the probe goes deeper; so a backend that lost servers is told from one whose every answer takes longer.

use std::time::Duration;

use crate::rng::Rng;
use crate::time::Time;

use super::{LimitReason, MAX_LIMIT, Slice};

/// Answers a window needs.
const SAMPLES: u64 = 20;
/// A window's shortest duration; it also lasts at least two mean latencies.
const WINDOW: Duration = Duration::from_millis(100);
/// The limit over the knee: a little queue keeps every server of the backend busy.
const GAIN: f64 = 1.2;
/// The same for small knees, per square root: room for the variation of few calls.
const GAIN_SQRT: f64 = 0.5;
/// In flight at this share of the limit, the limit is what holds callers back.
const REACHED: f64 = 0.9;
/// How far a probe goes below the knee, and each further step of it.
const PROBE: f64 = 0.7;
/// A probe that keeps this share of the rate has not reached the knee.
const RATE_KEPT: f64 = 0.9;
/// The base is measured afresh after this time (varied by a fifth, so that a fleet does not probe in step) ...
const REFRESH: Duration = Duration::from_secs(10);
/// ... and after this many windows, so that slow backends are not probed all the time.
const REFRESH_WINDOWS: u32 = 30;
/// Least windows between probes for a fallen rate.
const SHIFT_WINDOWS: u32 = 8;
/// Rates remembered; the largest counts.
const RATES: usize = 6;
/// Drops above this share lower the limit.
const DROPS: f64 = 0.1;
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
    /// Rates of the last windows in answers per second.
    rates: [f64; RATES],
    next_rate: usize,
    base: Option<Base>,
    phase: Phase,
    /// Windows since the last probe.
    windows: u32,
    /// Consecutive windows in which the limit was reached and the rate was low.
    fallen: u32,
    /// No queue was ever seen: the limit doubles.
    ramping: bool,
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
            rates: [0.0; RATES],
            next_rate: 0,
            base: None,
            phase: Phase::Follow,
            windows: 0,
            fallen: 0,
            ramping: true,
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
        if self.window.finished() < SAMPLES || elapsed.as_secs_f64() < shortest {
            return None;
        }
        let step = self.handle_closed(mean, elapsed.as_secs_f64(), now);
        self.reopen(now);
        let (limit, why) = step?;
        self.limit = limit.clamp(self.bounds.min, self.bounds.max);
        Some((self.limit, why))
    }

    fn reopen(&mut self, now: Time) {
        self.window.clear();
        self.opened = Some(now);
    }

    fn handle_closed(&mut self, mean: Option<f64>, elapsed: f64, now: Time) -> Option<(f64, LimitReason)> {
        let in_flight_max = f64::from(self.window.in_flight_max);
        let reached = self.window.limited || in_flight_max >= REACHED * self.limit;
        self.windows = self.windows.saturating_add(1);
        if reached && self.window.dropped_share() > DROPS {
            self.phase = Phase::Follow;
            return Some((self.limit * 0.9, LimitReason::Drops));
        }
        let seen = Seen { mean: mean?, rate: self.window.answered as f64 / elapsed, reached, in_flight_max };
        match self.phase {
            Phase::Follow => self.follow(seen, now),
            Phase::Drain { .. } => None,
            Phase::Settle { rate } => {
                self.phase = Phase::Measure { rate };
                None
            }
            Phase::Measure { rate } => Some(self.measured(rate, seen, now)),
        }
    }

    fn follow(&mut self, seen: Seen, now: Time) -> Option<(f64, LimitReason)> {
        let rate_before = self.rate();
        self.rates[self.next_rate] = seen.rate;
        self.next_rate = (self.next_rate + 1) % RATES;
        let base = self.learn_base(seen, now);
        self.ramping &= seen.mean < 1.3 * base.seconds;
        if !seen.reached {
            self.fallen = 0;
            return self.idle(seen, base);
        }
        let fell = seen.mean > 1.4 * base.seconds && seen.rate < 0.7 * rate_before;
        self.fallen = if fell { self.fallen + 1 } else { 0 };
        let shifted = self.fallen >= 2 && self.windows >= SHIFT_WINDOWS;
        if shifted || (now.since(base.at) >= base.refresh && self.windows >= REFRESH_WINDOWS) {
            let from = self.limit.min(self.rate() * base.seconds);
            return Some(self.probe(from, seen.rate, seen.mean, now));
        }
        Some(self.pursue(seen, base))
    }

    /// The limit is reached: towards the knee.
    fn pursue(&self, seen: Seen, base: Base) -> (f64, LimitReason) {
        let target = target(self.rate() * base.seconds);
        let unqueued = seen.mean < 1.1 * base.seconds;
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
        } else if seen.mean < 1.3 * base.seconds {
            Some(((self.limit * 1.1).min(enough), LimitReason::Room))
        } else {
            None
        }
    }

    fn learn_base(&mut self, seen: Seen, now: Time) -> Base {
        let renewed = match self.base {
            Some(base) if base.seconds <= seen.mean => {
                let fresh = base.fresh.min(seen.mean);
                let expired = !seen.reached && now.since(base.at) >= base.refresh;
                if expired { self.fresh_base(fresh, now) } else { Base { fresh, ..base } }
            }
            Some(_) | None => self.fresh_base(seen.mean, now),
        };
        self.base = Some(renewed);
        renewed
    }

    fn fresh_base(&mut self, seconds: f64, now: Time) -> Base {
        let refresh = REFRESH.mul_f64(self.rng.between(0.8, 1.2));
        Base { seconds, fresh: f64::INFINITY, at: now, refresh }
    }

    fn probe(&mut self, from: f64, rate: f64, mean: f64, now: Time) -> (f64, LimitReason) {
        self.windows = 0;
        self.fallen = 0;
        self.phase = Phase::Drain { rate, until: now + Duration::from_secs_f64((4.0 * mean).clamp(0.1, 60.0)) };
        (from * PROBE, LimitReason::Probe)
    }

    fn measured(&mut self, rate: f64, seen: Seen, now: Time) -> (f64, LimitReason) {
        if seen.rate >= RATE_KEPT * rate && seen.reached && self.limit > self.bounds.min {
            return self.probe(self.limit, rate, seen.mean, now);
        }
        self.phase = Phase::Follow;
        self.base = Some(self.fresh_base(seen.mean, now));
        self.rates = [0.0; RATES];
        self.rates[0] = rate.max(seen.rate);
        self.next_rate = 1;
        (target(self.rates[0] * seen.mean), LimitReason::Measured)
    }

    fn rate(&self) -> f64 {
        self.rates.into_iter().fold(0.0, f64::max)
    }
}

fn target(knee: f64) -> f64 {
    knee * GAIN + knee.sqrt() * GAIN_SQRT
}

//! p95 of whole-answer latency against a target.
//!
//! The steps are applied once per window of at least a second and at least [`SAMPLES`] answers, each window with its
//! own answers only: the gain does not grow with traffic and nothing old holds the limit down.

use std::time::Duration;

use crate::time::Time;

use super::{LimitReason, Slice};

/// Answers a window needs before its p95 says anything.
const SAMPLES: u64 = 100;
/// A window's shortest duration.
const WINDOW: Duration = Duration::from_secs(1);
/// Where a p95 between the target and twice the target stops lowering the limit, in multiples of the base.
const MILD_FLOOR: f64 = 0.7;

#[derive(Clone, Debug)]
pub(super) struct Latency {
    target_s: f64,
    base: f64,
    floor: f64,
    ceiling: f64,
    limit: f64,
    window: Slice,
    opened: Option<Time>,
}

impl Latency {
    pub(super) fn new(target: Duration, base: u32, floor: f64, ceiling: f64) -> Latency {
        let base = f64::from(base.max(1));
        Latency {
            target_s: target.as_secs_f64(),
            base,
            floor: base * floor,
            ceiling: base * ceiling.max(floor),
            limit: base,
            window: Slice::new(),
            opened: None,
        }
    }

    pub(super) fn handle_window(&mut self, slice: &Slice, now: Time) -> Option<(f64, LimitReason)> {
        let opened = *self.opened.get_or_insert(now);
        self.window.merge(slice);
        if now.since(opened) < WINDOW || self.window.signal.count() < SAMPLES {
            return None;
        }
        let p95 = self.window.signal.quantile(0.95)?.as_secs_f64();
        self.window.clear();
        self.opened = Some(now);
        let (limit, why) = self.step(p95 / self.target_s);
        self.limit = limit.clamp(self.floor, self.ceiling);
        Some((self.limit, why))
    }

    fn step(&self, ratio: f64) -> (f64, LimitReason) {
        if ratio > 2.0 {
            (self.limit * 0.8, LimitReason::Queueing)
        } else if ratio > 1.0 {
            ((self.limit * 0.95).max(self.base * MILD_FLOOR).min(self.limit), LimitReason::Queueing)
        } else if ratio < 0.5 {
            (self.limit * 1.05, LimitReason::Room)
        } else {
            (self.limit, LimitReason::Room)
        }
    }
}

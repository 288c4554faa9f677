//! Whether a second attempt is sent beside one that is late (Dean and Barroso, "The Tail at Scale", 2013).
//!
//! The delay is the 95th percentile of the backend's own latencies, or the later one that fewer calls exceed than the
//! budget (2 %) can hedge: spent on the first that are late, it would be gone when the latest come. There is no hedging before 200 samples, while the limiter is saturated, or while the
//! breaker is not closed: then the backend lacks capacity, and a second attempt would take more of it.

use crate::resilience::retry::RetryBudget;
use crate::stats::LogHistogram;
use crate::time::Time;
use std::time::Duration;

/// A second attempt is pointless when less time than this would be left for it.
pub const LEFT_MIN: Duration = Duration::from_millis(10);

/// When and how much is hedged.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The quantile of the latency after which a call is late, or `1 - 0.85 x share` if that is higher. Default 0.95.
    pub quantile: f64,
    /// Fewest latencies to know the quantile. Default 200.
    pub samples_min: u64,
    /// Most hedges per call. Default 0.02.
    pub share: f64,
    /// Latencies are forgotten after one to two of these. Default 60 s.
    pub period: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config { quantile: 0.95, samples_min: 200, share: 0.02, period: Duration::from_mins(1) }
    }
}

/// The state of the backend that a hedge would go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// Its breaker is closed and its limiter admits.
    Spare,
    /// Its limiter is saturated or its breaker is not closed.
    Short,
}

/// The hedging of one backend.
///
/// ```
/// use mainstay_core::resilience::hedge::{Capacity, Config, Hedge};
/// use mainstay_core::time::Time;
/// use std::time::Duration;
///
/// let now = Time::from_secs(100);
/// let mut hedge = Hedge::new(Config::default(), now);
/// for ms in 0..1_000 {
///     hedge.handle_call(now);
///     hedge.handle_latency(Duration::from_millis(ms), now);
/// }
/// let late = hedge.delay(Capacity::Spare, now).unwrap().as_secs_f64();
/// assert!((late / 0.983 - 1.0).abs() < 0.06);
/// assert_eq!(hedge.delay(Capacity::Short, now), None);
/// ```
#[derive(Clone, Debug)]
pub struct Hedge {
    config: Config,
    current: Box<Period>,
    last: Box<Period>,
    ends: Time,
    /// Hedges that were earned and not spent.
    credit: f64,
    /// The answer of [`Hedge::delay`], until so many samples were counted.
    known: Option<(u64, Option<Duration>)>,
}

#[derive(Clone, Debug, Default)]
struct Period {
    latencies: LogHistogram,
    calls: u64,
}

/// What is not spent is kept for a bunch of late calls: at most what the last one to two periods earned, or this much where that is
/// less, since few calls earn too little for their bunches.
const CREDIT_LEAST: f64 = 50.0;
/// The part of [`Hedge::credit_max`] that is left to those that are later than late by as much again: what comes then may not come at all.
const RESERVE: f64 = 0.2;
/// The part of the budget that the late are to spend in the mean: were it all of it, bunches would find nothing, and the latest come in
/// bunches.
const SPENT: f64 = 0.85;
/// The part of the share that a call earns: the rest pays for what calls before it left over, so that an hour's hedges are within its share.
const EARNED: f64 = 0.95;
/// What adding up shares may be off.
const ROUNDING: f64 = 1e-9;

/// The quantile is computed anew after so many samples.
const REFRESH_EVERY: u64 = 64;

impl Hedge {
    /// Knows nothing yet.
    pub fn new(config: Config, now: Time) -> Hedge {
        let ends = now + config.period;
        Hedge { config, current: Box::default(), last: Box::default(), ends, credit: 0.0, known: None }
    }

    /// A first attempt was sent.
    pub fn handle_call(&mut self, now: Time) {
        self.handle_timeout(now);
        self.current.calls += 1;
        self.credit = (self.credit + EARNED * self.config.share).min(self.credit_max());
    }

    /// An attempt took so long to its first byte, or so long until it lost against its hedge without one: it would have taken longer still.
    /// Without the latter the late would be missing, and the delay would shrink from period to period. A hedge that lost is no sample.
    pub fn handle_latency(&mut self, latency: Duration, now: Time) {
        self.handle_timeout(now);
        self.current.latencies.record(latency);
    }

    /// How long to wait before a call is late: twice as long while little of the budget is left; `None`: do not hedge.
    pub fn delay(&mut self, capacity: Capacity, now: Time) -> Option<Duration> {
        self.handle_timeout(now);
        match capacity {
            Capacity::Short => None,
            Capacity::Spare => {
                let is_short = self.credit < RESERVE * self.credit_max();
                self.late_after().map(|late| if is_short { late * 2 } else { late })
            }
        }
    }

    /// What is kept of the budget at most.
    fn credit_max(&self) -> f64 {
        let lately = self.config.share * (self.current.calls + self.last.calls) as f64;
        lately.max(CREDIT_LEAST)
    }

    /// A call is late: asks to send another one; spends the budget if it is granted.
    pub fn handle_late(&mut self, capacity: Capacity, now: Time) -> bool {
        let granted = self.may_be_late(capacity, now);
        self.credit -= f64::from(u8::from(granted));
        granted
    }

    /// Whether [`handle_late_within`](Hedge::handle_late_within) would grant another call at this moment. Nothing is spent: where to send it can
    /// be looked for first, and is paid for once it is found.
    pub fn may_be_late_within(&mut self, retries: &mut RetryBudget, capacity: Capacity, now: Time) -> bool {
        retries.available(now) >= 1.0 && self.may_be_late(capacity, now)
    }

    fn may_be_late(&mut self, capacity: Capacity, now: Time) -> bool {
        self.handle_timeout(now);
        capacity == Capacity::Spare && self.credit > 1.0 - ROUNDING
    }

    /// As [`handle_late`](Hedge::handle_late), within the route's budget of retries as well: what one of them refuses, the other is not charged for.
    pub fn handle_late_within(&mut self, retries: &mut RetryBudget, capacity: Capacity, now: Time) -> bool {
        retries.available(now) >= 1.0 && self.handle_late(capacity, now) && retries.handle_retry(1.0, now)
    }

    /// Forgets the period before the last.
    pub fn handle_timeout(&mut self, now: Time) {
        if now < self.ends {
            return;
        }
        // After two quiet periods, neither is worth keeping.
        self.last = std::mem::take(&mut self.current);
        if now.since(self.ends) >= self.config.period {
            *self.last = Period::default();
        }
        self.ends = now + self.config.period;
        self.known = None;
    }

    fn late_after(&mut self) -> Option<Duration> {
        let samples = self.current.latencies.count() + self.last.latencies.count();
        match self.known {
            Some((fresh_until, late_after)) if samples < fresh_until => late_after,
            Some(_) | None => {
                let late_after = (samples >= self.config.samples_min).then(|| self.quantile()).flatten();
                let wait = if late_after.is_some() { REFRESH_EVERY } else { self.config.samples_min - samples };
                self.known = Some((samples + wait.max(1), late_after));
                late_after
            }
        }
    }

    fn quantile(&self) -> Option<Duration> {
        let mut both = self.last.latencies.clone();
        both.merge(&self.current.latencies);
        both.quantile(self.config.quantile.max(1.0 - SPENT * self.config.share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn one_percent_stalls_are_hedged_within_two_percent() {
        let (mut now, mut rng) = (Time::from_secs(1_000), Rng::new(3));
        let mut hedge = Hedge::new(Config::default(), now);
        let (mut plain, mut hedged, mut extra) = (LogHistogram::new(), LogHistogram::new(), 0);
        let mut draw = || {
            let stalled = rng.unit() < 0.01;
            Duration::from_secs_f64(if stalled { 2.0 } else { 0.02 + rng.exponential(0.004) })
        };
        let calls = 100_000;
        for _ in 0..calls {
            now = now + Duration::from_millis(10);
            hedge.handle_call(now);
            let first = draw();
            let mut taken = first;
            if let Some(late) = hedge.delay(Capacity::Spare, now)
                && first > late
                && hedge.handle_late(Capacity::Spare, now)
            {
                extra += 1;
                taken = first.min(late + draw());
            }
            hedge.handle_latency(first, now);
            plain.record(first);
            hedged.record(taken);
        }
        assert!(extra <= calls / 50, "{extra} hedges of {calls} calls");
        let (before, after) = (plain.quantile(0.995).unwrap(), hedged.quantile(0.995).unwrap());
        assert!(after * 2 <= before, "p99.5 {before:?} became {after:?}");
    }

    #[test]
    fn who_only_asks_pays_nothing() {
        use crate::resilience::retry::BudgetConfig;
        let now = Time::from_secs(1_000);
        let mut hedge = Hedge::new(Config::default(), now);
        let mut retries = RetryBudget::new(BudgetConfig { floor_per_s: 0.1, ..BudgetConfig::default() }, now);
        (0..120).for_each(|_| hedge.handle_call(now));
        for _ in 0..10 {
            assert!(hedge.may_be_late_within(&mut retries, Capacity::Spare, now));
            assert!(!hedge.may_be_late_within(&mut retries, Capacity::Short, now));
        }
        assert!(hedge.handle_late_within(&mut retries, Capacity::Spare, now));
        // One retry's cost was all there was, and of the hedges one of two is left.
        assert!(!hedge.may_be_late_within(&mut retries, Capacity::Spare, now));
        assert!(!hedge.handle_late_within(&mut retries, Capacity::Spare, now));
        retries.handle_admitted(100.0, now);
        assert!(hedge.handle_late_within(&mut retries, Capacity::Spare, now));
        assert!(!hedge.may_be_late_within(&mut retries, Capacity::Spare, now));
    }

    #[test]
    fn old_latencies_are_forgotten() {
        let now = Time::from_secs(1_000);
        let mut hedge = Hedge::new(Config::default(), now);
        for _ in 0..500 {
            hedge.handle_call(now);
            hedge.handle_latency(Duration::from_millis(10), now);
        }
        assert!(hedge.delay(Capacity::Spare, now + Duration::from_secs(100)).is_some());
        assert!(hedge.handle_late(Capacity::Spare, now + Duration::from_secs(100)));
        assert!(!hedge.handle_late(Capacity::Short, now + Duration::from_secs(100)));
        assert_eq!(hedge.delay(Capacity::Spare, now + Duration::from_mins(4)), None);
    }
}

//! Alerts on how fast a budget burns: two windows each, at four speeds (Google, *The Site Reliability Workbook*, chapter 5).

use std::time::Duration;

use crate::stats::binomial;

use super::series::Counts;

/// What an alert asks for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// Somebody looks at it in working hours.
    Ticket,
    /// Somebody is woken.
    Page,
}

impl Severity {
    /// The name that the API uses.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Ticket => "ticket",
            Severity::Page => "page",
        }
    }
}

/// A pair of windows: both must burn faster than `factor`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Pair {
    /// What it asks for.
    pub severity: Severity,
    /// The share of the whole budget that `long` spends at `factor`.
    pub budget: f64,
    /// Shows that it matters.
    pub long: Duration,
    /// Shows that it still goes on.
    pub short: Duration,
    /// The burn rate from which on it fires.
    pub factor: f64,
}

/// Share of the budget, long window, short window, at a window of four weeks or more.
const TABLE: [(Severity, f64, Duration, Duration); 4] = [
    (Severity::Page, 0.02, Duration::from_hours(1), Duration::from_mins(5)),
    (Severity::Page, 0.05, Duration::from_hours(6), Duration::from_mins(30)),
    (Severity::Ticket, 0.10, Duration::from_hours(24), Duration::from_hours(2)),
    (Severity::Ticket, 0.10, Duration::from_hours(72), Duration::from_hours(6)),
];

/// From this window on the pairs keep their lengths.
const FULL: Duration = Duration::from_hours(28 * 24);
/// Shorter windows hold too little to go by.
const LONG_LEAST: Duration = Duration::from_mins(5);
const SHORT_LEAST: Duration = Duration::from_mins(1);
/// A pair that would fire while the budget lasts is none.
const FACTOR_LEAST: f64 = 0.9;

/// The pairs for a window: factor = share of budget x window / long. At 30 d they are 14.4, 6, 3 and 1. Below four weeks the pairs
/// shrink with the window; those that become too short to mean anything are left out.
///
/// ```
/// use std::time::Duration;
/// use mainstay_core::slo::burn::pairs;
///
/// let factors: Vec<f64> = pairs(Duration::from_hours(30 * 24)).iter().map(|pair| (pair.factor * 1e6).round() / 1e6).collect();
/// assert_eq!(factors, [14.4, 6.0, 3.0, 1.0]);
/// ```
pub fn pairs(window: Duration) -> Vec<Pair> {
    let scale = (window.as_secs_f64() / FULL.as_secs_f64()).min(1.0);
    let mut pairs: Vec<Pair> = Vec::new();
    for (severity, budget, long, short) in TABLE {
        let long = whole_seconds(long.mul_f64(scale)).max(LONG_LEAST);
        let short = whole_seconds(short.mul_f64(scale)).max(SHORT_LEAST);
        let factor = budget * window.as_secs_f64() / long.as_secs_f64();
        let is_new = pairs.iter().all(|pair| pair.long != long);
        if factor >= FACTOR_LEAST && long <= window && short < long && is_new {
            pairs.push(Pair { severity, budget, long, short, factor });
        }
    }
    pairs
}

fn whole_seconds(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs_f64().round() as u64)
}

impl Pair {
    /// Whether the pair can ever fire: a burn rate is at most 1 / allowed.
    pub fn is_reachable(&self, allowed: f64) -> bool {
        allowed <= 0.0 || self.factor < 1.0 / allowed
    }

    /// How long a steady burn takes to be noticed from a clean slate; `None` where it never is.
    pub fn detection(&self, burn: f64) -> Option<Duration> {
        (burn > self.factor).then(|| self.long.mul_f64(self.factor / burn))
    }

    /// Whether both windows burn faster than the factor, and the long one shows by itself that the budget is overspent: at least
    /// [`BAD_LEAST`] bad events, and more than chance brings at the objective (one in 100,000 looks).
    pub fn fires(&self, long: Counts, short: Counts, allowed: f64) -> bool {
        let burns = |counts: Counts| counts.bad_share().is_some_and(|share| share > self.factor * allowed);
        burns(long) && burns(short) && long.bad >= BAD_LEAST && is_beyond_chance(long, allowed)
    }
}

/// Fewer bad events than this fire nothing.
pub const BAD_LEAST: u64 = 3;
/// The chance that a window of traffic at exactly the objective looks as bad as one that fires.
pub const CHANCE: f64 = 1e-5;

/// Whether the lower bound of the bad share, at 1 - [`CHANCE`], is above what is allowed (Clopper and Pearson).
fn is_beyond_chance(counts: Counts, allowed: f64) -> bool {
    binomial::at_least(counts.bad, counts.total(), allowed) < CHANCE
}

/// The burn rate of a stretch: its bad share over what is allowed. `None` without events or where nothing is allowed.
pub fn rate(counts: Counts, allowed: f64) -> Option<f64> {
    if allowed <= 0.0 { None } else { counts.bad_share().map(|share| share / allowed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_follow_the_window() {
        let table = |days: u64| -> Vec<(u64, u64, f64)> {
            let pairs = pairs(Duration::from_hours(24 * days));
            pairs.iter().map(|p| (p.long.as_secs(), p.short.as_secs(), (p.factor * 1000.0).round() / 1000.0)).collect()
        };
        assert_eq!(table(28), [(3600, 300, 13.44), (21_600, 1800, 5.6), (86_400, 7200, 2.8), (259_200, 21_600, 0.933)]);
        assert_eq!(table(7), [(900, 75, 13.44), (5400, 450, 5.6), (21_600, 1800, 2.8), (64_800, 5400, 0.933)]);
        assert_eq!(table(1), [(300, 60, 5.76), (771, 64, 5.603), (3086, 257, 2.8), (9257, 771, 0.933)]);
    }

    #[test]
    fn an_hour_has_only_pairs_that_mean_something() {
        for pair in pairs(Duration::from_hours(1)) {
            assert!(pair.factor >= FACTOR_LEAST && pair.short < pair.long && pair.long <= Duration::from_hours(1));
        }
    }

    #[test]
    fn thresholds_that_cannot_be_reached_are_known() {
        let pairs = pairs(Duration::from_hours(30 * 24));
        let reachable = |target: f64| pairs.iter().map(|pair| pair.is_reachable(1.0 - target)).collect::<Vec<_>>();
        assert_eq!(reachable(0.999), [true, true, true, true]);
        assert_eq!(reachable(0.93), [false, true, true, true]);
        assert_eq!(reachable(0.8), [false, false, true, true]);
    }

    #[test]
    fn one_bad_request_in_forty_fires_nothing() {
        let counts = Counts { good: 39, bad: 1 };
        for pair in pairs(Duration::from_hours(30 * 24)) {
            assert!(!pair.fires(counts, counts, 0.001));
        }
    }
}

//! How an objective stands.

use std::time::Duration;

use crate::slo::budget::{Budget, Forecast};
use crate::slo::series::Counts;
use crate::slo::window::Stretch;
use crate::stats::Interval;
use crate::time::Time;

use super::effect::Alert;
use super::tracker::{FirstBad, Signal};

/// How an objective stands over its window.
#[derive(Clone, PartialEq, Debug)]
pub struct Answer {
    /// The objective's name.
    pub objective: String,
    /// The window so far.
    pub window: Stretch,
    /// From when on events were counted: the start of the bucket that holds the window's far edge.
    pub counted_from: Time,
    /// The events, or the slices, that count. Slices of `RatioTimeSlices` count a million parts each.
    pub counts: Counts,
    /// The share of good ones; `None` without any.
    pub sli: Option<f64>,
    /// What is left. Of a safety objective the worse of its two verdicts: tolerance and rate.
    pub budget: Budget,
    /// Where it is heading.
    pub forecast: Forecast,
    /// Burn rates by window, shortest first.
    pub burn: Vec<Burn>,
    /// Alerts that fire.
    pub alerts: Vec<Alert>,
    /// Why there may be no counts.
    pub signal: Signal,
    /// The event that spent a budget which tolerates none.
    pub first_bad: Option<FirstBad>,
    /// What can be said of a safety objective's rate.
    pub claim: Option<Claim>,
    /// Slices that have begun and are not judged.
    pub pending: usize,
    /// The share of the budget that is left if all pending slices turn out bad, and if all turn out good; `None` without any.
    pub bounds: Option<Interval>,
    /// Real percentiles of a latency objective's route.
    pub percentiles: Vec<Percentile>,
}

/// A burn rate.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Burn {
    /// The window.
    pub window: Duration,
    /// The rate; `None` without events, or where nothing is allowed.
    pub rate: Option<f64>,
}

/// What events say about a rare rate.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Claim {
    /// The rate that was seen.
    pub point: Option<f64>,
    /// With 95 % confidence the rate is at most this (Clopper and Pearson).
    pub at_most: f64,
    /// How many times likelier a rate above the bound makes what was seen; 20 and more alarm.
    pub evidence: f64,
    /// Whether it ever reached 20.
    pub alarms: bool,
}

/// A percentile of latencies.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Percentile {
    /// Which, within (0, 1).
    pub q: f64,
    /// Its value.
    pub value: Duration,
}

/// The percentiles that are shown.
pub const PERCENTILES: [f64; 5] = [0.5, 0.9, 0.95, 0.99, 0.999];

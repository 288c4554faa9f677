//! Numbers on their way to a metrics page: families of samples, in no one's wire format.

use std::collections::BTreeMap;

use crate::time::Time;

/// Samples that share a name.
#[derive(Clone, PartialEq, Debug)]
pub struct Family {
    /// Full name as exposed, without the `_total` that counters get at exposition: `mainstay_requests`.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// One per combination of labels.
    pub samples: Vec<Sample>,
}

/// What kind of number a family holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by bucket.
    Histogram,
}

/// One number and its labels.
#[derive(Clone, PartialEq, Debug)]
pub struct Sample {
    /// Name and value, in a fixed order.
    pub labels: Vec<(&'static str, String)>,
    /// The number.
    pub value: Value,
}

/// A sample's number.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// Of a counter.
    Count(u64),
    /// Of a gauge.
    Gauge(f64),
    /// Of a histogram.
    Histogram(Histogram),
}

/// Counts by bucket, in base units (seconds, ratios).
#[derive(Clone, PartialEq, Debug)]
pub struct Histogram {
    /// Upper bounds, ascending, without the last, infinite one.
    pub bounds: &'static [f64],
    /// How many observations fell into each bucket (not cumulated); one more than `bounds`.
    pub counts: Vec<u64>,
    /// The sum of all observations.
    pub sum: f64,
    /// By bucket: an observation that somebody can look at.
    pub exemplars: BTreeMap<usize, Exemplar>,
}

/// An observation that somebody can look at.
#[derive(Clone, PartialEq, Debug)]
pub struct Exemplar {
    /// Where to look: names and values of at most 128 characters together.
    pub labels: Vec<(&'static str, String)>,
    /// What was observed.
    pub value: f64,
    /// When.
    pub at: Time,
}

/// Bounds for durations in seconds: 0.5 ms to 120 s.
pub const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

/// Bounds for what the gateway itself adds, in seconds: 10 us to 100 ms.
pub const OVERHEAD_SECONDS: &[f64] =
    &[0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1];

/// Bounds for ratios from 0 to 1.
pub const RATIO: &[f64] = &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0];

/// Bounds for times until the first token, in seconds (OpenTelemetry's conventions for generative AI).
pub const GENAI_FIRST_TOKEN: &[f64] =
    &[0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Bounds for times between tokens, in seconds (the same source).
pub const GENAI_PER_TOKEN: &[f64] = &[0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5];

/// Bounds for whole requests of language models, in seconds (the same source).
pub const GENAI_DURATION: &[f64] =
    &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];

/// Bounds for tokens of a request or an answer (the same source).
pub const GENAI_TOKENS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

impl Histogram {
    /// An empty histogram.
    pub fn new(bounds: &'static [f64]) -> Histogram {
        Histogram { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0, exemplars: BTreeMap::new() }
    }

    /// Counts one observation.
    pub fn observe(&mut self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket] += 1;
        self.sum += value;
    }

    /// Adds another histogram with the same bounds, and empties it.
    pub fn absorb(&mut self, other: &mut Histogram) {
        debug_assert_eq!(self.bounds, other.bounds, "histograms of one family have the same bounds");
        for (mine, theirs) in self.counts.iter_mut().zip(&mut other.counts) {
            *mine += std::mem::take(theirs);
        }
        self.sum += std::mem::take(&mut other.sum);
    }

    /// How many observations.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

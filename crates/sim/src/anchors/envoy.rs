//! Envoy's gradient controller: the limit is held at 3 once a minute to measure the least latency.

use std::time::Duration;

use mainstay_core::rng::Rng;
use mainstay_core::time::Time;

use super::{Ended, quantile};

const LOWEST: f64 = 3.0;
const HIGHEST: f64 = 1000.0;
const SAMPLE: Duration = Duration::from_millis(100);
const MEASURE_EVERY: Duration = Duration::from_mins(1);
const MEASURE_SAMPLES: usize = 50;
const BUFFER: f64 = 1.25;
const JITTER: f64 = 0.15;
/// After so many samples at the lowest limit the least latency is measured anew.
const STUCK: u32 = 5;

/// The limit, and what it has seen.
pub(super) struct Envoy {
    pub(super) limit: f64,
    quantile: f64,
    least: f64,
    samples: Vec<f64>,
    /// The least latency is measured, with calls that began since then; the limit waits.
    measures: Option<(Time, f64)>,
    measure_at: Time,
    sample_at: Time,
    stuck: u32,
    rng: Rng,
}

impl Envoy {
    pub(super) fn new(quantile: f64, now: Time) -> Envoy {
        Envoy {
            limit: LOWEST,
            quantile,
            least: 0.0,
            samples: Vec::new(),
            measures: Some((now, LOWEST)),
            measure_at: now,
            sample_at: now + SAMPLE,
            stuck: 0,
            rng: Rng::new(3),
        }
    }

    pub(super) fn tick(&mut self, now: Time) {
        if self.measures.is_some() {
            return;
        }
        if now >= self.measure_at {
            self.measures = Some((now, self.limit));
            self.limit = LOWEST;
            self.samples.clear();
            return;
        }
        if now < self.sample_at {
            return;
        }
        self.sample_at = now + SAMPLE;
        let Some(latency) = quantile(&mut self.samples, self.quantile) else { return };
        self.samples.clear();
        let gradient = (self.least * BUFFER / latency).clamp(0.5, 2.0);
        let scaled = self.limit * gradient;
        let next = (scaled + scaled.sqrt()).floor().clamp(LOWEST, HIGHEST);
        let is_stuck = self.limit <= LOWEST && next <= LOWEST;
        self.stuck = if is_stuck { self.stuck + 1 } else { 0 };
        self.limit = next;
        if self.stuck >= STUCK {
            (self.stuck, self.measure_at) = (0, now);
        }
    }

    pub(super) fn ended(&mut self, ended: &Ended) {
        let began = ended.now.since(Time::ZERO).as_secs_f64() - ended.latency_s;
        let Some((since, before)) = self.measures else {
            self.samples.push(ended.latency_s);
            return;
        };
        if began < since.since(Time::ZERO).as_secs_f64() {
            return;
        }
        self.samples.push(ended.latency_s);
        if self.samples.len() >= MEASURE_SAMPLES {
            self.least = quantile(&mut self.samples, self.quantile).unwrap_or(self.least);
            self.samples.clear();
            self.measures = None;
            self.limit = before;
            self.measure_at = ended.now + MEASURE_EVERY.mul_f64(self.rng.between(1.0, 1.0 + JITTER));
            self.sample_at = ended.now + SAMPLE;
        }
    }
}

//! Netflix's Vegas: the queue is what the least latency ever seen does not explain.

use mainstay_core::rng::Rng;

use super::{Ended, digits};

const HIGHEST: f64 = 1000.0;
/// The least latency is forgotten after about so many samples per call in flight.
const PROBE: f64 = 30.0;

/// The limit, and the least latency.
pub(super) struct Vegas {
    pub(super) limit: f64,
    least: Option<f64>,
    samples: u32,
    jitter: f64,
    rng: Rng,
}

impl Vegas {
    pub(super) fn new() -> Vegas {
        Vegas { limit: 20.0, least: None, samples: 0, jitter: 0.75, rng: Rng::new(5) }
    }

    pub(super) fn ended(&mut self, ended: &Ended) {
        self.samples += 1;
        if self.jitter * PROBE * self.limit <= f64::from(self.samples) {
            (self.samples, self.jitter) = (0, self.rng.between(0.5, 1.0));
            self.least = Some(ended.latency_s);
            return;
        }
        let Some(least) = self.least.filter(|least| ended.latency_s >= *least) else {
            self.least = Some(ended.latency_s);
            return;
        };
        let queue = (self.limit * (1.0 - least / ended.latency_s)).ceil();
        let step = digits(self.limit);
        let change = if ended.dropped {
            -step
        } else if f64::from(ended.in_flight) * 2.0 < self.limit {
            0.0
        } else if queue <= step {
            6.0 * step
        } else if queue < 3.0 * step {
            step
        } else if queue > 6.0 * step {
            -step
        } else {
            0.0
        };
        self.limit = (self.limit + change).clamp(1.0, HIGHEST);
    }
}

//! Netflix's AIMD: one more with each answer in time, a tenth less with each that is not.

use super::Ended;

/// The limit, and the longest time that counts as well.
pub(super) struct Aimd {
    pub(super) limit: f64,
    timeout_s: f64,
}

impl Aimd {
    pub(super) const fn new(timeout_s: f64) -> Aimd {
        Aimd { limit: 20.0, timeout_s }
    }

    pub(super) fn ended(&mut self, ended: &Ended) {
        if ended.dropped || ended.latency_s > self.timeout_s {
            self.limit = (self.limit * 0.9).floor();
        } else if f64::from(ended.in_flight) * 2.0 >= self.limit {
            self.limit += 1.0;
        }
        self.limit = self.limit.clamp(20.0, 200.0);
    }
}

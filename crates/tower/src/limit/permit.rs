//! The right to one call.

use std::sync::Arc;

use mainstay_core::resilience::limiter::Sample;
use mainstay_core::time::Time;

use super::SharedLimit;

/// The right to have one call in flight at a backend. Dropping it gives the place back and teaches the limiter nothing
/// (a call that was cancelled, or that failed for reasons of its own); [`Permit::finish`] also reports how it went.
#[must_use = "dropping a permit gives it back"]
#[derive(Debug)]
pub struct Permit {
    limit: Option<Arc<SharedLimit>>,
}

impl Permit {
    pub(super) const fn new(limit: Arc<SharedLimit>) -> Permit {
        Permit { limit: Some(limit) }
    }

    /// Gives the place back and reports the call.
    pub fn finish(mut self, sample: Sample, now: Time) {
        if let Some(limit) = self.limit.take() {
            limit.finish(&sample, now);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(limit) = self.limit.take() {
            limit.release();
        }
    }
}

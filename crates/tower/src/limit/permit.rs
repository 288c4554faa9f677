//! The right to one call.

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::resilience::limiter::Sample;
use mainstay_core::time::Time;

use super::SharedLimit;

/// The right to have one call in flight at a backend. Dropping it gives the place back and teaches the limiter nothing
/// (a call that was cancelled, or that failed for reasons of its own); [`Permit::finish`] also reports how it went.
#[must_use = "dropping a permit gives it back"]
#[derive(Debug)]
pub struct Permit {
    limit: Option<Arc<SharedLimit>>,
    /// Its answer has begun, and that was reported.
    begun: bool,
}

impl Permit {
    pub(super) const fn new(limit: Arc<SharedLimit>) -> Permit {
        Permit { limit: Some(limit), begun: false }
    }

    /// Reports the answer's first byte (token) `elapsed` after the call's start, as soon as it is there: a limit on time
    /// to first token does not have to wait for the end of a long answer. Only the first report counts; a first byte
    /// in the final [`Sample`] is then ignored.
    pub fn first_byte(&mut self, elapsed: Duration, now: Time) {
        if let Some(limit) = &self.limit
            && !self.begun
        {
            self.begun = true;
            limit.begin(elapsed, now);
        }
    }

    /// Gives the place back and reports the call.
    pub fn finish(mut self, mut sample: Sample, now: Time) {
        if let Some(limit) = self.limit.take() {
            if self.begun {
                sample.first_byte = None;
                limit.end_begun();
            }
            limit.finish(&sample, now);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(limit) = self.limit.take() {
            if self.begun {
                limit.end_begun();
            }
            limit.release();
        }
    }
}

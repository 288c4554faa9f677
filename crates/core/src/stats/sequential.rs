//! Alarms that may be looked at after every value and still keep a stated rate of false ones.
//!
//! [`Betting`] watches a mean, [`Conformal`] a distribution: without a change the average time to an alarm is at least `c` values, and
//! the chance of one within `n` values at most `n / c` (Shin, Ramdas and Rinaldo 2022, E-detectors). At most one false alarm in `T` days
//! at `r` values a day is `c = r T`; ten times the `c` costs little delay, which grows with its logarithm. The mean of the evidence of
//! several detectors keeps their common `c`, whatever hangs together: [`Evidence::together`].
//!
//! [`MeanSequence`] and [`radius`] are intervals that hold at all times at once.

mod betting;
mod conformal;
mod intervals;

pub use betting::{Betting, Form};
pub use conformal::Conformal;
pub use intervals::{MeanSequence, radius};

/// Evidence is held below this: it is an alarm long before, and must stay finite.
const EVIDENCE_MOST: f64 = 1e300;

/// Evidence against "no change", and the bound from which on it is an alarm.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Evidence {
    /// How strong it is.
    pub value: f64,
    /// From which value on it is an alarm: without a change alarms come no more often than once in so many values.
    pub run_length: f64,
}

impl Evidence {
    /// Whether it is an alarm.
    pub fn alarms(&self) -> bool {
        self.value >= self.run_length
    }

    /// Evidence of several detectors that look at the same moments: its mean, under the same bound, however they hang together. The
    /// least of their bounds holds; `None` without any.
    pub fn together(all: &[Evidence]) -> Option<Evidence> {
        let run_length = all.iter().map(|evidence| evidence.run_length).min_by(f64::total_cmp)?;
        let value = all.iter().map(|evidence| evidence.value).sum::<f64>() / all.len() as f64;
        Some(Evidence { value, run_length })
    }
}

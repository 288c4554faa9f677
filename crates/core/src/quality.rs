//! How good predictions are: measures with intervals, from labels, and what can be said without them.
//!
//! Every measure is an [`Estimate`]: its value, a 95 % interval, and from how much. Formulas and sources stand in `docs/quality.md`.

pub mod confusion;
pub mod scores;
pub mod regression;
pub mod ranking;
pub mod generation;
pub mod calibration;
pub mod cbpe;
pub mod summary;
pub mod slices;
pub mod proxies;
pub mod feedback;

use crate::stats::law::student_quantile_above;
use crate::stats::proportion::wilson;
use crate::stats::{Interval, Z_95};

/// A measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Its value.
    pub value: f64,
    /// Where the true one lies, with 95 %.
    pub interval: Interval,
    /// From how many labelled predictions, queries or ratings; with weights, how many they are worth.
    pub n: f64,
}

impl Estimate {
    /// A share of `n` trials, with Wilson's interval; `None` without trials.
    pub fn share(hits: f64, n: f64, worth: f64) -> Option<Estimate> {
        (n > 0.0).then(|| Estimate { value: hits / n, interval: wilson(hits / n, worth, Z_95), n: worth })
    }

    /// A mean with Student's interval; unknown with fewer than two values.
    pub fn mean(values: &[f64]) -> Option<Estimate> {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        Estimate::of_moments(mean, squares, n)
    }

    /// The same from the mean, the sum of squares about it, and how many there were.
    pub fn of_moments(mean: f64, squares: f64, n: f64) -> Option<Estimate> {
        if n < 1.0 || !mean.is_finite() {
            return None;
        }
        let spread = if n < 2.0 {
            f64::INFINITY
        } else {
            student_quantile_above(0.025, n - 1.0) * (squares.max(0.0) / (n - 1.0) / n).sqrt()
        };
        Some(Estimate { value: mean, interval: Interval { low: mean - spread, high: mean + spread }, n })
    }

    /// With a standard error, by the normal law, within bounds.
    pub fn normal(value: f64, error: f64, n: f64, (low, high): (f64, f64)) -> Option<Estimate> {
        if !value.is_finite() {
            return None;
        }
        let spread = if error.is_finite() { Z_95 * error } else { f64::INFINITY };
        let interval = Interval { low: (value - spread).max(low), high: (value + spread).min(high) };
        Some(Estimate { value, interval, n })
    }

    /// Of a measure in `[0, 1]`: no further than its bounds, and where no value differed from the others, which says little of the next ones,
    /// Wilson's interval, since nothing in `[0, 1]` is spread more than hits and misses are.
    #[must_use]
    pub fn of_unit(self) -> Estimate {
        let Interval { low, high } = self.interval;
        let value = self.value.clamp(0.0, 1.0);
        let interval = if high > low {
            Interval { low: low.max(0.0), high: high.min(1.0) }
        } else {
            let wide = wilson(value, self.n, Z_95);
            Interval { low: wide.low.min(value), high: wide.high.max(value) }
        };
        Estimate { value, interval, n: self.n }
    }

    /// Another measure that rises and falls with this one.
    #[must_use]
    pub fn mapped(self, to: impl Fn(f64) -> f64) -> Estimate {
        let (low, high) = (to(self.interval.low), to(self.interval.high));
        Estimate { value: to(self.value), interval: Interval { low: low.min(high), high: low.max(high) }, n: self.n }
    }
}

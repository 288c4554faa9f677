//! Intervals that hold at all times at once.

use crate::stats::Interval;

/// An interval of the mean of values within `[0, 1]` that covers it at all times at once with the chance `1 - alpha`: the predictable
/// plug-in empirical Bernstein sequence (Waudby-Smith and Ramdas 2024, Estimating means of bounded random variables by betting).
///
/// ```
/// use mainstay_core::stats::sequential::MeanSequence;
///
/// let mut seen = MeanSequence::new(0.05);
/// (0..1_000).for_each(|at| seen.push(f64::from(at % 10 == 0)));
/// let interval = seen.interval();
/// assert!(interval.low < 0.1 && interval.high > 0.1 && interval.high < 0.2);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct MeanSequence {
    alpha: f64,
    n: f64,
    sum: f64,
    squares: f64,
    weights: f64,
    weighted: f64,
    spread: f64,
}

/// The largest weight of a value.
const WEIGHT_MOST: f64 = 0.5;

impl MeanSequence {
    /// Nothing is known yet.
    pub fn new(alpha: f64) -> MeanSequence {
        MeanSequence { alpha, n: 0.0, sum: 0.0, squares: 0.0, weights: 0.0, weighted: 0.0, spread: 0.0 }
    }

    /// Takes in a value; one outside `[0, 1]` is moved inside, one that is no number is left out.
    pub fn push(&mut self, value: f64) {
        if value.is_nan() {
            return;
        }
        let value = value.clamp(0.0, 1.0);
        let (mean, variance) = ((0.5 + self.sum) / (self.n + 1.0), (0.25 + self.squares) / (self.n + 1.0));
        let t = self.n + 1.0;
        let weight = (2.0 * (2.0 / self.alpha).ln() / (variance * t * (1.0 + t).ln())).sqrt().min(WEIGHT_MOST);
        self.weights += weight;
        self.weighted += weight * value;
        self.spread += (value - mean).powi(2) * (-(-weight).ln_1p() - weight);
        self.n = t;
        self.sum += value;
        self.squares += (value - (0.5 + self.sum) / (t + 1.0)).powi(2);
    }

    /// The centre and the half-width, not cut off at 0 and 1; `None` without values.
    pub fn centre(&self) -> Option<(f64, f64)> {
        let margin = ((2.0 / self.alpha).ln() + self.spread) / self.weights;
        (self.n > 0.0).then(|| (self.weighted / self.weights, margin))
    }

    /// The interval.
    pub fn interval(&self) -> Interval {
        let (centre, margin) = self.centre().unwrap_or((0.5, 0.5));
        Interval { low: (centre - margin).max(0.0), high: (centre + margin).min(1.0) }
    }
}

/// The half-width after `n` values, at all times at once, of the mean of values whose deviation is at most `sigma` in the sense of
/// sub-Gaussian laws: Robbins' normal mixture (1970), tightest at about `n = 5 / rho^2`.
pub fn radius(n: f64, sigma: f64, alpha: f64, rho: f64) -> f64 {
    let grown = n * rho * rho + 1.0;
    sigma * (2.0 * grown / (n * n * rho * rho) * (grown.sqrt() / alpha).ln()).sqrt()
}

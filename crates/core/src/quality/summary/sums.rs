//! Sums that what was added can be taken out of again.

use serde::{Deserialize, Serialize};

use super::Estimate;

/// A sum of twice a double's precision (Knuth's two-sum; Dekker 1971): a huge value that is added and taken back leaves the others as they
/// were, and squares far from zero do not cancel.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Total {
    high: f64,
    low: f64,
}

impl Total {
    fn add(&mut self, x: f64) {
        let sum = self.high + x;
        let back = sum - self.high;
        let low = self.low + ((self.high - (sum - back)) + (x - back));
        self.high = sum + low;
        self.low = low - (self.high - sum);
    }

    /// Adds `a b`, and what rounding left of it.
    fn add_product(&mut self, a: f64, b: f64) {
        let product = a * b;
        self.add(product);
        self.add(a.mul_add(b, -product));
    }

    /// Adds `a b b`.
    fn add_square(&mut self, a: f64, b: f64) {
        let product = a * b;
        self.add_product(product, b);
        self.add_product(a.mul_add(b, -product), b);
    }
}

/// Sums of a quantity over labelled predictions: weights, the quantity and its square.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Rested", into = "Rested")]
pub(super) struct Sums {
    /// Weights are multiples of one step, so that their sum is exact.
    pub(super) w: f64,
    x: Total,
    xx: Total,
}

/// As they rest.
#[derive(Serialize, Deserialize)]
struct Rested {
    w: f64,
    x: f64,
    xx: f64,
    /// What the two sums are beyond a double.
    #[serde(default, skip_serializing_if = "is_nothing")]
    rest: [f64; 2],
}

fn is_nothing(rest: &[f64; 2]) -> bool {
    *rest == [0.0, 0.0]
}

impl From<Rested> for Sums {
    fn from(Rested { w, x, xx, rest }: Rested) -> Sums {
        Sums { w, x: Total { high: x, low: rest[0] }, xx: Total { high: xx, low: rest[1] } }
    }
}

impl From<Sums> for Rested {
    fn from(Sums { w, x, xx }: Sums) -> Rested {
        Rested { w, x: x.high, xx: xx.high, rest: [x.low, xx.low] }
    }
}

impl Sums {
    /// Counts a value; with a weight below zero it is taken back.
    pub(super) fn add(&mut self, x: f64, w: f64) {
        self.w += w;
        self.x.add_product(w, x);
        self.xx.add_square(w, x);
    }

    /// Takes in what another saw.
    pub(super) fn merge(&mut self, other: &Sums) {
        self.w += other.w;
        for (mine, theirs) in [(&mut self.x, &other.x), (&mut self.xx, &other.xx)] {
            mine.add(theirs.high);
            mine.add(theirs.low);
        }
    }

    /// The sum of the weighted values: of a share, how many.
    pub(super) fn sum(&self) -> f64 {
        self.x.high
    }

    /// The mean, and the mean square about it; `None` without weight.
    pub(super) fn moments(&self) -> Option<(f64, f64)> {
        if self.w <= 0.0 {
            return None;
        }
        let about = self.x.high / self.w;
        // About the rounded mean first; what that is off by then.
        let mut off = self.x;
        off.add_product(-about, self.w);
        let mut squares = self.xx;
        squares.add_product(-2.0 * about, self.x.high);
        squares.add_product(-2.0 * about, self.x.low);
        squares.add_square(self.w, about);
        let off = off.high / self.w;
        Some((about + off, (squares.high / self.w - off * off).max(0.0)))
    }

    /// The mean with Student's interval; a weight of one is worth `worth` values.
    pub(super) fn mean(&self, worth: f64) -> Option<Estimate> {
        let (mean, square) = self.moments()?;
        let n = self.w * worth;
        Estimate::of_moments(mean, square * n, n)
    }
}

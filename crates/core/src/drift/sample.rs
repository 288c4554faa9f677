//! Distances between two samples of numbers themselves.

use serde::{Deserialize, Serialize};
use statrs::function::beta::beta_reg;

/// Number, mean, squares about the mean and range of values; two can be merged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    /// How many.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// The sum of squared differences from the mean.
    pub squares: f64,
    /// The least; infinity where there is none.
    #[serde(default = "none_low", skip_serializing_if = "is_infinite")]
    pub low: f64,
    /// The greatest; minus infinity where there is none.
    #[serde(default = "none_high", skip_serializing_if = "is_infinite")]
    pub high: f64,
}

fn none_low() -> f64 {
    f64::INFINITY
}

fn none_high() -> f64 {
    f64::NEG_INFINITY
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference to the field")]
fn is_infinite(value: &f64) -> bool {
    value.is_infinite()
}

impl Default for Moments {
    fn default() -> Moments {
        Moments { count: 0, mean: 0.0, squares: 0.0, low: f64::INFINITY, high: f64::NEG_INFINITY }
    }
}

impl Moments {
    /// Those of finite values.
    pub fn of(values: &[f64]) -> Moments {
        if values.is_empty() {
            return Moments::default();
        }
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let (mut squares, mut low, mut high) = (0.0, f64::INFINITY, f64::NEG_INFINITY);
        for &value in values {
            squares += (value - mean) * (value - mean);
            low = if value < low { value } else { low };
            high = if value > high { value } else { high };
        }
        Moments { count: values.len() as u64, mean, squares, low, high }
    }

    /// Takes in one value (Welford 1962).
    pub fn push(&mut self, value: f64) {
        self.count += 1;
        let off = value - self.mean;
        self.mean += off / self.count as f64;
        self.squares += off * (value - self.mean);
        self.low = self.low.min(value);
        self.high = self.high.max(value);
    }

    /// Takes in what another saw (Chan, Golub and LeVeque 1979).
    pub fn merge(&mut self, other: &Moments) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *other;
            return;
        }
        let (n, m) = (self.count as f64, other.count as f64);
        let off = other.mean - self.mean;
        self.mean += off * (m / (n + m));
        self.squares += other.squares + off * off * (n * m / (n + m));
        self.count += other.count;
        self.low = self.low.min(other.low);
        self.high = self.high.max(other.high);
    }

    /// Whether they could be those of values.
    pub fn are_sound(&self) -> bool {
        if self.count == 0 {
            return *self == Moments::default();
        }
        let finite = [self.mean, self.squares, self.low, self.high].iter().all(|figure| figure.is_finite());
        finite && self.squares >= 0.0 && self.low <= self.high
    }

    /// The standard deviation with `n` below.
    pub fn deviation(&self) -> f64 {
        if self.count == 0 { 0.0 } else { (self.squares / self.count as f64).sqrt() }
    }
}

/// How far the mean moved in deviations of the reference: `|mean_cur - mean_ref| / (std_ref + 1e-6)`. An effect, not a test.
pub fn mean_shift_z(reference: &Moments, current: &Moments) -> f64 {
    if reference.count == 0 || current.count == 0 {
        return f64::NAN;
    }
    (current.mean - reference.mean).abs() / (reference.deviation() + 1e-6)
}

/// Welch's t (1947), positive where the current mean is higher, and its two-sided p-value; `None` with fewer than two values on a
/// side or without any spread.
#[expect(clippy::many_single_char_names, reason = "named as in the paper")]
pub fn welch(reference: &Moments, current: &Moments) -> Option<(f64, f64)> {
    if reference.count < 2 || current.count < 2 {
        return None;
    }
    let (n, m) = (reference.count as f64, current.count as f64);
    let (a, b) = (reference.squares / (n - 1.0) / n, current.squares / (m - 1.0) / m);
    if a + b <= 0.0 {
        return None;
    }
    let t = (current.mean - reference.mean) / (a + b).sqrt();
    let degrees = (a + b).powi(2) / (a * a / (n - 1.0) + b * b / (m - 1.0));
    Some((t, beta_reg(degrees / 2.0, 0.5, degrees / (degrees + t * t))))
}

/// The distance of Wasserstein, `integral |F - G|`, between two ascending samples; `NaN` where one is empty.
pub fn wasserstein(reference: &[f64], current: &[f64]) -> f64 {
    if reference.is_empty() || current.is_empty() {
        return f64::NAN;
    }
    let (of_reference, of_current) = (1.0 / reference.len() as f64, 1.0 / current.len() as f64);
    let (mut i, mut j, mut sum) = (0, 0, 0.0);
    let mut at = reference[0].min(current[0]);
    while i < reference.len() || j < current.len() {
        let next = match (reference.get(i), current.get(j)) {
            (Some(left), Some(right)) => left.min(*right),
            (Some(only), None) | (None, Some(only)) => *only,
            (None, None) => at,
        };
        sum += (i as f64 * of_reference - j as f64 * of_current).abs() * (next - at);
        at = next;
        while reference.get(i).is_some_and(|&value| value <= at) {
            i += 1;
        }
        while current.get(j).is_some_and(|&value| value <= at) {
            j += 1;
        }
    }
    sum
}

/// The least deviation that a distance is divided by, as Evidently has it.
pub const LEAST_DEVIATION: f64 = 0.001;

/// A distance in deviations of the reference (with `n` below), at least [`LEAST_DEVIATION`].
pub fn normalised(distance: f64, reference: &Moments) -> f64 {
    distance / reference.deviation().max(LEAST_DEVIATION)
}

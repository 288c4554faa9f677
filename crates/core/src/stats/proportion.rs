//! Intervals of a share, and of the difference of two shares. Counts may be weights: then `n` is the effective size.

use statrs::function::beta::inv_beta_reg;

use super::law::{normal_above, normal_quantile_above};
use super::{Interval, binomial};

/// Wilson's interval (1927) of a share within `[0, 1]` of `n` trials at the normal quantile `z`; without trials `[0, 1]`.
pub fn wilson(share: f64, n: f64, z: f64) -> Interval {
    if n.is_nan() || n <= 0.0 || share.is_nan() {
        return Interval { low: 0.0, high: 1.0 };
    }
    let share = share.clamp(0.0, 1.0);
    let z2 = z * z;
    let scale = 1.0 + z2 / n;
    let centre = share + z2 / (2.0 * n);
    let spread = z * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    // At the ends the two terms are the same number, rounded apart.
    let low = if share == 0.0 { 0.0 } else { ((centre - spread) / scale).max(0.0) };
    let high = if share == 1.0 { 1.0 } else { ((centre + spread) / scale).min(1.0) };
    Interval { low, high }
}

/// Clopper and Pearson's interval (1934): never covers less than `1 - alpha`.
pub fn clopper_pearson(hits: u64, n: u64, alpha: f64) -> Interval {
    let confidence = 1.0 - alpha / 2.0;
    Interval { low: binomial::lower(hits, n, confidence), high: binomial::upper(hits, n, confidence) }
}

/// Jeffreys' interval: quantiles of Beta(hits + 1/2, misses + 1/2). Good for few trials.
pub fn jeffreys(hits: u64, n: u64, alpha: f64) -> Interval {
    let (a, b) = (hits.min(n) as f64 + 0.5, n.saturating_sub(hits) as f64 + 0.5);
    Interval { low: inv_beta_reg(a, b, alpha / 2.0), high: inv_beta_reg(a, b, 1.0 - alpha / 2.0) }
}

/// Agresti and Coull's interval (1998).
pub fn agresti_coull(hits: u64, n: u64, alpha: f64) -> Interval {
    let z2 = normal_quantile_above(alpha / 2.0).powi(2);
    let trials = n as f64 + z2;
    wald((hits as f64 + z2 / 2.0) / trials, trials, alpha)
}

/// The textbook interval. It is too narrow near 0 and 1: for comparison only.
pub fn normal(hits: u64, n: u64, alpha: f64) -> Interval {
    wald(hits as f64 / n as f64, n as f64, alpha)
}

fn wald(share: f64, n: f64, alpha: f64) -> Interval {
    let spread = normal_quantile_above(alpha / 2.0) * (share * (1.0 - share) / n).sqrt();
    Interval { low: (share - spread).max(0.0), high: (share + spread).min(1.0) }
}

/// Two shares: hits and trials of each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pair {
    /// Hits and trials.
    pub first: (u64, u64),
    /// Hits and trials.
    pub second: (u64, u64),
}

impl Pair {
    /// The first share less the second; `None` where there are no trials.
    pub fn difference(&self) -> Option<f64> {
        let share = |(hits, n): (u64, u64)| (n > 0).then(|| hits.min(n) as f64 / n as f64);
        Some(share(self.first)? - share(self.second)?)
    }

    /// The pooled score test of equal shares: z, and its two-sided p-value; `None` where both are 0, or both 1.
    pub fn test(&self) -> Option<(f64, f64)> {
        let difference = self.difference()?;
        let (n, m) = (self.first.1 as f64, self.second.1 as f64);
        let pooled = (self.first.0 + self.second.0) as f64 / (n + m);
        let spread = (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt();
        (spread > 0.0).then(|| (difference / spread, 2.0 * normal_above((difference / spread).abs())))
    }

    /// Newcombe's interval (1998, method 10) of the difference: from Wilson's of both.
    pub fn newcombe(&self, alpha: f64) -> Option<Interval> {
        let difference = self.difference()?;
        let z = normal_quantile_above(alpha / 2.0);
        let of = |(hits, n): (u64, u64)| (hits as f64 / n as f64, wilson(hits as f64 / n as f64, n as f64, z));
        let ((p, first), (q, second)) = (of(self.first), of(self.second));
        let down = ((p - first.low).powi(2) + (second.high - q).powi(2)).sqrt();
        let up = ((first.high - p).powi(2) + (q - second.low).powi(2)).sqrt();
        Some(Interval { low: difference - down, high: difference + up })
    }

    /// Miettinen and Nurminen's interval (1985) of the difference: all differences that the score test does not reject.
    pub fn score(&self, alpha: f64) -> Option<Interval> {
        let difference = self.difference()?;
        let z = normal_quantile_above(alpha / 2.0);
        let edge = |outside: f64, limit: f64| {
            let (mut inner, mut outer) = (difference, outside);
            for _ in 0..200 {
                let middle = f64::midpoint(inner, outer);
                if middle == inner || middle == outer {
                    break;
                }
                if self.score_at(middle) * limit.signum() < limit.abs() { inner = middle } else { outer = middle }
            }
            f64::midpoint(inner, outer)
        };
        Some(Interval { low: edge(-1.0, z), high: edge(1.0, -z) })
    }

    /// The score statistic of a difference: shares by constrained maximum likelihood, the root of a cubic.
    #[expect(clippy::many_single_char_names, reason = "named as in the paper")]
    fn score_at(&self, difference: f64) -> f64 {
        let ((x, n), (y, m)) = (self.first, self.second);
        let (x, n, y, m) = (x as f64, n as f64, y as f64, m as f64);
        let (hits, all) = (x + y, n + m);
        let square = ((n + 2.0 * m) * difference - all - hits) / (3.0 * all);
        let linear = ((y * difference - all - 2.0 * y) * difference + hits) / all;
        let constant = y * difference * (1.0 - difference) / all;
        let q = square.powi(3) - linear * square / 2.0 + constant / 2.0;
        let p = (square * square - linear / 3.0).max(0.0).sqrt().copysign(q);
        let angle = (std::f64::consts::PI + (q / p.powi(3)).clamp(-1.0, 1.0).acos()) / 3.0;
        let second = if p == 0.0 { -square } else { 2.0 * p * angle.cos() - square };
        let second = second.clamp((-difference).max(0.0), (1.0 - difference).min(1.0));
        let first = (second + difference).clamp(0.0, 1.0);
        let spread = (first * (1.0 - first) / n + second * (1.0 - second) / m) * all / (all - 1.0);
        (x / n - y / m - difference) / spread.max(f64::MIN_POSITIVE).sqrt()
    }
}

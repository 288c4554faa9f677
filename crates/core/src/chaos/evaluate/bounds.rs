//! How far off a figure may be, from blocks that hang together.

use crate::stats::law;

/// Fewest blocks that tell how much they differ.
pub(super) const BLOCKS_LEAST: usize = 5;
/// Fewest degrees of freedom: below, nothing is known anyway.
pub(super) const DEGREES_LEAST: f64 = 0.1;
/// The most that neighbouring blocks are taken to have in common.
const COMMON_MOST: f64 = 0.97;

/// How much a sum over blocks differs by chance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spread {
    /// Its standard error.
    pub(super) error: f64,
    /// The same, were the blocks independent.
    pub(super) plain: f64,
    /// Degrees of freedom of the error: as many as independent blocks would tell as much, less one.
    pub(super) degrees: f64,
}

impl Spread {
    /// By how much the error is greater because blocks hang together.
    pub(super) fn inflation(&self) -> f64 {
        if self.plain > 0.0 { self.error / self.plain } else { 1.0 }
    }
}

/// The spread of the sum of `parts`, one of each block, that sum up to about 0.
///
/// Neighbours may be alike. Their correlation is estimated, moved up by its bias in short series (Kendall 1954) and by one standard error,
/// and the blocks count as fewer accordingly, as in a series in which each is so much like the one before. What differs by the chance of
/// single requests, of the variance `chance`, hides a likeness that lasts: so the likeness of the rest is estimated as well. Newey and West's estimate
/// (1987) is taken where it is greater, which sees other ways to hang together. Then a t-interval with the fewer degrees of freedom
/// keeps its level with 20 blocks of which each is 0.9 like the one before.
pub(super) fn spread(parts: &[f64], chance: f64) -> Spread {
    let n = parts.len() as f64;
    if parts.len() < 2 {
        return Spread { error: f64::INFINITY, plain: f64::INFINITY, degrees: 0.0 };
    }
    let squares: f64 = parts.iter().map(|part| part * part).sum();
    let lagged = |lag: usize| parts.iter().zip(&parts[lag..]).map(|(a, b)| a * b).sum::<f64>();
    let plain = (squares * n / (n - 1.0)).sqrt();
    if squares <= 0.0 {
        return Spread { error: 0.0, plain: 0.0, degrees: n - 1.0 };
    }
    let seen = lagged(1) / squares;
    let moved =
        |common: f64, errors: f64| (common + (1.0 + 3.0 * common) / n + errors / n.sqrt()).clamp(0.0, COMMON_MOST);
    // The variance of the mean of n such blocks, as a multiple of that of independent ones.
    let multiple = |common: f64| {
        1.0 + (1..parts.len()).map(|lag| 2.0 * (1.0 - lag as f64 / n) * common.powi(lag as i32)).sum::<f64>()
    };
    let beyond = (1.0 - chance / (squares * n / (n - 1.0))).clamp(0.0, 1.0);
    let slow = if beyond > 0.0 { multiple(moved(seen / beyond, 1.0)) } else { 1.0 };
    let more = multiple(moved(seen, 1.0)).max(1.0 - beyond + beyond * slow);
    let by_likeness = squares * n * more / (n - more).max(1e-9);
    let width = ((1.3 * n.sqrt()).ceil() as usize).min(parts.len());
    let weighted = |lag: usize| 2.0 * (1.0 - lag as f64 / width as f64) * lagged(lag);
    let by_lags = (squares + (1..width).map(weighted).sum::<f64>()) * n / (n - 1.0);
    Spread { error: by_likeness.max(by_lags).sqrt(), plain, degrees: n / more - 1.0 }
}

/// An interval of an effect, at any level.
pub(super) trait Bounds {
    /// The effect as it was seen.
    fn effect(&self) -> f64;
    /// It is at least this, but for the chance `alpha`.
    fn low(&self, alpha: f64) -> f64;
    /// It is at most this, but for the chance `alpha`.
    fn high(&self, alpha: f64) -> f64;
}

/// The level of an interval of a run that was stopped, perhaps because of what was seen: the boundary that a sum stays within at all
/// times from a fifth of the planned time on, tightest at its end (Robbins 1970), with `part` of the time gone.
pub(super) fn stopped_level(alpha: f64, part: f64) -> f64 {
    let at = 5.0 * if part.is_nan() { 1.0 } else { part.clamp(0.2, 1.0) };
    law::normal_above((2.0 * (at + 1.0) / at * ((at + 1.0).sqrt() / alpha).ln()).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn normal(rng: &mut Rng) -> f64 {
        (-2.0 * (1.0 - rng.unit()).ln()).sqrt() * (std::f64::consts::TAU * rng.unit()).cos()
    }

    /// How often an interval of the mean of blocks that are `rho` like the one before is above their true mean, nominally 5 %.
    fn misses(rho: f64, n: usize) -> f64 {
        let mut rng = Rng::new(3);
        let runs = 4_000;
        let missed = (0..runs).filter(|_| {
            let mut state = normal(&mut rng) / (1.0 - rho * rho).sqrt();
            let values: Vec<f64> = (0..n)
                .map(|_| {
                    state = rho * state + normal(&mut rng);
                    state
                })
                .collect();
            let sum: f64 = values.iter().sum();
            let parts: Vec<f64> = values.iter().map(|value| value - sum / n as f64).collect();
            let spread = spread(&parts, 0.0);
            sum > law::student_quantile_above(0.05, spread.degrees.max(DEGREES_LEAST)) * spread.error
        });
        missed.count() as f64 / f64::from(runs)
    }

    #[test]
    fn likeness_of_neighbours_does_not_make_false_alarms() {
        for rho in [0.0, 0.3, 0.6, 0.9] {
            let share = misses(rho, 20);
            assert!(share <= 0.05, "{rho}: {share}");
        }
        assert!(misses(0.0, 60) > 0.015, "and not by knowing nothing");
    }

    #[test]
    fn few_or_equal_blocks_are_no_error() {
        assert_eq!(spread(&[], 0.0).error, f64::INFINITY);
        assert_eq!(spread(&[1.0], 0.0).error, f64::INFINITY);
        assert_eq!(spread(&[0.0; 6], 1.0).error, 0.0);
        assert!(spread(&[1.0, -1.0], 0.5).error.is_finite());
    }

    #[test]
    fn a_run_that_was_stopped_needs_more() {
        assert!(stopped_level(0.05, 1.0) < 0.002 && stopped_level(0.05, 0.01) < stopped_level(0.05, 1.0));
        assert!(stopped_level(0.05, f64::NAN) > 0.0);
    }
}

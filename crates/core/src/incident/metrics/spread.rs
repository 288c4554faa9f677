//! How durations lie: the middle, the long ones, the mean, and how sure the middle is.

use serde::Serialize;

use crate::drift::bins::quantile;
use crate::rng::Rng;
use crate::stats::Interval;

/// Fewer durations than this tell too little: they get no interval.
pub const ENOUGH: usize = 10;
/// How often a sample is drawn anew for an interval.
pub const ITERATIONS: u64 = 2_000;
/// The same at the least, where the sample is large.
pub const ITERATIONS_MIN: u64 = 200;
/// Most values drawn for one interval; beyond it, a sample is drawn anew less often.
pub const DRAWS_MAX: u64 = 4_000_000;

/// How durations lie, in seconds.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Spread {
    /// How many there are.
    pub n: u64,
    /// Whether they are enough to compare: at least [`ENOUGH`].
    pub enough: bool,
    /// The middle.
    pub median_s: Option<f64>,
    /// What nine of ten do not exceed.
    pub p90_s: Option<f64>,
    /// The mean; the few long ones pull it up.
    pub mean_s: Option<f64>,
    /// Where the median of such incidents lies, with 95 %; absent where there are not enough.
    pub median_interval: Option<Likely>,
}

/// An interval by the bootstrap.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Likely {
    /// Its lower end, in seconds.
    pub low_s: f64,
    /// Its upper end, in seconds.
    pub high_s: f64,
    /// How often the sample was drawn anew.
    pub iterations: u64,
}

impl Spread {
    /// Of durations in seconds, in any order. Quantiles are interpolated (Hyndman and Fan's type 7).
    pub(super) fn of(mut seconds: Vec<f64>, seed: u64) -> Spread {
        if seconds.is_empty() {
            return Spread::default();
        }
        seconds.sort_by(f64::total_cmp);
        let enough = seconds.len() >= ENOUGH;
        Spread {
            n: seconds.len() as u64,
            enough,
            median_s: Some(quantile(&seconds, 0.5)),
            p90_s: Some(quantile(&seconds, 0.9)),
            mean_s: Some(seconds.iter().sum::<f64>() / seconds.len() as f64),
            median_interval: enough.then(|| {
                let iterations = iterations(seconds.len() as u64);
                let Interval { low, high } = of_median(&seconds, iterations, seed);
                Likely { low_s: low, high_s: high, iterations }
            }),
        }
    }
}

fn iterations(n: u64) -> u64 {
    (DRAWS_MAX / n.max(1)).clamp(ITERATIONS_MIN, ITERATIONS)
}

/// The percentile bootstrap (Efron 1979) of the median of an ascending sample that is not empty, at 95 %.
fn of_median(sorted: &[f64], iterations: u64, seed: u64) -> Interval {
    let mut rng = Rng::new(seed);
    let mut drawn = vec![0.0; sorted.len()];
    let mut medians: Vec<f64> = (0..iterations)
        .map(|_| {
            drawn.fill_with(|| sorted[rng.below(sorted.len() as u64) as usize]);
            median(&mut drawn)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    Interval { low: quantile(&medians, 0.025), high: quantile(&medians, 0.975) }
}

/// The middle, or the mean of both middles, without sorting all.
fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    let even = values.len().is_multiple_of(2);
    let (below, &mut high, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    if even { f64::midpoint(below.iter().copied().fold(f64::NEG_INFINITY, f64::max), high) } else { high }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_found_without_sorting() {
        let mut rng = Rng::new(3);
        for n in 1..40 {
            let mut values: Vec<f64> = (0..n).map(|_| rng.below(10) as f64).collect();
            let found = median(&mut values);
            values.sort_by(f64::total_cmp);
            assert_eq!(found, quantile(&values, 0.5), "{values:?}");
        }
    }

    #[test]
    fn an_interval_holds_the_true_median_about_as_often_as_it_says() {
        let mut rng = Rng::new(11);
        let truth = std::f64::consts::LN_2;
        for n in [ENOUGH, 25] {
            let runs = 1_000;
            let held = (0..runs).filter(|run| {
                let mut sample: Vec<f64> = (0..n).map(|_| rng.exponential(1.0)).collect();
                sample.sort_by(f64::total_cmp);
                let Interval { low, high } = of_median(&sample, 400, *run);
                low <= truth && truth <= high
            });
            let share = held.count() as f64 / runs as f64;
            assert!((0.91..=0.985).contains(&share), "{n}: {share}");
        }
    }

    #[test]
    fn a_large_sample_is_drawn_anew_less_often() {
        assert_eq!(iterations(10), ITERATIONS);
        assert_eq!(iterations(DRAWS_MAX / 500), 500);
        assert_eq!(iterations(u64::MAX), ITERATIONS_MIN);
    }
}

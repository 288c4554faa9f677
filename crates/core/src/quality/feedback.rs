//! Whether a model learns from itself: labels that its own output caused, exposure that gathers on few items, and scores that follow exposure.

use super::Estimate;
use super::scores;
use crate::stats::proportion::Pair;
use crate::stats::{Interval, Z_95};

/// A label, and whether the model's own output brought it about: what was not shown could not be clicked.
pub fn caused_share(labels: &[bool]) -> Option<Estimate> {
    let caused = labels.iter().filter(|caused| **caused).count() as f64;
    Estimate::share(caused, labels.len() as f64, labels.len() as f64)
}

/// How unevenly exposure is spread over items: Gini's coefficient, 0 where all are shown alike, near 1 where one has it all; the error is the
/// jackknife's. `None` without exposure.
pub fn gini(exposures: &[f64]) -> Option<Estimate> {
    let mut sorted: Vec<f64> =
        exposures.iter().copied().filter(|exposure| exposure.is_finite() && *exposure >= 0.0).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let all: f64 = sorted.iter().sum();
    if all <= 0.0 {
        return None;
    }
    let ranked: f64 = sorted.iter().enumerate().map(|(at, exposure)| (at as f64 + 1.0) * exposure).sum();
    let of = |ranked: f64, all: f64, n: f64| (2.0 * ranked / (n * all) - (n + 1.0) / n).max(0.0);
    let value = of(ranked, all, n);
    if n < 3.0 {
        return Estimate::normal(value, f64::INFINITY, n, (0.0, 1.0));
    }
    // Without the item at a place, those after it move down by one.
    let mut after = all;
    let left_out: Vec<f64> = sorted
        .iter()
        .enumerate()
        .map(|(at, exposure)| {
            after -= exposure;
            of(ranked - (at as f64 + 1.0) * exposure - after, all - exposure, n - 1.0)
        })
        .collect();
    let mean = left_out.iter().sum::<f64>() / n;
    let variance = left_out.iter().map(|one| (one - mean).powi(2)).sum::<f64>() * (n - 1.0) / n;
    Estimate::normal(value, variance.sqrt(), n, (0.0, 1.0))
}

/// The rank correlation of items' exposure and score (Spearman), with Fisher's interval; `None` with fewer than four items or without any
/// spread.
pub fn exposure_follows_score(items: &[(f64, f64)]) -> Option<Estimate> {
    let n = items.len() as f64;
    if n < 4.0 {
        return None;
    }
    let exposures = ranks(&items.iter().map(|(exposure, _)| *exposure).collect::<Vec<_>>());
    let of_scores = ranks(&items.iter().map(|(_, score)| *score).collect::<Vec<_>>());
    let middle = f64::midpoint(n, 1.0);
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - middle) * (b - middle)).sum::<f64>();
    let below = (product(&exposures, &exposures) * product(&of_scores, &of_scores)).sqrt();
    if below <= 0.0 {
        return None;
    }
    let value = product(&exposures, &of_scores) / below;
    let spread = Z_95 * 1.03 / (n - 3.0).sqrt();
    let z = value.clamp(-1.0 + 1e-12, 1.0 - 1e-12).atanh();
    Some(Estimate {
        value,
        interval: Interval { low: (z - spread).tanh().min(value), high: (z + spread).tanh().max(value) },
        n,
    })
}

/// Ranks from one; equal values share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for run in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let mean = before as f64 + f64::midpoint(run.len() as f64, 1.0);
        for item in run {
            ranks[*item] = mean;
        }
        before += run.len();
    }
    ranks
}

/// What a hold-out share, which the model does not choose for, does otherwise: hits and trials of both. The first is the model's.
pub fn against_holdout(pair: &Pair) -> Option<Estimate> {
    let (value, interval) = (pair.difference()?, pair.newcombe(0.05)?);
    Some(Estimate { value, interval, n: (pair.first.1 + pair.second.1) as f64 })
}

/// Whether the model orders what it chose itself better than what it did not choose: the difference of areas on both, by DeLong's errors.
pub fn favours_its_own(chosen: &[scores::Scored], holdout: &[scores::Scored]) -> Option<Estimate> {
    let (own, other) = (scores::auc(chosen)?, scores::auc(holdout)?);
    let error = |estimate: &Estimate| (estimate.interval.high - estimate.interval.low) / (2.0 * Z_95);
    let error = error(&own).hypot(error(&other));
    Estimate::normal(own.value - other.value, error, own.n + other.n, (-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(seen: Option<Estimate>, wanted: f64) {
        let seen = seen.expect("a measure");
        assert!((seen.value - wanted).abs() < 1e-9, "{seen:?} for {wanted}");
        assert!(seen.interval.low <= seen.value && seen.value <= seen.interval.high, "{seen:?}");
    }

    #[test]
    fn exposure_is_even_or_gathers() {
        near(gini(&[1.0; 10]), 0.0);
        near(gini(&[0.0, 0.0, 0.0, 1.0]), 0.75);
        near(gini(&[1.0, 2.0, 3.0, 4.0]), 0.25);
        assert!(gini(&[]).is_none() && gini(&[0.0, 0.0]).is_none());
    }

    #[test]
    fn scores_that_follow_exposure() {
        near(exposure_follows_score(&[(1.0, 1.0), (2.0, 2.0), (3.0, 3.0), (9.0, 4.0)]), 1.0);
        near(exposure_follows_score(&[(1.0, 4.0), (2.0, 3.0), (3.0, 2.0), (4.0, 1.0)]), -1.0);
        // scipy.stats.spearmanr([1, 2, 2, 4, 5], [2, 1, 3, 3, 5])
        near(
            exposure_follows_score(&[(1.0, 2.0), (2.0, 1.0), (2.0, 3.0), (4.0, 3.0), (5.0, 5.0)]),
            0.763_157_894_736_842,
        );
        assert!(exposure_follows_score(&[(1.0, 1.0); 5]).is_none());
        near(caused_share(&[true, true, false, true]), 0.75);
        near(against_holdout(&Pair { first: (30, 100), second: (20, 100) }), 0.1);
    }
}

//! Measures of numbers: how far predictions are from what came.

use super::Estimate;
use crate::stats::{Interval, Z_95};

/// What came, and what was predicted.
pub type Pair = (f64, f64);

fn errors(pairs: &[Pair]) -> Vec<f64> {
    pairs.iter().map(|(truth, said)| truth - said).collect()
}

fn each(pairs: &[Pair], of: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    pairs.iter().map(|(truth, said)| of(*truth, *said)).collect()
}

/// The mean distance.
pub fn mae(pairs: &[Pair]) -> Option<Estimate> {
    Estimate::mean(&each(pairs, |truth, said| (truth - said).abs()))
}

/// The mean squared distance.
pub fn mse(pairs: &[Pair]) -> Option<Estimate> {
    Estimate::mean(&each(pairs, |truth, said| (truth - said).powi(2)))
}

/// The root of the mean squared distance; its error by the delta method.
pub fn rmse(pairs: &[Pair]) -> Option<Estimate> {
    mse(pairs).map(rooted)
}

/// The root of a mean of squares, with its error by the delta method.
pub(super) fn rooted(mse: Estimate) -> Estimate {
    let root = mse.value.max(0.0).sqrt();
    let spread = (mse.interval.high - mse.value) / (2.0 * root);
    let interval = Interval { low: (root - spread).max(0.0), high: root + spread };
    let exact = Interval { low: 0.0, high: mse.interval.high.max(0.0).sqrt() };
    Estimate { value: root, interval: if root > 0.0 { interval } else { exact }, n: mse.n }
}

/// The mean distance in shares of what came, which is at least the least difference of a double, as scikit-learn has it: where truths are
/// zero it is huge. [`wape`] is not.
pub fn mape(pairs: &[Pair]) -> Option<Estimate> {
    Estimate::mean(&each(pairs, |truth, said| (truth - said).abs() / truth.abs().max(f64::EPSILON)))
}

/// All distances over all that came, with the error of a ratio.
pub fn wape(pairs: &[Pair]) -> Option<Estimate> {
    let (off, came): (Vec<f64>, Vec<f64>) = pairs.iter().map(|(t, s)| ((t - s).abs(), t.abs())).unzip();
    let (off_sum, came_sum) = (off.iter().sum::<f64>(), came.iter().sum::<f64>());
    let n = pairs.len() as f64;
    if came_sum <= 0.0 {
        return None;
    }
    let ratio = off_sum / came_sum;
    let squares: f64 = off.iter().zip(&came).map(|(off, came)| (off - ratio * came).powi(2)).sum();
    let error = (squares / (n - 1.0).max(1.0) * n).sqrt() / came_sum;
    Estimate::normal(ratio, error, n, (0.0, f64::INFINITY))
}

/// The mean of `2 |t - s| / (|t| + |s|)`; of two zeros it is zero.
pub fn smape(pairs: &[Pair]) -> Option<Estimate> {
    Estimate::mean(&each(pairs, |truth, said| {
        let sum = truth.abs() + said.abs();
        if sum > 0.0 { 2.0 * (truth - said).abs() / sum } else { 0.0 }
    }))
}

/// The middle distance; its interval is of two order statistics.
pub fn medae(pairs: &[Pair]) -> Option<Estimate> {
    let mut distances = each(pairs, |truth, said| (truth - said).abs());
    distances.sort_unstable_by(f64::total_cmp);
    let n = distances.len();
    if n == 0 {
        return None;
    }
    let value = f64::midpoint(distances[(n - 1) / 2], distances[n / 2]);
    let half = Z_95 * (n as f64).sqrt() / 2.0;
    let low = ((n as f64 / 2.0 - half).floor().max(0.0) as usize).min(n - 1);
    let high = ((n as f64 / 2.0 + half).ceil() as usize).min(n - 1);
    Some(Estimate { value, interval: Interval { low: distances[low], high: distances[high] }, n: n as f64 })
}

/// The share of the spread that predictions explain; its error is Olkin and Finn's (1995). `None` where nothing is spread.
pub fn r2(pairs: &[Pair]) -> Option<Estimate> {
    let n = pairs.len() as f64;
    let mean = pairs.iter().map(|(truth, _)| truth).sum::<f64>() / n;
    let all: f64 = pairs.iter().map(|(truth, _)| (truth - mean).powi(2)).sum();
    let left: f64 = errors(pairs).iter().map(|off| off * off).sum();
    explained(left, all, n)
}

/// R2 from what is left and all there was.
pub(super) fn explained(left: f64, all: f64, n: f64) -> Option<Estimate> {
    if all <= 0.0 || n < 3.0 {
        return None;
    }
    let r2 = 1.0 - left / all;
    let inside = r2.max(0.0);
    let variance = 4.0 * inside * (1.0 - inside).powi(2) * (n - 2.0).powi(2) / ((n * n - 1.0) * (n + 3.0));
    // Near zero the law is of another shape: never less than that of a correlation of none.
    Estimate::normal(r2, variance.sqrt().max(1.0 / n), n, (f64::NEG_INFINITY, 1.0))
}

/// The share of the spread that predictions explain when a common error is forgiven.
pub fn explained_variance(pairs: &[Pair]) -> Option<f64> {
    let spread = |values: &[f64]| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.iter().map(|value| (value - mean).powi(2)).sum::<f64>()
    };
    let all = spread(&pairs.iter().map(|(truth, _)| *truth).collect::<Vec<_>>());
    (all > 0.0).then(|| 1.0 - spread(&errors(pairs)) / all)
}

/// The mean of the quantile's loss: too low costs `quantile`, too high the rest.
pub fn pinball(pairs: &[Pair], quantile: f64) -> Option<Estimate> {
    Estimate::mean(&each(pairs, |truth, said| {
        let off = truth - said;
        if off >= 0.0 { quantile * off } else { (quantile - 1.0) * off }
    }))
}

/// The mean of what was predicted less what came.
pub fn bias(pairs: &[Pair]) -> Option<Estimate> {
    Estimate::mean(&each(pairs, |truth, said| said - truth))
}

/// The largest distance.
pub fn max_error(pairs: &[Pair]) -> Option<f64> {
    errors(pairs).into_iter().map(f64::abs).max_by(f64::total_cmp)
}

/// The root of the mean squared distance of `ln (1 + x)`; `None` where something is at most -1.
pub fn rmsle(pairs: &[Pair]) -> Option<Estimate> {
    if pairs.iter().any(|(truth, said)| *truth <= -1.0 || *said <= -1.0) {
        return None;
    }
    Estimate::mean(&each(pairs, |truth, said| (truth.ln_1p() - said.ln_1p()).powi(2))).map(rooted)
}

//! Distances between two lists of counts over the same bins or categories.

use std::f64::consts::LN_2;

use statrs::function::gamma::gamma_ur;

/// The least share that counts as a share in [`psi`]: an empty bin would be infinitely far.
pub const FLOOR: f64 = 1e-4;

/// Counts as shares of their sum; empty where there is nothing.
pub fn shares(counts: &[u64]) -> Vec<f64> {
    let sum: u64 = counts.iter().sum();
    if sum == 0 { Vec::new() } else { counts.iter().map(|&count| count as f64 / sum as f64).collect() }
}

/// The population stability index, `sum (q - p) ln (q / p)` with shares of at least [`FLOOR`]; `NaN` where a side is empty.
pub fn psi(reference: &[f64], current: &[f64]) -> f64 {
    if reference.is_empty() || current.is_empty() {
        return f64::NAN;
    }
    let pairs = reference.iter().zip(current).map(|(p, q)| (p.max(FLOOR), q.max(FLOOR)));
    pairs.map(|(p, q)| (q - p) * (q / p).ln()).sum()
}

/// The distance of Jensen and Shannon in base 2, within `[0, 1]`; `NaN` where a side is empty.
pub fn jensen_shannon(reference: &[f64], current: &[f64]) -> f64 {
    (jensen_shannon_nats(reference, current).powi(2) / LN_2).sqrt()
}

/// The same in base e, as SciPy has it without a base; lists that do not sum to one are scaled.
pub fn jensen_shannon_nats(reference: &[f64], current: &[f64]) -> f64 {
    if reference.is_empty() || current.is_empty() {
        return f64::NAN;
    }
    let (all_p, all_q) = (reference.iter().sum::<f64>(), current.iter().sum::<f64>());
    let part = |x: f64, middle: f64| if x > 0.0 { x * (x / middle).ln() } else { 0.0 };
    let pairs = reference.iter().zip(current).map(|(p, q)| (p / all_p, q / all_q));
    let sum: f64 = pairs.map(|(p, q)| part(p, f64::midpoint(p, q)) + part(q, f64::midpoint(p, q))).sum();
    (sum / 2.0).max(0.0).sqrt()
}

/// The distance of Hellinger, within `[0, 1]`; `NaN` where a side is empty.
pub fn hellinger(reference: &[f64], current: &[f64]) -> f64 {
    if reference.is_empty() || current.is_empty() {
        return f64::NAN;
    }
    (reference.iter().zip(current).map(|(p, q)| (p.sqrt() - q.sqrt()).powi(2)).sum::<f64>() / 2.0).sqrt()
}

/// The largest difference of a share; `NaN` where a side is empty.
pub fn l_infinity(reference: &[f64], current: &[f64]) -> f64 {
    if reference.is_empty() || current.is_empty() {
        return f64::NAN;
    }
    reference.iter().zip(current).map(|(p, q)| (p - q).abs()).fold(0.0, f64::max)
}

/// Both rows with neighbouring columns put together until each would hold at least `least` on the smaller side: below that the laws of
/// the statistics do not hold (Cochran 1954).
pub fn pooled(reference: &[u64], current: &[u64], least: f64) -> (Vec<u64>, Vec<u64>) {
    let (n, m) = (reference.iter().sum::<u64>() as f64, current.iter().sum::<u64>() as f64);
    let smaller = n.min(m) / (n + m).max(1.0);
    let (mut rows, mut open) = ((Vec::new(), Vec::new()), (0, 0));
    for (a, b) in reference.iter().zip(current) {
        open = (open.0 + a, open.1 + b);
        if (open.0 + open.1) as f64 * smaller >= least {
            rows.0.push(open.0);
            rows.1.push(open.1);
            open = (0, 0);
        }
    }
    // What is left is too little for a column of its own.
    match (rows.0.last_mut(), rows.1.last_mut()) {
        (Some(a), Some(b)) => (*a, *b) = (*a + open.0, *b + open.1),
        _ => rows = (vec![open.0], vec![open.1]),
    }
    rows
}

/// Pearson's test on a table of two rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChiSquare {
    /// The statistic.
    pub statistic: f64,
    /// Columns that hold anything, less one.
    pub degrees: u64,
    /// The chance of at least that statistic where the two are alike.
    pub p_value: f64,
    /// Cramer's V, within `[0, 1]`: the effect, whatever the sizes.
    pub v: f64,
}

/// The test of two rows of counts; `yates` takes half a count off where the table is 2 x 2. `None` where a row is empty.
pub fn chi_square(reference: &[u64], current: &[u64], yates: bool) -> Option<ChiSquare> {
    let (n, m) = (reference.iter().sum::<u64>() as f64, current.iter().sum::<u64>() as f64);
    if n == 0.0 || m == 0.0 {
        return None;
    }
    let columns = || reference.iter().zip(current).filter(|(a, b)| **a + **b > 0);
    let degrees = columns().count() as u64 - 1;
    let corrected = yates && degrees == 1;
    let statistic = columns()
        .flat_map(|(&a, &b)| {
            let share = (a + b) as f64 / (n + m);
            [(a as f64, n * share), (b as f64, m * share)]
        })
        .map(|(seen, expected)| {
            let off = (seen - expected).abs();
            (off - if corrected { off.min(0.5) } else { 0.0 }).powi(2) / expected
        })
        .sum();
    let p_value = chi_square_tail(statistic, degrees as f64);
    Some(ChiSquare { statistic, degrees, p_value, v: if degrees == 0 { 0.0 } else { (statistic / (n + m)).sqrt() } })
}

/// The chance that a chi-square of so many degrees is at least `statistic`.
pub fn chi_square_tail(statistic: f64, degrees: f64) -> f64 {
    if degrees <= 0.0 || statistic <= 0.0 { 1.0 } else { gamma_ur(degrees / 2.0, statistic / 2.0) }
}

/// The chance of an index of at least `psi` over so many bins where there is no drift: it is about `(1/n + 1/m)` times a chi-square.
pub fn psi_p_value(psi: f64, bins: usize, n: u64, m: u64) -> f64 {
    chi_square_tail(psi / (1.0 / n as f64 + 1.0 / m as f64), bins.saturating_sub(1) as f64)
}

//! The scores of Evidently 0.7, on ascending samples without missing values.

use super::{bins, shares};

/// From more distinct values than this in the reference on, numbers are cut into bins of one width.
const DISTINCT_MAX: usize = 20;

fn distinct(sorted: &[f64]) -> usize {
    sorted.chunk_by(|a, b| a == b).count()
}

fn union(reference: &[f64], current: &[f64]) -> Vec<f64> {
    let mut all = [reference, current].concat();
    all.sort_unstable_by(f64::total_cmp);
    all
}

/// Counts of both by Evidently's bins: Sturges' on both samples together, or each value of few.
pub fn counts(reference: &[f64], current: &[f64]) -> (Vec<u64>, Vec<u64>) {
    let all = union(reference, current);
    if distinct(reference) > DISTINCT_MAX {
        let edges = bins::sturges(&all);
        return (bins::histogram(reference, &edges), bins::histogram(current, &edges));
    }
    let held = |sorted: &[f64], value: f64| {
        (sorted.partition_point(|&other| other <= value) - sorted.partition_point(|&other| other < value)) as u64
    };
    let values: Vec<f64> = all.chunk_by(|a, b| a == b).map(|run| run[0]).collect();
    let of = |sorted: &[f64]| values.iter().map(|&value| held(sorted, value)).collect();
    (of(reference), of(current))
}

/// The population stability index by its bins; empty bins get 0.0001, or a millionth of the least share where that is smaller.
pub fn psi(reference: &[u64], current: &[u64]) -> f64 {
    let (p, q) = (filled(reference), filled(current));
    if p.is_empty() || q.is_empty() {
        return f64::NAN;
    }
    p.iter().zip(&q).map(|(p, q)| (p - q) * (p / q).ln()).sum()
}

fn filled(counts: &[u64]) -> Vec<f64> {
    let shares = shares::shares(counts);
    let least = shares.iter().copied().filter(|&share| share > 0.0).fold(f64::INFINITY, f64::min);
    let fill = if least <= 1e-4 { least / 1e6 } else { 1e-4 };
    shares.into_iter().map(|share| if share == 0.0 { fill } else { share }).collect()
}

/// The distance of Jensen and Shannon in base e, by its bins.
pub fn jensen_shannon(reference: &[u64], current: &[u64]) -> f64 {
    shares::jensen_shannon_nats(&shares::shares(reference), &shares::shares(current))
}

/// The distance of Hellinger of numbers: Sturges' bins on the distinct values of both.
pub fn hellinger(reference: &[f64], current: &[f64]) -> f64 {
    let mut values = union(reference, current);
    values.dedup();
    let edges = bins::sturges(&values);
    affinity(&bins::histogram(reference, &edges), &bins::histogram(current, &edges))
}

/// The distance of Hellinger of categories.
pub fn affinity(reference: &[u64], current: &[u64]) -> f64 {
    let (p, q) = (shares::shares(reference), shares::shares(current));
    (1.0 - p.iter().zip(&q).map(|(p, q)| (p * q).sqrt()).sum::<f64>().clamp(0.0, 1.0)).sqrt()
}

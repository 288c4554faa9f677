//! The univariate scores of NannyML 0.13, on ascending samples without missing values (its exact forms, below 10,000 values of
//! reference). Its Kolmogorov-Smirnov and Wasserstein are those of this module's siblings.

use super::{bins, shares};

/// Shares by Doane's bins of the reference; what lies outside them has a bin of its own.
pub fn binned(reference: &[f64], current: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let edges = bins::doane(reference);
    let of = |sorted: &[f64]| {
        let counts = bins::histogram(sorted, &edges);
        counts.iter().map(|&count| count as f64 / sorted.len() as f64).collect::<Vec<f64>>()
    };
    let (mut p, mut q) = (of(reference), of(current));
    let rest = 1.0 - q.iter().sum::<f64>();
    if rest > 0.0 {
        p.push(0.0);
        q.push(rest);
    }
    (p, q)
}

/// The distance of Jensen and Shannon of numbers, base 2.
pub fn jensen_shannon(reference: &[f64], current: &[f64]) -> f64 {
    let (p, q) = binned(reference, current);
    shares::jensen_shannon(&p, &q)
}

/// The distance of Hellinger of numbers.
pub fn hellinger(reference: &[f64], current: &[f64]) -> f64 {
    let (p, q) = binned(reference, current);
    shares::hellinger(&p, &q)
}

/// Pearson's test of categories, with Yates' correction where there are two.
pub fn chi_square(reference: &[u64], current: &[u64]) -> Option<shares::ChiSquare> {
    shares::chi_square(reference, current, true)
}

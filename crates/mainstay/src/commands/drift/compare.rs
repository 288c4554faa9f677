//! The figures of one column: exact on values that are all there, else from bins.

use std::collections::BTreeSet;

use mainstay_core::drift::bins::Bins;
use mainstay_core::drift::figures::Figures;
use mainstay_core::drift::sample::{self, Moments};
use mainstay_core::drift::sketch::Sketch;
use mainstay_core::drift::verdict::{Method, Score, Status};
use mainstay_core::drift::{evidently, kolmogorov};

use super::column::Column;

/// What one column came to.
pub(super) struct Compared {
    pub(super) name: String,
    pub(super) status: Status,
    pub(super) n_reference: u64,
    pub(super) n_current: u64,
    pub(super) exact: bool,
    /// How far `ks` and `wasserstein` may be from their exact values.
    pub(super) bounds: Option<(f64, f64)>,
    pub(super) scores: Vec<Score>,
    /// Missing values, infinities and values that are of the other kind, in reference and current.
    pub(super) missing_rate: (f64, f64),
    pub(super) infinite: (u64, u64),
    pub(super) mixed: (u64, u64),
    /// The share of current values outside the reference's range or among its categories not seen.
    pub(super) outside_rate: f64,
    /// Bins or categories with their shares.
    pub(super) shares: Vec<(String, f64, f64)>,
}

/// Compares a column by these methods; those that need numbers are left out where it has none. `sketches` are there where a side is
/// not kept whole.
pub(super) fn column(
    name: &str,
    reference: &Column,
    current: &Column,
    sketches: Option<&(Sketch, Sketch)>,
    methods: &[Method],
) -> Compared {
    let is_numeric = reference.is_numeric();
    let (figures, mut compared) =
        if is_numeric { numbers(reference, current, sketches) } else { categories(reference, current) };
    let asked = methods.iter().filter(|method| is_numeric || !method.needs_numbers());
    if figures.n > 0 && figures.m > 0 {
        compared.scores = asked.map(|&method| figures.score(method)).collect();
    }
    name.clone_into(&mut compared.name);
    compared
}

fn numbers(reference: &Column, current: &Column, sketches: Option<&(Sketch, Sketch)>) -> (Figures, Compared) {
    let sorted = |column: &Column| {
        let mut numbers = column.numbers.clone();
        numbers.sort_unstable_by(f64::total_cmp);
        numbers
    };
    let (a, b) = (sorted(reference), sorted(current));
    let (deciles, with_atoms) = (Bins::of(&a, 10, false), Bins::of(&a, 10, true));
    let mut bounds = None;
    let figures = if let Some((left, right)) = sketches {
        let (ks, wasserstein) = (left.kolmogorov(right), left.wasserstein(right));
        bounds = Some((ks.bound, wasserstein.bound));
        Figures {
            n: reference.finite,
            m: current.finite,
            moments: Some((*left.moments(), *right.moments())),
            plain: (left.coarse(&deciles), right.coarse(&deciles)),
            atoms: (left.coarse(&with_atoms), right.coarse(&with_atoms)),
            evidently: evidently::counts(&a, &b),
            ks: ks.value,
            wasserstein: wasserstein.value,
            ..Figures::default()
        }
    } else {
        Figures {
            n: reference.finite,
            m: current.finite,
            moments: Some((Moments::of(&a), Moments::of(&b))),
            plain: (deciles.count(&a), deciles.count(&b)),
            atoms: (with_atoms.count(&a), with_atoms.count(&b)),
            evidently: evidently::counts(&a, &b),
            ks: kolmogorov::distance(&a, &b),
            wasserstein: sample::wasserstein(&a, &b),
            ..Figures::default()
        }
    };
    let (low, high) = figures.moments.map_or((0.0, 0.0), |(left, _)| (left.low, left.high));
    let outside = b.iter().filter(|&&value| value < low || value > high).count();
    let labels = with_atoms.labels();
    let mut compared = blank(reference, current, (figures.n, figures.m), sketches.is_none());
    compared.bounds = bounds;
    compared.outside_rate = outside as f64 / b.len().max(1) as f64;
    compared.mixed = (reference.words_total(), current.words_total());
    compared.shares = side_by_side(labels, &figures.atoms);
    (figures, compared)
}

fn categories(reference: &Column, current: &Column) -> (Figures, Compared) {
    let (left, right) = (reference.categories(), current.categories());
    let keys: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let of = |counts: &std::collections::BTreeMap<String, u64>| {
        keys.iter().map(|key| counts.get(*key).copied().unwrap_or(0)).collect::<Vec<u64>>()
    };
    let counts = (of(&left), of(&right));
    let (n, m) = (left.values().sum::<u64>(), right.values().sum::<u64>());
    let new: u64 = right.iter().filter(|(key, _)| !left.contains_key(*key)).map(|(_, count)| count).sum();
    let figures = Figures {
        n,
        m,
        moments: None,
        plain: counts.clone(),
        atoms: counts.clone(),
        evidently: counts,
        ks: f64::NAN,
        wasserstein: f64::NAN,
        ..Figures::default()
    };
    let mut compared = blank(reference, current, (n, m), true);
    compared.outside_rate = new as f64 / m.max(1) as f64;
    compared.mixed = (reference.finite, current.finite);
    compared.shares = side_by_side(keys.into_iter().cloned().collect(), &figures.plain);
    (figures, compared)
}

fn blank(reference: &Column, current: &Column, sizes: (u64, u64), exact: bool) -> Compared {
    Compared {
        name: String::new(),
        status: Status::NoData,
        n_reference: sizes.0,
        n_current: sizes.1,
        exact,
        bounds: None,
        scores: Vec::new(),
        missing_rate: (reference.missing_rate(), current.missing_rate()),
        infinite: (reference.infinite, current.infinite),
        mixed: (0, 0),
        outside_rate: 0.0,
        shares: Vec::new(),
    }
}

fn side_by_side(labels: Vec<String>, counts: &(Vec<u64>, Vec<u64>)) -> Vec<(String, f64, f64)> {
    let share = |count: u64, counts: &[u64]| count as f64 / counts.iter().sum::<u64>().max(1) as f64;
    let pairs = counts.0.iter().zip(&counts.1);
    labels
        .into_iter()
        .zip(pairs)
        .map(|(label, (a, b))| (label, share(*a, &counts.0), share(*b, &counts.1)))
        .filter(|(_, a, b)| a + b > 0.0)
        .collect()
}

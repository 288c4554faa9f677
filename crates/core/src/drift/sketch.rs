//! What is kept of a column that is too long to be kept whole: counts and sums of fixed bins, and moments. Of one size, mergeable.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::bins::Bins;
use super::sample::Moments;

/// Quantile bins of a reference.
pub const BINS: usize = 1_024;

/// Cells of a [`Guide`] per edge.
const CELLS_PER_EDGE: usize = 4;

/// Finds a value's bin: cells of one width say between which edges to look. What it says is what a search over all edges says.
#[derive(Clone, Debug, PartialEq)]
struct Guide {
    low: f64,
    scale: f64,
    /// By cell: how many edges lie in cells before it.
    before: Vec<u32>,
}

impl Guide {
    fn new(edges: &[f64]) -> Guide {
        let (low, high) = (edges.first().copied().unwrap_or(0.0), edges.last().copied().unwrap_or(0.0));
        let cells = (edges.len() * CELLS_PER_EDGE).max(1);
        let scale = cells as f64 / (high - low);
        let scale = if scale.is_finite() { scale } else { 0.0 };
        let mut guide = Guide { low, scale, before: vec![0; cells + 2] };
        for &edge in edges {
            let cell = guide.cell(edge);
            guide.before[cell + 1] += 1;
        }
        for cell in 1..guide.before.len() {
            guide.before[cell] += guide.before[cell - 1];
        }
        guide
    }

    /// Never less for a greater value: subtraction, product and cut are monotone.
    fn cell(&self, value: f64) -> usize {
        (((value - self.low) * self.scale) as usize).min(self.before.len() - 2)
    }

    /// How many edges are at most `value`.
    fn bin(&self, edges: &[f64], value: f64) -> usize {
        let cell = self.cell(value);
        let (from, to) = (self.before[cell] as usize, self.before[cell + 1] as usize);
        from + edges[from..to].partition_point(|&edge| edge <= value)
    }
}

/// Counts over fixed bins: about [`BINS`] quantiles of a sample of the reference, its deciles, and each atom by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "Parts", try_from = "Parts")]
pub struct Sketch {
    edges: Arc<[f64]>,
    guide: Arc<Guide>,
    counts: Vec<u64>,
    sums: Vec<f64>,
    moments: Moments,
}

/// A figure from bins, and how far the exact one may be from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounded {
    /// The figure.
    pub value: f64,
    /// The exact one is at most this far.
    pub bound: f64,
}

impl Sketch {
    /// An empty sketch with about [`BINS`] bins by an ascending sample of the reference.
    pub fn new(sorted: &[f64]) -> Sketch {
        Sketch::with_bins(sorted, BINS)
    }

    /// The same with about so many quantiles as bins.
    pub fn with_bins(sorted: &[f64], bins: usize) -> Sketch {
        let deciles = Bins::of(sorted, 10, true);
        let mut edges = Bins::of(sorted, bins, false).edges;
        edges.extend(deciles.edges);
        // An atom's bin ends at the next number that there is.
        edges.extend(deciles.atoms.iter().flat_map(|&atom| [atom, atom.next_up()]));
        edges.sort_unstable_by(f64::total_cmp);
        edges.dedup();
        Sketch::over(edges.into())
    }

    fn over(edges: Arc<[f64]>) -> Sketch {
        let (bins, guide) = (edges.len() + 1, Arc::new(Guide::new(&edges)));
        Sketch { edges, guide, counts: vec![0; bins], sums: vec![0.0; bins], moments: Moments::default() }
    }

    /// An empty one with the same bins.
    pub fn empty(&self) -> Sketch {
        let bins = self.counts.len();
        let (edges, guide) = (Arc::clone(&self.edges), Arc::clone(&self.guide));
        Sketch { edges, guide, counts: vec![0; bins], sums: vec![0.0; bins], moments: Moments::default() }
    }

    /// Takes in finite values.
    pub fn extend(&mut self, values: &[f64]) {
        self.moments.merge(&Moments::of(values));
        for &value in values {
            let bin = self.guide.bin(&self.edges, value);
            self.counts[bin] += 1;
            self.sums[bin] += value;
        }
    }

    /// Takes in one finite value; its bin.
    pub fn push(&mut self, value: f64) -> usize {
        self.moments.push(value);
        let bin = self.guide.bin(&self.edges, value);
        self.counts[bin] += 1;
        self.sums[bin] += value;
        bin
    }

    /// Forgets what it took in, and keeps its bins.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        self.sums.fill(0.0);
        self.moments = Moments::default();
    }

    /// Takes in what another with the same bins saw; false, and nothing is taken, where its bins are others.
    pub fn merge(&mut self, other: &Sketch) -> bool {
        if self.edges != other.edges {
            return false;
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        for (mine, theirs) in self.sums.iter_mut().zip(&other.sums) {
            *mine += theirs;
        }
        self.moments.merge(&other.moments);
        true
    }

    /// Number, mean, deviation and range, exact.
    pub fn moments(&self) -> &Moments {
        &self.moments
    }

    /// How many values there are in each bin.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Counts over coarser bins, whose edges and atoms must be among those of this sketch.
    pub fn coarse(&self, bins: &Bins) -> Vec<u64> {
        let mut counts = vec![0; bins.len()];
        for (bin, &count) in self.counts.iter().enumerate() {
            let at = if bin == 0 { f64::NEG_INFINITY } else { self.edges[bin - 1] };
            counts[bins.index(at)] += count;
        }
        counts
    }

    /// The distance of Kolmogorov and Smirnov: exact at the edges; within a bin it may be larger by that bin's share.
    pub fn kolmogorov(&self, current: &Sketch) -> Bounded {
        let (n, m) = (self.moments.count.max(1) as f64, current.moments.count.max(1) as f64);
        let (mut left, mut right, mut value, mut most) = (0, 0, 0.0_f64, 0.0_f64);
        for (bin, (a, b)) in self.counts.iter().zip(&current.counts).enumerate() {
            let before = left as f64 / n - right as f64 / m;
            left += a;
            right += b;
            let after = left as f64 / n - right as f64 / m;
            value = value.max(after.abs());
            if !self.is_point(bin) {
                most = most.max(before.abs().max(after.abs()) + (*a as f64 / n).max(*b as f64 / m));
            }
        }
        Bounded { value, bound: (most - value).max(0.0) }
    }

    /// The interior edges of its bins, ascending.
    pub fn edges(&self) -> &[f64] {
        &self.edges
    }

    fn is_point(&self, bin: usize) -> bool {
        bin > 0 && self.edges.get(bin).is_some_and(|&end| self.edges[bin - 1].next_up() == end)
    }

    /// The distance of Wasserstein: exact in every bin in which one distribution function stays above the other.
    pub fn wasserstein(&self, current: &Sketch) -> Bounded {
        let (n, m) = (self.moments.count.max(1) as f64, current.moments.count.max(1) as f64);
        let (low, high) = (self.moments.low.min(current.moments.low), self.moments.high.max(current.moments.high));
        let (mut under_n, mut under_m, mut value, mut bound) = (0.0, 0.0, 0.0, 0.0);
        for bin in 0..self.counts.len() {
            let start = if bin == 0 { low } else { self.edges[bin - 1].clamp(low, high) };
            let end = self.edges.get(bin).map_or(high, |edge| edge.clamp(low, high));
            let (p, q) = (self.counts[bin] as f64 / n, current.counts[bin] as f64 / m);
            // The integral of a step function over its bin: what it is at the end, less what each value gave up.
            let left = (under_n + p) * end - under_n * start - self.sums[bin] / n;
            let right = (under_m + q) * end - under_m * start - current.sums[bin] / m;
            let inside = (left - right).abs();
            value += inside;
            let (above, below) = (under_n + p - under_m, under_m + q - under_n);
            if above > 0.0 && below > 0.0 {
                bound += (above.max(below) * (end - start) - inside).max(0.0);
            }
            under_n += p;
            under_m += q;
        }
        Bounded { value, bound }
    }
}

/// Most edges that are read.
const EDGES_MAX: usize = 4 * BINS;

/// A sketch at rest.
#[derive(Serialize, Deserialize)]
struct Parts {
    edges: Vec<f64>,
    counts: Vec<u64>,
    sums: Vec<f64>,
    moments: Moments,
}

impl From<Sketch> for Parts {
    fn from(sketch: Sketch) -> Parts {
        let Sketch { edges, counts, sums, moments, .. } = sketch;
        Parts { edges: edges.to_vec(), counts, sums, moments }
    }
}

impl TryFrom<Parts> for Sketch {
    type Error = &'static str;
    fn try_from(parts: Parts) -> Result<Sketch, &'static str> {
        let Parts { edges, counts, sums, moments } = parts;
        if edges.len() > EDGES_MAX || !edges.iter().all(|edge| edge.is_finite()) || !edges.is_sorted_by(|a, b| a < b) {
            return Err("edges must be finite and ascend");
        }
        if counts.len() != edges.len() + 1 || sums.len() != counts.len() || !sums.iter().all(|sum| sum.is_finite()) {
            return Err("there must be a count and a sum for each bin");
        }
        let all = counts.iter().try_fold(0_u64, |all, count| all.checked_add(*count));
        if all != Some(moments.count) || !moments.are_sound() {
            return Err("the moments do not belong to the counts");
        }
        Ok(Sketch { counts, sums, moments, ..Sketch::over(edges.into()) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::drift::{kolmogorov, sample};

    proptest! {
        #[test]
        fn the_guide_finds_what_a_search_over_all_edges_finds(
            mut edges in prop::collection::vec(prop_oneof![-1e3..1e3_f64, -1e300..1e300_f64, Just(f64::MAX), Just(f64::MIN), Just(0.0)], 0..60),
            values in prop::collection::vec(prop_oneof![-1e3..1e3_f64, -1e308..1e308_f64, Just(f64::MAX), Just(f64::MIN), Just(-0.0)], 1..60),
        ) {
            edges.sort_unstable_by(f64::total_cmp);
            edges.dedup();
            let guide = Guide::new(&edges);
            for value in values.iter().chain(&edges) {
                prop_assert_eq!(guide.bin(&edges, *value), edges.partition_point(|edge| edge <= value));
            }
        }

        #[test]
        fn two_parts_are_the_whole_and_figures_are_within_their_bounds(
            values in prop::collection::vec(-50_i32..50, 20..400), shift in -5_i32..5, cut in 0_usize..20,
        ) {
            let mut reference: Vec<f64> = values.iter().map(|value| f64::from(*value) / 7.0).collect();
            let mut current: Vec<f64> = values.iter().rev().step_by(2).map(|v| f64::from(*v + shift) / 7.0).collect();
            reference.sort_unstable_by(f64::total_cmp);
            current.sort_unstable_by(f64::total_cmp);
            // Bins by a few of the values, so that they are coarse.
            let few: Vec<f64> = reference.iter().copied().step_by(9).collect();
            let mut whole = Sketch::new(&few);
            whole.extend(&reference);
            let (mut left, mut right) = (whole.empty(), whole.empty());
            left.extend(&reference[..cut]);
            right.extend(&reference[cut..]);
            prop_assert!(left.merge(&right));
            prop_assert_eq!(left.counts(), whole.counts());
            prop_assert_eq!(left.moments().count, whole.moments().count);
            prop_assert!((left.moments().mean - whole.moments().mean).abs() < 1e-12);
            prop_assert!((left.moments().squares - whole.moments().squares).abs() < 1e-8);
            let mut other = whole.empty();
            other.extend(&current);
            let (ks, wasserstein) = (whole.kolmogorov(&other), whole.wasserstein(&other));
            prop_assert!((ks.value - kolmogorov::distance(&reference, &current)).abs() <= ks.bound + 1e-12);
            prop_assert!((wasserstein.value - sample::wasserstein(&reference, &current)).abs() <= wasserstein.bound + 1e-9);
            let deciles = Bins::of(&few, 10, true);
            prop_assert_eq!(whole.coarse(&deciles), deciles.count(&reference));
        }
    }
}

//! Bins: quantiles of the reference with atoms, and the equal widths that NumPy chooses.

use serde::{Deserialize, Serialize};

/// A value with at least this share of the reference is a bin of its own.
pub const ATOM_SHARE: f64 = 0.1;

/// Bins of numbers: values that are atoms, and the intervals `[edge, next edge)` for all other values, open at both ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bins {
    /// Values that are bins of their own, ascending.
    pub atoms: Vec<f64>,
    /// Interior edges, strictly ascending.
    pub edges: Vec<f64>,
}

impl Bins {
    /// Edges at the `parts` quantiles of an ascending sample (linear interpolation), equal ones once. With `atoms`, values that hold
    /// at least [`ATOM_SHARE`] are bins of their own.
    pub fn of(sorted: &[f64], parts: usize, atoms: bool) -> Bins {
        if sorted.is_empty() || parts < 2 {
            return Bins::default();
        }
        let (first, last) = (1.0 / parts as f64, 1.0 - 1.0 / parts as f64);
        let steps = (parts - 2).max(1) as f64;
        let share = |i: usize| if i + 2 == parts { last } else { first + i as f64 * ((last - first) / steps) };
        let mut edges: Vec<f64> = (0..parts - 1).map(|i| quantile(sorted, share(i))).collect();
        edges.dedup();
        Bins { atoms: if atoms { atoms_of(sorted) } else { Vec::new() }, edges }
    }

    /// How many bins there are: atoms first, then intervals.
    pub fn len(&self) -> usize {
        self.atoms.len() + self.edges.len() + 1
    }

    /// Never: the interval without edges is one bin.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The bin of a finite value.
    pub fn index(&self, value: f64) -> usize {
        match self.atoms.iter().position(|&atom| atom == value) {
            Some(at) => at,
            None => self.atoms.len() + self.edges.partition_point(|&edge| edge <= value),
        }
    }

    /// What each bin is, in words.
    pub fn labels(&self) -> Vec<String> {
        let mut labels: Vec<String> = self.atoms.iter().map(|atom| format!("= {atom}")).collect();
        match (self.edges.first(), self.edges.last()) {
            (Some(first), Some(last)) => {
                labels.push(format!("< {first:.4}"));
                labels.extend(self.edges.windows(2).map(|pair| format!("{:.4} to {:.4}", pair[0], pair[1])));
                labels.push(format!(">= {last:.4}"));
            }
            _ => labels.push("all".to_owned()),
        }
        labels
    }

    /// How many of the values are in each bin.
    pub fn count(&self, values: &[f64]) -> Vec<u64> {
        let mut counts = vec![0; self.len()];
        for &value in values {
            counts[self.index(value)] += 1;
        }
        counts
    }
}

fn atoms_of(sorted: &[f64]) -> Vec<f64> {
    let least = ATOM_SHARE * sorted.len() as f64;
    let runs = sorted.chunk_by(|a, b| a == b);
    runs.filter(|run| run.len() as f64 >= least).map(|run| run[0]).collect()
}

/// The quantile of an ascending sample that is not empty, linearly interpolated (Hyndman and Fan's type 7).
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let low = at.floor() as usize;
    let part = at - at.floor();
    let (a, b) = (sorted[low], sorted[(low + 1).min(sorted.len() - 1)]);
    if part >= 0.5 { b - (b - a) * (1.0 - part) } else { a + (b - a) * part }
}

/// The rule of Sturges (1926): how many bins of one width for an ascending sample.
pub fn sturges(sorted: &[f64]) -> Vec<f64> {
    equal(sorted, spread(sorted) / ((sorted.len() as f64).log2() + 1.0))
}

/// The rule of Doane (1976): Sturges' with the skewness in it.
pub fn doane(sorted: &[f64]) -> Vec<f64> {
    let n = sorted.len() as f64;
    if n <= 2.0 {
        return equal(sorted, 0.0);
    }
    let scale = (6.0 * (n - 2.0) / ((n + 1.0) * (n + 3.0))).sqrt();
    let mean = sorted.iter().sum::<f64>() / n;
    let deviation = (sorted.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
    if deviation <= 0.0 {
        return equal(sorted, 0.0);
    }
    let skewness = sorted.iter().map(|x| ((x - mean) / deviation).powi(3)).sum::<f64>() / n;
    equal(sorted, spread(sorted) / (1.0 + n.log2() + (1.0 + skewness.abs() / scale).log2()))
}

fn spread(sorted: &[f64]) -> f64 {
    sorted.last().copied().unwrap_or_default() - sorted.first().copied().unwrap_or_default()
}

fn equal(sorted: &[f64], width: f64) -> Vec<f64> {
    let (mut first, mut last) = match sorted {
        [] => (0.0, 1.0),
        [first, .., last] => (*first, *last),
        [only] => (*only, *only),
    };
    if first == last {
        (first, last) = (first - 0.5, last + 0.5);
    }
    let parts = if width > 0.0 { (spread(sorted) / width).ceil().clamp(1.0, 1e6) as usize } else { 1 };
    let step = (last - first) / parts as f64;
    (0..=parts).map(|i| if i == parts { last } else { i as f64 * step + first }).collect()
}

/// Counts of an ascending sample between edges, each bin without its right end but the last; what lies outside is not counted.
pub fn histogram(sorted: &[f64], edges: &[f64]) -> Vec<u64> {
    let Some((last, rest)) = edges.split_last() else { return Vec::new() };
    let mut places: Vec<usize> = rest.iter().map(|edge| sorted.partition_point(|value| value < edge)).collect();
    places.push(sorted.partition_point(|value| value <= last));
    places.windows(2).map(|pair| (pair[1] - pair[0]) as u64).collect()
}

//! Drift of vectors: how far the centroids are apart, and the maximum mean discrepancy (Gretton et al. 2012).

use statrs::function::gamma::gamma_ur;

use crate::rng::Rng;

/// Most vectors of both sides together: the discrepancy costs their square.
pub const VECTORS_MAX: usize = 4_096;

/// Why nothing can be said about two sets of vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmbeddingError {
    /// A side has fewer than two vectors.
    #[error("fewer than two vectors on a side")]
    TooFew,
    /// More than can be compared pair by pair.
    #[error("more than {VECTORS_MAX} vectors: take a sample")]
    TooMany,
    /// Vectors of different lengths.
    #[error("vectors of different lengths")]
    Length,
}

/// Distances between two sets of vectors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    /// One less the cosine of the centroids; `NaN` where one is the origin.
    pub centroid_cosine: f64,
    /// Between the centroids, in the vectors' own unit.
    pub centroid_euclid: f64,
    /// The median distance of two vectors of either side: the width of the kernel.
    pub median: f64,
    /// The squared discrepancy without bias under a Gaussian kernel; may be below zero.
    pub mmd2: f64,
    /// The same with its bias.
    pub mmd2_biased: f64,
}

/// Compares two sets of vectors; time and memory grow with the square of their number.
pub fn compare(reference: &[Vec<f64>], current: &[Vec<f64>]) -> Result<Drift, EmbeddingError> {
    let (n, m) = (reference.len(), current.len());
    if n < 2 || m < 2 {
        return Err(EmbeddingError::TooFew);
    }
    if n + m > VECTORS_MAX {
        return Err(EmbeddingError::TooMany);
    }
    let all: Vec<&[f64]> = reference.iter().chain(current).map(Vec::as_slice).collect();
    if all.iter().any(|vector| vector.len() != all[0].len()) {
        return Err(EmbeddingError::Length);
    }
    let mut squares = Vec::with_capacity((n + m) * (n + m - 1) / 2);
    for (at, a) in all.iter().enumerate() {
        squares.extend(all[at + 1..].iter().map(|b| square(a, b)));
    }
    let median = median(squares.clone()).sqrt();
    let (within, beyond, across) = kernel_sums(&squares, n, n + m, 1.0 / (2.0 * median * median));
    let (a, b) = (n as f64, m as f64);
    let (left, right) = (centroid(&all[..n]), centroid(&all[n..]));
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    Ok(Drift {
        centroid_cosine: 1.0 - dot(&left, &right) / (dot(&left, &left) * dot(&right, &right)).sqrt(),
        centroid_euclid: square(&left, &right).sqrt(),
        median,
        mmd2: 2.0 * within / (a * (a - 1.0)) + 2.0 * beyond / (b * (b - 1.0)) - 2.0 * across / (a * b),
        mmd2_biased: (2.0 * within + a) / (a * a) + (2.0 * beyond + b) / (b * b) - 2.0 * across / (a * b),
    })
}

/// The chance of a discrepancy as large as that of these two sets where both are of one law: the share of `shuffles` random divisions of
/// all vectors that come to as much, the real one among them (Phipson and Smyth 2010); where hardly any does, the tail of the Pearson
/// type III law with the mean, spread and skewness of the shuffled ones. `median` is [`Drift::median`]. One where nothing can be compared.
pub fn shuffled(reference: &[Vec<f64>], current: &[Vec<f64>], median: f64, shuffles: usize, rng: &mut Rng) -> f64 {
    let (n, all) = (reference.len(), reference.len() + current.len());
    if n < 2 || all - n < 2 || all > VECTORS_MAX || median <= 0.0 {
        return 1.0;
    }
    let vectors: Vec<&[f64]> = reference.iter().chain(current).map(Vec::as_slice).collect();
    let gamma = 1.0 / (2.0 * median * median);
    let kernel: Vec<f64> =
        vectors.iter().flat_map(|a| vectors.iter().map(move |b| (-gamma * square(a, b)).exp())).collect();
    let mut order: Vec<usize> = (0..all).collect();
    let discrepancy = |order: &[usize]| {
        let (left, right) = order.split_at(n);
        let sum = |a: &[usize], b: &[usize]| {
            a.iter().map(|i| b.iter().map(|j| kernel[i * all + j]).sum::<f64>()).sum::<f64>()
        };
        let (a, b) = (left.len() as f64, right.len() as f64);
        (sum(left, left) - a) / (a * (a - 1.0)) + (sum(right, right) - b) / (b * (b - 1.0))
            - 2.0 * sum(left, right) / (a * b)
    };
    let seen = discrepancy(&order);
    let mut shuffled = Vec::with_capacity(shuffles);
    for _ in 0..shuffles {
        for at in (1..all).rev() {
            order.swap(at, rng.below(at as u64 + 1) as usize);
        }
        shuffled.push(discrepancy(&order));
    }
    let as_large = shuffled.iter().filter(|other| **other >= seen).count();
    if as_large >= COUNTED { (as_large + 1) as f64 / (shuffles + 1) as f64 } else { tail(&shuffled, seen) }
}

/// From so many shuffles on that come to as much their share is the chance.
const COUNTED: usize = 10;

/// The chance of at least `seen` under the Pearson type III law that has the first three moments of the values.
fn tail(values: &[f64], seen: f64) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let central = |power: i32| values.iter().map(|value| (value - mean).powi(power)).sum::<f64>() / n;
    let deviation = central(2).sqrt();
    if deviation <= 0.0 {
        return if seen > mean { 0.0 } else { 1.0 };
    }
    // Discrepancies lean to the right; without that the law would be the normal one, whose tail is thinner.
    let skewness = (central(3) / deviation.powi(3)).max(0.1);
    let shape = 4.0 / (skewness * skewness);
    let at = (seen - mean) / deviation * shape.sqrt() + shape;
    if at <= 0.0 { 1.0 } else { gamma_ur(shape, at) }
}

/// Sums of the kernel over pairs within the first `n`, within the rest and across. Vectors that are all alike are at distance nought.
fn kernel_sums(squares: &[f64], n: usize, all: usize, gamma: f64) -> (f64, f64, f64) {
    let mut sums = (0.0, 0.0, 0.0);
    let mut pairs = squares.iter();
    for i in 0..all {
        for j in i + 1..all {
            let square = pairs.next().copied().unwrap_or_default();
            let value = if square == 0.0 { 1.0 } else { (-gamma * square).exp() };
            if j < n {
                sums.0 += value;
            } else if i >= n {
                sums.1 += value;
            } else {
                sums.2 += value;
            }
        }
    }
    sums
}

fn square(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
}

/// The root of the middle, and of two middles the mean of their roots, squared again.
fn median(mut squares: Vec<f64>) -> f64 {
    let middle = squares.len() / 2;
    let even = squares.len().is_multiple_of(2);
    let (below, &mut high, _) = squares.select_nth_unstable_by(middle, f64::total_cmp);
    if !even {
        return high;
    }
    let low = below.iter().copied().fold(0.0, f64::max);
    f64::midpoint(low.sqrt(), high.sqrt()).powi(2)
}

fn centroid(vectors: &[&[f64]]) -> Vec<f64> {
    let mut sum = vec![0.0; vectors[0].len()];
    for vector in vectors {
        for (total, value) in sum.iter_mut().zip(*vector) {
            *total += value / vectors.len() as f64;
        }
    }
    sum
}

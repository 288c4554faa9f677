//! Drift of vectors: how far the centroids are apart, and the maximum mean discrepancy (Gretton et al. 2012).

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

//! The two-sample test of Kolmogorov and Smirnov.
//!
//! p-values are exact up to [`EXACT_MAX`] values a side (lattice paths, Hodges 1958); beyond, the law of the one-sample statistic at
//! the effective size is taken (Simard and L'Ecuyer 2011, Computing the Two-Sided Kolmogorov-Smirnov Distribution).

use std::f64::consts::PI;

use statrs::function::gamma::ln_gamma;

use crate::stats::law::kolmogorov_above;

/// Values on the larger side up to which the p-value is exact.
pub const EXACT_MAX: usize = 10_000;

/// Largest difference of two distribution functions, and the chance of one as large where there is no difference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Test {
    /// The largest difference, in `[0, 1]`.
    pub distance: f64,
    /// The chance of at least that distance between two samples of one law.
    pub p_value: f64,
}

/// The test on two ascending samples; `None` where one is empty.
///
/// ```
/// use mainstay_core::drift::kolmogorov::test;
///
/// let seen = test(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]).unwrap();
/// assert_eq!(seen.distance, 1.0);
/// assert!((seen.p_value - 0.1).abs() < 1e-12);
/// ```
pub fn test(reference: &[f64], current: &[f64]) -> Option<Test> {
    if reference.is_empty() || current.is_empty() {
        return None;
    }
    let distance = distance(reference, current);
    Some(Test { distance, p_value: p_value(distance, reference.len(), current.len()) })
}

/// The largest difference between the distribution functions of two ascending samples.
pub fn distance(reference: &[f64], current: &[f64]) -> f64 {
    let (n, m) = (reference.len() as i128, current.len() as i128);
    let (mut i, mut j, mut largest) = (0, 0, 0_i128);
    while i < reference.len() && j < current.len() {
        let value = reference[i].min(current[j]);
        while i < reference.len() && reference[i] <= value {
            i += 1;
        }
        while j < current.len() && current[j] <= value {
            j += 1;
        }
        largest = largest.max((i as i128 * m - j as i128 * n).abs());
    }
    largest as f64 / (n * m) as f64
}

/// The chance of a distance of at least `distance` between samples of `n` and `m` values of one law.
pub fn p_value(distance: f64, n: usize, m: usize) -> f64 {
    if n == 0 || m == 0 {
        return f64::NAN;
    }
    if n.max(m) <= EXACT_MAX {
        return exact(distance, n, m);
    }
    let (n, m) = (n as f64, m as f64);
    tail((n * m / (n + m)).round_ties_even() as u64, distance)
}

/// The same by the law of ever larger samples (Kolmogorov 1933): at once, and a little too high for small ones.
pub fn asymptotic(distance: f64, n: f64, m: f64) -> f64 {
    kolmogorov_above((n * m / (n + m)).sqrt() * distance)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn exact(distance: f64, n: usize, m: usize) -> f64 {
    let common = gcd(n, m);
    let reach = (distance * (n / common * m) as f64).round_ties_even() as i64;
    if reach == 0 {
        1.0
    } else if n == m {
        square(n, reach as usize)
    } else {
        paths(n.max(m), n.min(m), common, reach)
    }
}

/// Gnedenko and Korolyuk (1951): for samples of one size the alternating sum of reflections, inside out.
fn square(n: usize, reach: usize) -> f64 {
    (1..=n / reach).rev().fold(0.0, |inner, k| {
        let (k, mut term) = (k - 1, 1.0);
        let first = (k * reach) as f64;
        for step in 0..reach {
            term *= (n as f64 - first - step as f64) / (n as f64 + first + step as f64 + 1.0);
        }
        term * (1.0 - inner)
    }) * 2.0
}

/// The chance that a random path from (0, 0) to (m, n) leaves the band `|n x - m y| < reach * common`, by its last step: all terms are
/// positive, so nothing cancels.
fn paths(m: usize, n: usize, common: usize, reach: i64) -> f64 {
    let (wide, narrow) = ((m / common) as i64, (n / common) as i64);
    let mut column = vec![1.0_f64; n + 1];
    // The rows of a column that lie within the band.
    let band = |x: i64| {
        let low = ((narrow * x - reach).div_euclid(wide) + 1).max(0);
        let high = (narrow * x + reach - 1).div_euclid(wide).min(n as i64);
        (low as usize, high)
    };
    let (_, high) = band(0);
    for cell in &mut column[..=high as usize] {
        *cell = 0.0;
    }
    let mut lowest = 0;
    for x in 1..=m {
        let (low, high) = band(x as i64);
        if high < low as i64 {
            return 1.0;
        }
        for cell in &mut column[lowest..low] {
            *cell = 1.0;
        }
        lowest = low;
        let mut below = if low == 0 { 0.0 } else { 1.0 };
        for (y, cell) in column.iter_mut().enumerate().take(high as usize + 1).skip(low) {
            below = (*cell * x as f64 + below * y as f64) / (x + y) as f64;
            *cell = below;
        }
    }
    column[n]
}

/// The chance that the two-sided statistic of `n` values is at least `d`.
pub fn tail(n: u64, d: f64) -> f64 {
    let size = n as f64;
    let reach = size * d;
    if d >= 1.0 {
        return 0.0;
    }
    if n == 0 || reach <= 0.5 {
        return 1.0;
    }
    if reach <= 1.0 {
        return 1.0 - (ln_gamma(size + 1.0) - size * size.ln() + size * (2.0 * reach - 1.0).ln()).exp();
    }
    if reach >= size - 1.0 {
        return 2.0 * (1.0 - d).powf(size);
    }
    let square = reach * d;
    if d >= 0.5 || (n <= 140 && square > 4.0) || (n > 140 && square >= 2.2) {
        return if square >= 370.0 { 0.0 } else { (2.0 * one_sided(n, d)).clamp(0.0, 1.0) };
    }
    let below = if n <= 140 || (n <= 100_000 && size * d.powf(1.5) <= 1.4) { matrix(n, d) } else { pelz_good(size, d) };
    (1.0 - below).clamp(0.0, 1.0)
}

/// The one-sided tail, exact: Smirnov's sum (1944), each term as a binomial chance at its mean times two powers that are close to one.
fn one_sided(n: u64, d: f64) -> f64 {
    let size = n as f64;
    let reach = size * d;
    let last = (size * (1.0 - d)).floor() as u64;
    let mut sum = (size * (-d).ln_1p()).exp();
    for j in 1..=last.min(n - 1) {
        let (at, rest) = (j as f64, (n - j) as f64);
        let mode =
            stirling_rest(size) - stirling_rest(at) - stirling_rest(rest) + 0.5 * (size / (2.0 * PI * at * rest)).ln();
        let powers = (at - 1.0) * (reach / at).ln_1p() + rest * (-reach / rest).max(-1.0).ln_1p();
        sum += d * (size / at) * (mode + powers).exp();
    }
    sum
}

/// What Stirling's formula leaves of ln n! (Loader 2000).
fn stirling_rest(n: f64) -> f64 {
    if n < 16.0 {
        return ln_gamma(n + 1.0) - (n + 0.5) * n.ln() + n - 0.5 * (2.0 * PI).ln();
    }
    let s = 1.0 / (n * n);
    (1.0 / 12.0 - s * (1.0 / 360.0 - s * (1.0 / 1260.0 - s * (1.0 / 1680.0 - s / 1188.0)))) / n
}

const SCALE: f64 = 1e140;

/// Durbin's matrix (Marsaglia, Tsang and Wang 2003): the chance of less than `d`.
#[expect(clippy::many_single_char_names, reason = "named as in the paper")]
fn matrix(n: u64, d: f64) -> f64 {
    let reach = n as f64 * d;
    let k = reach.ceil() as usize;
    let h = k as f64 - reach;
    let m = 2 * k - 1;
    let mut base = vec![0.0_f64; m * m];
    let factorial = |j: usize| (1..=j).map(|i| i as f64).product::<f64>();
    for row in 0..m {
        for column in 0..m.min(row + 2) {
            base[row * m + column] = 1.0 / factorial(row + 1 - column);
        }
    }
    for i in 0..m {
        base[i * m] -= h.powi(i as i32 + 1) / factorial(i + 1);
        base[(m - 1) * m + i] -= h.powi((m - i) as i32) / factorial(m - i);
    }
    if h > 0.5 {
        base[(m - 1) * m] += (2.0 * h - 1.0).powi(m as i32) / factorial(m);
    }
    let (power, mut exponent) = raised(&base, m, n, k);
    let mut chance = power[(k - 1) * m + k - 1];
    for i in 1..=n {
        chance *= i as f64 / n as f64;
        if chance < 1.0 / SCALE {
            chance *= SCALE;
            exponent -= 1;
        }
    }
    chance * SCALE.powi(exponent)
}

/// A matrix to the power of `n`, with how often it was divided by [`SCALE`].
fn raised(base: &[f64], m: usize, mut n: u64, k: usize) -> (Vec<f64>, i32) {
    let mut square = base.to_vec();
    let mut result: Vec<f64> = (0..m * m).map(|at| if at % (m + 1) == 0 { 1.0 } else { 0.0 }).collect();
    let (mut scaled, mut of_square) = (0, 0);
    let middle = (k - 1) * m + k - 1;
    while n > 0 {
        if n % 2 == 1 {
            result = product(&result, &square, m);
            scaled += of_square;
            scaled += shrink(&mut result, middle);
        }
        n /= 2;
        if n > 0 {
            square = product(&square, &square, m);
            of_square = 2 * of_square + shrink(&mut square, middle);
        }
    }
    (result, scaled)
}

fn shrink(matrix: &mut [f64], middle: usize) -> i32 {
    if matrix[middle] <= SCALE {
        return 0;
    }
    for cell in matrix {
        *cell /= SCALE;
    }
    1
}

fn product(a: &[f64], b: &[f64], m: usize) -> Vec<f64> {
    let mut out = vec![0.0; m * m];
    for i in 0..m {
        for k in 0..m {
            let factor = a[i * m + k];
            for j in 0..m {
                out[i * m + j] += factor * b[k * m + j];
            }
        }
    }
    out
}

/// The expansion of Pelz and Good (1976) in powers of `1 / sqrt(n)`: the chance of less than `d`.
fn pelz_good(n: f64, d: f64) -> f64 {
    let z = n.sqrt() * d;
    let (z2, z4, z6, z8) = (z.powi(2), z.powi(4), z.powi(6), z.powi(8));
    let (p2, p4, p6) = (PI.powi(2), PI.powi(4), PI.powi(6));
    let mut k = [0.0_f64; 4];
    let most = (16.0 * z / PI).ceil() as i32 + 1;
    for i in (1..=most).rev() {
        let odd = f64::from(2 * i - 1);
        let (m2, m4, m6) = (odd.powi(2), odd.powi(4), odd.powi(6));
        let weight = (-p2 * m2 / (8.0 * z2)).exp();
        k[0] += weight;
        k[1] += weight * (p2 / 4.0 * m2 - z2);
        k[2] +=
            weight * (6.0 * z6 + 2.0 * z4 + p2 / 4.0 * (2.0 * z4 - 5.0 * z2) * m2 + p4 / 16.0 * (1.0 - 2.0 * z2) * m4);
        k[3] += weight
            * (-30.0 * z6 - 90.0 * z8
                + p2 / 4.0 * (135.0 * z4 - 96.0 * z6) * m2
                + p4 / 16.0 * (212.0 * z4 - 60.0 * z2) * m4
                + p6 / 64.0 * (5.0 - 30.0 * z2) * m6);
    }
    let root = (2.0 * PI).sqrt();
    for (term, scale) in k.iter_mut().zip([z, 6.0 * z4, 72.0 * z.powi(7), 6480.0 * z.powi(10)]) {
        *term *= root / scale;
    }
    for i in (1..=most).rev() {
        let i2 = f64::from(i).powi(2);
        let weight = (-p2 * i2 / (2.0 * z2)).exp();
        k[2] -= root * p2 / (36.0 * z.powi(3)) * i2 * weight;
        k[3] += root * p2 / (216.0 * z6) * (3.0 * z2 - p2 * i2) * i2 * weight;
    }
    k[0] + k[1] / n.sqrt() + k[2] / n + k[3] / n.powf(1.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_agrees_with_scipy() {
        // scipy 1.17.1: kstwo.sf.
        for (n, d, p) in [
            (50, 0.05, 0.999_023_809_846_188_3),
            (50, 0.1, 0.662_311_270_465_818_6),
            (50, 0.15, 0.190_263_665_182_480_72),
            (50, 0.2, 0.031_438_777_769_532_41),
            (50, 0.3, 0.000_173_532_602_027_187_38),
        ] {
            let ours = tail(n, d);
            assert!((ours - p).abs() <= 1e-8 * p, "{n} {d}: {ours} for {p}");
        }
    }

    #[test]
    fn regimes_meet_where_they_change() {
        for n in [141_u64, 1_000, 100_000, 500_000] {
            let d = (2.2 / n as f64).sqrt();
            let (exact, expanded) = (2.0 * one_sided(n, d), 1.0 - pelz_good(n as f64, d));
            assert!((exact / expanded - 1.0).abs() < 1e-3, "{n}: {exact} {expanded}");
        }
        let d = (4.0_f64 / 140.0).sqrt();
        assert!((2.0 * one_sided(140, d) / (1.0 - matrix(140, d)) - 1.0).abs() < 1e-8);
        assert!((matrix(1_000, 0.0125) - pelz_good(1_000.0, 0.0125)).abs() < 1e-5);
    }
}

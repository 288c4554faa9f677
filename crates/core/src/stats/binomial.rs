//! Exact statements about a share, from the binomial law.

use statrs::function::beta::beta_reg;

/// The chance of at least `hits` hits in `n` trials of probability `p`, exact.
///
/// ```
/// use mainstay_core::stats::binomial;
///
/// // One bad request in 40, at one in a thousand allowed, is nothing to wake anybody for.
/// assert!((binomial::at_least(1, 40, 0.001) - 0.0392).abs() < 1e-4);
/// ```
pub fn at_least(hits: u64, n: u64, p: f64) -> f64 {
    if hits == 0 {
        return 1.0;
    }
    if hits > n || p <= 0.0 {
        return 0.0;
    }
    if p >= 1.0 {
        return 1.0;
    }
    beta_reg(hits as f64, (n - hits + 1) as f64, p)
}

/// The one-sided lower bound of Clopper and Pearson (1934): the share is at least this, with `confidence`.
pub fn lower(hits: u64, n: u64, confidence: f64) -> f64 {
    if hits == 0 || n == 0 {
        return 0.0;
    }
    let alpha = 1.0 - confidence;
    bisect(|p| at_least(hits, n, p) < alpha)
}

/// The one-sided upper bound of Clopper and Pearson (1934): the share is at most this, with `confidence`. Without trials nothing
/// is known: 1.
///
/// ```
/// use mainstay_core::stats::binomial;
///
/// // No bad request in 29,956 shows a rate of at most 1e-4 (the rule of three: 3 / rate).
/// assert!(binomial::upper(0, 29_956, 0.95) <= 1e-4);
/// assert!(binomial::upper(0, 29_955, 0.95) > 1e-4);
/// ```
pub fn upper(hits: u64, n: u64, confidence: f64) -> f64 {
    if hits >= n {
        return 1.0;
    }
    let alpha = 1.0 - confidence;
    if hits == 0 {
        return -(alpha.ln() / n as f64).exp_m1();
    }
    bisect(|p| 1.0 - at_least(hits + 1, n, p) > alpha)
}

/// The largest p in [0, 1] for which `below` holds, where it holds up to a point and never after.
fn bisect(below: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if below(middle) { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_agree_with_statsmodels() {
        // proportion_confint(method="beta") at two-sided 5 %: each side 97.5 %.
        for (hits, n, low, high) in [
            (0, 20, 0.0, 0.168_433_470_983_085_34),
            (18, 20, 0.683_017_282_580_917_7, 0.987_651_472_829_705_2),
            (87, 100, 0.787_959_322_912_550_2, 0.928_926_953_814_570_5),
            (99_950, 100_000, 0.999_340_864_804_130_6, 0.999_628_868_298_216_5),
        ] {
            for (ours, theirs) in [(lower(hits, n, 0.975), low), (upper(hits, n, 0.975), high)] {
                assert!((ours - theirs).abs() <= 1e-8 * theirs.max(1e-3), "{hits} of {n}: {ours} for {theirs}");
            }
        }
    }

    #[test]
    fn so_many_prove_compliance_with_one_in_ten_thousand() {
        for (bad, n) in [(0, 29_956), (1, 47_437), (2, 62_956), (3, 77_535), (5, 105_128)] {
            assert!(upper(bad, n, 0.95) <= 1e-4, "{bad}");
            assert!(upper(bad, n - 1, 0.95) > 1e-4, "{bad}");
        }
    }

    #[test]
    fn so_few_prove_a_breach_of_one_in_ten_thousand() {
        for (bad, n) in [(1, 512), (2, 3_553), (3, 8_177), (5, 19_702)] {
            assert!(lower(bad, n, 0.95) > 1e-4, "{bad}");
            assert!(lower(bad, n + 1, 0.95) <= 1e-4, "{bad}");
        }
    }
}

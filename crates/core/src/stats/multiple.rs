//! Many tests at once: p-values corrected for their number, in the order given.
//!
//! A corrected value below the level is a rejection. Family-wise: the chance of *any* false alarm stays below the level. False
//! discovery: the expected *share* of false alarms among all alarms does. None of them helps against looking again each hour: that is
//! what [`sequential`](super::sequential) is for.

/// A way to correct.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Correction {
    /// n p. Family-wise, under any dependence.
    Bonferroni,
    /// 1 - (1 - p)^n. Family-wise, of independent tests.
    Sidak,
    /// Holm (1979): Bonferroni step by step. Family-wise, under any dependence, never weaker than Bonferroni.
    Holm,
    /// Šidák step by step. Family-wise, of independent tests.
    HolmSidak,
    /// Hochberg (1988), from Simes' inequality. Family-wise, of independent or positively dependent tests.
    Hochberg,
    /// Hommel (1988): the strongest that follows from Simes' inequality. As Hochberg's.
    Hommel,
    /// Benjamini and Hochberg (1995). False discovery, of independent or positively dependent tests.
    BenjaminiHochberg,
    /// Benjamini and Yekutieli (2001). False discovery, under any dependence.
    BenjaminiYekutieli,
}

/// Corrected p-values, each at most 1. `NaN` is no test: it is not counted, and stays.
///
/// ```
/// use mainstay_core::stats::multiple::{Correction, correct};
///
/// assert_eq!(correct(&[0.01, 0.04], Correction::Bonferroni), [0.02, 0.08]);
/// assert_eq!(correct(&[0.01, 0.04], Correction::Holm), [0.02, 0.04]);
/// ```
pub fn correct(p_values: &[f64], how: Correction) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).filter(|&at| !p_values[at].is_nan()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let sorted: Vec<f64> = order.iter().map(|&at| p_values[at]).collect();
    let mut corrected = p_values.to_vec();
    for (at, value) in order.into_iter().zip(correct_sorted(&sorted, how)) {
        corrected[at] = value.min(1.0);
    }
    corrected
}

fn correct_sorted(sorted: &[f64], how: Correction) -> Vec<f64> {
    let n = sorted.len() as f64;
    let ranked = || sorted.iter().enumerate().map(|(at, &p)| (at as f64 + 1.0, p));
    match how {
        Correction::Bonferroni => ranked().map(|(_, p)| n * p).collect(),
        Correction::Sidak => ranked().map(|(_, p)| at_least_one(p, n)).collect(),
        Correction::Holm => rising(ranked().map(|(rank, p)| (n - rank + 1.0) * p)),
        Correction::HolmSidak => rising(ranked().map(|(rank, p)| at_least_one(p, n - rank + 1.0))),
        Correction::Hochberg => falling(ranked().map(|(rank, p)| (n - rank + 1.0) * p).collect()),
        Correction::Hommel => hommel(sorted),
        Correction::BenjaminiHochberg => falling(ranked().map(|(rank, p)| n / rank * p).collect()),
        Correction::BenjaminiYekutieli => {
            let harmonic: f64 = (1..=sorted.len()).map(|i| 1.0 / i as f64).sum();
            falling(ranked().map(|(rank, p)| n / rank * harmonic * p).collect())
        }
    }
}

/// The chance that at least one of `n` independent tests is as small as `p`.
fn at_least_one(p: f64, n: f64) -> f64 {
    -(n * (-p).ln_1p()).exp_m1()
}

/// None smaller than one before it.
fn rising(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut most = 0.0_f64;
    values
        .map(|value| {
            most = most.max(value);
            most
        })
        .collect()
}

/// None greater than one after it.
fn falling(mut values: Vec<f64>) -> Vec<f64> {
    let mut least = f64::INFINITY;
    for value in values.iter_mut().rev() {
        least = least.min(*value);
        *value = least;
    }
    values
}

/// As in Wright (1992), Adjusted P-values for simultaneous inference, appendix.
fn hommel(sorted: &[f64]) -> Vec<f64> {
    let n = sorted.len();
    let mut corrected = sorted.to_vec();
    for m in (2..=n).rev() {
        let last = n - m + 1;
        let of = m as f64;
        let shared =
            sorted[last..].iter().enumerate().map(|(i, p)| of * p / (i as f64 + 2.0)).fold(f64::INFINITY, f64::min);
        for value in &mut corrected[last..] {
            *value = value.max(shared);
        }
        for (value, p) in corrected[..last].iter_mut().zip(sorted) {
            *value = value.max(shared.min(of * p));
        }
    }
    corrected
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Correction; 8] = [
        Correction::Bonferroni,
        Correction::Sidak,
        Correction::Holm,
        Correction::HolmSidak,
        Correction::Hochberg,
        Correction::Hommel,
        Correction::BenjaminiHochberg,
        Correction::BenjaminiYekutieli,
    ];

    #[test]
    fn nothing_and_not_a_number_stay() {
        for how in ALL {
            assert!(correct(&[], how).is_empty());
            assert_eq!(correct(&[0.2], how), [0.2], "{how:?}: one test needs no correction");
            let with_gap = correct(&[0.01, f64::NAN, 0.5], how);
            assert!(with_gap[1].is_nan());
            assert_eq!([with_gap[0], with_gap[2]], *correct(&[0.01, 0.5], how), "{how:?}");
        }
    }

    /// Closed testing by Simes' inequality: a hypothesis is rejected where every intersection with it is.
    fn hommel_by_closure(p_values: &[f64]) -> Vec<f64> {
        let n = p_values.len();
        let of_one = |at: usize| {
            let with = (0_u32..1 << n).filter(|set| set >> at & 1 == 1);
            with.map(|set| {
                let mut chosen: Vec<f64> = (0..n).filter(|i| set >> i & 1 == 1).map(|i| p_values[i]).collect();
                chosen.sort_by(f64::total_cmp);
                let size = chosen.len() as f64;
                chosen.iter().enumerate().map(|(i, p)| size * p / (i as f64 + 1.0)).fold(1.0, f64::min)
            })
            .fold(0.0, f64::max)
        };
        (0..n).map(of_one).collect()
    }

    proptest! {
        #[test]
        fn corrections_keep_the_order_and_are_ordered_among_themselves(
            p_values in prop::collection::vec(0.0_f64..1.0, 1..8),
        ) {
            let of = |how| correct(&p_values, how);
            for (stronger, weaker) in [
                (Correction::Holm, Correction::Bonferroni),
                (Correction::Hochberg, Correction::Holm),
                (Correction::Hommel, Correction::Hochberg),
                (Correction::BenjaminiHochberg, Correction::Hommel),
                (Correction::BenjaminiHochberg, Correction::BenjaminiYekutieli),
                (Correction::Sidak, Correction::Bonferroni),
                (Correction::HolmSidak, Correction::Sidak),
            ] {
                for (a, b) in of(stronger).iter().zip(of(weaker)) {
                    prop_assert!(*a <= b + 1e-12, "{:?} {:?}", stronger, weaker);
                }
            }
            for how in ALL {
                for (value, p) in of(how).iter().zip(&p_values) {
                    prop_assert!(*value >= p - 1e-12 && *value <= 1.0);
                }
            }
            for (a, b) in of(Correction::Hommel).iter().zip(hommel_by_closure(&p_values)) {
                prop_assert!((a - b).abs() < 1e-12);
            }
        }
    }
}

//! The figures that two sides come to, method by method, once their bins are counted.

use super::sample::{self, Moments};
use super::verdict::{Method, Score};
use super::{evidently, kolmogorov, shares};

/// Counts and figures of two sides that methods share: reference first.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Values of the reference.
    pub n: u64,
    /// Current values.
    pub m: u64,
    /// Of numbers.
    pub moments: Option<(Moments, Moments)>,
    /// Counts over plain deciles, or categories.
    pub plain: (Vec<u64>, Vec<u64>),
    /// Counts over deciles with atoms, or categories.
    pub atoms: (Vec<u64>, Vec<u64>),
    /// Counts over Evidently's bins; empty where there are none.
    pub evidently: (Vec<u64>, Vec<u64>),
    /// The distance of Kolmogorov and Smirnov.
    pub ks: f64,
    /// Whether that is from bins: then its p-value is that of large samples, which does not take long.
    pub binned: bool,
    /// The distance of Wasserstein.
    pub wasserstein: f64,
}

/// Fewest values of the smaller side in a bin.
const LEAST_IN_BIN: f64 = 10.0;

impl Figures {
    /// Puts bins together that are too empty for the laws of the statistics.
    pub fn pool(&mut self) {
        self.plain = shares::pooled(&self.plain.0, &self.plain.1, LEAST_IN_BIN);
        self.atoms = shares::pooled(&self.atoms.0, &self.atoms.1, LEAST_IN_BIN);
    }

    /// What a method says, before anything is corrected for how much is asked.
    #[expect(clippy::many_single_char_names, reason = "named as in the formulas")]
    pub fn score(&self, method: Method) -> Score {
        let (p, q) = (shares::shares(&self.plain.0), shares::shares(&self.plain.1));
        let chance = |psi: f64, bins: usize| Some(shares::psi_p_value(psi, bins, self.n, self.m));
        let held =
            |counts: &(Vec<u64>, Vec<u64>)| counts.0.iter().zip(&counts.1).filter(|(a, b)| **a + **b > 0).count();
        let chi = shares::chi_square(&self.atoms.0, &self.atoms.1, false);
        let ks_chance = Some(if self.binned {
            kolmogorov::asymptotic(self.ks, self.n as f64, self.m as f64)
        } else {
            kolmogorov::p_value(self.ks, self.n as usize, self.m as usize)
        });
        let of = |value: f64, effect: f64, limit: f64, p_value: Option<f64>| Score {
            method,
            value,
            effect,
            limit,
            p_value: p_value.filter(|p| p.is_finite()),
            drifted: false,
        };
        let plain = |value: f64, p_value: Option<f64>| of(value, value, 0.1, p_value);
        let (a, b) = self.moments.unwrap_or_default();
        let normalised = sample::normalised(self.wasserstein, &a);
        match method {
            Method::MeanShiftZ => {
                let z = sample::mean_shift_z(&a, &b);
                of(z, z, 2.0, None)
            }
            Method::MeanShiftT => {
                let (t, p_value) = sample::welch(&a, &b).unwrap_or((f64::NAN, f64::NAN));
                of(t, sample::mean_shift_z(&a, &b), 0.1, Some(p_value))
            }
            Method::Psi => {
                let psi = shares::psi(&shares::shares(&self.atoms.0), &shares::shares(&self.atoms.1));
                plain(psi, chance(psi, held(&self.atoms)))
            }
            Method::PsiEvidently => plain(evidently::psi(&self.evidently.0, &self.evidently.1), None),
            Method::Ks => plain(self.ks, ks_chance),
            Method::JensenShannon => {
                // Near no drift the divergence, in nats, is an eighth of the index.
                let nats = shares::jensen_shannon_nats(&p, &q);
                plain(shares::jensen_shannon(&p, &q), chance(8.0 * nats * nats, held(&self.plain)))
            }
            Method::JensenShannonEvidently => {
                plain(evidently::jensen_shannon(&self.evidently.0, &self.evidently.1), None)
            }
            Method::Wasserstein => of(self.wasserstein, normalised, 0.1, ks_chance),
            Method::WassersteinNormalised => plain(normalised, ks_chance),
            Method::ChiSquare => of(
                chi.map_or(f64::NAN, |chi| chi.statistic),
                chi.map_or(0.0, |chi| chi.v),
                0.1,
                chi.map(|chi| chi.p_value),
            ),
            Method::CramersV => plain(chi.map_or(f64::NAN, |chi| chi.v), chi.map(|chi| chi.p_value)),
            Method::LInfinity => plain(shares::l_infinity(&p, &q), chi.map(|chi| chi.p_value)),
            Method::Hellinger => {
                let distance = shares::hellinger(&p, &q);
                plain(distance, chance(8.0 * distance * distance, held(&self.plain)))
            }
        }
    }
}

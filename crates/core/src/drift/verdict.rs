//! From figures to a word: a column drifted where the effect is large enough to matter and too large to be chance.

use serde::{Deserialize, Serialize};

use crate::stats::multiple::{self, Correction};

/// Fewer values than this on a side say nothing.
pub const LEAST_VALUES: u64 = 100;

/// A way to compare two samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// How far the mean moved, in deviations of the reference.
    MeanShiftZ,
    /// Welch's t.
    MeanShiftT,
    /// The population stability index over deciles with atoms.
    Psi,
    /// The same as Evidently computes it.
    PsiEvidently,
    /// Kolmogorov and Smirnov.
    Ks,
    /// Jensen and Shannon's distance, base 2.
    JensenShannon,
    /// The same as Evidently computes it, base e.
    JensenShannonEvidently,
    /// In the column's unit.
    Wasserstein,
    /// In deviations of the reference.
    WassersteinNormalised,
    /// Pearson's statistic over categories, or deciles with atoms.
    ChiSquare,
    /// Its effect.
    CramersV,
    /// The largest difference of a share.
    LInfinity,
    /// Hellinger's distance.
    Hellinger,
}

impl Method {
    /// All, in the order of reports.
    pub const ALL: [Method; 13] = [
        Method::MeanShiftZ,
        Method::MeanShiftT,
        Method::Psi,
        Method::PsiEvidently,
        Method::Ks,
        Method::JensenShannon,
        Method::JensenShannonEvidently,
        Method::Wasserstein,
        Method::WassersteinNormalised,
        Method::ChiSquare,
        Method::CramersV,
        Method::LInfinity,
        Method::Hellinger,
    ];

    /// Its name in reports and options.
    pub const fn name(self) -> &'static str {
        match self {
            Method::MeanShiftZ => "mean_shift_z",
            Method::MeanShiftT => "mean_shift_t",
            Method::Psi => "psi",
            Method::PsiEvidently => "psi_evidently",
            Method::Ks => "ks",
            Method::JensenShannon => "jensen_shannon",
            Method::JensenShannonEvidently => "jensen_shannon_evidently",
            Method::Wasserstein => "wasserstein",
            Method::WassersteinNormalised => "wasserstein_normalised",
            Method::ChiSquare => "chi_square",
            Method::CramersV => "cramers_v",
            Method::LInfinity => "l_infinity",
            Method::Hellinger => "hellinger",
        }
    }

    /// Whether it is one of those that are asked by default.
    pub const fn is_default(self) -> bool {
        matches!(
            self,
            Method::MeanShiftZ
                | Method::Psi
                | Method::Ks
                | Method::JensenShannon
                | Method::WassersteinNormalised
                | Method::CramersV
        )
    }

    /// Whether it compares numbers alone.
    pub const fn needs_numbers(self) -> bool {
        matches!(
            self,
            Method::MeanShiftZ | Method::MeanShiftT | Method::Ks | Method::Wasserstein | Method::WassersteinNormalised
        )
    }
}

/// What a method found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Which method.
    pub method: Method,
    /// Its figure.
    pub value: f64,
    /// How large the effect is, in the measure that [`Score::limit`] is in.
    pub effect: f64,
    /// From which effect on it matters.
    pub limit: f64,
    /// The chance of as much without drift; `None` where the method has no law.
    pub p_value: Option<f64>,
    /// Whether the column drifted by this method.
    pub drifted: bool,
}

impl Score {
    /// Large enough, and by its p-value, already corrected, no chance.
    pub fn judge(&mut self, corrected: Option<f64>, alpha: f64) {
        self.drifted = self.effect >= self.limit && corrected.is_none_or(|p| p < alpha);
    }
}

/// What is said of a column or a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// A side is empty.
    NoData,
    /// A side has fewer than [`LEAST_VALUES`].
    InsufficientData,
    /// No drift was found.
    Ok,
    /// A method found drift.
    DriftDetected,
    /// The mean moved by three deviations, or the index reached 0.25.
    Alert,
}

impl Status {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Status::NoData => "no_data",
            Status::InsufficientData => "insufficient_data",
            Status::Ok => "ok",
            Status::DriftDetected => "drift_detected",
            Status::Alert => "alert",
        }
    }

    /// The status by the sizes and what the methods found.
    pub fn of(reference: u64, current: u64, scores: &[Score]) -> Status {
        let least = reference.min(current);
        if least == 0 {
            return Status::NoData;
        }
        if least < LEAST_VALUES {
            return Status::InsufficientData;
        }
        let is_large = |score: &Score| match score.method {
            Method::MeanShiftZ => score.value >= 3.0,
            Method::Psi => score.value >= 0.25,
            _ => false,
        };
        if scores.iter().any(|score| score.drifted && is_large(score)) {
            Status::Alert
        } else if scores.iter().any(|score| score.drifted) {
            Status::DriftDetected
        } else {
            Status::Ok
        }
    }
}

/// p-values corrected for their number (Benjamini and Hochberg 1995), in the order given.
pub fn benjamini_hochberg(p_values: &[f64]) -> Vec<f64> {
    multiple::correct(p_values, Correction::BenjaminiHochberg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corrected_values_are_those_of_the_definition() {
        let seen = benjamini_hochberg(&[0.01, 0.04, 0.03, 0.5]);
        let wanted = [0.04, 0.16 / 3.0, 0.16 / 3.0, 0.5];
        assert!(seen.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-15), "{seen:?}");
        assert!(benjamini_hochberg(&[]).is_empty());
    }

    #[test]
    fn small_windows_are_called_small_and_effects_need_significance() {
        let mut score =
            Score { method: Method::Psi, value: 0.3, effect: 0.3, limit: 0.1, p_value: Some(0.2), drifted: false };
        score.judge(Some(0.2), 0.05);
        assert_eq!(Status::of(1_000, 1_000, &[score]), Status::Ok);
        score.judge(Some(0.01), 0.05);
        assert_eq!(Status::of(1_000, 1_000, &[score]), Status::Alert);
        assert_eq!(Status::of(1_000, 99, &[score]), Status::InsufficientData);
        assert_eq!(Status::of(0, 99, &[score]), Status::NoData);
    }
}

//! Quality without labels: what decisions are worth if scores are chances (NannyML's confidence-based performance estimation).
//!
//! It holds while only the inputs move. Where what is true of an input changes, it is wrong and cannot know: [`compare`] says so as soon as
//! labels come.

use super::Estimate;
use super::calibration::Isotonic;
use super::confusion::Binary;
use super::scores::Scored;
use crate::stats::Interval;

/// A score, and whether it was called positive.
pub type Said = (f64, bool);

/// What decisions are expected to be, if `chance` tells how likely a score comes true.
pub fn expected(said: &[Said], chance: impl Fn(f64) -> f64) -> Binary {
    let mut all = Binary { worth: 1.0, ..Binary::default() };
    for (score, positive) in said {
        let chance = chance(*score);
        *all.cell(true, *positive) += chance;
        *all.cell(false, *positive) += 1.0 - chance;
    }
    all
}

/// The expected area under the curve: the chance that a positive one is scored higher than a negative one, ties half.
pub fn expected_auc(said: &[Said], chance: impl Fn(f64) -> f64) -> Option<f64> {
    let mut sorted: Vec<(f64, f64)> = said.iter().map(|(score, _)| (*score, chance(*score))).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let positives: f64 = sorted.iter().map(|(_, chance)| chance).sum();
    let negatives = sorted.len() as f64 - positives;
    if positives <= 0.0 || negatives <= 0.0 {
        return None;
    }
    let (mut below, mut sum) = (0.0, 0.0);
    for run in sorted.chunk_by(|a, b| a.0 == b.0) {
        let own: f64 = run.iter().map(|(_, chance)| chance).sum();
        let others = run.len() as f64 - own;
        sum += own * (below + others / 2.0);
        below += others;
    }
    Some(sum / (positives * negatives))
}

/// Decisions of several classes, each with the chances of all: the expected accuracy.
pub fn expected_accuracy(rows: &[(Vec<f64>, usize)]) -> Option<f64> {
    let of = |(chances, said): &(Vec<f64>, usize)| {
        let all: f64 = chances.iter().sum();
        let share =
            if all > 0.0 { chances.get(*said).copied().unwrap_or(0.0) / all } else { 1.0 / chances.len() as f64 };
        share.clamp(0.0, 1.0)
    };
    (!rows.is_empty()).then(|| rows.iter().map(of).sum::<f64>() / rows.len() as f64)
}

/// Chances from scores, made of labelled ones; the scores themselves where fewer than 100 are labelled or a class is missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calibrator(Option<Isotonic>);

/// Fewest labelled scores that a calibration is made of.
const LEAST: usize = 100;

impl Calibrator {
    /// Learns from labelled scores.
    pub fn fit(scored: &[Scored]) -> Calibrator {
        let positives = scored.iter().filter(|(_, truth)| *truth).count();
        let both = positives > 0 && positives < scored.len();
        Calibrator(if both && scored.len() >= LEAST { Isotonic::fit(scored) } else { None })
    }

    /// The chance at a score.
    pub fn chance(&self, score: f64) -> f64 {
        self.0.as_ref().map_or(score, |isotonic| isotonic.at(score)).clamp(0.0, 1.0)
    }

    /// Whether anything was learned.
    pub fn is_fitted(&self) -> bool {
        self.0.is_some()
    }
}

/// Whether an estimate without labels can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Realised labels agree.
    Valid,
    /// They do not: what is true of inputs seems to have changed.
    Invalid,
    /// There are too few labels to tell.
    Unknown,
}

/// Fewest labels that say whether an estimate holds.
pub const LABELS_LEAST: f64 = 30.0;

/// Compares an estimate with what labels of the same time came to: they disagree where the estimate lies outside of their interval, widened by
/// its own.
pub fn compare(estimated: &Estimate, realised: Option<&Estimate>) -> Validity {
    match realised {
        Some(realised) if realised.n >= LABELS_LEAST => {
            let Interval { low, high } = realised.interval;
            let own = (estimated.interval.high - estimated.interval.low) / 2.0;
            let agrees = estimated.value >= low - own && estimated.value <= high + own;
            if agrees { Validity::Valid } else { Validity::Invalid }
        }
        Some(_) | None => Validity::Unknown,
    }
}

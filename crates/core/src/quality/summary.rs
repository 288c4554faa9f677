//! What is kept of the predictions of a slice of time: enough for every measure, of bounded size, mergeable, and with labels that can be taken
//! back.

mod classes;
mod measures;
mod sums;
mod task;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::classes::Decisions;
use self::sums::Sums;
pub use self::task::Task;
use super::confusion::Binary;
use super::generation::APPROVED;
use super::scores::loss;
use super::{Estimate, cbpe};
use crate::observed::Value;

/// Bins of scores over `[0, 1]`; areas are exact to half of the pairs that share a bin.
pub const SCORE_BINS: usize = 1_024;
/// Bins of the calibration error.
const RELIABILITY_BINS: usize = 10;
/// Ends of the ages that labels are counted by, in seconds.
pub const AGES: [u64; 6] = [60, 600, 3_600, 21_600, 86_400, 604_800];
/// A ranking is a hit where the right item is among so many.
const HIT_AT: f64 = 10.0;
/// Numbers further from zero are none: the squares of their squares and of relative errors have to be finite.
pub const LARGEST: f64 = 1e60;
/// The least weight of a label.
pub const LIGHTEST: f64 = 1e-6;
/// The greatest one.
pub const HEAVIEST: f64 = 1e6;
/// Weights are rounded to multiples of `1 / WEIGHT_STEPS`: sums of them are exact, and what is taken back leaves nothing.
const WEIGHT_STEPS: f64 = 1_048_576.0;

/// What is kept of a slice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Predictions that were remembered for labels.
    pub predicted: u64,
    /// Labels that found them.
    pub labelled: u64,
    /// Labels by age, at [`AGES`]; the last are older.
    pub ages: [u64; AGES.len() + 1],
    weights: f64,
    weights_squared: f64,
    /// By decision: true positive, false positive, false negative, true negative.
    #[serde(default, skip_serializing_if = "is_nothing")]
    cells: [f64; 4],
    /// By bin of the score: negatives and positives.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    scores: BTreeMap<u16, (f64, f64)>,
    /// By bin of the score: all predictions, labelled or not, called negative and positive.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    said: BTreeMap<u16, (u32, u32)>,
    /// By bin: how many, the sum of scores, how many came.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    reliability: BTreeMap<u8, (f64, f64, f64)>,
    /// By truth and decision.
    #[serde(default, skip_serializing_if = "Decisions::is_empty")]
    classes: Decisions,
    /// By quantity.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    sums: BTreeMap<String, Sums>,
}

fn is_nothing(cells: &[f64; 4]) -> bool {
    cells.iter().all(|cell| *cell == 0.0)
}

/// Why a label says nothing of a prediction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The prediction is of no kind that its task has.
    #[error("the prediction is none of its task")]
    Prediction,
    /// The label is of no kind that its task has.
    #[error("the label is none of its task")]
    Label,
    /// The weight is not from [`LIGHTEST`] to [`HEAVIEST`].
    #[error("the weight is not from 0.000001 to 1000000")]
    Weight,
}

/// A label.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// What is true.
    pub truth: Value,
    /// How many predictions it stands for, from [`LIGHTEST`] to [`HEAVIEST`].
    pub weight: f64,
    /// How old its prediction was when it came.
    pub age: Duration,
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Word(word) => match word.to_ascii_lowercase().as_str() {
            "true" | "yes" | "positive" => Some(1.0),
            "false" | "no" | "negative" => Some(0.0),
            other => other.parse().ok(),
        },
        Value::Missing | Value::Vector(_) => None,
    }
    .filter(|number: &f64| number.abs() <= LARGEST)
}

fn weight(label: &Label) -> Option<f64> {
    let steps = (LIGHTEST..=HEAVIEST).contains(&label.weight).then(|| (label.weight * WEIGHT_STEPS).round())?;
    Some(steps / WEIGHT_STEPS)
}

fn word(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => Some(number.to_string()),
        Value::Word(word) => Some(word.to_string()),
        Value::Missing | Value::Vector(_) => None,
    }
}

fn bin_of(score: f64) -> u16 {
    ((score.clamp(0.0, 1.0) * SCORE_BINS as f64) as usize).min(SCORE_BINS - 1) as u16
}

fn middle(bin: u16) -> f64 {
    (f64::from(bin) + 0.5) / SCORE_BINS as f64
}

impl Summary {
    /// Counts a prediction that is remembered.
    pub fn predict(&mut self, task: Task, said: Option<&Value>) {
        self.predicted += 1;
        if let (Task::Binary { threshold }, Some(score)) = (task, said.and_then(number)) {
            let bin = self.said.entry(bin_of(score)).or_default();
            if score >= threshold { bin.1 += 1 } else { bin.0 += 1 }
        }
    }

    /// Takes a label of a prediction in.
    pub fn add(&mut self, task: Task, said: Option<&Value>, label: &Label) -> Result<(), Unreadable> {
        self.count(task, said, label, 1.0)?;
        self.labelled += 1;
        self.ages[age(label.age)] += 1;
        Ok(())
    }

    /// Takes a label back that was added: another holds.
    pub fn take_back(&mut self, task: Task, said: Option<&Value>, label: &Label) {
        if self.labelled > 0 && self.count(task, said, label, -1.0).is_ok() {
            self.labelled -= 1;
            let age = &mut self.ages[age(label.age)];
            *age = age.saturating_sub(1);
        }
        // What is left of nothing is rounding.
        if self.labelled == 0 {
            let (predicted, said) = (self.predicted, std::mem::take(&mut self.said));
            *self = Summary { predicted, said, ..Summary::default() };
        }
    }

    fn count(&mut self, task: Task, said: Option<&Value>, label: &Label, sign: f64) -> Result<(), Unreadable> {
        let weight = weight(label).ok_or(Unreadable::Weight)?;
        let w = sign * weight;
        let truth = || number(&label.truth).ok_or(Unreadable::Label);
        let predicted = || said.and_then(number).ok_or(Unreadable::Prediction);
        match task {
            Task::Binary { threshold } => {
                let (score, truth) = (predicted()?, truth()? >= 0.5);
                let called = score >= threshold;
                let cell = match (truth, called) {
                    (true, true) => 0,
                    (false, true) => 1,
                    (true, false) => 2,
                    (false, false) => 3,
                };
                self.cells[cell] += w;
                let bin = self.scores.entry(bin_of(score)).or_default();
                if truth {
                    bin.1 += w;
                } else {
                    bin.0 += w;
                }
                let chance = score.clamp(0.0, 1.0);
                let at = ((chance * RELIABILITY_BINS as f64).ceil() as usize).saturating_sub(1);
                let bin = self.reliability.entry(at as u8).or_default();
                let came = if truth { w } else { 0.0 };
                *bin = (bin.0 + w, bin.1 + w * chance, bin.2 + came);
                self.sum("log_loss", loss(score, truth), w);
                self.sum("brier", (score - f64::from(u8::from(truth))).powi(2), w);
            }
            Task::Multiclass => {
                let said = said.and_then(word).ok_or(Unreadable::Prediction)?;
                let truth = word(&label.truth).ok_or(Unreadable::Label)?;
                self.sum("accuracy", f64::from(u8::from(said == truth)), w);
                self.classes.decide(Some(&truth), Some(&said), w);
            }
            Task::Regression => {
                let (said, truth) = (predicted()?, truth()?);
                let off = said - truth;
                self.sum("mae", off.abs(), w);
                self.sum("mse", off * off, w);
                self.sum("mape", off.abs() / truth.abs().max(f64::EPSILON), w);
                self.sum("bias", off, w);
                self.sum("truth", truth, w);
            }
            Task::Ranking => {
                let place = truth()?;
                let found = place >= 1.0;
                let gain = |value: f64| if found { value } else { 0.0 };
                self.sum("mrr", gain(1.0 / place), w);
                self.sum("ndcg", gain(1.0 / (place + 1.0).log2()), w);
                self.sum("hit_rate", f64::from(u8::from(found && place <= HIT_AT)), w);
            }
            Task::Generation => {
                let rating = truth()?;
                self.sum("approval_rate", f64::from(u8::from(rating >= APPROVED)), w);
                self.sum("judge_score", rating, w);
            }
        }
        self.weights += w;
        self.weights_squared += sign * weight * weight;
        Ok(())
    }

    fn sum(&mut self, name: &str, x: f64, w: f64) {
        if let Some(sums) = self.sums.get_mut(name) {
            sums.add(x, w);
        } else {
            self.sums.entry(name.to_owned()).or_default().add(x, w);
        }
    }

    /// Takes in what another saw.
    pub fn merge(&mut self, other: &Summary) {
        self.predicted += other.predicted;
        self.labelled += other.labelled;
        self.ages.iter_mut().zip(&other.ages).for_each(|(mine, theirs)| *mine += theirs);
        self.weights += other.weights;
        self.weights_squared += other.weights_squared;
        self.cells.iter_mut().zip(&other.cells).for_each(|(mine, theirs)| *mine += theirs);
        for (bin, (negative, positive)) in &other.scores {
            let mine = self.scores.entry(*bin).or_default();
            *mine = (mine.0 + negative, mine.1 + positive);
        }
        for (bin, (negative, positive)) in &other.said {
            let mine = self.said.entry(*bin).or_default();
            *mine = (mine.0.saturating_add(*negative), mine.1.saturating_add(*positive));
        }
        for (bin, (count, said, came)) in &other.reliability {
            let mine = self.reliability.entry(*bin).or_default();
            *mine = (mine.0 + count, mine.1 + said, mine.2 + came);
        }
        self.classes.merge(&other.classes);
        for (name, sums) in &other.sums {
            self.sums.entry(name.clone()).or_default().merge(sums);
        }
    }

    /// What a weight of one is worth: one without weights (Kish 1965).
    fn worth(&self) -> f64 {
        if self.weights_squared > 0.0 { self.weights / self.weights_squared } else { 1.0 }
    }

    /// Decisions of two classes.
    pub fn decisions(&self) -> Binary {
        let [tp, fp, fn_, tn] = self.cells;
        Binary { tp, fp, fn_, tn, worth: self.worth() }
    }

    /// Labelled scores, one per label as far as 20,000, at the middle of their bins: what calibrations are made of.
    pub fn labelled_scores(&self) -> Vec<(f64, bool)> {
        const MOST: f64 = 20_000.0;
        let all: f64 = self.scores.values().map(|bin| bin.0 + bin.1).sum();
        let scale = (MOST / all.max(1.0)).min(1.0);
        let times = |count: f64, truth: bool, bin: u16| {
            std::iter::repeat_n((middle(bin), truth), (count * scale).round().max(0.0) as usize)
        };
        self.scores.iter().flat_map(|(bin, of)| times(of.0, false, *bin).chain(times(of.1, true, *bin))).collect()
    }

    /// Measures of all predictions, labelled or not, if scores are the chances that `calibrator` makes of them.
    pub fn expected(&self, calibrator: &cbpe::Calibrator) -> Binary {
        let mut all = Binary { worth: 1.0, ..Binary::default() };
        for (bin, (negative, positive)) in &self.said {
            let chance = calibrator.chance(middle(*bin));
            for (called, count) in [(false, *negative), (true, *positive)] {
                *all.cell(true, called) += f64::from(count) * chance;
                *all.cell(false, called) += f64::from(count) * (1.0 - chance);
            }
        }
        all
    }
}

fn age(age: Duration) -> usize {
    AGES.partition_point(|end| age.as_secs() >= *end)
}

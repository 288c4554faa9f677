//! What is kept of the predictions of a slice of time: enough for every measure, of bounded size, mergeable, and with labels that can be taken
//! back.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Estimate;
use super::calibration::{self, Bin};
use super::confusion::{Average, Binary, Classes};
use super::generation::APPROVED;
use super::scores::{hanley_mcneil, logit, loss};
use super::{cbpe, regression};
use crate::observed::Value;

/// Bins of scores over `[0, 1]`; areas are exact to half of the pairs that share a bin.
pub const SCORE_BINS: usize = 1_024;
/// Bins of the calibration error.
const RELIABILITY_BINS: usize = 10;
/// Classes that are told apart.
const CLASSES_MAX: usize = 50;
/// Ends of the ages that labels are counted by, in seconds.
pub const AGES: [u64; 6] = [60, 600, 3_600, 21_600, 86_400, 604_800];
/// A ranking is a hit where the right item is among so many.
const HIT_AT: f64 = 10.0;

/// What a prediction is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// One of two classes; positive from the threshold on.
    Binary {
        /// The threshold.
        threshold: f64,
    },
    /// One of several classes.
    Multiclass,
    /// A number.
    Regression,
    /// An order of items; a label is the place of the right one, from 1, or 0 where it was not among them.
    Ranking,
    /// A text; a label is a rating.
    Generation,
}

impl Task {
    /// By the config's word.
    pub fn of(word: Option<&str>, threshold: Option<f64>) -> Task {
        match word {
            Some("multiclass") => Task::Multiclass,
            Some("regression") => Task::Regression,
            Some("ranking") => Task::Ranking,
            Some("generation") => Task::Generation,
            _ => Task::Binary { threshold: threshold.unwrap_or(0.5) },
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Task::Binary { .. } => "binary",
            Task::Multiclass => "multiclass",
            Task::Regression => "regression",
            Task::Ranking => "ranking",
            Task::Generation => "generation",
        }
    }

    /// Measures that it has.
    pub const fn metrics(self) -> &'static [&'static str] {
        match self {
            Task::Binary { .. } => &[
                "accuracy",
                "balanced_accuracy",
                "precision",
                "recall",
                "specificity",
                "f1",
                "mcc",
                "kappa",
                "auc",
                "average_precision",
                "log_loss",
                "brier",
                "ece",
                "error_rate",
            ],
            Task::Multiclass => &["accuracy", "precision", "recall", "f1", "error_rate"],
            Task::Regression => &["mae", "mse", "rmse", "mape", "bias", "r2"],
            Task::Ranking => &["ndcg", "mrr", "hit_rate"],
            Task::Generation => &["approval_rate", "judge_score"],
        }
    }
}

/// Sums of a quantity over labelled predictions: their number, their weights and squares, the quantity and its square.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Sums {
    w: f64,
    x: f64,
    xx: f64,
}

impl Sums {
    fn add(&mut self, x: f64, w: f64) {
        self.w += w;
        self.x += w * x;
        self.xx += w * x * x;
    }

    fn merge(&mut self, other: &Sums) {
        self.w += other.w;
        self.x += other.x;
        self.xx += other.xx;
    }

    fn mean(&self, worth: f64) -> Option<Estimate> {
        if self.w <= 0.0 {
            return None;
        }
        let mean = self.x / self.w;
        let n = self.w * worth;
        Estimate::of_moments(mean, (self.xx / self.w - mean * mean) * n, n)
    }
}

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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    classes: Vec<(String, String, f64)>,
    /// Decisions beyond the classes that are told apart.
    #[serde(default)]
    beyond: f64,
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
}

/// A label.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// What is true.
    pub truth: Value,
    /// How many predictions it stands for.
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
    .filter(|number: &f64| number.is_finite())
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
        let w = sign * label.weight;
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
                let at = ((score.clamp(0.0, 1.0) * RELIABILITY_BINS as f64).ceil() as usize).saturating_sub(1);
                let bin = self.reliability.entry(at as u8).or_default();
                let came = if truth { w } else { 0.0 };
                *bin = (bin.0 + w, bin.1 + w * score, bin.2 + came);
                self.sum("log_loss", loss(score, truth), w);
                self.sum("brier", (score - f64::from(u8::from(truth))).powi(2), w);
            }
            Task::Multiclass => {
                let said = said.and_then(word).ok_or(Unreadable::Prediction)?;
                let truth = word(&label.truth).ok_or(Unreadable::Label)?;
                self.sum("accuracy", f64::from(u8::from(said == truth)), w);
                self.decide(&truth, &said, w);
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
        self.weights_squared += sign * label.weight * label.weight;
        Ok(())
    }

    fn decide(&mut self, truth: &str, said: &str, w: f64) {
        let room = self.classes.len() < CLASSES_MAX * CLASSES_MAX;
        match self.classes.iter_mut().find(|(t, s, _)| t == truth && s == said) {
            Some((_, _, cell)) => *cell += w,
            None if room => self.classes.push((truth.to_owned(), said.to_owned(), w)),
            None => self.beyond += w,
        }
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
        for (truth, said, weight) in &other.classes {
            self.decide(truth, said, *weight);
        }
        self.beyond += other.beyond;
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

    /// A measure by its name; `None` where the task has no such measure, or nothing to measure it by.
    pub fn metric(&self, task: Task, name: &str) -> Option<Estimate> {
        let plain = name.split('@').next().unwrap_or(name);
        if self.labelled == 0 {
            return None;
        }
        let (worth, decisions) = (self.worth(), self.decisions());
        let mean = |name: &str| self.sums.get(name).and_then(|sums| sums.mean(worth));
        match (task, plain) {
            (Task::Binary { .. }, "accuracy") => decisions.accuracy(),
            (Task::Binary { .. } | Task::Multiclass, "error_rate") => {
                Some(self.metric(task, "accuracy")?.mapped(|accuracy| 1.0 - accuracy))
            }
            (Task::Binary { .. }, "balanced_accuracy") => decisions.balanced_accuracy(),
            (Task::Binary { .. }, "precision") => decisions.precision(),
            (Task::Binary { .. }, "recall") => decisions.recall(),
            (Task::Binary { .. }, "specificity") => decisions.specificity(),
            (Task::Binary { .. }, "f1") => decisions.f1(),
            (Task::Binary { .. }, "mcc") => decisions.mcc(),
            (Task::Binary { .. }, "kappa") => decisions.kappa(),
            (Task::Binary { .. }, "auc") => self.auc(),
            (Task::Binary { .. }, "average_precision") => self.average_precision(),
            (Task::Binary { .. }, "ece") => calibration::ece_of(&self.reliability()),
            (Task::Multiclass, "precision") => self.confusion().precision(Average::Macro),
            (Task::Multiclass, "recall") => self.confusion().recall(Average::Macro),
            (Task::Multiclass, "f1") => self.confusion().f1(Average::Macro),
            (Task::Multiclass, "accuracy") | (Task::Ranking, "hit_rate") | (Task::Generation, "approval_rate") => {
                let sums = self.sums.get(plain)?;
                Estimate::share(sums.x.clamp(0.0, sums.w), sums.w, sums.w * worth)
            }
            (Task::Regression, "rmse") => mean("mse").map(regression::rooted),
            (Task::Regression, "r2") => {
                let (truth, off) = (self.sums.get("truth")?, self.sums.get("mse")?);
                let all = truth.xx / truth.w - (truth.x / truth.w).powi(2);
                let n = truth.w * worth;
                regression::explained(off.x / off.w * n, all * n, n)
            }
            (Task::Binary { .. }, "log_loss" | "brier")
            | (Task::Regression, "mae" | "mse" | "mape" | "bias")
            | (Task::Ranking, "ndcg" | "mrr")
            | (Task::Generation, "judge_score") => mean(plain),
            _ => None,
        }
    }

    fn reliability(&self) -> Vec<Bin> {
        self.reliability.values().map(|&(count, said, came)| Bin { count, said, came }).collect()
    }

    fn confusion(&self) -> Classes {
        let mut names: Vec<&str> = self.classes.iter().flat_map(|(t, s, _)| [t.as_str(), s.as_str()]).collect();
        names.sort_unstable();
        names.dedup();
        let mut cells = vec![vec![0.0; names.len()]; names.len()];
        let place = |name: &str| names.binary_search(&name).unwrap_or_default();
        for (truth, said, weight) in &self.classes {
            cells[place(truth)][place(said)] += weight;
        }
        Classes { cells, worth: self.worth() }
    }

    fn auc(&self) -> Option<Estimate> {
        let (negatives, positives) = self.scores.values().fold((0.0, 0.0), |(n, p), bin| (n + bin.0, p + bin.1));
        if negatives <= 0.0 || positives <= 0.0 {
            return None;
        }
        let (mut below, mut sum) = (0.0, 0.0);
        for (negative, positive) in self.scores.values() {
            sum += positive * (below + negative / 2.0);
            below += negative;
        }
        let (area, worth) = (sum / (negatives * positives), self.worth());
        let error = hanley_mcneil(area, positives * worth, negatives * worth);
        Estimate::normal(area, error, (positives + negatives) * worth, (0.0, 1.0))
    }

    fn average_precision(&self) -> Option<Estimate> {
        let positives: f64 = self.scores.values().map(|bin| bin.1).sum();
        if positives <= 0.0 {
            return None;
        }
        let (mut hits, mut seen, mut sum) = (0.0, 0.0, 0.0);
        for (negative, positive) in self.scores.values().rev() {
            (hits, seen) = (hits + positive, seen + negative + positive);
            if seen > 0.0 {
                sum += positive / positives * (hits / seen);
            }
        }
        Some(logit(sum, positives * self.worth(), seen * self.worth()))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::quality::scores;

    const BINARY: Task = Task::Binary { threshold: 0.5 };

    fn label(truth: f64, weight: f64) -> Label {
        Label { truth: Value::Number(truth), weight, age: Duration::from_secs(100) }
    }

    proptest! {
        #[test]
        fn parts_are_the_whole_and_what_is_taken_back_was_never_there(
            rows in prop::collection::vec((0.0..1.0_f64, any::<bool>(), 1..4_u8), 5..80),
            cut in 0_usize..80, back in 0_usize..5,
        ) {
            let tasks = [BINARY, Task::Regression, Task::Multiclass, Task::Generation, Task::Ranking];
            for task in tasks {
                let said = |score: f64| match task {
                    Task::Multiclass => Value::word(if score < 0.4 { "a" } else { "b" }),
                    _ => Value::Number(score),
                };
                let truth = |truth: bool| match task {
                    Task::Multiclass => Value::word(if truth { "a" } else { "b" }),
                    // Of zeros the relative error is so huge that what is taken back leaves its rounding.
                    Task::Regression => Value::Number(if truth { 4.0 } else { 1.0 }),
                    _ => Value::Number(f64::from(u8::from(truth)) * 4.0),
                };
                let of = |rows: &[(f64, bool, u8)]| {
                    let mut all = Summary::default();
                    for (score, came, weight) in rows {
                        all.predict(task, Some(&said(*score)));
                        let label = Label { truth: truth(*came), weight: f64::from(*weight), age: Duration::ZERO };
                        all.add(task, Some(&said(*score)), &label).unwrap();
                    }
                    all
                };
                let whole = of(&rows);
                let cut = cut.min(rows.len());
                let mut parts = of(&rows[..cut]);
                parts.merge(&of(&rows[cut..]));
                let mut fewer = whole.clone();
                for (score, came, weight) in &rows[..back] {
                    let label = Label { truth: truth(*came), weight: f64::from(*weight), age: Duration::ZERO };
                    fewer.take_back(task, Some(&said(*score)), &label);
                }
                let text = serde_json::to_string(&whole).unwrap();
                let read: Summary = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(&read, &whole);
                let rest = of(&rows[back..]);
                for metric in task.metrics() {
                    for (seen, wanted) in [(&parts, &whole), (&fewer, &rest)] {
                        let (seen, wanted) = (seen.metric(task, metric), wanted.metric(task, metric));
                        let near = |a: f64, b: f64| (a - b).abs() < 1e-6 || a == b || (a.is_nan() && b.is_nan());
                        let alike = match (seen, wanted) {
                            (Some(a), Some(b)) => near(a.value, b.value),
                            (None, None) => true,
                            // What is taken back leaves rounding where there was nothing.
                            (Some(a), None) => a.n < 1e-6 || a.interval.high - a.interval.low > 0.5,
                            (None, Some(_)) => false,
                        };
                        prop_assert!(alike, "{} {:?} {:?}", metric, seen, wanted);
                    }
                }
            }
        }
    }

    #[test]
    fn measures_of_binned_scores_are_near_those_of_the_scores() {
        let mut rng = crate::rng::Rng::new(4);
        let scored: Vec<(f64, bool)> = (0..5_000)
            .map(|_| rng.unit())
            .map(|s| (s, s))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|(score, chance)| (score, rng.unit() < chance))
            .collect();
        let mut summary = Summary::default();
        for (score, truth) in &scored {
            summary.predict(BINARY, Some(&Value::Number(*score)));
            summary.add(BINARY, Some(&Value::Number(*score)), &label(f64::from(u8::from(*truth)), 1.0)).unwrap();
        }
        let near = |name: &str, exact: Option<Estimate>, tolerance: f64| {
            let (seen, exact) = (summary.metric(BINARY, name).unwrap(), exact.unwrap());
            assert!((seen.value - exact.value).abs() <= tolerance, "{name} {seen:?} {exact:?}");
        };
        near("auc", scores::auc(&scored), 1.0 / SCORE_BINS as f64);
        near("average_precision", scores::average_precision(&scored), 0.002);
        near("log_loss", scores::log_loss(&scored), 1e-9);
        near("brier", scores::brier(&scored), 1e-9);
        near("ece", calibration::ece(&scored, calibration::Bins::Width(10)), 1e-9);
        // Scores are chances here: what is expected without labels is what came.
        let expected = summary.expected(&cbpe::Calibrator::default()).precision().unwrap();
        assert!((expected.value - summary.metric(BINARY, "precision").unwrap().value).abs() < 0.02);
    }

    #[test]
    fn what_cannot_be_read_is_said_and_changes_nothing() {
        let mut summary = Summary::default();
        let word = Label { truth: Value::word("maybe"), ..label(0.0, 1.0) };
        assert_eq!(summary.add(BINARY, Some(&Value::Number(0.5)), &word), Err(Unreadable::Label));
        assert_eq!(summary.add(BINARY, None, &label(1.0, 1.0)), Err(Unreadable::Prediction));
        assert_eq!(summary, Summary::default());
        summary.add(BINARY, Some(&Value::word("true")), &Label { truth: Value::word("Yes"), ..word }).unwrap();
        assert_eq!(summary.decisions().tp, 1.0);
        assert_eq!(summary.ages[1], 1);
        assert!(summary.metric(BINARY, "happiness").is_none());
    }
}

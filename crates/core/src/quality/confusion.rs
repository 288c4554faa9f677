//! Measures of decisions: right and wrong ones, by class. A share of nothing is unknown; within means over classes zero divided by zero is zero,
//! as scikit-learn has it by default.

use super::Estimate;
use crate::stats::Interval;

/// Decisions that are added for the error of the delta method.
const SMOOTHING: f64 = 2.0;

/// Decisions of two classes, counted or weighted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Binary {
    /// Positive, and called so.
    pub tp: f64,
    /// Negative, and called positive.
    pub fp: f64,
    /// Positive, and called negative.
    pub fn_: f64,
    /// Negative, and called so.
    pub tn: f64,
    /// What a weight of one is worth: one without weights, less with uneven ones.
    pub worth: f64,
}

fn part(of: f64, all: f64) -> f64 {
    if all > 0.0 { of / all } else { 0.0 }
}

impl Binary {
    /// Counts decisions: pairs of what is true and what was said.
    pub fn of(decisions: impl IntoIterator<Item = (bool, bool)>) -> Binary {
        let mut all = Binary { worth: 1.0, ..Binary::default() };
        for (truth, said) in decisions {
            *all.cell(truth, said) += 1.0;
        }
        all
    }

    /// The cell of a decision.
    pub fn cell(&mut self, truth: bool, said: bool) -> &mut f64 {
        match (truth, said) {
            (true, true) => &mut self.tp,
            (false, true) => &mut self.fp,
            (true, false) => &mut self.fn_,
            (false, false) => &mut self.tn,
        }
    }

    /// All decisions.
    pub fn n(&self) -> f64 {
        self.tp + self.fp + self.fn_ + self.tn
    }

    fn share(&self, hits: f64, of: f64) -> Option<Estimate> {
        Estimate::share(hits, of, of * self.worth)
    }

    /// The share of right ones.
    pub fn accuracy(&self) -> Option<Estimate> {
        self.share(self.tp + self.tn, self.n())
    }

    /// Of those called positive, the share that is; `None` where none was called so.
    pub fn precision(&self) -> Option<Estimate> {
        self.share(self.tp, self.tp + self.fp)
    }

    /// Of the positive, the share that was called so; `None` where none is.
    pub fn recall(&self) -> Option<Estimate> {
        self.share(self.tp, self.tp + self.fn_)
    }

    /// Of the negative, the share that was called so; `None` where none is.
    pub fn specificity(&self) -> Option<Estimate> {
        self.share(self.tn, self.tn + self.fp)
    }

    /// `2 TP / (2 TP + FP + FN)`: a monotone function of the share `TP / (TP + FP + FN)`, whose Wilson interval is mapped.
    pub fn f1(&self) -> Option<Estimate> {
        let jaccard = self.share(self.tp, self.tp + self.fp + self.fn_)?;
        Some(jaccard.mapped(|share| 2.0 * share / (1.0 + share)))
    }

    /// `(1 + b^2) TP / ((1 + b^2) TP + b^2 FN + FP)`.
    pub fn f_beta(&self, beta: f64) -> Option<Estimate> {
        let b = beta * beta;
        self.delta(|p| part((1.0 + b) * p.tp, (1.0 + b) * p.tp + b * p.fn_ + p.fp), (0.0, 1.0))
    }

    /// The mean of recall and specificity; the interval joins both of Wilson (Zou and Donner 2008).
    pub fn balanced_accuracy(&self) -> Option<Estimate> {
        let (a, b) = (self.recall()?, self.specificity()?);
        let down = ((a.value - a.interval.low).powi(2) + (b.value - b.interval.low).powi(2)).sqrt() / 2.0;
        let up = ((a.interval.high - a.value).powi(2) + (b.interval.high - b.value).powi(2)).sqrt() / 2.0;
        let value = f64::midpoint(a.value, b.value);
        Some(Estimate { value, interval: Interval { low: value - down, high: value + up }, n: self.n() * self.worth })
    }

    /// Matthews' correlation.
    pub fn mcc(&self) -> Option<Estimate> {
        let of = |p: &Binary| {
            let below = (p.tp + p.fp) * (p.tp + p.fn_) * (p.tn + p.fp) * (p.tn + p.fn_);
            part(p.tp * p.tn - p.fp * p.fn_, below.sqrt())
        };
        self.delta(of, (-1.0, 1.0))
    }

    /// Cohen's kappa.
    pub fn kappa(&self) -> Option<Estimate> {
        let of = |p: &Binary| {
            let n = p.n();
            let agreed = (p.tp + p.tn) / n;
            let chance = ((p.tp + p.fp) * (p.tp + p.fn_) + (p.tn + p.fn_) * (p.tn + p.fp)) / (n * n);
            part(agreed - chance, 1.0 - chance)
        };
        self.delta(of, (-1.0, 1.0))
    }

    /// A smooth function of the four shares, with the error of the delta method at [`smoothed`] shares.
    fn delta(&self, of: impl Fn(&Binary) -> f64, bounds: (f64, f64)) -> Option<Estimate> {
        let n = self.n();
        if n <= 0.0 {
            return None;
        }
        let cells = smoothed(&[self.tp / n, self.fp / n, self.fn_ / n, self.tn / n], n * self.worth);
        let at = |cells: &[f64]| of(&Binary { tp: cells[0], fp: cells[1], fn_: cells[2], tn: cells[3], worth: 1.0 });
        let error = (variance(&cells, at) / (n * self.worth)).sqrt();
        Estimate::normal(of(self), error, n * self.worth, bounds)
    }
}

/// Shares of `n` with two more decisions spread over all cells (of four: Jeffreys' prior): without them a cell that nothing came to would be
/// taken for impossible, and the error of decisions that all are right for none.
fn smoothed(shares: &[f64], n: f64) -> Vec<f64> {
    let more = SMOOTHING / shares.len() as f64;
    shares.iter().map(|share| (share * n + more) / (n + SMOOTHING)).collect()
}

/// The variance of a function of multinomial shares, times `n`: `sum p g^2 - (sum p g)^2` with the gradient `g`.
fn variance(shares: &[f64], of: impl Fn(&[f64]) -> f64) -> f64 {
    const STEP: f64 = 1e-6;
    let gradient: Vec<f64> = (0..shares.len())
        .map(|at| {
            let (mut up, mut down) = (shares.to_vec(), shares.to_vec());
            up[at] += STEP;
            let back = STEP.min(shares[at]);
            down[at] -= back;
            (of(&up) - of(&down)) / (STEP + back)
        })
        .collect();
    let mean: f64 = shares.iter().zip(&gradient).map(|(p, g)| p * g).sum();
    (shares.iter().zip(&gradient).map(|(p, g)| p * g * g).sum::<f64>() - mean * mean).max(0.0)
}

/// How classes are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Average {
    /// Each class counts alike.
    Macro,
    /// Each decision counts alike.
    Micro,
    /// Each class counts by how often it is true.
    Weighted,
}

/// Decisions of several classes: rows are true, columns said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Classes {
    /// Counts or weights, row by row.
    pub cells: Vec<Vec<f64>>,
    /// So many classes are told apart; what lies beyond is any other class, and has no figure of its own.
    pub told: usize,
    /// What a weight of one is worth.
    pub worth: f64,
}

/// A measure of a class by its shares: right ones, true ones, said ones; with how it changes with each.
type Measure = fn(f64, f64, f64) -> (f64, [f64; 3]);

fn precision(tp: f64, _: f64, said: f64) -> (f64, [f64; 3]) {
    if said > 0.0 { (tp / said, [1.0 / said, 0.0, -tp / (said * said)]) } else { (0.0, [0.0; 3]) }
}

fn recall(tp: f64, truth: f64, _: f64) -> (f64, [f64; 3]) {
    if truth > 0.0 { (tp / truth, [1.0 / truth, -tp / (truth * truth), 0.0]) } else { (0.0, [0.0; 3]) }
}

fn f1(tp: f64, truth: f64, said: f64) -> (f64, [f64; 3]) {
    let both = truth + said;
    let by_each = -2.0 * tp / (both * both);
    if both > 0.0 { (2.0 * tp / both, [2.0 / both, by_each, by_each]) } else { (0.0, [0.0; 3]) }
}

impl Classes {
    /// Counts decisions of `classes` classes; what lies beyond is left out.
    pub fn of(classes: usize, decisions: impl IntoIterator<Item = (usize, usize)>) -> Classes {
        let mut cells = vec![vec![0.0; classes]; classes];
        for (truth, said) in decisions {
            if let Some(cell) = cells.get_mut(truth).and_then(|row| row.get_mut(said)) {
                *cell += 1.0;
            }
        }
        Classes { cells, told: classes, worth: 1.0 }
    }

    fn n(&self) -> f64 {
        self.cells.iter().flatten().sum()
    }

    /// The share of right ones.
    pub fn accuracy(&self) -> Option<Estimate> {
        let right: f64 = self.cells.iter().enumerate().map(|(at, row)| row[at]).sum();
        Estimate::share(right, self.n(), self.n() * self.worth)
    }

    /// Precision of the classes together.
    pub fn precision(&self, average: Average) -> Option<Estimate> {
        self.joined(average, precision)
    }

    /// Recall of the classes together.
    pub fn recall(&self, average: Average) -> Option<Estimate> {
        self.joined(average, recall)
    }

    /// F1 of the classes together.
    pub fn f1(&self, average: Average) -> Option<Estimate> {
        self.joined(average, f1)
    }

    fn joined(&self, average: Average, of: Measure) -> Option<Estimate> {
        let n = self.n();
        let shares = self.seen(n)?;
        let value = match average {
            // Every wrong decision is one too many of a class and one too few of another: all three are the accuracy.
            Average::Micro => return self.accuracy(),
            Average::Macro | Average::Weighted => shares.joined(average, of).0,
        };
        let worth = n * self.worth;
        let even = smoothed(&shares.cells.concat(), worth);
        let cells = even.chunks(shares.cells.len()).map(<[f64]>::to_vec).collect();
        let (_, variance) = Shares { cells, told: shares.told }.joined(average, of);
        Estimate::normal(value, (variance / worth).sqrt(), worth, (0.0, 1.0))
    }

    /// Shares of `n` without classes that are neither true nor said of anything: they have no figure. `None` without any.
    fn seen(&self, n: f64) -> Option<Shares> {
        let is_seen =
            |class: &usize| (0..self.cells.len()).any(|at| self.cells[*class][at] + self.cells[at][*class] > 0.0);
        let seen: Vec<usize> = (0..self.cells.len()).filter(is_seen).collect();
        let told = seen.iter().filter(|class| **class < self.told).count();
        let row = |truth: &usize| seen.iter().map(|said| self.cells[*truth][*said] / n).collect();
        (told > 0).then(|| Shares { cells: seen.iter().map(row).collect(), told })
    }
}

/// Shares of all decisions by class, of which the first `told` have figures.
struct Shares {
    cells: Vec<Vec<f64>>,
    told: usize,
}

impl Shares {
    /// A measure of the classes together, and its variance times `n`: `sum p g^2 - (sum p g)^2` with the gradient `g` of the cells, each of which
    /// changes but one row, one column and perhaps one right share.
    fn joined(&self, average: Average, of: Measure) -> (f64, f64) {
        let row = |class: usize| self.cells[class].iter().sum::<f64>();
        let column = |class: usize| self.cells.iter().map(|row| row[class]).sum::<f64>();
        let truths: f64 = (0..self.told).map(row).sum();
        let (mut value, mut by) = (0.0, vec![[0.0; 3]; self.cells.len()]);
        for class in 0..self.told {
            let (own, gradient) = of(self.cells[class][class], row(class), column(class));
            let weight = match average {
                Average::Macro | Average::Micro => 1.0 / self.told as f64,
                Average::Weighted => part(row(class), truths),
            };
            value += weight * own;
            by[class] = gradient.map(|by| weight * by);
            if average == Average::Weighted {
                by[class][1] += part(own, truths);
            }
        }
        if average == Average::Weighted {
            // What is true of classes that are told apart is also what the weights are shares of.
            by[..self.told].iter_mut().for_each(|by| by[1] -= part(value, truths));
        }
        let (mut mean, mut square) = (0.0, 0.0);
        for (truth, row) in self.cells.iter().enumerate() {
            for (said, share) in row.iter().enumerate() {
                let right = if truth == said { by[truth][0] } else { 0.0 };
                let change = by[truth][1] + by[said][2] + right;
                mean += share * change;
                square += share * change * change;
            }
        }
        (value, (square - mean * mean).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_variance_of_means_over_classes_is_that_of_small_changes(counts in prop::collection::vec(1..40_u32, 16), told in 3..5_usize) {
            let n: f64 = counts.iter().map(|count| f64::from(*count)).sum();
            let shares: Vec<f64> = counts.iter().map(|count| f64::from(*count) / n).collect();
            for of in [precision as Measure, recall, f1] {
                for average in [Average::Macro, Average::Weighted] {
                    let at = |cells: &[f64]| Shares { cells: cells.chunks(4).map(<[f64]>::to_vec).collect(), told }.joined(average, of);
                    let (exact, naive) = (at(&shares).1, variance(&shares, |cells| at(cells).0));
                    prop_assert!((exact - naive).abs() <= 1e-4 * naive.max(1e-3), "{average:?} {exact} {naive}");
                }
            }
        }
    }
}

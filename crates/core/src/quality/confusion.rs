//! Measures of decisions: right and wrong ones, by class. A share of nothing is unknown; within means over classes zero divided by zero is zero,
//! as scikit-learn has it by default.

use super::Estimate;
use crate::stats::Interval;

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

    /// A smooth function of the four shares, with the error of the delta method.
    fn delta(&self, of: impl Fn(&Binary) -> f64, bounds: (f64, f64)) -> Option<Estimate> {
        let n = self.n();
        if n <= 0.0 {
            return None;
        }
        let cells = [self.tp / n, self.fp / n, self.fn_ / n, self.tn / n];
        let at = |cells: &[f64]| of(&Binary { tp: cells[0], fp: cells[1], fn_: cells[2], tn: cells[3], worth: 1.0 });
        let error = (variance(&cells, at) / (n * self.worth)).sqrt();
        Estimate::normal(of(self), error, n * self.worth, bounds)
    }
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
    /// What a weight of one is worth.
    pub worth: f64,
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
        Classes { cells, worth: 1.0 }
    }

    fn n(&self) -> f64 {
        self.cells.iter().flatten().sum()
    }

    /// A class against all others.
    fn against(cells: &[f64], classes: usize, class: usize) -> Binary {
        let at = |truth: usize, said: usize| cells[truth * classes + said];
        let tp = at(class, class);
        let truth: f64 = (0..classes).map(|said| at(class, said)).sum();
        let said: f64 = (0..classes).map(|truth| at(truth, class)).sum();
        let all: f64 = cells.iter().sum();
        Binary { tp, fp: said - tp, fn_: truth - tp, tn: all - truth - said + tp, worth: 1.0 }
    }

    /// The share of right ones.
    pub fn accuracy(&self) -> Option<Estimate> {
        let right: f64 = self.cells.iter().enumerate().map(|(at, row)| row[at]).sum();
        Estimate::share(right, self.n(), self.n() * self.worth)
    }

    /// Precision of the classes together.
    pub fn precision(&self, average: Average) -> Option<Estimate> {
        self.joined(average, |class| part(class.tp, class.tp + class.fp))
    }

    /// Recall of the classes together.
    pub fn recall(&self, average: Average) -> Option<Estimate> {
        self.joined(average, |class| part(class.tp, class.tp + class.fn_))
    }

    /// F1 of the classes together.
    pub fn f1(&self, average: Average) -> Option<Estimate> {
        self.joined(average, |class| part(2.0 * class.tp, 2.0 * class.tp + class.fp + class.fn_))
    }

    fn joined(&self, average: Average, of: impl Fn(&Binary) -> f64) -> Option<Estimate> {
        if average == Average::Micro {
            // Every wrong decision is one too many of a class and one too few of another: all three are the accuracy.
            return self.accuracy();
        }
        let (n, classes) = (self.n(), self.cells.len());
        if n <= 0.0 {
            return None;
        }
        let shares: Vec<f64> = self.cells.iter().flatten().map(|cell| cell / n).collect();
        // A class that is neither true nor said of anything has no figure.
        let seen: Vec<usize> = (0..classes)
            .filter(|class| {
                let own = Classes::against(&shares, classes, *class);
                own.tp + own.fp + own.fn_ > 0.0
            })
            .collect();
        let at = |shares: &[f64]| {
            let all: f64 = shares.iter().sum();
            let each = seen.iter().map(|class| {
                let own = Classes::against(shares, classes, *class);
                let weight = match average {
                    Average::Macro | Average::Micro => 1.0 / seen.len() as f64,
                    Average::Weighted => (own.tp + own.fn_) / all,
                };
                weight * of(&own)
            });
            each.sum::<f64>()
        };
        let error = (variance(&shares, at) / (n * self.worth)).sqrt();
        Estimate::normal(at(&shares), error, n * self.worth, (0.0, 1.0))
    }
}

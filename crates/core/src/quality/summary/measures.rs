//! What a summary comes to.

use super::{Summary, Task};
use crate::quality::calibration::{self, Bin};
use crate::quality::confusion::Average;
use crate::quality::scores::{self, hanley_mcneil, logit};
use crate::quality::{Estimate, regression};

impl Summary {
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
            (Task::Multiclass, "precision") => self.classes.confusion(worth).precision(Average::Macro),
            (Task::Multiclass, "recall") => self.classes.confusion(worth).recall(Average::Macro),
            (Task::Multiclass, "f1") => self.classes.confusion(worth).f1(Average::Macro),
            (Task::Multiclass, "accuracy") | (Task::Ranking, "hit_rate") | (Task::Generation, "approval_rate") => {
                let sums = self.sums.get(plain)?;
                Estimate::share(sums.sum().clamp(0.0, sums.w), sums.w, sums.w * worth)
            }
            (Task::Regression, "rmse") => mean("mse").map(regression::rooted),
            (Task::Regression, "r2") => {
                let (truth, off) = (self.sums.get("truth")?, self.sums.get("mse")?);
                let ((_, all), n) = (truth.moments()?, truth.w * worth);
                regression::explained(off.moments()?.0 * n, all * n, n)
            }
            (Task::Binary { .. }, "log_loss" | "brier")
            | (Task::Regression, "mae" | "mse" | "mape" | "bias")
            | (Task::Generation, "judge_score") => mean(plain),
            (Task::Ranking, "ndcg" | "mrr") => mean(plain).map(Estimate::of_unit),
            _ => None,
        }
    }

    fn reliability(&self) -> Vec<Bin> {
        self.reliability.values().map(|&(count, said, came)| Bin { count, said, came }).collect()
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
        let sizes = (positives * worth, negatives * worth);
        let error = hanley_mcneil(area, sizes.0, sizes.1);
        scores::area(area, error, sizes, sizes.0 + sizes.1)
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
}

//! Kinds of predictions and their measures.

use serde::{Deserialize, Serialize};

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

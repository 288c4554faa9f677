//! What is promised.

use std::time::Duration;

use crate::expr::Program;
use crate::route::{Class, Level};

use super::window::Window;

/// A service level objective.
///
/// ```
/// use mainstay_core::slo::objective::{Kind, Objective};
///
/// let kind = Kind::availability(0.999).unwrap();
/// let objective = Objective::new("fraud", kind);
/// assert_eq!(objective.name, "fraud_availability");
/// assert!((objective.kind.allowed_bad() - 0.001).abs() < 1e-12);
/// ```
#[derive(Clone, Debug)]
pub struct Objective {
    /// Its name, unique in a config: `{service}_availability` and the like unless configured.
    pub name: String,
    /// What it promises, in one sentence.
    pub description: String,
    /// Which requests it is about.
    pub scope: Scope,
    /// The time over which it is judged.
    pub window: Window,
    /// How the budget is counted.
    pub budgeting: Budgeting,
    /// The budget policy that applies, by name.
    pub policy: Option<String>,
    /// What is promised.
    pub kind: Kind,
}

/// Which requests an objective is about; what is absent is any.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Only this route.
    pub route: Option<String>,
    /// Only this class.
    pub class: Option<Class>,
    /// Only this model.
    pub model: Option<String>,
    /// Only requests for which this holds.
    pub filter: Option<Program>,
}

/// The five kinds of promise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Category {
    /// Requests are answered, well enough.
    Availability,
    /// Answers come in time.
    Latency,
    /// Predictions are right.
    Quality,
    /// Models and features are recent.
    Freshness,
    /// Answers do no harm.
    Safety,
}

impl Category {
    /// The name that the config and the API use.
    pub const fn name(self) -> &'static str {
        match self {
            Category::Availability => "availability",
            Category::Latency => "latency",
            Category::Quality => "quality",
            Category::Freshness => "freshness",
            Category::Safety => "safety",
        }
    }
}

/// What is promised, and what that takes.
#[derive(Clone, PartialEq, Debug)]
pub enum Kind {
    /// A share of requests is answered with a valid, confident prediction.
    Availability {
        /// The share of good requests, within (0, 1).
        target: f64,
        /// An answer below this confidence is bad.
        min_confidence: f64,
        /// Whether an answer that reports no confidence is bad.
        confidence_required: bool,
        /// The deepest level that counts as good.
        good_levels: Level,
    },
    /// A share of requests is answered within a time.
    Latency {
        /// The share, within (0, 1): 0.99 of a p99.
        share: f64,
        /// The longest time that is good.
        threshold: Duration,
        /// What is timed.
        of: LatencyOf,
    },
    /// A metric of matured predictions does not fall behind its baseline.
    Quality {
        /// The metric's name.
        metric: String,
        /// Which way is better.
        direction: Direction,
        /// What it was when the model was accepted.
        baseline: f64,
        /// By which share of the baseline it may be worse, within [0, 1).
        allowed_degradation: f64,
        /// How long labels take: a prediction matures when it is this old.
        label_delay: Duration,
    },
    /// The model in use was trained recently. The clock decides, whether or not anything runs.
    ModelFreshness {
        /// Oldest model.
        max_age: Duration,
    },
    /// Nobody waits too long for a person's decision. The clock decides, by the oldest request that waits.
    ReviewAge {
        /// Longest wait.
        max_age: Duration,
        /// Only this queue.
        queue: Option<String>,
        /// The share of time in which one may wait longer.
        allowed_late: f64,
    },
    /// Requests are answered with recent features.
    FeatureFreshness {
        /// Oldest features.
        max_age: Duration,
        /// Only this feature set.
        view: Option<String>,
        /// The share of requests that may be answered with older ones.
        allowed_stale: f64,
    },
    /// Harmful answers stay below a rate, and none is tolerated.
    Safety {
        /// Highest rate of confirmed events.
        max_rate: f64,
    },
    /// A ratio that another system counts.
    External {
        /// The share of good events, within (0, 1).
        target: f64,
        /// Which category it is shown under.
        category: Category,
        /// Where its numbers come from.
        source: Source,
    },
}

/// Where an external ratio's numbers come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// Base URL of a Prometheus.
    pub prometheus: String,
    /// PromQL that counts good events, or bad ones.
    pub counted: Counted,
    /// PromQL that counts all events.
    pub total: String,
    /// How often it is asked.
    pub every: Duration,
}

/// What a query of a [`Source`] counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Counted {
    /// Good events.
    Good(String),
    /// Bad events.
    Bad(String),
}

/// What a latency is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LatencyOf {
    /// From the request's head to the answer's end, features included.
    EndToEnd,
    /// The model alone.
    InferenceOnly,
    /// Until the first token of a language model.
    FirstToken,
    /// Between the tokens of a language model, on average.
    PerToken,
}

impl LatencyOf {
    /// The name that the config uses.
    pub const fn name(self) -> &'static str {
        match self {
            LatencyOf::EndToEnd => "end_to_end",
            LatencyOf::InferenceOnly => "inference_only",
            LatencyOf::FirstToken => "first_token",
            LatencyOf::PerToken => "per_token",
        }
    }
}

/// Which way a metric is better.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Accuracy, precision, NDCG.
    HigherIsBetter,
    /// Errors, losses, perplexity.
    LowerIsBetter,
}

impl Direction {
    /// The direction of a metric that is known by name; `None` for others.
    pub fn of_metric(name: &str) -> Option<Direction> {
        const LOWER: [&str; 13] = [
            "mae",
            "mse",
            "rmse",
            "mape",
            "medae",
            "max_error",
            "pinball",
            "log_loss",
            "brier",
            "ece",
            "perplexity",
            "bias",
            "error_rate",
        ];
        const HIGHER: [&str; 18] = [
            "accuracy",
            "balanced_accuracy",
            "precision",
            "recall",
            "f1",
            "auc",
            "average_precision",
            "mcc",
            "kappa",
            "specificity",
            "r2",
            "explained_variance",
            "ndcg",
            "mrr",
            "map",
            "hit",
            "approval_rate",
            "win_rate",
        ];
        let plain = name.split('@').next().unwrap_or(name).to_ascii_lowercase();
        if LOWER.contains(&plain.as_str()) {
            Some(Direction::LowerIsBetter)
        } else if HIGHER.contains(&plain.as_str()) {
            Some(Direction::HigherIsBetter)
        } else {
            None
        }
    }
}

/// How a budget is counted.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Budgeting {
    /// Every event counts once.
    Occurrences,
    /// Every slice of time counts once, and is good where enough of its events are.
    TimeSlices {
        /// The length of a slice.
        slice: Duration,
        /// The share of good events from which on a slice is good, within (0, 1].
        good_from: f64,
        /// Slices without enough events.
        empty: EmptySlice,
        /// Fewer events than this are not enough; at least 1.
        events_least: u64,
    },
    /// The mean of the slices' shares: every slice weighs the same.
    RatioTimeSlices {
        /// The length of a slice.
        slice: Duration,
    },
}

/// What a slice without enough events counts as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EmptySlice {
    /// It does not count.
    Ignored,
    /// Good.
    Good,
    /// Bad.
    Bad,
}

/// Slices of a quality objective: 10 min of prediction time.
pub const QUALITY_SLICE: Duration = Duration::from_mins(10);
/// Fewest matured labels from which a quality slice is judged.
pub const QUALITY_LABELS_LEAST: u64 = 30;
/// The share of quality slices that may be bad.
pub const QUALITY_SLICES_BAD: f64 = 0.05;
/// The share of requests that may be answered with stale features.
pub const FEATURES_STALE: f64 = 0.01;

impl Objective {
    /// The objective of a service with the mission's name, window and budgeting for its kind.
    pub fn new(service: &str, kind: Kind) -> Objective {
        let suffix = kind.suffix();
        Objective {
            name: format!("{service}_{suffix}"),
            description: kind.threshold(),
            scope: Scope::default(),
            window: Window::Rolling(kind.usual_window()),
            budgeting: kind.usual_budgeting(),
            policy: None,
            kind,
        }
    }

    /// Which of the five categories it belongs to.
    pub const fn category(&self) -> Category {
        self.kind.category()
    }
}

impl Kind {
    /// An availability with the mission's defaults; `None` unless the target is within (0, 1).
    pub fn availability(target: f64) -> Option<Kind> {
        let good_levels = Level::new(2)?;
        is_share(target).then_some(Kind::Availability {
            target,
            min_confidence: 0.0,
            confidence_required: false,
            good_levels,
        })
    }

    /// A percentile of end-to-end latency; `None` unless the share is within (0, 1) and the threshold is not zero.
    pub fn latency(share: f64, threshold: Duration, of: LatencyOf) -> Option<Kind> {
        (is_share(share) && !threshold.is_zero()).then_some(Kind::Latency { share, threshold, of })
    }

    /// A metric that may be worse than its baseline by a share; `None` where the baseline or the share make no objective.
    pub fn quality(metric: &str, direction: Direction, baseline: f64, allowed_degradation: f64) -> Option<Kind> {
        let possible = baseline.is_finite() && baseline > 0.0 && (0.0..1.0).contains(&allowed_degradation);
        possible.then(|| Kind::Quality {
            metric: metric.to_owned(),
            direction,
            baseline,
            allowed_degradation,
            label_delay: Duration::ZERO,
        })
    }

    /// Which of the five categories it belongs to.
    pub const fn category(&self) -> Category {
        match self {
            Kind::Availability { .. } => Category::Availability,
            Kind::Latency { .. } => Category::Latency,
            Kind::Quality { .. } => Category::Quality,
            Kind::ModelFreshness { .. } | Kind::ReviewAge { .. } | Kind::FeatureFreshness { .. } => Category::Freshness,
            Kind::Safety { .. } => Category::Safety,
            Kind::External { category, .. } => *category,
        }
    }

    /// The share of events, or of slices, that may be bad. 0 tolerates none.
    ///
    /// Availability 1 - target; a pXX 100 - XX %; quality 5 % of slices; model freshness and safety's tolerance 0; features and reviews
    /// 1 %.
    pub const fn allowed_bad(&self) -> f64 {
        match self {
            Kind::Availability { target, .. } | Kind::External { target, .. } => 1.0 - *target,
            Kind::Latency { share, .. } => 1.0 - *share,
            Kind::Quality { .. } => QUALITY_SLICES_BAD,
            Kind::ModelFreshness { .. } | Kind::Safety { .. } => 0.0,
            Kind::ReviewAge { allowed_late, .. } => *allowed_late,
            Kind::FeatureFreshness { allowed_stale, .. } => *allowed_stale,
        }
    }

    /// Whether a single bad event spends everything.
    pub const fn tolerates_none(&self) -> bool {
        matches!(self, Kind::ModelFreshness { .. } | Kind::Safety { .. })
    }

    /// Whether the clock makes its events: one for each ten seconds, whether or not there are requests.
    pub const fn is_clock_driven(&self) -> bool {
        matches!(self, Kind::ModelFreshness { .. } | Kind::ReviewAge { .. })
    }

    /// The value of a quality metric that is just good enough: baseline (1 - d) where higher is better, baseline (1 + d) where
    /// lower is.
    pub fn quality_target(&self) -> Option<f64> {
        let Kind::Quality { direction, baseline, allowed_degradation, .. } = self else { return None };
        Some(match direction {
            Direction::HigherIsBetter => baseline * (1.0 - allowed_degradation),
            Direction::LowerIsBetter => baseline * (1.0 + allowed_degradation),
        })
    }

    /// The threshold in words.
    pub fn threshold(&self) -> String {
        match self {
            Kind::Availability { target, min_confidence, .. } if *min_confidence > 0.0 => {
                format!("{} of requests answered with confidence of at least {min_confidence}", percent(*target))
            }
            Kind::Availability { target, .. } => format!("{} of requests answered", percent(*target)),
            Kind::Latency { share, threshold, of } => {
                format!("{} of requests within {threshold:?} ({})", percent(*share), of.name())
            }
            Kind::Quality { metric, direction, .. } => {
                let side = match direction {
                    Direction::HigherIsBetter => "at least",
                    Direction::LowerIsBetter => "at most",
                };
                format!("{metric} {side} {:.6}", self.quality_target().unwrap_or(f64::NAN))
            }
            Kind::ModelFreshness { max_age } => format!("the model is at most {} old", age(*max_age)),
            Kind::ReviewAge { max_age, allowed_late, .. } => {
                format!("in {} of the time nobody waits longer than {}", percent(1.0 - allowed_late), age(*max_age))
            }
            Kind::FeatureFreshness { max_age, allowed_stale, .. } => {
                format!("{} of requests use features of at most {}", percent(1.0 - allowed_stale), age(*max_age))
            }
            Kind::Safety { max_rate } => format!("no confirmed harm, and a rate below {max_rate}"),
            Kind::External { target, .. } => format!("{} of events good", percent(*target)),
        }
    }

    /// What the mission puts after the service's name.
    pub fn suffix(&self) -> String {
        match self {
            Kind::Availability { .. } => "availability".to_owned(),
            Kind::Latency { share, of, .. } => {
                let digits = format!("{:.6}", share * 100.0);
                let number: String = digits.trim_end_matches('0').trim_end_matches('.').replace('.', "");
                match of {
                    LatencyOf::EndToEnd | LatencyOf::InferenceOnly => format!("latency_p{number}"),
                    LatencyOf::FirstToken => format!("ttft_p{number}"),
                    LatencyOf::PerToken => format!("tpot_p{number}"),
                }
            }
            Kind::Quality { metric, .. } => format!("quality_{metric}"),
            Kind::ModelFreshness { .. } => "model_freshness".to_owned(),
            Kind::ReviewAge { .. } => "review_age".to_owned(),
            Kind::FeatureFreshness { .. } => "feature_freshness".to_owned(),
            Kind::Safety { .. } => "safety".to_owned(),
            Kind::External { category, .. } => format!("external_{}", category.name()),
        }
    }

    /// Availability and external ratios 30 d, latency 7 d, quality, model freshness and reviews 1 d, feature freshness and safety 1 h.
    pub const fn usual_window(&self) -> Duration {
        match self {
            Kind::Availability { .. } | Kind::External { .. } => Duration::from_hours(30 * 24),
            Kind::Latency { .. } => Duration::from_hours(7 * 24),
            Kind::Quality { .. } | Kind::ModelFreshness { .. } | Kind::ReviewAge { .. } => Duration::from_hours(24),
            Kind::FeatureFreshness { .. } | Kind::Safety { .. } => Duration::from_hours(1),
        }
    }

    const fn usual_budgeting(&self) -> Budgeting {
        match self {
            Kind::Quality { .. } => Budgeting::TimeSlices {
                slice: QUALITY_SLICE,
                good_from: 1.0,
                empty: EmptySlice::Ignored,
                events_least: QUALITY_LABELS_LEAST,
            },
            Kind::Availability { .. }
            | Kind::Latency { .. }
            | Kind::ModelFreshness { .. }
            | Kind::ReviewAge { .. }
            | Kind::FeatureFreshness { .. }
            | Kind::Safety { .. }
            | Kind::External { .. } => Budgeting::Occurrences,
        }
    }
}

fn is_share(share: f64) -> bool {
    share > 0.0 && share < 1.0
}

fn percent(share: f64) -> String {
    let digits = format!("{:.6}", share * 100.0);
    format!("{} %", digits.trim_end_matches('0').trim_end_matches('.'))
}

fn age(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        s if s >= 86_400 && s % 86_400 == 0 => format!("{} d", s / 86_400),
        s if s >= 3_600 && s % 3_600 == 0 => format!("{} h", s / 3_600),
        _ => format!("{time:?}"),
    }
}

//! What is watched of requests and answers, and how labels find the predictions that they are about.

use std::path::PathBuf;
use std::time::Duration;

/// What monitors watch.
#[derive(Clone, PartialEq, Debug)]
pub struct Drift {
    /// A window ends with so many values.
    pub window_values: u64,
    /// Or when it is so old.
    pub window_time: Duration,
    /// All alarms together are false no more often than this, on average.
    pub false_alarm_every: Duration,
    /// Most requests of a route that monitors look at in a second, on average; the rest is left out at random.
    pub rate: f64,
    /// The monitors.
    pub monitors: Vec<Monitor>,
}

impl Default for Drift {
    fn default() -> Drift {
        Drift {
            window_values: 10_000,
            window_time: Duration::from_hours(1),
            false_alarm_every: Duration::from_hours(30 * 24),
            rate: 200.0,
            monitors: Vec::new(),
        }
    }
}

/// A value that is watched.
#[derive(Clone, PartialEq, Debug)]
pub struct Monitor {
    /// Its name.
    pub name: String,
    /// Index of the route into [`Plan::routes`](super::Plan::routes).
    pub route: usize,
    /// Where it is found.
    pub source: ValueSource,
    /// What kind of value it is.
    pub kind: ValueKind,
    /// The file with its reference; `None`: it is learned from traffic, or put by the API.
    pub reference: Option<PathBuf>,
    /// Values that a reference is learned from.
    pub learn: u64,
    /// Whether each hour of the week is compared with itself.
    pub hour_of_week: bool,
}

/// Where a watched value is found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ValueSource {
    /// At a JSON pointer into the request.
    Request(String),
    /// At a JSON pointer into the answer.
    Answer(String),
    /// Among the features that were looked up.
    Feature(String),
    /// The answer's prediction.
    Prediction,
    /// The answer's confidence.
    Confidence,
}

/// Kinds of watched values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ValueKind {
    /// Numbers.
    Number,
    /// Words, or numbers that stand for something.
    Category,
    /// Vectors.
    Embedding,
}

impl ValueKind {
    /// The name that the config uses.
    pub const fn name(self) -> &'static str {
        match self {
            ValueKind::Number => "number",
            ValueKind::Category => "category",
            ValueKind::Embedding => "embedding",
        }
    }
}

/// How labels find their predictions.
#[derive(Clone, PartialEq, Debug)]
pub struct Labels {
    /// The share of predictions that are remembered for labels, chosen by their id.
    pub share: f64,
    /// How long a label waits for its prediction.
    pub keep: Duration,
    /// Whether the first of several labels holds, and not the last.
    pub first_wins: bool,
}

impl Default for Labels {
    fn default() -> Labels {
        Labels { share: 1.0, keep: Duration::from_hours(7 * 24), first_wins: false }
    }
}

//! When experiments may run, who has to agree, and the experiments that a config brings.

use std::time::Duration;

use crate::chaos::experiment::{Blast, Experiment};
use crate::chaos::window::Windows;

/// Experiments and what bounds them.
#[derive(Clone, PartialEq, Debug)]
pub struct Chaos {
    /// When experiments may run.
    pub windows: Windows,
    /// From which blast on an approval is needed; `None`: never.
    pub approval: Option<Blast>,
    /// How long an approval counts, unless whoever gives it says otherwise.
    pub approval_for: Duration,
    /// How long a fault stands without being renewed.
    pub lease: Duration,
    /// The share of the error budget that must be left on each objective of the route.
    pub min_budget: f64,
    /// Whether touched requests stay in drift, labels and samples, with their mark.
    pub keep_touched: bool,
    /// The config's own experiments.
    pub experiments: Vec<Experiment>,
}

impl Default for Chaos {
    fn default() -> Chaos {
        Chaos {
            windows: Windows::default(),
            approval: Some(Blast::Moderate),
            approval_for: Duration::from_hours(7 * 24),
            lease: Duration::from_secs(5),
            min_budget: 0.2,
            keep_touched: false,
            experiments: Vec::new(),
        }
    }
}

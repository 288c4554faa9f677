//! What starts an experiment.

use std::time::Duration;

use super::experiment::Experiment;

/// What is asked for when an experiment is started.
#[derive(Clone, PartialEq, Debug)]
pub struct Start {
    /// The experiment.
    pub experiment: Experiment,
    /// The hash of its [`Experiment::canonical`] text.
    pub plan: String,
    /// Who starts it; empty: nobody knows.
    pub by: String,
    /// How long whoever holds it may be silent; `None`: nobody does.
    pub hold: Option<Duration>,
    /// The game day that it belongs to.
    pub gameday: Option<String>,
}

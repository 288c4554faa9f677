//! Models that are trained here, and how whoever serves them is told of a new version.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The section `training`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Training {
    /// How whoever serves a model is told of its champion, by the model's name.
    pub hooks: BTreeMap<String, Hook>,
    /// What `mainstay train` does where its command line says nothing.
    pub run: RunDefaults,
}

/// How whoever serves a model is told of its champion.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hook {
    /// By what.
    pub by: HookBy,
    /// How long that may take; longer is a failure.
    pub timeout: Duration,
}

/// What tells of a champion.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HookBy {
    /// A program and its arguments; exit code 0 is done.
    Command(Vec<String>),
    /// A POST of JSON to this `http://` URL; 2xx is done.
    Http(String),
}

/// What a training run does where its command line says nothing; `None`: nor does the config.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RunDefaults {
    /// Where checkpoints go.
    pub checkpoints: Option<PathBuf>,
    /// Steps between checkpoints.
    pub checkpoint_every: Option<u64>,
    /// Checkpoints between two evaluations of the gates.
    pub validate_every: Option<u64>,
    /// Retries of each kind of failure.
    pub retries: Option<u32>,
    /// Time that the run may be at work.
    pub timeout: Option<Duration>,
    /// Memory of the whole process tree, in bytes.
    pub memory: Option<u64>,
    /// Processor time of each process.
    pub cpu: Option<Duration>,
    /// Open files of each process.
    pub files: Option<u64>,
    /// What must hold of a checkpoint: CEL, or `cmd:COMMAND`.
    pub gates: Vec<String>,
    /// After a failed gate, go back to what passed before.
    pub rollback_on_failure: Option<bool>,
    /// The model that a run's last checkpoint becomes a version of.
    pub model: Option<String>,
}

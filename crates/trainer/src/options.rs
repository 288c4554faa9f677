//! What a run is told.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use mainstay_core::time::Time;
use mainstay_core::training::gate::Gate;
use mainstay_core::training::interval::Interval;
use mainstay_core::training::{allowance, policy, progress};
use serde_json::{Map, Value};

/// What a run is told.
#[derive(Debug)]
pub struct Options {
    /// What is trained.
    pub name: String,
    /// The directory of the checkpoints.
    pub directory: PathBuf,
    /// The command and its arguments; not empty.
    pub command: Vec<String>,
    /// A name for a new run, and the seed of its pauses.
    pub seed: u64,
    /// Steps between checkpoints; `None`: the script decides.
    pub every: Option<u64>,
    /// Checkpoints between two evaluations of the gates.
    pub validate_every: u64,
    /// When another attempt is made.
    pub policy: policy::Settings,
    /// What a hang is.
    pub progress: progress::Settings,
    /// Time that the run may be at work, over all attempts, pauses and supervisors; while nothing of it runs no time passes.
    pub timeout: Option<Duration>,
    /// From the request to end until it is killed.
    pub grace: Duration,
    /// Limit of memory of the whole tree, in bytes.
    pub memory: Option<u64>,
    /// Limit of CPU time of each process, in seconds.
    pub cpu: Option<u64>,
    /// Limit of open files of each process.
    pub files: Option<u64>,
    /// Good checkpoints of the branch that are kept, at least 2.
    pub keep: usize,
    /// All must pass.
    pub gates: Vec<Gate>,
    /// Whether a failed gate moves the pointer back to the last checkpoint that passed.
    pub rollback: bool,
    /// Time and limits beyond the usual.
    pub guards: Guards,
    /// The clock.
    pub now: fn() -> Time,
}

/// Time and limits beyond the usual.
#[derive(Clone, Debug)]
pub struct Guards {
    /// A limit that cannot be enforced is a warning, not an error.
    pub best_effort: bool,
    /// Where control groups are mounted, if not at the usual place.
    pub cgroups: Option<PathBuf>,
    /// Time of one attempt.
    pub attempt_timeout: Option<Duration>,
    /// By then nothing of the run is left.
    pub deadline: Option<Time>,
    /// Time between checkpoints.
    pub interval: Interval,
    /// The numbers of the champion that gates compare with; `None`: those of the directory's own.
    pub champion: Option<Map<String, Value>>,
    /// How long an attempt waits for room on the disk before it begins all the same.
    pub storage_patience: Duration,
    /// How long a gate's command may take.
    pub gate_timeout: Duration,
    /// Where a library writes checkpoints in a layout of its own.
    pub adopt: Option<PathBuf>,
    /// Shows a line of progress in place of the one before; where nobody looks there is none.
    pub show: Option<fn(&str)>,
}

impl Default for Guards {
    fn default() -> Guards {
        Guards {
            best_effort: false,
            cgroups: None,
            champion: None,
            attempt_timeout: None,
            deadline: None,
            interval: Interval::Script,
            storage_patience: Duration::from_mins(10),
            gate_timeout: Duration::from_mins(10),
            adopt: None,
            show: None,
        }
    }
}

impl Options {
    pub(crate) fn allowance(&self) -> allowance::Settings {
        let Guards { attempt_timeout: attempt, deadline, .. } = self.guards;
        allowance::Settings { total: self.timeout, attempt, deadline, grace: self.grace }
    }
}

/// Why a run could not be supervised.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another supervisor has the directory.
    #[error("{path} is supervised already, by process {by}")]
    Locked {
        /// The directory.
        path: PathBuf,
        /// Its process, as it said when it took the directory.
        by: String,
    },
    /// The directory cannot be used.
    #[error("cannot use {path}")]
    Place {
        /// What could not be read or written.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The command cannot be started.
    #[error("cannot start `{command}`")]
    Start {
        /// The command.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// A limit cannot be enforced.
    #[error("the limit of {limit} cannot be enforced here")]
    Limit {
        /// Of what.
        limit: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn place(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::Place { path, source }
    }
}

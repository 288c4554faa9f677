//! Training runs: when a script is started again, where it goes on, which checkpoint is good, and where the time went.
//!
//! ```text
//! wire      what a script says (mstp/1), checked line by line
//! class     how an attempt ended: exit code, signal and what was said become one class
//! policy    whether and when there is another attempt; only a newly verified checkpoint gives attempts back
//! allowance how long a run may take, and when its script is asked to end
//! progress  whether the script moves; a heartbeat is no progress
//! numeric   losses that are no numbers or jump
//! chain     checkpoints: from which one to go on, which ones may go
//! gate      whether a checkpoint is good enough
//! ledger    every second of wall time in exactly one bucket
//! interval  how often to save
//! forecast  when it may end
//! trainable the same policy around a loop in Rust
//! ```

pub mod allowance;
pub mod chain;
pub mod class;
pub mod forecast;
pub mod gate;
pub mod interval;
pub mod ledger;
pub mod numeric;
pub mod policy;
pub mod progress;
pub mod trainable;
pub mod wire;

use serde::{Deserialize, Serialize};

/// Where a run stands, as `status.json` and the admin API have it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The script starts.
    Starting,
    /// Steps are made.
    Running,
    /// It waits before the next attempt.
    Waiting,
    /// It is being ended.
    Stopping,
    /// It did what it was for.
    Succeeded,
    /// It did not, and is not tried again.
    Failed,
    /// Its time was up; it can go on.
    TimedOut,
    /// Somebody needed its machine; it can go on.
    Preempted,
    /// Its gates failed.
    ValidationFailed,
}

impl State {
    /// The word in `status.json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Running => "running",
            State::Waiting => "waiting",
            State::Stopping => "stopping",
            State::Succeeded => "succeeded",
            State::Failed => "failed",
            State::TimedOut => "timed_out",
            State::Preempted => "preempted",
            State::ValidationFailed => "validation_failed",
        }
    }
}

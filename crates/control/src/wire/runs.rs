//! Training runs.

use std::collections::BTreeMap;

use mainstay_core::event::{format_time, parse_time};
use mainstay_store::record;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Most metrics in one report.
const METRICS_MAX: usize = 200;
/// Longest name, in bytes.
const NAME_MAX: usize = 200;

/// The body of `PUT /api/v1/runs/{id}`: how a run stands, as its supervisor tells it, again and again.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunReport {
    /// What is trained.
    pub(crate) name: String,
    /// Grows with each report; one that is not greater than the last is ignored.
    pub(crate) revision: u64,
    /// Where it stands.
    pub(crate) state: RunState,
    /// Why, in a short word such as `oom` or `hang`.
    #[serde(default)]
    pub(crate) reason: Option<String>,
    /// When it started (RFC 3339).
    pub(crate) started: String,
    /// When it ended.
    #[serde(default)]
    pub(crate) ended: Option<String>,
    /// The last step that is kept.
    #[serde(default)]
    pub(crate) step: u64,
    /// All steps.
    #[serde(default)]
    pub(crate) total: Option<u64>,
    /// Times that the script was started.
    #[serde(default)]
    pub(crate) attempts: u32,
    /// Share of wall time that went into steps that are kept, from 0 to 1.
    #[serde(default)]
    pub(crate) goodput: Option<f64>,
    /// The last value of each metric.
    #[serde(default)]
    pub(crate) metrics: BTreeMap<String, f64>,
    /// Everything else, as the supervisor's `status.json` has it.
    #[serde(default)]
    pub(crate) status: Map<String, Value>,
}

/// Where a run stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RunState {
    /// Not started.
    Pending,
    /// The script starts.
    Starting,
    /// Steps are made.
    Running,
    /// A checkpoint is written.
    Saving,
    /// It waits before the next attempt, or for room on the disk.
    Waiting,
    /// It is being ended.
    Stopping,
    /// It did what it was for.
    Succeeded,
    /// It did not, and is not tried again.
    Failed,
    /// Its time was up.
    TimedOut,
    /// Somebody needed its machine; it can go on.
    Preempted,
    /// Somebody ended it.
    Cancelled,
    /// Its gates failed.
    ValidationFailed,
    /// Its checkpoints are put aside for a person to look at.
    Quarantined,
}

/// A run.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Run {
    /// Its id.
    id: String,
    /// When it was last heard of.
    updated: String,
    /// What was last heard.
    #[serde(flatten)]
    report: RunReport,
}

/// `GET /api/v1/runs`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Runs {
    /// The last changed first.
    pub(crate) runs: Vec<Run>,
}

/// What became of a report.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Reported {
    /// False where a later report is known.
    pub(crate) stored: bool,
}

/// The query of `GET /api/v1/runs`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunsQuery {
    pub(crate) name: Option<String>,
    pub(crate) state: Option<RunState>,
    pub(crate) limit: Option<usize>,
}

impl RunState {
    /// All of them, those under way first.
    pub(crate) const ALL: [RunState; 13] = [
        RunState::Pending,
        RunState::Starting,
        RunState::Running,
        RunState::Saving,
        RunState::Waiting,
        RunState::Stopping,
        RunState::Succeeded,
        RunState::Failed,
        RunState::TimedOut,
        RunState::Preempted,
        RunState::Cancelled,
        RunState::ValidationFailed,
        RunState::Quarantined,
    ];

    /// The word on the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            RunState::Pending => "pending",
            RunState::Starting => "starting",
            RunState::Running => "running",
            RunState::Saving => "saving",
            RunState::Waiting => "waiting",
            RunState::Stopping => "stopping",
            RunState::Succeeded => "succeeded",
            RunState::Failed => "failed",
            RunState::TimedOut => "timed_out",
            RunState::Preempted => "preempted",
            RunState::Cancelled => "cancelled",
            RunState::ValidationFailed => "validation_failed",
            RunState::Quarantined => "quarantined",
        }
    }

    /// Whether nothing more will happen.
    pub(crate) const fn is_end(self) -> bool {
        match self {
            RunState::Pending
            | RunState::Starting
            | RunState::Running
            | RunState::Saving
            | RunState::Waiting
            | RunState::Stopping => false,
            RunState::Succeeded
            | RunState::Failed
            | RunState::TimedOut
            | RunState::Preempted
            | RunState::Cancelled
            | RunState::ValidationFailed
            | RunState::Quarantined => true,
        }
    }

    /// Whether it ended without what it was for, and nobody wanted that.
    pub(crate) const fn is_failure(self) -> bool {
        match self {
            RunState::Failed | RunState::TimedOut | RunState::ValidationFailed | RunState::Quarantined => true,
            RunState::Pending
            | RunState::Starting
            | RunState::Running
            | RunState::Saving
            | RunState::Waiting
            | RunState::Stopping
            | RunState::Succeeded
            | RunState::Preempted
            | RunState::Cancelled => false,
        }
    }
}

impl RunReport {
    /// What is impossible about it, if anything is.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.name.is_empty() || self.name.len() > NAME_MAX {
            return Err(format!("`name` says what is trained, in 1 to {NAME_MAX} bytes"));
        }
        let times = [("started", Some(&self.started)), ("ended", self.ended.as_ref())];
        if let Some((name, _)) = times.iter().find(|(_, time)| time.is_some_and(|it| parse_time(it).is_none())) {
            return Err(format!("`{name}` is a time of RFC 3339, such as 2026-03-01T12:00:00Z"));
        }
        if self.metrics.len() > METRICS_MAX {
            return Err(format!("at most {METRICS_MAX} metrics are kept"));
        }
        if self.goodput.is_some_and(|it| !(0.0..=1.0).contains(&it)) {
            return Err("`goodput` is a share from 0 to 1".to_owned());
        }
        Ok(())
    }

    /// From the store; `None` where it was written by something else.
    pub(crate) fn read(run: &record::Run) -> Option<RunReport> {
        serde_json::from_str(&run.body).ok()
    }
}

impl Run {
    /// From the store.
    pub(crate) fn read(run: &record::Run) -> Option<Run> {
        let report = RunReport::read(run)?;
        Some(Run { id: run.id.clone(), updated: format_time(run.updated), report })
    }
}

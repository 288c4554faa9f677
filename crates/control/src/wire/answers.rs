//! What levels answer from, at one moment: entries, files, queues.

use std::collections::BTreeMap;

use mainstay_core::event::format_time;
use mainstay_core::status;
use schemars::JsonSchema;
use serde::Serialize;

/// An entry of a route's ladder.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EntryStatus {
    /// Its level, 0 to 4.
    level: u8,
    /// Its name.
    name: String,
    /// What answers there: `backend`, `rules`, `table`, `rank`, `keywords`, `velocity`, `queue`, `cache` or `respond`.
    kind: &'static str,
    /// What an answer from there costs in quality, in words.
    quality_impact: Option<String>,
    /// How long a local answer may take, in milliseconds; null: what its kind takes.
    budget_ms: Option<f64>,
    /// Answers since start.
    answered: u64,
    /// Local answers since start that took longer.
    late: u64,
    /// Requests since start that it had no answer for, by reason.
    failures: BTreeMap<&'static str, u64>,
}

/// A file that levels answer from.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FileStatus {
    /// Where it is.
    path: String,
    /// `table`, `texts`, `numbers` or `keywords`.
    used_as: &'static str,
    /// Rows or keywords of the version that serves.
    entries: u64,
    /// Its length in bytes.
    bytes: u64,
    /// When that version was written; null: none could be used yet.
    modified: Option<String>,
    /// When it was read.
    loaded: Option<String>,
    /// What is wrong with the file as it is; null: nothing.
    fault: Option<String>,
    /// Since when.
    fault_since: Option<String>,
    /// Versions since start that could not be used.
    refused: u64,
}

/// A line in which requests wait for a person.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct QueueStatus {
    /// Its name.
    name: String,
    /// Requests that wait or are claimed.
    open: u64,
    /// Those that are claimed.
    claimed: u64,
    /// Most that may be open.
    max: u64,
    /// How long the oldest of them waits, in seconds.
    oldest_seconds: f64,
    /// Requests decided since start.
    decided: u64,
    /// Damaged records that were passed over when its file was read.
    damaged: u64,
    /// Whether its file cannot be written: requests are answered otherwise until it can.
    is_broken: bool,
}

impl From<status::EntryStatus> for EntryStatus {
    fn from(from: status::EntryStatus) -> EntryStatus {
        EntryStatus {
            level: from.level.number(),
            name: from.name,
            kind: from.kind,
            quality_impact: from.quality_impact,
            budget_ms: from.budget.map(|budget| budget.as_secs_f64() * 1e3),
            answered: from.answered,
            late: from.late,
            failures: from.failures,
        }
    }
}

impl From<status::FileStatus> for FileStatus {
    fn from(from: status::FileStatus) -> FileStatus {
        let (fault, fault_since) = from.fault.map(|(fault, since)| (fault, format_time(since))).unzip();
        FileStatus {
            path: from.path,
            used_as: from.used_as,
            entries: from.entries,
            bytes: from.bytes,
            modified: from.modified.map(format_time),
            loaded: from.loaded.map(format_time),
            fault,
            fault_since,
            refused: from.refused,
        }
    }
}

impl From<status::ReviewLineStatus> for QueueStatus {
    fn from(from: status::ReviewLineStatus) -> QueueStatus {
        QueueStatus {
            name: from.name,
            open: from.open,
            claimed: from.claimed,
            max: from.max,
            oldest_seconds: from.oldest.as_secs_f64(),
            decided: from.decided,
            damaged: from.damaged,
            is_broken: from.is_broken,
        }
    }
}

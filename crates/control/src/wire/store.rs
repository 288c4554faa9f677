//! The store, the log of events, what was taken in.

use mainstay_core::event::format_time;
use mainstay_store::record;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was taken of a body that was reported.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Accepted {
    /// Items that are new: stored, durable, and counted.
    pub(crate) accepted: usize,
    /// Items that were there already.
    pub(crate) duplicates: usize,
}

/// `GET /api/v1/events`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EventPage {
    /// The events, oldest first.
    pub(crate) events: Vec<LoggedEvent>,
    /// The `after` of the next page; null: this is the last one.
    pub(crate) next: Option<u64>,
}

/// `GET /api/v1/requests`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Requests {
    /// Events of type `request.finished`, the last first; `kept` says why each was kept and with what chance.
    pub(crate) requests: Vec<serde_json::Value>,
}

/// An event of the log.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LoggedEvent {
    /// Its number.
    number: u64,
    /// When it happened.
    at: String,
    /// What happened.
    #[serde(rename = "type")]
    kind: String,
    /// All of it.
    event: serde_json::Value,
}

impl From<record::Event> for LoggedEvent {
    fn from(from: record::Event) -> LoggedEvent {
        let event = serde_json::from_str(&from.body).unwrap_or_default();
        LoggedEvent { number: from.seq, at: format_time(from.at), kind: from.kind, event }
    }
}

/// The body of `POST /api/v1/backup`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackupRequest {
    /// The new file, as an absolute path on the machine that serves. One that exists is refused.
    pub(crate) path: String,
}

/// The answer of `POST /api/v1/backup`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Backup {
    /// The file.
    pub(crate) path: String,
    /// Its size in bytes.
    pub(crate) bytes: u64,
}

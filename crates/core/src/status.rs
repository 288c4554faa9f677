//! What a running service looks like at one moment: plain data for the status page, the CLI and the demo.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::route::{Level, Protocol};
use crate::time::Time;

/// The data plane at one moment.
#[derive(Clone, PartialEq, Debug)]
pub struct Status {
    /// When this was true.
    pub at: Time,
    /// The service's name.
    pub service: String,
    /// Whether it is draining.
    pub draining: bool,
    /// One per route, in the config's order.
    pub routes: Vec<RouteStatus>,
    /// One per backend, in the config's order.
    pub backends: Vec<BackendStatus>,
    /// One per group of backends, by name.
    pub groups: Vec<GroupStatus>,
    /// One per feature set, in the config's order.
    pub features: Vec<FeatureStatus>,
    /// One per file that levels answer from.
    pub files: Vec<FileStatus>,
    /// One per line in which requests wait for a person.
    pub reviews: Vec<ReviewLineStatus>,
}

/// A route at one moment.
#[derive(Clone, PartialEq, Debug)]
pub struct RouteStatus {
    /// The route's name.
    pub name: String,
    /// Its path as written.
    pub path: String,
    /// Where requests start.
    pub level: Level,
    /// That level's name on this route.
    pub level_name: String,
    /// Why it is there.
    pub reason: String,
    /// A manual pin, if one holds.
    pub pin: Option<Pin>,
    /// Answers since start, by level.
    pub served: [u64; Level::COUNT],
    /// Requests since start that no level answered.
    pub all_failed: u64,
    /// Requests since start that were shed.
    pub shed: u64,
    /// Whether every request of it is kept.
    pub raised: Option<Raised>,
    /// Patterns for which requests of it are blocked.
    pub blocked: usize,
    /// Its entries, in the order of the ladder.
    pub entries: Vec<EntryStatus>,
}

/// An entry of a ladder at one moment.
#[derive(Clone, PartialEq, Debug)]
pub struct EntryStatus {
    /// Its level.
    pub level: Level,
    /// Its name.
    pub name: String,
    /// What answers there: `backend`, `rules`, `table` and so on.
    pub kind: &'static str,
    /// What an answer from there costs in quality, in words.
    pub quality_impact: Option<String>,
    /// How long a local answer may take before it counts as late.
    pub budget: Option<Duration>,
    /// Answers since start, of all entries of this level and kind.
    pub answered: u64,
    /// Local answers since start that took longer than their budget.
    pub late: u64,
    /// Why it had no answer, since start, by reason.
    pub failures: BTreeMap<&'static str, u64>,
}

/// A file that levels answer from, at one moment.
#[derive(Clone, PartialEq, Debug)]
pub struct FileStatus {
    /// Where it is.
    pub path: String,
    /// `table`, `texts`, `numbers` or `keywords`.
    pub used_as: &'static str,
    /// Rows or keywords of the version that serves.
    pub entries: u64,
    /// Bytes of that version.
    pub bytes: u64,
    /// When that version was written; `None`: none was good yet.
    pub modified: Option<Time>,
    /// When it was read.
    pub loaded: Option<Time>,
    /// What is wrong with the file as it is, and since when.
    pub fault: Option<(String, Time)>,
    /// Versions since start that could not be used.
    pub refused: u64,
}

/// A line in which requests wait for a person, at one moment.
#[derive(Clone, PartialEq, Debug)]
pub struct ReviewLineStatus {
    /// Its name.
    pub name: String,
    /// Requests that wait or are claimed.
    pub open: u64,
    /// Those that are claimed.
    pub claimed: u64,
    /// Most that may be open.
    pub max: u64,
    /// How long the oldest of them waits.
    pub oldest: Duration,
    /// Requests decided since start.
    pub decided: u64,
    /// Damaged records that were passed over when its file was read.
    pub damaged: u64,
    /// Whether its file cannot be written: requests are answered otherwise until it can.
    pub is_broken: bool,
}

/// A route held at a level by a person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pin {
    /// The level.
    pub level: Level,
    /// When it ends; `None`: when it is taken back.
    pub until: Option<Time>,
    /// Why.
    pub reason: String,
}

/// A route of which every request is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Raised {
    /// When it ends; `None`: when it is taken back.
    pub until: Option<Time>,
}

/// A backend at one moment.
#[derive(Clone, PartialEq, Debug)]
pub struct BackendStatus {
    /// The backend's name.
    pub name: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// The version of the model that it is asked for; `None`: what the request says.
    pub version: Option<String>,
    /// Its last health check; `None`: not asked yet, or not configured.
    pub healthy: Option<bool>,
    /// `closed`, `open`, `half_open`, `forced_open`, `forced_closed` or `disabled`.
    pub breaker: &'static str,
    /// When an open breaker will be tried again.
    pub retry_at: Option<Time>,
    /// Calls allowed at once; `None`: no limit.
    pub limit: Option<u32>,
    /// Calls under way.
    pub in_flight: u32,
    /// Requests that wait for it.
    pub waiting: u32,
    /// Its endpoints.
    pub endpoints: Vec<EndpointStatus>,
}

/// Backends that share their fate, at one moment.
#[derive(Clone, PartialEq, Debug)]
pub struct GroupStatus {
    /// The group's name.
    pub name: String,
    /// Its breaker, as in [`BackendStatus::breaker`].
    pub breaker: &'static str,
    /// When an open breaker will be tried again.
    pub retry_at: Option<Time>,
    /// The backends that are of it.
    pub members: Vec<String>,
    /// Those of them whose own breakers are not closed.
    pub open: u64,
}

/// An endpoint of a backend at one moment.
#[derive(Clone, PartialEq, Debug)]
pub struct EndpointStatus {
    /// Its URL.
    pub url: String,
    /// Whether it is left out.
    pub ejected: bool,
    /// Calls under way.
    pub in_flight: u32,
}

/// A feature set at one moment.
#[derive(Clone, PartialEq, Debug)]
pub struct FeatureStatus {
    /// The set's name.
    pub name: String,
    /// Its store's last health check.
    pub healthy: Option<bool>,
    /// The store's breaker, as in [`BackendStatus::breaker`].
    pub breaker: &'static str,
    /// Entities in the last-known-good cache.
    pub cached: u64,
    /// Values taken from the cache, since start.
    pub hits: u64,
    /// Values that the cache lacked, since start.
    pub misses: u64,
    /// Stale values that were served, since start.
    pub stale: u64,
}

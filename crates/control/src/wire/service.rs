//! The service at one moment.

use mainstay_core::event::format_time;
use mainstay_core::status;
use schemars::JsonSchema;
use serde::Serialize;

use super::answers::{EntryStatus, FileStatus, QueueStatus};
use super::experiments::{ChaosHalt, ExperimentLine};
use super::levels::Pin;

/// `GET /api/v1/status`. Times are RFC 3339 in UTC.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Status {
    /// When this was true.
    at: String,
    /// The service's name.
    service: String,
    /// Whether it finishes what runs and takes nothing new.
    draining: bool,
    /// The routes, in the config's order.
    routes: Vec<RouteStatus>,
    /// The backends, in the config's order.
    backends: Vec<BackendStatus>,
    /// The groups of backends that share their fate, by name.
    groups: Vec<GroupStatus>,
    /// The feature sets, in the config's order.
    features: Vec<FeatureStatus>,
    /// The files that levels answer from.
    files: Vec<FileStatus>,
    /// The lines in which requests wait for a person.
    queues: Vec<QueueStatus>,
    /// The budgets of the objectives, in the config's order.
    pub(crate) budgets: Vec<BudgetStatus>,
    /// Experiments that run.
    pub(crate) experiments: Vec<ExperimentLine>,
    /// Whether faults are halted.
    pub(crate) halt: ChaosHalt,
}

/// How a budget stands, in short.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct BudgetStatus {
    /// The objective's name.
    pub(crate) slo: String,
    /// `no_data`, `healthy`, `warning`, `critical` or `exhausted`.
    pub(crate) status: &'static str,
    /// The share that is left.
    pub(crate) remaining: f64,
    /// The severest alert that fires: `page` or `ticket`; null: none.
    pub(crate) alert: Option<&'static str>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct RouteStatus {
    /// The route's name.
    name: String,
    /// Its path as written.
    path: String,
    /// The level at which requests start, 0 to 4.
    level: u8,
    /// That level's name on this route.
    level_name: String,
    /// Why it is there.
    reason: String,
    /// A manual pin, if one holds.
    pin: Option<Pin>,
    /// Answers since start; the index is the level.
    served: Vec<u64>,
    /// Requests since start that no level answered.
    all_failed: u64,
    /// Requests since start that were shed.
    shed: u64,
    /// Whether every request of it is kept, and until when; null: it is not.
    raised: Option<Raised>,
    /// Patterns for which requests of it are blocked.
    blocked: usize,
    /// The entries of its ladder, in order.
    entries: Vec<EntryStatus>,
}

/// A route of which every request is kept.
#[derive(Debug, Serialize, JsonSchema)]
struct Raised {
    /// When it ends; null: when it is taken back.
    until: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct BackendStatus {
    /// The backend's name.
    name: String,
    /// `open-inference`, `openai`, `anthropic` or `http`.
    protocol: &'static str,
    /// The version of the model that it is asked for; null: what the request says.
    version: Option<String>,
    /// Its last health check; null: not asked.
    healthy: Option<bool>,
    /// `closed`, `open`, `half_open`, `forced_open`, `forced_closed` or `disabled`.
    breaker: &'static str,
    /// When an open breaker will be tried again.
    retry_at: Option<String>,
    /// Calls allowed at once; null: no limit.
    limit: Option<u32>,
    /// Calls under way.
    in_flight: u32,
    /// Requests that wait for it.
    waiting: u32,
    /// Its endpoints.
    endpoints: Vec<EndpointStatus>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct GroupStatus {
    /// The group's name.
    name: String,
    /// Its breaker, as of a backend.
    breaker: &'static str,
    /// When an open breaker will be tried again.
    retry_at: Option<String>,
    /// The backends that are of it.
    members: Vec<String>,
    /// Those of them whose own breakers are not closed.
    open: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct EndpointStatus {
    /// Its URL, without credentials.
    url: String,
    /// Whether it is left out.
    ejected: bool,
    /// Calls under way.
    in_flight: u32,
}

#[derive(Debug, Serialize, JsonSchema)]
struct FeatureStatus {
    /// The set's name.
    name: String,
    /// Its store's last health check; null: not asked.
    healthy: Option<bool>,
    /// The store's breaker, as of a backend.
    breaker: &'static str,
    /// Entities in the last-known-good cache.
    cached: u64,
    /// Values taken from the cache, since start.
    hits: u64,
    /// Values that the cache lacked, since start.
    misses: u64,
    /// Stale values that were served, since start.
    stale: u64,
}

/// The answer of `GET /healthz` and `GET /readyz`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Probe {
    /// `ok`.
    pub(crate) status: &'static str,
}

impl From<status::Status> for Status {
    fn from(from: status::Status) -> Status {
        Status {
            at: format_time(from.at),
            service: from.service,
            draining: from.draining,
            routes: from.routes.into_iter().map(RouteStatus::from).collect(),
            backends: from.backends.into_iter().map(BackendStatus::from).collect(),
            groups: from.groups.into_iter().map(GroupStatus::from).collect(),
            features: from.features.into_iter().map(FeatureStatus::from).collect(),
            files: from.files.into_iter().map(FileStatus::from).collect(),
            queues: from.reviews.into_iter().map(QueueStatus::from).collect(),
            budgets: Vec::new(),
            experiments: Vec::new(),
            halt: ChaosHalt::of(None),
        }
    }
}

impl From<status::RouteStatus> for RouteStatus {
    fn from(from: status::RouteStatus) -> RouteStatus {
        RouteStatus {
            name: from.name,
            path: from.path,
            level: from.level.number(),
            level_name: from.level_name,
            reason: from.reason,
            pin: from.pin.map(Pin::from),
            served: from.served.to_vec(),
            all_failed: from.all_failed,
            shed: from.shed,
            raised: from.raised.map(|raised| Raised { until: raised.until.map(format_time) }),
            blocked: from.blocked,
            entries: from.entries.into_iter().map(EntryStatus::from).collect(),
        }
    }
}

impl From<status::BackendStatus> for BackendStatus {
    fn from(from: status::BackendStatus) -> BackendStatus {
        let endpoint = |from: status::EndpointStatus| EndpointStatus {
            url: without_credentials(&from.url),
            ejected: from.ejected,
            in_flight: from.in_flight,
        };
        BackendStatus {
            name: from.name,
            protocol: from.protocol.name(),
            version: from.version,
            healthy: from.healthy,
            breaker: from.breaker,
            retry_at: from.retry_at.map(format_time),
            limit: from.limit,
            in_flight: from.in_flight,
            waiting: from.waiting,
            endpoints: from.endpoints.into_iter().map(endpoint).collect(),
        }
    }
}

impl From<status::GroupStatus> for GroupStatus {
    fn from(from: status::GroupStatus) -> GroupStatus {
        let status::GroupStatus { name, breaker, retry_at, members, open } = from;
        GroupStatus { name, breaker, retry_at: retry_at.map(format_time), members, open }
    }
}

impl From<status::FeatureStatus> for FeatureStatus {
    fn from(from: status::FeatureStatus) -> FeatureStatus {
        FeatureStatus {
            name: from.name,
            healthy: from.healthy,
            breaker: from.breaker,
            cached: from.cached,
            hits: from.hits,
            misses: from.misses,
            stale: from.stale,
        }
    }
}

/// A URL without `user:password@`: a secret does not reach a page.
fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let start = rest[..end].rfind('@').map_or(0, |at| at + 1);
    format!("{scheme}://{}", &rest[start..])
}

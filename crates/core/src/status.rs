//! What a running service looks like at one moment: plain data for the status page, the CLI and the demo.

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
    /// One per feature set, in the config's order.
    pub features: Vec<FeatureStatus>,
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

/// A backend at one moment.
#[derive(Clone, PartialEq, Debug)]
pub struct BackendStatus {
    /// The backend's name.
    pub name: String,
    /// What it speaks.
    pub protocol: Protocol,
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

//! What the admin API needs of the rest of the process.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use mainstay_core::event::Event;
use mainstay_core::metric::Family;
use mainstay_core::route::Level;
use mainstay_core::status::Status;
use mainstay_core::time::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A data plane that is shared.
pub(crate) type Plane = Arc<dyn DataPlane>;

/// The running service, as the admin API sees it. Nothing here may block but [`DataPlane::reload`].
pub trait DataPlane: Send + Sync + 'static {
    /// The service at this moment.
    fn status(&self) -> Status;
    /// All metrics, without those that have no samples.
    fn metrics(&self) -> Vec<Family>;
    /// Requests that were kept, the last first, at most `limit`, without what must not leave.
    fn kept(&self, limit: usize) -> Vec<Event> {
        let _ = limit;
        Vec::new()
    }
    /// Holds a route at a level; `until` in the future, `None`: until it is taken back. Replaces an earlier pin.
    fn pin(&self, route: &str, level: Level, until: Option<Time>, reason: String) -> Result<(), ControlError>;
    /// Takes a pin back; no error where there is none.
    fn unpin(&self, route: &str) -> Result<(), ControlError>;
    /// Whether requests are answered; the error says why not.
    fn ready(&self) -> Result<(), String>;
    /// Reads the config again. A bad one changes nothing.
    fn reload(&self) -> Reload<'_>;
    /// The time by the service's clock.
    fn now(&self) -> Time;
}

/// The future of [`DataPlane::reload`]. It is dropped when the caller goes away: that must leave nothing half done.
pub type Reload<'a> = Pin<Box<dyn Future<Output = Result<ReloadReport, Vec<Finding>>> + Send + 'a>>;

/// Why a command was not carried out.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ControlError {
    /// There is no such route.
    #[error("there is no such route")]
    UnknownRoute,
    /// The route's ladder has nothing at or below that level.
    #[error("the route has nothing that answers at this level")]
    UnknownLevel,
    /// The service cannot do it at this moment, for instance because it is draining.
    #[error("{0}")]
    Unavailable(String),
}

/// What a reload did.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ReloadReport {
    /// What differs from before and is in force, as paths into the config.
    pub applied: Vec<String>,
    /// What differs and needs a restart, as paths into the config.
    pub needs_restart: Vec<String>,
}

/// Something wrong with a config.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The finding's stable code.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// The line in the file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

//! The admin API: how people and tools see a running mainstay, and tell it what to do.
//!
//! An [`Admin`] answers on its own listener and knows the data plane only as [`DataPlane`], which the binary provides:
//! this crate and the gateway do not know each other.
//!
//! ```text
//! connection --bounds--> guard (Host, Origin, token) --> role --> endpoints --> Site (DataPlane, ...)
//!                          `--------- every failure ---------> problem document (RFC 9457)
//! ```

mod access;
mod admin;
pub mod alerts;
pub mod chaos;
mod data_plane;
pub mod engine;
mod endpoints;
mod exposition;
mod formats;
pub mod gamedays;
mod guard;
pub mod incidents;
mod ingest;
pub mod notify;
mod openapi;
mod outgoing;
mod pages;
mod percent;
mod plot;
mod problem;
pub mod review;
mod reviews;
mod registry;
mod site;
pub mod source;
mod wire;

pub use admin::{Admin, BindError};
pub use chaos::{Experiments, Injecting, RunningExperiments};
pub use data_plane::{ControlError, DataPlane, Finding, Reload, ReloadReport};
pub use engine::{Engine, EngineError};
pub use exposition::{openmetrics, prometheus};
pub use formats::{Form, Formats, Imported};
pub use gamedays::{GamedayError, Gamedays, RunningGamedays};
pub use incidents::{Acting, DeskError, Done, Incidents, RunningDesk};
pub use openapi::document as openapi;
pub use pages::forms;
pub use plot::curves_svg;
pub use registry::{Champion, Registry, Serving};
pub use reviews::{Deciding, ReviewProblem, Reviews};
pub use site::Site;

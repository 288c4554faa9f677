//! What answers requests.

use std::path::PathBuf;
use std::time::Duration;

use crate::resilience::{breaker, limiter};
use crate::route::Protocol;

use super::Secret;

/// Something that answers requests.
#[derive(Clone, Debug)]
pub struct Backend {
    /// Its name.
    pub name: String,
    /// Base URLs, at least one: `http[s]://host[:port][/prefix]`.
    pub endpoints: Vec<String>,
    /// What it speaks.
    pub protocol: Protocol,
    /// The model's name at the backend; `None`: whatever the request says.
    pub model: Option<String>,
    /// The model's version.
    pub version: Option<String>,
    /// Whether the version is the registry's champion: put in as it changes.
    pub follows_registry: bool,
    /// What it shares its fate with, such as a region or a provider; `None`: it stands alone.
    pub group: Option<String>,
    /// Keys that are sent to it, used in turn; one that is refused, spent or asked too often rests.
    pub keys: Vec<Secret>,
    /// Extra certificate authorities (PEM) for `https` endpoints.
    pub ca: Option<PathBuf>,
    /// Speak HTTP/2 without TLS (prior knowledge).
    pub h2c: bool,
    /// How it is asked whether it is well; `None`: not asked.
    pub health: Option<Health>,
    /// How many calls at once.
    pub limit: limiter::Config,
    /// When it is left alone.
    pub breaker: breaker::Config,
    /// How long its share of the requests grows once it has recovered; zero: it has all of them at once.
    pub ramp: Duration,
    /// How often one level tries it, the first attempt included.
    pub attempts: u32,
    /// How long a connection may take to open.
    pub connect_timeout: Duration,
    /// Longest context in tokens, for language models.
    pub context: Option<u64>,
    /// Whether it accepts a started answer to continue.
    pub prefill: bool,
}

/// How a component is asked whether it is well.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Health {
    /// Path that answers 2xx when well.
    pub path: String,
    /// How often.
    pub every: Duration,
    /// How long it may take; at most 1 s unless configured.
    pub timeout: Duration,
}

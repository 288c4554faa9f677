//! What a config says, checked and ready to run: plain data.
//!
//! `mainstay-config` makes a [`Plan`]; the shells run it. Whatever is here is right by construction: references point
//! at something, programs compile, the last entry of each ladder is local.

mod admin;
mod secret;
mod backend;
mod chaos;
mod features;
mod incidents;
mod local;
mod observability;
mod retention;
mod route;
mod safety;
mod training;
mod watch;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::route::Class;
use crate::slo::correction::Maintenance;
use crate::slo::objective::Objective;
use crate::slo::policy::Policy;

pub use crate::answer::template::{Answer, Template};

pub use self::admin::{Admin, Role, Token};
pub use self::backend::{Backend, Health};
pub use self::chaos::Chaos;
pub use self::features::{FeatureCache, FeatureSet, Into};
pub use self::incidents::{Bound, Channel, ChannelBy, Heartbeat, Incidents, MailTls, SignalTerms, TypeTerms};
pub use self::local::{Hold, Keywords, Rank, ReviewQueue, Table, TableFile, TableFormat, Velocity};
pub use self::observability::{Files, Format, Observability, Otlp};
pub use self::retention::Retention;
pub use self::route::{
    AfterCommit, AnswerBy, AnswerRule, Asked, Confidence, ConfidenceFrom, ConfidenceScale, Entry, FeatureMode,
    HOLD_PATIENCE, OnRefusal, PathMatch, Prediction, PriorityRule, Queue, Route, Stream,
};
pub use self::safety::{Block, Check, CheckBy, CheckWhen, Moderation, PATTERN_BYTES_MAX, PATTERNS_MAX, Patterns};
pub use self::secret::{Secret, SecretSource};
pub use self::training::{Hook, HookBy, RunDefaults, Training};
pub use self::watch::{Drift, Labels, Monitor, ValueKind, ValueSource};

/// The whole config.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The service's name: prefixes objectives, labels logs.
    pub service: String,
    /// Where this runs: it decides which safeguards apply.
    pub environment: Environment,
    /// Where the data plane listens.
    pub listen: SocketAddr,
    /// TLS of the data plane's listener.
    pub tls: Option<ServerTls>,
    /// The admin API's listener.
    pub admin: Admin,
    /// Where state rests.
    pub store: Store,
    /// What of it stays how long.
    pub retention: Retention,
    /// Bounds of what a caller may send, and of what runs at once.
    pub limits: Limits,
    /// Who may call, by name.
    pub clients: BTreeMap<String, Client>,
    /// Whose headers are believed.
    pub trust: Trust,
    /// Classes by the name that `x-gateway-inference-objective` carries.
    pub objectives: BTreeMap<String, Class>,
    /// The backends; [`BackendId`] indexes them.
    pub backends: Vec<Backend>,
    /// The feature sets; [`FeatureSetId`] indexes them.
    pub features: Vec<FeatureSet>,
    /// The routes, in the order in which they were written.
    pub routes: Vec<Route>,
    /// Checks of what models answer.
    pub checks: Vec<Check>,
    /// The service level objectives, in the order in which they were written.
    pub slos: Vec<Objective>,
    /// What spent budgets forbid.
    pub policies: Vec<Policy>,
    /// Maintenance that is left out of budgets.
    pub maintenance: Vec<Maintenance>,
    /// What is kept of single requests.
    pub observability: Observability,
    /// What monitors watch.
    pub drift: Drift,
    /// How labels find the predictions that they are about; `None`: nothing asks for them.
    pub labels: Option<Labels>,
    /// Models that are trained, and who is told of them.
    pub training: Training,
    /// How incidents are handled, and who is told of them.
    pub incidents: Incidents,
    /// When experiments may run, and the config's own.
    pub chaos: Chaos,
    /// Files with scenarios of game days.
    pub gamedays: Vec<PathBuf>,
}

impl Plan {
    /// The groups of backends that share their fate, by name: the members as indices into [`Plan::backends`].
    pub fn groups(&self) -> BTreeMap<&str, Vec<usize>> {
        let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, backend) in self.backends.iter().enumerate() {
            if let Some(name) = &backend.group {
                groups.entry(name).or_default().push(at);
            }
        }
        groups
    }
}

/// Index into [`Plan::backends`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BackendId(pub usize);

/// Index into [`Plan::features`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FeatureSetId(pub usize);

/// Where a service runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Environment {
    /// Real users.
    Production,
    /// A rehearsal.
    Staging,
    /// The demo: short hysteresis, no approvals.
    Demo,
}

impl Environment {
    /// The name that the config uses.
    pub const fn name(self) -> &'static str {
        match self {
            Environment::Production => "production",
            Environment::Staging => "staging",
            Environment::Demo => "demo",
        }
    }
}

/// A listener's certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerTls {
    /// PEM file with the certificate chain.
    pub cert: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

/// Where state rests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Store {
    /// An embedded SQLite file.
    Sqlite(PathBuf),
}

/// Bounds of the data plane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Threads that serve requests; `None`: one per core.
    pub workers: Option<usize>,
    /// Longest request head, in bytes.
    pub head_bytes: usize,
    /// Longest request body, in bytes.
    pub body_bytes: usize,
    /// Longest request body that is held for a second attempt; a longer one is streamed to one backend only.
    pub replay_bytes: usize,
    /// Longest answer that is held to be read (confidence, cache); a longer one is streamed unread.
    pub answer_bytes: usize,
    /// Most connections at once, over all workers.
    pub connections: usize,
    /// How long a caller may take to send its head, and a connection may idle.
    pub head_timeout: Duration,
    /// How long running requests may take after a shutdown began.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            workers: None,
            head_bytes: 64 << 10,
            body_bytes: 32 << 20,
            replay_bytes: 4 << 20,
            answer_bytes: 4 << 20,
            connections: 20_000,
            head_timeout: Duration::from_mins(1),
            drain: Duration::from_secs(30),
        }
    }
}

/// Who may call.
#[derive(Clone, Debug)]
pub struct Client {
    /// The key it shows as `Authorization: Bearer` or `x-api-key`.
    pub key: Secret,
    /// The best class it may have.
    pub max_class: Class,
    /// Requests per second; `None`: unlimited.
    pub rate: Option<f64>,
}

/// Whose headers are believed.
#[derive(Clone, Debug)]
pub struct Trust {
    /// Peers' addresses.
    pub from: Vec<IpNet>,
    /// Lower-case names of headers that are removed where the peer is not within `from`.
    pub headers: Vec<String>,
}

//! What a config says, checked and ready to run: plain data.
//!
//! `mainstay-config` makes a [`Plan`]; the shells run it. Whatever is here is right by construction: references point
//! at something, programs compile, the last entry of each ladder is local.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde_json::Value;

use crate::expr::Program;
use crate::resilience::ladder::Hysteresis;
use crate::resilience::queue::Shed;
use crate::resilience::{breaker, limiter};
use crate::route::{Class, Level, Protocol};

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

/// The admin API.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Bearer tokens that are accepted; empty on a loopback address means open.
    pub tokens: Vec<Secret>,
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

/// A secret by reference: `env:NAME` or `file:PATH`. The value never appears in a log, an error or an event.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// Where it comes from.
    pub source: SecretSource,
    value: Option<String>,
}

/// Where a secret comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SecretSource {
    /// An environment variable.
    Env(String),
    /// A file, read without its trailing newline.
    File(PathBuf),
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretSource::Env(name) => write!(f, "env:{name}"),
            SecretSource::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl Secret {
    /// A reference that nobody has resolved yet.
    pub fn unresolved(source: SecretSource) -> Secret {
        Secret { source, value: None }
    }

    /// Gives the reference its value.
    pub fn resolve(&mut self, value: String) {
        self.value = Some(value);
    }

    /// The value, once resolved.
    pub fn expose(&self) -> Option<&str> {
        self.value.as_deref()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.source)
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
    /// Keys that are sent to it, used in turn.
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

/// A set of features from a feature store.
#[derive(Clone, PartialEq, Debug)]
pub struct FeatureSet {
    /// Its name.
    pub name: String,
    /// The store's base URL.
    pub url: String,
    /// How long a retrieval may take.
    pub timeout: Duration,
    /// Feast feature references, `view:feature`.
    pub refs: Vec<String>,
    /// Entity keys and the JSON pointers that find their values in the request.
    pub entity: Vec<(String, String)>,
    /// Where the values go in the model's request; `None`: only rules see them.
    pub into: Option<Into>,
    /// Older values are stale.
    pub max_age: Option<Duration>,
    /// The last-known-good cache.
    pub cache: FeatureCache,
    /// Values for features that are missing.
    pub defaults: BTreeMap<String, Value>,
    /// The store's health check.
    pub health: Option<Health>,
    /// When the store is left alone.
    pub breaker: breaker::Config,
}

/// Where feature values go in the model's request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Into {
    /// Open Inference Protocol: a tensor `[rows, refs]` in the order of `refs`.
    Tensor {
        /// The input's name.
        input: String,
        /// Its datatype, such as `FP64`.
        datatype: String,
    },
    /// Plain JSON: a JSON pointer that gets `{ref: value}`.
    Pointer(String),
}

/// Bounds of the last-known-good cache.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FeatureCache {
    /// Most entities held.
    pub entries: u64,
    /// Older entries are not used.
    pub max_age: Duration,
}

/// A route: one path, one promise.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// Which requests it takes.
    pub path: PathMatch,
    /// ONE deadline for all levels.
    pub deadline: Duration,
    /// What is spoken with the caller: that of its backends.
    pub protocol: Protocol,
    /// Where the answer's prediction is found.
    pub prediction: Option<Prediction>,
    /// Where the answer's confidence is found.
    pub confidence: Option<Confidence>,
    /// Rules that place a request in a class; the first that holds.
    pub priority: Vec<PriorityRule>,
    /// Bounds of the waiting line.
    pub queue: Queue,
    /// Who is turned away when a backend is full.
    pub shed: Shed,
    /// The level from which on a request is shed and not served; `None`: degrade rather than shed.
    pub shed_before: Option<Level>,
    /// How slowly the current level follows health.
    pub hysteresis: Hysteresis,
    /// Bounds of a streamed answer.
    pub stream: Stream,
    /// Entries in order of level; the last is local.
    pub ladder: Vec<Entry>,
}

/// Which paths a route takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PathMatch {
    /// This path.
    Exact(String),
    /// This prefix (written with `/*` at its end, held without the `*`) and everything below it.
    Prefix(String),
}

/// Where the answer's prediction is found.
#[derive(Clone, PartialEq, Debug)]
pub struct Prediction {
    /// JSON pointer into the answer.
    pub pointer: String,
    /// What kind of prediction it is, such as `binary`.
    pub task: Option<String>,
    /// From which value on a binary prediction is positive.
    pub threshold: Option<f64>,
}

/// Where the answer's confidence is found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Confidence {
    /// The place.
    pub from: ConfidenceFrom,
    /// How the number is read.
    pub scale: ConfidenceScale,
}

/// The place of a confidence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConfidenceFrom {
    /// JSON pointer into the answer's body.
    Pointer(String),
    /// A response header, lower case.
    Header(String),
}

/// How a confidence is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConfidenceScale {
    /// As it is.
    Score,
    /// max(p, 1-p).
    Probability,
    /// Distance from the decision boundary, as it is.
    Margin,
}

/// A rule that places a request in a class.
#[derive(Clone, Debug)]
pub struct PriorityRule {
    /// The class it gives.
    pub class: Class,
    /// When it holds.
    pub when: Program,
}

/// Bounds of a route's waiting line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Queue {
    /// Most requests that wait.
    pub max: usize,
    /// Longest wait.
    pub wait: Duration,
}

/// Bounds of a streamed answer.
#[derive(Clone, PartialEq, Debug)]
pub struct Stream {
    /// Longest wait for the answer's head.
    pub headers: Duration,
    /// Longest wait for the first token.
    pub first_token: Duration,
    /// Longest pause between tokens.
    pub gap: Duration,
    /// Fewest tokens per second; `None`: no bound.
    pub min_tokens: Option<f64>,
    /// Most tokens that are held before the caller sees any.
    pub buffer_tokens: u64,
    /// Longest time that tokens are held before the caller sees them.
    pub buffer_time: Duration,
    /// What happens to a stream that breaks after the caller saw some of it.
    pub after_commit: AfterCommit,
}

impl Default for Stream {
    fn default() -> Self {
        Stream {
            headers: Duration::from_secs(10),
            first_token: Duration::from_secs(10),
            gap: Duration::from_secs(5),
            min_tokens: None,
            buffer_tokens: 16,
            buffer_time: Duration::from_millis(500),
            after_commit: AfterCommit::Fail,
        }
    }
}

/// What happens to a stream that breaks after the caller saw some of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AfterCommit {
    /// Nothing is shown before all is there, so it never comes to this.
    Atomic,
    /// Another backend continues the text.
    Continue,
    /// Another backend starts again.
    Restart,
    /// The caller is told by an error in the stream.
    Fail,
}

/// One entry of a ladder.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its level.
    pub level: Level,
    /// Its name: the level's standard name unless configured.
    pub name: String,
    /// What an answer from here costs in quality, in words.
    pub quality_impact: Option<String>,
    /// What answers.
    pub answer: AnswerBy,
}

/// What answers at a ladder entry.
#[derive(Clone, Debug)]
pub enum AnswerBy {
    /// A backend.
    Backend {
        /// Which.
        backend: BackendId,
        /// Features fetched first.
        features: Option<(FeatureSetId, FeatureMode)>,
        /// How long it may take; `None`: what the deadline leaves.
        timeout: Option<Duration>,
    },
    /// CEL rules, first that holds.
    Rules {
        /// The rules.
        rules: Vec<AnswerRule>,
        /// The answer when none holds; `None`: the next entry.
        otherwise: Option<Answer>,
    },
    /// The last good answer to the same request.
    Cache {
        /// Older answers are not used.
        max_age: Duration,
    },
    /// A static answer.
    Respond(Answer),
}

impl AnswerBy {
    /// Whether this answers without leaving the process.
    pub const fn is_local(&self) -> bool {
        match self {
            AnswerBy::Backend { .. } => false,
            AnswerBy::Rules { .. } | AnswerBy::Cache { .. } | AnswerBy::Respond(_) => true,
        }
    }

    /// Whether this always has an answer.
    pub const fn always_answers(&self) -> bool {
        match self {
            AnswerBy::Backend { .. } | AnswerBy::Cache { .. } => false,
            AnswerBy::Rules { otherwise, .. } => otherwise.is_some(),
            AnswerBy::Respond(_) => true,
        }
    }
}

/// Where an entry's features come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FeatureMode {
    /// The feature store; values it lacks come from the cache, then from the defaults.
    Online,
    /// The last-known-good cache, then the defaults.
    Cached,
}

/// A rule that answers.
#[derive(Clone, Debug)]
pub struct AnswerRule {
    /// When it holds.
    pub when: Program,
    /// What it answers.
    pub respond: Answer,
}

/// A local answer, rendered by the route's protocol.
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// Open Inference Protocol outputs: `{name, value}` or full tensors.
    Outputs(Vec<Value>),
    /// The assistant's text.
    Text(String),
    /// A JSON body as it is.
    Body(Value),
}

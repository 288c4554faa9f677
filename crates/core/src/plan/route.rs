//! Routes and their ladders.

use std::time::Duration;

use crate::answer::template::Answer;
use crate::expr::Program;
use crate::resilience::hedge;
use crate::resilience::ladder::{self, Hysteresis};
use crate::resilience::queue::Shed;
use crate::route::{Class, Level, Protocol};

use super::{Backend, BackendId, FeatureSetId, Hold, Keywords, Rank, Table, Velocity};

/// A route: one path, one promise.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// Which requests it takes.
    pub path: PathMatch,
    /// ONE deadline for all levels.
    pub deadline: Duration,
    /// What is spoken with the caller: that of its path, else of its first backend.
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
    /// What is done where a provider's filter refuses what is asked.
    pub on_content_refusal: OnRefusal,
    /// When a late call is made a second time beside the first; `None`: never.
    pub hedge: Option<hedge::Config>,
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
    /// How long a caller waits for its answer's head before it gets one and is shown that somebody is there; `None`: as long as it takes.
    pub heartbeat: Option<Duration>,
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
            heartbeat: None,
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

/// What is done where a provider's filter refuses what is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnRefusal {
    /// The caller is told: a refusal is an answer.
    Stop,
    /// The next entry is asked.
    Next,
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
    /// How long a local answer may take before it counts as late, and the time that is kept back for it where it is the
    /// last; `None`: what its kind takes.
    pub budget: Option<Duration>,
    /// What answers.
    pub answer: AnswerBy,
}

/// What a request waits for the disk that holds it for a person, at most.
pub const HOLD_PATIENCE: Duration = Duration::from_millis(50);

impl Entry {
    /// The entry as a walk down the ladder sees it.
    pub fn walked(&self) -> ladder::Entry {
        match &self.answer {
            AnswerBy::Backend { backend, features, timeout, .. } => ladder::Entry {
                level: self.level,
                backend: Some(backend.0 as u32),
                features: features.and_then(|(set, mode)| match mode {
                    FeatureMode::Online => Some(set.0 as u32),
                    FeatureMode::Cached => None,
                }),
                timeout: *timeout,
            },
            AnswerBy::Rules { .. }
            | AnswerBy::Table(_)
            | AnswerBy::Rank(_)
            | AnswerBy::Keywords(_)
            | AnswerBy::Velocity(_)
            | AnswerBy::Cache { .. }
            | AnswerBy::Respond(_) => ladder::Entry { timeout: self.budget, ..ladder::Entry::local(self.level) },
            // What it may wait for the disk is kept back for it.
            AnswerBy::Hold(_) => {
                let patience = self.budget.unwrap_or(HOLD_PATIENCE).min(HOLD_PATIENCE);
                ladder::Entry { timeout: Some(patience), ..ladder::Entry::local(self.level) }
            }
        }
    }
}

impl Route {
    /// Whether a request that its backend has no place for is shed, and not passed to a level as deep as `next`.
    pub fn sheds_before(&self, next: Option<Level>) -> bool {
        self.shed_before.is_some_and(|bound| next.is_none_or(|next| next >= bound))
    }

    /// The entries that can be asked beside a late call of `entry`, the best first: later ones of its level with another backend and the same
    /// features, then `entry` itself where its backend has other endpoints or keys. A worse level is none of them.
    pub fn beside<'a>(&'a self, entry: usize, backends: &'a [Backend]) -> impl Iterator<Item = usize> + 'a {
        let level = self.ladder.get(entry).map(|it| it.level);
        let asked = self.ladder.get(entry).and_then(|it| it.answer.asked());
        let others = asked.into_iter().flat_map(move |asked| {
            let rest = self.ladder.iter().enumerate().skip(entry + 1).filter(move |(_, it)| Some(it.level) == level);
            let fits = move |other: Asked| other.backend != asked.backend && other.features == asked.features;
            rest.filter(move |(_, it)| it.answer.asked().is_some_and(fits)).map(|(at, _)| at)
        });
        let several = |backend: &Backend| backend.endpoints.len() > 1 || backend.keys.len() > 1;
        let itself = asked.is_some_and(|asked| backends.get(asked.backend.0).is_some_and(several));
        others.chain(itself.then_some(entry))
    }
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
        /// Most tokens of a chat that it is given: the oldest turns are left out; `None`: all of it.
        context: Option<u64>,
    },
    /// CEL rules, first that holds.
    Rules {
        /// The rules.
        rules: Vec<AnswerRule>,
        /// The answer when none holds; `None`: the next entry.
        otherwise: Option<Answer>,
    },
    /// A batch-computed answer by key.
    Table(Box<Table>),
    /// An order of items.
    Rank(Box<Rank>),
    /// A filter of words.
    Keywords(Box<Keywords>),
    /// A count of requests by key.
    Velocity(Box<Velocity>),
    /// The request is held for a person.
    Hold(Box<Hold>),
    /// The last good answer to the same request.
    Cache {
        /// Older answers are not used.
        max_age: Duration,
        /// Whether equal requests that come at the same time wait for one call to level 0.
        single_flight: bool,
    },
    /// A static answer.
    Respond(Answer),
}

/// What [`AnswerBy::Backend`] holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    /// Which backend.
    pub backend: BackendId,
    /// Features fetched first.
    pub features: Option<(FeatureSetId, FeatureMode)>,
    /// How long it may take; `None`: what the deadline leaves.
    pub timeout: Option<Duration>,
    /// Most tokens of a chat that it is given; `None`: all of it.
    pub context: Option<u64>,
}

impl AnswerBy {
    /// The name that the config uses.
    pub const fn kind(&self) -> &'static str {
        match self {
            AnswerBy::Backend { .. } => "backend",
            AnswerBy::Rules { .. } => "rules",
            AnswerBy::Table(_) => "table",
            AnswerBy::Rank(_) => "rank",
            AnswerBy::Keywords(_) => "keywords",
            AnswerBy::Velocity(_) => "velocity",
            AnswerBy::Hold(_) => "queue",
            AnswerBy::Cache { .. } => "cache",
            AnswerBy::Respond(_) => "respond",
        }
    }

    /// Whether this answers without leaving the process.
    pub const fn is_local(&self) -> bool {
        self.asked().is_none()
    }

    /// What a backend is asked; `None`: this answers without leaving the process.
    pub const fn asked(&self) -> Option<Asked> {
        match self {
            AnswerBy::Backend { backend, features, timeout, context } => {
                Some(Asked { backend: *backend, features: *features, timeout: *timeout, context: *context })
            }
            AnswerBy::Rules { .. }
            | AnswerBy::Table(_)
            | AnswerBy::Rank(_)
            | AnswerBy::Keywords(_)
            | AnswerBy::Velocity(_)
            | AnswerBy::Hold(_)
            | AnswerBy::Cache { .. }
            | AnswerBy::Respond(_) => None,
        }
    }

    /// Whether this always has an answer, whatever the request and the files are.
    pub const fn always_answers(&self) -> bool {
        match self {
            // What these read may be missing.
            AnswerBy::Backend { .. }
            | AnswerBy::Table(_)
            | AnswerBy::Rank(_)
            | AnswerBy::Keywords(_)
            | AnswerBy::Velocity(_)
            | AnswerBy::Cache { .. } => false,
            AnswerBy::Rules { otherwise, .. } => otherwise.is_some(),
            AnswerBy::Hold(_) | AnswerBy::Respond(_) => true,
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

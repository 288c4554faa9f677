//! What happened, to what, when: the one vocabulary that leaves the core as it is.
//!
//! Events are stored, streamed and counted. Their JSON is a promise: it is pinned by golden files, and [`VERSION`]
//! grows when an older reader would misread what is written.
//!
//! ```json
//! {"version":1,"at":"2026-03-01T12:00:00.25Z","type":"breaker.changed","backend":"primary","from":"closed","to":"open","reason":"consecutive_failures"}
//! ```
//!
//! - `at` is RFC 3339 in UTC, with as many digits of the second as it has, at most nine.
//! - `type` is dot-separated: what it is about, then what happened to it.
//! - Fields that do not apply are left out; a reader ignores fields that it does not know.
//! - Durations are whole microseconds, and their names end in `_us`.
//! - Reasons and states are short fixed words, never the text of a request, never a secret.

mod request;
mod rfc3339;
pub mod written;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::route::Level;
use crate::time::Time;

pub use request::RequestFinished;
pub use rfc3339::{format as format_time, parse as parse_time};

/// The version of the JSON that this build writes, and the newest that it reads.
pub const VERSION: u32 = 1;

/// A short word that is mostly a literal.
pub type Word = Cow<'static, str>;

/// Something that happened.
///
/// ```
/// use mainstay_core::event::{Event, EventKind};
/// use mainstay_core::time::Time;
///
/// let event = Event { at: Time::from_millis(1_250), kind: EventKind::Draining {} };
/// let json = r#"{"version":1,"at":"1970-01-01T00:00:01.25Z","type":"service.draining"}"#;
/// assert_eq!(event.to_json(), json);
/// assert_eq!(Event::from_json(json)?, event);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(into = "Wire", try_from = "Wire")]
pub struct Event {
    /// When.
    pub at: Time,
    /// What, and to what.
    pub kind: EventKind,
}

/// What happened, and to what.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum EventKind {
    /// A process begins: what an earlier one saw is not known to hold any more.
    #[serde(rename = "service.starting")]
    Starting {},
    /// The service answers requests.
    #[serde(rename = "service.started")]
    Started {
        /// The service's name.
        service: String,
        /// The build's version.
        build: Word,
    },
    /// The service takes no new requests and finishes those that run.
    #[serde(rename = "service.draining")]
    Draining {},
    /// The service is done.
    #[serde(rename = "service.stopped")]
    Stopped {},
    /// Another config is in force.
    #[serde(rename = "config.reloaded")]
    ConfigReloaded {},
    /// A config was offered and refused: nothing changed.
    #[serde(rename = "config.refused")]
    ConfigRefused {
        /// What is wrong with it, one finding each.
        findings: Vec<String>,
    },
    /// A route starts requests at another level.
    #[serde(rename = "level.changed")]
    LevelChanged {
        /// The route.
        route: String,
        /// The level until then.
        from: Level,
        /// The level from then on.
        to: Level,
        /// Why.
        reason: Word,
    },
    /// Somebody holds a route at a level.
    #[serde(rename = "level.pinned")]
    LevelPinned {
        /// The route.
        route: String,
        /// The level.
        level: Level,
        /// When the pin ends; absent: when it is taken back.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "written::optional")]
        until: Option<Time>,
        /// Who or what asked for it.
        by: Word,
        /// Why.
        reason: String,
    },
    /// A pin ended.
    #[serde(rename = "level.released")]
    LevelReleased {
        /// The route.
        route: String,
        /// `expired` or `taken_back`.
        reason: Word,
    },
    /// A breaker changed its state.
    #[serde(rename = "breaker.changed")]
    BreakerChanged {
        /// The backend, feature set or check.
        backend: String,
        /// The state until then.
        from: Word,
        /// The state from then on.
        to: Word,
        /// Why.
        reason: Word,
    },
    /// The breaker of backends that share their fate changed its state.
    #[serde(rename = "group.changed")]
    GroupChanged {
        /// The group.
        group: String,
        /// The backends that are of it.
        members: Vec<String>,
        /// The state until then.
        from: Word,
        /// The state from then on.
        to: Word,
        /// Why.
        reason: Word,
    },
    /// A backend's limit moved.
    #[serde(rename = "limit.changed")]
    LimitChanged {
        /// The backend.
        backend: String,
        /// Calls at once, until then.
        from: u32,
        /// Calls at once, from then on.
        to: u32,
        /// Why.
        reason: Word,
    },
    /// An endpoint is left out.
    #[serde(rename = "endpoint.ejected")]
    EndpointEjected {
        /// The backend.
        backend: String,
        /// The endpoint's URL.
        endpoint: String,
    },
    /// An endpoint is back.
    #[serde(rename = "endpoint.returned")]
    EndpointReturned {
        /// The backend.
        backend: String,
        /// The endpoint's URL.
        endpoint: String,
    },
    /// A key of a backend's is left out.
    #[serde(rename = "key.rests")]
    KeyRests {
        /// The backend.
        backend: String,
        /// Its place in the config, from 0; never the key itself.
        key: u32,
        /// `limited`, `refused` or `spent`.
        reason: Word,
        /// Until when.
        #[serde(with = "written")]
        until: Time,
    },
    /// A key of a backend's is used again.
    #[serde(rename = "key.returned")]
    KeyReturned {
        /// The backend.
        backend: String,
        /// Its place in the config, from 0.
        key: u32,
    },
    /// A health check changed its mind.
    #[serde(rename = "health.changed")]
    HealthChanged {
        /// The backend or feature set.
        component: String,
        /// Whether it is well from then on.
        healthy: bool,
        /// Why.
        reason: Word,
    },
    /// An error budget has another status.
    #[serde(rename = "slo.status_changed")]
    SloStatusChanged {
        /// The objective.
        slo: String,
        /// The status until then.
        from: Word,
        /// The status from then on.
        to: Word,
        /// The share of the budget that is left.
        remaining: f64,
        /// The event that spent a budget which tolerates none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        event: Option<String>,
    },
    /// An alert on an error budget fires.
    #[serde(rename = "slo.alert_fired")]
    SloAlertFired(SloAlert),
    /// An alert on an error budget fires no more.
    #[serde(rename = "slo.alert_resolved")]
    SloAlertResolved(SloAlert),
    /// A monitored name has another verdict.
    #[serde(rename = "drift.status_changed")]
    DriftStatusChanged(DriftChange),
    /// A monitor that is looked at all the time says that its name drifted.
    #[serde(rename = "drift.alarm_raised")]
    DriftAlarmRaised {
        /// The monitored name.
        name: String,
        /// The route that its values come from, where it is one route.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        route: Option<String>,
        /// What raised it, such as `conformal`.
        detector: Word,
        /// Values between two false alarms, at least, on average.
        run_length: f64,
    },
    /// A measure of quality has another status.
    #[serde(rename = "quality.status_changed")]
    QualityStatusChanged(QualityChange),
    /// What is posted from outside went beyond a bound, or came back.
    #[serde(rename = "signal.status_changed")]
    SignalChanged {
        /// The signal, or a measure of several.
        name: String,
        /// `within` or `beyond`, until then.
        from: Word,
        /// `within` or `beyond`, from then on.
        to: Word,
        /// Its value.
        value: f64,
        /// The bound.
        bound: f64,
    },
    /// An incident was opened, or opened again.
    #[serde(rename = "incident.opened")]
    IncidentOpened(IncidentNews),
    /// An incident has another status, type or severity.
    #[serde(rename = "incident.changed")]
    IncidentChanged(IncidentNews),
    /// A notice was delivered, or given up.
    #[serde(rename = "incident.notified")]
    IncidentNotified {
        /// The incident.
        incident: String,
        /// The notice's id.
        notice: String,
        /// The channel.
        channel: String,
        /// What it was for, such as `page`.
        purpose: Word,
        /// `delivered`, `dead` or `cancelled`.
        outcome: Word,
    },
    /// A training run ended without what it was for.
    #[serde(rename = "training.run_failed")]
    TrainingFailed(TrainingEnded),
    /// A training run ended with what it was for.
    #[serde(rename = "training.run_finished")]
    TrainingFinished(TrainingEnded),
    /// A model has another champion.
    #[serde(rename = "model.promoted")]
    ModelPromoted(ModelPromoted),
    /// A change of champion was taken back, or could not be.
    #[serde(rename = "model.promotion_failed")]
    ModelPromotionFailed {
        /// The model.
        model: String,
        /// The version that was to be champion.
        model_version: String,
        /// `failed`, `rolled_back` or `rollback_failed`.
        outcome: Word,
        /// Why.
        reason: String,
    },
    /// A run of an experiment is in another phase.
    #[serde(rename = "experiment.changed")]
    ExperimentChanged(ExperimentChange),
    /// A run of an experiment ended.
    #[serde(rename = "experiment.ended")]
    ExperimentEnded {
        /// The run.
        run: String,
        /// The experiment.
        experiment: String,
        /// The route.
        route: String,
        /// What it showed, such as `tolerated`.
        verdict: Word,
        /// Why.
        reason: String,
    },
    /// No fault may be in force any more, until somebody says otherwise; or somebody does.
    #[serde(rename = "chaos.halt_changed")]
    HaltChanged {
        /// Whether it is halted from then on.
        halted: bool,
        /// Who asked for it.
        by: String,
        /// Why.
        reason: String,
    },
    /// A game day is somewhere else in its scenario.
    #[serde(rename = "gameday.changed")]
    GamedayChanged {
        /// The game day.
        gameday: String,
        /// The scenario.
        scenario: String,
        /// Where it is, such as `running` or `ended`.
        to: Word,
        /// What happens now, or what came of it.
        what: String,
    },
    /// A request ended. Sampled: counters, not these, are the measure of how many.
    #[serde(rename = "request.finished")]
    RequestFinished(Box<RequestFinished>),
}

/// A verdict about a monitored name.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DriftChange {
    /// The monitored name.
    pub name: String,
    /// The route that its values come from, where it is one route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The verdict until then.
    pub from: Word,
    /// The verdict from then on.
    pub to: Word,
    /// The method that found most, where one found drift.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Word>,
    /// Its figure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
}

/// What is said of a measure of quality.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct QualityChange {
    /// The route whose predictions are measured.
    pub route: String,
    /// The measure, such as `precision`, or a proxy, such as `confidence`.
    pub metric: String,
    /// The status until then.
    pub from: Word,
    /// The status from then on.
    pub to: Word,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
}

/// Where an incident stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct IncidentNews {
    /// Its id.
    pub incident: String,
    /// Its type.
    #[serde(rename = "kind")]
    pub kind: String,
    /// How bad it is.
    pub severity: Word,
    /// Where it stands.
    pub status: Word,
    /// What it is, in a line.
    pub title: String,
    /// Who or what changed it.
    pub by: String,
}

/// Where a run of an experiment stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ExperimentChange {
    /// The run.
    pub run: String,
    /// The experiment.
    pub experiment: String,
    /// The route.
    pub route: String,
    /// The fault's type.
    pub fault: String,
    /// The phase from then on, such as `injecting`.
    pub phase: Word,
    /// Why, where it is not the course of things.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Word>,
    /// Who or what changed it.
    pub by: String,
}

/// A reason to keep an event.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Kept {
    /// Which, such as `error` or `reservoir`.
    pub why: Word,
    /// The chance with which an event like it is kept for this reason, within (0, 1].
    pub probability: f64,
}

/// A value of a feature or a prediction.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// A decision.
    Flag(bool),
    /// A number; finite.
    Number(f64),
    /// A word.
    Word(String),
}

/// An alert on an error budget.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SloAlert {
    /// The objective.
    pub slo: String,
    /// `page` or `ticket`.
    pub severity: Word,
    /// `burn`, `trickle`, `rate` or `harm`.
    pub why: Word,
    /// The longer window, of a burn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long_s: Option<u64>,
    /// The shorter window, of a burn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_s: Option<u64>,
    /// The burn rate from which on it fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// The burn rate that was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burn: Option<f64>,
}

/// How a training run ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TrainingEnded {
    /// The run's id.
    pub run: String,
    /// What was trained.
    pub name: String,
    /// Its last state, such as `failed` or `timed_out`.
    pub state: Word,
    /// Why, in a short fixed word such as `oom` or `hang`.
    pub reason: Word,
    /// The last step that is kept.
    pub step: u64,
    /// Times that the script was started.
    pub attempts: u32,
}

/// A change of champion that holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ModelPromoted {
    /// The model.
    pub model: String,
    /// The champion from then on.
    pub model_version: String,
    /// The champion until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// Who asked for it.
    pub by: String,
    /// Whether it is a way back to an earlier champion.
    pub rollback: bool,
    /// The latest event that the version learned from: what its freshness is measured by.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "written::optional")]
    pub data_max_event_time: Option<Time>,
}

impl Event {
    /// One line of JSON, without a line break.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an event has only string keys and finite numbers")
    }

    /// Reads what [`Event::to_json`] writes, of this version or an older one.
    pub fn from_json(text: &str) -> Result<Event, serde_json::Error> {
        serde_json::from_str(text)
    }
}

/// The outer shape of the JSON.
#[derive(Serialize, Deserialize)]
struct Wire {
    version: u32,
    at: String,
    #[serde(flatten)]
    kind: EventKind,
}

impl From<Event> for Wire {
    fn from(event: Event) -> Wire {
        Wire { version: VERSION, at: rfc3339::format(event.at), kind: event.kind }
    }
}

impl TryFrom<Wire> for Event {
    type Error = String;
    fn try_from(wire: Wire) -> Result<Event, String> {
        if wire.version == 0 || wire.version > VERSION {
            return Err(format!("events of version {} are not known here", wire.version));
        }
        let at = rfc3339::parse(&wire.at).ok_or_else(|| "`at` is not a time of RFC 3339 since 1970".to_owned())?;
        Ok(Event { at, kind: wire.kind })
    }
}

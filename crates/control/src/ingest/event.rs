//! Predictions, requests and feature retrievals from elsewhere.

use std::time::Duration;

use mainstay_core::route::{Class, Level};
use mainstay_core::time::Time;
use mainstay_store::item::{Item, Kind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Checks, Incoming, Meaning, content};

/// Longest duration and age: a year.
const MICROS_MAX: u64 = 366 * 24 * 3600 * 1_000_000;

/// One line of `POST /api/v1/events`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Reported {
    /// A request that a service answered, or did not answer.
    Request(ReportedRequest),
    /// A prediction that a service made: an answered request, told by its model.
    Prediction(ReportedPrediction),
    /// Features that were looked up for a request.
    Features(ReportedFeatures),
}

/// A request that a service answered, or did not answer.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReportedRequest {
    /// The request's id, unique for the client.
    id: String,
    /// Who asked; labels join on it and on the id.
    #[serde(default)]
    client: String,
    /// When it ended, in RFC 3339; absent: at this moment.
    #[serde(default, skip_serializing)]
    at: Option<String>,
    /// A route of the config; absent: only objectives of all routes count it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    /// Its class, 0 to 3; absent: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class: Option<u8>,
    /// The level that answered, 0 to 4; absent: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    level: Option<u8>,
    /// The HTTP status, 100 to 599; 499: the caller went away.
    code: u16,
    /// How long it took, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    duration_us: Option<u64>,
    /// How long its model took, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inference_us: Option<u64>,
    /// The answer's confidence, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    confidence: Option<f64>,
    /// The model that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model_version: Option<String>,
    /// Whether it was a probe: then no objective counts it.
    #[serde(default)]
    synthetic: bool,
}

/// A prediction that a service made.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReportedPrediction {
    /// The request's id, unique for the client.
    id: String,
    /// Who asked; labels join on it and on the id.
    #[serde(default)]
    client: String,
    /// When it was made, in RFC 3339; absent: at this moment.
    #[serde(default, skip_serializing)]
    at: Option<String>,
    /// A route of the config; absent: only objectives of all routes count it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    /// The model.
    model: String,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model_version: Option<String>,
    /// What was predicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prediction: Option<serde_json::Value>,
    /// The prediction's confidence, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    confidence: Option<f64>,
    /// How long the model took, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inference_us: Option<u64>,
}

/// Features that were looked up for a request.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReportedFeatures {
    /// The request's id, unique for the client and view.
    id: String,
    /// Who asked.
    #[serde(default)]
    client: String,
    /// When they were looked up, in RFC 3339; absent: at this moment.
    #[serde(default, skip_serializing)]
    at: Option<String>,
    /// A route of the config; absent: only objectives of all routes count it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    /// The feature view.
    view: String,
    /// How old the oldest value was, in microseconds.
    age_us: u64,
}

/// What an event means to the engine.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Observation {
    pub(crate) at: Time,
    pub(crate) route: Option<String>,
    pub(crate) class: Class,
    pub(crate) model: Option<String>,
    pub(crate) what: Observed,
}

/// What was observed.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Observed {
    /// A request ended.
    Request {
        level: Level,
        code: u16,
        duration: Option<Duration>,
        inference: Option<Duration>,
        confidence: Option<f64>,
    },
    /// A model answered.
    Prediction { confidence: Option<f64>, inference: Option<Duration> },
    /// Features were looked up.
    Features { view: String, age: Duration },
    /// Nothing that an objective counts.
    Probe,
}

impl Incoming for Reported {
    fn check(self, checks: &mut Checks<'_>) -> Option<(Item, Meaning)> {
        let body = content(&self);
        match self {
            Reported::Request(request) => request.check(body, checks),
            Reported::Prediction(prediction) => prediction.check(body, checks),
            Reported::Features(features) => features.check(body, checks),
        }
    }
}

impl ReportedRequest {
    fn check(self, body: String, checks: &mut Checks<'_>) -> Option<(Item, Meaning)> {
        let at = checks.time(self.at.as_deref());
        let mut fine = checks.word("id", &self.id);
        fine &= checks.route(self.route.as_deref());
        fine &= checks.ratio("confidence", self.confidence);
        fine &= checks.word_maybe("model", self.model.as_deref());
        fine &= checks.word_maybe("model_version", self.model_version.as_deref());
        fine &= checks.at_most("duration_us", self.duration_us, MICROS_MAX);
        fine &= checks.at_most("inference_us", self.inference_us, MICROS_MAX);
        let class = Class::try_from(self.class.unwrap_or(3)).map_err(|why| checks.fault(Some("class"), why)).ok();
        let level = Level::try_from(self.level.unwrap_or(0)).map_err(|why| checks.fault(Some("level"), why)).ok();
        if !(100..=599).contains(&self.code) {
            checks.fault(Some("code"), "this must be an HTTP status from 100 to 599");
            return None;
        }
        let (at, class, level) = (at?, class?, level?);
        let observed = Observed::Request {
            level,
            code: self.code,
            duration: self.duration_us.map(Duration::from_micros),
            inference: self.inference_us.map(Duration::from_micros),
            confidence: self.confidence,
        };
        let what = if self.synthetic { Observed::Probe } else { observed };
        let item = item(Kind::Request, self.client, self.id, at, body);
        fine.then_some((item, Meaning::Observed(Observation { at, route: self.route, class, model: self.model, what })))
    }
}

impl ReportedPrediction {
    fn check(self, body: String, checks: &mut Checks<'_>) -> Option<(Item, Meaning)> {
        let at = checks.time(self.at.as_deref());
        let mut fine = checks.word("id", &self.id);
        fine &= checks.route(self.route.as_deref());
        fine &= checks.word("model", &self.model);
        fine &= checks.word_maybe("model_version", self.model_version.as_deref());
        fine &= checks.ratio("confidence", self.confidence);
        fine &= checks.at_most("inference_us", self.inference_us, MICROS_MAX);
        let at = at?;
        let inference = self.inference_us.map(Duration::from_micros);
        let what = Observed::Prediction { confidence: self.confidence, inference };
        let item = item(Kind::Prediction, self.client, self.id, at, body);
        let model = Some(self.model);
        fine.then_some((
            item,
            Meaning::Observed(Observation { at, route: self.route, class: Class::WORST, model, what }),
        ))
    }
}

impl ReportedFeatures {
    fn check(self, body: String, checks: &mut Checks<'_>) -> Option<(Item, Meaning)> {
        let at = checks.time(self.at.as_deref());
        let mut fine = checks.word("id", &self.id);
        fine &= checks.route(self.route.as_deref());
        fine &= checks.word("view", &self.view);
        fine &= checks.at_most("age_us", Some(self.age_us), MICROS_MAX);
        let at = at?;
        // A request may look up several views.
        let id = format!("{}/{}", self.id, self.view);
        let what = Observed::Features { view: self.view, age: Duration::from_micros(self.age_us) };
        let item = item(Kind::Features, self.client, id, at, body);
        fine.then_some((
            item,
            Meaning::Observed(Observation { at, route: self.route, class: Class::WORST, model: None, what }),
        ))
    }
}

fn item(kind: Kind, client: String, id: String, at: Time, body: String) -> Item {
    Item { kind, client, id, about: None, at, body, deltas: Vec::new() }
}

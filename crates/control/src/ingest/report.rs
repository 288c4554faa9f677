//! Labels, flags and signals: what turned out later.

use mainstay_core::safety;
use mainstay_store::item::{Item, Kind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Checks, Incoming, Meaning, content};

/// What a label may stand for.
const WEIGHT_MIN: f64 = 1e-6;
const WEIGHT_MAX: f64 = 1e6;

/// One line of `POST /api/v1/labels`: what turned out to be true of a prediction.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "the names are the API's")]
pub(crate) struct Label {
    /// The request that it is about.
    request_id: String,
    /// That request's client.
    #[serde(default)]
    client: String,
    /// The label's own id, unique for the client; absent: the request's. A correction has another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// What is true: a number, a word, a flag.
    label: serde_json::Value,
    /// When it became known, in RFC 3339; absent: at this moment.
    #[serde(default, skip_serializing)]
    at: Option<String>,
    /// How many predictions it stands for where only a sample is labelled; absent: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight: Option<f64>,
}

/// One line of `POST /api/v1/flags`: a safety verdict.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Flag {
    /// The request that it is about.
    request_id: String,
    /// That request's client.
    #[serde(default)]
    client: String,
    /// The flag's own id, unique for the client; absent: the request's and the verdict's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// What was found. Only confirmed harm counts.
    verdict: Verdict,
    /// What kind of harm it is, for instance `toxicity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    /// When the answer was given, in RFC 3339; absent: at this moment. The event counts at this time.
    #[serde(default, skip_serializing)]
    at: Option<String>,
    /// The route of the request; absent: only objectives of all routes count it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    /// The model that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    /// Who or what judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    /// The run of the experiment that touched the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    experiment: Option<String>,
}

/// What was found about an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// It did harm.
    Confirmed,
    /// A judge says so, nobody has confirmed it.
    Suspected,
    /// It did no harm after all.
    Cleared,
}

/// One line of `POST /api/v1/signals`: what users did.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signal {
    /// The signal's id, unique for the client.
    id: String,
    /// Who sends it.
    #[serde(default)]
    client: String,
    /// What is measured, for instance `click_through`.
    name: String,
    /// How much.
    value: f64,
    /// When, in RFC 3339; absent: at this moment.
    #[serde(default, skip_serializing)]
    at: Option<String>,
    /// The arm of an experiment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arm: Option<String>,
    /// The segment of users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    segment: Option<String>,
    /// The request that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

impl Incoming for Label {
    fn check(self, checks: &mut Checks<'_>) -> Option<(Item, Meaning)> {
        let body = content(&self);
        let at = checks.time(self.at.as_deref());
        let mut fine = checks.word("request_id", &self.request_id) && checks.word_maybe("id", self.id.as_deref());
        if self.label.is_null() || self.label.is_array() || self.label.is_object() {
            checks.fault(Some("label"), "this must be a number, a word, true or false");
            fine = false;
        }
        if self.weight.is_some_and(|weight| !(WEIGHT_MIN..=WEIGHT_MAX).contains(&weight)) {
            checks.fault(Some("weight"), "this lies between 0.000001 and 1000000");
            fine = false;
        }
        let id = self.id.unwrap_or_else(|| self.request_id.clone());
        let about = Some(self.request_id);
        let item = Item { kind: Kind::Label, client: self.client, id, about, at: at?, body, deltas: Vec::new() };
        fine.then_some((item, Meaning::Nothing))
    }
}

impl Incoming for Flag {
    fn check(self, checks: &mut Checks<'_>) -> Option<(Item, Meaning)> {
        let body = content(&self);
        let at = checks.time(self.at.as_deref());
        let mut fine = checks.word("request_id", &self.request_id) && checks.word_maybe("id", self.id.as_deref());
        fine &= checks.word_maybe("kind", self.kind.as_deref()) && checks.word_maybe("by", self.by.as_deref());
        fine &= checks.route(self.route.as_deref()) && checks.word_maybe("experiment", self.experiment.as_deref());
        let at = at?;
        let word = match self.verdict {
            Verdict::Confirmed => "confirmed",
            Verdict::Suspected => "suspected",
            Verdict::Cleared => "cleared",
        };
        let id = self.id.unwrap_or_else(|| format!("{}/{word}", self.request_id));
        let about = Some(self.request_id.clone());
        let item = Item { kind: Kind::Flag, client: self.client, id, about, at, body, deltas: Vec::new() };
        let meaning = match self.verdict {
            Verdict::Confirmed => Meaning::Harm { request: self.request_id, at, route: self.route, model: self.model },
            Verdict::Suspected | Verdict::Cleared => Meaning::Nothing,
        };
        fine.then_some((item, meaning))
    }
}

/// A flag of our own checks, as if it had been reported. All checks of an answer together flag it once.
pub(crate) fn flagged(flag: &safety::Flag) -> (Item, Meaning) {
    let verdict = if flag.confirmed { Verdict::Confirmed } else { Verdict::Suspected };
    let id = format!("{}/checks", flag.request_id);
    let wire = Flag {
        request_id: flag.request_id.clone(),
        client: flag.client.clone(),
        id: Some(id.clone()),
        verdict,
        kind: flag.kind.clone(),
        at: None,
        route: Some(flag.route.clone()),
        model: flag.model.clone(),
        by: Some(flag.by.clone()),
        experiment: flag.experiment.clone(),
    };
    let (body, about) = (content(&wire), Some(wire.request_id));
    let item = Item { kind: Kind::Flag, client: wire.client, id, about, at: flag.at, body, deltas: Vec::new() };
    let meaning = match verdict {
        Verdict::Confirmed => {
            Meaning::Harm { request: flag.request_id.clone(), at: flag.at, route: wire.route, model: wire.model }
        }
        Verdict::Suspected | Verdict::Cleared => Meaning::Nothing,
    };
    (item, meaning)
}

impl Incoming for Signal {
    fn check(self, checks: &mut Checks<'_>) -> Option<(Item, Meaning)> {
        let body = content(&self);
        let at = checks.time(self.at.as_deref());
        let mut fine = checks.word("id", &self.id) && checks.word("name", &self.name);
        fine &= checks.word_maybe("arm", self.arm.as_deref()) && checks.word_maybe("segment", self.segment.as_deref());
        fine &= checks.word_maybe("request_id", self.request_id.as_deref());
        let (client, about) = (self.client, self.request_id);
        let item = Item { kind: Kind::Signal, client, id: self.id, about, at: at?, body, deltas: Vec::new() };
        fine.then_some((item, Meaning::Nothing))
    }
}

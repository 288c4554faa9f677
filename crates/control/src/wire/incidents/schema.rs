//! What an incident looks like in JSON, for `openapi.json`: the shapes of the core's records, which write themselves.

#![expect(dead_code, reason = "nothing is made of these but schemas, and the test that they are right")]
#![expect(clippy::struct_field_names, reason = "the names are those of the JSON")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// An incident.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Incident {
    /// `AI-YYYYMMDD-NNNN`.
    id: String,
    /// Its type.
    #[serde(rename = "type")]
    kind: String,
    /// Whether a person chose the type.
    #[serde(default)]
    kind_chosen: bool,
    /// What it is, in a line; as it came.
    title: String,
    /// `sev1` to `sev4`.
    severity: String,
    /// How bad its facts were at their worst, whatever a person says.
    judged: Option<String>,
    /// `detected`, `investigating`, `mitigating`, `resolved`, `post_mortem`, `cancelled` or `merged`.
    status: String,
    /// When what is wrong began.
    onset: String,
    /// When it was found.
    detected: String,
    /// When somebody took it, first.
    acknowledged: Option<String>,
    /// Who took it, last.
    acknowledged_by: Option<String>,
    /// When its effect began to be ended.
    mitigated: Option<String>,
    /// When it ended.
    resolved: Option<String>,
    /// When it was closed, cancelled or merged.
    closed: Option<String>,
    /// The incident that it became a part of.
    merged_into: Option<String>,
    /// How often it was opened again.
    reopened: u32,
    /// Routes that it touches.
    routes: Vec<String>,
    /// What it is about besides.
    places: Vec<String>,
    /// What is wrong.
    facts: Vec<Fact>,
    /// Facts that are not listed.
    more_facts: u64,
    /// Since when nothing is wrong any more.
    quiet_since: Option<String>,
    /// Since when it seems to be resolved.
    proposed: Option<String>,
    /// Types by evidence, the best first.
    ranking: Vec<Ranked>,
    /// What happened, in order.
    timeline: Vec<Entry>,
    /// Entries that had no room.
    timeline_dropped: u64,
    /// Who is being told.
    escalation: Option<Escalation>,
    /// Grows with what makes older pages void.
    epoch: u32,
    /// Channels that were told of it.
    told: Vec<Told>,
    /// Notices made so far.
    notices: u32,
    /// What was done.
    actions: Vec<Action>,
    /// What people say of it afterwards.
    review: Findings,
}

/// A fact.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fact {
    key: String,
    fact: String,
    labels: BTreeMap<String, String>,
    text: String,
    since: String,
    until: Option<String>,
    times: u64,
}

/// What speaks for a type.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ranked {
    #[serde(rename = "type")]
    kind: String,
    title: String,
    /// The natural logarithm of its odds.
    score: f64,
    probability: f64,
    fired: Vec<Signal>,
    silent: Vec<Signal>,
}

/// A signal, and what it adds to a score.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signal {
    name: String,
    text: String,
    weight: f64,
    #[serde(default)]
    evidence: Vec<String>,
}

/// An entry of a timeline.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    at: String,
    actor: String,
    source: String,
    what: String,
    text: String,
    evidence: Option<Value>,
}

/// Who is being told.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Escalation {
    policy: Policy,
    step: usize,
    round: u32,
    severity: Option<String>,
    next: Option<String>,
}

/// An escalation policy.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    name: String,
    steps: Vec<Step>,
    repeat: u32,
}

/// A step of it: one of `schedule`, `person` and `channel` each.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    after_s: u64,
    tell: Vec<BTreeMap<String, String>>,
}

/// A channel that was told.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    channel: String,
    person: Option<String>,
}

/// Something that was done.
#[derive(JsonSchema, Deserialize)]
struct Action {
    id: u32,
    /// `pin_level`, `cached_features`, `previous_model`, `raise_sampling`, `block_pattern` or `stop_experiment`.
    action: String,
    route: Option<String>,
    level: Option<u8>,
    model: Option<String>,
    pattern: Option<String>,
    run: Option<String>,
    /// `pending`, `active`, `undoing`, `undone`, `expired` or `failed`.
    state: String,
    by: String,
    at: String,
    taken: Option<String>,
    until: Option<String>,
    ended: Option<String>,
    undo: Option<Value>,
    error: Option<String>,
}

/// What people say of it.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Findings {
    root_cause: String,
    contributing: Vec<String>,
    went_well: Vec<String>,
    could_improve: Vec<String>,
    lucky: Vec<String>,
    detection: Vec<String>,
    prevention: Vec<String>,
    items: Vec<Item>,
}

/// Something to be done.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Item {
    /// Its number within the incident; 0 or absent: a new one.
    #[serde(default)]
    id: u32,
    /// What.
    text: String,
    /// Who does it.
    owner: String,
    /// Until when, as `YYYY-MM-DD`.
    due: Option<String>,
    /// `prevent`, `mitigate` or `detect`.
    #[serde(default)]
    purpose: String,
    /// `open`, `done` or `dropped`.
    #[serde(default)]
    state: String,
}

/// A notice on its way, or at its end.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Notice {
    id: String,
    channel: String,
    /// What is said.
    notice: Value,
    /// `pending`, `delivered`, `dead` or `cancelled`.
    state: String,
    attempts: u32,
    made: String,
    next: String,
    deadline: String,
    ended: Option<String>,
    provider: Option<String>,
    error: Option<String>,
    instead_of: Option<String>,
    #[serde(default)]
    others: Vec<String>,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mainstay_core::event::{Event, EventKind, SloAlert};
    use mainstay_core::incident::record::Act;
    use mainstay_core::plan::{Channel, ChannelBy, Incidents};
    use mainstay_core::response::desk::{Asked, Desk, Terms};
    use mainstay_core::response::reach::{Promise, Reach};
    use mainstay_core::time::Time;

    #[test]
    fn what_is_written_is_what_is_documented() {
        let channel = Channel {
            name: "a".to_owned(),
            by: ChannelBy::Alertmanager { url: String::new() },
            fallback: None,
            deadline: Duration::from_mins(1),
            private_redirects: false,
        };
        let incidents = Incidents { notify: vec!["a".to_owned()], channels: vec![channel], ..Incidents::default() };
        let mut reach = Reach::default();
        reach.routes.insert("score".to_owned());
        let category = "latency".to_owned();
        let promise =
            Promise { category: category.clone(), kind: category, route: Some("score".to_owned()), model: None };
        reach.objectives.insert("latency".to_owned(), promise);
        let mut desk =
            Desk::new(Terms { service: "s".to_owned(), environment: "demo".to_owned(), incidents, reach }, 1);
        let alert = SloAlert {
            slo: "latency".to_owned(),
            severity: "page".into(),
            why: "burn".into(),
            long_s: None,
            short_s: None,
            factor: None,
            burn: Some(3.0),
        };
        let now = Time::from_secs(1_772_445_600);
        desk.handle_event(&Event { at: now, kind: EventKind::SloAlertFired(alert) }, now);
        let id = desk.incidents().keys().next().unwrap().clone();
        let act = Act::PinLevel { route: "score".to_owned(), level: 2 };
        desk.handle_asked(&id, Asked::Act { act, lasting: None }, "ada", now).unwrap();
        desk.handle_done(&id, 1, Ok(Some(serde_json::json!({ "x": 1 }))), now);
        let incident = serde_json::to_value(&desk.incidents()[&id]).unwrap();
        serde_json::from_value::<super::Incident>(incident).unwrap();
        assert!(!desk.deliveries().is_empty());
        for delivery in desk.deliveries().values() {
            serde_json::from_value::<super::Notice>(serde_json::to_value(delivery).unwrap()).unwrap();
        }
    }
}

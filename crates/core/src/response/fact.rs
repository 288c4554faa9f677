//! What is wrong, read from what happened.
//!
//! Most facts last: they begin with one event and end with another. A few are moments, such as a change of model; they say what
//! else was going on.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::event::{Event, EventKind, QualityChange, SloAlert, Word};

use super::reach::Reach;
use crate::slo::window::written;

/// Kinds of facts, and the labels that each carries.
pub const KINDS: [(&str, &[&str]); 15] = [
    ("slo_burn", &["slo", "category", "promise", "severity", "why", "route", "model"]),
    ("budget", &["slo", "category", "promise", "status", "route", "model"]),
    ("harm", &["slo", "category", "promise", "severity", "why", "route", "model"]),
    ("drift", &["name", "route", "status", "method"]),
    ("drift_alarm", &["name", "route", "detector"]),
    ("quality", &["route", "metric", "status"]),
    ("breaker_open", &["of", "backend", "features", "reason"]),
    ("unhealthy", &["of", "backend", "features"]),
    ("ejected", &["backend", "endpoint"]),
    ("degraded", &["route", "level", "reason"]),
    ("run_failed", &["model", "run", "state", "reason"]),
    ("promotion_failed", &["model", "version", "outcome"]),
    ("signal", &["name", "status"]),
    ("not_recovered", &["run", "experiment", "route"]),
    ("change", &["what", "model", "version", "run", "experiment", "route", "fault"]),
];

/// The kind of what other systems report; it carries their labels.
pub const ALERT: &str = "alert";

/// The kind of facts that say what else was going on, and are never wrong by themselves.
pub const CHANGE: &str = "change";
/// The label `what` of a change that lasts as long as the fault of an experiment is in force.
const EXPERIMENT: &str = "experiment";

/// Whether a fact says that an experiment's fault is in force: that goes with whatever is wrong meanwhile, whichever type it is.
pub fn is_experiment(kind: &str, labels: &BTreeMap<String, String>) -> bool {
    kind == CHANGE && labels.get("what").is_some_and(|what| what == EXPERIMENT)
}

/// Whether facts of this kind exist.
pub fn is_known(kind: &str) -> bool {
    kind == ALERT || KINDS.iter().any(|(known, _)| *known == kind)
}

/// Something that is wrong, or that may have to do with it.
#[derive(Clone, PartialEq, Debug)]
pub struct Fact {
    /// What tells it from others.
    pub key: String,
    /// Its kind, one of [`KINDS`] or [`ALERT`].
    pub kind: Word,
    /// What it is about.
    pub labels: BTreeMap<String, String>,
    /// A line for people.
    pub text: String,
    /// Where it belongs if it names no part of this service.
    pub group: Option<String>,
}

/// What becomes of facts.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    /// One began, or is another now.
    Began(Fact),
    /// The one with this key ended.
    Ended(String),
    /// One happened, and is over.
    Happened(Fact),
    /// Those of [`SEEN_BY_PROCESS`] are not known to last: whoever saw them is gone.
    Forgotten,
}

/// Kinds of facts that a process sees anew after its start, if they last.
pub const SEEN_BY_PROCESS: [&str; 7] =
    ["slo_burn", "harm", "breaker_open", "unhealthy", "ejected", "degraded", "quality"];

impl Fact {
    fn new(key: String, kind: &'static str, text: String) -> Fact {
        Fact { key, kind: Word::Borrowed(kind), labels: BTreeMap::new(), text, group: None }
    }

    fn with(mut self, name: &str, value: impl Into<String>) -> Fact {
        self.labels.insert(name.to_owned(), value.into());
        self
    }

    fn with_maybe(self, name: &str, value: Option<impl Into<String>>) -> Fact {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}

/// What an event says about facts.
pub fn read(event: &Event, reach: &Reach) -> Vec<Change> {
    match &event.kind {
        EventKind::SloAlertFired(alert) => vec![Change::Began(burn(alert, reach))],
        EventKind::SloAlertResolved(alert) => vec![Change::Ended(burn_key(alert))],
        EventKind::SloStatusChanged { slo, to, remaining, .. } => {
            let key = format!("budget/{slo}");
            if !matches!(&**to, "critical" | "exhausted") {
                return vec![Change::Ended(key)];
            }
            let text = format!("the budget of {slo} is {to}: {:.0} % of it is left", remaining.max(0.0) * 100.0);
            vec![Change::Began(promised(Fact::new(key, "budget", text), slo, reach).with("status", &**to))]
        }
        EventKind::DriftStatusChanged(it) => {
            let key = format!("drift/{}", it.name);
            if !matches!(&*it.to, "drift_detected" | "alert") {
                return vec![Change::Ended(key)];
            }
            let by = it.method.as_deref().map(|method| format!(" by {method}")).unwrap_or_default();
            let value = it.value.map(|value| format!(" ({value:.3})")).unwrap_or_default();
            let fact = Fact::new(key, "drift", format!("{} drifted{by}{value}", it.name)).with("name", &it.name);
            let fact = fact.with("status", &*it.to).with_maybe("method", it.method.as_deref());
            vec![Change::Began(fact.with_maybe("route", it.route.as_ref()))]
        }
        EventKind::DriftAlarmRaised { name, route, detector, .. } => {
            let text = format!("an alarm on {name} went off ({detector})");
            let fact = Fact::new(format!("drift_alarm/{name}/{detector}"), "drift_alarm", text);
            let fact = fact.with("name", name).with("detector", &**detector).with_maybe("route", route.as_ref());
            vec![Change::Happened(fact)]
        }
        EventKind::QualityStatusChanged(it) => vec![quality(it)],
        EventKind::SignalChanged { name, to, value, .. } => {
            let key = format!("signal/{name}");
            if &**to != "beyond" {
                return vec![Change::Ended(key)];
            }
            let fact = Fact::new(key, "signal", format!("{name} is beyond its bound ({value:.3})"));
            vec![Change::Began(fact.with("name", name).with("status", "beyond"))]
        }
        EventKind::Starting {} => vec![Change::Forgotten],
        _ => component(event, reach).or_else(|| model(event)).or_else(|| experiment(event)).unwrap_or_default(),
    }
}

fn quality(it: &QualityChange) -> Change {
    let key = format!("quality/{}/{}", it.route, it.metric);
    if !matches!(&*it.to, "potential_issue" | "likely_violated" | "warning" | "critical" | "exhausted" | "violated") {
        return Change::Ended(key);
    }
    let value = it.value.map(|value| format!(" ({value:.3})")).unwrap_or_default();
    let text = format!("{} of {} is {}{value}", it.metric, it.route, it.to.replace('_', " "));
    let fact = Fact::new(key, "quality", text).with("route", &it.route).with("metric", &it.metric);
    Change::Began(fact.with("status", &*it.to))
}

/// What backends, feature stores and routes do.
fn component(event: &Event, reach: &Reach) -> Option<Vec<Change>> {
    Some(match &event.kind {
        EventKind::BreakerChanged { backend, to, reason, .. } => {
            let key = format!("breaker/{backend}");
            match &**to {
                "open" | "forced_open" => {
                    let fact = Fact::new(key, "breaker_open", format!("the breaker of {backend} is open ({reason})"));
                    vec![Change::Began(part(fact, backend, reach).with("reason", &**reason))]
                }
                "half_open" => Vec::new(),
                _ => vec![Change::Ended(key)],
            }
        }
        EventKind::GroupChanged { group, members, to, reason, .. } => {
            let key = |member: &str| format!("group/{group}/{member}");
            let began = |member: &String| {
                let text = format!("{member} is left alone with its group {group} ({reason})");
                let fact = part(Fact::new(key(member), "breaker_open", text), member, reach);
                Change::Began(fact.with("reason", &**reason))
            };
            match &**to {
                "open" => members.iter().map(began).collect(),
                "half_open" => Vec::new(),
                _ => members.iter().map(|member| Change::Ended(key(member))).collect(),
            }
        }
        EventKind::HealthChanged { component, healthy, .. } => {
            let key = format!("health/{component}");
            if *healthy {
                return Some(vec![Change::Ended(key)]);
            }
            let fact = Fact::new(key, "unhealthy", format!("{component} does not pass its health check"));
            vec![Change::Began(part(fact, component, reach))]
        }
        EventKind::EndpointEjected { backend, endpoint } => {
            let fact = Fact::new(
                format!("ejected/{backend}/{endpoint}"),
                "ejected",
                format!("{endpoint} of {backend} is left out"),
            );
            vec![Change::Began(fact.with("backend", backend).with("endpoint", endpoint))]
        }
        EventKind::EndpointReturned { backend, endpoint } => {
            vec![Change::Ended(format!("ejected/{backend}/{endpoint}"))]
        }
        EventKind::LevelChanged { route, to, reason, .. } => return Some(degraded(route, to.number(), reason)),
        EventKind::ConfigReloaded {} => {
            let fact = Fact::new("change/config".to_owned(), CHANGE, "another config is in force".to_owned());
            vec![Change::Happened(fact.with("what", "config"))]
        }
        _ => return None,
    })
}

/// Why a route is at a deeper level; each is a fact of its own, since each has another cause.
const DEGRADED_FOR: [&str; 2] = ["backend_unhealthy", "features_unhealthy"];

/// What another level says. What somebody asked for is not what is wrong, and on its way back a route is still degraded for what it was.
fn degraded(route: &str, to: u8, reason: &str) -> Vec<Change> {
    let key = |reason: &str| format!("degraded/{route}/{reason}");
    let ends = to == 0 || reason == "pinned";
    if !ends && !DEGRADED_FOR.contains(&reason) {
        return Vec::new();
    }
    let over = DEGRADED_FOR.iter().filter(|it| ends || **it != reason);
    let mut changes: Vec<Change> = over.map(|it| Change::Ended(key(it))).collect();
    if !ends {
        let text = format!("{route} answers at level {to} ({})", reason.replace('_', " "));
        let fact = Fact::new(key(reason), "degraded", text).with("route", route).with("level", to.to_string());
        changes.push(Change::Began(fact.with("reason", reason)));
    }
    changes
}

/// What becomes of models.
fn model(event: &Event) -> Option<Vec<Change>> {
    Some(match &event.kind {
        EventKind::TrainingFailed(run) => {
            let text = format!("training of {} ended as {}: {}", run.name, run.state, run.reason);
            let fact = Fact::new(format!("run/{}", run.name), "run_failed", text).with("model", &run.name);
            let fact = fact.with("run", &run.run).with("state", &*run.state).with("reason", &*run.reason);
            vec![Change::Began(fact)]
        }
        EventKind::TrainingFinished(run) => vec![Change::Ended(format!("run/{}", run.name))],
        EventKind::ModelPromotionFailed { model, model_version, outcome, reason } => {
            let text = format!("version {model_version} of {model} could not become champion: {reason}");
            let fact = Fact::new(format!("promotion/{model}"), "promotion_failed", text).with("model", model);
            vec![Change::Began(fact.with("version", model_version).with("outcome", &**outcome))]
        }
        EventKind::ModelPromoted(it) => {
            let what = if it.rollback { "rollback" } else { "promoted" };
            let text = format!("version {} of {} became champion", it.model_version, it.model);
            let key = format!("change/{}/{}", it.model, it.model_version);
            let fact = Fact::new(key, CHANGE, text).with("what", what).with("model", &it.model);
            let fact = fact.with("version", &it.model_version);
            vec![Change::Ended(format!("promotion/{}", it.model)), Change::Happened(fact)]
        }
        _ => return None,
    })
}

/// What experiments do, and leave behind.
fn experiment(event: &Event) -> Option<Vec<Change>> {
    let key = |run: &str| format!("change/experiment/{run}");
    // Whoever begins the next one has seen that all is well.
    let unwell = |route: &str| format!("not_recovered/{route}");
    Some(match &event.kind {
        EventKind::ExperimentChanged(it) if it.phase == "injecting" => {
            let text = format!("an experiment began: {} ({}), {} on {}", it.experiment, it.run, it.fault, it.route);
            let fact = Fact::new(key(&it.run), CHANGE, text).with("what", EXPERIMENT).with("run", &it.run);
            let fact = fact.with("experiment", &it.experiment).with("route", &it.route).with("fault", &it.fault);
            vec![Change::Began(fact)]
        }
        EventKind::ExperimentChanged(it) if it.phase == "lead_in" => vec![Change::Ended(unwell(&it.route))],
        EventKind::ExperimentChanged(it) => vec![Change::Ended(key(&it.run))],
        EventKind::ExperimentEnded { run, experiment, route, verdict, reason } => {
            let mut changes = vec![Change::Ended(key(run))];
            if verdict == "not_recovered" {
                let text = format!("{route} was not well again after the experiment {experiment} ({run}): {reason}");
                let fact = Fact::new(unwell(route), "not_recovered", text).with("run", run);
                changes.push(Change::Began(fact.with("experiment", experiment).with("route", route)));
            }
            changes
        }
        _ => return None,
    })
}

fn burn_key(alert: &SloAlert) -> String {
    let long = alert.long_s.unwrap_or_default();
    format!("slo_burn/{}/{}/{}/{long}", alert.slo, alert.severity, alert.why)
}

fn burn(alert: &SloAlert, reach: &Reach) -> Fact {
    // Promises that tolerate nothing are broken in the same way; harm is what answers do.
    let category = reach.objectives.get(&alert.slo).map_or("safety", |promise| promise.category.as_str());
    let harm = alert.why == "harm" && category == "safety";
    let text = match (&*alert.why, alert.burn) {
        ("harm", _) if !harm => format!("{} is broken", alert.slo),
        ("harm", _) => format!("{}: something happened that is not tolerated", alert.slo),
        ("rate", _) => format!("{}: bad events come too often", alert.slo),
        // Its burn is that of the whole window, which says nothing about now.
        ("trickle", _) => format!("{} loses budget faster than it may, by what came of late", alert.slo),
        (_, Some(burn)) => {
            let over =
                alert.long_s.map(|secs| format!(" over {}", written(Duration::from_secs(secs)))).unwrap_or_default();
            format!("{} burns its budget {burn:.1} times as fast as it may{over}", alert.slo)
        }
        (_, None) => format!("{} burns its budget too fast", alert.slo),
    };
    let fact = Fact::new(burn_key(alert), if harm { "harm" } else { "slo_burn" }, text);
    promised(fact, &alert.slo, reach).with("severity", &*alert.severity).with("why", &*alert.why)
}

/// The same with what is known of an objective.
fn promised(fact: Fact, slo: &str, reach: &Reach) -> Fact {
    let fact = fact.with("slo", slo);
    let Some(promise) = reach.objectives.get(slo) else { return fact };
    let fact = fact.with("category", &promise.category).with("promise", &promise.kind);
    fact.with_maybe("route", promise.route.as_ref()).with_maybe("model", promise.model.as_ref())
}

/// The same about a backend or a feature set.
fn part(fact: Fact, name: &str, reach: &Reach) -> Fact {
    let of = if reach.is_features(name) { "features" } else { "backend" };
    fact.with("of", of).with(of, name)
}

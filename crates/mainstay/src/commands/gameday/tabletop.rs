//! `mainstay gameday tabletop`: the guide by which a scenario is talked through, and what was said.

use std::collections::BTreeMap;

use anyhow::{Context as _, anyhow};
use hyper::Method;
use mainstay_control::gamedays::{Guide, Person, Runbook};
use mainstay_core::experiments::catalogue;
use mainstay_core::incident::escalation::Target;
use mainstay_core::plan::{AnswerBy, Entry, Plan, Route};
use mainstay_core::response::signature::Catalogue;
use mainstay_core::time::Time;
use serde_json::{Value, json};

use super::{PATH, id_of, one, scenario, write};
use crate::cli::{GamedayTabletop, Global};
use crate::client;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::source;
use crate::words::{array, span, word};

/// Types of incidents that a fault usually opens, where its experiment does not say.
const LIKELY: [(&str, &[&str]); 12] = [
    ("model_error", &["serving_latency"]),
    ("model_latency", &["serving_latency"]),
    ("feature_latency", &["feature_pipeline"]),
    ("feature_error", &["feature_pipeline"]),
    ("stale_features", &["feature_pipeline"]),
    ("data_quality", &["data_quality", "drift_detected"]),
    ("wrong_version", &["model_degradation"]),
    ("slow_first_token", &["serving_latency"]),
    ("stalled_stream", &["serving_latency"]),
    ("truncated_stream", &["serving_latency"]),
    ("malformed_answer", &["serving_latency"]),
    ("overload", &["serving_latency"]),
];

pub(super) fn run(global: &Global, options: &GamedayTabletop) -> Result<Exit, Stop> {
    let scenario = scenario(&options.file)?;
    if !options.answers.is_empty() || options.answers_file.is_some() {
        let answers = said(options)?;
        let id = match &options.id {
            Some(id) => id.clone(),
            None => {
                let body = json!({ "scenario": scenario, "mode": "tabletop" });
                id_of(&client::call(global, Method::POST, PATH, Some(&body))?)?.to_owned()
            }
        };
        let body = json!({ "answers": answers });
        let record = client::call(global, Method::POST, &format!("{}/answers", one(&id)), Some(&body))?;
        match global.format {
            Format::Json => output::json(&record)?,
            Format::Human => output::data(id)?,
        }
        return Ok(Exit::Fine);
    }
    let text = guide(global, &source::plan(&global.config)?)?.markdown(&scenario);
    write(options.out.as_deref(), &text)?;
    Ok(Exit::Fine)
}

/// Answers as the service takes them.
fn said(options: &GamedayTabletop) -> Result<Vec<Value>, Stop> {
    let mut all = Vec::new();
    for answer in &options.answers {
        let (step, text) =
            answer.split_once('=').ok_or_else(|| Stop::usage(anyhow!("--answer {answer} must look like STEP=TEXT")))?;
        all.push(client::without_nulls(json!({ "step": (step != "day").then_some(step), "text": text })));
    }
    if let Some(file) = &options.answers_file {
        let text = std::fs::read_to_string(file);
        let text = text.with_context(|| format!("cannot read {}", file.display())).map_err(Stop::usage)?;
        let read: Vec<Value> = serde_json::from_str(&text)
            .with_context(|| format!("{} is no JSON list of {{step, question, text, by}}", file.display()))
            .map_err(Stop::usage)?;
        all.extend(read);
    }
    Ok(all)
}

fn guide(global: &Global, plan: &Plan) -> Result<Guide, Stop> {
    let (on_call, source) = on_call(global, plan)?;
    let types = Catalogue::with(&plan.incidents.types);
    let likely = LIKELY.iter().map(|(fault, kinds)| ((*fault).to_owned(), owned(kinds))).collect();
    Ok(Guide {
        service: plan.service.clone(),
        source,
        experiments: catalogue::all(plan),
        people: people(plan, &on_call),
        runbooks: types
            .types()
            .iter()
            .map(|it| Runbook {
                kind: it.kind.clone(),
                title: it.title.clone(),
                about: it.about.clone(),
                parts: vec![
                    ("Do at once".to_owned(), it.actions.iter().map(|action| action.text.clone()).collect()),
                    ("Find the cause".to_owned(), it.steps.clone()),
                    ("Usual causes".to_owned(), it.causes.clone()),
                    ("Who is told, in this order".to_owned(), it.escalation.clone()),
                ],
            })
            .collect(),
        ladders: plan.routes.iter().map(|route| (route.name.clone(), ladder(plan, route))).collect(),
        likely,
    })
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Who is on call by schedule: as the running service says, or else the config.
fn on_call(global: &Global, plan: &Plan) -> Result<(BTreeMap<String, String>, String), Stop> {
    match client::call_if_there(global, "/api/v1/oncall") {
        Ok(Some(answer)) => {
            let all = array(&answer["schedules"]).iter();
            let now = all.map(|it| (word(&it["name"]), word(&it["now"]["person"])));
            return Ok((now.collect(), "the running service".to_owned()));
        }
        Ok(None) => {}
        Err(error) if error.is_unreachable() => {}
        Err(error) => return Err(error),
    }
    let now = u64::try_from(jiff::Timestamp::now().as_nanosecond()).map_or(Time::ZERO, Time::from_nanos);
    let who = plan.incidents.schedules.iter().map(|it| {
        let person = it.who(&[], now).map_or_else(|| "nobody".to_owned(), |shift| shift.person);
        (it.name.clone(), person)
    });
    Ok((who.collect(), "the config".to_owned()))
}

/// Who would be told of incidents: of types that have a policy of their own, and of all others.
fn people(plan: &Plan, on_call: &BTreeMap<String, String>) -> Vec<Person> {
    let incidents = &plan.incidents;
    let own = incidents.types.iter().filter_map(|(kind, it)| Some((kind.clone(), it.policy.clone()?)));
    let general = incidents.policy.clone().map(|policy| (String::new(), policy));
    let mut all = Vec::new();
    for (kind, name) in own.chain(general) {
        let Some(policy) = incidents.policies.iter().find(|it| it.name == name) else { continue };
        let mut after = std::time::Duration::ZERO;
        for step in &policy.steps {
            after += step.after;
            let told: Vec<String> = step.tell.iter().map(|target| tell(plan, target, on_call)).collect();
            let when = if after.is_zero() {
                "at once".to_owned()
            } else {
                format!("after {}", span(Some(after.as_secs_f64())))
            };
            all.push(Person { kind: kind.clone(), text: format!("{when}: {}", told.join(", ")) });
        }
    }
    if all.iter().all(|it| !it.kind.is_empty()) && !incidents.notify.is_empty() {
        let channels = incidents.notify.join(", ");
        all.push(Person { kind: String::new(), text: format!("nobody is paged; told by {channels}") });
    }
    all
}

fn tell(plan: &Plan, target: &Target, on_call: &BTreeMap<String, String>) -> String {
    let by = |person: &str| {
        let found = plan.incidents.people.iter().find(|it| it.name == person);
        found
            .filter(|it| !it.channels.is_empty())
            .map_or_else(String::new, |it| format!(" by {}", it.channels.join(", ")))
    };
    match target {
        Target::Schedule(name) => {
            let person = on_call.get(name).map_or("nobody", String::as_str);
            format!("{person}{}, on call by {name}", by(person))
        }
        Target::Person(name) => format!("{name}{}", by(name)),
        Target::Channel(name) => format!("channel {name}"),
    }
}

/// What answers a route, the best first.
fn ladder(plan: &Plan, route: &Route) -> Vec<String> {
    route.ladder.iter().map(|entry| rung(plan, entry)).collect()
}

fn rung(plan: &Plan, entry: &Entry) -> String {
    let by = match &entry.answer {
        AnswerBy::Backend { backend, features, .. } => {
            let name = &plan.backends[backend.0].name;
            let with = features.as_ref().map(|(set, mode)| {
                format!(", with features of {} ({mode:?})", plan.features[set.0].name).to_lowercase()
            });
            format!("backend {name}{}", with.unwrap_or_default())
        }
        other => other.kind().to_owned(),
    };
    let impact = entry.quality_impact.as_ref().map(|it| format!("; {it}")).unwrap_or_default();
    format!("level {}, {}: {by}{impact}", entry.level.number(), entry.name.replace('_', " "))
}

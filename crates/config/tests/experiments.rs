//! The section `chaos`: what it becomes, the experiments of every plan, and that the schema knows each key of a document.

use std::time::Duration;

use jiff::civil::{Weekday, date, time};
use mainstay_config::{experiment, experiment_yaml, load, render};
use mainstay_core::chaos::experiment::{Blast, Experiment, Traffic};
use mainstay_core::chaos::fault::{Delay, Fault};
use mainstay_core::chaos::window::{DenyWhen, Weekly};
use mainstay_core::experiments::catalogue;
use mainstay_core::plan::Plan;
use serde_json::Value;

const FULL: &str = include_str!("../../../examples/config/full.yaml");
const PAGE: &str = include_str!("../../../docs/chaos.md");

fn accepted(text: &str) -> Plan {
    let (plan, findings) = load(text);
    assert!(findings.is_empty(), "{}", render(&findings, "config", text, false));
    plan.expect("a plan")
}

#[test]
fn the_section_is_as_it_is_written() {
    let chaos = accepted(FULL).chaos;
    assert_eq!(chaos.windows.zone.iana_name(), Some("Europe/Berlin"));
    let days = vec![Weekday::Monday, Weekday::Tuesday, Weekday::Wednesday, Weekday::Thursday];
    let night = Weekly { days, from: time(18, 0, 0, 0), to: Some(time(9, 0, 0, 0)) };
    assert_eq!(chaos.windows.allow, Some(vec![night]));
    assert_eq!(chaos.windows.deny[0].when, DenyWhen::Days(date(2026, 12, 20), date(2027, 1, 5)));
    assert_eq!(chaos.windows.deny[0].reason.as_deref(), Some("nothing is changed around the new year"));
    let friday = Weekly { days: vec![Weekday::Friday], from: time(12, 0, 0, 0), to: None };
    assert_eq!(chaos.windows.deny[1].when, DenyWhen::Weekly(friday));
    assert_eq!(chaos.windows.holidays, [date(2026, 12, 25)]);
    assert_eq!((chaos.approval, chaos.min_budget, chaos.keep_touched), (Some(Blast::Moderate), 0.2, false));
    assert_eq!((chaos.approval_for, chaos.lease), (Duration::from_hours(168), Duration::from_secs(5)));
    assert_eq!(chaos.experiments.len(), 14);
    let types: std::collections::BTreeSet<&str> = chaos.experiments.iter().map(|it| it.fault.name()).collect();
    assert_eq!(types.len(), 12, "every type of fault: {types:?}");
}

#[test]
fn what_the_documentation_shows_is_accepted_without_a_finding() {
    let (_, rest) = PAGE.split_once("```yaml\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    let (head, rest) = FULL.split_once("\nchaos:").expect("the section");
    let (_, tail) = rest.split_once("\ntraining:").expect("the section after");
    let plan = accepted(&format!("{head}\n{example}\ntraining:{tail}"));
    assert_eq!(plan.chaos.experiments[0].name, "score-slow-store");
}

#[test]
fn every_plan_has_experiments_that_fit_it() {
    let plan = accepted(FULL);
    let all = catalogue::of(&plan);
    for experiment in &all {
        assert_eq!(experiment.check(), Vec::<String>::new(), "{}", experiment.name);
        assert_eq!(plan.check_experiment(experiment), Vec::<String>::new(), "{}", experiment.name);
    }
    let one = |name: &str| all.iter().find(|it| it.name == name).unwrap_or_else(|| panic!("no {name}"));
    // The mission's four, with its figures.
    let store = one("score-feature-store-latency");
    assert_eq!(store.fault, Fault::FeatureLatency(Delay::Fixed(Duration::from_millis(500))));
    let terms = |it: &Experiment| (it.blast, it.duration, it.expect.level, it.target.clone());
    let minutes = Duration::from_mins;
    let account = Some("account".to_owned());
    assert_eq!(terms(store), (Blast::Limited, minutes(15), Some(1), account.clone()));
    let failure = one("score-primary-model-failure");
    assert_eq!(failure.dose.to_bits(), 1.0_f64.to_bits());
    // Levels 0 and 1 ask the model that fails.
    assert_eq!(terms(failure), (Blast::Moderate, minutes(10), Some(2), Some("primary".to_owned())));
    assert_eq!(terms(one("score-stale-features")), (Blast::Limited, minutes(20), Some(0), account.clone()));
    assert_eq!(terms(one("score-overload")), (Blast::Moderate, minutes(15), Some(3), None));
    // Defaults stand in for values that are missing.
    assert_eq!(terms(one("score-data-quality")), (Blast::Limited, minutes(15), Some(0), account));
    assert_eq!(one("chat-malformed-answer").cohort.traffic, Traffic::Synthetic);
    for name in ["score-slow-first-token", "chat-stale-features", "risk-feature-store-latency"] {
        assert!(all.iter().all(|it| it.name != name), "{name} makes no sense");
    }
    let own = FULL.replace("name: score-brownout", "name: score-overload");
    let known = catalogue::all(&accepted(&own));
    let overloads: Vec<_> = known.iter().filter(|it| it.name == "score-overload").collect();
    assert!(overloads.len() == 1 && matches!(overloads[0].fault, Fault::ModelError(_)), "the config's own stands in");
}

#[test]
fn a_document_is_read_as_it_is_written() {
    let plan = accepted(FULL);
    for one in catalogue::all(&plan) {
        let text = experiment_yaml(&one);
        let (back, findings) = experiment(&text);
        assert_eq!(findings, Vec::new(), "{text}");
        assert_eq!(back.expect("an experiment").canonical(), one.canonical(), "{text}");
        let (back, _) = experiment(&one.canonical());
        assert_eq!(back, Some(one));
    }
}

/// The schema is written by hand beside the core's definition: each key that the core writes has its place in it.
#[test]
fn the_schema_knows_each_key_of_a_document() {
    let schema = mainstay_config::schema();
    let document = &schema["$defs"]["Chaos"]["properties"]["experiments"]["items"];
    let required: Vec<&str> =
        document["required"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    for one in accepted(FULL).chaos.experiments {
        let mut value = serde_json::to_value(&one).expect("JSON");
        fits(document, &value, &one.name);
        for key in &required {
            let held = value.as_object_mut().expect("a map").remove(*key).expect("a key");
            assert!(serde_json::from_value::<Experiment>(value.clone()).is_err(), "{key} is needed");
            value[*key] = held;
        }
    }
}

fn fits(schema: &Value, value: &Value, path: &str) {
    if let Some(choices) = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()) {
        let key = value.as_object().and_then(|fields| fields.keys().next());
        let fitting = |choice: &&Value| match key {
            Some(key) => choice["properties"][key].is_object(),
            None => choice["enum"].as_array().is_some_and(|words| words.contains(value)),
        };
        let choice = choices.iter().find(fitting).unwrap_or_else(|| panic!("{path}: {value} is none of them"));
        return fits(choice, value, path);
    }
    let Value::Object(fields) = value else { return };
    for (key, value) in fields {
        let path = format!("{path}.{key}");
        let of = [&schema["properties"][key], &schema["additionalProperties"]];
        let of = of.into_iter().find(|it| it.is_object()).unwrap_or_else(|| panic!("{path} is not in the schema"));
        fits(of, value, &path);
    }
}

//! Experiments of the Chaos Toolkit: ours as theirs, theirs as ours.
//!
//! Theirs has no lease, so ours keeps its own: the run is held by requests that come again and again. Where `chaos` is gone, they stop
//! to come, and the fault ends.

mod import;

use std::path::Path;
use std::time::Duration;

use mainstay_core::chaos::experiment::Experiment;
use serde_json::{Value, json};

use super::document::{Asked, write};
use crate::cli::Global;
use crate::exit::{Exit, Stop};

pub(super) use import::import;

/// Requests that hold a run, at most.
const HOLDS_MAX: u64 = 100;
/// The shortest time between two of them, in seconds.
const EVERY_MIN_S: u64 = 5;
/// How long the verdict may take after the last moment at which all must be well, in seconds.
const JUDGED_S: u64 = 10;
/// The variable that says where mainstay is.
const URL: &str = "MAINSTAY_URL";
/// The variable that holds what `Authorization` says, such as `Bearer TOKEN`.
const AUTHORIZATION: &str = "MAINSTAY_AUTHORIZATION";
/// The name of the request that holds.
const HOLD: &str = "hold-the-run";

pub(super) fn export(global: &Global, experiment: &str, out: Option<&Path>) -> Result<Exit, Stop> {
    let asked = Asked::read(global, experiment)?;
    let experiment = asked.experiment(global)?;
    let document = exported(&experiment, &asked.body(), &global.url, global.token.is_some());
    write(&format!("{document:#}"), out)
}

/// The experiment as the Chaos Toolkit runs it. A token is read from the environment when it does; it is no part of the document.
fn exported(experiment: &Experiment, start: &Value, url: &str, has_token: bool) -> Value {
    let request = |method: &str, path: &str, body: Option<Value>| request(method, path, body, has_token);
    let whole = experiment.lead_in + experiment.duration + experiment.recovery + Duration::from_secs(JUDGED_S);
    let every = whole.as_secs().div_ceil(HOLDS_MAX).max(EVERY_MIN_S);
    let holds = whole.as_secs().div_ceil(every).max(1);
    let hold_s = 2 * every + EVERY_MIN_S;
    let mut start = literal(start.clone());
    start["hold_s"] = hold_s.into();
    let name = &experiment.name;
    let one = |what: &str| format!("/api/v1/experiments/{name}/{what}");
    let hold = json!({
        "type": "action",
        "name": HOLD,
        "pauses": { "before": every },
        "provider": request("POST", &one("hold"), None),
    });
    let mut method = vec![
        json!({
            "type": "action",
            "name": "start-the-run",
            "provider": request("POST", "/api/v1/experiments", Some(start)),
        }),
        hold,
    ];
    method.extend((1..holds).map(|_| json!({ "ref": HOLD })));
    // A run that was started within the time that all of this takes: an earlier one says nothing.
    let verdict = format!("{}?within={}s", one("verdict"), whole.as_secs() + 2 * every + JUDGED_S);
    let title = if experiment.title.is_empty() { name } else { &experiment.title };
    let secrets = json!({ "mainstay": { "mainstay_authorization": { "type": "env", "key": AUTHORIZATION } } });
    json!({
        "version": "1.0.0",
        "title": title,
        "description": experiment.hypothesis,
        "tags": ["mainstay", experiment.fault.name(), experiment.route],
        "configuration": { "mainstay_url": { "type": "env", "key": URL, "default": url } },
        "secrets": if has_token { secrets } else { json!({}) },
        "extensions": [{ "name": "mainstay", "experiment": experiment }],
        "runtime": {
            // Before it starts, mainstay's own gates look at the steady state; they refuse what the method asks for.
            "hypothesis": { "strategy": "after-method-only" },
            "rollbacks": { "strategy": "always" },
        },
        "steady-state-hypothesis": {
            "title": experiment.hypothesis,
            "probes": [
                { "type": "probe", "name": "mainstay-is-ready", "tolerance": 200, "provider": request("GET", "/readyz", None) },
                { "type": "probe", "name": "the-fault-was-tolerated", "tolerance": 200, "provider": request("GET", &verdict, None) },
            ],
        },
        "method": method,
        "rollbacks": [{
            "type": "action",
            "name": "stop-the-run",
            "provider": request("POST", &one("stop"), Some(json!({ "reason": "the Chaos Toolkit rolls back" }))),
        }],
    })
}

fn request(method: &str, path: &str, body: Option<Value>, has_token: bool) -> Value {
    let mut headers = json!({});
    let mut provider =
        json!({ "type": "http", "url": format!("${{mainstay_url}}{path}"), "method": method, "timeout": 10 });
    if has_token {
        headers["Authorization"] = "${mainstay_authorization}".into();
        provider["secrets"] = json!(["mainstay"]);
    }
    if let Some(body) = body {
        // In this spelling it is sent as JSON.
        headers["Content-Type"] = "application/json".into();
        provider["arguments"] = body;
    }
    provider["headers"] = headers;
    provider
}

/// The same where `$` begins a name of something: as itself.
fn literal(value: Value) -> Value {
    match value {
        Value::String(text) => text.replace('$', "$$").into(),
        Value::Array(items) => items.into_iter().map(literal).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, literal(value))).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPERIMENT: &str =
        r#"{"name":"a","hypothesis":"all is ${well}","route":"score","fault":{"model_error":{}},"duration":"15m"}"#;

    #[test]
    fn an_export_holds_the_run_until_it_is_judged_and_comes_back_as_itself() {
        let experiment: Experiment = serde_json::from_str(EXPERIMENT).unwrap();
        let document = exported(&experiment, &json!({ "experiment": experiment }), "http://127.0.0.1:1", true);
        let method = document["method"].as_array().unwrap();
        let every = method[1]["pauses"]["before"].as_u64().unwrap();
        let held = every * (method.len() as u64 - 1);
        assert!(held >= 22 * 60 + JUDGED_S && method.len() as u64 <= HOLDS_MAX + 1, "{held} s by {}", method.len());
        let hold_s = method[0]["provider"]["arguments"]["hold_s"].as_u64().unwrap();
        assert!(hold_s > every && hold_s <= 60, "{hold_s}");
        assert_eq!(method[0]["provider"]["arguments"]["experiment"]["hypothesis"], "all is $${well}");
        let (back, findings) = import::imported(&document);
        assert_eq!((back, findings), (Some(experiment), Vec::new()));
    }
}

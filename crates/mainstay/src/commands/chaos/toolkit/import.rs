//! `mainstay chaos import`: what of the Chaos Toolkit's experiment is ours.

use std::path::Path;

use anyhow::anyhow;
use mainstay_core::chaos::experiment::Experiment;
use serde_json::{Value, json};

use super::super::document::{refused, write};
use crate::cli::Global;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::source::Document;
use crate::words::{array, line, word};

/// Most bytes of a title.
const TITLE_MAX: usize = 200;

pub(in crate::commands::chaos) fn import(global: &Global, file: &Path, out: Option<&Path>) -> Result<Exit, Stop> {
    let document =
        Document::read(file).map_err(|error| Stop::usage(anyhow!("cannot read {}: {error}", file.display())))?;
    let value = match mainstay_config::document(&document.text) {
        Ok(value) => value,
        Err(finding) => return Err(refused(global, &document, &[finding])?),
    };
    let (experiment, findings) = imported(&value);
    match experiment.filter(|_| findings.is_empty()) {
        Some(experiment) => write(&mainstay_config::experiment_yaml(&experiment), out),
        None => {
            match global.format {
                Format::Json => output::json(&json!({ "findings": findings }))?,
                Format::Human => findings.iter().for_each(|it| output::say(format_args!("error: {}", line(it)))),
            }
            Err(Stop::Said(Exit::Usage))
        }
    }
}

/// The experiment that theirs starts, and all that is not ours in it.
pub(super) fn imported(document: &Value) -> (Option<Experiment>, Vec<String>) {
    let mut findings = Vec::new();
    for key in ["title", "description", "method"] {
        if document[key].is_null() {
            findings.push(format!("an experiment of the Chaos Toolkit has a `{key}`"));
        }
    }
    let method = array(&document["method"]);
    let probes = array(&document["steady-state-hypothesis"]["probes"]);
    let rollbacks = array(&document["rollbacks"]);
    let mut starts = Vec::new();
    for (place, activities) in [("method", method), ("steady-state-hypothesis", probes), ("rollbacks", rollbacks)] {
        let own = |activity: &Value| activity["ref"].is_null() && !is_ours(&activity["provider"]);
        findings.extend(activities.iter().filter(|activity| own(activity)).map(|activity| foreign(place, activity)));
        starts.extend(activities.iter().filter(|activity| is_start(&activity["provider"])));
    }
    if !array(&document["controls"]).is_empty() {
        findings.push("`controls` run code of the Chaos Toolkit, which mainstay does not".to_owned());
    }
    let start = match starts.as_slice() {
        [start] => &start["provider"]["arguments"],
        [] => {
            findings
                .push("no action posts an experiment to `/api/v1/experiments`: nothing here is mainstay's".to_owned());
            return (None, findings);
        }
        _ => {
            findings.push("several actions post an experiment: each is a file of its own".to_owned());
            return (None, findings);
        }
    };
    let extension = array(&document["extensions"]).iter().find(|it| it["name"] == "mainstay");
    let held = extension.map(|it| it["experiment"].clone()).filter(|it| !it.is_null());
    let Some(mut experiment) = held.or_else(|| Some(plain(start["experiment"].clone())).filter(|it| !it.is_null()))
    else {
        let name = word(&start["name"]);
        findings.push(format!("it only names `{name}`: what that is stands in the catalogue of the service"));
        return (None, findings);
    };
    if experiment["title"].is_null()
        && let Some(title) = document["title"].as_str().filter(|title| title.len() <= TITLE_MAX)
    {
        let is_name = experiment["name"] == title;
        experiment["title"] = if is_name { Value::Null } else { title.into() };
    }
    if experiment["hypothesis"].is_null() {
        experiment["hypothesis"] = document["description"].clone();
    }
    let experiment = crate::client::without_nulls(experiment);
    let (experiment, wrong) = mainstay_config::experiment(&experiment.to_string());
    findings.extend(wrong.into_iter().map(|finding| finding.message));
    (experiment, findings)
}

/// Whether an activity speaks to mainstay alone.
fn is_ours(provider: &Value) -> bool {
    let path = path(provider);
    provider["type"] == "http"
        && (path == "/readyz" || path == "/api/v1/experiments" || path.starts_with("/api/v1/experiments/"))
}

fn is_start(provider: &Value) -> bool {
    is_ours(provider) && provider["method"] == "POST" && path(provider) == "/api/v1/experiments"
}

/// The path of an activity's address, which may begin with a name of something.
fn path(provider: &Value) -> &str {
    let url = provider["url"].as_str().unwrap_or_default();
    let after = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = after.find('/').map_or("", |at| &after[at..]);
    path.split('?').next().unwrap_or_default()
}

/// An activity that mainstay does not do, and what does it.
fn foreign(place: &str, activity: &Value) -> String {
    let provider = &activity["provider"];
    let by = match provider["type"].as_str() {
        Some("python") => format!("python {}.{}", word(&provider["module"]), word(&provider["func"])),
        Some("process") => format!("the program {}", word(&provider["path"])),
        Some("http") => format!("a request to {}", word(&provider["url"])),
        _ => "an unknown provider".to_owned(),
    };
    format!(
        "`{}` in `{place}` is {by}: mainstay does not do that, leave it to the Chaos Toolkit",
        word(&activity["name"])
    )
}

/// The text that `$$` stands for.
fn plain(value: Value) -> Value {
    match value {
        Value::String(text) => text.replace("$$", "$").into(),
        Value::Array(items) => items.into_iter().map(plain).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, plain(value))).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_is_named() {
        let foreign = json!({
            "title": "Pods", "description": "They come back",
            "controls": [{ "name": "safe" }],
            "steady-state-hypothesis": { "title": "up", "probes": [{ "type": "probe", "name": "up", "provider": { "type": "http", "url": "http://shop/health" } }] },
            "method": [
                { "type": "action", "name": "kill", "provider": { "type": "python", "module": "chaosk8s.pod.actions", "func": "terminate_pods" } },
                { "type": "action", "name": "disk", "provider": { "type": "process", "path": "fallocate" } },
            ],
            "rollbacks": [],
        });
        let (experiment, findings) = imported(&foreign);
        assert!(experiment.is_none());
        assert_eq!(
            findings,
            [
                "`kill` in `method` is python chaosk8s.pod.actions.terminate_pods: mainstay does not do that, leave it to the Chaos Toolkit",
                "`disk` in `method` is the program fallocate: mainstay does not do that, leave it to the Chaos Toolkit",
                "`up` in `steady-state-hypothesis` is a request to http://shop/health: mainstay does not do that, leave it to the Chaos Toolkit",
                "`controls` run code of the Chaos Toolkit, which mainstay does not",
                "no action posts an experiment to `/api/v1/experiments`: nothing here is mainstay's",
            ]
        );
    }

    #[test]
    fn a_start_of_ours_is_an_experiment_with_their_title_and_description() {
        let mut document = json!({
            "title": "Slow store", "description": "Nobody notices",
            "method": [{ "type": "action", "name": "start", "provider": {
                "type": "http", "method": "POST", "url": "http://127.0.0.1:8090/api/v1/experiments",
                "arguments": { "experiment": { "name": "slow", "route": "score", "fault": { "feature_latency": { "fixed": "500ms" } }, "duration": "15m" } },
            } }],
        });
        let (experiment, findings) = imported(&document);
        assert_eq!(findings, Vec::<String>::new());
        let experiment = experiment.unwrap();
        assert_eq!((experiment.title.as_str(), experiment.hypothesis.as_str()), ("Slow store", "Nobody notices"));
        document["method"][0]["provider"]["arguments"] = json!({ "name": "slow" });
        assert_eq!(
            imported(&document).1,
            ["it only names `slow`: what that is stands in the catalogue of the service"]
        );
    }
}

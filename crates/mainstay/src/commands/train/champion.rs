//! A run's model in the registry: the champion that it is compared with, and the version that it becomes.

use std::path::Path;

use hyper::Method;
use mainstay_core::event::format_time;
use mainstay_core::training::State;
use mainstay_trainer::Summary;
use mainstay_trainer::checkpoint;
use serde_json::{Map, Value, json};

use super::deliver::{self, Curves};
use super::options;
use crate::cli::{Global, Train};
use crate::client;
use crate::exit::Stop;
use crate::output;
use crate::words::array;

/// The numbers of a model's champion, as the registry has them; `None` where nobody tells.
pub(super) fn metrics(global: &Global, model: &str) -> Option<Map<String, Value>> {
    let path = format!("/api/v1/models/{}", client::segment(model));
    let known = client::call(global, Method::GET, &path, None).ok()?;
    let champion = known["champion"].as_str()?;
    let version = array(&known["versions"]).iter().find(|version| version["version"] == champion)?;
    version["metrics"].as_object().cloned()
}

/// Delivers how a run ended, and its model. False where it was to be promoted and was not.
pub(super) fn deliver(
    global: &Global,
    asked: &Train,
    model: Option<&String>,
    directory: &Path,
    summary: &Summary,
    mut curves: Curves,
) -> Result<bool, Stop> {
    let Ok(Value::Object(status)) = serde_json::to_value(summary) else { return Ok(true) };
    curves.note(&status);
    let mut all: Vec<_> = deliver::report(&status, &curves, Some(options::now())).into_iter().collect();
    let made = model.zip(summary.promoted.as_ref()).filter(|_| summary.state == State::Succeeded);
    let made =
        made.map(|(model, id)| Ok::<_, Stop>((model, version_of(asked, directory, summary, id)?))).transpose()?;
    if let Some((model, (name, body))) = &made {
        all.push(deliver::version(model, name, body.clone()));
    }
    let is_there = deliver::deliver(global, directory, all)?;
    let Some((model, (name, _))) = made else { return Ok(!asked.promote) };
    if !is_there {
        output::say(format_args!(
            "{} does not answer: version {name} of {model} waits in {}",
            global.url,
            directory.display()
        ));
        return Ok(!asked.promote);
    }
    output::say(format_args!("registered: version {name} of {model}"));
    if asked.promote {
        let path = format!("/api/v1/models/{}/promote", client::segment(model));
        let body = json!({ "version": name, "reason": format!("mainstay train, run {}", summary.run) });
        client::call(global, Method::POST, &path, Some(&body))?;
        output::say(format_args!("promoted: version {name} of {model}"));
    }
    Ok(true)
}

/// The version that a checkpoint becomes: its name, and what the registry is told of it. Its digest is that of the manifest, which
/// holds those of all files.
fn version_of(asked: &Train, directory: &Path, summary: &Summary, id: &str) -> Result<(String, Value), Stop> {
    let folder = directory.join(id);
    let manifest = std::fs::read(folder.join(checkpoint::MANIFEST)).map_err(Stop::unreachable)?;
    let read: checkpoint::Manifest = serde_json::from_slice(&manifest).map_err(Stop::unreachable)?;
    let digest = checkpoint::digest_of(&folder).map_err(Stop::unreachable)?;
    let results: Vec<Value> = summary
        .gates
        .iter()
        .map(|gate| json!({ "gate": gate.gate, "passed": gate.passed, "detail": gate.reason }))
        .collect();
    let mut lineage = json!({ "run": summary.run, "checkpoint": id, "step": read.step, "parent": read.parent });
    for (what, digest) in &asked.digests {
        lineage[what] = digest.as_str().into();
    }
    let numbers: Map<String, Value> = read.metrics.into_iter().filter(|(_, value)| value.is_number()).collect();
    let artifact = std::fs::canonicalize(&folder).unwrap_or(folder);
    let body = json!({
        "digest": format!("sha256:{digest}"),
        "artifact": artifact.display().to_string(),
        "created": format_time(options::now()),
        "data_max_event_time": asked.data_max_event_time.map(format_time),
        "gates": if results.is_empty() { "not_run" } else { "passed" },
        "gate_results": results,
        "metrics": numbers,
        "lineage": lineage,
    });
    Ok((format!("{}-{}", summary.run, read.step), body))
}

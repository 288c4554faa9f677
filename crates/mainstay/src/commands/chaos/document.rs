//! An experiment that is named, or written in a file.

use std::path::Path;

use anyhow::anyhow;
use hyper::Method;
use mainstay_core::chaos::experiment::Experiment;
use serde_json::{Value, json};

use super::PATH;
use crate::cli::Global;
use crate::client;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::source::Document;

/// What a command line says of an experiment.
pub(super) enum Asked {
    /// It is known by this name.
    Named(String),
    /// It is this one.
    Given(Box<Experiment>),
}

impl Asked {
    /// What is a path, or ends as a file's name does, is a file.
    pub(super) fn read(global: &Global, text: &str) -> Result<Asked, Stop> {
        let path = Path::new(text);
        let ending = path.extension().and_then(|ending| ending.to_str());
        let is_file = text.contains('/') || matches!(ending, Some("yaml" | "yml" | "json")) || path.is_file();
        if !is_file {
            return Ok(Asked::Named(text.to_owned()));
        }
        let document =
            Document::read(path).map_err(|error| Stop::usage(anyhow!("cannot read {}: {error}", path.display())))?;
        let (experiment, findings) = mainstay_config::experiment(&document.text);
        match experiment {
            Some(experiment) => Ok(Asked::Given(Box::new(experiment))),
            None => Err(refused(global, &document, &findings)?),
        }
    }

    /// As the API asks for it.
    pub(super) fn body(&self) -> Value {
        match self {
            Asked::Named(name) => json!({ "name": name }),
            Asked::Given(experiment) => json!({ "experiment": experiment }),
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Asked::Named(name) => name,
            Asked::Given(experiment) => &experiment.name,
        }
    }

    /// The experiment itself; of one that is known by its name, as the service has it.
    pub(super) fn experiment(&self, global: &Global) -> Result<Experiment, Stop> {
        match self {
            Asked::Given(experiment) => Ok((**experiment).clone()),
            Asked::Named(name) => {
                let known = catalogue(global)?;
                let is_it = |entry: &&Value| entry["experiment"]["name"] == name.as_str();
                let found = crate::words::array(&known["experiments"]).iter().find(is_it);
                let found = found.ok_or_else(|| {
                    Stop::usage(anyhow!("there is no experiment `{name}`: see `mainstay chaos list`"))
                })?;
                serde_json::from_value(found["experiment"].clone()).map_err(|error| {
                    Stop::unreachable(anyhow::Error::new(error).context(format!("experiment `{name}` cannot be read")))
                })
            }
        }
    }
}

/// All that are known by name.
pub(super) fn catalogue(global: &Global) -> Result<Value, Stop> {
    client::call(global, Method::GET, &format!("{PATH}/catalogue"), None)
}

/// Says what is wrong with a document.
pub(super) fn refused(
    global: &Global,
    document: &Document,
    findings: &[mainstay_config::Finding],
) -> Result<Stop, Stop> {
    match global.format {
        Format::Json => output::json(&document.json(findings))?,
        Format::Human => output::say(format_args!("{}", document.render(findings, output::stderr_has_colours()))),
    }
    Ok(Stop::Said(Exit::Usage))
}

/// Writes to a file, or to stdout.
pub(super) fn write(text: &str, out: Option<&Path>) -> Result<Exit, Stop> {
    match out {
        None => output::data(text)?,
        Some(path) => {
            let written = std::fs::write(path, text.trim_end().to_owned() + "\n");
            written.map_err(|error| Stop::unreachable(anyhow!("cannot write {}: {error}", path.display())))?;
            output::say(format_args!("written to {}", path.display()));
        }
    }
    Ok(Exit::Fine)
}

//! `mainstay chaos`: what may go wrong on purpose, what does, and what it showed.

mod document;
mod lever;
mod list;
mod plan;
mod progress;
mod report;
mod run;
mod toolkit;

use hyper::Method;
use mainstay_core::chaos::record::Run;
use serde_json::Value;

use crate::cli::{ChaosCommand, Global};
use crate::client;
use crate::exit::{Exit, Stop};

pub(crate) use run::Signals;

const PATH: &str = "/api/v1/experiments";
const HALT: &str = "/api/v1/chaos/halt";

pub(crate) fn run(global: &Global, command: &ChaosCommand) -> Result<Exit, Stop> {
    match command {
        ChaosCommand::List { route, limit } => list::run(global, route.as_deref(), *limit),
        ChaosCommand::Plan { experiment } => plan::run(global, experiment),
        ChaosCommand::Approve(options) => lever::approve(global, options),
        ChaosCommand::Run(options) => run::run(global, options),
        ChaosCommand::Stop { run, reason } => lever::stop(global, run, reason),
        ChaosCommand::Halt { reason } => lever::halt(global, reason),
        ChaosCommand::Resume { reason } => lever::resume(global, reason),
        ChaosCommand::Report { run } => report::run(global, run),
        ChaosCommand::Export { chaostoolkit: _, experiment, out } => {
            toolkit::export(global, experiment, out.as_deref())
        }
        ChaosCommand::Import { file, out } => toolkit::import(global, file, out.as_deref()),
    }
}

fn one(run: &str) -> String {
    format!("{PATH}/{}", client::segment(run))
}

fn get(global: &Global, run: &str) -> Result<Value, Stop> {
    client::call(global, Method::GET, &one(run), None)
}

/// The run in an answer.
fn run_of(answer: &Value) -> Result<Run, Stop> {
    let run = serde_json::from_value(answer["run"].clone());
    run.map_err(|error| Stop::unreachable(anyhow::anyhow!("the answer holds no run of an experiment: {error}")))
}

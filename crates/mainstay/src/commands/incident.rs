//! `mainstay incident`: what is wrong, who has it, what can be done, and what was.

mod change;
mod held;
mod list;
mod metrics;
mod review;
mod show;
mod silence;

use hyper::Method;
use serde_json::Value;

use crate::cli::{Global, IncidentCommand};
use crate::client;
use crate::exit::{Exit, Stop};

pub(super) use list::open;

const PATH: &str = "/api/v1/incidents";

pub(crate) fn run(global: &Global, command: &IncidentCommand) -> Result<Exit, Stop> {
    match command {
        IncidentCommand::List { status, kind, severity, route, limit } => {
            let of = [("status", status), ("type", kind), ("severity", severity), ("route", route)];
            list::run(global, &of, *limit)
        }
        IncidentCommand::Show { id, all } => show::run(global, id, *all),
        IncidentCommand::Open(options) => change::open(global, options),
        IncidentCommand::Ack { id } => change::acknowledge(global, id),
        IncidentCommand::Note { id, text } => change::note(global, id, text),
        IncidentCommand::Status(options) => change::status(global, options),
        IncidentCommand::Action(options) => change::action(global, options),
        IncidentCommand::Undo { id, action } => change::undo(global, id, *action),
        IncidentCommand::Review(options) => review::read(global, options),
        IncidentCommand::Write(options) => review::write(global, options),
        IncidentCommand::Metrics { window } => metrics::run(global, window),
        IncidentCommand::Silence(options) => silence::add(global, options),
        IncidentCommand::Silences => silence::list(global),
        IncidentCommand::Unsilence { id } => silence::end(global, id),
    }
}

fn one(id: &str) -> String {
    format!("{PATH}/{}", client::segment(id))
}

fn get(global: &Global, id: &str) -> Result<Value, Stop> {
    client::call(global, Method::GET, &one(id), None)
}

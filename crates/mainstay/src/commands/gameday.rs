//! `mainstay gameday`: scenarios that are run or talked through, and what came of them.

mod follow;
mod rehearse;
mod tabletop;

use std::path::Path;

use anyhow::{Context as _, anyhow};
use hyper::Method;
use mainstay_core::chaos::gameday::Scenario;
use serde_json::{Value, json};

use crate::cli::{GamedayCommand, Global, ReviewForm};
use crate::client;
use crate::exit::{Exit, Stop};
use crate::gamedays;
use crate::output::{self, Format};
use crate::table::Table;
use crate::words::{array, page, when, word};

const PATH: &str = "/api/v1/gamedays";

/// Runs the command.
pub(crate) fn run(global: &Global, command: &GamedayCommand) -> Result<Exit, Stop> {
    match command {
        GamedayCommand::List => list(global),
        GamedayCommand::Findings { all } => findings(global, *all),
        GamedayCommand::Tabletop(options) => tabletop::run(global, options),
        GamedayCommand::Rehearse(options) => rehearse::run(global, options),
        GamedayCommand::Run(options) => follow::run(global, options),
        GamedayCommand::Stop { id, reason } => stop(global, id, reason),
        GamedayCommand::Report { id, form, out } => report(global, id, *form, out.as_deref()),
    }
}

fn one(id: &str) -> String {
    format!("{PATH}/{}", client::segment(id))
}

/// Reads a scenario's file; what is wrong with it is told.
fn scenario(file: &Path) -> Result<Scenario, Stop> {
    match gamedays::read(file) {
        Ok((scenario, findings, document)) => {
            if !findings.is_empty() {
                output::say(format_args!("{}", document.render(&findings, output::stderr_has_colours())));
            }
            Ok(scenario)
        }
        Err(refused) => {
            for paragraph in refused.paragraphs(output::stderr_has_colours()) {
                output::say(format_args!("{paragraph}"));
            }
            Err(Stop::Said(Exit::Usage))
        }
    }
}

fn list(global: &Global) -> Result<Exit, Stop> {
    let answer = client::call(global, Method::GET, PATH, None)?;
    if global.format == Format::Json {
        output::json(&answer)?;
        return Ok(Exit::Fine);
    }
    let mut table = Table::new(&["game day", "scenario", "mode", "phase", "passed", "began", "by"]);
    for day in array(&answer["gamedays"]) {
        let of = |key: &str| word(&day[key]);
        let cells = [of("id"), of("scenario"), of("mode"), of("phase"), of("passed"), when(&day["started"]), of("by")];
        table.row(cells.to_vec());
    }
    output::data(table.to_string())?;
    for scenario in array(&answer["scenarios"]) {
        output::say(format_args!("scenario {}: {}", word(&scenario["name"]), word(&scenario["title"])));
    }
    Ok(Exit::Fine)
}

fn findings(global: &Global, all: bool) -> Result<Exit, Stop> {
    let state = if all { "all" } else { "open" };
    let answer = client::call(global, Method::GET, &format!("{PATH}/findings?state={state}"), None)?;
    if global.format == Format::Json {
        output::json(&answer)?;
        return Ok(Exit::Fine);
    }
    let mut table = Table::new(&["finding", "scenario", "step", "criterion", "opened", "times", "re-test", "measured"]);
    for finding in array(&answer["findings"]) {
        let of = |key: &str| word(&finding[key]);
        let opened = when(&finding["opened"]);
        let cells =
            [of("id"), of("scenario"), of("step"), of("criterion"), opened, of("times"), of("retest"), of("measured")];
        table.row(cells.to_vec());
    }
    output::data(table.to_string())?;
    Ok(Exit::Fine)
}

fn stop(global: &Global, id: &str, reason: &str) -> Result<Exit, Stop> {
    let body = json!({ "reason": reason });
    let answer = client::call(global, Method::POST, &format!("{}/stop", one(id)), Some(&body))?;
    match global.format {
        Format::Json => output::json(&answer)?,
        Format::Human => output::say(format_args!("{} is {}", word(&answer["id"]), word(&answer["phase"]))),
    }
    Ok(Exit::Fine)
}

/// A file gets the report as it is; a terminal what it can show.
fn report(global: &Global, id: &str, form: Option<ReviewForm>, out: Option<&Path>) -> Result<Exit, Stop> {
    let form = form.unwrap_or(match global.format {
        Format::Json => ReviewForm::Json,
        Format::Human => ReviewForm::Md,
    });
    let path = |form: &str| format!("{}/report?format={form}", one(id));
    let text = match form {
        ReviewForm::Json => {
            let report = client::call(global, Method::GET, &path("json"), None)?;
            if out.is_none() {
                output::json(&report)?;
                return Ok(Exit::Fine);
            }
            format!("{report:#}\n")
        }
        ReviewForm::Md => client::text(global, &path("md"))?,
        ReviewForm::Html => client::text(global, &path("html"))?,
    };
    write(out, &text)?;
    Ok(Exit::Fine)
}

/// Writes to a file, or to stdout what a terminal can show.
fn write(out: Option<&Path>, text: &str) -> Result<(), Stop> {
    match out {
        None => output::data(page(text)),
        Some(file) => {
            let written = std::fs::write(file, text);
            written.with_context(|| format!("cannot write {}", file.display())).map_err(Stop::unreachable)
        }
    }
}

/// What came of a game day, for people.
fn summary(record: &Value) -> String {
    let mut table = Table::new(&["step", "criterion", "held", "measured"]);
    let mut add = |step: String, outcomes: &Value| {
        for outcome in array(outcomes) {
            let held = match outcome["held"].as_bool() {
                Some(true) => "yes",
                Some(false) => "no",
                None => "not judged",
            };
            table.row(vec![step.clone(), word(&outcome["name"]), held.to_owned(), word(&outcome["measured"])]);
        }
    };
    for step in array(&record["steps"]) {
        add(word(&step["name"]), &step["results"]);
    }
    add("the day".to_owned(), &record["results"]);
    table.to_string()
}

fn id_of(record: &Value) -> Result<&str, Stop> {
    record["id"].as_str().ok_or_else(|| Stop::unreachable(anyhow!("what answers says no id of a game day")))
}

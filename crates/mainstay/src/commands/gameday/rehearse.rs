//! `mainstay gameday rehearse`: a scenario in virtual time.

use std::fmt::Write as _;

use mainstay_core::chaos::gameday::record::Outcome;
use mainstay_core::drill::{Model, Servers, Store};
use mainstay_sim::rehearsal::{Rehearsal, Terms, rehearse};
use serde_json::{Value, json};

use super::scenario;
use crate::cli::{GamedayRehearse, Global};
use crate::exit::{Exit, Stop};
use crate::gamedays;
use crate::output::{self, Format};
use crate::source;
use crate::table::Table;

/// Sigma of the law of a request's time, and how much longer it takes for each that waits: as in the project's drills.
const SPREAD: f64 = 0.5;
const DRAG: f64 = 0.01;

pub(super) fn run(global: &Global, options: &GamedayRehearse) -> Result<Exit, Stop> {
    let scenario = scenario(&options.file)?;
    let plan = source::plan(&global.config)?;
    let astray = gamedays::astray(&scenario, &plan);
    if !astray.is_empty() {
        for (_, text) in astray {
            output::say(format_args!("{}: {text}", options.file.display()));
        }
        return Err(Stop::Said(Exit::Usage));
    }
    let model =
        Model::Servers(Servers { servers: options.servers, mean: options.time, spread: SPREAD, drag: DRAG, parts: 1 });
    let store =
        Store { mean: options.store_time, spread: SPREAD, entities: options.entities, gaps: 0.0, age: options.age };
    let terms = Terms { model, store, rate: options.rate, classes: options.classes, seed: options.seed };
    let rehearsal = rehearse(&plan, &scenario, &terms);
    match global.format {
        Format::Json => output::json(&as_json(&rehearsal))?,
        Format::Human => output::data(told(&rehearsal))?,
    }
    Ok(if rehearsal.passed() { Exit::Fine } else { Exit::No })
}

const fn word(held: Option<bool>) -> &'static str {
    match held {
        Some(true) => "yes",
        Some(false) => "NO",
        None => "open",
    }
}

fn told(rehearsal: &Rehearsal) -> String {
    let (mut out, mut table) = (String::new(), Table::new(&["step", "criterion", "held", "measured"]));
    let mut add = |step: &str, results: &[Outcome]| {
        for it in results {
            table.row(vec![step.to_owned(), it.name.clone(), word(it.held).to_owned(), it.measured.clone()]);
        }
    };
    for step in &rehearsal.steps {
        let line = match &step.cannot {
            Some(why) => writeln!(out, "{}: not rehearsed: {why}", step.name),
            None => writeln!(out, "{}", step.name),
        };
        line.expect("a string takes it");
        for line in &step.transcript {
            writeln!(out, "{line}").expect("a string takes it");
        }
        add(&step.name, &step.results);
    }
    add("the day", &rehearsal.results);
    out + &table.to_string()
}

fn as_json(rehearsal: &Rehearsal) -> Value {
    let steps = rehearsal.steps.iter().map(|step| {
        let lines = step.transcript.iter().map(|line| json!({ "at_s": line.at.as_secs_f64(), "text": line.text }));
        json!({
            "name": step.name, "cannot": step.cannot, "facts": step.facts, "results": step.results,
            "transcript": lines.collect::<Vec<_>>(),
        })
    });
    json!({ "passed": rehearsal.passed(), "steps": steps.collect::<Vec<_>>(), "results": rehearsal.results })
}

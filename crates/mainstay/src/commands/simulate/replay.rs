//! `mainstay simulate --replay`: what another config would have done with recorded requests.

use std::path::Path;

use anyhow::anyhow;
use mainstay_sim::{Estimate, Pair, Replayed};
use serde_json::{Value, json};

use super::recording;
use crate::cli::Global;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::source;
use crate::table::Table;

/// Replicas of which the intervals are made.
const REPLICAS: u32 = 40;
/// Below this share a row says nothing.
const NOTHING: f64 = 1e-9;

/// Runs the command.
pub(super) fn run(global: &Global, events: &Path, seed: u64) -> Result<Exit, Stop> {
    let plan = source::plan(&global.config)?;
    let events = recording::read(events).map_err(Stop::usage)?;
    let replayed = mainstay_sim::replay(&plan, &events, seed, REPLICAS);
    let replayed = replayed.map_err(|error| Stop::usage(anyhow!("the recording cannot be played: {error}")))?;
    match global.format {
        Format::Json => output::json(&as_json(&replayed))?,
        Format::Human => output::data(told(&replayed))?,
    }
    Ok(Exit::Fine)
}

fn told(replayed: &Replayed) -> String {
    let mut out = format!(
        "{} recorded requests of {:?}; {REPLICAS} replicas, 90 % intervals\n\n",
        replayed.recorded, replayed.length
    );
    let mut table = Table::new(&["route", "requests", "what", "recorded", "with this config"]);
    for route in &replayed.routes {
        let levels = route.levels.iter().enumerate().map(|(level, pair)| (format!("level {level}"), pair));
        let others = [("shed".to_owned(), &route.shed), ("failed".to_owned(), &route.failed)];
        for (what, pair) in levels.chain(others) {
            if pair.recorded.high > NOTHING || pair.replayed.high > NOTHING {
                let requests = format!("{:.0}", route.requests.value);
                table.row(vec![route.route.clone(), requests, what, percent(pair.recorded), percent(pair.replayed)]);
            }
        }
    }
    out.push_str(&table.to_string());
    if !replayed.objectives.is_empty() {
        let mut table = Table::new(&["objective", "what", "recorded", "with this config"]);
        for objective in &replayed.objectives {
            let rows = [("bad", objective.bad), ("budget of this time left", objective.remaining)];
            for (what, pair) in rows {
                let name = objective.name.clone();
                table.row(vec![name, what.to_owned(), percent(pair.recorded), percent(pair.replayed)]);
            }
        }
        out.push('\n');
        out.push_str(&table.to_string());
    }
    for note in &replayed.notes {
        out.push_str("\nnote: ");
        out.push_str(note);
    }
    if !replayed.notes.is_empty() {
        out.push('\n');
    }
    out
}

fn percent(estimate: Estimate) -> String {
    let Estimate { value, low, high } = estimate;
    format!("{:.2} % ({:.2} to {:.2})", value * 1e2, low * 1e2, high * 1e2)
}

fn as_json(replayed: &Replayed) -> Value {
    let estimate = |it: Estimate| json!({ "value": it.value, "low": it.low, "high": it.high });
    let pair = |it: &Pair| json!({ "recorded": estimate(it.recorded), "replayed": estimate(it.replayed) });
    let routes = replayed.routes.iter().map(|route| {
        json!({
            "route": route.route, "requests": estimate(route.requests), "shed": pair(&route.shed),
            "failed": pair(&route.failed), "levels": route.levels.iter().map(pair).collect::<Vec<_>>(),
        })
    });
    let objectives = replayed.objectives.iter().map(|objective| {
        json!({
            "name": objective.name, "bad": pair(&objective.bad), "budget_remaining": pair(&objective.remaining),
        })
    });
    json!({
        "recorded": replayed.recorded, "length_s": replayed.length.as_secs_f64(), "replicas": REPLICAS,
        "routes": routes.collect::<Vec<_>>(), "objectives": objectives.collect::<Vec<_>>(), "notes": replayed.notes,
    })
}

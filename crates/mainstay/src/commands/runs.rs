//! `mainstay runs`: training runs, and how their metrics went.

use std::fs;

use anyhow::Context as _;
use hyper::Method;
use serde_json::Value;

use crate::cli::{Global, RunsCommand};
use crate::client;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::plot::{Curve, sparkline, svg};
use crate::table::Table;
use crate::words::{line, percent, word};

/// Columns of a curve in the terminal.
const COLUMNS: usize = 60;

/// Lists runs or shows one.
pub(crate) fn run(global: &Global, command: &RunsCommand) -> Result<Exit, Stop> {
    match command {
        RunsCommand::List { name, state, limit } => {
            let mut path = format!("/api/v1/runs?limit={limit}");
            for (key, value) in [("name", name), ("state", state)] {
                if let Some(value) = value {
                    path = format!("{path}&{key}={}", client::segment(value));
                }
            }
            let answer = client::call(global, Method::GET, &path, None)?;
            match global.format {
                Format::Json => output::json(&answer)?,
                Format::Human => output::data(list(&answer["runs"]))?,
            }
        }
        RunsCommand::Show { id, plot } => {
            let run = client::call(global, Method::GET, &format!("/api/v1/runs/{}", client::segment(id)), None)?;
            let curves = curves(&run);
            if let Some(file) = plot {
                let written = fs::write(file, svg(id, &curves));
                written.with_context(|| format!("cannot write {}", file.display())).map_err(Stop::unreachable)?;
            }
            match global.format {
                Format::Json => output::json(&run)?,
                Format::Human => output::data(show(&run, &curves))?,
            }
        }
    }
    Ok(Exit::Fine)
}

fn list(runs: &Value) -> String {
    let mut table = Table::new(&["run", "trains", "state", "why", "step", "of", "attempts", "goodput", "updated"]);
    let runs = runs.as_array().map_or(&[][..], Vec::as_slice);
    for run in runs {
        let mut row =
            ["id", "name", "state", "reason", "step", "total", "attempts"].map(|key| word(&run[key])).to_vec();
        row.push(percent(&run["goodput"]));
        row.push(word(&run["updated"]));
        table.row(row);
    }
    if runs.is_empty() { "nothing\n".to_owned() } else { table.to_string() }
}

fn show(run: &Value, curves: &[Curve]) -> String {
    let mut lines = vec![format!("{}: {}", word(&run["id"]), word(&run["state"]))];
    for key in ["name", "reason", "started", "ended", "step", "total", "attempts"] {
        if !run[key].is_null() {
            lines.push(format!("{key:<10} {}", word(&run[key])));
        }
    }
    lines.push(format!("{:<10} {}", "goodput", percent(&run["goodput"])));
    for (name, value) in run["metrics"].as_object().into_iter().flatten() {
        lines.push(format!("{:<10} {}", line(name), word(value)));
    }
    lines.extend(curves.iter().map(|curve| format!("{:<10} {}", line(&curve.name), sparkline(&curve.points, COLUMNS))));
    lines.join("\n")
}

/// `status.curves` holds, for each metric, pairs of a step and a value.
fn curves(run: &Value) -> Vec<Curve> {
    let curves = run["status"]["curves"].as_object().into_iter().flatten();
    let pair = |pair: &Value| Some((pair[0].as_f64()?, pair[1].as_f64()?));
    let curve = |(name, points): (&String, &Value)| Curve {
        name: name.clone(),
        points: points.as_array().into_iter().flatten().filter_map(pair).collect(),
    };
    curves.map(curve).filter(|curve| !curve.points.is_empty()).collect()
}

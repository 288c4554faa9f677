//! Budgets: `crates/core/examples/slo_bench.rs` and the store's figures, beside a tracker that keeps a list in Python.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::shell;

/// Figures with an aim: at most so much.
const AIMS: [(&str, f64); 5] =
    [("resident_mib", 1024.0), ("event_ns", 1000.0), ("window_us", 100.0), ("answer_us", 100.0), ("restart_s", 2.0)];

/// Runs both, prints a table; true when every aim is held.
pub(crate) fn run() -> Result<bool> {
    let mut ours = figures(&example("mainstay-core", "slo_bench")?)?;
    let restored = ours.get("restore_s").context("`restore_s` was not measured")?.value;
    let read = read_from_store(&example("mainstay-store", "store_figures")?.stdout)?;
    let what = "s from the store's file to an engine with 30 days of 1,000 objectives".to_owned();
    ours.insert("restart_s".to_owned(), Figure { value: read + restored, what });
    let script = shell::root().join("xtask/bench/slo/list_tracker.py");
    let theirs = figures(&shell::watch(Command::new("python3").arg(script))?)?;
    println!("\n| figure | mainstay | aim | a list in Python | what |\n|---|---|---|---|---|");
    let mut held = true;
    for (name, figure) in &ours {
        let aim = AIMS.iter().find(|(named, _)| named == name).map(|(_, most)| *most);
        held &= aim.is_none_or(|most| figure.value <= most);
        let aim = aim.map_or("-".to_owned(), |most| {
            let verdict = if figure.value <= most { "holds" } else { "MISSED" };
            format!("<= {most} {verdict}")
        });
        let other = theirs.get(name).map_or("-".to_owned(), |other| format!("{:.1} ({})", other.value, other.what));
        println!("| {name} | {:.3} | {aim} | {other} | {} |", figure.value, figure.what);
    }
    for (name, _) in AIMS {
        ensure!(ours.contains_key(name), "`{name}` was not measured");
    }
    Ok(held)
}

struct Figure {
    value: f64,
    what: String,
}

fn example(package: &str, example: &str) -> Result<shell::Ended> {
    shell::watch(&mut shell::cargo(&["run", "--release", "--quiet", "--package", package, "--example", example]))
}

/// Seconds to open a store's file with 30 days of 1,000 objectives and to read them all.
fn read_from_store(output: &str) -> Result<f64> {
    let line = output.lines().find_map(|line| line.strip_prefix("open and load")).context("the store told no time")?;
    let seconds = line.split_whitespace().next().context("the store told no time")?;
    seconds.parse().with_context(|| format!("not a number: {seconds}"))
}

fn figures(ended: &shell::Ended) -> Result<BTreeMap<String, Figure>> {
    ensure!(ended.success, "a bench program failed");
    let lines = ended.stdout.lines().filter(|line| line.starts_with('{'));
    let read = |line: &str| -> Result<(String, Figure)> {
        let value: Value = serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
        let text =
            |key: &str| value[key].as_str().with_context(|| format!("without `{key}`: {line}")).map(str::to_owned);
        let number = value["value"].as_f64().with_context(|| format!("without `value`: {line}"))?;
        Ok((text("figure")?, Figure { value: number, what: text("what")? }))
    };
    lines.map(read).collect()
}

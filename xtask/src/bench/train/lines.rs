//! CPU of one line of a metric, in the script and in the supervisor.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::verdict;
use crate::bench::processes;
use crate::shell;

const STEPS: u64 = 100_000;
/// CPU of one line, script and supervisor together.
const AIM_US: f64 = 50.0;

pub(super) fn run(binary: &Path) -> Result<bool> {
    let place = shell::target().join("bench-train/lines");
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place)?;
    let root = shell::root();
    let mut command = Command::new(binary);
    command.current_dir(&place).args(["train", "--checkpoints", "checkpoints", "--", "python3"]);
    command.arg(root.join("xtask/bench/train/lines.py")).arg(root.join("python")).arg(STEPS.to_string());
    let before = processes::of_children();
    shell::quiet(&mut command)?;
    let all = processes::of_children() - before;
    let told: Value = serde_json::from_slice(&fs::read(place.join("lines.json"))?)?;
    let number = |name: &str| told[name].as_f64().with_context(|| format!("`{name}` was not told"));
    let (lines, told_s, script) = (number("lines")?, number("told_s")?, number("all_s")?);
    ensure!(lines > 0.0, "no line was told");
    let (in_script, in_supervisor) = (told_s / lines * 1e6, (all - script).max(0.0) / lines * 1e6);
    let holds = in_script + in_supervisor <= AIM_US;
    println!("\n| CPU of a line of the protocol ({lines} told) | us |\n|---|---|");
    println!("| in the script (Python) | {in_script:.1} |\n| in the supervisor | {in_supervisor:.1} |");
    println!("| both; aim <= {AIM_US} | {:.1} {} |", in_script + in_supervisor, verdict(holds));
    Ok(holds)
}

//! The simulator: `crates/sim/examples/speed.rs` runs every drill in two fresh processes.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::verdict;
use crate::shell;

/// Simulated requests per second of one core that are to be reached, by drill: the uniform world with the most requests, and the same with
/// objectives, incidents and people.
const AIMS: [(&str, f64); 2] = [("a1-steady-overload", 2e6), ("a1-steady-overload-watched", 0.5e6)];

/// One drill in one process.
#[derive(Debug, PartialEq)]
struct Ran {
    drill: String,
    requests: f64,
    seconds: f64,
    digest: String,
}

/// Runs it twice; true when both say the same and the uniform worlds are fast enough.
pub(crate) fn run() -> Result<bool> {
    let (table, held) = table(&once()?, &once()?)?;
    println!("\n{table}");
    Ok(held)
}

/// Whether every drill says the same in two processes.
pub(crate) fn repeats() -> Result<bool> {
    Ok(pairs(&once()?, &once()?)?.iter().all(|(one, other)| one.says(other)))
}

fn once() -> Result<Vec<Ran>> {
    let arguments = ["run", "--release", "--quiet", "--package", "mainstay-sim", "--example", "speed"];
    let ended = shell::watch(&mut shell::cargo(&arguments))?;
    ensure!(ended.success, "the simulation failed");
    read(&ended.stdout)
}

impl Ran {
    fn says(&self, other: &Ran) -> bool {
        self.digest == other.digest && self.requests == other.requests
    }
}

fn read(output: &str) -> Result<Vec<Ran>> {
    let lines = output.lines().filter(|line| line.starts_with('{')).map(|line| {
        let told: Value = serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
        let number = |key: &str| told[key].as_f64().with_context(|| format!("without `{key}`: {line}"));
        let text =
            |key: &str| told[key].as_str().map(str::to_owned).with_context(|| format!("without `{key}`: {line}"));
        Ok(Ran {
            drill: text("drill")?,
            requests: number("requests")?,
            seconds: number("seconds")?,
            digest: text("digest")?,
        })
    });
    lines.collect()
}

/// Each drill as both processes ran it.
fn pairs<'a>(one: &'a [Ran], other: &'a [Ran]) -> Result<Vec<(&'a Ran, &'a Ran)>> {
    let pairs: Vec<_> = one.iter().zip(other).collect();
    let alike = one.len() == other.len() && pairs.iter().all(|(one, other)| one.drill == other.drill);
    ensure!(!one.is_empty() && alike, "the two processes ran different drills");
    Ok(pairs)
}

/// The rows, and whether everything held.
fn table(one: &[Ran], other: &[Ran]) -> Result<(String, bool)> {
    let mut out = String::from("| drill | requests | million requests/s | two processes |\n|---|---|---|---|\n");
    let mut held = true;
    for (one, other) in pairs(one, other)? {
        let same = one.says(other);
        let speed = one.requests / one.seconds.min(other.seconds);
        let aim = AIMS.iter().find(|(drill, _)| *drill == one.drill).map(|(_, aim)| *aim);
        let fast = aim.map(|aim| format!(" (>= {}: {})", aim / 1e6, verdict(speed >= aim))).unwrap_or_default();
        held &= same && aim.is_none_or(|aim| speed >= aim);
        let word = if same { "the same" } else { "DIFFERENT" };
        writeln!(out, "| {} | {:.0} | {:.2}{fast} | {word} |", one.drill, one.requests, speed / 1e6)?;
    }
    Ok((out, held))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIFORM: &str = AIMS[0].0;

    #[test]
    fn a_difference_and_a_slow_world_are_seen() {
        let ran = |drill: &str, seconds: f64, digest: &str| {
            let told =
                format!("{{\"drill\":\"{drill}\",\"requests\":4000000,\"seconds\":{seconds},\"digest\":\"{digest}\"}}");
            read(&told).unwrap()
        };
        let (rows, held) = table(&ran(UNIFORM, 2.5, "a"), &ran(UNIFORM, 1.0, "a")).unwrap();
        assert!(held && rows.contains("| 4.00 (>= 2: holds) | the same |"), "{rows}");
        assert!(!table(&ran(UNIFORM, 2.5, "a"), &ran(UNIFORM, 2.5, "a")).unwrap().1);
        let (rows, held) = table(&ran(AIMS[1].0, 7.0, "a"), &ran(AIMS[1].0, 7.0, "a")).unwrap();
        assert!(held && rows.contains("| 0.57 (>= 0.5: holds) | the same |"), "{rows}");
        assert!(!table(&ran(AIMS[1].0, 9.0, "a"), &ran(AIMS[1].0, 9.0, "a")).unwrap().1);
        assert!(!table(&ran("other", 1.0, "a"), &ran("other", 1.0, "b")).unwrap().1);
        assert!(table(&ran("other", 1.0, "a"), &ran("another", 1.0, "a")).is_err());
    }
}

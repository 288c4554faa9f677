//! Overload for real and in virtual time: the same config, the same model, the same callers, beside Envoy with adaptive concurrency.
//!
//! `xtask/bench/conf/live` holds the config, the drill and Envoy's config; `xtask/bench/overload` is the model and the callers.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::processes::{Look, tree};
use super::target::{self, Running};
use super::{install, verdict};
use crate::shell;

const MODEL_PORT: u16 = 9021;
const TARGETS: [(&str, u16); 2] = [("mainstay", 9161), ("envoy", 9163)];
const START_LIMIT: Duration = Duration::from_secs(20);

/// As in `drill.md`.
const SERVERS: u32 = 32;
const MEAN_MS: u32 = 100;
const CAPACITY: f64 = SERVERS as f64 * 1e3 / MEAN_MS as f64;
const CLASSES: &str = "10,20,40,30";
const STEPS: [&str; 3] = ["1.5", "3", "10"];
const WARM_S: u32 = 15;
const MEASURED_S: u32 = 20;
const DEADLINE_MS: u32 = 1000;

/// How far the live goodput may be from the simulated one.
const APART_MAX: f64 = 0.10;
/// Shares of a class that are as good as equal when classes are put in order.
const EQUAL: f64 = 0.02;

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A mainstay binary to measure; otherwise a release build is made.
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// Goodput of a step, and the share of each class that had a good answer.
#[derive(Clone, Debug, PartialEq)]
struct Step {
    goodput: f64,
    classes: Vec<f64>,
    /// Share of all cores that others used meanwhile.
    foreign: f64,
}

/// Measures and prints the table; true when both agree.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let binary = args.binary.clone().map_or_else(install::build_mainstay, Ok)?.canonicalize()?;
    let ends = install::build(&shell::root().join("xtask/bench/overload"), "bench-overload")?;
    let envoy = install::envoy()?;
    let home = shell::target().join("bench");
    fs::create_dir_all(home.join("run"))?;
    let simulated = simulated(&binary)?;
    let start = |name: &str, program: &Path, arguments: &[&str], port: u16| -> Result<Running> {
        let mut command = Command::new(program);
        command.args(arguments);
        Running::listening(name, port, command, &home, START_LIMIT)
    };
    let (address, servers, mean) = (local(MODEL_PORT), SERVERS.to_string(), MEAN_MS.to_string());
    // Dropped in the opposite order: those in front first.
    let _model = start("live-model", &ends, &["serve", &address, &servers, &mean, "0.5", "1"], MODEL_PORT)?;
    let _mainstay = start("live-mainstay", &binary, &["serve", "--config", &conf("mainstay.yaml")], TARGETS[0].1)?;
    let arguments = ["-c", &conf("envoy.yaml"), "--concurrency", "1", "--disable-hot-restart", "-l", "error"];
    let _envoy = start("live-envoy", &envoy, &arguments, TARGETS[1].1)?;
    let mut live = Vec::new();
    for (name, port) in TARGETS {
        let steps: Vec<Step> = STEPS.iter().map(|step| measured(&ends, step, port)).collect::<Result<_>>()?;
        for (step, seen) in STEPS.iter().zip(&steps) {
            println!("{name} {step}x {seen:?}");
        }
        live.push(steps);
    }
    let (table, agree) = table(&simulated, &live[0], &live[1])?;
    println!("\n{table}");
    Ok(agree)
}

fn conf(name: &str) -> String {
    target::conf("live").join(name).to_string_lossy().into_owned()
}

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// The drill's figures, step by step.
fn simulated(binary: &Path) -> Result<Vec<Step>> {
    let told = Command::new(binary).args(["simulate", &conf("drill.md"), "--format", "json"]).output()?;
    ensure!(told.status.success(), "the drill fails: {}", String::from_utf8_lossy(&told.stderr));
    let told: Value = serde_json::from_slice(&told.stdout)?;
    STEPS.iter().map(|step| of_verdicts(&told, step)).collect()
}

fn of_verdicts(told: &Value, step: &str) -> Result<Step> {
    let of_step = |verdict: &&Value| verdict["name"] == step;
    let mut numbers = told["verdicts"].as_array().context("no verdicts")?.iter().filter(of_step).map(|verdict| {
        let measured = verdict["measured"].as_str().and_then(|text| text.split_once(" = "));
        let (_, value) = measured.with_context(|| format!("nothing measured: {verdict}"))?;
        let values = value.trim_matches(['[', ']']).split(", ").map(str::parse::<f64>);
        values.collect::<Result<Vec<_>, _>>().with_context(|| value.to_owned())
    });
    let mut next = || numbers.next().with_context(|| format!("the drill does not say what step {step} gave"))?;
    Ok(Step { goodput: next()?[0], classes: next()?, foreign: 0.0 })
}

/// One step of one target.
fn measured(ends: &Path, step: &str, port: u16) -> Result<Step> {
    let rate = step.parse::<f64>()? * CAPACITY;
    // What was started before is among its children; callers that ended are in its own time.
    let own = tree(std::process::id());
    let look = Look::now(&own);
    let arguments = [local(port), rate.to_string(), WARM_S.to_string(), MEASURED_S.to_string()];
    let told = Command::new(ends)
        .arg("load")
        .args(arguments)
        .args([DEADLINE_MS.to_string(), CLASSES.to_owned(), "7".to_owned()])
        .output()?;
    ensure!(told.status.success(), "the callers failed: {}", String::from_utf8_lossy(&told.stderr));
    let (foreign, _) = look.foreign_since(&own);
    of_load(&serde_json::from_slice(&told.stdout)?, foreign)
}

fn of_load(told: &Value, foreign: f64) -> Result<Step> {
    let classes = told["classes"].as_array().context("no classes")?;
    let count = |class: &Value, name: &str| class[name].as_f64().with_context(|| format!("no {name} in {class}"));
    let sum = |name: &str| classes.iter().map(|class| count(class, name)).sum::<Result<f64>>();
    let seconds = told["seconds"].as_f64().context("no seconds")?;
    let possible = sum("sent")?.min(CAPACITY * seconds);
    let share = |class: &Value| Ok(count(class, "good")? / count(class, "sent")?.max(1.0));
    Ok(Step { goodput: sum("good")? / possible, classes: classes.iter().map(share).collect::<Result<_>>()?, foreign })
}

/// Whether no class is served better than a better one.
fn in_order(classes: &[f64]) -> bool {
    classes.windows(2).all(|two| two[1] <= two[0] + EQUAL)
}

/// The rows, and whether live and simulated agree.
fn table(simulated: &[Step], live: &[Step], envoy: &[Step]) -> Result<(String, bool)> {
    let shown = |step: &Step| {
        let classes: Vec<String> = step.classes.iter().map(|share| format!("{share:.2}")).collect();
        format!("{:.3} ({})", step.goodput, classes.join(" "))
    };
    let mut out = String::from(
        "Goodput of what was possible (share of each class with a good answer)\n\n\
         | load | simulated | live | apart <= 10 % | classes in order | Envoy, live | foreign % |\n|---|---|---|---|---|---|---|\n",
    );
    let mut agree = true;
    for (((step, simulated), live), envoy) in STEPS.iter().zip(simulated).zip(live).zip(envoy) {
        let apart = (live.goodput / simulated.goodput - 1.0).abs();
        let (close, order) = (apart <= APART_MAX, in_order(&live.classes) && in_order(&simulated.classes));
        agree &= close && order;
        let row = [
            format!("{step}x"),
            shown(simulated),
            shown(live),
            format!("{:.1} %: {}", apart * 100.0, verdict(close)),
            verdict(order).to_owned(),
            shown(envoy),
            format!("{:.0}, {:.0}", live.foreign * 100.0, envoy.foreign * 100.0),
        ];
        writeln!(out, "| {} |", row.join(" | "))?;
    }
    Ok((out, agree))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(goodput: f64, classes: &[f64]) -> Step {
        Step { goodput, classes: classes.to_vec(), foreign: 0.0 }
    }

    #[test]
    fn goodput_is_of_what_was_possible() {
        let told = serde_json::json!({ "seconds": 10.0, "classes": [{ "sent": 4000, "good": 2400 }, { "sent": 4000, "good": 160 }] });
        assert_eq!(of_load(&told, 0.0).unwrap(), step(0.8, &[0.6, 0.04]));
    }

    #[test]
    fn a_drill_is_read_by_its_verdicts() {
        let told = serde_json::json!({ "verdicts": [
            { "name": "3", "measured": "goodput = 0.5" },
            { "name": "10", "measured": "goodput = 0.25" },
            { "name": "10", "measured": "success_class = [1, 0.5]" },
        ] });
        assert_eq!(of_verdicts(&told, "10").unwrap(), step(0.25, &[1.0, 0.5]));
        assert!(of_verdicts(&told, "3").is_err());
    }

    #[test]
    fn who_is_too_far_away_or_out_of_order_does_not_agree() {
        let good = vec![step(1.0, &[1.0, 0.5]); 3];
        let agrees = |live: Step| table(&good, &vec![live; 3], &good).unwrap().1;
        assert!(agrees(step(0.91, &[0.9, 0.6])));
        assert!(!agrees(step(0.89, &[0.9, 0.6])));
        assert!(!agrees(step(1.0, &[0.5, 0.9])));
    }
}

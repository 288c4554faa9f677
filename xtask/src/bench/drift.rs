//! Drift of two files, load and compute apart, beside Evidently, NannyML and SciPy on the same files in the same run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{peers, shell};

/// How many times as fast as Evidently's computing.
const AIM: f64 = 50.0;
/// How much more memory four times the rows may take.
const GROWTH_MAX: f64 = 1.15;
const METHODS: [&str; 4] = ["psi_evidently", "ks", "jensen_shannon_evidently", "wasserstein_normalised"];

/// How much is measured.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rows of each file; there are ten columns.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// A mainstay binary to measure; otherwise a release build is made.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Leave the peers out.
    #[arg(long)]
    alone: bool,
}

/// What one program took.
#[derive(Clone, Copy)]
struct Figures {
    load: f64,
    compute: f64,
    peak_mib: f64,
}

/// Prints a table; true when both aims are held.
pub(crate) fn run(args: &Args) -> Result<bool> {
    ensure!(args.rows >= 1_000, "--rows must be at least 1000");
    let binary = args.binary.clone().map_or_else(build, Ok)?;
    let place = shell::target().join("bench-drift");
    let files = |rows| made(&place, rows);
    let (small, large) = (files(args.rows)?, files(args.rows * 4)?);
    let ours = mainstay(&binary, &small)?;
    let four_times = mainstay(&binary, &large)?;
    let mut rows = vec![("mainstay", args.rows, Some(ours)), ("mainstay", args.rows * 4, Some(four_times))];
    if !args.alone {
        for (name, script) in
            [("Evidently", "evidently"), ("NannyML, 3 methods", "nannyml"), ("NumPy and SciPy", "scipy")]
        {
            rows.push((name, args.rows, peer(script, &small)?));
        }
    }
    println!(
        "\n| 10 columns, 4 methods | rows | load s | compute s | rows/s computed | peak MiB | compute, times mainstay's |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (name, count, figures) in &rows {
        let Some(Figures { load, compute, peak_mib }) = figures else {
            println!("| {name} | {count} | - | not within 15 min | - | - | - |");
            continue;
        };
        let (speed, ratio) = (*count as f64 / compute, compute / ours.compute);
        println!("| {name} | {count} | {load:.2} | {compute:.2} | {speed:.0} | {peak_mib:.0} | {ratio:.1} |");
    }
    fs::remove_dir_all(&place)?;
    let mut held = live()?;
    let growth = four_times.peak_mib / ours.peak_mib;
    println!(
        "memory of four times the rows: {growth:.2} of it; aim <= {GROWTH_MAX} {}",
        super::verdict(growth <= GROWTH_MAX)
    );
    held &= growth <= GROWTH_MAX;
    if let Some((_, _, Some(evidently))) = rows.iter().find(|(name, ..)| *name == "Evidently") {
        let ratio = evidently.compute / ours.compute;
        println!("Evidently's computing: {ratio:.0} of ours; aim >= {AIM} {}", super::verdict(ratio >= AIM));
        held &= ratio >= AIM;
    }
    Ok(held)
}

/// What monitors of live traffic may cost, by the figure's name.
const LIVE: [(&str, f64); 3] = [("value_ns_of_1", 200.0), ("value_ns_of_20", 200.0), ("names_mib", 1024.0)];

fn live() -> Result<bool> {
    let arguments = ["run", "--release", "--quiet", "--package", "mainstay-core", "--example", "drift_bench"];
    let ended = shell::watch(&mut shell::cargo(&arguments))?;
    ensure!(ended.success, "the example failed");
    let mut held = true;
    println!("\n| live traffic | measured | aim |\n|---|---|---|");
    for line in ended.stdout.lines().filter(|line| line.starts_with('{')) {
        let told: Value = serde_json::from_str(line)?;
        let (name, value) = (told["name"].as_str().unwrap_or_default(), told["value"].as_f64().unwrap_or(f64::NAN));
        let aim = LIVE.iter().find(|(of, _)| *of == name).map(|(_, most)| *most);
        held &= aim.is_none_or(|most| value <= most);
        let aim = aim.map_or("-".to_owned(), |most| format!("<= {most} {}", super::verdict(value <= most)));
        println!("| {} | {value} | {aim} |", told["what"].as_str().unwrap_or_default());
    }
    Ok(held)
}

fn build() -> Result<PathBuf> {
    let built = shell::watch(&mut shell::cargo(&["build", "--release", "--package", "mainstay", "--bin", "mainstay"]))?;
    ensure!(built.success, "the mainstay binary does not build");
    Ok(shell::target().join("release/mainstay"))
}

fn script(name: &str) -> PathBuf {
    shell::root().join("xtask/bench/drift").join(name)
}

fn made(place: &Path, rows: u64) -> Result<PathBuf> {
    let folder = place.join(rows.to_string());
    fs::create_dir_all(&folder)?;
    let mut make = Command::new(peers::environment("scipy")?.join("bin/python"));
    shell::quiet(make.arg(script("data.py")).arg(&folder).arg(rows.to_string()))?;
    Ok(folder)
}

/// `None` where it takes longer than a quarter of an hour.
fn peer(name: &str, folder: &Path) -> Result<Option<Figures>> {
    let mut command = Command::new("timeout");
    command.arg("900").arg(peers::environment(name)?.join("bin/python"));
    command.arg(script(&format!("{name}_.py"))).arg(folder).env("DO_NOT_TRACK", "1");
    let ended = shell::watch(&mut command)?;
    let Some(line) = ended.stdout.lines().rev().find(|line| line.starts_with('{')) else {
        ensure!(!ended.success, "{name} told no figures");
        return Ok(None);
    };
    let told: Value = serde_json::from_str(line)?;
    let figure = |key: &str| told[key].as_f64().with_context(|| format!("{name} told no {key}"));
    Ok(Some(Figures { load: figure("load_s")?, compute: figure("compute_s")?, peak_mib: figure("peak_mib")? }))
}

fn mainstay(binary: &Path, folder: &Path) -> Result<Figures> {
    let mut command = Command::new(binary);
    command.args(["drift", "check", "--timings"]);
    command.args(["reference", "current"].map(|name| folder.join(format!("{name}.parquet"))));
    command.args(METHODS.iter().flat_map(|method| ["--method", method]));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context("cannot start mainstay")?;
    let mut peak_mib = 0.0_f64;
    // The kernel keeps the peak until the process is gone.
    while child.try_wait()?.is_none() {
        peak_mib = peak_mib.max(high_water_mib(child.id()).unwrap_or_default());
        thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let times = said.lines().find_map(|line| line.strip_prefix("read ")?.split_once(" s, computed "));
    let (load, compute) = times.with_context(|| format!("mainstay told no times: {said}"))?;
    let compute = compute.trim_end_matches(" s");
    Ok(Figures { load: load.parse()?, compute: compute.parse()?, peak_mib })
}

fn high_water_mib(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
}

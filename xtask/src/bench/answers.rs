//! Local answers: `crates/mainstay/examples/bench_answers.rs` measures, this checks the aim.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::shell;

/// Nanoseconds that 99 of 100 answers may take at most.
const AIM_P99_NS: u64 = 200_000;

/// Builds and runs the program, prints a table; true when every case holds the aim.
pub(crate) fn run() -> Result<bool> {
    let arguments = ["run", "--release", "--quiet", "--package", "mainstay", "--example", "bench_answers"];
    let ended = shell::watch(&mut shell::cargo(&arguments))?;
    ensure!(ended.success, "the bench program failed");
    let lines: Vec<&str> = ended.stdout.lines().filter(|line| line.starts_with('{')).collect();
    ensure!(!lines.is_empty(), "the bench program printed no case");
    println!(
        "\n| answer | request (bytes) | p50 (us) | p99 (us) | mean (ns) | at most 200 us |\n|---|---|---|---|---|---|"
    );
    let mut all_hold = true;
    for line in lines {
        let case: Value = serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
        let number = |key: &str| case[key].as_u64().with_context(|| format!("without `{key}`: {line}"));
        let (p50, p99, mean, bytes) = (number("p50_ns")?, number("p99_ns")?, number("mean_ns")?, number("bytes")?);
        let holds = p99 <= AIM_P99_NS;
        all_hold &= holds;
        let verdict = if holds { "holds" } else { "MISSED" };
        let name = case["case"].as_str().unwrap_or_default();
        println!("| {name} | {bytes} | {:.1} | {:.1} | {mean} | {verdict} |", p50 as f64 / 1e3, p99 as f64 / 1e3);
    }
    Ok(all_hold)
}

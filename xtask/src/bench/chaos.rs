//! Experiments: `crates/core/examples/chaos_bench.rs` simulates the stop rule and the verdict, this prints tables and checks the aims.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::shell;

/// How much is simulated.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A tenth of the runs: a minute instead of some.
    #[arg(long)]
    quick: bool,
}

/// Runs it, prints the tables; true when every aim is held.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let mut arguments =
        vec!["run", "--release", "--quiet", "--package", "mainstay-core", "--example", "chaos_bench", "--"];
    arguments.extend(args.quick.then_some("--quick"));
    let ended = shell::watch(&mut shell::cargo(&arguments))?;
    ensure!(ended.success, "the simulation failed");
    let (shares, times, held) = tables(&ended.stdout)?;
    println!("\n| what | case | runs | measured | 95 % interval | aim |\n|---|---|---|---|---|---|\n{shares}");
    println!(
        "| time to stop, 200 requests/min/arm | stopped in 60 min | median s | 95 % quantile s | within 3 min | aim |"
    );
    println!("|---|---|---|---|---|---|\n{times}");
    Ok(held)
}

/// The rows of both tables, and whether every aim is held.
fn tables(output: &str) -> Result<(String, String, bool)> {
    let (mut shares, mut times, mut held) = (String::new(), String::new(), true);
    for line in output.lines().filter(|line| line.starts_with('{')) {
        let case: Value = serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
        let number = |key: &str| case[key].as_f64().with_context(|| format!("without `{key}`: {line}"));
        let text = |key: &str| case[key].as_str().with_context(|| format!("without `{key}`: {line}"));
        let mut aimed = |aim: Option<f64>, value: f64, told: String| {
            let holds = aim.is_none_or(|most| value <= most);
            held &= holds;
            aim.map_or("-".to_owned(), |_| format!("{told} {}", super::verdict(holds)))
        };
        if case["hits"].is_null() {
            let seconds = |key: &str| case[key].as_f64().map_or("-".to_owned(), |value| value.to_string());
            let median = case["median_s"].as_f64().unwrap_or(f64::INFINITY);
            let aim = aimed(case["aim_s"].as_f64(), median, "median <= 180 s".to_owned());
            let (stopped, within) = (number("stopped")? * 100.0, number("within_3_min")? * 100.0);
            let (name, middle, late) = (text("case")?, seconds("median_s"), seconds("q95_s"));
            writeln!(times, "| {name} | {stopped:.1} % | {middle} | {late} | {within:.1} % | {aim} |")?;
        } else {
            let (hits, runs) = (number("hits")?, number("runs")?);
            let (low, high) = wilson(hits, runs);
            let aim = aimed(case["aim"].as_f64(), hits / runs, "<= 5 %".to_owned());
            let (what, name, share) = (text("what")?, text("case")?, hits / runs * 100.0);
            let interval = format!("{:.1} to {:.1} %", low * 100.0, high * 100.0);
            writeln!(shares, "| {what} | {name} | {runs} | {share:.1} % | {interval} | {aim} |")?;
        }
    }
    ensure!(!shares.is_empty() && !times.is_empty(), "the simulation told no figures");
    Ok((shares, times, held))
}

/// Wilson's interval of a share at 95 %.
fn wilson(hits: f64, n: f64) -> (f64, f64) {
    let (z2, share) = (1.96_f64 * 1.96, hits / n);
    let centre = share + z2 / (2.0 * n);
    let spread = 1.96 * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    (((centre - spread) / (1.0 + z2 / n)).max(0.0), ((centre + spread) / (1.0 + z2 / n)).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str =
        r#"{"what":"t","case":"c","stopped":1.0,"median_s":90,"q95_s":null,"within_3_min":0.9,"aim_s":180}"#;

    #[test]
    fn aims_are_checked() {
        let with = |hits: u32| {
            let share = format!(r#"{{"what":"w","case":"c","runs":100,"hits":{hits},"aim":0.05}}"#);
            tables(&format!("{share}\n{TIME}")).unwrap()
        };
        let (shares, times, held) = with(5);
        assert!(held && shares.contains("5.0 %") && times.contains("| 90 | - |"));
        assert!(!with(6).2);
        let slow = TIME.replace("90,", "181,");
        assert!(!tables(&format!("{}\n{slow}", r#"{"what":"w","case":"c","runs":9,"hits":0,"aim":null}"#)).unwrap().2);
        assert!(tables("").is_err());
    }
}

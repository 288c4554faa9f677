//! Fleets that share a rate: `crates/sim/examples/fleet.rs` simulates, this prints the table and draws the curves.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{plot, verdict};
use crate::shell;

/// Where the curves go.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where plots are written.
    #[arg(long, default_value = "target/bench/fleet")]
    out: PathBuf,
}

/// The figures that are drawn: a key of what is told, and what it is.
const DRAWN: [(&str, &str); 4] = [
    ("worst_second", "the worst second, as a multiple of the rate"),
    ("used", "what was used, as a share of the rate"),
    ("fairness", "Jain's index of fairness"),
    ("staleness_p99_s", "age of the grant in use, 99 % quantile, seconds"),
];

/// Runs it, prints the table and draws the curves; true when no fleet ever spent more than there was.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let arguments = ["run", "--release", "--quiet", "--package", "mainstay-sim", "--example", "fleet"];
    let ended = shell::watch(&mut shell::cargo(&arguments))?;
    ensure!(ended.success, "the simulation failed");
    let told = read(&ended.stdout)?;
    let (rows, held) = table(&told)?;
    println!("\n{rows}");
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    for (key, title) in DRAWN {
        let file = args.out.join(format!("{key}.svg"));
        let drawn = plot::svg(&format!("{title}, over the logarithm of gateways"), &lines(&told, key));
        std::fs::write(&file, drawn).with_context(|| format!("cannot write {}", file.display()))?;
    }
    println!("Plots: {}", args.out.display());
    Ok(held)
}

fn read(output: &str) -> Result<Vec<Value>> {
    let lines = output.lines().filter(|line| line.starts_with('{'));
    let told: Result<Vec<Value>> =
        lines.map(|line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))).collect();
    told.and_then(|told| {
        ensure!(!told.is_empty(), "the simulation told no figures");
        Ok(told)
    })
}

fn table(told: &[Value]) -> Result<(String, bool)> {
    let mut out = String::from(
        "| store | gateways | used | worst second | fairness | age of the grant: mean, p99 |\n|---|---|---|---|---|---|\n",
    );
    let mut held = true;
    for row in told {
        let number = |key: &str| row[key].as_f64().with_context(|| format!("without `{key}`: {row}"));
        let store = row["store"].as_str().with_context(|| format!("without `store`: {row}"))?;
        let worst = number("worst_second")?;
        held &= worst <= 1.0;
        writeln!(
            out,
            "| {store} | {} | {:.3} | {worst:.3} (<= 1: {}) | {:.4} | {:.2} s, {:.2} s |",
            number("gateways")?,
            number("used")?,
            verdict(worst <= 1.0),
            number("fairness")?,
            number("staleness_s")?,
            number("staleness_p99_s")?,
        )?;
    }
    Ok((out, held))
}

fn lines(told: &[Value], key: &str) -> Vec<plot::Line> {
    let mut lines: Vec<plot::Line> = Vec::new();
    for row in told {
        let (Some(store), Some(gateways), Some(value)) =
            (row["store"].as_str(), row["gateways"].as_f64(), row[key].as_f64())
        else {
            continue;
        };
        if lines.last().is_none_or(|line| line.name != store) {
            lines.push(plot::Line { name: store.to_owned(), points: Vec::new() });
        }
        if let Some(line) = lines.last_mut() {
            line.points.push((gateways.log10(), value));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_that_spends_too_much_is_seen() {
        let row = |worst: f64| {
            format!(
                "{{\"store\":\"s\",\"gateways\":10,\"used\":0.9,\"worst_second\":{worst},\"fairness\":1,\
                 \"staleness_s\":0.5,\"staleness_p99_s\":1}}"
            )
        };
        let (rows, held) = table(&read(&row(0.97)).unwrap()).unwrap();
        assert!(held && rows.contains("| s | 10 | 0.900 | 0.970 (<= 1: holds) |"), "{rows}");
        let over = read(&[row(0.97), row(1.2)].join("\n")).unwrap();
        assert!(!table(&over).unwrap().1);
        assert_eq!(lines(&over, "used").len(), 1);
        assert!(read("").is_err());
    }
}

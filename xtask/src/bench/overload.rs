//! All limits in all drills of overload: `crates/sim/examples/overload.rs` simulates, this prints the tables and draws.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::plot;
use crate::shell;

/// How much is simulated, and where the plots go.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Seeds of which the mean is shown.
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Where plots are written.
    #[arg(long, default_value = "target/bench/overload")]
    out: PathBuf,
}

/// A column: its title, the drill, the expectation whose span counts, the fact.
type Column = (&'static str, &'static str, &'static str, Fact);

#[derive(Clone, Copy)]
enum Fact {
    /// A number as it is.
    Plain(&'static str),
    /// Of those that came, the share that had a good answer.
    GoodShare,
    /// The same of the best class.
    Best,
    /// Milliseconds as seconds.
    Seconds(&'static str),
}

const WEB: [Column; 11] = [
    ("1.2x", "a1-steady-overload", "goodput at 1.2 times", Fact::Plain("goodput")),
    ("2x", "a1-steady-overload", "goodput at 2 times", Fact::Plain("goodput")),
    ("5x", "a1-steady-overload", "goodput at 5 times", Fact::Plain("goodput")),
    ("10x", "a1-steady-overload", "goodput at 10 times", Fact::Plain("goodput")),
    ("calls' p99 at 10x, s", "a1-steady-overload", "tail at 10 times", Fact::Seconds("call_p99_ms")),
    ("first 10 s of 10x", "a2-sudden-overload", "the first ten seconds", Fact::Plain("goodput")),
    ("its worst second", "a2-sudden-overload", "no second falls off", Fact::Plain("goodput_min")),
    ("brown-out, of what is left", "a3-brown-out", "what is left is used", Fact::Plain("goodput")),
    ("10 s after it", "a3-brown-out", "all is well within ten seconds", Fact::GoodShare),
    ("answered at 0.7x", "a4-calm", "no rejection", Fact::GoodShare),
    ("best class at 5x", "p1-priority", "the best class at 5 times", Fact::Best),
];
const LANGUAGE: [Column; 6] = [
    ("1.5x", "b1-language-model", "tokens at 1.5 times", Fact::Plain("token_goodput")),
    ("3x", "b1-language-model", "tokens at 3 times", Fact::Plain("token_goodput")),
    ("10x", "b1-language-model", "tokens at 10 times", Fact::Plain("token_goodput")),
    ("first token's p99 at 10x, s", "b1-language-model", "first token at 10 times", Fact::Seconds("ttft_p99_ms")),
    ("long prompts, 2x", "b2-long-prompts", "tokens", Fact::Plain("token_goodput")),
    ("lost their place", "b2-long-prompts", "few lose their place", Fact::Plain("preempted")),
];

/// Facts by drill, limit and span: one per seed.
#[derive(Default)]
struct Measured {
    /// Limits in the order in which they were told first.
    limits: Vec<String>,
    facts: BTreeMap<(String, String, String), Vec<Value>>,
    curves: BTreeMap<String, Vec<plot::Line>>,
}

/// Runs it, prints the tables and draws the plots.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let seeds = args.seeds.to_string();
    let arguments =
        ["run", "--release", "--quiet", "--package", "mainstay-sim", "--example", "overload", "--", seeds.as_str()];
    let ended = shell::watch(&mut shell::cargo(&arguments))?;
    ensure!(ended.success, "the simulation failed");
    let measured = read(&ended.stdout)?;
    println!("\nServers, goodput relative to what could be done, mean of {seeds} seeds:\n");
    print!("{}", table(&measured, &WEB)?);
    println!("\nA language model, tokens of good answers relative to the best constant number of calls:\n");
    print!("{}", table(&measured, &LANGUAGE)?);
    draw(&measured, &args.out)?;
    Ok(true)
}

fn read(output: &str) -> Result<Measured> {
    let mut measured = Measured::default();
    for line in output.lines().filter(|line| line.starts_with('{')) {
        let told: Value = serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
        let text =
            |key: &str| told[key].as_str().map(str::to_owned).with_context(|| format!("without `{key}`: {line}"));
        let (drill, limit) = (text("drill")?, text("limit")?);
        if !measured.limits.contains(&limit) {
            measured.limits.push(limit.clone());
        }
        if let Some(points) = told["curve"].as_array() {
            let point = |it: &Value| Some((it[0].as_f64()?, it[1].as_f64()?));
            let points = points.iter().filter_map(point).collect();
            measured.curves.entry(drill).or_default().push(plot::Line { name: limit, points });
        } else {
            measured.facts.entry((drill, limit, text("span")?)).or_default().push(told["facts"].clone());
        }
    }
    ensure!(!measured.facts.is_empty(), "the simulation told no figures");
    Ok(measured)
}

fn table(measured: &Measured, columns: &[Column]) -> Result<String> {
    let mut out = String::from("| limit |");
    columns.iter().try_for_each(|(title, ..)| write!(out, " {title} |"))?;
    writeln!(out, "\n|---|{}", "---|".repeat(columns.len()))?;
    for limit in &measured.limits {
        let cell = |(_, drill, span, fact): &Column| {
            let key = ((*drill).to_owned(), limit.clone(), (*span).to_owned());
            let seeds = measured.facts.get(&key)?;
            let values: Vec<f64> = seeds.iter().filter_map(|facts| value(facts, *fact)).collect();
            Some(if values.is_empty() {
                "-".to_owned()
            } else {
                shown(values.iter().sum::<f64>() / values.len() as f64)
            })
        };
        let cells: Option<Vec<String>> = columns.iter().map(cell).collect();
        if let Some(cells) = cells {
            writeln!(out, "| {limit} | {} |", cells.join(" | "))?;
        }
    }
    Ok(out)
}

fn shown(value: f64) -> String {
    // "1.000" is for what is all: rounding up to it would hide refusals.
    let rounded = if value < 1.0 { (value * 1e3).floor() / 1e3 } else { value };
    format!("{rounded:.3}")
}

fn value(facts: &Value, fact: Fact) -> Option<f64> {
    match fact {
        Fact::Plain(name) => facts[name].as_f64(),
        Fact::Seconds(name) => facts[name].as_f64().map(|ms| ms / 1e3),
        Fact::GoodShare => Some(facts["good"].as_f64()? / facts["requests"].as_f64()?.max(1.0)),
        Fact::Best => facts["success_class"][0].as_f64(),
    }
}

fn draw(measured: &Measured, out: &Path) -> Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    for (drill, lines) in &measured.curves {
        let mut lines = lines.clone();
        let rank = |line: &plot::Line| measured.limits.iter().position(|limit| *limit == line.name);
        lines.sort_by_key(rank);
        let file = out.join(format!("{drill}.svg"));
        std::fs::write(&file, plot::svg(&format!("{drill}: good answers per second"), &lines))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    println!("\nPlots: {}", out.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_means_of_seeds_and_stand_only_where_they_were_measured() {
        let line = |limit: &str, seed: u64, goodput: f64| {
            let told = |(_, drill, span, _): &Column| {
                let facts = serde_json::json!({
                    "goodput": goodput, "goodput_min": 0.5, "call_p99_ms": 200, "good": 9, "requests": 10,
                    "success_class": [0.9999, 0, 0, 0],
                });
                serde_json::json!({ "drill": drill, "limit": limit, "seed": seed, "span": span, "facts": facts })
                    .to_string()
            };
            WEB.iter().map(told).collect::<Vec<_>>().join("\n")
        };
        let output = [line("one", 1, 0.9), line("one", 2, 0.8)].join("\n");
        let measured = read(&output).unwrap();
        let rows = table(&measured, &WEB).unwrap();
        assert!(rows.contains("| one | 0.850 | 0.850 | 0.850 | 0.850 | 0.200 | 0.850 | 0.500 |"), "{rows}");
        assert!(rows.trim_end().ends_with("| 0.999 |"), "never rounded up to all: {rows}");
        assert!(!table(&measured, &LANGUAGE).unwrap().contains("one"));
        assert!(read("").is_err());
    }
}

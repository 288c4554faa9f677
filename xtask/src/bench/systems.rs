//! The five kinds of system through the real gateway: a staged outage walks each ladder from level 0 to 4 and back, and at
//! each level the same judged requests tell what a user loses.

mod field;
mod quality;
mod script;
mod table;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use self::field::{Field, Programs};
use self::script::{SYSTEMS, System};
use self::table::Row;
use crate::shell;

/// Which, and with what.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these systems, separated by commas.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// A mainstay binary to measure; otherwise a release build is made.
    #[arg(long, requires = "services")]
    binary: Option<PathBuf>,
    /// The binary of the example `systems`, which serves the models.
    #[arg(long, requires = "binary")]
    services: Option<PathBuf>,
    /// Writes the tables into `docs/systems-levels.md` too; all systems must have run.
    #[arg(long, conflicts_with = "only")]
    write: bool,
}

/// One request of a system, with what is known about its right answer.
struct Judged {
    body: String,
    truth: Value,
}

/// Walks, prints the tables; true when every ladder went down to its last level and came back.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let chosen: Vec<&System> = SYSTEMS.iter().filter(|system| args.takes(system.name)).collect();
    ensure!(!chosen.is_empty(), "no such system: {}", SYSTEMS.map(|system| system.name).join(", "));
    let programs = programs(args)?;
    let mut tables = Vec::new();
    for system in chosen {
        println!("== {}", system.name);
        let rows = walk(system, &programs).with_context(|| system.name.to_owned())?;
        let table = table::markdown(system, &rows);
        println!("{table}");
        tables.push(table);
    }
    if args.write {
        let path = shell::root().join("docs/systems-levels.md");
        fs::write(&path, table::page(&tables, &programs.build()))
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(true)
}

impl Args {
    fn takes(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

fn programs(args: &Args) -> Result<Programs> {
    if let (Some(mainstay), Some(services)) = (&args.binary, &args.services) {
        return Ok(Programs { mainstay: mainstay.clone(), services: services.clone() });
    }
    let build = ["build", "--release", "--package", "mainstay", "--bin", "mainstay", "--example", "systems"];
    ensure!(shell::watch(&mut shell::cargo(&build))?.success, "the binaries do not build");
    let release = shell::target().join("release");
    Ok(Programs { mainstay: release.join("mainstay"), services: release.join("examples/systems") })
}

/// Down and back up. The steps are not undone before the deepest one is reached: each is one more thing that is broken.
fn walk(system: &System, programs: &Programs) -> Result<Vec<Row>> {
    let judged = judged(system)?;
    let mut field = Field::open(system, programs)?;
    let mut rows: Vec<Row> = Vec::new();
    for (level, step) in system.steps.iter().enumerate() {
        field.suffer(step)?;
        field.wait_for(level, &judged)?;
        if system.counts {
            field.forget_counts(level)?;
        }
        let answers = field.ask_all(&judged)?;
        let first = rows.first().map(|row| &row.answers);
        let quality = (system.measure)(&judged, &answers, first.unwrap_or(&answers));
        let row = Row { level, quality, answers };
        println!("level {level} after {}: {}", step.tell(), row.line());
        ensure!(row.at_level() > 0, "no answer came from level {level}");
        rows.push(row);
    }
    for level in (0..system.steps.len() - 1).rev() {
        field.recover(&system.steps[level + 1])?;
        field.wait_for(level, &judged)?;
        println!("back at level {level}");
    }
    Ok(rows)
}

fn judged(system: &System) -> Result<Vec<Judged>> {
    let path = shell::root().join("examples/systems").join(system.name).join("data/judged.jsonl");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let judged = text.lines().map(|line| {
        let truth: Value = serde_json::from_str(line)?;
        Ok(Judged { body: truth["request"].to_string(), truth })
    });
    judged.collect()
}

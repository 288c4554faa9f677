//! A thousand slow streams through the gateway, beside TensorZero and LiteLLM in front of the same upstream, in turns.
//!
//! The upstream is `mainstay wall`, whose every token is the time at which it was sent. What the machine and the load generator add to a
//! token's way is in the line `direct`.

mod field;
mod table;

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, ensure};

use self::field::Field;
use super::install;
use crate::shell;

/// Longest window: a stream must not end within it.
const SECS_MAX: u64 = 30;

/// How many, how long, how often.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Streams at a time; each has five tokens a second.
    #[arg(long, default_value_t = 1000)]
    streams: u32,
    /// Seconds that are measured once all streams have begun.
    #[arg(long, default_value_t = 10)]
    secs: u64,
    /// Rounds; each measures everybody once.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Connections of the closed loop of whole answers.
    #[arg(long, default_value_t = 16)]
    conns: u32,
    /// Only these, separated by commas: direct, mainstay, tensorzero, litellm.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Seconds to wait for a quiet machine before each run.
    #[arg(long, default_value_t = 60)]
    patience: u64,
    /// A mainstay binary to measure; otherwise a release build is made.
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// Measures and prints the tables; true when what is asked is held.
pub(crate) fn run(args: &Args) -> Result<bool> {
    ensure!(args.streams > 0 && args.secs > 0 && args.rounds > 0 && args.conns > 0, "all must be greater than 0");
    ensure!(args.secs <= SECS_MAX, "--secs is at most {SECS_MAX}: the streams have tokens for no longer");
    let binary = args.binary.clone().map_or_else(install::build_mainstay, Ok)?;
    let generator = install::build(&shell::root().join("xtask/bench/streams"), "bench-streams")?;
    let home = shell::target().join("bench");
    fs::create_dir_all(home.join("run"))?;
    let field = Field::start(&binary.canonicalize()?, generator, &home, |name| args.takes(name))?;
    let (mut streams, mut wholes) = (Vec::new(), Vec::new());
    // Whole answers first: a gateway that is asked for more tokens than it can pass on is busy with them for long.
    for round in 0..args.rounds {
        field.each(args.patience, |target| {
            let run = field.wholes(target, round, args)?;
            println!("{}", run.line());
            wholes.push(run);
            Ok(())
        })?;
    }
    for round in 0..args.rounds {
        field.each(args.patience, |target| {
            let run = field.streams(target, round, args)?;
            println!("{}", run.line());
            streams.push(run);
            Ok(())
        })?;
    }
    drop(field);
    let holds = table::print(args, &streams, &wholes);
    Ok(holds)
}

impl Args {
    fn takes(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

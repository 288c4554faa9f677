//! Long repetitions of what the suite does briefly: run before a release, or over night.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::tally::Tally;
use crate::{fuzz, shell, suite};

/// How long.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rounds of random inputs for the fuzz targets, each with a seed of its own.
    #[arg(long, default_value_t = 10)]
    fuzz_rounds: u64,
    /// Random inputs for each target in each round.
    #[arg(long, default_value_t = 500_000)]
    fuzz_runs: u32,
    /// Times that the demonstration runs from start to end.
    #[arg(long, default_value_t = 10)]
    demos: u32,
    /// Stops before the next part once this many minutes have passed.
    #[arg(long, default_value_t = 240)]
    minutes: u64,
}

/// The long tests of all crates, the fuzzers, the demonstration; true when everything passed.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let end = Instant::now() + Duration::from_secs(args.minutes * 60);
    let mut tally = long_tests()?;
    let first = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
    for round in (0..args.fuzz_rounds).take_while(|_| Instant::now() < end) {
        println!("\n== fuzz, round {round}, seed {}", first + round);
        tally = sum(tally, fuzz::mutate(args.fuzz_runs, first + round, &["--release"])?);
    }
    for n in (0..args.demos).take_while(|_| Instant::now() < end) {
        println!("\n== demo {n}");
        let arguments =
            ["run", "--release", "--quiet", "--package", "mainstay", "--", "demo", "--once", "--format", "json"];
        tally = sum(tally, Tally::one(shell::watch(&mut shell::cargo(&arguments))?.success));
    }
    if Instant::now() < end {
        println!("\n== interleavings without a bound");
        tally = sum(tally, suite::interleavings(None)?);
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    Ok(tally.failed == 0)
}

/// `MAINSTAY_SOAK` makes those tests long that read it, such as a whole day of 10,000 calls/s through a breaker.
fn long_tests() -> Result<Tally> {
    println!("\n== long tests");
    let mut command = shell::cargo(&["test", "--release", "--workspace", "--exclude", "xtask", "--no-fail-fast"]);
    let ended = shell::watch(command.env("MAINSTAY_SOAK", "1"))?;
    Ok(Tally::of_cargo(&ended.stdout).unless(ended.success))
}

fn sum(a: Tally, b: Tally) -> Tally {
    [a, b].into_iter().sum()
}

//! The fuzz targets without a nightly compiler: each on its corpus and on random mutations of it.

use anyhow::Result;

use crate::shell;
use crate::tally::Tally;

/// How much.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Random inputs for each target.
    #[arg(long, default_value_t = 20_000)]
    runs: u32,
    /// Where the random numbers start; every failure names it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) fn run(args: &Args) -> Result<bool> {
    let tally = mutate(args.runs, args.seed, &[])?;
    println!("{} passed, {} failed", tally.passed, tally.failed);
    Ok(tally.failed == 0)
}

/// As part of the whole suite: the build that the suite has made already.
pub(crate) fn smoke(runs: u32) -> Result<Tally> {
    mutate(runs, 1, &[])
}

/// With `extra` arguments to cargo, such as `--release`.
pub(crate) fn mutate(runs: u32, seed: u64, extra: &[&str]) -> Result<Tally> {
    let mut command = shell::cargo(&["test", "--package", "mainstay-fuzz-targets", "--test", "mutate"]);
    command.args(extra).env("FUZZ_RUNS", runs.to_string()).env("FUZZ_SEED", seed.to_string());
    let ended = shell::watch(&mut command)?;
    Ok(Tally::of_cargo(&ended.stdout).unless(ended.success))
}

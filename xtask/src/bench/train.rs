//! Training: what a supervisor costs, what a commit costs, and what saving at the right moments gives.

mod commit;
mod lines;
mod overhead;

use anyhow::{Result, ensure};

use super::verdict;
use crate::shell;

/// How much is measured.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Pairs of a bare and a supervised run.
    #[arg(long, default_value_t = 9)]
    pairs: usize,
    /// Length of each run.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// MiB of the checkpoint that is committed.
    #[arg(long, default_value_t = 1024)]
    mebibytes: u64,
}

/// Prints tables; true when every aim is held.
pub(crate) fn run(args: &Args) -> Result<bool> {
    ensure!(args.pairs > 0 && args.seconds > 0 && args.mebibytes > 0, "all must be greater than 0");
    table()?;
    let binary = binary()?;
    let mut held = lines::run(&binary)?;
    held &= commit::run(args.mebibytes)?;
    held &= overhead::run(&binary, args.pairs, args.seconds)?;
    Ok(held)
}

fn table() -> Result<()> {
    let arguments = ["run", "--release", "--quiet", "--package", "mainstay-core", "--example", "young_daly"];
    ensure!(shell::watch(&mut shell::cargo(&arguments))?.success, "the suggested interval does not win");
    Ok(())
}

fn binary() -> Result<std::path::PathBuf> {
    let built = shell::watch(&mut shell::cargo(&["build", "--release", "--package", "mainstay", "--bin", "mainstay"]))?;
    ensure!(built.success, "the mainstay binary does not build");
    Ok(shell::target().join("release/mainstay"))
}

/// The middle of the values, which are not none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

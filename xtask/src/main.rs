//! The project's own chores, started as `cargo xtask <chore>`.

mod bench;
mod debian;
mod demo;
mod fuzz;
mod peers;
mod shell;
mod soak;
mod suite;
mod tally;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own chores.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Everything that must hold before a change goes in: format, lints, tests, models, rules, peers, fuzzing.
    Test(suite::Args),
    /// The project's own rules: arrows between crates and modules, banned words, lengths, manifests.
    Tidy,
    /// The tests against real peers: model servers, feature stores, SDKs, Prometheus, a browser.
    Peers(peers::Args),
    /// The fuzz targets on their corpus and on random mutations of it, with the stable toolchain.
    Fuzz(fuzz::Args),
    /// Speed, side by side with other proxies or in one process.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Long repetitions of what `test` does briefly.
    Soak(soak::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().chore {
        Chore::Test(args) => Ok(suite::run(&args)),
        Chore::Tidy => tidy::run(),
        Chore::Peers(args) => peers::run(&args),
        Chore::Fuzz(args) => fuzz::run(&args),
        Chore::Bench(bench) => bench::run(&bench),
        Chore::Soak(args) => soak::run(&args),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

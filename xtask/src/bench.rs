//! Speed: the gateway side by side with other proxies, and the machines in one process.

mod answers;
mod closed;
mod core;
mod drift;
mod gateway;
mod http;
mod install;
mod open;
mod processes;
mod report;
mod slo;
mod systems;
mod target;
mod train;

use anyhow::Result;

/// What to measure.
#[derive(clap::Subcommand)]
pub(crate) enum Bench {
    /// Requests/s, latency and CPU of mainstay, Envoy, haproxy and a bare hyper proxy in front of the same upstream.
    Gateway(gateway::Args),
    /// The machines in one process: time and allocations of admit and release.
    Core,
    /// The five kinds of system: a staged outage from level 0 to 4 and back, and what a user loses at each level.
    Systems(systems::Args),
    /// Budgets: memory, time of an event, an answer and a restart, beside a tracker that keeps a list.
    Slo,
    /// Local answers in one process: time from the request's bytes to the answer's.
    Answers,
    /// Drift of two files, beside Evidently, NannyML and SciPy on the same files.
    Drift(drift::Args),
    /// Training: what a supervisor and a commit cost, and what saving at the right moments gives.
    Train(train::Args),
}

/// True when what was measured holds its aims; the gateway's figures are reported without a verdict.
pub(crate) fn run(bench: &Bench) -> Result<bool> {
    match bench {
        Bench::Gateway(args) => gateway::run(args),
        Bench::Core => core::run(),
        Bench::Systems(args) => systems::run(args),
        Bench::Slo => slo::run(),
        Bench::Answers => answers::run(),
        Bench::Drift(args) => drift::run(args),
        Bench::Train(args) => train::run(args),
    }
}

/// Whether a figure is within its aim, as a cell of a table.
fn verdict(holds: bool) -> &'static str {
    if holds { "holds" } else { "MISSED" }
}

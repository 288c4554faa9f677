//! Speed: the gateway side by side with other proxies, and the machines in one process.

mod answers;
mod chaos;
mod closed;
mod core;
mod drift;
mod fleet;
mod gateway;
mod http;
mod install;
mod instructions;
mod live;
mod open;
mod overload;
mod pages;
mod plot;
mod processes;
mod report;
pub(crate) mod sim;
mod slo;
mod stream;
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
    /// Instructions of a worker for one request, counted by valgrind, beside another binary.
    Instructions(instructions::Args),
    /// Experiments: how often the stop rule and the verdict are wrong, and how soon right, by simulation.
    Chaos(chaos::Args),
    /// Overload in virtual time: mainstay beside other projects' limits, in the drills of `docs/drills`.
    Overload(overload::Args),
    /// Overload for real, beside the same in virtual time and Envoy with adaptive concurrency: goodput and the order of classes.
    Live(live::Args),
    /// A thousand slow streams at once: memory, CPU and delay for each token, beside TensorZero and LiteLLM.
    Stream(stream::Args),
    /// The dashboard with a thousand objectives and ten thousand incidents: bytes and time of its pages.
    Pages,
    /// The simulator: requests per second of one core, and the same drills in two fresh processes.
    Sim,
    /// Fleets of 1 to 1,000 gateways that share a rate by leases: overshoot, fairness, staleness.
    Fleet(fleet::Args),
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
        Bench::Instructions(args) => instructions::run(args),
        Bench::Chaos(args) => chaos::run(args),
        Bench::Overload(args) => overload::run(args),
        Bench::Live(args) => live::run(args),
        Bench::Stream(args) => stream::run(args),
        Bench::Pages => pages::run(),
        Bench::Sim => sim::run(),
        Bench::Fleet(args) => fleet::run(args),
        Bench::Train(args) => train::run(args),
    }
}

/// Whether a figure is within its aim, as a cell of a table.
fn verdict(holds: bool) -> &'static str {
    if holds { "holds" } else { "MISSED" }
}

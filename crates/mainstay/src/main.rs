//! The `mainstay` binary: the command line, the composition root, the demo.
//!
//! The only crate that reads the wall clock, the environment and the command line; everything else is told.

mod acting;
mod chaos;
mod cli;
mod client;
mod commands;
mod demo;
mod difference;
mod engine;
mod exit;
mod gamedays;
mod imported;
mod log;
mod output;
mod plane;
mod plot;
mod secrets;
mod service;
mod serving;
mod source;
mod table;
mod version;
mod wall;
mod words;

use std::process::ExitCode;

use clap::FromArgMatches as _;

use crate::cli::{Cli, Command};
use crate::commands::{
    chaos as chaos_command, check, drift, gameday, incident, init, level, models, oncall, quality, reference, review,
    runbook, runs, serve, simulate, slo, status, top, train, wall as wall_command,
};
use crate::exit::{Exit, Stop};

/// A gateway allocates a little for every request, on every thread: this allocator takes half the time of the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    exit::guarded(run).into()
}

fn run() -> Exit {
    let parsed = cli::command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    dispatch(&cli).unwrap_or_else(Stop::report)
}

fn dispatch(cli: &Cli) -> Result<Exit, Stop> {
    let global = &cli.global;
    match &cli.command {
        Command::Demo(options) => demo::run(options, global),
        Command::DemoTrain => demo::training::script(),
        Command::Init { system, force } => init::run(global, *system, *force),
        Command::Check { file } => check::run(file.as_deref().unwrap_or(&global.config), global.format),
        Command::Serve { log } => serve::run(global, log),
        Command::Status { ready: true } => status::ready(global),
        Command::Status { ready: false } => status::run(global),
        Command::Top => top::run(global),
        Command::Level(command) => level::run(global, command),
        Command::Runs(command) => runs::run(global, command),
        Command::Models(command) => models::run(global, command),
        Command::Review(command) => review::run(global, command),
        Command::Drift(command) => drift::run(global, command),
        Command::Quality(command) => quality::run(global, command),
        Command::Incident(command) => incident::run(global, command),
        Command::Chaos(command) => chaos_command::run(global, command),
        Command::Gameday(command) => gameday::run(global, command),
        Command::Simulate(options) => simulate::run(global, options),
        Command::Runbook { kind } => runbook::run(global, kind.as_deref()),
        Command::Oncall(command) => oncall::run(global, command),
        Command::Slo(command) => slo::run(global, command),
        Command::Train(options) => train::run(global, options),
        Command::Wall(options) => wall_command::run(global, options),
        Command::Explain { code } => reference::explain(code, global.format),
        Command::Schema(schema) => reference::schema(schema),
        Command::Completions { shell } => reference::completions(*shell),
        Command::Version => reference::version(global.format),
    }
}

/// Help and version are data; anything else that clap has to say is wrong usage.
fn usage(error: &clap::Error) -> Exit {
    let printed = error.print();
    match (error.use_stderr(), printed) {
        (true, _) => Exit::Usage,
        (false, Ok(())) => Exit::Fine,
        (false, Err(error)) => Stop::from_stdout(error).report(),
    }
}

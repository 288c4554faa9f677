//! The command line.

mod chaos;
mod drift;
mod examples;
mod gameday;
mod help;
mod incident;
mod oncall;
mod quality;
mod simulate;
mod slo;
mod train;
mod wall;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::commands::init::System;
use crate::output::Format;

pub(crate) use chaos::{ChaosApprove, ChaosCommand, ChaosRun};
pub(crate) use drift::{DriftBaseline, DriftCheck, DriftCommand};
pub(crate) use gameday::{GamedayCommand, GamedayRehearse, GamedayRun, GamedayTabletop};
pub(crate) use help::command;
pub(crate) use incident::{
    IncidentAction, IncidentCommand, IncidentFindings, IncidentOpen, IncidentReview, IncidentSilence, IncidentStatus,
    ReviewForm,
};
pub(crate) use oncall::OncallCommand;
pub(crate) use quality::QualityCommand;
pub(crate) use simulate::Simulate;
pub(crate) use slo::{CorrectionCommand, MaintenanceCommand, SloCommand, SloExport};
pub(crate) use train::{Limit, Train};
pub(crate) use wall::WallOptions;

/// Keeps AI services answering, and proves it.
#[derive(Debug, Parser)]
#[command(name = "mainstay", version = crate::version::SHOWN, max_term_width = 100, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 fine; 1 the answer is no; 2 wrong usage or config; 3 cannot reach what is needed; 70 a bug of ours."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Args, Clone, Debug)]
pub(crate) struct Global {
    /// The config file
    #[arg(long, global = true, default_value = "mainstay.yaml", value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// How data on stdout is written
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// The admin API of a running mainstay
    #[arg(long, global = true, default_value = "http://127.0.0.1:8090", value_name = "URL")]
    pub(crate) url: String,
    /// The admin API's token
    #[arg(long, global = true, env = "MAINSTAY_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything on this machine, break it, and show that it kept answering; needs no config
    Demo(Demo),
    /// The demo's training script
    #[command(hide = true)]
    DemoTrain,
    /// Write a commented starting config
    Init {
        /// Start from this kind of system, with its five levels and the data files that they need
        #[arg(long, value_enum, value_name = "NAME")]
        system: Option<System>,
        /// Replace an existing file
        #[arg(long)]
        force: bool,
    },
    /// Show everything that is wrong with a config
    Check {
        /// The file to check; without it, the one of --config
        file: Option<PathBuf>,
    },
    /// Run the gateway and the admin API
    Serve {
        /// What is logged: a level (error, warn, info, debug, trace) or directives such as `info,mainstay_gateway=debug`
        #[arg(long, env = "MAINSTAY_LOG", default_value = "info", value_name = "FILTER")]
        log: String,
    },
    /// Show routes, levels, breakers, limits, features, budgets and open incidents of a running mainstay
    Status {
        /// Only ask whether it takes requests, which needs no token; exit code 1 where it does not
        #[arg(long)]
        ready: bool,
    },
    /// Show the same live, with traffic, latencies and what is under way, until `q`; with --format json a line for each look
    Top,
    /// Hold a route at a degradation level, or let it go
    #[command(subcommand)]
    Level(LevelCommand),
    /// Show training runs
    #[command(subcommand)]
    Runs(RunsCommand),
    /// Show models and their versions, and change which one is served
    #[command(subcommand)]
    Models(ModelsCommand),
    /// List, claim or decide requests that wait for a person
    #[command(subcommand)]
    Review(ReviewCommand),
    /// Show objectives and their budgets, take objectives in and give them out
    #[command(subcommand)]
    Slo(SloCommand),
    /// Watch whether values look as they did: of files, and of live traffic
    #[command(subcommand)]
    Drift(DriftCommand),
    /// Show how good predictions are, by labels and without
    #[command(subcommand)]
    Quality(QualityCommand),
    /// Show incidents and what was done about them, take them, act, and write their reviews
    #[command(subcommand)]
    Incident(IncidentCommand),
    /// Let something go wrong on purpose, for a few, for a while, and see what it shows
    #[command(subcommand)]
    Chaos(ChaosCommand),
    /// Run scenarios of experiments, talk them through, and see what came of them
    #[command(subcommand)]
    Gameday(GamedayCommand),
    /// Run drills in virtual time: your config, a world of numbers, and what must hold
    Simulate(Simulate),
    /// Show what a type of incident looks like and what to do about it; without a type, list the types
    Runbook {
        /// Such as serving_latency
        #[arg(value_name = "TYPE")]
        kind: Option<String>,
    },
    /// Show who is on call, and put somebody else there for a while
    #[command(subcommand)]
    Oncall(OncallCommand),
    /// Supervise a training run: start it again after failures, from its newest checkpoint that is whole
    Train(Box<Train>),
    /// Play upstreams that fail in known ways, chosen by the model's name, to see what a gateway or a client makes of it
    Wall(WallOptions),
    /// Tell more about a finding of `check`
    Explain {
        /// The finding's code, such as E0101
        code: String,
    },
    /// Print a schema
    #[command(subcommand)]
    Schema(SchemaCommand),
    /// Print completions for a shell
    Completions { shell: Shell },
    /// Print the version
    Version,
}

#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// End after the summary, with exit code 0 only if every criterion held
    #[arg(long)]
    pub(crate) once: bool,
    /// Keep the config and the results in this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// How long traffic is driven, at least 40s
    #[arg(long, default_value = "60s", value_parser = demo_duration, value_name = "DURATION")]
    pub(crate) duration: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LevelCommand {
    /// Hold a route at a level
    Pin {
        route: String,
        /// 0 full service, 1 cached features, 2 simpler model, 3 rules, 4 static answer
        #[arg(value_parser = clap::value_parser!(u8).range(0..=4))]
        level: u8,
        /// How long, such as 30m; without it, until `level auto`
        #[arg(long = "for", value_name = "DURATION")]
        duration: Option<String>,
        /// Why; it is kept with the pin
        #[arg(long, default_value = "pinned from the command line")]
        reason: String,
    },
    /// Let a route's level follow its health again
    Auto { route: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// List runs, the last changed first
    List {
        /// Only those that train this
        #[arg(long)]
        name: Option<String>,
        /// Only those in this state, such as running or failed
        #[arg(long)]
        state: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Show one run, with a plot of its metrics
    Show {
        id: String,
        /// Write the plot to this file, as SVG
        #[arg(long, value_name = "FILE")]
        plot: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// List models and their versions
    List {
        /// This model alone
        name: Option<String>,
    },
    /// Make a version the champion, everywhere or not at all
    Promote {
        model: String,
        version: String,
        /// Refuse unless this is the champion; "" is none
        #[arg(long, value_name = "VERSION")]
        expect: Option<String>,
        /// Pass over gates and the budget's policy; needs --reason
        #[arg(long, requires = "reason")]
        force: bool,
        /// Why; it is kept
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Make an earlier champion the champion again
    Rollback {
        model: String,
        /// An earlier champion; without it, the one before
        #[arg(long, value_name = "VERSION")]
        to: Option<String>,
        /// Why; it is kept
        #[arg(long, default_value = "")]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReviewCommand {
    /// List requests, the oldest first
    List {
        /// The queue; without it, the only one
        #[arg(long)]
        queue: Option<String>,
        /// Only those in this state
        #[arg(long, value_parser = ["waiting", "claimed", "decided"])]
        state: Option<String>,
        /// Only those with numbers above this one
        #[arg(long, default_value_t = 0)]
        after: u64,
        /// Most that are listed
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Take a request for a while, so that nobody else looks at it meanwhile
    Claim {
        /// Its number; without it, the oldest that waits
        id: Option<u64>,
        /// The queue; without it, the only one
        #[arg(long)]
        queue: Option<String>,
        /// Who takes it
        #[arg(long, env = "USER", value_name = "NAME")]
        by: String,
        /// How long, such as 15m
        #[arg(long, default_value = "15m", value_name = "DURATION")]
        lease: String,
    },
    /// Decide about a request; the same decision again is no error
    Decide {
        /// Its number
        id: u64,
        /// The decision, a word such as allow or block
        decision: String,
        /// The queue; without it, the only one
        #[arg(long)]
        queue: Option<String>,
        /// Who decides
        #[arg(long, env = "USER", value_name = "NAME")]
        by: String,
        /// Why
        #[arg(long, default_value = "")]
        note: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SchemaCommand {
    /// The config's JSON Schema
    Config,
}

/// Shorter runs leave the ladder no time to come back between two faults.
const DEMO_MIN: Duration = Duration::from_secs(40);

/// Longer runs would keep every latency in memory.
const DEMO_MAX: Duration = Duration::from_mins(30);

/// What an option says in words such as `90s` or `6h`.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration = text.parse().map_err(|_| "not a duration such as 90s or 6h".to_owned())?;
    Duration::try_from(parsed).map_err(|_| "a duration cannot be negative".to_owned())
}

/// A moment in RFC 3339, as the API takes it.
fn moment(text: &str) -> Result<String, String> {
    let moment: jiff::Timestamp = text.parse().map_err(|_| "not a time such as 2026-03-01T12:00:00Z".to_owned())?;
    Ok(moment.to_string())
}

fn demo_duration(text: &str) -> Result<Duration, String> {
    let duration = duration(text)?;
    if (DEMO_MIN..=DEMO_MAX).contains(&duration) {
        Ok(duration)
    } else {
        Err(format!("must be between {}s and {}m", DEMO_MIN.as_secs(), DEMO_MAX.as_secs() / 60))
    }
}

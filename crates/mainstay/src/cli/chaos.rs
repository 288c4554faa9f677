//! `mainstay chaos`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::moment;

#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  mainstay chaos list
  mainstay chaos plan score-feature-store-latency
  mainstay chaos run score-feature-store-latency
  mainstay chaos report EXP-2026-0001 > report.md
  mainstay chaos halt --reason 'the shop is on television'")]
pub(crate) enum ChaosCommand {
    /// List experiments that are known, what they showed over time, and the last runs
    List {
        /// Only those on this route
        #[arg(long)]
        route: Option<String>,
        /// At most so many runs
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Show an experiment, its hash, what is in its way, and the least effect that it would see
    #[command(after_help = "Exit code 0: it could be run now; 1: something is in the way.")]
    Plan {
        /// The name of a known experiment, or a file in YAML or JSON
        #[arg(value_name = "NAME|FILE")]
        experiment: String,
    },
    /// Agree to a plan, by the hash that `plan` shows
    Approve(ChaosApprove),
    /// Run an experiment, show how it goes, and what it showed
    #[command(after_help = "The run is held: where this command is gone, the experiment is stopped. Ctrl-C stops it.

Exit code 0: tolerated or degraded; 1: any other verdict, or refused; 2: wrong usage; 3: mainstay cannot be reached.")]
    Run(ChaosRun),
    /// Stop a run: its fault is taken away at once
    Stop {
        /// Its id, such as EXP-2026-0001
        run: String,
        /// Why
        #[arg(long, default_value = "stopped from the command line")]
        reason: String,
    },
    /// Take every fault away, and let none be injected until `resume`, also after a restart
    Halt {
        /// Why; it is told to everybody who is refused
        #[arg(long)]
        reason: String,
    },
    /// Let faults be injected again
    Resume {
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Print what a run showed, in Markdown; with --format json all that is known of it
    Report {
        /// Its id, such as EXP-2026-0001
        run: String,
    },
    /// Write an experiment for another tool
    Export {
        /// For the Chaos Toolkit's `chaos run`
        #[arg(long, required = true)]
        chaostoolkit: bool,
        /// The name of a known experiment, or a file in YAML or JSON
        #[arg(value_name = "NAME|FILE")]
        experiment: String,
        /// Write it here; without it, to stdout
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Make an experiment of one of the Chaos Toolkit; what it does besides is told, and it is refused
    Import {
        /// The Chaos Toolkit's experiment, in JSON or YAML
        file: PathBuf,
        /// Write it here; without it, to stdout
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

#[derive(Args, Debug)]
pub(crate) struct ChaosApprove {
    /// The name of a known experiment, or a file in YAML or JSON
    #[arg(value_name = "NAME|FILE")]
    pub(crate) experiment: String,
    /// The hash of the plan that you looked at
    #[arg(long, value_name = "HASH")]
    pub(crate) plan: String,
    /// Until when it counts, in RFC 3339; without it, as the config says
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) until: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ChaosRun {
    /// The name of a known experiment, or a file in YAML or JSON
    #[arg(value_name = "NAME|FILE")]
    pub(crate) experiment: String,
    /// Start it, write its id to stdout, and go: it runs its course by itself
    #[arg(long)]
    pub(crate) detach: bool,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

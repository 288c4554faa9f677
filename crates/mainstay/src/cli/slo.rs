//! `mainstay slo`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum SloCommand {
    /// List objectives and their budgets; exit code 1 where one is missed
    List,
    /// Show one objective and its budget; exit code 1 where it is missed
    Show {
        /// The objective's name
        name: String,
    },
    /// Write the config's objectives in the form of another tool; needs no server
    Export(SloExport),
    /// Put OpenSLO v1 or v1alpha documents in force, in place of those that were imported before
    Import {
        /// The file of YAML documents; `-` is stdin
        file: PathBuf,
        /// Change nothing, and ask no server: print what they become as items of `slos:`
        #[arg(long)]
        check: bool,
        /// Where Prometheus is if no document says it
        #[arg(long, value_name = "URL", requires = "check")]
        prometheus: Option<String>,
    },
    /// Intervals that budgets leave out, with who says so and why
    #[command(subcommand)]
    Correction(CorrectionCommand),
    /// Maintenance that budgets leave out whenever it comes again
    #[command(subcommand)]
    Maintenance(MaintenanceCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum CorrectionCommand {
    /// List corrections
    List,
    /// Leave an interval out; the same id replaces it
    Add {
        /// Its id
        id: String,
        /// Its first moment, in RFC 3339
        #[arg(long, value_name = "TIME")]
        from: String,
        /// The moment after its last
        #[arg(long, value_name = "TIME")]
        to: String,
        /// An objective that it is for; may be repeated. Default: all
        #[arg(long = "slo", value_name = "NAME")]
        slos: Vec<String>,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Count an interval again
    Remove {
        /// Its id
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum MaintenanceCommand {
    /// List the config's maintenance and what was added
    List,
    /// Leave maintenance out whenever it comes again; the same name replaces it
    Add {
        /// Its name
        name: String,
        /// When it begins, by the clock of the zone
        #[arg(long, value_name = "HH:MM")]
        from: String,
        /// How long it takes
        #[arg(long, value_name = "DURATION")]
        length: String,
        /// A day of the week, such as sunday; may be repeated. Default: every day
        #[arg(long = "day", value_name = "DAY")]
        days: Vec<String>,
        /// The time zone, such as Europe/Berlin
        #[arg(long, default_value = "UTC", value_name = "ZONE")]
        zone: String,
        /// An objective that it is for; may be repeated. Default: all
        #[arg(long = "slo", value_name = "NAME")]
        slos: Vec<String>,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// End maintenance that was added
    End {
        /// Its name
        name: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct SloExport {
    #[command(flatten)]
    pub(crate) form: SloForm,
    /// Write to this file and not to stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Args, Clone, Copy, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct SloForm {
    /// OpenSLO v1 documents
    #[arg(long)]
    pub(crate) openslo: bool,
    /// Recording and alerting rules for Prometheus, under Sloth's names
    #[arg(long)]
    pub(crate) prometheus: bool,
    /// A Grafana dashboard of budgets and burn rates
    #[arg(long)]
    pub(crate) grafana: bool,
}

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
    /// Turn OpenSLO v1 or v1alpha documents into items of `slos:`; exit code 1, as a running service is not changed
    Import {
        /// The file of YAML documents; `-` is stdin
        file: PathBuf,
        /// Only this was wanted: exit code 0 where the documents are fine
        #[arg(long)]
        check: bool,
        /// Where Prometheus is if no document says it
        #[arg(long, value_name = "URL")]
        prometheus: Option<String>,
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

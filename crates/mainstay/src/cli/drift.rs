//! `mainstay drift`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::commands::drift::OnError;

#[derive(Debug, Subcommand)]
pub(crate) enum DriftCommand {
    /// Compare the columns of two files; exit code 1 where one drifted; needs no server
    Check(DriftCheck),
    /// Make the reference of a monitored name from a column of a file, and put it in force
    Baseline(DriftBaseline),
    /// Show monitored names and their verdicts; exit code 1 where one drifted
    Status {
        /// Only this name, with all that is known of it
        name: Option<String>,
    },
}

#[derive(Args, Debug)]
pub(crate) struct DriftBaseline {
    /// The monitored name
    pub(crate) name: String,
    /// Values as they should be: .csv, .jsonl or .parquet
    pub(crate) file: PathBuf,
    /// The column with the values
    #[arg(long, value_name = "COLUMN")]
    pub(crate) column: String,
    /// The model that learned from them
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// That model's version
    #[arg(long, value_name = "VERSION", requires = "model")]
    pub(crate) model_version: Option<String>,
    /// Write it to this file and put nothing in force; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// What becomes of a line that cannot be read
    #[arg(long, value_enum, default_value_t)]
    pub(crate) on_error: OnError,
}

#[derive(Args, Debug)]
pub(crate) struct DriftCheck {
    /// What values should be like: .csv, .jsonl or .parquet, or what `drift baseline --out` wrote
    pub(crate) reference: PathBuf,
    /// What they are like
    pub(crate) current: PathBuf,
    /// Only this column; may be given again
    #[arg(long, value_name = "COLUMN")]
    pub(crate) column: Vec<String>,
    /// Only this method, such as psi; may be given again
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    pub(crate) method: Vec<String>,
    /// Every method
    #[arg(long)]
    pub(crate) all: bool,
    /// Write a page with plots to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Numbers of a column up to which figures are exact; longer ones are compared by 1,024 bins
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    pub(crate) exact_rows: usize,
    /// The chance of a false alarm, over all columns of a method
    #[arg(long, value_name = "P", default_value_t = 0.05)]
    pub(crate) alpha: f64,
    /// Say on stderr how long reading and computing took
    #[arg(long)]
    pub(crate) timings: bool,
    /// What becomes of a line that cannot be read
    #[arg(long, value_enum, default_value_t)]
    pub(crate) on_error: OnError,
}

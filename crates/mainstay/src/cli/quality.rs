//! `mainstay quality`.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum QualityCommand {
    /// Measures of each route's predictions with their intervals, coverage by labels, and proxies; exit code 1 where a proxy is likely
    /// violated
    Report {
        /// Predictions of so long
        #[arg(long, value_name = "DURATION", default_value = "24h")]
        window: String,
    },
}

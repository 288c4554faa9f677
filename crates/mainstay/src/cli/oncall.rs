//! `mainstay oncall`.

use clap::Subcommand;

use super::moment;

#[derive(Debug, Subcommand)]
pub(crate) enum OncallCommand {
    /// Show who is on call and who is next; exit code 1 where nobody is
    Who {
        /// At this moment, in RFC 3339; without it, now
        #[arg(long, value_name = "TIME", value_parser = moment)]
        at: Option<String>,
    },
    /// Show shifts, and the times for which nobody is on call
    Schedule {
        /// The schedule; without it, all
        name: Option<String>,
        /// From when on, in RFC 3339; without it, from now on
        #[arg(long, value_name = "TIME", value_parser = moment)]
        from: Option<String>,
        /// Until when, in RFC 3339; without it, two weeks
        #[arg(long, value_name = "TIME", value_parser = moment)]
        until: Option<String>,
    },
    /// Put somebody else on call for a while; the override's id is written to stdout
    Override {
        schedule: String,
        person: String,
        /// From when on, in RFC 3339
        #[arg(long, value_name = "TIME", value_parser = moment)]
        from: String,
        /// Until when, in RFC 3339
        #[arg(long, value_name = "TIME", value_parser = moment)]
        until: String,
    },
    /// List overrides
    Overrides,
    /// End an override
    Unoverride {
        /// Its id
        id: String,
    },
}

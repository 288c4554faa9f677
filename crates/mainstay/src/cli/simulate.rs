//! `mainstay simulate`.

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Debug)]
pub(crate) struct Simulate {
    /// Drills: Markdown with a config, a world, a script and expectations
    #[arg(required_unless_present = "replay", value_name = "DRILL")]
    pub(crate) files: Vec<PathBuf>,
    /// Let this seed decide what is random, and not the drill's own
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    pub(crate) seed: Option<u64>,
    /// Try so many seeds, from the drill's own on, and show each that fails
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) seeds: Option<u64>,
    /// Draw what was measured over virtual time, as SVG, or as a page where the name ends in .html
    #[arg(long, value_name = "FILE", conflicts_with = "seeds")]
    pub(crate) plot: Option<PathBuf>,
    /// Say what the config would have done with these recorded requests: JSON lines or Parquet, as kept requests are written, or a folder of them
    #[arg(long, value_name = "EVENTS", conflicts_with_all = ["files", "seeds", "plot"])]
    pub(crate) replay: Option<PathBuf>,
    /// Leave the transcript out
    #[arg(long)]
    pub(crate) quiet: bool,
}

//! `mainstay gameday`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use mainstay_core::chaos::written;
use mainstay_core::drill::Rate;

use super::incident::ReviewForm;

#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  mainstay gameday rehearse store-outage.md --config mainstay.yaml --rate 0.7x
  mainstay gameday tabletop store-outage.md --out guide.md
  mainstay gameday run store-outage.md --yes
  mainstay gameday report GD-2026-0001 --as html --out report.html")]
pub(crate) enum GamedayCommand {
    /// List game days, the last first, and scenarios of the running config
    List,
    /// List criteria that did not hold; open ones, unless said otherwise
    Findings {
        /// Closed ones as well
        #[arg(long)]
        all: bool,
    },
    /// Write the guide by which a scenario is talked through, or write down what was said
    Tabletop(GamedayTabletop),
    /// Rehearse a scenario in virtual time on the config, before anything real goes wrong
    Rehearse(GamedayRehearse),
    /// Run a scenario: its experiments in order, with every criterion checked
    Run(GamedayRun),
    /// End a game day and its run
    Stop {
        /// Its id, such as GD-2026-0001
        id: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Write what came of a game day
    Report {
        /// Its id, such as GD-2026-0001
        id: String,
        /// In which form; without it Markdown, and JSON with --format json
        #[arg(long = "as", value_enum, value_name = "FORM")]
        form: Option<ReviewForm>,
        /// Write to this file and not to stdout
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

#[derive(Args, Debug)]
pub(crate) struct GamedayTabletop {
    /// The scenario's file, YAML or Markdown
    pub(crate) file: PathBuf,
    /// Write the guide to this file and not to stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Write down what was said of a step at the service; no guide is written then. `day=` is the whole scenario
    #[arg(long = "answer", value_name = "STEP=TEXT")]
    pub(crate) answers: Vec<String>,
    /// Write down all answers of a file: a JSON list of {step, question, text, by}
    #[arg(long = "answers", value_name = "FILE")]
    pub(crate) answers_file: Option<PathBuf>,
    /// Add answers to those of this game day
    #[arg(long, value_name = "GAMEDAY")]
    pub(crate) id: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct GamedayRun {
    /// The scenario's file, YAML or Markdown, or the name of one of the running config
    #[arg(value_name = "FILE|NAME")]
    pub(crate) scenario: String,
    /// Start it and do not wait for its end; its id is written to stdout
    #[arg(long)]
    pub(crate) detach: bool,
    /// Do not ask whether this is meant
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Backends are servers of equal kind behind one line. Exit code 0: no criterion was found not to hold, 1: one was."
)]
pub(crate) struct GamedayRehearse {
    /// The scenario's file, YAML or Markdown
    pub(crate) file: PathBuf,
    /// How many requests each backend works on at once
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) servers: u32,
    /// How long a request takes there in the mean
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = time)]
    pub(crate) time: Duration,
    /// How long a feature store takes for one retrieval in the mean
    #[arg(long, value_name = "TIME", default_value = "2ms", value_parser = time)]
    pub(crate) store_time: Duration,
    /// How many entities requests are about, each as likely
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) entities: u32,
    /// How old the values of a feature store are
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = written::parse_duration)]
    pub(crate) age: Duration,
    /// How often the route is asked: per second (50/s), or in multiples of what its first backend carries (0.5x)
    #[arg(long, default_value = "0.5x", value_parser = rate)]
    pub(crate) rate: Rate,
    /// Parts of the requests that are safety-critical, premium, standard and batch
    #[arg(long, value_name = "A,B,C,D", default_value = "10,20,40,30", value_parser = classes)]
    pub(crate) classes: [f64; 4],
    /// What decides everything that is random
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
}

fn time(text: &str) -> Result<Duration, String> {
    let time = written::parse_duration(text)?;
    let fits = (Duration::from_micros(100)..=Duration::from_mins(10)).contains(&time);
    fits.then_some(time).ok_or_else(|| "a request takes from 0.1 ms to 10 minutes".to_owned())
}

fn rate(text: &str) -> Result<Rate, String> {
    let number = |text: &str| text.trim().parse().ok().filter(|it: &f64| it.is_finite() && *it > 0.0 && *it <= 1e6);
    let read = match (text.strip_suffix("/s"), text.strip_suffix('x')) {
        (Some(rate), _) => number(rate).map(Rate::PerSecond),
        (None, Some(times)) => number(times).map(Rate::OfCapacity),
        (None, None) => None,
    };
    read.ok_or_else(|| "a rate is per second, `50/s`, or in multiples of what the backend carries, `0.5x`".to_owned())
}

fn classes(text: &str) -> Result<[f64; 4], String> {
    let wrong = || "four parts of 0 or more, not all 0: `10,20,40,30`".to_owned();
    let parts: Option<Vec<f64>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    let parts: [f64; 4] = parts.ok_or_else(wrong)?.try_into().map_err(|_| wrong())?;
    let sum: f64 = parts.iter().sum();
    let fits = parts.iter().all(|part| part.is_finite() && *part >= 0.0) && sum > 0.0 && sum.is_finite();
    fits.then(|| parts.map(|part| part / sum)).ok_or_else(wrong)
}

//! `mainstay incident`.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::moment;

const SEVERITIES: [&str; 4] = ["sev1", "sev2", "sev3", "sev4"];
const LISTED: [&str; 9] =
    ["open", "all", "detected", "investigating", "mitigating", "resolved", "post_mortem", "cancelled", "merged"];
const STATUSES: [&str; 5] = ["investigating", "mitigating", "resolved", "post_mortem", "cancelled"];
const ACTIONS: [&str; 6] =
    ["pin_level", "cached_features", "previous_model", "raise_sampling", "block_pattern", "stop_experiment"];

#[derive(Debug, Subcommand)]
pub(crate) enum IncidentCommand {
    /// List incidents, the last first
    List {
        /// Only those that are open, or in this status
        #[arg(long, value_parser = one_of(&LISTED), ignore_case = true)]
        status: Option<String>,
        /// Only those of this type
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
        /// Only those that are so bad
        #[arg(long, value_parser = one_of(&SEVERITIES), ignore_case = true)]
        severity: Option<String>,
        /// Only those that touch this route
        #[arg(long)]
        route: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Show all that is known of one, what can be done, and what was
    Show {
        /// Its id, such as AI-20260301-0001
        id: String,
        /// The whole timeline, every fact and every notice
        #[arg(long)]
        all: bool,
    },
    /// Open one that mainstay has not found itself; its id is written to stdout
    Open(IncidentOpen),
    /// Take it: nobody else is paged any more
    Ack { id: String },
    /// Write something down
    Note {
        id: String,
        /// What
        text: String,
    },
    /// Say where it stands, how bad it is, what type it is, or of which other incident it is a part
    Status(IncidentStatus),
    /// Let mainstay do something about it, for a while
    Action(IncidentAction),
    /// Undo what was done
    Undo {
        id: String,
        /// The action's number
        action: u32,
    },
    /// Print its review
    Review(IncidentReview),
    /// Write what was found into its review; what is given replaces what stood there
    Write(Box<IncidentFindings>),
    /// Show how many there were, how long they took from which clock to which, and who was paged
    Metrics {
        /// Incidents that were found in so long
        #[arg(long, value_name = "DURATION", default_value = "30d")]
        window: String,
    },
    /// Page nobody for a while; without --type, --route and --incident for any incident. Its id is written to stdout
    Silence(IncidentSilence),
    /// List what nobody is paged for
    Silences,
    /// End a silence
    Unsilence {
        /// Its id
        id: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct IncidentOpen {
    /// What it is, in a line
    pub(crate) title: String,
    /// Its type; see `mainstay runbook`
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
    /// How bad it is
    #[arg(long, value_parser = one_of(&SEVERITIES), ignore_case = true)]
    pub(crate) severity: Option<String>,
    /// A route that it touches; may be repeated
    #[arg(long = "route", value_name = "ROUTE")]
    pub(crate) routes: Vec<String>,
    /// When it began, in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) onset: Option<String>,
    /// What is known
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
}

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args(["status", "severity", "kind", "into"]))]
pub(crate) struct IncidentStatus {
    pub(crate) id: String,
    /// Where it stands
    #[arg(value_parser = one_of(&STATUSES), ignore_case = true)]
    pub(crate) status: Option<String>,
    /// How bad it is
    #[arg(long, value_parser = one_of(&SEVERITIES), ignore_case = true)]
    pub(crate) severity: Option<String>,
    /// What type it is
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
    /// The incident that it is a part of
    #[arg(long, value_name = "ID", conflicts_with = "status")]
    pub(crate) into: Option<String>,
    /// Why
    #[arg(long)]
    pub(crate) reason: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct IncidentAction {
    pub(crate) id: String,
    /// What
    #[arg(value_parser = PossibleValuesParser::new(ACTIONS))]
    pub(crate) action: String,
    /// The route; of all but previous_model and stop_experiment
    #[arg(long, required_if_eq_any = [
        ("action", "pin_level"), ("action", "cached_features"), ("action", "raise_sampling"), ("action", "block_pattern"),
    ])]
    pub(crate) route: Option<String>,
    /// The level, of pin_level
    #[arg(long, required_if_eq("action", "pin_level"), value_parser = clap::value_parser!(u8).range(0..=4))]
    pub(crate) level: Option<u8>,
    /// The model, of previous_model
    #[arg(long, required_if_eq("action", "previous_model"))]
    pub(crate) model: Option<String>,
    /// The text that requests hold which are refused, of block_pattern
    #[arg(long, value_name = "TEXT", required_if_eq("action", "block_pattern"))]
    pub(crate) pattern: Option<String>,
    /// The run, of stop_experiment
    #[arg(long, required_if_eq("action", "stop_experiment"))]
    pub(crate) run: Option<String>,
    /// How long, such as 30m; without it, as the config says
    #[arg(long = "for", value_name = "DURATION")]
    pub(crate) duration: Option<String>,
}

/// The form of a review.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum ReviewForm {
    /// Markdown.
    Md,
    /// A page of its own.
    Html,
    /// What both are made of.
    Json,
}

#[derive(Args, Debug)]
pub(crate) struct IncidentReview {
    pub(crate) id: String,
    /// In which form; without it Markdown, and JSON with --format json
    #[arg(long = "as", value_enum, value_name = "FORM")]
    pub(crate) form: Option<ReviewForm>,
    /// Write to this file and not to stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("finding").required(true).multiple(true).args([
    "root_cause", "contributing", "went_well", "could_improve", "lucky", "detection", "prevention", "item", "done", "dropped",
]))]
pub(crate) struct IncidentFindings {
    pub(crate) id: String,
    /// What caused it
    #[arg(long, value_name = "TEXT")]
    pub(crate) root_cause: Option<String>,
    /// What helped it along; may be repeated
    #[arg(long, value_name = "TEXT")]
    pub(crate) contributing: Vec<String>,
    /// What went well; may be repeated
    #[arg(long, value_name = "TEXT")]
    pub(crate) went_well: Vec<String>,
    /// What could improve; may be repeated
    #[arg(long, value_name = "TEXT")]
    pub(crate) could_improve: Vec<String>,
    /// Where luck helped; may be repeated
    #[arg(long, value_name = "TEXT")]
    pub(crate) lucky: Vec<String>,
    /// How it could be found sooner; may be repeated
    #[arg(long, value_name = "TEXT")]
    pub(crate) detection: Vec<String>,
    /// How it could be prevented; may be repeated
    #[arg(long, value_name = "TEXT")]
    pub(crate) prevention: Vec<String>,
    /// Something to be done, in addition to what is there
    #[arg(long, value_name = "TEXT", requires = "owner")]
    pub(crate) item: Option<String>,
    /// Who does it
    #[arg(long, value_name = "NAME", requires = "item")]
    pub(crate) owner: Option<String>,
    /// Until when, as YYYY-MM-DD
    #[arg(long, value_name = "DATE", requires = "item")]
    pub(crate) due: Option<jiff::civil::Date>,
    /// What it is for
    #[arg(long, value_parser = ["prevent", "mitigate", "detect"], requires = "item")]
    pub(crate) purpose: Option<String>,
    /// The number of an item that is done; may be repeated
    #[arg(long, value_name = "NUMBER")]
    pub(crate) done: Vec<u32>,
    /// The number of an item that nobody will do; may be repeated
    #[arg(long, value_name = "NUMBER")]
    pub(crate) dropped: Vec<u32>,
}

#[derive(Args, Debug)]
pub(crate) struct IncidentSilence {
    /// Incidents of this type
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
    /// Incidents that touch this route
    #[arg(long)]
    pub(crate) route: Option<String>,
    /// This incident
    #[arg(long, value_name = "ID")]
    pub(crate) incident: Option<String>,
    /// From when on, in RFC 3339; without it, from now on
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) from: Option<String>,
    /// How long, such as 1h
    #[arg(long = "for", value_name = "DURATION", required_unless_present = "until", conflicts_with = "until")]
    pub(crate) duration: Option<String>,
    /// Until when, in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) until: Option<String>,
    /// Why
    #[arg(long)]
    pub(crate) reason: String,
}

/// Words of the API, also in capitals.
fn one_of(words: &'static [&'static str]) -> impl TypedValueParser<Value = String> {
    PossibleValuesParser::new(words).map(|word: String| word.to_lowercase())
}

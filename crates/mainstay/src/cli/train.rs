//! `mainstay train`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use mainstay_core::event::parse_time;
use mainstay_core::time::Time;
use mainstay_core::training::interval::Interval;

use super::duration;

#[derive(Args, Debug)]
pub(crate) struct Train {
    /// What is trained
    #[arg(long, default_value = "training", value_name = "NAME")]
    pub(crate) name: String,
    /// Where checkpoints go; one supervisor at a time [default: checkpoints]
    #[arg(long, value_name = "DIR")]
    pub(crate) checkpoints: Option<PathBuf>,
    /// Steps between checkpoints; without it the script decides
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) checkpoint_every: Option<u64>,
    /// Checkpoints between two evaluations of the gates; at the end they are always asked [default: 10]
    #[arg(long, value_name = "CHECKPOINTS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) validate_every: Option<u64>,
    /// Retries of each kind of failure; a new checkpoint gives them back [default: 3]
    #[arg(long, value_name = "N")]
    pub(crate) retries: Option<u32>,
    /// Time that the run may be at work, over all attempts and calls, such as 6h
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub(crate) timeout: Option<Duration>,
    /// Time of one attempt; another one follows from its last checkpoint
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub(crate) attempt_timeout: Option<Duration>,
    /// When nothing of the run may be left, such as 2030-01-31T06:00:00Z
    #[arg(long, value_parser = moment, value_name = "RFC3339")]
    pub(crate) deadline: Option<Time>,
    /// Time between checkpoints, for scripts that ask: such as 10m, or auto, by what saves cost and failures lose
    #[arg(long, value_parser = interval, value_name = "auto|DURATION")]
    pub(crate) checkpoint_interval: Option<Interval>,
    /// Time from the request to end until the script is killed
    #[arg(long, default_value = "30s", value_parser = duration, value_name = "DURATION")]
    pub(crate) grace: Duration,
    /// Longest wait for progress, where nothing is known of how long a phase takes
    #[arg(long, default_value = "30m", value_parser = duration, value_name = "DURATION")]
    pub(crate) hang: Duration,
    /// memory=8GiB, cpu=3600 (seconds of each process), files=1024
    #[arg(long = "limit", value_parser = limit, value_name = "WHAT=MOST")]
    pub(crate) limits: Vec<(Limit, u64)>,
    /// Where a limit cannot be enforced, warn and go on
    #[arg(long)]
    pub(crate) limit_best_effort: bool,
    /// Good checkpoints that are kept
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub(crate) keep: usize,
    /// What must hold of a checkpoint: CEL over `metrics` and `champion`, `not-worse:METRIC within MARGIN`, `finite`, or
    /// cmd:COMMAND; all must pass
    #[arg(long = "gate", value_name = "EXPR")]
    pub(crate) gates: Vec<String>,
    /// Longest time of a gate's command; it and all that it started end then, and the gate fails
    #[arg(long, default_value = "10m", value_parser = duration, value_name = "DURATION")]
    pub(crate) gate_timeout: Duration,
    /// Take over checkpoints that a library writes here: `checkpoint-N/` or `*step=N*.ckpt`. `{resume}` in COMMAND is the one to
    /// go on from; without one it goes, with the flag in front of it
    #[arg(long, value_name = "DIR")]
    pub(crate) adopt: Option<PathBuf>,
    /// After a failed gate, point back to the last checkpoint that passed
    #[arg(long)]
    pub(crate) rollback_on_failure: bool,
    /// The model that the last checkpoint becomes a version of, at --url
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// Make that version the champion, where its gates passed and the error budget allows it
    #[arg(long)]
    pub(crate) promote: bool,
    /// The latest event in the data: what the model's age is measured by
    #[arg(long, value_parser = moment, value_name = "RFC3339")]
    pub(crate) data_max_event_time: Option<Time>,
    /// What went in: data=DIGEST, code=DIGEST or config=DIGEST
    #[arg(long = "digest", value_parser = digest, value_name = "WHAT=DIGEST")]
    pub(crate) digests: Vec<(String, String)>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

fn digest(text: &str) -> Result<(String, String), String> {
    let (what, digest) = text.split_once('=').ok_or("must be such as data=sha256:0f3a")?;
    if !["data", "code", "config"].contains(&what) || digest.is_empty() {
        return Err("must be data=DIGEST, code=DIGEST or config=DIGEST".to_owned());
    }
    Ok((what.to_owned(), digest.to_owned()))
}

fn moment(text: &str) -> Result<Time, String> {
    parse_time(text).ok_or_else(|| "must be such as 2030-01-31T06:00:00Z".to_owned())
}

fn interval(text: &str) -> Result<Interval, String> {
    match text {
        "auto" => Ok(Interval::Auto),
        _ => duration(text).map(Interval::Fixed).map_err(|_| "must be auto, or a duration such as 10m".to_owned()),
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Limit {
    Memory,
    Cpu,
    Files,
}

fn limit(text: &str) -> Result<(Limit, u64), String> {
    let (name, most) = text.split_once('=').ok_or("must be such as memory=8GiB")?;
    let limit = match name {
        "memory" => Limit::Memory,
        "cpu" => Limit::Cpu,
        "files" => Limit::Files,
        _ => return Err(format!("`{name}` cannot be limited: memory, cpu or files can; for time there is --timeout")),
    };
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1_u64 << 40)];
    let unit = units.into_iter().find(|(unit, _)| most.ends_with(unit)).filter(|_| limit == Limit::Memory);
    let (digits, factor) = unit.map_or((most, 1), |(unit, factor)| (most.trim_end_matches(unit), factor));
    let number: u64 = digits.trim().parse().map_err(|_| format!("`{most}` is no number such as 8GiB or 1024"))?;
    let most = number.checked_mul(factor).filter(|most| *most > 0).ok_or("must be greater than 0")?;
    Ok((limit, most))
}

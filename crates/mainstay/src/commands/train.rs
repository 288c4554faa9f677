//! `mainstay train -- COMMAND`.

use std::io::IsTerminal as _;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use indicatif::{ProgressBar, ProgressStyle};
use mainstay_core::time::Time;
use mainstay_core::training::State;
use mainstay_core::training::gate::Gate;
use mainstay_core::training::{policy, progress};
use mainstay_trainer::{Error, Guards, Options, Summary};

use crate::cli::{Global, Train};
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};

/// Exit codes: 0 succeeded; 1 it did not; 2 the command line or a gate is wrong; 3 directory, command or limit cannot be used.
pub(crate) fn run(global: &Global, asked: &Train) -> Result<Exit, Stop> {
    let options = options(asked)?;
    let mut say = |line: &str| line_of_progress().suspend(|| output::say(format_args!("{line}")));
    let summary = mainstay_trainer::run(&options, &mut say);
    line_of_progress().finish_and_clear();
    let summary = summary.map_err(stop)?;
    match global.format {
        Format::Json => output::data(serde_json::to_string_pretty(&summary).map_err(Stop::bug)?)?,
        Format::Human => output::data(human(&summary))?,
    }
    Ok(if summary.state == State::Succeeded { Exit::Fine } else { Exit::No })
}

fn stop(error: Error) -> Stop {
    Stop::unreachable(error)
}

fn options(asked: &Train) -> Result<Options, Stop> {
    let gate =
        |text: &String| Gate::parse(text).map_err(|error| Stop::usage(anyhow::anyhow!("gate `{text}`: {error}")));
    let limit = |wanted| asked.limits.iter().rev().find(|(limit, _)| *limit == wanted).map(|(_, most)| *most);
    let progress = progress::Settings::default();
    Ok(Options {
        name: asked.name.clone(),
        directory: asked.checkpoints.clone(),
        command: asked.command.clone(),
        seed: now().as_nanos() ^ (u64::from(std::process::id()) << 32),
        every: asked.checkpoint_every,
        validate_every: asked.validate_every,
        policy: policy::Settings::with_retries(asked.retries),
        progress: progress::Settings { floor: progress.floor.min(asked.hang), ceiling: asked.hang, ..progress },
        timeout: asked.timeout,
        grace: asked.grace,
        memory: limit(crate::cli::Limit::Memory),
        cpu: limit(crate::cli::Limit::Cpu),
        files: limit(crate::cli::Limit::Files),
        keep: asked.keep,
        gates: asked.gates.iter().map(gate).collect::<Result<_, _>>()?,
        rollback: asked.rollback_on_failure,
        guards: Guards {
            best_effort: asked.limit_best_effort,
            attempt_timeout: asked.attempt_timeout,
            deadline: asked.deadline,
            interval: asked.checkpoint_interval.unwrap_or_default(),
            show: std::io::stderr().is_terminal().then_some(|line| line_of_progress().set_message(line.to_owned())),
            ..Guards::default()
        },
        now,
    })
}

/// One line on a terminal, without colours; elsewhere none.
fn line_of_progress() -> &'static ProgressBar {
    static LINE: OnceLock<ProgressBar> = OnceLock::new();
    LINE.get_or_init(|| {
        let line = ProgressBar::new_spinner();
        line.set_style(ProgressStyle::with_template("{wide_msg}").expect("the template is valid"));
        line
    })
}

/// Wall time at the start, and monotonic from there.
fn now() -> Time {
    static START: OnceLock<(Instant, Time)> = OnceLock::new();
    let (began, at) = START.get_or_init(|| {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (Instant::now(), Time::ZERO + wall)
    });
    *at + began.elapsed()
}

fn human(summary: &Summary) -> String {
    let state = serde_json::to_value(summary.state).ok();
    let state = state.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default();
    let reason = summary.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let mut text = format!(
        "{}: {state}{reason}\n  step {}, {} attempts, {} checkpoints, goodput {:.1} % of {:.1} s, {} steps lost",
        summary.name,
        summary.step.unwrap_or(0),
        summary.attempts,
        summary.checkpoints,
        100.0 * summary.goodput,
        summary.wall_s,
        summary.lost_steps,
    );
    if let (Some(percent), true) = (summary.progress_percent, summary.state != State::Succeeded) {
        text = format!("{text}\n  {percent} % done");
    }
    if let (Some(left), true) = (summary.estimated_remaining_seconds, summary.state != State::Succeeded) {
        text = format!("{text}, about {left} s left");
    }
    for warning in &summary.warnings {
        text = format!("{text}\n  warning: {warning}");
    }
    for (limit, by) in &summary.enforced_by {
        text = format!("{text}\n  {limit}: enforced by {by}");
    }
    text
}

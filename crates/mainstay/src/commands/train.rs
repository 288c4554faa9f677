//! `mainstay train -- COMMAND`.

mod champion;
mod deliver;
mod options;

use std::sync::OnceLock;

use indicatif::{ProgressBar, ProgressStyle};
use mainstay_core::training::State;
use mainstay_trainer::{Error, Summary};

use crate::cli::{Global, Train};
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};

use deliver::Reporter;
pub(crate) use options::now;

/// Exit codes: 0 succeeded; 1 it did not, or was not promoted; 2 the command line, the config or a gate is wrong; 3 directory, command
/// or limit cannot be used.
pub(crate) fn run(global: &Global, asked: &Train) -> Result<Exit, Stop> {
    let config = options::of_config(&global.config)?;
    let mut options = options::options(asked, &config)?;
    let model = asked.model.as_ref().or(config.model.as_ref());
    if asked.promote && model.is_none() {
        return Err(Stop::usage(anyhow::anyhow!("--promote needs --model: which model is it?")));
    }
    let waiting = deliver::deliver_what_waits(global, &options.directory);
    if waiting > 0 {
        output::say(format_args!("{waiting} reports of earlier runs wait for {}", global.url));
    }
    options.guards.champion = model.and_then(|model| champion::metrics(global, model));
    let mut say = |line: &str| line_of_progress().suspend(|| output::say(format_args!("{line}")));
    let reporter = Reporter::start(global, &options.directory);
    let summary = mainstay_trainer::run(&options, &mut say).map_err(stop);
    line_of_progress().finish_and_clear();
    let curves = reporter.end();
    let summary = summary?;
    match global.format {
        Format::Json => output::data(serde_json::to_string_pretty(&summary).map_err(Stop::bug)?)?,
        Format::Human => output::data(human(&summary))?,
    }
    let is_promoted = champion::deliver(global, asked, model, &options.directory, &summary, curves)?;
    Ok(if summary.state == State::Succeeded && is_promoted { Exit::Fine } else { Exit::No })
}

fn stop(error: Error) -> Stop {
    Stop::unreachable(error)
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

//! What a training run is asked to do: the command line, and the config where it says nothing.

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use mainstay_core::plan::RunDefaults;
use mainstay_core::time::Time;
use mainstay_core::training::gate::Gate;
use mainstay_core::training::{policy, progress};
use mainstay_trainer::{Guards, Options};

use super::line_of_progress;
use crate::cli::{Limit, Train};
use crate::exit::Stop;
use crate::source::Document;

const CHECKPOINTS: &str = "checkpoints";
const VALIDATE_EVERY: u64 = 10;
const RETRIES: u32 = 3;

/// The section `training` of the config, where there is one: a run needs none.
pub(super) fn of_config(file: &Path) -> Result<RunDefaults, Stop> {
    let document = match Document::read(file) {
        Ok(document) => document,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(RunDefaults::default()),
        Err(error) => return Err(Stop::usage(anyhow::anyhow!("cannot read {}: {error}", file.display()))),
    };
    Ok(document.plan()?.training.run)
}

/// The command line, the config where it says nothing, and the usual where neither does.
pub(super) fn options(asked: &Train, config: &RunDefaults) -> Result<Options, Stop> {
    let gate =
        |text: &String| Gate::parse(text).map_err(|error| Stop::usage(anyhow::anyhow!("gate `{text}`: {error}")));
    let limit = |wanted| asked.limits.iter().rev().find(|(limit, _)| *limit == wanted).map(|(_, most)| *most);
    let gates = if asked.gates.is_empty() { &config.gates } else { &asked.gates };
    let progress = progress::Settings::default();
    Ok(Options {
        name: asked.name.clone(),
        directory: asked
            .checkpoints
            .clone()
            .or_else(|| config.checkpoints.clone())
            .unwrap_or_else(|| CHECKPOINTS.into()),
        command: asked.command.clone(),
        seed: now().as_nanos() ^ (u64::from(std::process::id()) << 32),
        every: asked.checkpoint_every.or(config.checkpoint_every),
        validate_every: asked.validate_every.or(config.validate_every).unwrap_or(VALIDATE_EVERY),
        policy: policy::Settings::with_retries(asked.retries.or(config.retries).unwrap_or(RETRIES)),
        progress: progress::Settings { floor: progress.floor.min(asked.hang), ceiling: asked.hang, ..progress },
        timeout: asked.timeout.or(config.timeout),
        grace: asked.grace,
        memory: limit(Limit::Memory).or(config.memory),
        cpu: limit(Limit::Cpu).or(config.cpu.map(|most| most.as_secs().max(1))),
        files: limit(Limit::Files).or(config.files),
        keep: asked.keep,
        gates: gates.iter().map(gate).collect::<Result<_, _>>()?,
        rollback: asked.rollback_on_failure || config.rollback_on_failure.unwrap_or(false),
        guards: Guards {
            best_effort: asked.limit_best_effort,
            attempt_timeout: asked.attempt_timeout,
            gate_timeout: asked.gate_timeout,
            adopt: asked.adopt.clone(),
            deadline: asked.deadline,
            interval: asked.checkpoint_interval.unwrap_or_default(),
            show: std::io::stderr().is_terminal().then_some(|line| line_of_progress().set_message(line.to_owned())),
            ..Guards::default()
        },
        now,
    })
}

/// Wall time at the start, and monotonic from there.
pub(crate) fn now() -> Time {
    static START: OnceLock<(Instant, Time)> = OnceLock::new();
    let (began, at) = START.get_or_init(|| {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (Instant::now(), Time::ZERO + wall)
    });
    *at + began.elapsed()
}

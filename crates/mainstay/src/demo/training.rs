//! The primary model's training: under the supervisor, as a process of its own that is killed once in the middle.
//!
//! ```text
//! demo ──supervises──> `mainstay demo-train` (attempt 1) ──kill -9 at step 130──x
//!                      `mainstay demo-train` (attempt 2) ──from step 120──> step 300, gate, champion
//! ```
//!
//! Beside it the same steps are made in this process, by the library, with nothing going wrong: both end with the same bits.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use mainstay_core::event::format_time;
use mainstay_core::rng::Rng;
use mainstay_core::time::Time;
use mainstay_core::training::gate::Gate;
use mainstay_core::training::trainable::{self, StepError, Trainable};
use mainstay_core::training::{State, policy, progress};
use mainstay_trainer::{Guards, Options, Summary, checkpoint};
use serde_json::{Value, json};

use super::criteria::Criterion;
use super::data::{COLUMNS, DataSet};
use super::model::{Descent, Model};
use crate::exit::{Exit, Stop};
use crate::output;

const STEPS: u64 = 300;
const SAVE_EVERY: u64 = 20;
/// Where the first attempt is killed: after a checkpoint and before the next.
const KILLED_AT: u64 = 130;
const GATE: &str = "metrics.held_out_accuracy >= 0.95";
const WEIGHTS: &str = "weights.f64";

/// The primary model, and how it came about.
pub(super) struct Trained {
    pub(super) model: Model,
    summary: Summary,
    digest: String,
    accuracy: f64,
    /// Whether the weights are those of a run in which nothing went wrong.
    is_same: bool,
}

/// Trains the primary model in `place`.
pub(super) fn train(data: &DataSet, place: &Path) -> anyhow::Result<Trained> {
    let directory = place.join("training");
    fs::create_dir_all(&directory)?;
    let summary =
        mainstay_trainer::run(&options(&directory)?, &mut |line| output::say(format_args!("training   {line}")))?;
    ensure!(
        summary.state == State::Succeeded,
        "the demo's training ended as {:?}: {:?}",
        summary.state,
        summary.reason
    );
    let path = directory.join(summary.promoted.as_deref().context("no checkpoint was promoted")?);
    let mut trained = Descent::new(&data.training, &all_columns());
    trained.restore(&load(&path)?);
    let mut undisturbed = Descent::new(&data.training, &all_columns());
    trainable::train(&mut undisturbed, STEPS, SAVE_EVERY, policy::Settings::default(), &mut Rng::new(1), |_| {})?;
    let bits = |job: &Descent| job.save().iter().map(|weight| weight.to_bits()).collect::<Vec<_>>();
    Ok(Trained {
        digest: format!("sha256:{}", checkpoint::digest_of(&path)?),
        is_same: bits(&trained) == bits(&undisturbed),
        accuracy: trained.model().accuracy(&data.held_out),
        model: trained.model(),
        summary,
    })
}

fn all_columns() -> Vec<usize> {
    (0..COLUMNS).collect()
}

fn options(directory: &Path) -> anyhow::Result<Options> {
    let program = std::env::current_exe().context("find this program")?;
    let program =
        program.into_os_string().into_string().map_err(|_| anyhow::anyhow!("this program's path is no text"))?;
    let quick = Duration::from_millis(50);
    Ok(Options {
        name: "tumour".to_owned(),
        directory: directory.to_owned(),
        command: vec![program, "demo-train".to_owned()],
        seed: u64::from(std::process::id()),
        every: Some(SAVE_EVERY),
        validate_every: 10,
        policy: policy::Settings { backoff: quick, backoff_max: quick, ..policy::Settings::default() },
        progress: progress::Settings::default(),
        timeout: Some(Duration::from_mins(1)),
        grace: Duration::from_secs(2),
        memory: None,
        cpu: None,
        files: None,
        keep: 3,
        gates: vec![Gate::parse(GATE)?],
        rollback: false,
        guards: Guards::default(),
        now: crate::commands::train::now,
    })
}

impl Trained {
    /// What the registry is told of it.
    pub(super) fn version(&self, now: Time) -> Value {
        json!({
            "digest": self.digest,
            "created": format_time(now),
            "gates": "passed",
            "gate_results": self.summary.gates.iter().map(|gate| json!({ "gate": gate.gate, "passed": gate.passed })).collect::<Vec<_>>(),
            "metrics": { "held_out_accuracy": self.accuracy },
            "lineage": { "run": self.summary.run, "checkpoint": self.summary.promoted, "step": STEPS },
        })
    }

    /// The run, for programs.
    pub(super) fn json(&self) -> Value {
        json!({
            "run": self.summary.run, "attempts": self.summary.attempts, "lost_steps": self.summary.lost_steps,
            "promoted": self.summary.promoted, "digest": self.digest, "same_as_without_a_crash": self.is_same,
        })
    }

    /// Whether training survived.
    pub(super) fn judge(&self) -> Criterion {
        Criterion {
            name: "training killed in the middle: the weights are those of a run without a crash",
            held: self.is_same && self.summary.attempts == 2,
            measured: format!(
                "{} attempts, {} steps made again, weights {}",
                self.summary.attempts,
                self.summary.lost_steps,
                if self.is_same { "equal to the last bit" } else { "differ" },
            ),
        }
    }
}

/// The training script: goes on from where it is told to, saves, and in its first attempt is killed.
pub(crate) fn script() -> Result<Exit, Stop> {
    run_script().map_err(Stop::unreachable)?;
    Ok(Exit::Fine)
}

fn run_script() -> anyhow::Result<()> {
    let told = |name: &str| std::env::var(format!("MAINSTAY_{name}")).ok().filter(|value| !value.is_empty());
    let place = told("CKPT_DIR").context("only `mainstay demo` runs this")?;
    let attempt = told("ATTEMPT").unwrap_or_default();
    let data = DataSet::load()?;
    let mut job = Descent::new(&data.training, &all_columns());
    let mut step = 0;
    if let Some(from) = told("RESUME") {
        job.restore(&load(Path::new(&from))?);
        step = told("RESUME_STEP").context("a step to go on from")?.parse()?;
    }
    while step < STEPS {
        let loss = job.step().map_err(|StepError { message, .. }| anyhow::anyhow!(message))?;
        step += 1;
        tell(&json!({ "type": "metric", "step": step, "loss": loss }));
        tell(&json!({ "type": "progress", "step": step, "total": STEPS }));
        if step.is_multiple_of(SAVE_EVERY) {
            save(&job, &data, Path::new(&place), &attempt, step)?;
        }
        if step == KILLED_AT && attempt == "1" {
            die()?;
        }
    }
    tell(&json!({ "type": "done", "step": step }));
    Ok(())
}

fn tell(line: &Value) {
    let mut stdout = std::io::stdout().lock();
    // Nobody listens to a script whose supervisor is gone.
    let _ = writeln!(stdout, "mstp/1 {line}").and_then(|()| stdout.flush());
}

fn save(job: &Descent, data: &DataSet, place: &Path, attempt: &str, step: u64) -> anyhow::Result<()> {
    let aside: PathBuf = place.join(format!(".tmp-{attempt}-{step}"));
    fs::create_dir_all(&aside)?;
    // As bits: a decimal number that is read again may be another one.
    let bits: Vec<u8> = job.save().iter().flat_map(|weight| weight.to_le_bytes()).collect();
    fs::write(aside.join(WEIGHTS), bits)?;
    let accuracy = job.model().accuracy(&data.held_out);
    let metrics = json!({ "held_out_accuracy": accuracy });
    tell(&json!({ "type": "ckpt_ready", "step": step, "tmp": aside, "cursor": step, "metrics": metrics }));
    Ok(())
}

fn load(checkpoint: &Path) -> anyhow::Result<Vec<f64>> {
    let bytes = fs::read(checkpoint.join(WEIGHTS))?;
    let (weights, rest) = bytes.as_chunks::<8>();
    ensure!(rest.is_empty(), "the weights are cut off");
    Ok(weights.iter().map(|bits| f64::from_le_bytes(*bits)).collect())
}

/// Once the checkpoint before is durable this process is killed, as the system kills one for want of memory.
fn die() -> anyhow::Result<()> {
    std::thread::sleep(Duration::from_millis(300));
    let id = std::process::id().to_string();
    std::process::Command::new("kill").args(["-KILL", &id]).status().context("kill this process")?;
    std::thread::sleep(Duration::from_secs(10));
    Ok(())
}

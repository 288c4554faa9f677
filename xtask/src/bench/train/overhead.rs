//! The digits job under `mainstay train` beside the same job alone: pairs in turn, wall time and CPU.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::{median, verdict};
use crate::bench::processes;
use crate::{peers, shell};

/// Of a run of [`super::Args::seconds`].
const AIM: f64 = 0.02;
/// Steps of an epoch of the job.
const STEPS_PER_EPOCH: f64 = 45.0;
/// Epochs of the runs that tell how fast this machine is.
const PROBE: [u64; 2] = [20, 120];
/// Checkpoints of a run.
const CHECKPOINTS: f64 = 12.0;

/// What a run took, in seconds.
#[derive(Clone, Copy)]
struct Took {
    wall: f64,
    cpu: f64,
}

struct Job {
    python: PathBuf,
    place: PathBuf,
    epochs: u64,
    every: u64,
}

pub(super) fn run(binary: &Path, pairs: usize, seconds: u64) -> Result<bool> {
    let python = peers::environment("training")?.join("bin/python");
    let place = shell::target().join("bench-train/overhead");
    let mut job = Job { python, place, epochs: 0, every: u64::MAX >> 16 };
    let mut probe = |epochs| {
        job.epochs = epochs;
        job.alone().map(|took| took.wall)
    };
    let (short, long) = (probe(PROBE[0])?, probe(PROBE[1])?);
    let per_epoch = ((long - short) / (PROBE[1] - PROBE[0]) as f64).max(1e-4);
    job.epochs = (seconds as f64 * 1.05 / per_epoch).ceil() as u64;
    job.every = ((job.epochs as f64 * STEPS_PER_EPOCH / CHECKPOINTS) as u64).max(1);
    let (mut wall, mut cpu, mut shortest) = (Vec::new(), Vec::new(), f64::INFINITY);
    for pair in 0..pairs {
        // The first of a pair is not always the same: what one leaves behind is not to favour the other.
        let (alone, supervised) = if pair % 2 == 0 {
            (job.alone()?, job.supervised(binary)?)
        } else {
            let supervised = job.supervised(binary)?;
            (job.alone()?, supervised)
        };
        shortest = shortest.min(alone.wall);
        wall.push(supervised.wall / alone.wall - 1.0);
        cpu.push(supervised.cpu / alone.cpu - 1.0);
        println!(
            "pair {}: alone {:.2} s wall, {:.2} s CPU; supervised {:.2} s, {:.2} s",
            pair + 1,
            alone.wall,
            alone.cpu,
            supervised.wall,
            supervised.cpu
        );
    }
    let (wall, cpu) = (median(wall), median(cpu));
    let holds = wall <= AIM && cpu <= AIM;
    println!(
        "\n| supervised against alone, runs of {shortest:.0} s and more, median of {pairs} pairs | more |\n|---|---|"
    );
    println!("| wall time; aim <= 2 % | {:.2} % {} |", 100.0 * wall, verdict(wall <= AIM));
    println!("| CPU seconds; aim <= 2 % | {:.2} % {} |", 100.0 * cpu, verdict(cpu <= AIM));
    Ok(holds)
}

impl Job {
    fn alone(&self) -> Result<Took> {
        let mut command = Command::new(&self.python);
        command.args(self.arguments());
        self.time(&mut command)
    }

    fn supervised(&self, binary: &Path) -> Result<Took> {
        let mut command = Command::new(binary);
        command.args(["train", "--checkpoints", "checkpoints", "--"]).arg(&self.python).args(self.arguments());
        self.time(&mut command)
    }

    fn arguments(&self) -> Vec<String> {
        let script = shell::root().join("examples/training/digits/train.py").to_string_lossy().into_owned();
        let (epochs, every) = (self.epochs.to_string(), self.every.to_string());
        [&script, "--epochs", &epochs, "--checkpoint-every", &every].map(str::to_owned).to_vec()
    }

    fn time(&self, command: &mut Command) -> Result<Took> {
        let _ = fs::remove_dir_all(&self.place);
        fs::create_dir_all(&self.place)?;
        let (before, began) = (processes::of_children(), Instant::now());
        shell::quiet(command.current_dir(&self.place))?;
        let took = Took { wall: began.elapsed().as_secs_f64(), cpu: processes::of_children() - before };
        let made = fs::metadata(self.place.join("model.npz")).context("the job made no model")?;
        ensure!(made.len() > 0, "the job made an empty model");
        Ok(took)
    }
}

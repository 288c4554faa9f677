//! A commit (hash, fsync, rename, read again) beside `sha256sum`, `cp` and `sync` of a file of the same size.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::{median, verdict};
use crate::shell;

const ROUNDS: usize = 5;
/// Times as long as the other tools.
const AIM: f64 = 1.3;

pub(super) fn run(mebibytes: u64) -> Result<bool> {
    let built = shell::watch(&mut shell::cargo(&[
        "build",
        "--release",
        "--package",
        "mainstay-trainer",
        "--example",
        "commit",
    ]))?;
    ensure!(built.success, "the example does not build");
    let example = shell::target().join("release/examples/commit");
    let place = shell::target().join("bench-train/commit");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        theirs.push(tools(&place, mebibytes)?);
        ours.push(commit(&place, &example, mebibytes)?);
    }
    fs::remove_dir_all(&place)?;
    let (ours, theirs) = (median(ours), median(theirs));
    let holds = ours <= AIM * theirs;
    println!("\n| a checkpoint of {mebibytes} MiB, median of {ROUNDS} | s |\n|---|---|");
    println!("| commit: hash, fsync, rename, read again and hash | {ours:.2} |");
    println!("| `sha256sum`, `cp`, `sync` | {theirs:.2} |");
    println!("| ratio; aim <= {AIM} | {:.2} {} |", ours / theirs, verdict(holds));
    Ok(holds)
}

/// Files that were just written, as a script leaves them.
fn fill(path: &Path, mebibytes: u64) -> Result<()> {
    let mut head = Command::new("sh");
    head.args(["-c", "head -c $((MIB * 1048576)) /dev/urandom > \"$TO\""]);
    shell::quiet(head.env("MIB", mebibytes.to_string()).env("TO", path))?;
    Ok(())
}

fn commit(place: &Path, example: &Path, mebibytes: u64) -> Result<f64> {
    let _ = fs::remove_dir_all(place);
    fs::create_dir_all(place.join(".tmp-1-1"))?;
    // Nothing else is to be written while it is measured.
    shell::quiet(&mut Command::new("sync"))?;
    fill(&place.join(".tmp-1-1/weights"), mebibytes)?;
    let said = shell::quiet(Command::new(example).arg(place))?;
    let seconds = said.split_whitespace().next().context("the example told no time")?;
    seconds.parse().with_context(|| format!("not a number: {seconds}"))
}

fn tools(place: &Path, mebibytes: u64) -> Result<f64> {
    let _ = fs::remove_dir_all(place);
    fs::create_dir_all(place)?;
    fill(&place.join("weights"), mebibytes)?;
    shell::quiet(&mut Command::new("sync"))?;
    let mut all = Command::new("sh");
    all.args(["-c", "sha256sum weights && cp weights copy && sync copy"]).current_dir(place);
    let began = Instant::now();
    shell::quiet(&mut all)?;
    Ok(began.elapsed().as_secs_f64())
}

//! Recorded requests from files: JSON lines, Parquet, or a folder of them.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

#[cfg(feature = "parquet")]
use anyhow::anyhow;
#[cfg(not(feature = "parquet"))]
use anyhow::bail;
use anyhow::{Context as _, ensure};
use mainstay_core::event::Event;

/// Most requests that are read.
const EVENTS_MAX: usize = 2_000_000;
/// Most files of a folder.
const FILES_MAX: usize = 10_000;
/// How deep folders are looked into: by day, by model.
const DEPTH_MAX: usize = 4;

/// Reads a file by its extension, or all files of a folder in the order of their names.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Event>> {
    let mut events = Vec::new();
    if !path.is_dir() {
        one(path, &mut events)?;
        return Ok(events);
    }
    let mut files = Vec::new();
    find(path, 0, &mut files)?;
    ensure!(!files.is_empty(), "{}: no .jsonl and no .parquet file is in it", path.display());
    files.sort();
    for file in &files {
        one(file, &mut events)?;
    }
    Ok(events)
}

fn extension(path: &Path) -> String {
    path.extension().map(|it| it.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

fn find(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let cannot = || format!("cannot read {}", folder.display());
    for entry in std::fs::read_dir(folder).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        if path.is_dir() {
            if depth < DEPTH_MAX {
                find(&path, depth + 1, files)?;
            }
        } else if matches!(extension(&path).as_str(), "jsonl" | "ndjson" | "parquet") {
            ensure!(files.len() < FILES_MAX, "{} has more than {FILES_MAX} files", folder.display());
            files.push(path);
        }
    }
    Ok(())
}

fn one(path: &Path, events: &mut Vec<Event>) -> anyhow::Result<()> {
    if extension(path) == "parquet" { parquet(path, events) } else { lines(path, events) }
}

fn lines(path: &Path, events: &mut Vec<Event>) -> anyhow::Result<()> {
    let opened = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    for (index, line) in BufReader::new(opened).lines().enumerate() {
        let line = line.with_context(|| format!("{}:{}: cannot be read", path.display(), index + 1))?;
        if line.trim().is_empty() {
            continue;
        }
        ensure!(events.len() < EVENTS_MAX, "{}: more than {EVENTS_MAX} events", path.display());
        let event = Event::from_json(&line);
        events.push(event.with_context(|| format!("{}:{}: this is no event", path.display(), index + 1))?);
    }
    Ok(())
}

#[cfg(feature = "parquet")]
fn parquet(path: &Path, events: &mut Vec<Event>) -> anyhow::Result<()> {
    let room = EVENTS_MAX - events.len();
    let read = mainstay_telemetry::read_parquet(path, room, &mut |event| events.push(event));
    read.map_err(|bad| anyhow!("{}: {bad}", path.display()))
}

#[cfg(not(feature = "parquet"))]
fn parquet(path: &Path, _: &mut Vec<Event>) -> anyhow::Result<()> {
    bail!("{}: built without Parquet", path.display())
}

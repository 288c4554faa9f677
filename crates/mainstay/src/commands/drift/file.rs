//! CSV, JSON lines and Parquet, value by value.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use indicatif::ProgressBar;
use serde_json::Value;

use super::column::Cell;
#[cfg(feature = "parquet")]
use super::parquet;

/// Longest line that is read.
const LINE_MAX: u64 = 16 << 20;

/// Most columns of a file.
const COLUMNS_MAX: usize = 10_000;

/// What becomes of a line that cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub(crate) enum OnError {
    /// It is counted and left out
    Skip,
    /// Nothing is compared
    #[default]
    Stop,
}

/// Lines that were left out, and why the first was.
#[derive(Debug, Default)]
pub(super) struct Skipped {
    pub(super) lines: u64,
    pub(super) first: Option<String>,
}

impl Skipped {
    fn take(&mut self, on_error: OnError, path: &Path, line: u64, why: &str) -> Result<()> {
        let what = format!("{}:{line}: {why}", path.display());
        if on_error == OnError::Stop {
            bail!("{what} (--on-error skip leaves such lines out)");
        }
        self.lines += 1;
        self.first.get_or_insert(what);
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Csv,
    Lines,
    Parquet,
}

fn kind(path: &Path) -> Result<Kind> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "csv" => Ok(Kind::Csv),
        "jsonl" | "ndjson" | "json" => Ok(Kind::Lines),
        "parquet" => Ok(Kind::Parquet),
        _ => bail!("{}: not a .csv, .jsonl or .parquet file", path.display()),
    }
}

fn open(path: &Path, bar: &ProgressBar) -> Result<BufReader<Box<dyn std::io::Read>>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(BufReader::with_capacity(1 << 16, Box::new(bar.wrap_read(file))))
}

/// The names of a file's columns, in their order; those of JSON lines are the keys of its first line that is whole.
pub(super) fn names(path: &Path) -> Result<Vec<String>> {
    let bar = ProgressBar::hidden();
    let names: Vec<String> = match kind(path)? {
        Kind::Csv => {
            let mut reader = csv::ReaderBuilder::new().from_reader(open(path, &bar)?);
            let headers = reader.headers().with_context(|| format!("{}:1: no header", path.display()))?;
            headers.iter().map(str::to_owned).collect()
        }
        Kind::Lines => {
            let mut names = Vec::new();
            let mut skipped = Skipped::default();
            lines(path, &bar, OnError::Skip, &mut skipped, &mut |object| {
                if names.is_empty() {
                    names = object.keys().cloned().collect();
                }
                names.is_empty()
            })?;
            names
        }
        #[cfg(feature = "parquet")]
        Kind::Parquet => parquet::names(path)?,
        #[cfg(not(feature = "parquet"))]
        Kind::Parquet => bail!("{}: built without Parquet", path.display()),
    };
    ensure!(names.len() <= COLUMNS_MAX, "{}: more than {COLUMNS_MAX} columns", path.display());
    Ok(names)
}

/// Gives every value of the named columns to `take`, with the column's place among `wanted`.
pub(super) fn read(
    path: &Path,
    wanted: &[String],
    on_error: OnError,
    bar: &ProgressBar,
    take: &mut dyn FnMut(usize, Cell<'_>),
) -> Result<Skipped> {
    let mut skipped = Skipped::default();
    match kind(path)? {
        Kind::Csv => comma_separated(path, wanted, on_error, bar, take, &mut skipped)?,
        Kind::Lines => lines(path, bar, on_error, &mut skipped, &mut |object| {
            for (at, name) in wanted.iter().enumerate() {
                match object.get(name) {
                    None | Some(Value::Null) => take(at, Cell::Missing),
                    Some(Value::Number(number)) => take(at, Cell::Number(number.as_f64().unwrap_or(f64::NAN))),
                    Some(Value::String(text)) => take(at, Cell::of(text)),
                    Some(Value::Bool(flag)) => take(at, Cell::Word(if *flag { "true" } else { "false" })),
                    Some(other) => take(at, Cell::Word(&other.to_string())),
                }
            }
            true
        })?,
        #[cfg(feature = "parquet")]
        Kind::Parquet => parquet::read(path, wanted, bar, take)?,
        #[cfg(not(feature = "parquet"))]
        Kind::Parquet => bail!("{}: built without Parquet", path.display()),
    }
    Ok(skipped)
}

fn comma_separated(
    path: &Path,
    wanted: &[String],
    on_error: OnError,
    bar: &ProgressBar,
    take: &mut dyn FnMut(usize, Cell<'_>),
    skipped: &mut Skipped,
) -> Result<()> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(open(path, bar)?);
    let headers = reader.headers().with_context(|| format!("{}:1: no header", path.display()))?.clone();
    let place = |name: &String| headers.iter().position(|header| header == name);
    let places: Vec<usize> = wanted
        .iter()
        .map(|name| place(name).with_context(|| format!("{}: no column {name}", path.display())))
        .collect::<Result<_>>()?;
    let mut record = csv::ByteRecord::new();
    loop {
        let line = reader.position().line();
        match reader.read_byte_record(&mut record) {
            Ok(false) => return Ok(()),
            Ok(true) => {}
            Err(error) => return Err(anyhow!(error).context(format!("{}:{line}", path.display()))),
        }
        let line = record.position().map_or(line, csv::Position::line);
        if record.len() != headers.len() {
            let why = format!("{} fields where the header has {}", record.len(), headers.len());
            skipped.take(on_error, path, line, &why)?;
            continue;
        }
        let fields: Option<Vec<&str>> = places.iter().map(|&at| std::str::from_utf8(&record[at]).ok()).collect();
        match fields {
            Some(fields) => fields.iter().enumerate().for_each(|(at, text)| take(at, Cell::of(text))),
            None => skipped.take(on_error, path, line, "not UTF-8")?,
        }
    }
}

/// Gives each line's object to `take` until it says that this was enough.
fn lines(
    path: &Path,
    bar: &ProgressBar,
    on_error: OnError,
    skipped: &mut Skipped,
    take: &mut dyn FnMut(&serde_json::Map<String, Value>) -> bool,
) -> Result<()> {
    let mut reader = open(path, bar)?;
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        let read = reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut bytes);
        if read.with_context(|| format!("{}:{line}", path.display()))? == 0 {
            break;
        }
        ensure!((bytes.len() as u64) < LINE_MAX, "{}:{line}: longer than {LINE_MAX} bytes", path.display());
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(Value::Object(object)) => {
                if !take(&object) {
                    break;
                }
            }
            Ok(_) => skipped.take(on_error, path, line, "not a JSON object")?,
            Err(error) => skipped.take(on_error, path, line, &format!("not JSON: {error}"))?,
        }
    }
    Ok(())
}

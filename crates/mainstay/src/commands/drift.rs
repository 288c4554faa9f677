//! `mainstay drift`: whether the values of a file come from the same law as those of another.

mod baseline;
mod column;
mod compare;
mod file;
#[cfg(feature = "parquet")]
mod parquet;
mod report;
mod status;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use indicatif::{ProgressBar, ProgressStyle};
use mainstay_core::drift::sketch::Sketch;
use mainstay_core::drift::verdict::{Method, Status, benjamini_hochberg};

use crate::cli::{DriftCheck, DriftCommand, Global};
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};

use self::column::{Cell, Column};
use self::compare::Compared;

pub(crate) use self::file::OnError;

/// Numbers that are kept of both files at once; columns beyond go in a further pass over the files.
const KEPT_MAX: usize = 1 << 25;

/// Numbers that a sketch takes in at once.
const BATCH: usize = 4_096;

/// Runs a command about drift.
pub(crate) fn run(global: &Global, command: &DriftCommand) -> Result<Exit, Stop> {
    match command {
        DriftCommand::Check(options) => match baseline::read(&options.reference) {
            Some(read) => baseline::check(global, options, &read.map_err(Stop::usage)?),
            None => files(global, options),
        },
        DriftCommand::Baseline(options) => baseline::make(global, options),
        DriftCommand::Status { name } => status::run(global, name.as_deref()),
    }
}

/// Compares two files column by column.
fn files(global: &Global, options: &DriftCheck) -> Result<Exit, Stop> {
    let methods = methods(options)?;
    let began = Instant::now();
    let mut computing = Duration::ZERO;
    let columns = check(options, &methods, &mut computing).map_err(Stop::usage)?;
    if options.timings {
        let (all, computing) = (began.elapsed().as_secs_f64(), computing.as_secs_f64());
        output::say(format_args!("read {:.3} s, computed {computing:.3} s", all - computing));
    }
    if let Some(page) = &options.html {
        let (reference, current) = (options.reference.display().to_string(), options.current.display().to_string());
        let written = fs::write(page, report::page(&reference, &current, &columns));
        written.with_context(|| format!("cannot write {}", page.display())).map_err(Stop::unreachable)?;
    }
    match global.format {
        Format::Json => output::json(&report::document(&columns))?,
        Format::Human => output::data(report::table(&columns))?,
    }
    let drifted = columns.iter().any(|column| matches!(column.status, Status::DriftDetected | Status::Alert));
    Ok(if drifted { Exit::No } else { Exit::Fine })
}

fn methods(options: &DriftCheck) -> Result<Vec<Method>, Stop> {
    if options.all {
        return Ok(Method::ALL.to_vec());
    }
    if options.method.is_empty() {
        return Ok(Method::ALL.into_iter().filter(|method| method.is_default()).collect());
    }
    let known = || Method::ALL.map(Method::name).join(", ");
    let find = |name: &String| Method::ALL.into_iter().find(|method| method.name() == name);
    let found = options.method.iter().map(|name| find(name).with_context(|| format!("no method {name}: {}", known())));
    found.collect::<Result<_>>().map_err(Stop::usage)
}

/// `computing` grows by what is not reading.
fn check(options: &DriftCheck, methods: &[Method], computing: &mut Duration) -> Result<Vec<Compared>> {
    let (reference, current) = (file::names(&options.reference)?, file::names(&options.current)?);
    let wanted = wanted(options, &reference, &current)?;
    let at_once = (KEPT_MAX / options.exact_rows.max(1) / 2).max(1);
    let mut columns = Vec::with_capacity(wanted.len());
    for names in wanted.chunks(at_once) {
        columns.extend(pass(options, names, methods, computing)?);
    }
    judge(&mut columns, methods, options.alpha);
    Ok(columns)
}

/// The columns that were asked for, or those that both files have; what only one has is said.
fn wanted(options: &DriftCheck, reference: &[String], current: &[String]) -> Result<Vec<String>> {
    let sides = [(&options.reference, reference), (&options.current, current)];
    if !options.column.is_empty() {
        for name in &options.column {
            for (path, names) in sides {
                if !names.contains(name) {
                    let there = names.join(", ");
                    return Err(anyhow!("{}: no column {name}; there are {there}", path.display()));
                }
            }
        }
        return Ok(options.column.clone());
    }
    for ((path, names), others) in sides.into_iter().zip([current, reference]) {
        let alone: Vec<&str> = names.iter().filter(|name| !others.contains(name)).map(String::as_str).collect();
        if !alone.is_empty() {
            output::say(format_args!("only in {}, not compared: {}", path.display(), alone.join(", ")));
        }
    }
    let shared: Vec<String> = reference.iter().filter(|name| current.contains(name)).cloned().collect();
    if shared.is_empty() { Err(anyhow!("the two files have no column in common")) } else { Ok(shared) }
}

/// Reads some columns of both files: what is kept first, and, where that is not all, again into bins.
fn pass(options: &DriftCheck, names: &[String], methods: &[Method], computing: &mut Duration) -> Result<Vec<Compared>> {
    let reference = gather(options, &options.reference, names)?;
    let current = gather(options, &options.current, names)?;
    let began = Instant::now();
    let mut sketches: Vec<Option<(Sketch, Sketch)>> = reference
        .iter()
        .zip(&current)
        .map(|(a, b)| {
            let is_binned = a.is_numeric() && !(a.is_whole() && b.is_whole());
            is_binned.then(|| {
                let mut sorted = a.numbers.clone();
                sorted.sort_unstable_by(f64::total_cmp);
                let sketch = Sketch::new(&sorted);
                (sketch.empty(), sketch)
            })
        })
        .collect();
    *computing += began.elapsed();
    let binned: Vec<usize> = (0..names.len()).filter(|&at| sketches[at].is_some()).collect();
    if !binned.is_empty() {
        let mut of =
            |path: &Path, pick: fn(&mut (Sketch, Sketch)) -> &mut Sketch, all: &mut [Option<(Sketch, Sketch)>]| {
                count(options, path, names, &binned, &mut |at, values| {
                    let began = Instant::now();
                    if let Some(pair) = &mut all[at] {
                        pick(pair).extend(values);
                    }
                    *computing += began.elapsed();
                })
            };
        of(&options.reference, |pair| &mut pair.0, &mut sketches)?;
        of(&options.current, |pair| &mut pair.1, &mut sketches)?;
    }
    let began = Instant::now();
    let sides = reference.iter().zip(&current).zip(&sketches).zip(names);
    let compared = sides.map(|(((a, b), sketches), name)| compare::column(name, a, b, sketches.as_ref(), methods));
    let compared = compared.collect();
    *computing += began.elapsed();
    Ok(compared)
}

fn gather(options: &DriftCheck, path: &Path, names: &[String]) -> Result<Vec<Column>> {
    let mut columns = vec![Column::new(options.exact_rows); names.len()];
    let bar = progress(path);
    let skipped = file::read(path, names, options.on_error, &bar, &mut |at, cell| columns[at].push(cell))?;
    bar.finish_and_clear();
    if let Some(first) = skipped.first {
        output::say(format_args!("{} lines were left out, the first: {first}", skipped.lines));
    }
    Ok(columns)
}

/// Gives the finite numbers of the columns at `binned` to `take`, in batches.
fn count(
    options: &DriftCheck,
    path: &Path,
    names: &[String],
    binned: &[usize],
    take: &mut dyn FnMut(usize, &[f64]),
) -> Result<()> {
    let wanted: Vec<String> = binned.iter().map(|&at| names[at].clone()).collect();
    let mut batches = vec![Vec::with_capacity(BATCH); wanted.len()];
    let bar = progress(path);
    file::read(path, &wanted, options.on_error, &bar, &mut |at, cell| {
        let Cell::Number(value) = cell else { return };
        if value.is_finite() {
            batches[at].push(value);
            if batches[at].len() == BATCH {
                take(binned[at], &batches[at]);
                batches[at].clear();
            }
        }
    })?;
    bar.finish_and_clear();
    for (at, batch) in batches.iter().enumerate() {
        take(binned[at], batch);
    }
    Ok(())
}

/// A bar on stderr, if that is a terminal.
fn progress(path: &Path) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {msg}");
    let bar = ProgressBar::new(fs::metadata(path).map_or(0, |about| about.len()));
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())).with_message(path.display().to_string())
}

/// Corrects each method's p-values for the number of columns, and says what drifted.
fn judge(columns: &mut [Compared], methods: &[Method], alpha: f64) {
    for &method in methods {
        let mut scores: Vec<_> =
            columns.iter_mut().flat_map(|column| &mut column.scores).filter(|score| score.method == method).collect();
        let tested: Vec<f64> = scores.iter().filter_map(|score| score.p_value).collect();
        let mut corrected = benjamini_hochberg(&tested).into_iter();
        for score in &mut scores {
            let p_value = score.p_value.and_then(|_| corrected.next());
            score.judge(p_value, alpha);
        }
    }
    for column in columns {
        column.status = Status::of(column.n_reference, column.n_current, &column.scores);
    }
}

//! References of monitored names: made of a file's column, put in force, compared with a file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use hyper::Method;
use mainstay_core::drift::reference::{Builder, Reference, Values};
use mainstay_core::drift::verdict::Status;
use mainstay_core::drift::window::{About, Outcome, Places, Window};
use mainstay_core::observed::Value;
use mainstay_core::rng::Rng;
use mainstay_core::stats::multiple::{Correction, correct};
use mainstay_core::time::Time;
use serde_json::json;

use super::column::Cell;
use super::{file, progress};
use crate::cli::{DriftBaseline, DriftCheck, Global};
use crate::client;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::table::Table;

/// Longest reference that is read.
const REFERENCE_MAX: u64 = 16 << 20;
const SEED: u64 = 1;

/// Makes a reference; puts it in force, or writes it.
pub(super) fn make(global: &Global, options: &DriftBaseline) -> Result<Exit, Stop> {
    let reference = built(options).map_err(Stop::usage)?;
    let said = format!(
        "{}: {} values of kind {}, {} missing",
        reference.name,
        reference.count(),
        reference.values.kind(),
        reference.missing
    );
    match &options.out {
        Some(out) if out == Path::new("-") => output::data(serde_json::to_string(&reference).map_err(Stop::bug)?)?,
        Some(out) => {
            let text = serde_json::to_string(&reference).map_err(Stop::bug)? + "\n";
            let written = fs::write(out, text).with_context(|| format!("cannot write {}", out.display()));
            written.map_err(Stop::unreachable)?;
        }
        None => {
            let path = format!("/api/v1/drift/references/{}", client::segment(&options.name));
            let body = serde_json::to_value(&reference).map_err(Stop::bug)?;
            client::call(global, Method::PUT, &path, Some(&body))?;
        }
    }
    output::say(format_args!("{said}"));
    Ok(Exit::Fine)
}

/// A column's values of both kinds, until it is known which it is.
fn built(options: &DriftBaseline) -> Result<Reference> {
    let names = file::names(&options.file)?;
    if !names.contains(&options.column) {
        let (path, column, there) = (options.file.display(), &options.column, names.join(", "));
        return Err(anyhow!("{path}: no column {column}; there are {there}"));
    }
    let (mut numbers, mut words) = (Builder::numbers(false, SEED), Builder::categories(SEED));
    each(&options.file, &options.column, options.on_error, |value| {
        numbers.push(&value, Time::ZERO);
        words.push(&value, Time::ZERO);
    })?;
    let builder = if numbers.count() >= words.count() { numbers } else { words };
    let made = builder.finish(&options.name, options.model.as_deref(), options.model_version.as_deref());
    made.with_context(|| format!("{}: column {} has no value", options.file.display(), options.column))
}

fn each(path: &Path, column: &str, on_error: super::OnError, mut take: impl FnMut(Value)) -> Result<()> {
    let bar = progress(path);
    let skipped = file::read(path, &[column.to_owned()], on_error, &bar, &mut |_, cell| {
        take(match cell {
            Cell::Missing => Value::Missing,
            Cell::Number(number) => Value::Number(number),
            Cell::Word(word) => Value::word(word),
        });
    })?;
    bar.finish_and_clear();
    if let Some(first) = skipped.first {
        output::say(format_args!("{} lines were left out, the first: {first}", skipped.lines));
    }
    Ok(())
}

/// The reference in a `.json` file; `None` where the file is of another kind, or of lines.
pub(super) fn read(path: &Path) -> Option<Result<Reference>> {
    if path.extension().is_none_or(|extension| extension != "json") {
        return None;
    }
    let size = fs::metadata(path).ok()?.len();
    let text = if size <= REFERENCE_MAX { fs::read_to_string(path).ok()? } else { return None };
    // A file of lines is no single object with a version and values.
    let object: serde_json::Value = serde_json::from_str(&text).ok()?;
    object.get("version").and(object.get("values"))?;
    Some(Reference::from_json(&text).with_context(|| path.display().to_string()))
}

/// Compares a file's column with a reference.
pub(super) fn check(global: &Global, options: &DriftCheck, reference: &Reference) -> Result<Exit, Stop> {
    let (status, outcome) = compare(options, reference).map_err(Stop::usage)?;
    let methods: BTreeMap<&str, serde_json::Value> = outcome
        .scores
        .iter()
        .map(|score| {
            let value = Some(score.value).filter(|value| value.is_finite());
            let p_value = score.p_value;
            (score.method.name(), json!({ "value": value, "p_value": p_value, "drifted": score.drifted }))
        })
        .collect();
    match global.format {
        Format::Json => {
            let column = json!({
                "status": status.name(), "n_reference": reference.count(), "n_current": outcome.count,
                "exact": false, "methods": methods,
            });
            output::json(&json!({ "columns": { (&reference.name): column } }))?;
        }
        Format::Human => {
            let mut table = Table::new(&["column", "status", "method", "value", "p-value", "drifted"]);
            for (at, (method, score)) in methods.iter().enumerate() {
                let (name, word) = if at == 0 { (reference.name.as_str(), status.name()) } else { ("", "") };
                let number = |key: &str| score[key].as_f64().map_or("-".to_owned(), |number| format!("{number:.4}"));
                let drifted = if score["drifted"] == true { "yes" } else { "no" };
                let cells = [name, word, method, &number("value"), &number("p_value"), drifted];
                table.row(cells.map(str::to_owned).to_vec());
            }
            output::data(table)?;
        }
    }
    Ok(if matches!(status, Status::DriftDetected | Status::Alert) { Exit::No } else { Exit::Fine })
}

fn compare(options: &DriftCheck, reference: &Reference) -> Result<(Status, Outcome)> {
    let column = options.column.first().unwrap_or(&reference.name);
    let names = file::names(&options.current)?;
    if !names.contains(column) {
        let (path, there) = (options.current.display(), names.join(", "));
        return Err(anyhow!("{path}: no column {column}; there are {there}: pick one with --column"));
    }
    let places = Places::new(reference);
    let mut window = Window::new(reference, &places);
    let mut rng = Rng::new(SEED);
    let is_number = matches!(reference.values, Values::Number(_));
    each(&options.current, column, options.on_error, |value| {
        let value = match value {
            Value::Number(number) if !is_number => Value::word(&number.to_string()),
            other => other,
        };
        let about = About { request_id: "", class: 3, backend: None, at: Time::ZERO };
        window.handle(&value, &about, (reference, &places), &mut rng);
    })?;
    let mut outcome = window.outcome(reference, &mut rng);
    let mut corrected = correct(&outcome.p_values(), Correction::BenjaminiHochberg).into_iter();
    outcome.judge(&mut corrected, options.alpha);
    let by_methods = Status::of(reference.count(), outcome.count, &outcome.scores);
    let others = outcome.rates.iter().any(|rate| rate.drifted);
    let status = if by_methods == Status::Ok && others { Status::DriftDetected } else { by_methods };
    Ok((status, outcome))
}

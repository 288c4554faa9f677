//! What a run tells the admin API, while there is one: reports as it goes, and at the end its model.
//!
//! ```text
//! status.json --every 2 s--> PUT runs/{id}
//! the end ----> PUT runs/{id} --> PUT models/{model}/versions/{version} --> POST models/{model}/promote
//!                  `--- nobody there ---> undelivered.json --the next call on the directory--> ...
//! ```
//!
//! Nothing of it holds a run up: reports have a thread of their own, and one that nobody took is replaced by the next.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hyper::Method;
use mainstay_core::event::format_time;
use mainstay_core::time::Time;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::cli::Global;
use crate::client;
use crate::exit::Stop;

/// How often a run is reported.
const EVERY: Duration = Duration::from_secs(2);
/// Most points of a metric's curve; of more every second one stays.
const POINTS_MAX: usize = 400;
/// Most metrics that have a curve.
const CURVES_MAX: usize = 16;
/// Most characters of a reason.
const REASON_CHARS_MAX: usize = 500;
/// What could not be delivered, in the directory of the checkpoints.
const UNDELIVERED: &str = "undelivered.json";

/// Something that the admin API is to be told.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Told {
    path: String,
    body: Value,
}

/// Reports a run from now on.
pub(super) struct Reporter {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<Curves>,
}

/// The values of metrics by step, as far as they were looked at.
#[derive(Debug, Default)]
pub(super) struct Curves(BTreeMap<String, Vec<(u64, f64)>>);

impl Reporter {
    pub(super) fn start(global: &Global, directory: &Path) -> Reporter {
        let (stop, stopped) = mpsc::channel();
        let (global, directory) = (global.clone(), directory.to_owned());
        let thread = thread::spawn(move || {
            let (mut curves, mut last) = (Curves::default(), 0);
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                let Some(status) = read::<Map<String, Value>>(&directory.join("status.json")) else { continue };
                curves.note(&status);
                let revision = status.get("revision").and_then(Value::as_u64).unwrap_or_default();
                if revision > last
                    && let Some(told) = report(&status, &curves, None)
                    && tell(&global, &Method::PUT, &told).is_ok()
                {
                    last = revision;
                }
            }
            curves
        });
        Reporter { stop, thread }
    }

    /// Reports no more.
    pub(super) fn end(self) -> Curves {
        drop(self.stop);
        self.thread.join().unwrap_or_default()
    }
}

impl Curves {
    /// Adds the metrics that a status has.
    pub(super) fn note(&mut self, status: &Map<String, Value>) {
        let Some(step) = status.get("step").and_then(Value::as_u64) else { return };
        for (name, value) in numbers(status) {
            if self.0.len() >= CURVES_MAX && !self.0.contains_key(&name) {
                continue;
            }
            let points = self.0.entry(name).or_default();
            // After a failure steps are made again: the curve is that of the last time.
            points.retain(|(at, _)| *at < step);
            points.push((step, value));
            if points.len() > POINTS_MAX {
                let mut keep = false;
                points.retain(|_| {
                    keep = !keep;
                    keep
                });
            }
        }
    }
}

fn numbers(status: &Map<String, Value>) -> BTreeMap<String, f64> {
    let metrics = status.get("metrics").and_then(Value::as_object).into_iter().flatten();
    metrics.filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect()
}

/// A report of what `status.json` says; `ended`: at that moment.
pub(super) fn report(status: &Map<String, Value>, curves: &Curves, ended: Option<Time>) -> Option<Told> {
    let text = |key: &str| status.get(key).and_then(Value::as_str);
    let started = Time::ZERO + Duration::from_millis(status.get("started_ms")?.as_u64()?);
    let mut whole = status.clone();
    whole.insert("curves".to_owned(), json!(curves.0));
    let body = json!({
        "name": text("name")?,
        "revision": status.get("revision")?,
        "state": text("state")?,
        "reason": text("reason").map(|reason| reason.chars().take(REASON_CHARS_MAX).collect::<String>()),
        "started": format_time(started),
        "ended": ended.map(format_time),
        "step": status.get("step").and_then(Value::as_u64).unwrap_or_default(),
        "total": status.get("total"),
        "attempts": status.get("attempts"),
        "goodput": status.get("goodput").and_then(Value::as_f64).map(|goodput| goodput.clamp(0.0, 1.0)),
        "metrics": numbers(status),
        "status": whole,
    });
    Some(Told { path: format!("/api/v1/runs/{}", client::segment(text("run")?)), body })
}

/// A version of a model, to be registered.
pub(super) fn version(model: &str, version: &str, body: Value) -> Told {
    Told { path: format!("/api/v1/models/{}/versions/{}", client::segment(model), client::segment(version)), body }
}

/// Tells something. A service that is there and refuses says so: a stop that is not [`Stop::is_unreachable`].
pub(super) fn tell(global: &Global, method: &Method, told: &Told) -> Result<Value, Stop> {
    client::call(global, method.clone(), &told.path, Some(&told.body))
}

/// What earlier calls on the directory could not deliver, and this one can; the number of those that still wait.
pub(super) fn deliver_what_waits(global: &Global, directory: &Path) -> usize {
    let mut waiting = read::<Vec<Told>>(&undelivered(directory)).unwrap_or_default();
    let taken =
        waiting.iter().position(|told| matches!(tell(global, &Method::PUT, told), Err(stop) if stop.is_unreachable()));
    waiting.drain(..taken.unwrap_or(waiting.len()));
    keep(directory, &waiting);
    waiting.len()
}

/// Delivers in order; from the first that nobody takes on, all wait in the directory. What the service refuses is given back.
pub(super) fn deliver(global: &Global, directory: &Path, all: Vec<Told>) -> Result<bool, Stop> {
    let mut waiting = read::<Vec<Told>>(&undelivered(directory)).unwrap_or_default();
    let mut all = all.into_iter();
    while let Some(told) = all.next() {
        if let Err(stop) = tell(global, &Method::PUT, &told) {
            if !stop.is_unreachable() {
                return Err(stop);
            }
            // A later report says all that an earlier one said.
            waiting.retain(|earlier| earlier.path != told.path);
            waiting.push(told);
            waiting.extend(all);
            keep(directory, &waiting);
            return Ok(false);
        }
    }
    Ok(true)
}

fn keep(directory: &Path, waiting: &[Told]) {
    let file = undelivered(directory);
    if waiting.is_empty() {
        let _ = fs::remove_file(file);
        return;
    }
    // A disk that takes no more has no room for this either; the run itself is whole.
    let aside = file.with_extension("tmp");
    let text = serde_json::to_vec_pretty(waiting).expect("values are JSON");
    let _ = fs::write(&aside, text).and_then(|()| fs::rename(&aside, &file));
}

fn undelivered(directory: &Path) -> PathBuf {
    directory.join(UNDELIVERED)
}

fn read<T: serde::de::DeserializeOwned>(file: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(step: u64, loss: f64) -> Map<String, Value> {
        let status = json!({
            "run": "r 1", "name": "digits", "revision": step, "state": "running", "started_ms": 1_000, "step": step,
            "metrics": { "loss": loss, "note": "text" }, "goodput": 1.000_000_1,
        });
        status.as_object().unwrap().clone()
    }

    #[test]
    fn a_report_says_what_the_status_says() {
        let mut curves = Curves::default();
        curves.note(&status(1, 3.0));
        curves.note(&status(2, 2.0));
        curves.note(&status(1, 2.5));
        let told = report(&status(3, 1.0), &curves, Some(Time::from_secs(5))).unwrap();
        assert_eq!(told.path, "/api/v1/runs/r%201");
        assert_eq!(told.body["status"]["curves"]["loss"], json!([[1, 2.5]]), "a step that was made again counts once");
        assert_eq!((&told.body["metrics"], &told.body["goodput"]), (&json!({ "loss": 1.0 }), &json!(1.0)));
        assert_eq!(
            (&told.body["started"], &told.body["ended"]),
            (&json!("1970-01-01T00:00:01Z"), &json!("1970-01-01T00:00:05Z"))
        );
        assert_eq!(report(&Map::new(), &curves, None), None);
    }

    #[test]
    fn curves_are_bounded() {
        let mut curves = Curves::default();
        for step in 0..10_000 {
            curves.note(&status(step, 1.0));
        }
        let points = &curves.0["loss"];
        assert!(points.len() <= POINTS_MAX && points.last() == Some(&(9_999, 1.0)), "{}", points.len());
    }
}

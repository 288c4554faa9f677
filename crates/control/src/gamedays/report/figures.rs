//! Figures of a run over time.

use std::time::Duration;

use mainstay_core::chaos::gameday::facts::{Facts, latency};
use mainstay_core::chaos::gameday::record::Record;
use mainstay_core::chaos::record::{Run, Slice};
use mainstay_core::time::Time;

use crate::review::Plot;

/// Arms, by their index.
const ARMS: [&str; 2] = ["control", "experiment"];

/// Moments of a run and of how it was met.
pub(crate) fn marks(run: &Run, facts: Option<&Facts>) -> Vec<(Time, String)> {
    let mut marks = Vec::new();
    let mut add = |at: Option<Time>, name: &str| marks.extend(at.map(|at| (at, name.to_owned())));
    let after = |seconds: Option<f64>| {
        let seconds = seconds.filter(|it| *it > 0.0 && it.is_finite())?;
        Some(run.injected? + Duration::try_from_secs_f64(seconds).ok()?)
    };
    add(run.injected, "injected");
    if let Some(facts) = facts {
        add(after(facts.detected_s), "detected");
        add(after(facts.paged_s), "paged");
        add(after(facts.acknowledged_s), "acknowledged");
        add(after(facts.mitigated_s), "mitigated");
    }
    add(run.withdrawn, "withdrawn");
    add(run.recovered, "recovered");
    marks
}

/// Moments of the run that a game day's step had.
pub(super) fn marks_of(record: &Record, run: &Run) -> Vec<(Time, String)> {
    let step = record.steps.iter().find(|it| it.run.as_deref() == Some(run.id.as_str()));
    marks(run, step.and_then(|it| it.facts.as_ref()))
}

/// Offered and unanswered requests, latency and levels, each of both arms.
pub(crate) fn of(run: &Run, marks: &[(Time, String)]) -> Vec<Plot> {
    let mut plots = Vec::new();
    let mut add = |title: String, unit: &str, of: &dyn Fn(&Slice) -> f64, bound: Option<f64>| {
        let middle = |it: &Slice| it.at + Duration::from_secs(u64::from(it.seconds)) / 2;
        let points: Vec<_> = run.slices.iter().map(|it| (middle(it), of(it))).collect();
        if points.iter().any(|(_, value)| value.is_finite()) {
            plots.push(Plot { title, unit: unit.to_owned(), points, marks: marks.to_vec(), bound });
        }
    };
    for (arm, name) in ARMS.iter().enumerate().rev() {
        let offered = |it: &Slice| it.requests[arm] as f64 / f64::from(it.seconds.max(1));
        add(format!("Offered, {name}"), "requests/s", &offered, None);
    }
    for (arm, name) in ARMS.iter().enumerate().rev() {
        let unanswered = |it: &Slice| 100.0 * ratio(it.unanswered[arm], it.requests[arm]);
        let bound = (arm == 1).then_some(100.0 * run.experiment.margin.errors);
        add(format!("Unanswered, {name}"), "%", &unanswered, bound);
    }
    for (arm, name) in ARMS.iter().enumerate().rev() {
        let p99 = |it: &Slice| {
            let quantile = latency(&it.latency[arm]).and_then(|it| it.quantile(0.99));
            quantile.map_or(f64::NAN, |it| 1e3 * it.as_secs_f64())
        };
        add(format!("p99 latency, {name}"), "ms", &p99, None);
    }
    for (arm, name) in ARMS.iter().enumerate().rev() {
        let level = |it: &Slice| {
            let answered: u64 = it.levels[arm].iter().sum();
            let weighted: u64 = it.levels[arm].iter().zip(0..).map(|(count, level): (&u64, u64)| count * level).sum();
            ratio(weighted, answered)
        };
        add(format!("Mean level of answers, {name}"), "", &level, None);
    }
    plots
}

fn ratio(part: u64, all: u64) -> f64 {
    if all == 0 { f64::NAN } else { part as f64 / all as f64 }
}

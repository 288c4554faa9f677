//! How a run stands: `status.json`, and the summary at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mainstay_core::training::State;
use mainstay_core::training::forecast;
use mainstay_core::training::gate::Answer;
use mainstay_core::training::interval::suggested;
use mainstay_core::training::ledger::Bucket;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Run, metrics};
use crate::place::{put, replace};

const METRICS: &str = "metrics.prom";

/// How a run stands, or how it ended.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Its id.
    pub run: String,
    /// What is trained.
    pub name: String,
    /// Grows with each report.
    pub revision: u64,
    /// Where it stands.
    pub state: State,
    /// Why.
    pub reason: Option<String>,
    /// When it started, in milliseconds since 1970.
    pub started_ms: u64,
    /// The last step that was told.
    pub step: Option<u64>,
    /// All steps.
    pub total: Option<u64>,
    /// Whole percent of all steps; it never goes back.
    pub progress_percent: Option<u8>,
    /// Seconds that are left, restarts as so far included.
    pub estimated_remaining_seconds: Option<u64>,
    /// Steps per second, robust against saves.
    pub steps_per_second: Option<f64>,
    /// When this was written, in milliseconds since 1970.
    pub updated_ms: u64,
    /// Ranks that work together, where the script told.
    pub world: Option<u64>,
    /// Times that the command was started.
    pub attempts: u32,
    /// Checkpoints that this supervisor committed.
    pub checkpoints: u64,
    /// Where to go on.
    pub latest: Option<String>,
    /// The checkpoint that became the champion of the directory, at the end.
    pub promoted: Option<String>,
    /// What the gates said when they were last asked.
    pub gates: Vec<Answer>,
    /// What became of going back, where a gate failed.
    pub rollback: &'static str,
    /// Share of the time that went into steps that are kept.
    pub goodput: f64,
    /// Seconds of each bucket; they sum to `wall_s`.
    pub seconds: BTreeMap<&'static str, f64>,
    /// Seconds since this supervisor began.
    pub wall_s: f64,
    /// Mean seconds between failures.
    pub mtbf_s: Option<f64>,
    /// Steps that were made and lost.
    pub lost_steps: u64,
    /// Seconds between checkpoints that would lose least.
    pub suggested_interval_s: Option<f64>,
    /// Seconds between checkpoints that the script was told.
    pub checkpoint_interval_s: Option<f64>,
    /// What people should know.
    pub warnings: BTreeSet<String>,
    /// Which limit is enforced by what.
    pub enforced_by: BTreeMap<&'static str, &'static str>,
    /// Lines that were ignored, by reason.
    pub ignored: BTreeMap<String, u64>,
    /// The last value of each metric.
    pub metrics: Map<String, Value>,
}

impl Run<'_> {
    pub(super) fn summary(&self) -> Summary {
        let seconds = Bucket::ALL.map(|bucket| (bucket.as_str(), self.ledger.spent(bucket).as_secs_f64()));
        let save = self.record.mean_save();
        let interval = save.zip(self.ledger.mtbf()).map(|(save, mtbf)| suggested(save, mtbf).as_secs_f64());
        Summary {
            run: self.record.run.clone(),
            name: self.options.name.clone(),
            revision: self.revision,
            state: self.state,
            reason: self.reason.clone(),
            started_ms: self.record.started,
            step: self.step,
            total: self.total,
            progress_percent: self.total.map(|_| self.record.percent),
            estimated_remaining_seconds: self.remaining().map(|left| left.as_secs()),
            steps_per_second: self.pace.rate(),
            updated_ms: self.now().as_millis(),
            world: self.world,
            attempts: self.record.attempt,
            checkpoints: self.committed,
            latest: self.place.pointed("latest"),
            promoted: self.promoted.clone(),
            gates: self.answers.clone(),
            rollback: self.rollback,
            goodput: self.ledger.goodput(),
            seconds: seconds.into(),
            wall_s: self.ledger.wall().as_secs_f64(),
            mtbf_s: self.ledger.mtbf().map(|mean| mean.as_secs_f64()),
            lost_steps: self.ledger.lost_steps(),
            suggested_interval_s: interval,
            checkpoint_interval_s: self.interval.map(|every| every.as_secs_f64()),
            warnings: self.warnings.clone(),
            enforced_by: self.limits.enforced_by.clone(),
            ignored: self.ignored.clone(),
            metrics: self.metrics.clone(),
        }
    }

    /// Writes `status.json`. A disk that cannot take it must not end a run that could go on.
    pub(super) fn tell(&mut self) {
        self.ledger.settle(self.now());
        self.revision += 1;
        if let Some(total) = self.total {
            let done = self.state == State::Succeeded;
            self.record.percent = forecast::percent(self.record.percent, self.step.unwrap_or(0), total, done);
        }
        self.show();
        let summary = self.summary();
        let text = serde_json::to_vec_pretty(&summary).expect("a summary is JSON");
        let measured = metrics::exposition(&summary);
        if put(&self.place.root().join(METRICS), measured.as_bytes()).is_err() {
            *self.ignored.entry("metrics".to_owned()).or_default() += 1;
        }
        if replace(&self.place.root().join("status.json"), &text).is_err() {
            *self.ignored.entry("status".to_owned()).or_default() += 1;
        }
    }

    /// Shows where it stands, where somebody looks.
    pub(super) fn show(&mut self) {
        let Some(show) = self.options.guards.show else { return };
        let percent = self.total.map(|total| {
            forecast::percent(self.record.percent, self.step.unwrap_or(0), total, self.state == State::Succeeded)
        });
        self.record.percent = percent.unwrap_or(self.record.percent);
        let line = forecast::Line {
            name: &self.options.name,
            state: self.state.as_str(),
            percent,
            step: self.step,
            total: self.total,
            rate: self.pace.rate(),
            remaining: self.remaining(),
            attempt: self.record.attempt,
            lost: self.ledger.lost_steps(),
        };
        let line = line.text();
        if line != self.shown {
            show(&line);
            self.shown = line;
        }
    }

    fn remaining(&self) -> Option<Duration> {
        let (step, total) = self.step.zip(self.total)?;
        forecast::remaining(step, total, self.pace.rate()?, self.ledger.expected_goodput())
    }
}

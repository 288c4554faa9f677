//! What metrics need, in memory: bounded by the number of models and of names that are trained.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_core::metric::{Family, Kind, Sample, Value};
use mainstay_core::time::Time;
use mainstay_store::registry::{Moved, Version};

use crate::wire::{RunReport, RunState};

/// Most names of runs, and most models, that have metrics.
const NAMES_MAX: usize = 200;

/// Models and runs at this moment.
#[derive(Default)]
pub(super) struct Board {
    models: BTreeMap<String, Served>,
    promotions: BTreeMap<(String, &'static str), u64>,
    runs: BTreeMap<String, Trained>,
}

struct Served {
    version: String,
    data: Option<Time>,
}

/// All runs of one name.
#[derive(Default)]
struct Trained {
    active: BTreeSet<String>,
    ended: BTreeMap<&'static str, u64>,
    last_success: Option<Time>,
    step: u64,
    attempts: u32,
    goodput: Option<f64>,
}

impl Board {
    pub(super) fn see_models(&mut self, versions: &[Version], moves: &[Moved]) {
        let served = moves.iter().filter(|moved| !moved.version.is_empty()).map(|moved| {
            let is_it = |it: &&Version| it.model == moved.model && it.version == moved.version;
            let data = versions.iter().find(is_it).and_then(|version| version.data_max_event_time);
            (moved.model.clone(), Served { version: moved.version.clone(), data })
        });
        self.models = served.collect();
    }

    pub(super) fn see_run(&mut self, id: &str, report: &RunReport, at: Time) {
        if self.runs.len() >= NAMES_MAX && !self.runs.contains_key(&report.name) {
            return;
        }
        let trained = self.runs.entry(report.name.clone()).or_default();
        (trained.step, trained.attempts) = (report.step, report.attempts);
        trained.goodput = report.goodput.or(trained.goodput);
        if !report.state.is_end() {
            trained.active.insert(id.to_owned());
            return;
        }
        trained.active.remove(id);
        *trained.ended.entry(report.state.as_str()).or_default() += 1;
        if report.state == RunState::Succeeded {
            trained.last_success = trained.last_success.max(Some(at));
        }
    }

    pub(super) fn count_promotion(&mut self, model: &str, outcome: &'static str) {
        *self.promotions.entry((model.to_owned(), outcome)).or_default() += 1;
    }

    pub(super) fn champions(&self) -> Vec<(String, String)> {
        self.models.iter().map(|(model, served)| (model.clone(), served.version.clone())).collect()
    }

    pub(super) fn data_times(&self) -> Vec<(String, Option<Time>)> {
        self.models.iter().map(|(model, served)| (model.clone(), served.data)).collect()
    }

    pub(super) fn families(&self) -> Vec<Family> {
        let families = [
            gauge(
                "mainstay_training_active_runs",
                "Training runs that have not ended",
                self.each_name(|run| Some(run.active.len() as f64)),
            ),
            Family {
                name: "mainstay_training_runs",
                help: "Training runs that ended, by how",
                kind: Kind::Counter,
                samples: self.ended(),
            },
            gauge(
                "mainstay_training_step",
                "The step of the run that was heard of last",
                self.each_name(|run| Some(run.step as f64)),
            ),
            gauge(
                "mainstay_training_attempts",
                "Times that the script of that run was started",
                self.each_name(|run| Some(f64::from(run.attempts))),
            ),
            gauge(
                "mainstay_training_goodput_ratio",
                "Share of the wall time of that run that went into steps that are kept",
                self.each_name(|run| run.goodput),
            ),
            gauge(
                "mainstay_training_last_success_timestamp_seconds",
                "When a run of that name last succeeded",
                self.each_name(|run| run.last_success.map(seconds)),
            ),
            gauge(
                "mainstay_model_data_timestamp_seconds",
                "The latest event that the champion learned from",
                self.data_samples(),
            ),
            Family {
                name: "mainstay_model_promotions",
                help: "Changes of champion, by how they ended",
                kind: Kind::Counter,
                samples: self.promotion_samples(),
            },
        ];
        families.into_iter().filter(|family| !family.samples.is_empty()).collect()
    }

    fn each_name(&self, value: impl Fn(&Trained) -> Option<f64>) -> Vec<Sample> {
        let samples = self.runs.iter().filter_map(|(name, run)| Some((name, value(run)?)));
        samples
            .map(|(name, value)| Sample { labels: vec![("name", name.clone())], value: Value::Gauge(value) })
            .collect()
    }

    fn ended(&self) -> Vec<Sample> {
        let each = self.runs.iter().flat_map(|(name, run)| run.ended.iter().map(move |(state, n)| (name, state, *n)));
        each.map(|(name, state, n)| Sample {
            labels: vec![("name", name.clone()), ("state", (*state).to_owned())],
            value: Value::Count(n),
        })
        .collect()
    }

    fn data_samples(&self) -> Vec<Sample> {
        let each = self.models.iter().take(NAMES_MAX).filter_map(|(model, served)| Some((model, served, served.data?)));
        each.map(|(model, served, data)| Sample {
            labels: vec![("model", model.clone()), ("model_version", served.version.clone())],
            value: Value::Gauge(seconds(data)),
        })
        .collect()
    }

    fn promotion_samples(&self) -> Vec<Sample> {
        let each = self.promotions.iter().take(NAMES_MAX);
        each.map(|((model, outcome), n)| Sample {
            labels: vec![("model", model.clone()), ("outcome", (*outcome).to_owned())],
            value: Value::Count(*n),
        })
        .collect()
    }
}

fn gauge(name: &'static str, help: &'static str, samples: Vec<Sample>) -> Family {
    Family { name, help, kind: Kind::Gauge, samples }
}

fn seconds(time: Time) -> f64 {
    time.as_secs_f64()
}

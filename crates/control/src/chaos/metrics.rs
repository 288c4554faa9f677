//! Numbers of experiments.

use std::collections::BTreeMap;

use mainstay_core::chaos::record::{Halt, Phase};
use mainstay_core::chaos::run::Runner;
use mainstay_core::metric::{Family, Kind, Sample, Value};

use crate::wire::{ChaosHalt, ExperimentLine};

/// What was counted since the start, and what is under way.
#[derive(Debug, Default)]
pub(super) struct Counted {
    active: Vec<ExperimentLine>,
    /// The orders of those whose fault may be in force.
    generations: BTreeMap<String, u64>,
    halt: Option<Halt>,
    ended: BTreeMap<String, u64>,
}

impl Counted {
    /// Takes in what is under way.
    pub(super) fn see(&mut self, runner: &Runner) {
        self.active = runner.runs().map(ExperimentLine::of).collect();
        let injects = runner.runs().filter(|run| matches!(run.phase, Phase::LeadIn | Phase::Injecting));
        self.generations = injects.map(|run| (run.id.clone(), run.generation)).collect();
        self.halt = runner.halt().cloned();
    }

    /// The last order of a run whose fault may be in force.
    pub(super) fn generation(&self, run: &str) -> Option<u64> {
        self.generations.get(run).copied()
    }

    /// What is under way.
    pub(super) fn active(&self) -> Vec<ExperimentLine> {
        self.active.clone()
    }

    /// Whether faults are halted.
    pub(super) fn halt(&self) -> ChaosHalt {
        ChaosHalt::of(self.halt.as_ref())
    }

    /// Counts a run that ended.
    pub(super) fn ended(&mut self, verdict: &str) {
        *self.ended.entry(verdict.to_owned()).or_default() += 1;
    }

    pub(super) fn families(&self) -> Vec<Family> {
        let sample = |labels: Vec<(&'static str, String)>, value| Sample { labels, value };
        let active = self.active.iter().map(|run| sample(vec![("name", run.experiment.clone())], Value::Gauge(1.0)));
        let ended = self.ended.iter();
        let ended = ended.map(|(verdict, count)| sample(vec![("verdict", verdict.clone())], Value::Count(*count)));
        let family = |name, help, kind, samples: Vec<Sample>| Family { name, help, kind, samples };
        vec![
            family("mainstay_experiment_active", "Experiments that run", Kind::Gauge, active.collect()),
            family(
                "mainstay_experiments",
                "Experiments that ended, by what they showed",
                Kind::Counter,
                ended.collect(),
            ),
            family(
                "mainstay_chaos_halted",
                "Whether no fault may be injected",
                Kind::Gauge,
                vec![sample(Vec::new(), Value::Gauge(f64::from(u8::from(self.halt.is_some()))))],
            ),
        ]
    }
}

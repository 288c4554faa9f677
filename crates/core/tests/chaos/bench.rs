//! A shell without a clock: a store, an injector with real leases, traffic, and a service that is as it is told to be.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_core::chaos::arms::{Beat, Counts};
use mainstay_core::chaos::experiment::Experiment;
use mainstay_core::chaos::gates::{BudgetOf, OpenIncident, Rigour, Safety, Situation, Terms};
use mainstay_core::chaos::lease::Leases;
use mainstay_core::chaos::order::{Arm, Order};
use mainstay_core::chaos::record::{Approval, Halt, Phase, Run};
use mainstay_core::chaos::run::{Effect, Runner, Start};
use mainstay_core::event::EventKind;
use mainstay_core::time::Time;
use serde_json::{Map, Value};

/// 2026-11-24T20:00:00Z, a Tuesday.
pub(crate) const START: Time = Time::from_secs(1_795_550_400);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// An experiment of ten minutes, with one minute before and five after.
pub(crate) fn experiment(more: &str) -> Experiment {
    let base = r#"{"name": "slow", "hypothesis": "nobody notices", "duration": "10m", "lead_in": "1m", "fault": {"model_error": {}}}"#;
    let mut document: Map<String, Value> = serde_json::from_str(base).unwrap();
    let more: Map<String, Value> = serde_json::from_str(&format!(r#"{{"route": "answers"{more}}}"#)).unwrap();
    document.extend(more);
    serde_json::from_value(Value::Object(document)).unwrap()
}

pub(crate) fn start_of(experiment: Experiment) -> Start {
    Start { experiment, plan: "hash".to_owned(), by: "ann".to_owned(), hold: None, gameday: None }
}

pub(crate) fn terms(rigour: Rigour) -> Terms {
    Terms { rigour, safety: Safety::default() }
}

pub(crate) fn budget(burn: f64) -> BudgetOf {
    BudgetOf {
        slo: "answered".to_owned(),
        route: Some("answers".to_owned()),
        remaining: Some(0.9),
        burn_short: Some(burn),
        burn_long: Some(burn),
        status: "healthy".to_owned(),
    }
}

pub(crate) fn incident(id: &str, kind: &str, routes: &[&str], opened: Time) -> OpenIncident {
    let routes = routes.iter().map(|route| (*route).to_owned()).collect();
    OpenIncident { id: id.to_owned(), kind: kind.to_owned(), routes, opened }
}

/// What rests.
#[derive(Clone, Default)]
pub(crate) struct Store {
    pub runs: BTreeMap<String, Run>,
    pub halt: Option<Halt>,
    pub approvals: Vec<Approval>,
}

/// All that is outside the runner.
#[derive(Clone)]
pub(crate) struct Bench {
    pub runner: Runner,
    pub leases: Leases,
    /// Orders in force when beats were last taken, or ended since.
    standing: BTreeMap<u64, Order>,
    pub store: Store,
    pub situation: Situation,
    pub now: Time,
    /// Requests of each arm that end in a second.
    pub rate: [u64; 2],
    /// Those of them that nobody answers.
    pub unanswered: [u64; 2],
    /// How long each takes.
    pub takes: Duration,
    /// What is told and heard: of the injector, and of the service.
    pub hears: (bool, bool),
    /// Every effect, with when it was performed.
    pub done: Vec<(Time, Effect)>,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        Bench::with(terms(Rigour::Production))
    }

    pub(crate) fn with(terms: Terms) -> Bench {
        let situation = Situation { budgets: vec![budget(0.0)], config_revision: 7, ..Situation::default() };
        Bench {
            runner: Runner::new(terms, 1),
            leases: Leases::default(),
            standing: BTreeMap::new(),
            store: Store::default(),
            situation,
            now: START,
            rate: [4, 4],
            unanswered: [0, 0],
            takes: Duration::from_millis(50),
            hears: (true, true),
            done: Vec::new(),
        }
    }

    /// Starts an experiment that is known to pass the gates.
    pub(crate) fn start(&mut self, experiment: Experiment) -> String {
        self.start_with(start_of(experiment))
    }

    pub(crate) fn start_with(&mut self, start: Start) -> String {
        let id = self.runner.handle_start(start, &self.situation, self.now).unwrap();
        self.perform();
        id
    }

    /// Performs what the runner asks for, in order.
    pub(crate) fn perform(&mut self) {
        loop {
            let effects = self.runner.take_effects();
            if effects.is_empty() {
                return;
            }
            self.perform_all(effects);
        }
    }

    pub(crate) fn perform_all(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.done.push((self.now, effect.clone()));
            self.perform_one(effect);
        }
    }

    pub(crate) fn perform_one(&mut self, effect: Effect) {
        match effect {
            Effect::Rest(run) => {
                self.store.runs.insert(run.id.clone(), *run);
            }
            Effect::RestHalt(halt) => self.store.halt = Some(halt),
            Effect::RestApproval(approval) => self.store.approvals.push(approval),
            Effect::Inject(order) => {
                let (run, generation) = (order.run.clone(), order.generation);
                if let Err(refused) = self.leases.handle_order(order, self.now) {
                    self.runner.handle_failed(&run, generation, &refused.to_string(), self.now);
                }
            }
            Effect::Renew { run, generation } => {
                if let Err(refused) = self.leases.handle_renew(&run, generation, self.now) {
                    self.runner.handle_failed(&run, generation, &refused.to_string(), self.now);
                }
            }
            Effect::Withdraw { run, generation } => self.leases.handle_withdraw(&run, generation, self.now),
            Effect::Halt(halted) => self.leases.handle_halt(halted),
            Effect::Tell(_) => {}
        }
    }

    /// Whether a fault is in force.
    pub(crate) fn injects(&self) -> bool {
        self.leases.in_force(self.now).any(|(order, _)| order.injects)
    }

    /// What the injector says.
    pub(crate) fn beats(&mut self) -> Vec<Beat> {
        let _ = self.leases.handle_timeout(self.now);
        let in_force: BTreeMap<u64, (Order, Time)> =
            self.leases.in_force(self.now).map(|(order, since)| (order.generation, (order.clone(), since))).collect();
        let mut beats = Vec::new();
        for order in self.standing.values().filter(|order| !in_force.contains_key(&order.generation)) {
            beats.push(self.beat(order, None));
        }
        for (order, since) in in_force.values() {
            beats.push(self.beat(order, Some(*since)));
        }
        self.standing = in_force.into_iter().map(|(generation, (order, _))| (generation, order)).collect();
        beats
    }

    fn beat(&self, order: &Order, since: Option<Time>) -> Beat {
        let lasted = since.map(|since| self.now.since(since));
        let block = order.blocks.zip(lasted).map(|(blocks, lasted)| blocks.arm_at(lasted));
        let in_block = order.blocks.zip(lasted).is_none_or(|(blocks, lasted)| blocks.injects_at(lasted));
        let injects = lasted.is_some() && order.injects && in_block;
        let arm = |arm: Arm| {
            let mut counts = Counts::default();
            if lasted.is_some() && block.is_none_or(|block| block == Some(arm)) {
                counts.requests = self.rate[arm.index()];
                counts.unanswered = self.unanswered[arm.index()].min(counts.requests);
                counts.injected = if injects && arm == Arm::Experiment { counts.requests } else { 0 };
                counts.levels[0] = counts.requests - counts.unanswered;
                counts.latency.record_n(self.takes, u32::try_from(counts.requests).unwrap());
            }
            counts
        };
        Beat {
            run: order.run.clone(),
            generation: order.generation,
            at: self.now,
            stands: lasted.is_some(),
            injects,
            arms: [arm(Arm::Control), arm(Arm::Experiment)],
            spared: 0,
            sent: [0, 0],
            block: block.flatten(),
        }
    }

    /// A second passes.
    pub(crate) fn tick(&mut self) {
        self.now = self.now + SECOND;
        if self.hears.0 {
            let beats = self.beats();
            self.runner.handle_beats(&beats, self.now);
        }
        if self.hears.1 {
            self.runner.handle_situation(&self.situation, self.now);
        }
        self.runner.handle_timeout(self.now);
        self.perform();
    }

    pub(crate) fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.tick();
        }
    }

    /// Seconds until something is so; at most an hour.
    pub(crate) fn until(&mut self, mut is_so: impl FnMut(&Bench) -> bool) -> u64 {
        for seconds in 0..3_600 {
            if is_so(self) {
                return seconds;
            }
            self.tick();
        }
        panic!("it never was");
    }

    /// Starts an experiment and waits until its fault is in force.
    pub(crate) fn inject(&mut self, experiment: Experiment) -> String {
        let id = self.start(experiment);
        self.until(Bench::injects);
        id
    }

    /// The run as it rests.
    pub(crate) fn rested(&self, id: &str) -> &Run {
        &self.store.runs[id]
    }

    pub(crate) fn phase(&self, id: &str) -> Phase {
        self.rested(id).phase
    }

    /// Why a run stopped.
    pub(crate) fn reason(&self, id: &str) -> Option<String> {
        self.rested(id).stopped.as_ref().map(|it| it.reason.to_string())
    }

    /// Kinds of a run's journal.
    pub(crate) fn journal(&self, id: &str) -> Vec<String> {
        self.rested(id).journal.iter().map(|line| line.what.to_string()).collect()
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = &EventKind> {
        self.done.iter().filter_map(|(_, effect)| match effect {
            Effect::Tell(event) => Some(event),
            _ => None,
        })
    }

    /// The process dies; another one starts, with what rests and without an injector that knows of anything, or with the same.
    pub(crate) fn restart(&mut self, gateway_too: bool) {
        let terms = self.runner.terms().clone();
        if gateway_too {
            (self.leases, self.standing) = (Leases::default(), BTreeMap::new());
        }
        self.runner = Runner::new(terms, 2);
        let Store { runs, halt, approvals } = self.store.clone();
        self.runner.restore(runs.into_values().collect(), halt, approvals, self.now);
    }
}

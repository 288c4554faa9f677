//! Runs of experiments: begins them, watches them, ends them, and sees to it that all is well again.
//!
//! ```text
//! start --gates--> lead_in --steady--> injecting --time, or a stop--> recovering --well again, or too late--> ended
//!                     `--a stop: nothing was injected------------------------------------------------------^
//! ```
//!
//! The runner decides, and nothing more: a shell performs what [`Runner::take_effects`] gives, in order. What is to rest comes before
//! what it permits. A clone is a whole runner.

pub mod asked;
mod course;
mod errors;
mod heard;
mod recovery;
mod restored;
mod slices;
mod watched;

use std::collections::BTreeMap;

use super::experiment::Blast;
use super::gates::{self, Checked, Known, Rigour, Situation, Terms};
use super::order::Order;
use super::record::{Approval, Halt, Run};
use crate::event::{EventKind, format_time};
use crate::rng::Rng;
use crate::time::Time;
use watched::Watched;

pub use super::start::Start;
pub use slices::SLICES_MAX;
pub use watched::JOURNAL_MAX;

/// What a shell has to do, in order.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Store a run, before anything that comes after it. Where that fails: [`Runner::handle_failed`], and no [`Effect::Inject`].
    Rest(Box<Run>),
    /// Store the halt, before anything that comes after it.
    RestHalt(Halt),
    /// Store an approval.
    RestApproval(Approval),
    /// Give the injector an order. Where it refuses: [`Runner::handle_failed`].
    Inject(Order),
    /// Tell the injector that an order still stands. Where it refuses: [`Runner::handle_failed`].
    Renew {
        /// The run.
        run: String,
        /// The order's generation.
        generation: u64,
    },
    /// Take an order of a run away, and all of its earlier ones, whatever else fails.
    Withdraw {
        /// The run.
        run: String,
        /// The last generation that ends.
        generation: u64,
    },
    /// Tell the injector whether it may inject at all; halting, whatever else fails.
    Halt(bool),
    /// Publish an event.
    Tell(EventKind),
}

/// Runs experiments, one at a time.
#[derive(Clone, Debug)]
pub struct Runner {
    terms: Terms,
    halt: Option<Halt>,
    approvals: Vec<Approval>,
    runs: BTreeMap<String, Watched>,
    effects: Vec<Effect>,
    /// The year and the number of the last run's id.
    last: (u32, u32),
    /// The last order's generation.
    generation: u64,
    rng: Rng,
}

impl Runner {
    /// A runner that knows of no run.
    pub fn new(terms: Terms, seed: u64) -> Runner {
        Runner {
            terms,
            halt: None,
            approvals: Vec::new(),
            runs: BTreeMap::new(),
            effects: Vec::new(),
            last: (0, 0),
            generation: 0,
            rng: Rng::new(seed),
        }
    }

    /// Goes by other terms from now on. A run whose window is another now ends with that one.
    pub fn set_terms(&mut self, terms: Terms, now: Time) {
        self.terms = terms;
        for watched in self.runs.values_mut() {
            watched.closes = closes(&self.terms, watched.run.experiment.blast, now);
        }
    }

    /// Whether an experiment could be started now, and all that is in the way.
    pub fn check(&self, start: &Start, situation: &Situation, now: Time) -> Checked {
        let known = Known {
            terms: &self.terms,
            halt: self.halt(),
            running: self.runs.values().next().map(|it| &it.run),
            approvals: &self.approvals,
        };
        gates::check(&known, start, situation, now)
    }

    /// When something is due next.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.runs.values().filter_map(Watched::due).min()
    }

    /// What has to be done, once.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Runs that are not over, in the order of their ids.
    pub fn runs(&self) -> impl Iterator<Item = &Run> {
        self.runs.values().map(|it| &it.run)
    }

    /// A run that is not over.
    pub fn run(&self, id: &str) -> Option<&Run> {
        self.runs.get(id).map(|it| &it.run)
    }

    /// Who halted all experiments and why, if they are halted.
    pub fn halt(&self) -> Option<&Halt> {
        self.halt.as_ref().filter(|halt| halt.halted)
    }

    /// Every approval that is known.
    pub fn approvals(&self) -> &[Approval] {
        &self.approvals
    }

    /// What it goes by.
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Larger than every generation before, those of earlier processes among them: they follow the clock.
    fn next_generation(&mut self, now: Time) -> u64 {
        self.generation = now.as_millis().max(self.generation + 1);
        self.generation
    }

    /// An id that no other run has. A clock that was set back must not give one twice.
    fn next_id(&mut self, now: Time) -> String {
        let year = format_time(now)[..4].parse().unwrap_or(0);
        self.last = if year > self.last.0 { (year, 1) } else { (self.last.0, self.last.1 + 1) };
        format!("EXP-{:04}-{:04}", self.last.0, self.last.1)
    }

    /// Knows that an id and a generation are taken.
    pub fn saw(&mut self, id: &str, generation: u64) {
        self.generation = self.generation.max(generation);
        let numbers = id.strip_prefix("EXP-").and_then(|rest| rest.split_once('-'));
        if let Some((Ok(year), Ok(number))) = numbers.map(|(year, number)| (year.parse(), number.parse())) {
            self.last = self.last.max((year, number));
        }
    }
}

/// When a window ends for what runs at a moment.
fn closes(terms: &Terms, blast: Blast, at: Time) -> Option<Time> {
    if terms.rigour == Rigour::Demo { None } else { terms.safety.windows.closes(blast, at) }
}

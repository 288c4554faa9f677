//! A run that is not over, and what is known of it at the moment.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::errors::Errors;
use crate::chaos::arms::Counts;
use crate::chaos::blocks;
use crate::chaos::order::Order;
use crate::chaos::record::{Line, Phase, Run};
use crate::time::Time;

/// Most lines of a run's journal; the last are kept free for how it ends.
pub const JOURNAL_MAX: usize = 200;
/// Lines that are kept free.
const JOURNAL_LAST: usize = 30;
/// Longest line of a journal, in bytes.
const TEXT_MAX: usize = 500;
/// How often a run rests while it goes its course.
pub(super) const RESTS: Duration = Duration::from_mins(1);
/// Over which time guards look back.
pub(super) const GUARDED: Duration = Duration::from_mins(1);
/// By how much the injector's clock and the runner's may differ.
pub(super) const CLOCKS: Duration = Duration::from_secs(1);
/// For how long all has to be well before it counts as well again.
const WELL: Duration = Duration::from_secs(30);

/// A run that is not over.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub run: Run,
    /// How long its order stands without being renewed.
    pub ttl: Duration,
    /// When its window closes.
    pub closes: Option<Time>,
    /// The orders that it was given, and the phases that they are of.
    pub orders: Vec<(u64, Phase)>,
    /// When its order was given or renewed last, and in recovery when the fault was last told to go.
    pub renewed: Time,
    pub rested: Time,
    /// When its holder was heard last.
    pub held: Time,
    /// When its order was last said to stand.
    pub beat: Time,
    /// When a request of each arm ended last.
    pub heard: [Option<Time>; 2],
    /// When it was last told how the service is.
    pub told: Time,
    /// The config that it was started with; `None`: by an earlier process.
    pub revision: Option<u64>,
    /// Incidents of its route that were open before, or that are in its journal.
    pub known: BTreeSet<String>,
    /// Those of them that opened since and are not expected.
    pub unexpected: BTreeSet<String>,
    /// What came of the experiment's arm lately.
    pub minute: VecDeque<(Time, Counts)>,
    /// What is in the way of the fault, by what was told last in the lead-in.
    pub unsteady: Option<String>,
    /// Evidence that more requests of the experiment's arm are unanswered than of its control.
    pub errors: Errors,
    pub recovery: Recovery,
}

/// What is known of a run whose fault was taken away.
#[derive(Clone, Debug, Default)]
pub(super) struct Recovery {
    /// Both arms are still watched.
    pub watched: bool,
    /// When its time began.
    pub began: Time,
    /// The last order that could inject.
    pub withdrawn: u64,
    /// Unanswered requests and all, by arm, lately.
    pub lately: VecDeque<(Time, [(u64, u64); 2])>,
    /// How fast each objective burned when that was last told before the fault was taken away.
    pub burning: BTreeMap<String, f64>,
    /// It was told how the service is since.
    pub told: bool,
    /// What is not well, by the last that was told.
    pub wrong: Option<String>,
    /// Since when all is well.
    pub since: Option<Time>,
}

impl Watched {
    /// A run that has just been started, or is seen to its end.
    pub(super) fn new(run: Run, ttl: Duration, now: Time) -> Watched {
        Watched {
            errors: Errors::new(blocks::of(&run.experiment).is_some()),
            run,
            ttl,
            closes: None,
            orders: Vec::new(),
            renewed: now,
            rested: now,
            held: now,
            beat: now,
            heard: [None; 2],
            told: now,
            revision: None,
            known: BTreeSet::new(),
            unexpected: BTreeSet::new(),
            minute: VecDeque::new(),
            unsteady: None,
            recovery: Recovery::default(),
        }
    }

    /// Writes a line into the journal.
    pub(super) fn note(&mut self, what: &'static str, text: impl Into<String>, now: Time) {
        let journal = &mut self.run.journal;
        let is_last = matches!(what, "phase" | "stop" | "withdraw" | "quiet" | "end" | "restart");
        if journal.len() >= if is_last { JOURNAL_MAX } else { JOURNAL_MAX - JOURNAL_LAST } {
            return;
        }
        let mut text = text.into();
        text.truncate(text.floor_char_boundary(TEXT_MAX));
        journal.push(Line { at: now, what: what.into(), text });
    }

    /// The order of the phase at hand.
    pub(super) fn order(&mut self, generation: u64) -> Order {
        let run = &mut self.run;
        run.generation = generation;
        self.orders.push((generation, run.phase));
        let experiment = &run.experiment;
        let hard_stop = match run.phase {
            Phase::LeadIn => experiment.lead_in + self.ttl,
            Phase::Injecting => experiment.duration,
            Phase::Recovering | Phase::Ended => experiment.recovery + self.ttl,
        };
        Order {
            run: run.id.clone(),
            generation,
            seed: run.seed,
            route: experiment.route.clone(),
            target: experiment.target.clone(),
            fault: experiment.fault.clone(),
            dose: experiment.dose,
            cohort: experiment.cohort.clone(),
            caps: experiment.caps,
            blocks: blocks::of(experiment).filter(|_| run.phase != Phase::Recovering),
            injects: run.phase == Phase::Injecting,
            ttl: self.ttl,
            hard_stop,
        }
    }

    /// The phase that an order is of.
    pub(super) fn phase_of(&self, generation: u64) -> Option<Phase> {
        self.orders.iter().find(|(its, _)| *its == generation).map(|(_, phase)| *phase)
    }

    /// Whether the fault may be in force, or is about to be.
    pub(super) fn goes_on(&self) -> bool {
        matches!(self.run.phase, Phase::LeadIn | Phase::Injecting)
    }

    /// When the phase at hand is over at the latest.
    pub(super) fn phase_ends(&self) -> Time {
        let Run { experiment, started, injected, .. } = &self.run;
        match self.run.phase {
            Phase::LeadIn => *started + experiment.lead_in,
            Phase::Injecting => injected.unwrap_or(*started) + experiment.duration,
            // Where nothing is heard of the injector, its lease has to run out first.
            Phase::Recovering | Phase::Ended if !self.recovery.watched => {
                let least = self.ttl + CLOCKS + self.well_for();
                self.recovery.began + experiment.recovery.max(least)
            }
            Phase::Recovering | Phase::Ended => self.recovery.began + experiment.recovery,
        }
    }

    /// When its holder is lost, unless it is heard.
    pub(super) fn holder_lost(&self) -> Option<Time> {
        self.run.hold_s.map(|hold| self.held + Duration::from_secs(u64::from(hold)))
    }

    /// When each arm was heard last, and what is so if it was not. In a block there is one arm alone, and none at its start.
    fn arms(&self) -> [(Option<Time>, &'static str); 2] {
        let texts = ["no request of the control ended", "no request of the experiment's arm ended"];
        match blocks::of(&self.run.experiment) {
            Some(blocks) => {
                let heard = self.heard[0].max(self.heard[1]).map(|heard| heard + blocks.washout);
                [(heard, "no request ended"); 2]
            }
            None => [(self.heard[0], texts[0]), (self.heard[1], texts[1])],
        }
    }

    /// What was not heard of the arms yet.
    pub(super) fn unheard(&self) -> Option<&'static str> {
        self.arms().into_iter().find(|(heard, _)| heard.is_none()).map(|(_, text)| text)
    }

    /// When nothing was heard for too long, and what was not.
    pub(super) fn silent(&self) -> (Time, &'static str) {
        let silent = self.run.experiment.stop.silent;
        let mut found = (self.beat + silent, "nothing was heard of the injector");
        let told = (self.told + silent, "nothing was heard of how the service is");
        let arms = self.arms().into_iter().filter_map(|(heard, text)| Some((heard? + silent, text)));
        for other in arms.chain([told]) {
            if other.0 < found.0 {
                found = other;
            }
        }
        found
    }

    /// When its order is renewed next, or its withdrawal told again.
    pub(super) fn renews(&self) -> Time {
        self.renewed + self.ttl / 3
    }

    /// For how long all has to be well.
    pub(super) fn well_for(&self) -> Duration {
        WELL.min(self.run.experiment.recovery / 2)
    }

    /// When something is due for it.
    pub(super) fn due(&self) -> Option<Time> {
        let mut due = self.phase_ends();
        if self.goes_on() {
            let more = [self.closes, self.holder_lost(), Some(self.silent().0), Some(self.renews())];
            due = more.into_iter().flatten().chain([due, self.rested + RESTS]).min()?;
        } else {
            let well = self.recovery.since.map(|since| since + self.well_for());
            let again = (self.run.quiet.is_none() || self.recovery.watched).then(|| self.renews());
            due = [well, again].into_iter().flatten().chain([due]).min()?;
        }
        Some(due)
    }
}

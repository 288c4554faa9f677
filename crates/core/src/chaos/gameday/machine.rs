//! A game day as a machine: it says what to do and is told what came of it.
//!
//! ```text
//! pausing --> waiting (for the gates of the experiment) --> running --> settling (the log catches up) --> judged, next step
//! ```

mod judge;

use std::time::Duration;

use super::facts::Tally;
use super::record::{Finding, Mode, Record, Stepped};
use super::seen::{self, Sign};
use super::{Scenario, Wanted};
use crate::chaos::record::{Phase as RunPhase, Run};
use crate::event::{Event, EventKind, Word};
use crate::time::Time;

/// How often an experiment that may not start yet is tried again.
pub const AGAIN: Duration = Duration::from_secs(5);
/// How long after a run's end the log of events is waited for.
pub const SETTLE: Duration = Duration::from_secs(3);
/// Most events that are kept of a step.
pub const EVENTS_MAX: usize = 5_000;

/// Something to be done.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// The game day has to rest.
    Rest(Box<Record>),
    /// A finding has to rest.
    RestFinding(Finding),
    /// An experiment is to be started; the answer is [`Gameday::handle_started`] or [`Gameday::handle_refused`].
    Start(Wanted),
    /// A run is to be stopped.
    Stop {
        /// The run.
        run: String,
        /// Why.
        reason: String,
    },
    /// Something happened.
    Tell(EventKind),
}

#[derive(Clone, PartialEq, Debug)]
enum Stage {
    Pausing { until: Time },
    Waiting { since: Time, again: Time },
    Starting { since: Time },
    Running,
    Settling { until: Time },
    Over,
}

/// A game day that goes on.
#[derive(Debug)]
pub struct Gameday {
    record: Record,
    stage: Stage,
    /// Open findings of the scenario.
    findings: Vec<Finding>,
    /// The run of the step, as it was last.
    run: Option<Run>,
    events: Vec<Event>,
    /// Which signs were told already: noticed, paged, acknowledged.
    told: [bool; 3],
    /// What was counted last, the time before, and before the fault came into force.
    tally: Option<Tally>,
    previous: Option<Tally>,
    before: Option<Tally>,
    effects: Vec<Effect>,
}

impl Gameday {
    /// Begins a game day. `findings` are those of the scenario that are open; the error says what is wrong with the scenario.
    pub fn new(
        id: String,
        scenario: Scenario,
        by: String,
        findings: Vec<Finding>,
        now: Time,
    ) -> Result<Gameday, Vec<String>> {
        let wrong = scenario.check();
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let mut day = Gameday {
            record: Record::new(id, scenario, Mode::Live, by, now),
            stage: Stage::Over,
            findings,
            run: None,
            events: Vec::new(),
            told: [false; 3],
            tally: None,
            previous: None,
            before: None,
            effects: Vec::new(),
        };
        let text = format!("{} began it", day.record.by);
        day.record.tell(now, "begin", text);
        day.begin_step(now);
        Ok(day)
    }

    /// How it stands.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Whether nothing comes any more.
    pub fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// The run that is watched.
    pub fn watched(&self) -> Option<&str> {
        self.record.steps.last()?.run.as_deref()
    }

    /// What is to be done, in order.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// When [`Gameday::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Time> {
        match self.stage {
            Stage::Pausing { until } | Stage::Settling { until } => Some(until),
            Stage::Waiting { again, .. } => Some(again),
            Stage::Starting { .. } | Stage::Running | Stage::Over => None,
        }
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Time) {
        match self.stage {
            Stage::Pausing { until } if until <= now => self.try_start(now, now),
            Stage::Waiting { since, again } if again <= now => self.try_start(since, now),
            Stage::Settling { until } if until <= now => self.judge_step(now),
            _ => {}
        }
    }

    fn begin_step(&mut self, now: Time) {
        let Some(step) = self.record.scenario.steps.get(self.record.steps.len()) else { return self.end(now) };
        let (name, pause) = (step.name().to_owned(), step.pause);
        (self.run, self.told) = (None, [false; 3]);
        (self.tally, self.previous, self.before) = (None, None, None);
        self.events.clear();
        self.record.steps.push(Stepped {
            name: name.clone(),
            run: None,
            refused: Vec::new(),
            started: now,
            ended: None,
            facts: None,
            results: Vec::new(),
        });
        self.record.tell(now, "step", format!("step {name}"));
        if pause.is_zero() {
            self.try_start(now, now);
        } else {
            self.stage = Stage::Pausing { until: now + pause };
            self.enter("pausing", format!("{name}: a pause before it"));
        }
    }

    fn try_start(&mut self, since: Time, now: Time) {
        debug_assert!(since <= now);
        self.stage = Stage::Starting { since };
        let wanted = self.record.scenario.steps[self.record.steps.len() - 1].experiment.clone();
        self.effects.push(Effect::Start(wanted));
    }

    /// The experiment of the step was started.
    pub fn handle_started(&mut self, run: String, now: Time) {
        if !matches!(self.stage, Stage::Starting { .. }) {
            // It was stopped in between.
            self.effects.push(Effect::Stop { run, reason: "its game day was stopped".to_owned() });
            return;
        }
        self.stage = Stage::Running;
        let step = self.step();
        step.refused.clear();
        step.run = Some(run.clone());
        let what = format!("{}: run {run}", step.name);
        self.record.tell(now, "run", what.clone());
        self.enter("running", what);
    }

    /// The experiment of the step may not start; `passing`: it may later.
    pub fn handle_refused(&mut self, reasons: &[String], passing: bool, now: Time) {
        let Stage::Starting { since } = self.stage else { return };
        let wait = self.record.scenario.steps[self.record.steps.len() - 1].wait;
        let step = self.step();
        let is_new = step.refused != reasons;
        step.refused = reasons.to_vec();
        let text = format!("{}: {}", step.name, reasons.join("; "));
        if passing && now < since + wait {
            self.stage = Stage::Waiting { since, again: now + AGAIN };
            if is_new {
                self.record.tell(now, "wait", text.clone());
                self.enter("waiting", text);
            }
            return;
        }
        self.record.tell(now, "refused", text.clone());
        self.judge_nothing("the experiment did not start", now);
        self.begin_step(now);
    }

    /// A run is somewhere else.
    pub fn handle_run(&mut self, run: &Run, now: Time) {
        if self.stage != Stage::Running || self.watched() != Some(&run.id) {
            return;
        }
        let before = self.run.replace(run.clone());
        let reached =
            |of: fn(&Run) -> Option<Time>| of(run).filter(|_| before.as_ref().is_none_or(|it| of(it).is_none()));
        let mut lines = Vec::new();
        if let Some(at) = reached(|it| it.injected) {
            self.before = self.previous.or(self.tally);
            lines.push((
                at,
                "inject",
                format!("{}: {} on {}", run.id, run.experiment.fault.name(), run.experiment.route),
            ));
        }
        if let Some(at) = reached(|it| it.withdrawn) {
            lines.push((at, "withdraw", format!("{}: the fault was taken away", run.id)));
        }
        if let Some(at) = reached(|it| it.recovered) {
            lines.push((at, "recover", format!("{}: all is well again", run.id)));
        }
        for (at, what, text) in lines {
            self.record.tell(at, what, text.clone());
            self.enter("running", text);
        }
        if reached(|it| it.injected).is_some() {
            // What came before the injection was heard of.
            for event in self.events.clone() {
                self.tell_of(&event);
            }
        }
        if run.phase == RunPhase::Ended {
            let asked = run.stopped.as_ref().filter(|it| matches!(&*it.reason, "asked" | "halt")).cloned();
            if let Some(stopped) = asked {
                return self.abort("run_stopped", &format!("its run was stopped: {}", stopped.text), &stopped.by, now);
            }
            self.stage = Stage::Settling { until: now + SETTLE };
            self.enter("settling", format!("{}: over, what happened is put together", run.id));
        }
    }

    /// Something happened.
    pub fn handle_event(&mut self, event: &Event, now: Time) {
        if let EventKind::HaltChanged { halted: true, by, reason } = &event.kind {
            if event.at >= self.record.started && !self.is_over() {
                self.stop_run(reason);
                self.abort("halt", &format!("everything was halted: {reason}"), by, now);
            }
            return;
        }
        let is_noise = matches!(event.kind, EventKind::RequestFinished(_) | EventKind::GamedayChanged { .. });
        if !matches!(self.stage, Stage::Running | Stage::Settling { .. }) || is_noise || self.events.len() >= EVENTS_MAX
        {
            return;
        }
        self.events.push(event.clone());
        self.tell_of(event);
    }

    /// Tells of the first sign of each kind.
    fn tell_of(&mut self, event: &Event) {
        let Some(run) = &self.run else { return };
        if run.injected.is_none_or(|injected| event.at < injected) {
            return;
        }
        let (what, which, text) = match seen::sign(event, &run.experiment.route) {
            Some(Sign::Detected(text)) => ("detect", 0, text),
            Some(Sign::Opened(id, kind)) => {
                self.record.tell(event.at, "incident", format!("{id}, {kind}, was opened"));
                ("detect", 0, format!("incident {id} was opened"))
            }
            Some(Sign::Paged(text)) => ("page", 1, text),
            Some(Sign::Acknowledged(text)) => ("acknowledge", 2, text),
            None => return,
        };
        if !std::mem::replace(&mut self.told[which], true) {
            self.record.tell(event.at, what, text.clone());
            self.enter("running", text);
        }
    }

    /// The requests of the run's route so far; to be told before the run that was seen then.
    pub fn handle_tally(&mut self, tally: Tally) {
        if matches!(self.stage, Stage::Starting { .. } | Stage::Running) {
            self.previous = self.tally.replace(tally);
        }
    }

    /// Somebody ends it.
    pub fn handle_stop(&mut self, by: &str, reason: &str, now: Time) {
        if self.is_over() {
            return;
        }
        self.stop_run(reason);
        self.abort("asked", reason, by, now);
    }

    fn stop_run(&mut self, reason: &str) {
        if let (Stage::Running, Some(run)) = (&self.stage, self.watched().map(str::to_owned)) {
            self.effects.push(Effect::Stop { run, reason: format!("its game day was stopped: {reason}") });
        }
    }

    fn abort(&mut self, reason: &'static str, text: &str, by: &str, now: Time) {
        self.judge_nothing("the game day was stopped", now);
        self.stage = Stage::Over;
        self.record.abort(reason, text, by, now);
        self.enter("", format!("stopped by {by}: {text}"));
    }

    fn step(&mut self) -> &mut Stepped {
        self.record.steps.last_mut().expect("a game day has begun a step from its start on")
    }

    /// Lets it rest, and tells.
    fn enter(&mut self, now: &'static str, what: String) {
        self.record.now = Word::Borrowed(now);
        let (gameday, scenario) = (self.record.id.clone(), self.record.scenario.name.clone());
        self.effects.push(Effect::Rest(Box::new(self.record.clone())));
        let to = Word::Borrowed(self.record.phase.name());
        self.effects.push(Effect::Tell(EventKind::GamedayChanged { gameday, scenario, to, what }));
    }
}

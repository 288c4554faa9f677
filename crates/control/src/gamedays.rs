//! The shell of game days: one at a time, over the experiments that everybody uses.
//!
//! ```text
//! API --> Gameday --rest--> Store: game days, findings
//!            ^ `--start, stop--> Experiments
//!            `-- twice a second: log of events, the run, requests by class --'
//! ```

mod at_rest;
mod going;
mod guide;
mod heads;
mod metrics;
mod report;
mod tally;

use std::sync::{Arc, Mutex, PoisonError};

use mainstay_core::chaos::gameday::machine::Gameday;
use mainstay_core::chaos::gameday::record::{ANSWERS_MAX, Answer, Finding, Record};
use mainstay_core::chaos::gameday::{Scenario, Wanted};
use mainstay_core::chaos::record::Run;
use mainstay_core::event::Event;
use mainstay_core::metric::Family;
use mainstay_core::time::Time;
use mainstay_store::{Store, StoreError};
use tokio::sync::Notify;

use crate::chaos::Experiments;
use crate::engine::{Clock, Engine};
use going::Going;
use metrics::Counted;

pub use guide::{Guide, Person, Runbook};
pub(crate) use heads::{Head, Listed};
pub(crate) use report::{Report, figures};

/// How often a number that somebody else took is tried again.
const TRIES: usize = 20;

/// Game days, as the admin API sees them. Clones are the same.
#[derive(Clone)]
pub struct Gamedays(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    clock: Clock,
    experiments: Experiments,
    metrics: Box<dyn Fn() -> Vec<Family> + Send + Sync>,
    on_event: Box<dyn Fn(Event) + Send + Sync>,
    scenarios: Mutex<Arc<[Scenario]>>,
    day: tokio::sync::Mutex<Option<Going>>,
    counted: Mutex<Counted>,
    bell: Notify,
}

/// What game days need besides the engine.
pub struct Setup {
    /// Who runs experiments.
    pub experiments: Experiments,
    /// Numbers of the gateway, of which requests by class are taken.
    pub metrics: Box<dyn Fn() -> Vec<Family> + Send + Sync>,
    /// Hears what is told; it has to come into the log of events from there.
    pub on_event: Box<dyn Fn(Event) + Send + Sync>,
    /// Scenarios that can be run by their names.
    pub scenarios: Vec<Scenario>,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum GamedayError {
    /// There is none of this name.
    #[error("there is no {0}")]
    Unknown(String),
    /// Another goes on.
    #[error("game day {0} goes on, and there is one at a time: stop it, or wait for its end")]
    Busy(String),
    /// It is over.
    #[error("game day {0} is over")]
    Over(String),
    /// What was asked for cannot be.
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
    /// The store failed; nothing changed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Game days that wait to be run.
pub struct RunningGamedays(Gamedays);

impl Gamedays {
    /// Restores what rests: a game day that an earlier process left is aborted, and its report stays.
    pub async fn open(engine: &Engine, setup: Setup) -> Result<(Gamedays, RunningGamedays), StoreError> {
        let (store, clock) = (Arc::clone(engine.store()), engine.clock());
        let now = clock();
        heads::mend(&*store, now).await?;
        for id in heads::running(&*store).await? {
            let Some(mut record) = at_rest::day(&*store, &id).await? else { continue };
            record.abort("restart", "the service started anew", "mainstay", now);
            store.change(at_rest::rest_day(&record, false), now).await?;
        }
        let counted = Mutex::new(Counted::of(&at_rest::findings(&*store).await?));
        let inner = Inner {
            counted,
            store,
            clock,
            experiments: setup.experiments,
            metrics: setup.metrics,
            on_event: setup.on_event,
            scenarios: Mutex::new(setup.scenarios.into()),
            day: tokio::sync::Mutex::default(),
            bell: Notify::new(),
        };
        let gamedays = Gamedays(Arc::new(inner));
        Ok((gamedays.clone(), RunningGamedays(gamedays)))
    }

    /// Metrics, for the page of them.
    pub fn metrics(&self) -> Vec<Family> {
        self.counted().families()
    }

    fn counted(&self) -> std::sync::MutexGuard<'_, Counted> {
        self.0.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Knows other scenarios by their names from now on.
    pub fn set_scenarios(&self, scenarios: Vec<Scenario>) {
        *self.0.scenarios.lock().unwrap_or_else(PoisonError::into_inner) = scenarios.into();
    }

    /// Scenarios that can be run by their names.
    pub fn scenarios(&self) -> Arc<[Scenario]> {
        Arc::clone(&self.0.scenarios.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A scenario by its name.
    pub fn scenario(&self, name: &str) -> Option<Scenario> {
        self.scenarios().iter().find(|it| it.name == name).cloned()
    }

    /// All that is wrong with a scenario: by itself, and with experiments that are not known here.
    pub fn check(&self, scenario: &Scenario) -> Vec<String> {
        let mut wrong = scenario.check();
        for step in &scenario.steps {
            match &step.experiment {
                Wanted::Named(name) if self.0.experiments.find(name).is_none() => {
                    wrong.push(format!("step `{}`: there is no experiment `{name}`", step.name()));
                }
                Wanted::Inline(experiment) => {
                    let astray = self.0.experiments.plan().check_experiment(experiment);
                    wrong.extend(astray.into_iter().map(|text| format!("step `{}`: {text}", step.name())));
                }
                Wanted::Named(_) => {}
            }
        }
        wrong
    }

    /// Begins a game day, once it rests.
    pub async fn start(&self, scenario: Scenario, by: &str) -> Result<Record, GamedayError> {
        let wrong = self.check(&scenario);
        if !wrong.is_empty() {
            return Err(GamedayError::Invalid(wrong));
        }
        let mut going = self.0.day.lock().await;
        if let Some(other) = going.as_ref().filter(|it| !it.day.is_over()) {
            return Err(GamedayError::Busy(other.day.record().id.clone()));
        }
        let findings = self.findings().await?;
        let open: Vec<Finding> =
            findings.into_iter().filter(|it| it.closed.is_none() && it.scenario == scenario.name).collect();
        let made = self
            .made(|id, now| {
                let day = Gameday::new(id, scenario.clone(), by.to_owned(), open.clone(), now);
                day.map(|day| (day.record().clone(), day))
            })
            .await?;
        let record = made.record().clone();
        self.counted().see(&record);
        *going = Some(Going::new(made));
        drop(going);
        self.0.bell.notify_one();
        Ok(record)
    }

    /// Keeps a scenario that is talked through, so that answers can be written down.
    pub async fn talk(&self, scenario: Scenario, by: &str) -> Result<Record, GamedayError> {
        let wrong = scenario.check();
        if !wrong.is_empty() {
            return Err(GamedayError::Invalid(wrong));
        }
        self.made(|id, now| {
            let record = Record::tabletop(id, scenario.clone(), by.to_owned(), now);
            Ok((record.clone(), record))
        })
        .await
    }

    /// Makes something with an id that nothing has, and lets its record rest.
    async fn made<T>(
        &self,
        make: impl Fn(String, Time) -> Result<(Record, T), Vec<String>>,
    ) -> Result<T, GamedayError> {
        let now = (self.0.clock)();
        let (store, mut number) = (&*self.0.store, 0);
        for _ in 0..TRIES {
            // The one after the last that rests, whoever made that.
            number = heads::last_of(store, at_rest::year(now)).await?.max(number) + 1;
            let (record, made) = make(at_rest::id(now, number), now).map_err(GamedayError::Invalid)?;
            match store.change(at_rest::rest_day(&record, true), now).await {
                Ok(_) => return Ok(made),
                // Another process was sooner.
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(GamedayError::Invalid(vec!["no number for a game day was free".to_owned()]))
    }

    /// Ends the game day that goes on, and its run.
    pub async fn stop(&self, id: &str, by: &str, reason: &str) -> Result<Record, GamedayError> {
        let mut going = self.0.day.lock().await;
        let Some(it) = going.as_mut().filter(|it| it.day.record().id == id && !it.day.is_over()) else {
            drop(going);
            self.day(id).await?;
            return Err(GamedayError::Over(id.to_owned()));
        };
        it.day.handle_stop(by, reason, (self.0.clock)());
        self.perform(it).await;
        Ok(it.day.record().clone())
    }

    /// A game day, as it is now.
    pub async fn day(&self, id: &str) -> Result<Record, GamedayError> {
        if let Some(it) = self.0.day.lock().await.as_ref().filter(|it| it.day.record().id == id) {
            return Ok(it.day.record().clone());
        }
        let found = at_rest::day(&*self.0.store, id).await?;
        found.ok_or_else(|| GamedayError::Unknown(format!("game day `{id}`")))
    }

    /// A page of all game days, the last first, as they rest.
    pub(crate) async fn days(&self, skip: usize, limit: usize) -> Result<Listed, StoreError> {
        heads::page(&*self.0.store, skip, limit).await
    }

    /// All findings, the last first.
    pub async fn findings(&self) -> Result<Vec<Finding>, StoreError> {
        let mut all = at_rest::findings(&*self.0.store).await?;
        all.sort_by_key(|it| std::cmp::Reverse((it.opened, it.id.clone())));
        Ok(all)
    }

    /// Writes down answers of whoever talked it through.
    pub async fn answer(&self, id: &str, answers: Vec<Answer>) -> Result<Record, GamedayError> {
        let mut going = self.0.day.lock().await;
        if going.as_ref().is_some_and(|it| it.day.record().id == id && !it.day.is_over()) {
            return Err(GamedayError::Invalid(vec!["answers are written down once it is over".to_owned()]));
        }
        let found = at_rest::day(&*self.0.store, id).await?;
        let mut record = found.ok_or_else(|| GamedayError::Unknown(format!("game day `{id}`")))?;
        let steps = record.scenario.step_names();
        let unknown = answers.iter().filter_map(|it| it.step.as_deref()).find(|step| !steps.contains(step));
        if let Some(step) = unknown {
            return Err(GamedayError::Invalid(vec![format!(
                "there is no step `{step}`: there are {}",
                steps.join(", ")
            )]));
        }
        if record.answers.len() + answers.len() > ANSWERS_MAX {
            return Err(GamedayError::Invalid(vec![format!("there are at most {ANSWERS_MAX} answers")]));
        }
        record.answers.extend(answers);
        self.0.store.change(at_rest::rest_day(&record, false), (self.0.clock)()).await?;
        // What is at hand is over, and would be told without them.
        if going.as_ref().is_some_and(|it| it.day.record().id == id) {
            *going = None;
        }
        Ok(record)
    }

    /// What a report is made of.
    pub(crate) async fn report(&self, id: &str) -> Result<Report, GamedayError> {
        let record = self.day(id).await?;
        let mut runs: Vec<Run> = Vec::new();
        for run in record.steps.iter().filter_map(|it| it.run.as_ref()) {
            runs.extend(self.0.experiments.run(run).await?);
        }
        let own = |it: &Finding| {
            record.opened.contains(&it.id) || record.again.contains(&it.id) || record.closed.contains(&it.id)
        };
        let findings = self.findings().await?.into_iter().filter(own).collect();
        let service = self.0.experiments.plan().service.clone();
        Ok(Report { record, runs, findings, service, prepared: self.now() })
    }

    pub(crate) fn now(&self) -> Time {
        (self.0.clock)()
    }
}

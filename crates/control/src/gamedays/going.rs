//! The game day that goes on: what it is told, and what it asks for.

use std::pin::pin;
use std::time::Duration;

use mainstay_core::chaos::gameday::Wanted;
use mainstay_core::chaos::gameday::machine::{Effect, Gameday};
use mainstay_core::chaos::run::Start;
use mainstay_core::event::{Event, EventKind};
use mainstay_store::StoreError;
use mainstay_store::change::Change;
use mainstay_store::record::EventQuery;

use super::{Gamedays, RunningGamedays, at_rest, tally};
use crate::chaos::{ChaosError, plan_hash};

/// How often is looked at what goes on.
const TICK: Duration = Duration::from_millis(500);
/// Most events that are read at once.
const EVENTS_MAX: usize = 1_000;
/// Reasons against a start that do not pass by waiting.
const LASTING: [&str; 4] = ["definition", "caps", "own_approval", "astray"];

/// The game day that goes on.
pub(super) struct Going {
    pub(super) day: Gameday,
    /// What was read of the log of events.
    cursor: u64,
    /// Changes that did not come to rest yet.
    owed: Vec<Change>,
}

impl Going {
    pub(super) fn new(day: Gameday) -> Going {
        Going { day, cursor: 0, owed: Vec::new() }
    }
}

impl Gamedays {
    /// Looks at what goes on.
    pub(super) async fn tick(&self) {
        let mut going = self.0.day.lock().await;
        let Some(it) = going.as_mut().filter(|it| !it.day.is_over() || !it.owed.is_empty()) else { return };
        // What the machine asked for at its begin.
        self.perform(it).await;
        if let Err(error) = self.look(it).await {
            tracing::warn!(%error, "a game day cannot read the store; it is tried again");
            return;
        }
        it.day.handle_timeout((self.0.clock)());
        self.perform(it).await;
    }

    async fn look(&self, it: &mut Going) -> Result<(), StoreError> {
        loop {
            let from = it.day.record().started;
            let query = EventQuery { after: it.cursor, from, limit: EVENTS_MAX, ..EventQuery::default() };
            let page = self.0.store.events(query).await?;
            for stored in &page {
                it.cursor = stored.seq;
                if let Ok(event) = Event::from_json(&stored.body) {
                    it.day.handle_event(&event, self.now());
                }
            }
            if page.len() < EVENTS_MAX {
                break;
            }
        }
        if let Some(id) = it.day.watched().map(str::to_owned)
            && let Some(run) = self.0.experiments.run(&id).await?
        {
            it.day.handle_tally(tally::of(&(self.0.metrics)(), &run.experiment.route));
            it.day.handle_run(&run, self.now());
        }
        Ok(())
    }

    /// Does what the machine asks for. What cannot rest is tried again at the next look.
    pub(super) async fn perform(&self, it: &mut Going) {
        loop {
            let effects = it.day.take_effects();
            if effects.is_empty() {
                break;
            }
            for effect in effects {
                match effect {
                    Effect::Rest(record) => {
                        self.counted().see(&record);
                        at_rest::owe(&mut it.owed, at_rest::rest_day(&record, false));
                    }
                    Effect::RestFinding(finding) => {
                        self.counted().finding(&finding);
                        at_rest::owe(&mut it.owed, [at_rest::rest_finding(&finding)]);
                    }
                    Effect::Tell(kind) => self.tell(kind),
                    Effect::Stop { run, reason } => {
                        let by = it.day.record().by.clone();
                        if let Err(error) = self.0.experiments.stop(&run, &by, &reason).await {
                            tracing::warn!(%error, run, "a game day's run was not stopped");
                        }
                    }
                    Effect::Start(wanted) => {
                        self.settle(it).await;
                        self.begin(it, wanted).await;
                    }
                }
            }
        }
        self.settle(it).await;
    }

    async fn settle(&self, it: &mut Going) {
        if it.owed.is_empty() {
            return;
        }
        match self.0.store.change(it.owed.clone(), self.now()).await {
            Ok(_) => it.owed.clear(),
            Err(error) => tracing::warn!(%error, "a game day waits for the store"),
        }
    }

    async fn begin(&self, it: &mut Going, wanted: Wanted) {
        let found = match wanted {
            Wanted::Inline(experiment) => Some(self.0.experiments.pinned(*experiment)),
            Wanted::Named(ref name) => self.0.experiments.find(name),
        };
        let Some(experiment) = found else {
            return it.day.handle_refused(&["there is no such experiment any more".to_owned()], false, self.now());
        };
        let (by, id) = (it.day.record().by.clone(), it.day.record().id.clone());
        it.day.handle_tally(tally::of(&(self.0.metrics)(), &experiment.route));
        let plan = plan_hash(&experiment);
        let start = Start { experiment, plan, by: by.clone(), hold: None, gameday: Some(id) };
        match self.0.experiments.start(start, &by).await {
            Ok(run) => it.day.handle_started(run.id, self.now()),
            Err(ChaosError::Refused(refusals)) => {
                let passing = !refusals.iter().any(|it| LASTING.contains(&it.code));
                it.day.handle_refused(&refusals.into_iter().map(|it| it.text).collect::<Vec<_>>(), passing, self.now());
            }
            Err(error) => it.day.handle_refused(&[error.to_string()], true, self.now()),
        }
    }

    fn tell(&self, kind: EventKind) {
        (self.0.on_event)(Event { at: self.now(), kind });
    }
}

impl RunningGamedays {
    /// Runs until `stop` completes; a game day that goes on then is stopped, and its run.
    pub async fn until(self, stop: impl Future<Output = ()>) {
        let RunningGamedays(gamedays) = self;
        let mut stop = pin!(stop);
        loop {
            gamedays.tick().await;
            tokio::select! {
                () = &mut stop => break,
                () = gamedays.0.bell.notified() => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
        if let Some(it) = gamedays.0.day.lock().await.as_mut() {
            it.day.handle_stop("mainstay", "the service stops", gamedays.now());
            gamedays.perform(it).await;
        }
    }
}

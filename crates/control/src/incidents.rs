//! The desk's shell: what it decides rests before anybody hears of it, and then is done.
//!
//! ```text
//! log of events --cursor--> desk --one transaction--> Store: incidents, deliveries, audit, events, cursor
//! API, alerts -------------->  `--- then ---> notices are sent, actions taken; what came of them goes the same way
//! ```
//!
//! A notice is sent at least once: it rests before it is sent, and it rests that it arrived. Whoever takes an incident is answered
//! when that rests and nothing of it is on its way any more.

mod acting;
pub(crate) mod at_rest;
mod heartbeat;
pub(crate) mod impact;
mod metrics;
mod sending;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mainstay_core::event::Event;
use mainstay_core::incident::oncall::Override;
use mainstay_core::incident::record::Incident;
use mainstay_core::metric::Family;
use mainstay_core::plan::Heartbeat;
use mainstay_core::response::delivery::{Delivery, State};
use mainstay_core::response::desk::{Desk, Doing, Refused, Silence, Taken, Terms};
use mainstay_core::time::Time;
use mainstay_store::change::Change;
use mainstay_store::record::EventQuery;
use mainstay_store::{Store, StoreError};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::engine::{Clock, Engine};
use crate::notify::Sender;

pub use acting::{Acting, Done};
use metrics::Counted;

/// How often the log of events is looked at where nothing rings.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Most events that are read at once.
const EVENTS_MAX: usize = 1_000;
/// Incidents that are read at once where a page of them is asked for.
const READ_AT_ONCE: usize = 60;
/// How long until the store is tried again.
const STORE_AGAIN: Duration = Duration::from_secs(2);
/// How often a number that somebody else took is tried again.
const TRIES: usize = 20;

/// How long ended exceptions and silences are shown.
const LOOK_BACK: Duration = Duration::from_hours(90 * 24);
/// Most exceptions, and most silences.
const MADE_MAX: usize = 1_000;

/// The desk, as the admin API sees it. Clones are the same desk.
#[derive(Clone)]
pub struct Incidents(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    clock: Clock,
    desk: tokio::sync::Mutex<Desk>,
    sender: Sender,
    acting: Arc<dyn Acting>,
    /// Tries under way, by the delivery's id.
    flying: Mutex<BTreeMap<String, JoinHandle<()>>>,
    /// What was read of the log of events.
    cursor: Mutex<u64>,
    /// What to go by from now on, where it is new.
    terms: Mutex<Option<Terms>>,
    /// In how many pieces the desk's memory rests, at most.
    pieces: Mutex<usize>,
    counted: Mutex<Counted>,
    /// Rings when something may be due.
    bell: Notify,
    on_event: Box<dyn Fn(Event) + Send + Sync>,
}

/// Why the desk did not do something.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// It may not be done.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The store failed; nothing changed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A desk that waits to be run.
pub struct RunningDesk(Incidents);

impl Incidents {
    /// Restores what rests. Nothing is sent before [`RunningDesk::until`] is polled. Hears of nothing that was in the log of a store which
    /// had no desk before.
    pub async fn open(
        engine: &Engine,
        terms: Terms,
        acting: Arc<dyn Acting>,
        on_event: Box<dyn Fn(Event) + Send + Sync>,
        seed: u64,
    ) -> Result<(Incidents, RunningDesk), StoreError> {
        let store = Arc::clone(engine.store());
        let rests = at_rest::load(&*store, engine.now(), terms.incidents.reopen).await?;
        let mut desk = Desk::new(terms, seed);
        desk.set_overrides(rests.overrides);
        desk.set_silences(rests.silences);
        desk.restore(rests.memory, rests.incidents, rests.deliveries);
        if let Some(last) = &rests.last {
            desk.saw(last);
        }
        let inner = Inner {
            store,
            clock: engine.clock(),
            counted: Mutex::new(Counted::of(&desk)),
            desk: tokio::sync::Mutex::new(desk),
            sender: Sender::new(),
            acting,
            flying: Mutex::default(),
            cursor: Mutex::new(rests.cursor),
            terms: Mutex::default(),
            pieces: Mutex::new(rests.pieces),
            bell: Notify::new(),
            on_event,
        };
        let incidents = Incidents(Arc::new(inner));
        Ok((incidents.clone(), RunningDesk(incidents)))
    }

    /// Goes by other terms soon.
    pub fn set_terms(&self, terms: Terms) {
        *self.0.terms.lock().unwrap_or_else(PoisonError::into_inner) = Some(terms);
        self.ring();
    }

    /// Looks at what happened at once.
    pub fn ring(&self) {
        self.0.bell.notify_one();
    }

    /// Incidents, notices and heartbeats, for the page of metrics.
    pub fn metrics(&self) -> Vec<Family> {
        self.counted().families()
    }

    pub(crate) fn now(&self) -> Time {
        (self.0.clock)()
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.0.store
    }

    /// Open incidents, by what is to be read of each.
    pub(crate) async fn open_ones<T>(&self, read: impl Fn(&Incident) -> T) -> Vec<T> {
        let desk = self.0.desk.lock().await;
        desk.incidents().values().filter(|it| it.status.is_open()).map(read).collect()
    }

    /// A copy of the desk at this moment.
    pub(crate) async fn desk(&self) -> Desk {
        self.0.desk.lock().await.clone()
    }

    /// Lets the desk decide, makes what it decided rest, and then does it. Nothing changed where this fails.
    pub(crate) async fn decide<T>(
        &self,
        decide: impl Fn(&mut Desk, Time) -> Result<T, Refused>,
    ) -> Result<T, DeskError> {
        self.decide_with(Vec::new(), decide).await
    }

    async fn decide_with<T>(
        &self,
        with: Vec<Change>,
        decide: impl Fn(&mut Desk, Time) -> Result<T, Refused>,
    ) -> Result<T, DeskError> {
        let mut desk = self.0.desk.lock().await;
        for _ in 0..TRIES {
            let mut next = desk.clone();
            let value = decide(&mut next, self.now())?;
            let taken = next.take_changes();
            if taken.is_empty() && with.is_empty() {
                *desk = next;
                return Ok(value);
            }
            let mut changes = at_rest::changes(&taken, self.now());
            if taken.memory {
                let mut pieces = self.0.pieces.lock().unwrap_or_else(PoisonError::into_inner);
                changes.extend(at_rest::remembered(&next, &mut pieces));
            }
            changes.extend(with.iter().cloned());
            match self.0.store.change(changes, self.now()).await {
                Ok(_) => {
                    *desk = next;
                    self.counted().see(&desk, &taken);
                    let void = self.void(&taken);
                    drop(desk);
                    self.follow(taken, void).await;
                    return Ok(value);
                }
                // Another instance has this number: the next one after the last, then.
                Err(StoreError::Conflict { .. }) => {
                    for (incident, _) in taken.incidents.iter().filter(|(_, is_new)| *is_new) {
                        desk.saw(&incident.id);
                    }
                    if let Some(last) = at_rest::last_id(&*self.0.store).await? {
                        desk.saw(&last);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Refused::Invalid("no number for an incident was free".to_owned()).into())
    }

    /// Tries that must not go on: their notices are of no use any more.
    fn void(&self, taken: &Taken) -> Vec<JoinHandle<()>> {
        let mut flying = self.flying();
        let cancelled = taken.deliveries.iter().filter(|it| it.state == State::Cancelled);
        cancelled.filter_map(|it| flying.remove(&it.id)).collect()
    }

    /// What is done once everything rests.
    async fn follow(&self, taken: Taken, void: Vec<JoinHandle<()>>) {
        for flying in void {
            flying.abort();
            let _ = flying.await;
        }
        let at = self.now();
        for kind in taken.events {
            (self.0.on_event)(Event { at, kind });
        }
        for doing in taken.doing {
            self.perform(doing);
        }
        self.0.bell.notify_one();
    }

    /// Takes an action or undoes it, and tells the desk what came of it.
    fn perform(&self, doing: Doing) {
        let incidents = self.clone();
        tokio::spawn(async move {
            let result = acting::perform(&*incidents.0.acting, &doing).await;
            let done = || {
                incidents.decide(|desk, now| {
                    desk.handle_done(&doing.incident, doing.action, result.clone(), now);
                    Ok(())
                })
            };
            while let Err(error) = done().await {
                tracing::warn!(%error, incident = doing.incident, "what came of an action waits for the store");
                tokio::time::sleep(STORE_AGAIN).await;
            }
        });
    }

    /// An incident as it is now, also one that the desk has forgotten.
    pub(crate) async fn find(&self, id: &str) -> Result<Option<Incident>, StoreError> {
        if let Some(incident) = self.0.desk.lock().await.incidents().get(id) {
            return Ok(Some(incident.clone()));
        }
        at_rest::incident(self.store(), id).await
    }

    /// Lets the desk decide about an incident that it may have forgotten.
    pub(crate) async fn decide_about<T>(
        &self,
        ids: &[&str],
        decide: impl Fn(&mut Desk, Time) -> Result<T, Refused>,
    ) -> Result<T, DeskError> {
        let mut forgotten = Vec::new();
        for id in ids {
            forgotten.extend(self.find(id).await?);
        }
        self.decide(move |desk, now| {
            for incident in &forgotten {
                desk.recall(incident.clone());
            }
            decide(desk, now)
        })
        .await
    }

    /// All incidents that rest, the last first.
    pub(crate) async fn all(&self) -> Result<Vec<Incident>, StoreError> {
        at_rest::incidents(self.store()).await
    }

    /// Incidents that are wanted, the last first, from before an id on (empty: the last); at most `limit`, of at most `looked_at` that
    /// rest. Also where to go on, unless that was all.
    pub(crate) async fn before(
        &self,
        before: &str,
        (limit, looked_at): (usize, usize),
        wanted: impl Fn(&Incident) -> bool,
    ) -> Result<(Vec<Incident>, Option<String>), StoreError> {
        let (mut found, mut next, mut left) = (Vec::new(), before.to_owned(), looked_at);
        while left > 0 {
            let (page, on) = at_rest::incidents_before(self.store(), &next, READ_AT_ONCE.min(left)).await?;
            for incident in page {
                if found.len() == limit {
                    return Ok((found, Some(next)));
                }
                next.clone_from(&incident.id);
                found.extend(wanted(&incident).then_some(incident));
            }
            let Some(on) = on else { return Ok((found, None)) };
            next = on;
            left = left.saturating_sub(READ_AT_ONCE);
        }
        Ok((found, Some(next)))
    }

    /// Notices of an incident, in the order in which they were made.
    pub(crate) async fn notices(&self, id: &str) -> Result<Vec<Delivery>, StoreError> {
        at_rest::deliveries(self.store(), Some(id)).await
    }

    /// Notices of all incidents.
    pub(crate) async fn all_notices(&self) -> Result<Vec<Delivery>, StoreError> {
        at_rest::deliveries(self.store(), None).await
    }

    /// Puts an exception from who is on call in force, once it rests.
    pub(crate) async fn put_override(&self, made: Override) -> Result<(), DeskError> {
        let change = at_rest::put(at_rest::OVERRIDE, &made.id, &made);
        self.decide_with(vec![change], |desk, now| {
            let others = desk.overrides().iter().filter(|it| it.id != made.id && it.until + LOOK_BACK > now).cloned();
            let all: Vec<Override> = others.chain([made.clone()]).collect();
            bounded(all.len(), "exceptions from who is on call")?;
            desk.set_overrides(all);
            Ok(())
        })
        .await
    }

    /// Takes one back.
    pub(crate) async fn end_override(&self, id: &str) -> Result<(), DeskError> {
        self.decide_with(vec![at_rest::remove(at_rest::OVERRIDE, id)], |desk, _| {
            desk.set_overrides(desk.overrides().iter().filter(|it| it.id != id).cloned().collect());
            Ok(())
        })
        .await
    }

    /// Puts a silence in force, once it rests.
    pub(crate) async fn put_silence(&self, made: Silence) -> Result<(), DeskError> {
        let change = at_rest::put(at_rest::SILENCE, &made.id, &made);
        self.decide_with(vec![change], |desk, now| {
            let others = desk.silences().iter().filter(|it| it.id != made.id && it.until + LOOK_BACK > now).cloned();
            let all: Vec<Silence> = others.chain([made.clone()]).collect();
            bounded(all.len(), "silences")?;
            desk.set_silences(all);
            Ok(())
        })
        .await
    }

    /// Ends one early: whoever was not paged is paged now.
    pub(crate) async fn end_silence(&self, id: &str) -> Result<(), DeskError> {
        self.decide_with(vec![at_rest::remove(at_rest::SILENCE, id)], |desk, _| {
            desk.set_silences(desk.silences().iter().filter(|it| it.id != id).cloned().collect());
            Ok(())
        })
        .await
    }

    /// Takes in what happened since it was last looked at.
    async fn listen(&self) -> Result<bool, StoreError> {
        let after = *self.cursor();
        let query = EventQuery { after, limit: EVENTS_MAX, ..EventQuery::default() };
        let page = self.0.store.events(query).await?;
        let Some(last) = page.last().map(|event| event.seq) else { return Ok(false) };
        let full = page.len() >= EVENTS_MAX;
        let read: Vec<Event> = page.iter().filter_map(|stored| Event::from_json(&stored.body).ok()).collect();
        let heard = self.decide_with(vec![at_rest::cursor(last)], |desk, now| {
            for event in &read {
                desk.handle_event(event, now);
            }
            Ok(())
        });
        match heard.await {
            Ok(()) => *self.cursor() = last,
            Err(DeskError::Store(error)) => return Err(error),
            Err(DeskError::Refused(refused)) => {
                tracing::error!(%refused, "what happened was not taken in; it is tried again");
                return Ok(false);
            }
        }
        Ok(full)
    }

    fn cursor(&self) -> MutexGuard<'_, u64> {
        self.0.cursor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.0.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flying(&self) -> MutexGuard<'_, BTreeMap<String, JoinHandle<()>>> {
        self.0.flying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn heartbeat(&self) -> Option<Heartbeat> {
        self.0.desk.lock().await.terms().incidents.heartbeat.clone()
    }
}

fn bounded(count: usize, what: &str) -> Result<(), Refused> {
    if count > MADE_MAX {
        return Err(Refused::Invalid(format!("there are at most {MADE_MAX} {what}")));
    }
    Ok(())
}

impl RunningDesk {
    /// Runs until `stop` completes; what is on its way then is sent after the next start.
    pub async fn until(self, stop: impl Future<Output = ()>) {
        let RunningDesk(incidents) = self;
        let beating = tokio::spawn(heartbeat::beat(incidents.clone()));
        let mut stop = pin!(stop);
        // What was being done when everything stopped.
        if let Err(error) = incidents.decide(|_, _| Ok(())).await {
            tracing::warn!(%error, "what was being done waits for the store");
        }
        loop {
            let wait = incidents.step().await;
            tokio::select! {
                () = &mut stop => break,
                () = incidents.0.bell.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        beating.abort();
        let flying = std::mem::take(&mut *incidents.flying());
        for (_, flying) in flying {
            flying.abort();
            let _ = flying.await;
        }
    }
}

impl Incidents {
    /// Does what is due; how long nothing will be.
    async fn step(&self) -> Duration {
        let terms = self.0.terms.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(terms) = terms
            && let Err(error) = self
                .decide(|desk, now| {
                    desk.set_terms(terms.clone(), now);
                    Ok(())
                })
                .await
        {
            tracing::warn!(%error, "the config of incidents waits for the store");
            self.0.terms.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(terms);
        }
        match self.listen().await {
            Ok(true) => return Duration::ZERO,
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "the log of events cannot be read; it is tried again"),
        }
        let now = self.now();
        let due = self.0.desk.lock().await.poll_timeout().is_some_and(|due| due <= now);
        if due
            && let Err(error) = self
                .decide(|desk, now| {
                    desk.handle_timeout(now);
                    Ok(())
                })
                .await
        {
            tracing::warn!(%error, "what is due waits for the store");
        }
        self.send_due().await;
        LOOK_EVERY
    }
}

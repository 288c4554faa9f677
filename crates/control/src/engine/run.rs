//! The loop.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use mainstay_core::event::Event;
use mainstay_store::change::Change;
use mainstay_store::record;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::external::External;
use super::ingest::{Entry, Taken, ingest};
use super::settle::Settling;
use super::{Budgets, Engine, EngineError, News, OnEvent, Source, Terms};
use super::{models, quality};
use crate::ingest::report;

/// How often sums are taken from their source and stored: what a killed process may lose.
const SETTLE_EVERY: Duration = Duration::from_millis(500);
/// How often the store rolls up and forgets.
const MAINTAIN_EVERY: Duration = Duration::from_mins(1);
/// Most events that are appended to the log in one transaction.
const LOG_MAX: usize = 1_000;

/// Most flags in one transaction.
const FLAGS_BATCH: usize = 1_000;

/// What the engine is told.
pub(super) enum Command {
    /// Store and count these.
    Ingest(Vec<Entry>, oneshot::Sender<Result<Vec<Taken>, EngineError>>),
}

/// An engine that waits to be run.
pub struct Running {
    engine: Engine,
    commands: mpsc::Receiver<Command>,
    log: mpsc::Receiver<Event>,
    settling: Settling,
    on_event: OnEvent,
    external: External,
    /// Entries that are being stored.
    storing: JoinSet<()>,
    /// What monitors learned and the store has not taken.
    learned: Vec<Change>,
}

impl Running {
    pub(super) fn new(
        engine: Engine,
        commands: mpsc::Receiver<Command>,
        log: mpsc::Receiver<Event>,
        source: Source,
        on_event: OnEvent,
        instance: String,
    ) -> Running {
        let (settling, external) = (Settling::new(source, instance), External::default());
        Running { engine, commands, log, settling, on_event, external, storing: JoinSet::new(), learned: Vec::new() }
    }

    /// Runs until `stop` completes; then stores what is left.
    pub async fn until(mut self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let engine = self.engine.clone();
        let mut settle = tokio::time::interval(SETTLE_EVERY);
        settle.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut maintain = tokio::time::interval(MAINTAIN_EVERY);
        maintain.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(command) = self.commands.recv() => self.obey(command),
                () = engine.0.bell.notified() => self.hear().await,
                _ = settle.tick() => {
                    self.compare_signals();
                    self.settle().await;
                    self.hear().await;
                }
                _ = maintain.tick() => self.maintain().await,
                Some(_) = self.storing.join_next() => {}
            }
        }
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            self.obey(command);
        }
        self.drain().await;
        self.settling.take(&self.engine);
        self.keep();
        self.keep_windows();
        self.settle().await;
        if let Err(error) = self.engine.store().close().await {
            tracing::error!(%error, "the store could not be closed");
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Ingest(entries, reply) => {
                let engine = self.engine.clone();
                self.storing.spawn(async move {
                    // Whoever asked may be gone; what was taken is counted all the same.
                    let _ = reply.send(ingest(&engine, entries).await);
                });
            }
        }
    }

    /// Looks at what is new. What the store did not let through stays new, and is tried again when sums are stored.
    async fn hear(&mut self) {
        let News { terms, models } = std::mem::take(&mut *self.engine.news());
        if let Some(terms) = terms {
            self.change_terms(terms).await;
        } else if models {
            self.learn_models().await;
        }
    }

    /// Everything is stored first, so that objectives that are new here have all that was ever counted.
    async fn change_terms(&mut self, terms: Terms) {
        self.drain().await;
        self.settle().await;
        if let Err(error) = Budgets::change_terms(&self.engine, terms.clone(), self.engine.now()).await {
            tracing::error!(%error, "the store cannot be read: the objectives in force stay until it can");
            self.engine.news().terms.get_or_insert(terms);
            return;
        }
        let terms = self.engine.budgets().terms.clone();
        self.engine.watching().apply(&terms);
        self.engine.quality().apply(&terms);
        self.learn_models().await;
    }

    async fn learn_models(&mut self) {
        let served = self.engine.budgets().terms.models.clone();
        match models::served(&**self.engine.store(), &served).await {
            Ok(models) => {
                let now = self.engine.now();
                let mut budgets = self.engine.budgets();
                for (model, made) in &models {
                    budgets.core.handle_model(model, *made, now);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the registry of models cannot be read; it is tried again");
                self.engine.news().models = true;
            }
        }
    }

    /// Waits for what is being stored.
    async fn drain(&mut self) {
        while self.storing.join_next().await.is_some() {}
    }

    async fn settle(&mut self) {
        self.settling.take(&self.engine);
        self.external.read(&self.engine, &mut self.settling);
        self.judge();
        for (series, start, counts) in self.engine.budgets().sliced() {
            self.settling.add(series, start, counts);
        }
        self.settling.store(&self.engine).await;
        self.flag().await;
        self.watch().await;
        match quality::settle(&self.engine, &mut self.settling.predictions).await {
            Ok(events) => events.into_iter().for_each(&mut self.on_event),
            Err(error) => tracing::warn!(%error, "predictions and labels wait for the store"),
        }
        self.append_log().await;
    }

    /// Counts what our own checks flagged, as if it had been reported: each of them rests before it counts, and counts once.
    async fn flag(&mut self) {
        while !self.settling.flags.is_empty() {
            let batch = self.settling.flags.len().min(FLAGS_BATCH);
            let entries = self.settling.flags[..batch].iter().map(|flag| {
                let (item, meaning) = report::flagged(flag);
                Entry { item, meaning }
            });
            if let Err(error) = ingest(&self.engine, entries.collect()).await {
                tracing::warn!(%error, "flags wait for the store");
                return;
            }
            self.settling.flags.drain(..batch);
        }
    }

    /// Tells what monitors found, and makes what they learned rest.
    async fn watch(&mut self) {
        let now = self.engine.now();
        let (events, mut changes) = self.engine.watching().judge(now);
        events.into_iter().for_each(&mut self.on_event);
        changes.append(&mut self.learned);
        if changes.is_empty() {
            return;
        }
        if let Err(error) = self.engine.store().change(changes.clone(), now).await {
            tracing::warn!(%error, "references that were learned wait for the store");
            self.learned = changes;
        }
    }

    /// Tells which signals went beyond their bounds and which came back. That it was told is stored at once: a process that is killed
    /// before tells it again rather than never.
    fn compare_signals(&mut self) {
        let now = self.engine.now();
        let mut quality = self.engine.quality();
        let events = quality.signals.judge(now);
        if events.is_empty() {
            return;
        }
        self.settling.remember(quality.signals.rest());
        drop(quality);
        events.into_iter().for_each(&mut self.on_event);
    }

    /// Judges what the clock drives, and tells what changed.
    fn judge(&mut self) {
        let now = self.engine.now();
        let mut budgets = self.engine.budgets();
        if now < budgets.core.poll_timeout() {
            return;
        }
        budgets.core.handle_timeout(now);
        for (objective, start, counts) in budgets.aged(now) {
            self.settling.add(objective, start, counts);
        }
        while let Some(effect) = budgets.core.poll_effect() {
            (self.on_event)(effect.into());
        }
        drop(budgets);
        self.keep();
    }

    /// Will store what a restart needs besides counts.
    fn keep(&mut self) {
        let mut budgets = self.engine.budgets();
        let states = budgets.memories();
        self.settling.remember(states);
        for (route, hour, latencies) in budgets.core.take_latencies() {
            self.settling.sketch(route, hour, &latencies);
        }
    }

    async fn append_log(&mut self) {
        while !self.log.is_empty() {
            let mut changes = Vec::new();
            while changes.len() < LOG_MAX
                && let Ok(event) = self.log.try_recv()
            {
                changes.push(logged(&event));
            }
            if let Err(error) = self.engine.store().change(changes, self.engine.now()).await {
                tracing::warn!(%error, "events were not stored");
                return;
            }
        }
    }

    fn keep_windows(&mut self) {
        let windows = self.engine.watching().windows();
        self.settling.remember(windows);
        let signals = self.engine.quality().signals.rest();
        self.settling.remember(signals);
    }

    async fn maintain(&mut self) {
        self.keep_windows();
        if let Err(error) = self.engine.store().maintain(self.engine.now()).await {
            tracing::warn!(%error, "the store was not maintained");
        }
        if let Err(error) = quality::maintain(&self.engine).await {
            tracing::warn!(%error, "slices that are too old could not be forgotten");
        }
    }
}

/// An event as the log keeps it.
pub(crate) fn logged(event: &Event) -> Change {
    let body = event.to_json();
    let kind = serde_json::from_str::<Typed>(&body).map(|typed| typed.kind).unwrap_or_default();
    Change::Event(record::Event { seq: 0, at: event.at, kind, body })
}

#[derive(serde::Deserialize)]
struct Typed {
    #[serde(rename = "type")]
    kind: String,
}

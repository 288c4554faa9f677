//! Sums on their way to the store: counted in memory at once, stored at most a second later, exactly once.

use std::collections::BTreeMap;

use mainstay_core::safety::Flag;
use mainstay_core::slo::series::Counts;
use mainstay_core::stats::LogHistogram;
use mainstay_core::time::Time;
use mainstay_store::StoreError;
use mainstay_store::bucket::HOUR;
use mainstay_store::item::{Delta, Item, Sketch, State, Sums};

use super::{Engine, Source, Summed};

/// Most predictions that wait for the store; the oldest are not remembered then.
const PREDICTIONS_MAX: usize = 100_000;
/// Most flags that wait for the store; the oldest are given up then.
const FLAGS_MAX: usize = 100_000;
/// Most sums in one transaction.
const SUMS_MAX: usize = 100_000;

/// Sums that are not stored yet.
pub(super) struct Settling {
    source: Source,
    instance: String,
    sequence: u64,
    waiting: BTreeMap<(String, Time), Counts>,
    states: BTreeMap<String, Vec<u8>>,
    sketches: BTreeMap<(String, Time), Vec<u8>>,
    /// Predictions that labels will be about, and that do not rest yet.
    pub(super) predictions: Vec<Item>,
    /// Flags of our own checks that do not rest yet.
    pub(super) flags: Vec<Flag>,
    /// What was offered to the store and may have been stored: it is offered again as it was.
    offered: Option<Sums>,
}

impl Settling {
    pub(super) fn new(source: Source, instance: String) -> Settling {
        let (waiting, states, sketches) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (predictions, flags) = (Vec::new(), Vec::new());
        Settling { source, instance, sequence: 0, waiting, states, sketches, predictions, flags, offered: None }
    }

    /// Will store events of an objective that have been counted.
    pub(super) fn add(&mut self, objective: String, start: Time, counts: Counts) {
        self.waiting.entry((objective, start)).or_default().add(counts);
    }

    /// Will store these, once everything that was added so far is stored.
    pub(super) fn remember(&mut self, states: Vec<State>) {
        self.states.extend(states.into_iter().map(|state| (state.key, state.data)));
    }

    /// Will store the latencies of a route's hour, all of them.
    pub(super) fn sketch(&mut self, route: String, hour: Time, latencies: &LogHistogram) {
        self.sketches.insert((route, hour), latencies.to_bytes());
    }

    /// Takes what was summed up, and counts it.
    pub(super) fn take(&mut self, engine: &Engine) {
        let Summed { counts, latencies, flags, waiting, observed } = (self.source)();
        self.flags.extend(flags);
        let beyond = self.flags.len().saturating_sub(FLAGS_MAX);
        if beyond > 0 {
            tracing::error!(beyond, "flags that the store did not take in time are given up");
            self.flags.drain(..beyond);
        }
        let now = engine.now();
        let mut watching = engine.watching();
        for (plan, observed) in &observed {
            watching.handle(plan, observed, now);
        }
        drop(watching);
        let mut quality = engine.quality();
        for (plan, observed) in &observed {
            self.predictions.extend(quality.observe(plan, observed));
        }
        drop(quality);
        let beyond = self.predictions.len().saturating_sub(PREDICTIONS_MAX);
        if beyond > 0 {
            tracing::warn!(beyond, "predictions that the store did not take in time are not remembered for labels");
            self.predictions.drain(..beyond);
        }
        let mut budgets = engine.budgets();
        for (objective, start, counts) in counts {
            if budgets.record(&objective, start, counts, now) {
                self.add(objective, start, counts);
            }
        }
        for (route, start, seen) in latencies {
            budgets.core.handle_latencies(&route, start, &seen, now);
        }
        budgets.core.handle_waiting(waiting, now);
    }

    /// Stores what waits.
    pub(super) async fn store(&mut self, engine: &Engine) {
        while let Some(sums) = self.offered.take().or_else(|| self.next()) {
            match engine.store().add_sums(sums.clone(), engine.now()).await {
                Ok(_) => {}
                Err(error @ (StoreError::Invalid(_) | StoreError::TooLarge { .. })) => {
                    tracing::error!(%error, "sums that the store refuses are given up");
                }
                Err(error) => {
                    tracing::warn!(%error, "sums wait for the store");
                    self.offered = Some(sums);
                    return;
                }
            }
        }
    }

    fn next(&mut self) -> Option<Sums> {
        if self.waiting.is_empty() && self.states.is_empty() && self.sketches.is_empty() {
            return None;
        }
        self.sequence += 1;
        let mut deltas = Vec::new();
        while deltas.len() < SUMS_MAX
            && let Some(((objective, start), counts)) = self.waiting.pop_first()
        {
            deltas.push(Delta { objective, start, good: counts.good, bad: counts.bad });
        }
        // States speak of all that was added: they go with the last of it.
        let is_last = self.waiting.is_empty();
        let states = if is_last { std::mem::take(&mut self.states) } else { BTreeMap::new() };
        let states = states.into_iter().map(|(key, data)| State { key, data }).collect();
        let sketches = if is_last { std::mem::take(&mut self.sketches) } else { BTreeMap::new() };
        let width_secs = HOUR as u32;
        let sketch = |((series, start), data)| Sketch { series, start, width_secs, data };
        let sketches = sketches.into_iter().map(sketch).collect();
        Some(Sums { source: self.instance.clone(), sequence: self.sequence, deltas, states, sketches })
    }
}

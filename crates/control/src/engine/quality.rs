//! Quality of live predictions: predictions and labels at rest, joined; slices judged; proxies and signals beside them.
//!
//! ```text
//! gateway, POST events --> predictions --ingest--> Store --.
//! POST labels -----------> labels ------ingest--> Store --+-- join --> slices --> objectives for quality
//!                                    (a label that waits is tried again when its prediction comes, and after a restart)
//! ```
//!
//! A label is settled in the transaction that stores the slice which it changed: it counts once, whenever the process ends.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::event::{Event, EventKind, QualityChange};
use mainstay_core::observed::{Observed, Value, is_remembered};
use mainstay_core::plan::{Labels, Plan};
use mainstay_core::quality::cbpe::Calibrator;
use mainstay_core::quality::proxies::{Baseline, Proxy, Status};
use mainstay_core::quality::slices::{SLICE, Slices, slice_of};
use mainstay_core::quality::summary::{Label, Summary, Task};
use mainstay_core::slo::objective::{Kind as Objective, QUALITY_LABELS_LEAST};
use mainstay_core::time::Time;
use mainstay_store::change::Change;
use mainstay_store::item::{Item, ItemQuery, Kind, State, Stored};
use mainstay_store::record::Expect;
use mainstay_store::{Store, StoreError};
use serde::{Deserialize, Serialize};

use super::signals::Signals;
use super::{Budgets, Engine, Terms};

/// What a slice is kept under, before its route and start.
const SLICES: &str = "quality/";
/// What a baseline is among the store's documents.
const BASELINE: &str = "quality_baseline";
/// Most labels that are joined at once.
const JOIN_MAX: usize = 1_000;
/// Most labels that wait for their predictions, or to be joined. What is beyond rests, and is looked at after a restart.
const WAITING_MAX: usize = 500_000;
/// How often slices are judged.
const JUDGE_EVERY: Duration = Duration::from_secs(2);
/// How long a calibration is used.
const CALIBRATED_FOR: Duration = Duration::from_mins(10);
/// Slices are kept for so long.
const KEEP: Duration = Duration::from_hours(30 * 24);

/// Which request.
type Key = (String, String);

/// A route whose predictions are measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The route.
    pub route: String,
    /// What its predictions are.
    pub task: Task,
}

/// What became of labels since this process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// They found their prediction.
    pub(crate) joined: u64,
    /// Another label of the same request holds.
    pub(crate) superseded: u64,
    /// They say nothing of their prediction.
    pub(crate) unreadable: u64,
    /// Their prediction is not among the share that is remembered.
    pub(crate) not_sampled: u64,
    /// Their prediction never came.
    pub(crate) expired: u64,
}

/// A prediction at rest: what `POST /api/v1/events` takes as well.
#[derive(Debug, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names are the API's")]
struct Prediction {
    #[serde(rename = "type")]
    kind: String,
    id: String,
    #[serde(default)]
    client: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    #[serde(default)]
    model: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prediction: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    confidence: Option<f64>,
}

/// A label at rest.
#[derive(Debug, Deserialize)]
struct Labelled {
    label: serde_json::Value,
    #[serde(default)]
    weight: Option<f64>,
}

/// Quality as it stands.
#[derive(Default)]
pub(crate) struct Quality {
    labels: Labels,
    measured: BTreeMap<String, Task>,
    pub(crate) slices: Slices,
    proxies: BTreeMap<(String, &'static str), (Proxy, Option<Status>)>,
    baselines: BTreeMap<String, BTreeMap<String, (f64, f64)>>,
    /// Labels whose predictions have not come, with when they came.
    waiting: BTreeMap<Key, Time>,
    /// Requests with labels that were not looked at.
    queue: VecDeque<Key>,
    /// Labels that were looked at, and whose slices are not stored yet.
    settled: Vec<u64>,
    /// What was offered to the store and may not be there yet.
    offered: Vec<Change>,
    /// By objective and slice: the revision that was judged.
    judged: BTreeMap<(String, Time), u64>,
    /// When slices were judged last.
    judged_at: Time,
    /// By route: how its scores are calibrated, and since when.
    calibrators: BTreeMap<String, (Time, Calibrator)>,
    pub(crate) counted: Counted,
    pub(crate) signals: Signals,
}

fn value(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Bool(flag) => Value::Number(f64::from(u8::from(*flag))),
        serde_json::Value::Number(number) => number.as_f64().map_or(Value::Missing, Value::Number),
        serde_json::Value::String(word) => Value::word(word),
        serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => Value::Missing,
    }
}

fn json(value: &Value) -> Option<serde_json::Value> {
    match value {
        Value::Number(number) => serde_json::Number::from_f64(*number).map(serde_json::Value::Number),
        Value::Word(word) => Some(serde_json::Value::String(word.to_string())),
        Value::Missing | Value::Vector(_) => None,
    }
}

impl Quality {
    /// What rests: slices, baselines, signals of the last day, and labels that wait.
    pub(super) async fn restore(terms: &Terms, store: &dyn Store, now: Time) -> Result<Quality, StoreError> {
        let mut quality = Quality::default();
        quality.apply(terms);
        for state in store.states(SLICES).await? {
            let key = state.key.strip_prefix(SLICES).and_then(|key| key.rsplit_once('/'));
            let start = key.and_then(|(route, start)| Some((route, start.parse::<u64>().ok()?)));
            match (start, serde_json::from_slice::<Summary>(&state.data)) {
                (Some((route, start)), Ok(summary)) => quality.slices.restore(route, Time::from_secs(start), summary),
                _ => tracing::warn!(key = state.key, "a slice of quality cannot be read, and is left out"),
            }
        }
        for document in store.documents(BASELINE, "").await? {
            if let Ok(baseline) = serde_json::from_str(&document.body) {
                quality.set_baseline(&document.id, baseline);
            }
        }
        let mut after = 0;
        loop {
            let query = ItemQuery { kind: Some(Kind::Label), waiting: true, after, ..ItemQuery::default() };
            let page = store.items(query).await?;
            let Some(last) = page.last() else { break };
            after = last.seq;
            for stored in &page {
                quality.came(&stored.item);
            }
        }
        quality.signals = Signals::restore(store, now).await?;
        quality.signals.set_bounds(&terms.bounds);
        Ok(quality)
    }

    /// Measures what these terms ask for.
    pub(super) fn apply(&mut self, terms: &Terms) {
        self.labels = terms.labels.clone().unwrap_or_default();
        self.measured = terms.measured.iter().map(|it| (it.route.clone(), it.task)).collect();
        self.signals.set_bounds(&terms.bounds);
    }

    /// Routes whose predictions are measured.
    pub(crate) fn measured(&self) -> impl Iterator<Item = (&str, Task)> {
        self.measured.iter().map(|(route, task)| (route.as_str(), *task))
    }

    /// Labels that wait for their predictions.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len() + self.queue.len()
    }

    /// The proxies of a route.
    pub(crate) fn proxies(&self, route: &str) -> impl Iterator<Item = (&'static str, &Proxy)> {
        self.proxies.iter().filter(move |((of, _), _)| of == route).map(|((_, name), (proxy, _))| (*name, proxy))
    }

    /// Takes over what was observed; the predictions that are to rest.
    pub(super) fn observe(&mut self, plan: &Arc<Plan>, observed: &[Observed]) -> Vec<Item> {
        let mut items = Vec::new();
        for request in observed {
            let Some(route) = plan.routes.get(request.route as usize) else { continue };
            let Some(task) = self.measured.get(&route.name).copied() else { continue };
            if let Some(confidence) = request.confidence {
                self.push(&route.name, "confidence", confidence);
            }
            if let (Some(Value::Number(number)), Task::Binary { threshold }) = (&request.prediction, task) {
                self.push(&route.name, "positive_rate", f64::from(u8::from(*number >= threshold)));
            }
            if let (Some(Value::Number(number)), Task::Regression) = (&request.prediction, task) {
                self.push(&route.name, "prediction_variance", *number);
            }
            if !request.for_labels {
                continue;
            }
            let model = request.backend.and_then(|at| plan.backends.get(at as usize));
            let prediction = Prediction {
                kind: "prediction".to_owned(),
                id: request.request_id.to_string(),
                client: request.client.to_string(),
                route: Some(route.name.clone()),
                model: model.and_then(|backend| backend.model.clone()).unwrap_or_default(),
                prediction: request.prediction.as_ref().and_then(json),
                confidence: request.confidence,
            };
            items.push(Item {
                kind: Kind::Prediction,
                client: prediction.client.clone(),
                id: prediction.id.clone(),
                about: None,
                at: request.at,
                body: serde_json::to_string(&prediction).expect("finite numbers and strings become JSON"),
                deltas: Vec::new(),
            });
        }
        items
    }

    fn push(&mut self, route: &str, name: &'static str, value: f64) {
        let baselines = &self.baselines;
        let proxy = self.proxies.entry((route.to_owned(), name)).or_insert_with(|| {
            let baseline = baselines.get(route).and_then(|of| of.get(name));
            (Proxy::new(baseline.map(|(mean, deviation)| Baseline { mean: *mean, deviation: *deviation })), None)
        });
        proxy.0.push(value);
    }

    /// A prediction rests that was not there before.
    pub(super) fn made(&mut self, item: &Item) {
        let Ok(prediction) = serde_json::from_str::<Prediction>(&item.body) else { return };
        let route = prediction.route.unwrap_or_default();
        if let Some(task) = self.measured.get(&route).copied() {
            let said = prediction.prediction.as_ref().map(value);
            self.slices.predict(&route, task, item.at, said.as_ref());
        }
        let key = (item.client.clone(), item.id.clone());
        if self.waiting.remove(&key).is_some() {
            self.queue.push_back(key);
        }
    }

    /// A signal rests that was not there before; some stand in for a measure.
    pub(super) fn signalled(&mut self, item: &Item, seq: u64) {
        let Some((name, value)) = self.signals.take(item, seq) else { return };
        let proxy = match name.as_str() {
            "click_through" => (Task::Ranking, "click_through"),
            "perplexity" => (Task::Generation, "perplexity"),
            _ => return,
        };
        let of_task = self.measured.iter().filter(|(_, task)| **task == proxy.0).map(|(route, _)| route.clone());
        for route in of_task.collect::<Vec<_>>() {
            self.push(&route, proxy.1, value);
        }
    }

    /// A label rests that was not there before.
    pub(super) fn came(&mut self, item: &Item) {
        let Some(about) = &item.about else { return };
        if self.queue.len() < WAITING_MAX {
            self.queue.push_back((item.client.clone(), about.clone()));
        }
    }

    /// Changes what labels of a request change, where its prediction is there.
    fn join(&mut self, prediction: Option<&Stored>, labels: &[Stored], key: Key) {
        let open: Vec<&Stored> = labels.iter().filter(|label| label.settled.is_none()).collect();
        let looked_at = open.iter().map(|label| label.seq);
        match prediction {
            None if is_remembered(&key.0, &key.1, self.labels.share) => {
                let came = open.first().map_or(Time::ZERO, |label| label.received);
                if !open.is_empty() && self.waiting.len() < WAITING_MAX {
                    self.waiting.insert(key, came);
                }
            }
            None => {
                self.counted.not_sampled += open.len() as u64;
                self.settled.extend(looked_at);
            }
            Some(prediction) if !open.is_empty() => {
                self.settled.extend(looked_at);
                self.apply_labels(&prediction.item, labels);
            }
            Some(_) => {}
        }
    }

    /// What is to be stored: slices that changed, and the labels that changed them, in one transaction. It is offered again until it is taken:
    /// what changed in memory must not change there again.
    fn offer(&mut self) -> Vec<Change> {
        if self.offered.is_empty() {
            self.offered = self.changed();
            if !self.settled.is_empty() {
                self.offered.push(Change::Settle(std::mem::take(&mut self.settled)));
            }
        }
        self.offered.clone()
    }

    /// Which label holds, and what that changes.
    fn apply_labels(&mut self, prediction: &Item, labels: &[Stored]) {
        let made = serde_json::from_str::<Prediction>(&prediction.body).ok();
        let route = made.as_ref().and_then(|made| made.route.clone()).unwrap_or_default();
        let (Some(made), Some(task)) = (made, self.measured.get(&route).copied()) else {
            // Nobody measures that route.
            self.counted.unreadable += labels.iter().filter(|label| label.settled.is_none()).count() as u64;
            return;
        };
        let said = made.prediction.as_ref().map(value);
        let read = |stored: &Stored| {
            let labelled: Labelled = serde_json::from_str(&stored.item.body).ok()?;
            let (weight, age) = (labelled.weight.unwrap_or(1.0), stored.item.at.since(prediction.at));
            let label = Label { truth: value(&labelled.label), weight, age };
            Summary::default().add(task, said.as_ref(), &label).ok()?;
            Some(label)
        };
        let of = |settled: bool| labels.iter().filter(move |label| label.settled.is_some() == settled);
        let open = of(false).count() as u64;
        let readable: Vec<Label> = of(false).filter_map(read).collect();
        self.counted.unreadable += open - readable.len() as u64;
        let mut before: Vec<Label> = of(true).filter_map(read).collect();
        let held = if self.labels.first_wins { (!before.is_empty()).then(|| before.remove(0)) } else { before.pop() };
        let mut readable = readable.into_iter();
        let count = readable.len() as u64;
        let next = match (self.labels.first_wins, &held) {
            (true, Some(_)) => None,
            (true, None) => readable.next(),
            (false, _) => readable.next_back(),
        };
        let Some(next) = next else {
            self.counted.superseded += count;
            return;
        };
        self.counted.superseded += count - 1 + u64::from(held.is_some());
        if let Some(held) = held {
            self.slices.take_back(&route, task, prediction.at, said.as_ref(), &held);
        }
        if self.slices.add(&route, task, prediction.at, said.as_ref(), &next).is_ok() {
            self.counted.joined += 1;
        }
    }

    /// Slices that changed, as they are to rest.
    fn changed(&mut self) -> Vec<Change> {
        let state = |(route, start, summary): (String, Time, Summary)| {
            let data = serde_json::to_vec(&summary).expect("finite numbers and strings become JSON");
            Change::State(State { key: format!("{SLICES}{route}/{}", start.as_millis() / 1_000), data })
        };
        self.slices.take_changed().into_iter().map(state).collect()
    }

    /// Tells objectives what slices came to that have matured, where that is news.
    fn judge(&mut self, budgets: &mut Budgets, now: Time) {
        if now < self.judged_at + JUDGE_EVERY {
            return;
        }
        self.judged_at = now;
        let objectives: Vec<_> = budgets
            .core
            .objectives()
            .filter_map(|(id, objective)| match &objective.kind {
                Objective::Quality { metric, label_delay, .. } => {
                    let scope = (objective.scope.route.clone(), objective.window.longest());
                    Some((id, objective.name.clone(), metric.clone(), *label_delay, scope))
                }
                _ => None,
            })
            .collect();
        for (id, name, metric, delay, (route, window)) in objectives {
            let of: Vec<(&str, Task)> =
                self.measured().filter(|(measured, _)| route.as_ref().is_none_or(|route| route == measured)).collect();
            let from = slice_of(now - window);
            let mut matured: BTreeMap<Time, u64> = BTreeMap::new();
            for (route, _) in &of {
                for (start, slice) in self.slices.of(route, from) {
                    if start + SLICE + delay <= now && slice.summary.labelled > 0 {
                        let revision = matured.entry(start).or_default();
                        *revision = (*revision).max(slice.revision + 1);
                    }
                }
            }
            let mut judged = Vec::new();
            for (start, revision) in matured {
                let key = (name.clone(), start);
                if self.judged.get(&key) == Some(&revision) {
                    continue;
                }
                judged.push((key, revision));
                let of_slice = of.iter().filter_map(|(route, task)| {
                    let (_, slice) = self.slices.of(route, start).next().filter(|(at, _)| *at == start)?;
                    Some((&slice.summary, *task))
                });
                let (mut all, mut task) = (Summary::default(), None);
                for (summary, own) in of_slice.filter(|(_, task)| task.metrics().contains(&metric.as_str())) {
                    all.merge(summary);
                    task = Some(own);
                }
                let estimate = task.and_then(|task| all.metric(task, &metric));
                if let Some(estimate) = estimate.filter(|_| all.labelled >= QUALITY_LABELS_LEAST) {
                    budgets.core.handle_quality(id, start, estimate.interval, all.labelled, now);
                }
            }
            self.judged.extend(judged);
        }
        self.judged.retain(|(_, start), _| *start + KEEP > now);
    }

    /// Proxies that have another status.
    fn proxies_changed(&mut self, now: Time) -> Vec<Event> {
        let mut events = Vec::new();
        for ((route, name), (proxy, told)) in &mut self.proxies {
            let status = proxy.status();
            let before = told.replace(status);
            // At first only what is wrong is told.
            let is_wrong = matches!(status, Status::PotentialIssue | Status::LikelyViolated);
            if before.map_or(!is_wrong, |before| before == status) {
                continue;
            }
            let from = before.map_or("no_data", Status::name).into();
            let (route, metric, value) = (route.clone(), (*name).to_owned(), proxy.mean());
            let change = QualityChange { route, metric, from, to: status.name().into(), value };
            events.push(Event { at: now, kind: EventKind::QualityStatusChanged(change) });
        }
        events
    }

    /// Forgets what is too old; what of it must no longer rest.
    fn forget(&mut self, now: Time) -> Vec<Change> {
        let keep = self.labels.keep;
        let before = self.waiting.len();
        self.waiting.retain(|_, came| *came + keep > now);
        self.counted.expired += (before - self.waiting.len()) as u64;
        let key = |(route, start): (String, Time)| format!("{SLICES}{route}/{}", start.as_millis() / 1_000);
        let gone: Vec<Change> =
            self.slices.forget(now - KEEP).into_iter().map(|slice| Change::ForgetState(key(slice))).collect();
        gone.into_iter().chain(self.signals.forget(now)).collect()
    }

    /// How a route's scores are made chances: by all its labels, as of ten minutes ago at most.
    pub(crate) fn calibrator(&mut self, route: &str, now: Time) -> Calibrator {
        if let Some((at, known)) = self.calibrators.get(route)
            && now < *at + CALIBRATED_FOR
        {
            return known.clone();
        }
        let made = Calibrator::fit(&self.slices.together(route, Time::ZERO).labelled_scores());
        // With few labels the next one may be what is missing.
        if made.is_fitted() {
            self.calibrators.insert(route.to_owned(), (now, made.clone()));
        }
        made
    }

    /// What proxies of a route are compared with from now on.
    pub(crate) fn set_baseline(&mut self, route: &str, baseline: BTreeMap<String, (f64, f64)>) {
        for ((of, name), (proxy, told)) in &mut self.proxies {
            if let Some((mean, deviation)) = baseline.get(*name).filter(|_| of == route) {
                proxy.set_baseline(Baseline { mean: *mean, deviation: *deviation });
                *told = None;
            }
        }
        self.baselines.insert(route.to_owned(), baseline);
    }
}

/// What makes a baseline rest.
pub(crate) fn baseline_change(route: &str, baseline: &BTreeMap<String, (f64, f64)>) -> Change {
    let body = serde_json::to_string(baseline).expect("finite numbers become JSON");
    Change::Document { kind: BASELINE.to_owned(), id: route.to_owned(), expect: Expect::Any, body }
}

/// Stores predictions, joins labels, judges: a part of the engine's loop. What the store does not let through is tried again.
pub(super) async fn settle(engine: &Engine, unstored: &mut Vec<Item>) -> Result<Vec<Event>, StoreError> {
    let store = engine.store();
    while !unstored.is_empty() {
        let batch: Vec<Item> = unstored.iter().take(mainstay_store::item::ITEMS_MAX).cloned().collect();
        let verdicts = store.ingest(batch.clone(), engine.now()).await?;
        unstored.drain(..batch.len());
        let mut quality = engine.quality();
        let news = batch.iter().zip(verdicts).filter(|(_, v)| matches!(v, mainstay_store::item::Verdict::New(_)));
        news.for_each(|(item, _)| quality.made(item));
    }
    store_offered(engine).await?;
    let keys: Vec<Key> = {
        let mut quality = engine.quality();
        let count = quality.queue.len().min(JOIN_MAX);
        let mut keys: Vec<Key> = quality.queue.drain(..count).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    };
    for at in 0..keys.len() {
        if let Err(error) = join(engine, &keys[at]).await {
            // Labels that were not looked at are next again.
            let mut quality = engine.quality();
            keys[at..].iter().rev().for_each(|key| quality.queue.push_front(key.clone()));
            return Err(error);
        }
    }
    store_offered(engine).await?;
    let now = engine.now();
    let mut budgets = engine.budgets();
    let mut quality = engine.quality();
    quality.judge(&mut budgets, now);
    Ok(quality.proxies_changed(now))
}

/// Stores what changed. What the store will never take is given up.
async fn store_offered(engine: &Engine) -> Result<(), StoreError> {
    let offered = engine.quality().offer();
    if offered.is_empty() {
        return Ok(());
    }
    match engine.store().change(offered, engine.now()).await {
        Ok(_) => {}
        Err(error @ (StoreError::Invalid(_) | StoreError::TooLarge { .. })) => {
            tracing::error!(%error, "slices of quality that the store refuses are given up");
        }
        Err(error) => return Err(error),
    }
    engine.quality().offered.clear();
    Ok(())
}

async fn join(engine: &Engine, key: &Key) -> Result<(), StoreError> {
    let store = engine.store();
    let prediction = store.item(Kind::Prediction, &key.0, &key.1).await?;
    let mut labels = store.about(&key.0, &key.1).await?;
    labels.retain(|stored| stored.item.kind == Kind::Label);
    engine.quality().join(prediction.as_ref(), &labels, key.clone());
    Ok(())
}

/// Forgets what is too old.
pub(super) async fn maintain(engine: &Engine) -> Result<(), StoreError> {
    let now = engine.now();
    let gone = engine.quality().forget(now);
    if gone.is_empty() { Ok(()) } else { engine.store().change(gone, now).await.map(drop) }
}

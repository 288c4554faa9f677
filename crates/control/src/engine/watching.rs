//! Monitors of live traffic: their references at rest, and the boards that judge.

use std::collections::BTreeMap;
use std::sync::Arc;

use mainstay_core::drift::board::{Board, Compared, Effect, Monitor as Watched, Settings};
use mainstay_core::drift::reference::{Builder, Reference};
use mainstay_core::drift::verdict::Status;
use mainstay_core::drift::window::{About, Window};
use mainstay_core::event::{DriftChange, Event, EventKind};
use mainstay_core::observed::{Observed, Value};
use mainstay_core::plan::{Drift, Monitor, Plan, ValueKind, ValueSource};
use mainstay_core::time::Time;
use mainstay_store::change::Change;
use mainstay_store::item::State;
use mainstay_store::record::Expect;
use mainstay_store::{Store, StoreError};
use serde::{Deserialize, Serialize};

use super::Terms;

/// What a reference is among the store's documents.
const REFERENCE: &str = "drift_reference";
/// What the open window of a name is kept under, before the name.
const WINDOW: &str = "drift/";
/// Longest reference that is read from a file.
const FILE_MAX: u64 = 16 << 20;

/// A reference at rest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Resting {
    /// `put` or `learned`.
    pub(crate) source: String,
    pub(crate) reference: Reference,
}

/// An open window at rest.
#[derive(Serialize, Deserialize)]
struct Open {
    window: Window,
    status: Status,
    /// In nanoseconds since 1970.
    began: Option<u64>,
}

/// All monitors.
#[derive(Default)]
pub(crate) struct Watching {
    drift: Drift,
    routes: Vec<String>,
    boards: Vec<(String, Board)>,
    resting: BTreeMap<String, Resting>,
    /// By route: the model of its first entry, and its version, as observations last came under.
    models: BTreeMap<String, Model>,
    /// Why a name has no reference from its file.
    faults: BTreeMap<String, String>,
    /// The plan that observations came under last, and the place of each of its monitors: board, then monitor.
    places: Option<(Arc<Plan>, Vec<Option<Place>>)>,
}

/// A model and its version.
type Model = (Option<String>, Option<String>);

/// The model of a route's first entry that has one.
fn model_of(plan: &Plan, route: &str) -> Option<Model> {
    let route = plan.routes.iter().find(|own| own.name == route)?;
    let backend = route.ladder.iter().find_map(|entry| Some(entry.answer.asked()?.backend))?;
    let backend = plan.backends.get(backend.0)?;
    Some((backend.model.clone(), backend.version.clone()))
}

/// A board, and a monitor on it.
type Place = (usize, usize);

impl Watching {
    /// What rests of monitors.
    pub(super) async fn restore(terms: &Terms, store: &dyn Store) -> Result<Watching, StoreError> {
        let mut watching = Watching { resting: load(store).await?, ..Watching::default() };
        watching.apply(terms);
        for state in store.states(WINDOW).await? {
            let name = state.key.strip_prefix(WINDOW).unwrap_or_default();
            let Ok(Open { window, status, began }) = serde_json::from_slice(&state.data) else {
                tracing::warn!(name, "an open window cannot be read, and begins anew");
                continue;
            };
            let began = began.map(Time::from_nanos);
            for (_, board) in &mut watching.boards {
                board.restore(name, window.clone(), status, began);
            }
        }
        Ok(watching)
    }

    /// Watches what these terms ask for; windows of names that are watched as before go on.
    pub(super) fn apply(&mut self, terms: &Terms) {
        if self.drift == terms.drift && self.routes == terms.routes && !self.boards.is_empty() {
            return;
        }
        let before = std::mem::take(&mut self.boards);
        self.faults.clear();
        self.places = None;
        (self.drift, self.routes) = (terms.drift.clone(), terms.routes.clone());
        for (at, route) in terms.routes.iter().enumerate() {
            let of_route: Vec<&Monitor> = terms.drift.monitors.iter().filter(|monitor| monitor.route == at).collect();
            if of_route.is_empty() {
                continue;
            }
            let monitors = of_route.iter().map(|monitor| self.monitor(monitor)).collect();
            let mut board = Board::new(settings(&terms.drift), monitors, at as u64 + 1);
            let old = before.iter().find(|(named, _)| named == route).map(|(_, board)| board);
            for monitor in old.into_iter().flat_map(Board::monitors) {
                if let Some(window) = monitor.window() {
                    board.restore(&monitor.name, window.clone(), monitor.status(), window.from);
                }
            }
            self.boards.push((route.clone(), board));
        }
    }

    /// What was put by the API holds before the config's file, and that before what was learned.
    fn monitor(&mut self, monitor: &Monitor) -> Watched {
        let resting = self.resting.get(&monitor.name).filter(|resting| fits(&resting.reference, monitor.kind));
        let seed = monitor.name.bytes().fold(1_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let with = |reference: Reference| Compared::With(Arc::new(reference));
        let compared = match (&monitor.reference, resting) {
            (_, Some(resting)) if resting.source == "put" => with(resting.reference.clone()),
            (Some(file), resting) => match read(file, monitor.kind) {
                Ok(reference) => with(reference),
                Err(why) => {
                    tracing::error!(name = monitor.name, %why, "a reference cannot be used");
                    self.faults.insert(monitor.name.clone(), why);
                    resting.map_or_else(|| learning(monitor, seed), |resting| with(resting.reference.clone()))
                }
            },
            (None, Some(resting)) => with(resting.reference.clone()),
            (None, None) => learning(monitor, seed),
        };
        Watched::new(&monitor.name, compared, seed)
    }

    /// Takes observations in.
    pub(super) fn handle(&mut self, plan: &Arc<Plan>, observed: &[Observed], now: Time) {
        if self.boards.is_empty() {
            return;
        }
        if self.places.as_ref().is_none_or(|(known, _)| !Arc::ptr_eq(known, plan)) {
            let places = plan.drift.monitors.iter().map(|monitor| self.place(&monitor.name)).collect();
            self.places = Some((Arc::clone(plan), places));
            self.follow_models(plan);
        }
        let Some((_, places)) = &self.places else { return };
        let mut placed: Vec<(usize, &Value)> = Vec::new();
        for request in observed.iter().filter(|request| !request.values.is_empty()) {
            placed.clear();
            let mut board = None;
            for (monitor, value) in &request.values {
                let Some((of, at)) = places.get(*monitor as usize).copied().flatten() else { continue };
                board = Some(of);
                placed.push((at, value));
            }
            let Some(board) = board else { continue };
            let about = About {
                request_id: &request.request_id,
                class: usize::from(request.class.number()),
                backend: request.backend.map(|backend| backend as usize),
                at: request.at,
            };
            self.boards[board].1.handle(&placed, &about, now);
        }
    }

    /// What a model says has another law once it is another model: references that were learned from it are learned anew. Those of what
    /// is asked of it stay.
    fn follow_models(&mut self, plan: &Plan) {
        for (route, board) in &mut self.boards {
            let Some(model) = model_of(plan, route) else { continue };
            for monitor in self.drift.monitors.iter().filter(|monitor| plan_route(plan, monitor) == Some(route)) {
                let told = matches!(
                    monitor.source,
                    ValueSource::Answer(_) | ValueSource::Prediction | ValueSource::Confidence
                );
                let learned = self.resting.get(&monitor.name).filter(|resting| resting.source == "learned");
                let of = learned.map(|resting| (&resting.reference.model, &resting.reference.model_version));
                let is_other = of.is_some_and(|of| of != (&model.0, &model.1));
                if told && is_other && monitor.reference.is_none() {
                    tracing::info!(name = monitor.name, "another model answers: its reference is learned anew");
                    let (builder, of) = builder(monitor, 1);
                    board.learn_anew(&monitor.name, builder, of);
                    self.resting.remove(&monitor.name);
                }
            }
            self.models.insert(route.clone(), model);
        }
    }

    fn place(&self, name: &str) -> Option<Place> {
        self.boards.iter().enumerate().find_map(|(at, (_, board))| {
            let monitor = board.monitors().iter().position(|monitor| monitor.name == name)?;
            Some((at, monitor))
        })
    }

    /// Ends windows that are old enough; what is to be told, and what is to be stored.
    pub(super) fn judge(&mut self, now: Time) -> (Vec<Event>, Vec<Change>) {
        let (mut events, mut changes) = (Vec::new(), Vec::new());
        for (route, board) in &mut self.boards {
            board.handle_timeout(now);
            while let Some(effect) = board.poll_effect() {
                match effect {
                    Effect::StatusChanged { at, name, from, to, most } => {
                        let (method, value) = most.map_or((None, None), |(m, v)| (Some(m.into()), Some(v)));
                        let change = DriftChange {
                            name,
                            route: Some(route.clone()),
                            from: from.name().into(),
                            to: to.name().into(),
                            method,
                            value: value.filter(|value| value.is_finite()),
                        };
                        events.push(Event { at, kind: EventKind::DriftStatusChanged(change) });
                    }
                    Effect::Alarm { at, name, detector, run_length } => {
                        let (route, detector) = (Some(route.clone()), detector.into());
                        events.push(Event {
                            at,
                            kind: EventKind::DriftAlarmRaised { name, route, detector, run_length },
                        });
                    }
                    Effect::Learned(reference) => {
                        let name = reference.name.clone();
                        let (model, model_version) = self.models.get(route).cloned().unwrap_or_default();
                        let reference = Reference { model, model_version, ..(*reference).clone() };
                        board.set_reference(&name, Arc::new(reference.clone()));
                        let resting = Resting { source: "learned".to_owned(), reference };
                        changes.push(change(&name, &resting));
                        self.resting.insert(name, resting);
                    }
                }
            }
        }
        (events, changes)
    }

    /// Open windows, as they are to rest.
    pub(super) fn windows(&self) -> Vec<State> {
        let monitors = self.boards.iter().flat_map(|(_, board)| board.monitors().iter().map(move |it| (board, it)));
        let state = monitors.filter_map(|(board, monitor)| {
            let window = monitor.window()?.clone();
            let began = board.began().map(Time::as_nanos);
            let data = serde_json::to_vec(&Open { window, status: monitor.status(), began }).ok()?;
            Some(State { key: format!("{WINDOW}{}", monitor.name), data })
        });
        state.collect()
    }

    /// All monitors, with their routes.
    pub(crate) fn monitors(&self) -> impl Iterator<Item = (&str, &Board, &Watched)> {
        self.boards.iter().flat_map(|(route, board)| board.monitors().iter().map(move |m| (route.as_str(), board, m)))
    }

    /// What the config says of a name.
    pub(crate) fn config(&self, name: &str) -> Option<&Monitor> {
        self.drift.monitors.iter().find(|monitor| monitor.name == name)
    }

    /// Where a name's reference comes from.
    pub(crate) fn source(&self, name: &str) -> &str {
        match self.resting.get(name) {
            Some(resting) => &resting.source,
            None => "file",
        }
    }

    /// Why the file of a name is not used.
    pub(crate) fn fault(&self, name: &str) -> Option<&str> {
        self.faults.get(name).map(String::as_str)
    }

    /// Compares a name with what was put and rests by now.
    pub(crate) fn put(&mut self, name: &str, resting: Resting) {
        let reference = Arc::new(resting.reference.clone());
        self.resting.insert(name.to_owned(), resting);
        self.faults.remove(name);
        for (_, board) in &mut self.boards {
            board.set_reference(name, Arc::clone(&reference));
        }
    }
}

fn settings(drift: &Drift) -> Settings {
    let routes: std::collections::BTreeSet<usize> = drift.monitors.iter().map(|monitor| monitor.route).collect();
    Settings {
        window_values: drift.window_values,
        window_time: drift.window_time,
        // Routes share one budget.
        false_alarm_every: drift.false_alarm_every * routes.len().max(1) as u32,
        rate: drift.rate,
    }
}

/// The name of the route that a monitor of the config in force watches, where the plan has it in the same place.
fn plan_route<'a>(plan: &'a Plan, monitor: &Monitor) -> Option<&'a String> {
    plan.routes.get(monitor.route).map(|route| &route.name)
}

fn learning(monitor: &Monitor, seed: u64) -> Compared {
    let (builder, of) = builder(monitor, seed);
    Compared::Learning(builder, of)
}

fn builder(monitor: &Monitor, seed: u64) -> (Builder, u64) {
    let builder = match monitor.kind {
        ValueKind::Number => Builder::numbers(monitor.hour_of_week, seed),
        ValueKind::Category => Builder::categories(seed),
        ValueKind::Embedding => Builder::embedding(seed),
    };
    (builder, monitor.learn)
}

/// Whether a reference is of this kind of value.
pub(crate) fn fits(reference: &Reference, kind: ValueKind) -> bool {
    reference.values.kind() == kind.name()
}

fn read(file: &std::path::Path, kind: ValueKind) -> Result<Reference, String> {
    let told = |why: String| format!("{}: {why}", file.display());
    let size = std::fs::metadata(file).map_err(|error| told(error.to_string()))?.len();
    if size > FILE_MAX {
        return Err(told(format!("longer than {FILE_MAX} bytes")));
    }
    let text = std::fs::read_to_string(file).map_err(|error| told(error.to_string()))?;
    let reference = Reference::from_json(&text).map_err(|error| told(error.to_string()))?;
    let of = reference.values.kind();
    if fits(&reference, kind) { Ok(reference) } else { Err(told(format!("of kind {of}, not {}", kind.name()))) }
}

/// What makes a reference rest.
pub(crate) fn change(name: &str, resting: &Resting) -> Change {
    let body = serde_json::to_string(resting).expect("a reference has finite numbers and string keys");
    Change::Document { kind: REFERENCE.to_owned(), id: name.to_owned(), expect: Expect::Any, body }
}

async fn load(store: &dyn Store) -> Result<BTreeMap<String, Resting>, StoreError> {
    let mut all = BTreeMap::new();
    let mut after = String::new();
    loop {
        let page = store.documents(REFERENCE, &after).await?;
        let Some(last) = page.last() else { return Ok(all) };
        after.clone_from(&last.id);
        for document in page {
            match serde_json::from_str(&document.body) {
                Ok(resting) => drop(all.insert(document.id, resting)),
                Err(error) => tracing::warn!(name = document.id, %error, "a reference cannot be read"),
            }
        }
    }
}

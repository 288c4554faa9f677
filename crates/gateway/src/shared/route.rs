//! A route as all workers see it: its ladder, its retry budget, its parsed pointers.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::uri::PathAndQuery;
use mainstay_core::event::{Event, EventKind};
use mainstay_core::plan::{AnswerBy, PathMatch, Plan, Route};
use mainstay_core::resilience::ladder::{Climb, Component, Effect, Entry, Ladder, LevelReason, Pin, Seen};
use mainstay_core::resilience::retry::{BudgetConfig, RetryBudget};
use mainstay_core::route::Level;
use mainstay_core::slo::objective::{Kind, LatencyOf};
use mainstay_core::status;
use mainstay_core::time::Time;

use super::{Hedges, Orders, Shared};
use crate::StartError;
use crate::answers::files::DataFile;
use crate::answers::local::{self, Local};
use crate::protocol::{self, ConfidenceReader};
use crate::reviews::ReviewLine;
use crate::watch::Watch;

/// What a route is made with.
pub(crate) struct Around<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) files: &'a [Arc<DataFile>],
    pub(crate) lines: &'a [Arc<ReviewLine>],
    pub(crate) seed: u64,
}

/// A route as all workers see it.
pub(crate) struct RouteShared {
    pub(crate) name: String,
    /// The plan's entries as the walk sees them, in the same order.
    pub(crate) entries: Vec<Entry>,
    /// The same under every config that has a route of this name.
    pub(crate) retries: Arc<Mutex<RetryBudget>>,
    /// Which late calls are made a second time; `None`: none.
    pub(crate) hedges: Option<Arc<Hedges>>,
    pub(crate) confidence: Option<ConfidenceReader>,
    /// The strictest time that an objective allows an answer.
    pub(crate) allowed: Option<Duration>,
    /// What monitors and labels see of its requests.
    pub(crate) watch: Watch,
    /// Whether answers of this route go into the answer cache.
    pub(crate) caches: bool,
    /// Whether equal requests wait for one call to level 0.
    pub(crate) single_flight: bool,
    /// Most bytes of what a model says that checks look at, and one more; 0: none does.
    pub(crate) said_max: usize,
    /// By entry: what it needs to answer by itself.
    pub(crate) locals: Vec<Local>,
    /// Whether an entry counts keys.
    pub(crate) counts_keys: bool,
    /// Whether one of its backends is called with a key of ours.
    pub(crate) uses_keys: bool,
    /// What was ordered of it at run time; the same under every config that has a route of this name.
    pub(crate) orders: Arc<Orders>,
    /// By entry: the path at its backend, where the route's path is fixed and the backend's model has another name.
    pub(crate) paths: Vec<Option<PathAndQuery>>,
    level: AtomicU8,
    /// The ladder's last step up: when, in nanoseconds (0: never), and from where.
    climbed: (AtomicU64, AtomicU8),
    pinned: AtomicBool,
    ladder: Mutex<(Ladder, LevelReason)>,
}

impl RouteShared {
    /// A route for the new plan. Its level and its pin live on where the route's ladder is the same, what was ordered of it in
    /// any case.
    pub(crate) fn carry_over(
        index: usize,
        around: &Around<'_>,
        old: Option<&Shared>,
        now: Time,
    ) -> Result<Arc<RouteShared>, StartError> {
        let plan = around.plan;
        let route = &plan.routes[index];
        let bad = |what: String| StartError::Route(route.name.clone(), what);
        let entries: Vec<Entry> = route.ladder.iter().map(mainstay_core::plan::Entry::walked).collect();
        let running = old.and_then(|o| o.routes.iter().find(|r| r.name == route.name));
        let alike = running.filter(|r| r.entries == entries && same_components(r, old, plan));
        let ladder = match alike.map(|r| r.ladder.lock().expect("judging does not panic")) {
            Some(alike) if same_pace(route, old) => alike.clone(),
            Some(alike) => {
                let ladder = new_ladder(&entries, route, alike.0.pin().cloned(), now);
                (ladder.with_untried_of(&alike.0), LevelReason::Recovered)
            }
            None => {
                let pin = running.and_then(|r| r.ladder.lock().expect("judging does not panic").0.pin().cloned());
                (new_ladder(&entries, route, pin, now), LevelReason::Recovered)
            }
        };
        let climbed = ladder.0.climbed();
        let (climbed_at, climbed_from) = climbed.map_or((0, 0), |it| (it.at.as_nanos(), it.from.number()));
        let hedges = Hedges::carry_over(route, &plan.backends, alike.and_then(|r| r.hedges.as_ref()), now);
        let locals = running.map_or(&[][..], |running| &running.locals);
        let locals = local::entries(route, around.files, around.lines, locals, around.seed)
            .map_err(|error| bad(error.to_string()))?;
        Ok(Arc::new(RouteShared {
            name: route.name.clone(),
            entries,
            retries: running.map_or_else(|| new_budget(now), |running| Arc::clone(&running.retries)),
            hedges,
            confidence: route
                .confidence
                .as_ref()
                .map(ConfidenceReader::new)
                .transpose()
                .map_err(|e| bad(e.to_string()))?,
            allowed: allowed(plan, &route.name),
            watch: Watch::new(plan, index).map_err(|e| bad(e.to_string()))?,
            counts_keys: locals.iter().any(|local| matches!(local, Local::Velocity { .. })),
            locals,
            single_flight: route.ladder.iter().any(|e| matches!(e.answer, AnswerBy::Cache { single_flight: true, .. })),
            said_max: said_max(plan, index),
            caches: route.ladder.iter().any(|e| matches!(e.answer, AnswerBy::Cache { .. })),
            uses_keys: uses_keys(route, plan),
            orders: running.map(|running| Arc::clone(&running.orders)).unwrap_or_default(),
            paths: route.ladder.iter().map(|entry| fixed_path(route, entry, plan)).collect(),
            level: AtomicU8::new(ladder.0.level().number()),
            climbed: (AtomicU64::new(climbed_at), AtomicU8::new(climbed_from)),
            pinned: AtomicBool::new(ladder.0.pin().is_some()),
            ladder: Mutex::new(ladder),
        }))
    }

    /// Where a request starts.
    pub(crate) fn level(&self) -> Level {
        Level::new(self.level.load(Ordering::Relaxed)).unwrap_or(Level::STATIC)
    }

    /// The level of its first entry.
    pub(crate) fn best_level(&self) -> Level {
        self.entries.first().map_or(Level::FULL, |e| e.level)
    }

    /// Since when requests come to this level again after its parts recovered.
    pub(crate) fn back_at(&self, level: Level) -> Option<Time> {
        let at = Some(self.climbed.0.load(Ordering::Relaxed)).filter(|at| *at > 0).map(Time::from_nanos)?;
        let from = Level::new(self.climbed.1.load(Ordering::Relaxed))?;
        Climb { at, from }.back_at(level)
    }

    /// Whether a person holds its level.
    pub(crate) fn is_pinned(&self) -> bool {
        self.pinned.load(Ordering::Relaxed)
    }

    /// Why requests start below the best level, in a word.
    pub(crate) fn level_word(&self) -> &'static str {
        if self.is_pinned() { "pinned" } else { "unhealthy" }
    }

    /// Tells the ladder how its components are, lets it judge, and returns what it did.
    pub(crate) fn judge(&self, seen: impl Fn(Component) -> Seen, now: Time) -> Vec<Event> {
        let mut guard = self.ladder.lock().expect("judging does not panic");
        let ladder = &mut guard.0;
        for component in self.entries.iter().flat_map(Entry::components) {
            ladder.handle_seen(component, seen(component), now);
        }
        ladder.handle_timeout(now);
        self.publish(&mut guard)
    }

    /// Holds the route at a level.
    pub(crate) fn pin(&self, level: Level, until: Option<Time>, reason: &str, now: Time) -> Vec<Event> {
        let mut guard = self.ladder.lock().expect("judging does not panic");
        guard.0.handle_pin(Pin { level, until, reason: reason.into() }, now);
        self.publish(&mut guard)
    }

    /// Gives the level back to health.
    pub(crate) fn unpin(&self, now: Time) -> Vec<Event> {
        let mut guard = self.ladder.lock().expect("judging does not panic");
        guard.0.handle_unpin(now);
        self.publish(&mut guard)
    }

    fn publish(&self, guard: &mut (Ladder, LevelReason)) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(Effect::LevelChanged { from, to, why, at }) = guard.0.poll_effect() {
            let reason = why.word().into();
            guard.1 = why;
            events.push(Event { at, kind: EventKind::LevelChanged { route: self.name.clone(), from, to, reason } });
        }
        if let Some(Climb { at, from }) = guard.0.climbed() {
            self.climbed.1.store(from.number(), Ordering::Relaxed);
            self.climbed.0.store(at.as_nanos(), Ordering::Relaxed);
        }
        self.level.store(guard.0.level().number(), Ordering::Relaxed);
        self.pinned.store(guard.0.pin().is_some(), Ordering::Relaxed);
        events
    }

    /// Level, why it is there, and the pin.
    pub(crate) fn current(&self) -> (Level, String, Option<status::Pin>) {
        let guard = self.ladder.lock().expect("looking does not panic");
        let pin = guard.0.pin().map(|p| status::Pin { level: p.level, until: p.until, reason: p.reason.to_string() });
        let reason = if pin.is_some() { "pinned" } else { guard.1.word() }.to_owned();
        (guard.0.level(), reason, pin)
    }
}

fn new_budget(now: Time) -> Arc<Mutex<RetryBudget>> {
    Arc::new(Mutex::new(RetryBudget::new(BudgetConfig::default(), now)))
}

/// The strictest time that objectives allow an answer of a route from end to end.
fn allowed(plan: &Plan, route: &str) -> Option<Duration> {
    let about = plan.slos.iter().filter(|slo| slo.scope.route.as_deref().is_none_or(|of| of == route));
    // Of percentiles below the ninetieth every tenth request is slower: that is no violation.
    let allowed = about.filter_map(|slo| match &slo.kind {
        Kind::Latency { share, threshold, of: LatencyOf::EndToEnd } if *share >= 0.9 => Some(*threshold),
        _ => None,
    });
    allowed.min()
}

/// A ladder that knows nothing of health yet. What a person ordered for the route of this name holds on.
fn new_ladder(entries: &[Entry], route: &Route, pin: Option<Pin>, now: Time) -> Ladder {
    let mut ladder = Ladder::new(entries.to_vec(), route.hysteresis, now);
    if let Some(pin) = pin {
        ladder.handle_pin(pin, now);
        // It is the running ladder that the level changed on.
        while ladder.poll_effect().is_some() {}
    }
    ladder
}

/// A plan's path as it was written.
pub(crate) fn written(path: &PathMatch) -> String {
    match path {
        PathMatch::Exact(path) => path.clone(),
        PathMatch::Prefix(prefix) => format!("{prefix}*"),
    }
}

/// The path at an entry's backend, where it is the same for every request.
fn fixed_path(route: &Route, entry: &mainstay_core::plan::Entry, plan: &Plan) -> Option<PathAndQuery> {
    let (PathMatch::Exact(path), AnswerBy::Backend { backend, .. }) = (&route.path, &entry.answer) else { return None };
    let backend = plan.backends.get(backend.0)?;
    let path = protocol::path_with_model(path, backend.model.as_deref()?, backend.version.as_deref());
    PathAndQuery::try_from(path).ok()
}

/// What is kept of an answer for its checks: one byte more than the most patient of them looks at.
fn said_max(plan: &Plan, route: usize) -> usize {
    let checks = plan.checks.iter().filter(|check| check.routes.contains(&route));
    checks.map(|check| check.longest.saturating_add(1)).max().unwrap_or(0)
}

fn uses_keys(route: &Route, plan: &Plan) -> bool {
    let asked = route.ladder.iter().filter_map(|entry| entry.answer.asked());
    asked.filter_map(|asked| plan.backends.get(asked.backend.0)).any(|backend| !backend.keys.is_empty())
}

/// Whether the level follows health as slowly as before.
fn same_pace(route: &Route, old: Option<&Shared>) -> bool {
    let running = old.and_then(|o| o.plan.routes.iter().find(|r| r.name == route.name));
    running.is_some_and(|r| r.hysteresis == route.hysteresis)
}

/// Whether the indices in a running route's entries mean the same names in the new plan.
fn same_components(route: &RouteShared, old: Option<&Shared>, plan: &Plan) -> bool {
    let Some(old) = old else { return false };
    route.entries.iter().flat_map(Entry::components).all(|component| match component {
        Component::Backend(i) => {
            old.plan.backends.get(i as usize).map(|b| &b.name) == plan.backends.get(i as usize).map(|b| &b.name)
        }
        Component::Features(i) => {
            old.plan.features.get(i as usize).map(|f| &f.name) == plan.features.get(i as usize).map(|f| &f.name)
        }
    })
}

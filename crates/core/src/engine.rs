//! Joins the decisions: what happened goes in, what is to be done about it comes out.
//!
//! One engine runs per service, in one thread, in virtual time or in real time. Counts arrive summed up by bucket and
//! objective; budgets are answered at any moment; every ten seconds statuses and alerts are judged anew.
//!
//! ```text
//! handle_counts, handle_harm, handle_model, ... ──> trackers ──handle_timeout──> poll_effect: status changed, alert fired
//!                                                      └──> answer(objective, now)
//! ```
//!
//! What the times of events mean:
//! - An event from the future (a clock that runs ahead) counts at `now`. The border refuses what is too far ahead.
//! - An event that is older than the longest window counts nowhere, and [`Engine::too_old`] grows.
//! - A `now` that lies before an earlier one (a clock that was set back) is taken for the earlier one.
//!
//! ```
//! use std::time::Duration;
//! use mainstay_core::engine::Engine;
//! use mainstay_core::slo::budget::Status;
//! use mainstay_core::slo::objective::{Kind, Objective};
//! use mainstay_core::slo::series::Counts;
//! use mainstay_core::time::Time;
//!
//! let objective = Objective::new("fraud", Kind::availability(0.999).unwrap());
//! let now = Time::from_secs(1_800_000_000);
//! let mut engine = Engine::new(vec![objective], now);
//! let id = engine.id("fraud_availability").unwrap();
//! engine.handle_counts(id, now, Counts { good: 9_997, bad: 3 }, now);
//! let answer = engine.answer(id, now);
//! assert_eq!(answer.budget.status, Status::Healthy);
//! assert!((answer.budget.remaining - 0.7).abs() < 1e-9);
//! ```

mod answer;
mod effect;
mod memory;
mod tracker;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::slo::correction::{Correction, Maintenance, excluded};
use crate::slo::objective::{Kind, Objective};
use crate::slo::policy::{Action, Policy, Refusal};
use crate::slo::series::{Counts, GRAIN, Recorded, bucket_of};
use crate::slo::sketch::Sketches;
use crate::slo::sli::{Facts, Verdict, judge};
use crate::slo::slices::Change;
use crate::slo::window::Stretch;
use crate::stats::{Interval, LogHistogram};
use crate::time::Time;

pub use self::answer::{Answer, Burn, Claim, PERCENTILES, Percentile};
pub use self::effect::{Alert, Effect, Why};
pub use self::memory::{BadMemory, Memory};
pub use self::tracker::{FirstBad, Signal};

use self::tracker::Tracker;

/// How often statuses and alerts are judged.
pub const TICK: Duration = GRAIN;

/// Most effects that wait to be polled; older ones are dropped and counted.
const EFFECTS_MAX: usize = 100_000;

/// An objective of one engine: an index that holds until [`Engine::reload`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ObjectiveId(pub usize);

/// All objectives of a service, and how they stand.
#[derive(Debug)]
pub struct Engine {
    trackers: Vec<Tracker>,
    by_name: BTreeMap<String, usize>,
    /// Objectives of one route; under `None` those of all.
    by_route: BTreeMap<Option<String>, Vec<usize>>,
    sketches: BTreeMap<String, Sketches>,
    models: BTreeMap<String, Time>,
    waiting: BTreeMap<String, Time>,
    policies: BTreeMap<String, Policy>,
    corrections: Vec<Correction>,
    maintenance: Vec<Maintenance>,
    effects: VecDeque<Effect>,
    effects_dropped: u64,
    too_old: u64,
    next_tick: Time,
    latest: Time,
}

impl Engine {
    /// An engine that has counted nothing. Of objectives that share a name the first is kept: a plan has none.
    pub fn new(objectives: Vec<Objective>, now: Time) -> Engine {
        let mut engine = Engine {
            trackers: Vec::new(),
            by_name: BTreeMap::new(),
            by_route: BTreeMap::new(),
            sketches: BTreeMap::new(),
            models: BTreeMap::new(),
            waiting: BTreeMap::new(),
            policies: BTreeMap::new(),
            corrections: Vec::new(),
            maintenance: Vec::new(),
            effects: VecDeque::new(),
            effects_dropped: 0,
            too_old: 0,
            next_tick: bucket_of(now) + TICK,
            latest: now,
        };
        engine.reload(objectives, now);
        engine
    }

    /// Other objectives are in force. One that keeps its name keeps what it has counted, unless it is counted otherwise from
    /// then on; ids are new.
    pub fn reload(&mut self, objectives: Vec<Objective>, now: Time) {
        let now = self.advance(now);
        let mut old: BTreeMap<String, Tracker> =
            std::mem::take(&mut self.trackers).into_iter().map(|t| (t.objective.name.clone(), t)).collect();
        self.by_name.clear();
        self.by_route.clear();
        for objective in objectives {
            if self.by_name.contains_key(&objective.name) {
                continue;
            }
            self.by_name.insert(objective.name.clone(), self.trackers.len());
            self.by_route.entry(objective.scope.route.clone()).or_default().push(self.trackers.len());
            let tracker = match old.remove(&objective.name) {
                Some(tracker) => tracker.under(objective, now),
                None => Tracker::new(objective, now),
            };
            self.trackers.push(tracker);
        }
    }

    /// Budget policies by name; an objective without one has [`Policy::default`].
    pub fn set_policies(&mut self, policies: impl IntoIterator<Item = Policy>) {
        self.policies = policies.into_iter().map(|policy| (policy.name.clone(), policy)).collect();
    }

    /// What is cut out of budgets, in place of what was.
    pub fn set_corrections(&mut self, corrections: Vec<Correction>, maintenance: Vec<Maintenance>) {
        self.corrections = corrections;
        self.maintenance = maintenance;
    }

    /// The objective of a name.
    pub fn id(&self, name: &str) -> Option<ObjectiveId> {
        self.by_name.get(name).copied().map(ObjectiveId)
    }

    /// All objectives, in the order of the config.
    pub fn objectives(&self) -> impl Iterator<Item = (ObjectiveId, &Objective)> {
        self.trackers.iter().enumerate().map(|(at, tracker)| (ObjectiveId(at), &tracker.objective))
    }

    /// An objective; `None` for an id of an earlier config that has no place in this one.
    pub fn objective(&self, id: ObjectiveId) -> Option<&Objective> {
        self.trackers.get(id.0).map(|tracker| &tracker.objective)
    }

    /// What a finished request is to each objective that it concerns; nothing is counted. An objective's filter is asked
    /// through `holds`. The cost is that of the objectives of the request's route, and of those of all routes.
    pub fn judge<'a>(
        &'a self,
        facts: &'a Facts<'a>,
        mut holds: impl FnMut(&Objective) -> bool + 'a,
    ) -> impl Iterator<Item = (ObjectiveId, Counts)> + 'a {
        let everywhere = self.by_route.get(&None).into_iter().flatten();
        let there = self.by_route.get(&Some(facts.route.to_owned())).into_iter().flatten();
        everywhere.chain(there).filter_map(move |&at| {
            let objective = &self.trackers[at].objective;
            let counts = match judge(objective, facts) {
                Verdict::Good => Counts::GOOD,
                Verdict::Bad => Counts::BAD,
                Verdict::Ignored => return None,
            };
            (objective.scope.filter.is_none() || holds(objective)).then_some((ObjectiveId(at), counts))
        })
    }

    /// Counts events of a moment. Where an objective tolerates none, `bad` ones are named by [`Engine::handle_harm`].
    pub fn handle_counts(&mut self, id: ObjectiveId, at: Time, counts: Counts, now: Time) {
        let now = self.advance(now);
        let Some(tracker) = self.trackers.get_mut(id.0) else { return };
        if tracker.count(at.min(now), counts) == Recorded::TooOld {
            self.too_old = self.too_old.saturating_add(counts.total());
        }
    }

    /// Counts a confirmed harmful answer, one of the answers of that time.
    pub fn handle_harm(&mut self, id: ObjectiveId, event: &str, at: Time, now: Time) {
        let now = self.advance(now);
        let Some(tracker) = self.trackers.get_mut(id.0) else { return };
        if tracker.harm(event, at.min(now), now) == Recorded::TooOld {
            self.too_old = self.too_old.saturating_add(1);
        }
    }

    /// Names a harmful answer that is among the counts already; nothing where it is named, or lies before the window. For a restart
    /// between the moment at which the counts came to rest and the one at which the memory did.
    pub fn handle_named(&mut self, id: ObjectiveId, event: &str, at: Time, now: Time) {
        let now = self.advance(now);
        if let Some(tracker) = self.trackers.get_mut(id.0) {
            tracker.harm_again(event, at.min(now), now);
        }
    }

    /// Latencies of a route, for the percentiles that are shown beside what is counted.
    pub fn handle_latencies(&mut self, route: &str, at: Time, latencies: &LogHistogram, now: Time) {
        let now = self.advance(now);
        self.sketches_of(route).merge(at.min(now), latencies);
    }

    /// Puts latencies of a route's hour back.
    pub fn restore_latencies(&mut self, route: &str, hour: Time, latencies: &LogHistogram) {
        self.sketches_of(route).put_back(hour, latencies);
    }

    /// The hours of routes whose latencies changed since this was last asked: what must come to rest of them.
    pub fn take_latencies(&mut self) -> Vec<(String, Time, LogHistogram)> {
        let routes = self.sketches.iter_mut();
        routes
            .flat_map(|(name, hours)| hours.take_changed().map(|(hour, all)| (name.clone(), hour, all.clone())))
            .collect()
    }

    fn sketches_of(&mut self, route: &str) -> &mut Sketches {
        if !self.sketches.contains_key(route) {
            let longest = self.trackers.iter().map(|t| t.objective.window.longest()).max().unwrap_or_default();
            self.sketches.insert(route.to_owned(), Sketches::new(longest));
        }
        self.sketches.get_mut(route).expect("it was put there")
    }

    /// A model in use was trained on data up to `trained`; an older time for the same model is a rollback and counts as well.
    /// Its age is judged at the next [`Engine::handle_timeout`], which is due at once where this is news.
    pub fn handle_model(&mut self, model: &str, trained: Time, now: Time) {
        let now = self.advance(now);
        if self.models.insert(model.to_owned(), trained) != Some(trained) {
            self.next_tick = self.next_tick.min(now);
        }
    }

    /// All queues that there are, each with since when its oldest request waits for a person: `now` where nobody does.
    pub fn handle_waiting(&mut self, queues: impl IntoIterator<Item = (String, Time)>, now: Time) {
        self.advance(now);
        self.waiting = queues.into_iter().collect();
    }

    /// A slice of a quality objective was measured, or measured again with labels that came late.
    pub fn handle_quality(&mut self, id: ObjectiveId, slice: Time, metric: Interval, labels: u64, now: Time) {
        let now = self.advance(now);
        if let Some(tracker) = self.trackers.get_mut(id.0) {
            tracker.quality(slice.min(now), metric, labels);
        }
    }

    /// What an objective's source says about itself, where it has one.
    pub fn handle_signal(&mut self, id: ObjectiveId, signal: Signal, now: Time) {
        self.advance(now);
        if let Some(tracker) = self.trackers.get_mut(id.0) {
            tracker.signal = signal;
        }
    }

    /// When [`Engine::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Time {
        self.next_tick
    }

    /// Judges the clock-driven objectives, slices, statuses and alerts, where it is time to.
    pub fn handle_timeout(&mut self, now: Time) {
        let now = self.advance(now);
        if now < self.next_tick {
            return;
        }
        self.next_tick = bucket_of(now) + TICK;
        for at in 0..self.trackers.len() {
            let cut = self.cut(at, now);
            let tracker = &mut self.trackers[at];
            match &tracker.objective.kind {
                &Kind::ModelFreshness { max_age } => {
                    let trained = eldest(&self.models, tracker.objective.scope.model.as_deref());
                    tracker.age("model older", trained, max_age, now);
                }
                Kind::ReviewAge { max_age, queue, .. } => {
                    let (since, max_age) = (eldest(&self.waiting, queue.as_deref()), *max_age);
                    tracker.age("somebody waits longer", since, max_age, now);
                }
                Kind::Availability { .. }
                | Kind::Latency { .. }
                | Kind::Quality { .. }
                | Kind::FeatureFreshness { .. }
                | Kind::Safety { .. }
                | Kind::External { .. } => {}
            }
            tracker.settle(now);
            let effects = tracker.judge(&cut, now);
            for effect in effects {
                self.emit(effect);
            }
        }
    }

    /// The next thing that somebody should hear of.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// How an objective stands over its window.
    pub fn answer(&self, id: ObjectiveId, now: Time) -> Answer {
        let now = now.max(self.latest);
        let tracker = &self.trackers[id.0];
        let route = tracker.objective.scope.route.as_deref();
        let sketches = self.sketches.iter().filter(|(name, _)| route.is_none_or(|route| route == name.as_str()));
        tracker.answer(&self.cut(id.0, now), sketches.map(|(_, sketches)| sketches), now)
    }

    /// The events of any stretch of time up to now, exact to the size of the buckets that reach as far.
    pub fn counts(&self, id: ObjectiveId, stretch: Stretch) -> Counts {
        let tracker = &self.trackers[id.0];
        tracker.counts(stretch, &excluded(&tracker.objective.name, &self.corrections, &self.maintenance, stretch))
    }

    /// What was counted in a stretch of time, with what corrections and maintenance leave out.
    pub fn recorded(&self, id: ObjectiveId, stretch: Stretch) -> Counts {
        self.trackers[id.0].counts(stretch, &[])
    }

    /// Whether an action may go ahead, by the policies of all objectives that share its route (`None`: all).
    pub fn allows(&self, action: Action, route: Option<&str>, now: Time) -> Result<(), Refusal> {
        let usual = Policy::default();
        let now = now.max(self.latest);
        for (at, tracker) in self.trackers.iter().enumerate() {
            let objective = &tracker.objective;
            let concerns = match (route, &objective.scope.route) {
                (Some(route), Some(own)) => route == own,
                (None, _) | (_, None) => true,
            };
            if !concerns {
                continue;
            }
            let policy = objective.policy.as_ref().and_then(|name| self.policies.get(name)).unwrap_or(&usual);
            let remaining = tracker.budget(&self.cut(at, now), now).1.remaining;
            if policy.refuses(action, remaining) {
                return Err(Refusal {
                    policy: policy.name.clone(),
                    action: action.name(),
                    objective: objective.name.clone(),
                    left: remaining * 100.0,
                });
            }
        }
        Ok(())
    }

    /// Counted events that were older than the longest window.
    pub fn too_old(&self) -> u64 {
        self.too_old
    }

    /// Effects that were never polled.
    pub fn effects_dropped(&self) -> u64 {
        self.effects_dropped
    }

    /// What a restart must keep of an objective besides its buckets.
    pub fn memory(&self, id: ObjectiveId) -> Memory {
        self.trackers[id.0].memory()
    }

    /// Puts back what [`Engine::memory`] gave.
    pub fn restore(&mut self, id: ObjectiveId, memory: Memory) {
        if let Some(tracker) = self.trackers.get_mut(id.0) {
            tracker.restore(memory);
        }
    }

    /// Puts counts back that are known to `grain` only: 10 s, 1 min or 1 h.
    pub fn restore_counts(&mut self, id: ObjectiveId, grain: Duration, start: Time, counts: Counts) {
        if let Some(tracker) = self.trackers.get_mut(id.0) {
            tracker.series.restore(ring(grain), start, counts);
        }
    }

    /// Takes counts away that [`Engine::restore_counts`] put back: of slices that came to count otherwise.
    pub fn restore_less(&mut self, id: ObjectiveId, grain: Duration, start: Time, counts: Counts) {
        if let Some(tracker) = self.trackers.get_mut(id.0) {
            tracker.series.restore_less(ring(grain), start, counts);
        }
    }

    /// Puts events of slices back that are known to `grain` only. What slices count as is put back by [`Engine::restore_counts`].
    pub fn restore_events(&mut self, id: ObjectiveId, grain: Duration, start: Time, counts: Counts) {
        if let Some(tracker) = self.trackers.get_mut(id.0) {
            tracker.refill(grain, start, counts);
        }
    }

    /// All that rests of an objective was put back, its memory last.
    pub fn resume(&mut self, id: ObjectiveId) {
        if let Some(tracker) = self.trackers.get_mut(id.0) {
            tracker.resume();
        }
    }

    /// Slices that count otherwise since this was last asked: what must come to rest of an objective that counts slices, since they
    /// cannot be told from events that were rolled up.
    pub fn take_slices(&mut self) -> Vec<(ObjectiveId, Change)> {
        let trackers = self.trackers.iter_mut().enumerate();
        trackers.flat_map(|(at, tracker)| tracker.take_changes().map(move |change| (ObjectiveId(at), change))).collect()
    }

    fn cut(&self, at: usize, now: Time) -> Vec<Stretch> {
        if self.corrections.is_empty() && self.maintenance.is_empty() {
            return Vec::new();
        }
        let objective = &self.trackers[at].objective;
        let window = objective.window.to_date(now);
        excluded(&objective.name, &self.corrections, &self.maintenance, window)
    }

    fn emit(&mut self, effect: Effect) {
        if self.effects.len() >= EFFECTS_MAX {
            self.effects.pop_front();
            self.effects_dropped += 1;
        }
        self.effects.push_back(effect);
    }

    fn advance(&mut self, now: Time) -> Time {
        self.latest = self.latest.max(now);
        self.latest
    }
}

/// The ring of a series whose buckets are so long.
const fn ring(grain: Duration) -> usize {
    match grain.as_secs() {
        0..60 => 0,
        60..3_600 => 1,
        3_600.. => 2,
    }
}

/// The earliest beginning of all that there is, or that of the one that is named.
fn eldest(all: &BTreeMap<String, Time>, name: Option<&str>) -> Option<Time> {
    name.map_or_else(|| all.values().min(), |name| all.get(name)).copied()
}

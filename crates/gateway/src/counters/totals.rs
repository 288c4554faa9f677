//! Counts of all workers since start, by name, so that they outlive a reload.

use std::collections::BTreeMap;
use std::mem::take;

use mainstay_core::metric::{Histogram, OVERHEAD_SECONDS, RATIO, SECONDS};
use mainstay_core::plan::Plan;
use mainstay_core::route::{Class, Level};

use super::{BackendCounters, Counters, FeatureCounters, RouteCounters};

/// Everything counted since start.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(super) routes: BTreeMap<String, RouteTotals>,
    pub(super) backends: BTreeMap<String, BackendTotals>,
    pub(super) features: BTreeMap<String, FeatureTotals>,
    pub(super) refused: BTreeMap<&'static str, u64>,
}

#[derive(Debug)]
pub(super) struct RouteTotals {
    pub(super) requests: BTreeMap<(Class, Option<Level>, u16), u64>,
    pub(super) duration: Histogram,
    pub(super) overhead: Histogram,
    pub(super) confidence: Histogram,
    pub(super) shed: BTreeMap<(Class, &'static str), u64>,
    pub(super) degradations: BTreeMap<(Level, Level, &'static str), u64>,
    pub(super) served: [u64; Level::COUNT],
    pub(super) all_failed: u64,
    pub(super) rule_errors: u64,
}

#[derive(Debug)]
pub(super) struct BackendTotals {
    pub(super) model: String,
    pub(super) version: String,
    pub(super) predictions: u64,
    pub(super) latency: Histogram,
}

#[derive(Debug)]
pub(super) struct FeatureTotals {
    pub(super) latency: Histogram,
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) stale: u64,
}

impl Totals {
    /// Takes over what a worker counted under `plan`, and leaves its counters empty.
    pub(crate) fn absorb(&mut self, plan: &Plan, counters: &mut Counters) {
        for (route, counted) in plan.routes.iter().zip(&mut counters.routes) {
            entry(&mut self.routes, &route.name, RouteTotals::new).absorb(counted);
        }
        for (backend, counted) in plan.backends.iter().zip(&mut counters.backends) {
            let totals = entry(&mut self.backends, &backend.name, BackendTotals::new);
            totals.model = backend.model.clone().unwrap_or_else(|| backend.name.clone());
            totals.version = backend.version.clone().unwrap_or_default();
            totals.absorb(counted);
        }
        for (set, counted) in plan.features.iter().zip(&mut counters.features) {
            entry(&mut self.features, &set.name, FeatureTotals::new).absorb(counted);
        }
        add_all(&mut self.refused, &mut counters.refused);
    }

    /// Answers by level, requests that no level answered, and requests shed on a route.
    pub(crate) fn of_route(&self, name: &str) -> ([u64; Level::COUNT], u64, u64) {
        self.routes.get(name).map_or(([0; Level::COUNT], 0, 0), |r| (r.served, r.all_failed, r.shed.values().sum()))
    }

    /// Cache hits, cache misses and stale values of a feature set.
    pub(crate) fn of_features(&self, name: &str) -> (u64, u64, u64) {
        self.features.get(name).map_or((0, 0, 0), |f| (f.hits, f.misses, f.stale))
    }
}

impl RouteTotals {
    fn new() -> RouteTotals {
        RouteTotals {
            requests: BTreeMap::new(),
            duration: Histogram::new(SECONDS),
            overhead: Histogram::new(OVERHEAD_SECONDS),
            confidence: Histogram::new(RATIO),
            shed: BTreeMap::new(),
            degradations: BTreeMap::new(),
            served: [0; Level::COUNT],
            all_failed: 0,
            rule_errors: 0,
        }
    }

    fn absorb(&mut self, counted: &mut RouteCounters) {
        for answered in &mut counted.requests {
            let count = take(&mut answered.count);
            *self.requests.entry((answered.class, answered.level, answered.code)).or_default() += count;
        }
        self.duration.absorb(&mut counted.duration);
        self.overhead.absorb(&mut counted.overhead);
        self.confidence.absorb(&mut counted.confidence);
        add_all(&mut self.shed, &mut counted.shed);
        add_all(&mut self.degradations, &mut counted.degradations);
        for (mine, theirs) in self.served.iter_mut().zip(&mut counted.served) {
            *mine += take(theirs);
        }
        self.all_failed += take(&mut counted.all_failed);
        self.rule_errors += take(&mut counted.rule_errors);
    }
}

impl BackendTotals {
    fn new() -> BackendTotals {
        BackendTotals { model: String::new(), version: String::new(), predictions: 0, latency: Histogram::new(SECONDS) }
    }

    fn absorb(&mut self, counted: &mut BackendCounters) {
        self.predictions += take(&mut counted.predictions);
        self.latency.absorb(&mut counted.latency);
    }
}

impl FeatureTotals {
    fn new() -> FeatureTotals {
        FeatureTotals { latency: Histogram::new(SECONDS), hits: 0, misses: 0, stale: 0 }
    }

    fn absorb(&mut self, counted: &mut FeatureCounters) {
        self.latency.absorb(&mut counted.latency);
        self.hits += take(&mut counted.hits);
        self.misses += take(&mut counted.misses);
        self.stale += take(&mut counted.stale);
    }
}

fn entry<'a, T>(map: &'a mut BTreeMap<String, T>, name: &str, new: fn() -> T) -> &'a mut T {
    if !map.contains_key(name) {
        map.insert(name.to_owned(), new());
    }
    map.get_mut(name).expect("the entry was made if it was missing")
}

fn add_all<K: Ord>(mine: &mut BTreeMap<K, u64>, theirs: &mut BTreeMap<K, u64>) {
    for (key, count) in take(theirs) {
        *mine.entry(key).or_default() += count;
    }
}

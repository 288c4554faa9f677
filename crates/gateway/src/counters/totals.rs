//! Counts of all workers since start, by name, so that they outlive a reload.

use std::collections::BTreeMap;

use mainstay_core::plan::Plan;
use mainstay_core::route::Level;

use super::checks::{self, CheckTotals};
use super::language::{self, Language, Speaker};
use super::{BLOCKED, BackendCounters, Counters, EntryCounters, FeatureCounters, RouteCounters, add_all};

/// Everything counted since start.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(super) routes: BTreeMap<String, RouteCounters>,
    pub(super) models: BTreeMap<Model, BackendCounters>,
    pub(super) features: BTreeMap<String, FeatureCounters>,
    pub(super) checks: CheckTotals,
    pub(super) languages: BTreeMap<Speaker, Language>,
    pub(super) refused: BTreeMap<&'static str, u64>,
}

/// A model's name and version. Backends that serve the same one are counted together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Model {
    pub(super) name: String,
    pub(super) version: String,
}

impl Totals {
    /// Takes over what a worker counted under `plan`, and leaves its counters empty.
    pub(crate) fn absorb(&mut self, plan: &Plan, counters: &mut Counters) {
        for (route, counted) in plan.routes.iter().zip(&mut counters.routes) {
            entry(&mut self.routes, &route.name, RouteCounters::new).absorb(counted);
        }
        for (backend, counted) in plan.backends.iter().zip(&mut counters.backends) {
            let name = backend.model.clone().unwrap_or_else(|| backend.name.clone());
            let model = Model { name, version: backend.version.clone().unwrap_or_default() };
            self.models.entry(model).or_insert_with(BackendCounters::new).absorb(counted);
        }
        for (set, counted) in plan.features.iter().zip(&mut counters.features) {
            entry(&mut self.features, &set.name, FeatureCounters::new).absorb(counted);
        }
        checks::absorb(&mut self.checks, plan, &mut counters.checks);
        language::absorb(&mut self.languages, plan, &mut counters.languages);
        add_all(&mut self.refused, &mut counters.refused);
    }

    /// Answers by level, requests that no level answered, and requests that a full backend turned away on a route.
    pub(crate) fn of_route(&self, name: &str) -> ([u64; Level::COUNT], u64, u64) {
        let shed = |r: &RouteCounters| r.shed.iter().filter(|((_, why), _)| *why != BLOCKED).map(|(_, n)| n).sum();
        self.routes.get(name).map_or(([0; Level::COUNT], 0, 0), |r| (r.served, r.all_failed, shed(r)))
    }

    /// How the entries of a level and kind did on a route.
    pub(crate) fn of_entry(&self, route: &str, level: Level, kind: &'static str) -> EntryCounters {
        let counted = self.routes.get(route).and_then(|route| route.entries.get(&(level, kind)));
        counted.cloned().unwrap_or_default()
    }

    /// Cache hits, cache misses and stale values of a feature set.
    pub(crate) fn of_features(&self, name: &str) -> (u64, u64, u64) {
        self.features.get(name).map_or((0, 0, 0), |f| (f.hits, f.misses, f.stale))
    }
}

fn entry<'a, T>(map: &'a mut BTreeMap<String, T>, name: &str, new: fn() -> T) -> &'a mut T {
    if !map.contains_key(name) {
        map.insert(name.to_owned(), new());
    }
    map.get_mut(name).expect("the entry was made if it was missing")
}

//! What hangs together: a backend that fails and a route that degrades may be one thing.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::Plan;

/// How the parts of a service hang together, by their names.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reach {
    /// The routes.
    pub routes: BTreeSet<String>,
    /// By backend: the routes that ask it.
    pub backends: BTreeMap<String, BTreeSet<String>>,
    /// By feature set: the routes that use it.
    pub features: BTreeMap<String, BTreeSet<String>>,
    /// By model: the routes that ask a backend which serves it.
    pub models: BTreeMap<String, BTreeSet<String>>,
    /// By objective: what is known of it.
    pub objectives: BTreeMap<String, Promise>,
    /// By route: the levels of its ladder; of one that is not here nothing is known.
    pub levels: BTreeMap<String, BTreeSet<u8>>,
    /// By backend or feature set: what tells one config of it from another.
    pub configs: BTreeMap<String, u64>,
}

/// What is known of an objective.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Promise {
    /// Its category.
    pub category: String,
    /// What kind of promise, such as `feature_freshness`.
    pub kind: String,
    /// Its route, where it is about one.
    pub route: Option<String>,
    /// Its model, where it is about one.
    pub model: Option<String>,
}

/// Labels that name a part of the service.
const PARTS: [&str; 4] = ["route", "backend", "features", "model"];

/// Where a fact is: the routes that it touches, and places besides.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Scope {
    /// Routes.
    pub routes: BTreeSet<String>,
    /// Other places: `backend:NAME` and the like.
    pub places: BTreeSet<String>,
    /// It is about the whole service.
    pub everywhere: bool,
}

impl Reach {
    /// How the parts of a plan hang together.
    pub fn of(plan: &Plan) -> Reach {
        let mut reach = Reach::default();
        for route in &plan.routes {
            let name = || route.name.clone();
            reach.routes.insert(name());
            let levels = route.ladder.iter().map(|entry| entry.level.number());
            reach.levels.insert(name(), levels.collect());
            for asked in route.ladder.iter().filter_map(|entry| entry.answer.asked()) {
                let backend = &plan.backends[asked.backend.0];
                reach.backends.entry(backend.name.clone()).or_default().insert(name());
                if let Some(model) = &backend.model {
                    reach.models.entry(model.clone()).or_default().insert(name());
                }
                if let Some((features, _)) = &asked.features {
                    reach.features.entry(plan.features[features.0].name.clone()).or_default().insert(name());
                }
            }
        }
        for backend in &plan.backends {
            reach.configs.insert(backend.name.clone(), print(&format!("{backend:?}")));
        }
        for features in &plan.features {
            reach.configs.insert(features.name.clone(), print(&format!("{features:?}")));
        }
        for slo in &plan.slos {
            let promise = Promise {
                category: slo.kind.category().name().to_owned(),
                kind: slo.kind.suffix(),
                route: slo.scope.route.clone(),
                model: slo.scope.model.clone(),
            };
            reach.objectives.insert(slo.name.clone(), promise);
        }
        reach
    }

    /// The level of a route's ladder that is nearest to one, no shallower than that.
    pub fn level(&self, route: &str, least: u8) -> Option<u8> {
        match self.levels.get(route) {
            Some(levels) => levels.range(least..).next().copied(),
            None => Some(least),
        }
    }

    /// Whether a component runs by another config than before: what was seen of it is not known to hold.
    pub fn differs(&self, component: &str, before: &Reach) -> bool {
        self.configs.get(component) != before.configs.get(component)
    }

    /// Whether a component is a feature set; otherwise it is a backend.
    pub fn is_features(&self, component: &str) -> bool {
        self.features.contains_key(component) && !self.backends.contains_key(component)
    }

    /// Where a fact with these labels is. One that names no part of this service is everywhere if it speaks of the service alone, and
    /// at its own `group` otherwise.
    pub fn scope(&self, labels: &BTreeMap<String, String>, group: Option<&str>) -> Scope {
        let mut scope = Scope::default();
        for part in PARTS {
            let Some(name) = labels.get(part) else { continue };
            let routes = match part {
                "route" => self.routes.get(name).map(|route| BTreeSet::from([route.clone()])),
                "backend" => self.backends.get(name).cloned(),
                "features" => self.features.get(name).cloned(),
                _ => self.models.get(name).cloned(),
            };
            if part != "route" {
                scope.places.insert(format!("{part}:{name}"));
            }
            match routes {
                // A model that no route asks, or a name of somebody else's, is a place of its own.
                None => drop(scope.places.insert(format!("{part}:{name}"))),
                // A backend narrows a route down, rather than adding every other route that asks it.
                Some(routes) if scope.routes.is_empty() => scope.routes = routes,
                Some(_) => {}
            }
        }
        if scope.routes.is_empty() && scope.places.is_empty() {
            match group {
                Some(group) => drop(scope.places.insert(group.to_owned())),
                None => scope.everywhere = true,
            }
        }
        scope
    }

    /// Models that the backends of these routes serve.
    pub fn models_of(&self, routes: &BTreeSet<String>) -> Vec<&str> {
        let of = self.models.iter().filter(|(_, of)| !of.is_disjoint(routes));
        of.map(|(model, _)| model.as_str()).collect()
    }
}

/// FNV-1a (Fowler, Noll, Vo), 64 bits: the same in every process.
fn print(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Scope {
    /// Whether both may be about one thing.
    pub fn meets(&self, other: &Scope) -> bool {
        self.everywhere
            || other.everywhere
            || !self.routes.is_disjoint(&other.routes)
            || !self.places.is_disjoint(&other.places)
    }

    /// Both together.
    pub fn add(&mut self, other: &Scope) {
        self.routes.extend(other.routes.iter().cloned());
        self.places.extend(other.places.iter().cloned());
        self.everywhere |= other.everywhere;
    }
}

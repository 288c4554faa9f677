//! What an experiment points at: routes, backends, feature sets, clients and types of incidents of the plan.

use std::fmt;

use crate::chaos::experiment::Experiment;
use crate::chaos::fault::{Fault, Point};
use crate::plan::{AnswerBy, Backend, FeatureMode, FeatureSet, Plan, Route};
use crate::response::signature::Catalogue;
use crate::route::Protocol;

/// Names of an error that are told at most.
const TOLD: usize = 8;

/// Something that an experiment says and that the plan does not bear out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Astray {
    /// The key at fault, such as `expect.incidents`.
    pub key: &'static str,
    /// What is wrong with it.
    pub why: Why,
}

/// Why an experiment cannot be run by a plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Why {
    /// It names what is not there.
    NoSuch {
        /// What should be there.
        what: &'static str,
        /// The name.
        name: String,
        /// The names that are there.
        known: Vec<String>,
    },
    /// It is there, and the fault cannot occur at it.
    Misplaced(String),
}

impl fmt::Display for Astray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Why::NoSuch { what, name, known } => {
                write!(f, "`{}`: there is no {what} `{name}`", self.key)?;
                let told: Vec<String> = known.iter().take(TOLD).map(|name| format!("`{name}`")).collect();
                let more = if known.len() > TOLD { ", ..." } else { "" };
                if told.is_empty() { Ok(()) } else { write!(f, "; known here: {}{more}", told.join(", ")) }
            }
            Why::Misplaced(text) => write!(f, "`{}`: {text}", self.key),
        }
    }
}

impl Plan {
    /// All that an experiment says and that this plan does not bear out, in words. What is wrong with it by itself is
    /// [`Experiment::check`]'s.
    pub fn check_experiment(&self, experiment: &Experiment) -> Vec<String> {
        astray(self, experiment).iter().map(Astray::to_string).collect()
    }

    /// The backends that a route's ladder asks, the best first, each once.
    pub fn backends_of(&self, route: &Route) -> Vec<&Backend> {
        distinct(route.ladder.iter().filter_map(|entry| self.backends.get(entry.answer.asked()?.backend.0)))
    }

    /// The feature sets that a route's ladder asks the store for, the best first, each once.
    pub fn features_of(&self, route: &Route) -> Vec<&FeatureSet> {
        let online = |answer: &AnswerBy| match answer.asked()?.features? {
            (set, FeatureMode::Online) => self.features.get(set.0),
            (_, FeatureMode::Cached) => None,
        };
        distinct(route.ladder.iter().filter_map(|entry| online(&entry.answer)))
    }

    /// The name of the backend or feature set that an experiment's fault works on; `None`: it works on the route itself, or there is
    /// none.
    pub fn target_of<'p>(&'p self, experiment: &'p Experiment) -> Option<&'p str> {
        if experiment.target.is_some() {
            return experiment.target.as_deref();
        }
        let route = self.routes.iter().find(|route| route.name == experiment.route)?;
        self.targets_at(route, experiment.fault.point()).first().copied()
    }

    /// The names of what faults at a point of a route can work on, the best first; none where they work on the route itself.
    pub fn targets_at(&self, route: &Route, point: Point) -> Vec<&str> {
        match point {
            Point::Backend | Point::Stream => self.backends_of(route).into_iter().map(|it| it.name.as_str()).collect(),
            Point::Features => self.features_of(route).into_iter().map(|it| it.name.as_str()).collect(),
            Point::Admission => Vec::new(),
        }
    }
}

fn distinct<'p, T>(all: impl Iterator<Item = &'p T>) -> Vec<&'p T> {
    let mut out: Vec<&'p T> = Vec::new();
    for one in all {
        if !out.iter().any(|known| std::ptr::eq(*known, one)) {
            out.push(one);
        }
    }
    out
}

/// All that an experiment says and that a plan does not bear out, with the keys at fault.
pub fn astray(plan: &Plan, experiment: &Experiment) -> Vec<Astray> {
    let mut out = Vec::new();
    match plan.routes.iter().find(|route| route.name == experiment.route) {
        Some(route) => on_route(plan, route, experiment, &mut out),
        None => out.push(no_such("route", "route", &experiment.route, names(&plan.routes, |route| &route.name))),
    }
    if !plan.clients.is_empty() {
        let unknown = experiment.cohort.clients.iter().filter(|name| !plan.clients.contains_key(*name));
        let known = || plan.clients.keys().cloned().collect();
        out.extend(unknown.map(|name| no_such("cohort.clients", "client", name, known())));
    }
    if !experiment.expect.incidents.is_empty() {
        let types = Catalogue::with(&plan.incidents.types);
        let unknown = experiment.expect.incidents.iter().filter(|kind| types.get(kind).is_none());
        let known = || names(types.types(), |it| &it.kind);
        out.extend(unknown.map(|kind| no_such("expect.incidents", "type of incidents", kind, known())));
    }
    out
}

fn on_route(plan: &Plan, route: &Route, experiment: &Experiment, out: &mut Vec<Astray>) {
    let (name, fault) = (&route.name, &experiment.fault);
    let mut misplaced = |key, text: String| out.push(Astray { key, why: Why::Misplaced(text) });
    match fault.point() {
        Point::Admission => {
            if experiment.target.is_some() {
                misplaced("target", "an overload comes to the route itself and has no target".to_owned());
            }
        }
        Point::Backend | Point::Stream => {
            let used = plan.backends_of(route);
            if used.is_empty() {
                misplaced("fault", format!("`{}` needs a backend, and route `{name}` asks none", fault.name()));
            }
            if fault.point() == Point::Stream && !route.protocol.is_of_language_models() {
                let spoken = route.protocol.name();
                misplaced("fault", format!("`{}` needs streams, and route `{name}` speaks {spoken}", fault.name()));
            }
            if matches!(fault, Fault::WrongVersion(_))
                && matches!(route.protocol, Protocol::Http | Protocol::OpenInferenceGrpc)
            {
                let spoken = route.protocol.name();
                let text = format!("requests of route `{name}` ({spoken}) cannot be made to ask another version");
                misplaced("fault", text);
            }
            let all = names(&plan.backends, |backend| &backend.name);
            on_target(experiment, "backend", &names(used, |backend| &backend.name), all, out);
        }
        Point::Features => {
            let used = plan.features_of(route);
            if used.is_empty() {
                misplaced("fault", format!("`{}` needs features, and route `{name}` asks no store", fault.name()));
            }
            let of_use = names(used.iter().copied(), |set| &set.name);
            on_target(experiment, "feature set", &of_use, names(&plan.features, |set| &set.name), out);
            let target = plan.target_of(experiment).and_then(|name| used.iter().find(|set| set.name == name));
            if let (Fault::DataQuality(spoiled), Some(set)) = (fault, target) {
                let unknown = spoiled.refs.iter().filter(|wanted| !set.refs.contains(wanted));
                out.extend(
                    unknown.map(|wanted| no_such("fault.data_quality.refs", "feature", wanted, set.refs.clone())),
                );
            }
        }
    }
}

fn on_target(experiment: &Experiment, what: &'static str, used: &[String], all: Vec<String>, out: &mut Vec<Astray>) {
    let Some(target) = &experiment.target else { return };
    if !all.contains(target) {
        let known = if used.is_empty() { all } else { used.to_vec() };
        out.push(no_such("target", what, target, known));
    } else if !used.contains(target) && !used.is_empty() {
        let text = format!("route `{}` does not use the {what} `{target}`", experiment.route);
        out.push(Astray { key: "target", why: Why::Misplaced(text) });
    }
}

fn no_such(key: &'static str, what: &'static str, name: &str, known: Vec<String>) -> Astray {
    Astray { key, why: Why::NoSuch { what, name: name.to_owned(), known } }
}

fn names<'p, T: 'p>(all: impl IntoIterator<Item = &'p T>, name: impl Fn(&T) -> &String) -> Vec<String> {
    all.into_iter().map(|one| name(one).clone()).collect()
}

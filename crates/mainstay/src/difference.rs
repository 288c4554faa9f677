//! What a new config changes, and which of that needs a restart.

use std::collections::BTreeMap;
use std::fmt::Debug;

use mainstay_control::ReloadReport;
use mainstay_core::plan::Plan;

/// Compares the plan in force with the next one, as paths into the config.
///
/// Parts are compared by their debug text: programs and secrets have no equality, but their text shows all that the
/// config says about them. A secret whose value changed behind the same reference does not show here; it is in force
/// all the same.
pub(crate) fn between(old: &Plan, new: &Plan) -> ReloadReport {
    ReloadReport { applied: changed(&live(old), &live(new)), needs_restart: changed(&fixed(old), &fixed(new)) }
}

type Parts = BTreeMap<String, String>;

/// What is in force as soon as the gateway has it.
fn live(plan: &Plan) -> Parts {
    let mut parts = Parts::from([
        part("clients", &plan.clients),
        part("trust", &plan.trust),
        part("objectives", &plan.objectives),
        part("environment", plan.environment),
    ]);
    parts.extend(plan.backends.iter().map(|backend| part(format!("backends.{}", backend.name), backend)));
    parts.extend(plan.features.iter().map(|set| part(format!("features.{}", set.name), set)));
    parts.extend(plan.slos.iter().map(|slo| part(format!("slos.{}", slo.name), slo)));
    parts.extend(plan.routes.iter().map(|route| part(format!("routes.{}", route.name), route)));
    parts
}

/// What is fixed when the process starts: listeners, threads, the store.
fn fixed(plan: &Plan) -> Parts {
    Parts::from([
        part("service", &plan.service),
        part("listen", plan.listen),
        part("tls", &plan.tls),
        part("admin", &plan.admin),
        part("store", &plan.store),
        part("limits", &plan.limits),
    ])
}

fn part(path: impl Into<String>, value: impl Debug) -> (String, String) {
    (path.into(), format!("{value:?}"))
}

/// Paths that are new, gone, or different.
fn changed(old: &Parts, new: &Parts) -> Vec<String> {
    let gone = old.keys().filter(|path| !new.contains_key(*path));
    let differs = new.iter().filter(|(path, text)| old.get(*path) != Some(*text)).map(|(path, _)| path);
    let mut paths: Vec<String> = gone.chain(differs).cloned().collect();
    paths.sort();
    paths
}

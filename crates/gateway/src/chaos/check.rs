//! Whether an order fits the plan: its route, its target, its fault, its cohort.

use std::mem::discriminant;

use mainstay_core::chaos::experiment::{Cohort, Experiment};
use mainstay_core::chaos::fault::{Change, Fault, How, Point};
use mainstay_core::chaos::lease::Refused;
use mainstay_core::chaos::order::Order;
use mainstay_core::plan::{AnswerBy, Backend, Plan, Route};
use mainstay_core::route::Protocol;

/// Why an order is not taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InjectError {
    /// There is no such route.
    #[error("there is no route `{0}`")]
    UnknownRoute(String),
    /// There is no such backend or feature set.
    #[error("there is no {kind} `{name}`")]
    UnknownTarget {
        /// `backend` or `feature set`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// The route does not use it.
    #[error("route `{route}` has no entry that asks {what}")]
    NotUsed {
        /// The route.
        route: String,
        /// What it would have to ask.
        what: String,
    },
    /// The target cannot have the fault.
    #[error("`{fault}` is nothing that `{target}` can have: {why}")]
    CannotHave {
        /// The fault's name.
        fault: &'static str,
        /// The target.
        target: String,
        /// Why not.
        why: String,
    },
    /// Something is wrong with its terms.
    #[error("{0}")]
    Terms(String),
    /// There is no such client.
    #[error("`cohort.clients`: there is no client `{0}`")]
    UnknownClient(String),
    /// By the rules of leases.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Checks an experiment against the plan.
pub(super) fn experiment(plan: &Plan, experiment: &Experiment) -> Result<(), InjectError> {
    let Experiment { route, target, fault, cohort, .. } = experiment;
    target_of(plan, route, target.as_deref(), fault)?;
    clients(plan, cohort)
}

/// Checks an order against the plan, and finds its target.
pub(super) fn order(plan: &Plan, order: &Order) -> Result<Option<String>, InjectError> {
    let is_share = |share: f64| share > 0.0 && share <= 1.0;
    if !is_share(order.dose) || !is_share(order.cohort.share) {
        return Err(InjectError::Terms("`dose` and `cohort.share` are above 0% and at most 100%".to_owned()));
    }
    order.fault.check().map_err(InjectError::Terms)?;
    clients(plan, &order.cohort)?;
    target_of(plan, &order.route, order.target.as_deref(), &order.fault)
}

fn clients(plan: &Plan, cohort: &Cohort) -> Result<(), InjectError> {
    let unknown = cohort.clients.iter().find(|client| !plan.clients.contains_key(*client));
    unknown.map_or(Ok(()), |client| Err(InjectError::UnknownClient(client.clone())))
}

/// What the fault works on: the target named, or what the route's best entry asks.
fn target_of(plan: &Plan, route: &str, named: Option<&str>, fault: &Fault) -> Result<Option<String>, InjectError> {
    let found = find(plan, route).ok_or_else(|| InjectError::UnknownRoute(route.to_owned()))?;
    let used = plan.targets_at(found, fault.point());
    let target = match named {
        Some(name) => used.iter().find(|used| **used == name),
        None => used.first(),
    };
    let of = |kind| target.copied().ok_or_else(|| missing(plan, route, kind, named));
    match fault.point() {
        Point::Admission => named.map_or(Ok(None), |name| {
            let why = "it is the route's own: leave `target` out".to_owned();
            Err(InjectError::CannotHave { fault: fault.name(), target: name.to_owned(), why })
        }),
        Point::Backend | Point::Stream => {
            let target = of("backend")?;
            backend(plan, Some(target)).map_or(Ok(()), |backend| fits_backend(fault, backend))?;
            Ok(Some(target.to_owned()))
        }
        Point::Features => {
            let target = of("feature set")?;
            let set = plan.features.iter().find(|set| set.name == target);
            set.map_or(Ok(()), |set| fits_set(fault, &set.name, &set.refs))?;
            Ok(Some(target.to_owned()))
        }
    }
}

fn find<'a>(plan: &'a Plan, route: &str) -> Option<&'a Route> {
    plan.routes.iter().find(|found| found.name == route)
}

/// Why a route has no such target: it is not used, or the name means nothing at all.
fn missing(plan: &Plan, route: &str, kind: &'static str, named: Option<&str>) -> InjectError {
    let exists = |name: &str| match kind {
        "backend" => backend(plan, Some(name)).is_some(),
        _ => plan.features.iter().any(|set| set.name == name),
    };
    if let Some(name) = named.filter(|name| !exists(name)) {
        return InjectError::UnknownTarget { kind, name: name.to_owned() };
    }
    let online = if kind == "backend" { "" } else { " with `mode: online`" };
    let what = named.map_or_else(|| format!("a {kind}{online}"), |name| format!("the {kind} `{name}`{online}"));
    InjectError::NotUsed { route: route.to_owned(), what }
}

fn fits_backend(fault: &Fault, backend: &Backend) -> Result<(), InjectError> {
    let language = backend.protocol.is_of_language_models();
    let why = match fault {
        Fault::ModelError(failing) if failing.how == How::ErrorBody && backend.protocol == Protocol::Http => {
            "plain HTTP has no error of its own in a body"
        }
        Fault::ModelError(failing) if failing.how == How::Tls && !is_encrypted(backend) => "it does not speak TLS",
        Fault::ModelError(failing) if failing.how == How::ErrorBody && backend.protocol.is_grpc() => {
            "gRPC has its errors in its status"
        }
        Fault::WrongVersion(_) if backend.protocol.is_grpc() => "requests over gRPC are not changed on purpose",
        Fault::WrongVersion(_) if backend.protocol == Protocol::Http => "plain HTTP names no model",
        Fault::WrongVersion(version) if language && version.model.is_none() => "its protocol names a model alone",
        Fault::SlowFirstToken(_) | Fault::StalledStream(_) | Fault::TruncatedStream(_)
            if backend.protocol.is_grpc() =>
        {
            "streams over gRPC are not disturbed on purpose"
        }
        Fault::SlowFirstToken(_) | Fault::StalledStream(_) | Fault::TruncatedStream(_)
            if backend.protocol == Protocol::OpenInference =>
        {
            "its protocol has no streams"
        }
        _ => return Ok(()),
    };
    Err(InjectError::CannotHave { fault: fault.name(), target: backend.name.clone(), why: why.to_owned() })
}

fn is_encrypted(backend: &Backend) -> bool {
    backend.endpoints.iter().any(|url| url.starts_with("https:"))
}

fn fits_set(fault: &Fault, name: &str, refs: &[String]) -> Result<(), InjectError> {
    let Fault::DataQuality(spoiled) = fault else { return Ok(()) };
    let cannot = |why: String| InjectError::CannotHave { fault: fault.name(), target: name.to_owned(), why };
    if let Some(unknown) = spoiled.refs.iter().find(|reference| !refs.contains(reference)) {
        return Err(cannot(format!("it has no `{unknown}`")));
    }
    let chosen = if spoiled.refs.is_empty() { refs.len() } else { spoiled.refs.len() };
    if spoiled.change == Change::Swapped && chosen < 2 {
        return Err(cannot("to swap takes two features".to_owned()));
    }
    Ok(())
}

/// Whether an order's route and target are under a new plan what they were.
pub(super) fn is_same(old: &Plan, new: &Plan, order: &Order) -> bool {
    let (Some(before), Some(after)) = (find(old, &order.route), find(new, &order.route)) else { return false };
    let same_route = before.path == after.path
        && before.protocol == after.protocol
        && before.deadline == after.deadline
        && ladder(old, before).eq(ladder(new, after))
        && before.ladder.iter().zip(&after.ladder).all(|(a, b)| discriminant(&a.answer) == discriminant(&b.answer));
    let target = order.target.as_deref();
    let same_backend = match (backend(old, target), backend(new, target)) {
        (Some(before), Some(after)) => is_same_backend(before, after),
        (before, after) => before.is_none() && after.is_none(),
    };
    let set = |plan: &'_ Plan| plan.features.iter().find(|set| Some(set.name.as_str()) == target).cloned();
    let of_features = order.fault.point() == Point::Features;
    same_route && if of_features { set(old) == set(new) } else { same_backend }
}

/// What a route's entries ask, by name.
fn ladder<'a>(plan: &'a Plan, route: &'a Route) -> impl Iterator<Item = impl PartialEq + use<'a>> {
    route.ladder.iter().map(|entry| match &entry.answer {
        AnswerBy::Backend { backend, features, timeout, context } => {
            let set = features.map(|(set, mode)| (plan.features.get(set.0).map(|set| set.name.as_str()), mode));
            let backend = plan.backends.get(backend.0).map(|backend| backend.name.as_str());
            (entry.level, entry.budget, Some((backend, set, *timeout, *context)))
        }
        _ => (entry.level, entry.budget, None),
    })
}

fn backend<'a>(plan: &'a Plan, name: Option<&str>) -> Option<&'a Backend> {
    plan.backends.iter().find(|backend| Some(backend.name.as_str()) == name)
}

fn is_same_backend(before: &Backend, after: &Backend) -> bool {
    before.endpoints == after.endpoints
        && before.protocol == after.protocol
        && before.model == after.model
        && before.version == after.version
        && before.limit == after.limit
        && before.breaker == after.breaker
        && before.attempts == after.attempts
}

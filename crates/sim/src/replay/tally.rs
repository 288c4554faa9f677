//! What came of requests, as recorded and as replayed, and how sure that is.

use mainstay_core::plan::Plan;
use mainstay_core::route::Level;
use mainstay_core::slo::objective::{Kind, LatencyOf, Objective};
use mainstay_core::slo::sli::{Facts, Origin, Verdict, judge};

use super::recording::Request;
use crate::tape::Done;

/// The share of replicas that lie below an interval, and above it.
const TAIL: f64 = 0.05;

/// A figure with its 90 % interval.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Estimate {
    /// The mean of the replicas.
    pub value: f64,
    /// 5 % of the replicas are below.
    pub low: f64,
    /// 5 % are above.
    pub high: f64,
}

/// A figure as it was recorded, and as it would have been.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Pair {
    /// As recorded.
    pub recorded: Estimate,
    /// Under the config in question.
    pub replayed: Estimate,
}

/// What came of a route's requests. Shares of its requests.
#[derive(Clone, PartialEq, Debug)]
pub struct OfRoute {
    /// Its name.
    pub route: String,
    /// How many requests.
    pub requests: Estimate,
    /// Answered, by level.
    pub levels: [Pair; Level::COUNT],
    /// Turned away for lack of room.
    pub shed: Pair,
    /// Answered by no level.
    pub failed: Pair,
}

/// What an objective's budget would have been over the recorded time.
#[derive(Clone, PartialEq, Debug)]
pub struct OfObjective {
    /// Its name.
    pub name: String,
    /// The share of bad requests.
    pub bad: Pair,
    /// The share of the budget for this time that is left; below 0: more was spent than there was.
    pub remaining: Pair,
}

/// Sums of one side.
#[derive(Clone, Debug, Default)]
struct Side {
    /// By route: answered by level, shed, failed.
    routes: Vec<([f64; Level::COUNT], f64, f64)>,
    /// By judged objective: good, bad.
    objectives: Vec<(f64, f64)>,
}

/// Sums of a replica.
pub(super) struct Tally<'a> {
    plan: &'a Plan,
    judged: &'a [usize],
    recorded: Side,
    replayed: Side,
}

/// Objectives that can be judged of what a recording tells: their indices.
pub(super) fn judged(plan: &Plan) -> Vec<usize> {
    let can = |objective: &Objective| {
        let kind = match &objective.kind {
            Kind::Availability { .. } => true,
            Kind::Latency { of, .. } => matches!(of, LatencyOf::EndToEnd | LatencyOf::InferenceOnly),
            Kind::Quality { .. }
            | Kind::ModelFreshness { .. }
            | Kind::FeatureFreshness { .. }
            | Kind::Safety { .. }
            | Kind::ReviewAge { .. }
            | Kind::External { .. } => false,
        };
        kind && objective.scope.filter.is_none()
    };
    (0..plan.slos.len()).filter(|at| can(&plan.slos[*at])).collect()
}

/// What is said of the others.
pub(super) fn not_judged(plan: &Plan, judged: &[usize]) -> Vec<String> {
    let others = (0..plan.slos.len()).filter(|at| !judged.contains(at));
    others.map(|at| format!("objective `{}` is not judged: a recording does not tell it", plan.slos[at].name)).collect()
}

impl<'a> Tally<'a> {
    pub(super) fn new(plan: &'a Plan, judged: &'a [usize]) -> Tally<'a> {
        let side = || Side {
            routes: vec![([0.0; Level::COUNT], 0.0, 0.0); plan.routes.len()],
            objectives: vec![(0.0, 0.0); judged.len()],
        };
        Tally { plan, judged, recorded: side(), replayed: side() }
    }

    pub(super) fn recorded(&mut self, request: &Request<'_>, times: f64) {
        let finished = request.finished;
        let facts = Facts {
            route: &finished.route,
            class: finished.class,
            model: finished.model.as_deref(),
            level: finished.level,
            code: finished.code,
            duration: finished.duration,
            inference: finished.inference,
            first_token: finished.first_token,
            per_token: None,
            confidence: finished.confidence,
            features: None,
            unjudged: false,
            origin: Origin::Caller,
        };
        add(&mut self.recorded, self.plan, self.judged, request.route, &facts, times);
    }

    pub(super) fn replayed(&mut self, done: &Done) {
        let model = done.backend.and_then(|backend| self.plan.backends[backend].model.as_deref());
        let code = match (done.level, done.shed) {
            (Some(_), _) => 200,
            (None, true) => 429,
            (None, false) => 503,
        };
        let facts = Facts {
            route: &self.plan.routes[done.route].name,
            class: done.class,
            model,
            level: done.level,
            code,
            duration: done.duration,
            inference: done.inference,
            first_token: None,
            per_token: None,
            confidence: done.confidence.filter(|_| done.backend.is_some()),
            features: None,
            unjudged: false,
            origin: Origin::Caller,
        };
        add(&mut self.replayed, self.plan, self.judged, done.route, &facts, 1.0);
    }
}

fn add(side: &mut Side, plan: &Plan, judged: &[usize], route: usize, facts: &Facts<'_>, times: f64) {
    let (levels, shed, failed) = &mut side.routes[route];
    match (facts.level, facts.code) {
        (Some(level), _) => levels[level.index()] += times,
        (None, 429) => *shed += times,
        (None, _) => *failed += times,
    }
    for (sums, objective) in side.objectives.iter_mut().zip(judged) {
        match judge(&plan.slos[*objective], facts) {
            Verdict::Good => sums.0 += times,
            Verdict::Bad => sums.1 += times,
            Verdict::Ignored => {}
        }
    }
}

/// The replicas' figures as one with its interval.
fn estimate(mut values: Vec<f64>) -> Estimate {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1) as f64;
    let at = |q: f64| values.get((last * q).round() as usize).copied().unwrap_or(0.0);
    let value = values.iter().sum::<f64>() / values.len().max(1) as f64;
    Estimate { value, low: at(TAIL), high: at(1.0 - TAIL) }
}

fn pair(tallies: &[Tally<'_>], figure: impl Fn(&Side) -> f64) -> Pair {
    Pair {
        recorded: estimate(tallies.iter().map(|tally| figure(&tally.recorded)).collect()),
        replayed: estimate(tallies.iter().map(|tally| figure(&tally.replayed)).collect()),
    }
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

pub(super) fn routes(plan: &Plan, tallies: &[Tally<'_>]) -> Vec<OfRoute> {
    let all = |side: &Side, route: usize| {
        let (levels, shed, failed) = &side.routes[route];
        levels.iter().sum::<f64>() + shed + failed
    };
    let of = |(at, route): (usize, &mainstay_core::plan::Route)| OfRoute {
        route: route.name.clone(),
        requests: pair(tallies, |side| all(side, at)).recorded,
        levels: std::array::from_fn(|level| pair(tallies, |side| share(side.routes[at].0[level], all(side, at)))),
        shed: pair(tallies, |side| share(side.routes[at].1, all(side, at))),
        failed: pair(tallies, |side| share(side.routes[at].2, all(side, at))),
    };
    plan.routes.iter().enumerate().map(of).collect()
}

pub(super) fn objectives(plan: &Plan, judged: &[usize], tallies: &[Tally<'_>]) -> Vec<OfObjective> {
    let of = |(at, objective): (usize, &usize)| {
        let objective = &plan.slos[*objective];
        let allowed = objective.kind.allowed_bad();
        let bad = |side: &Side| share(side.objectives[at].1, side.objectives[at].0 + side.objectives[at].1);
        OfObjective {
            name: objective.name.clone(),
            bad: pair(tallies, bad),
            remaining: pair(tallies, |side| if allowed > 0.0 { 1.0 - bad(side) / allowed } else { 0.0 }),
        }
    };
    judged.iter().enumerate().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_leaves_a_twentieth_on_each_side() {
        let estimate = estimate((0..=100).rev().map(f64::from).collect());
        assert_eq!((estimate.value, estimate.low, estimate.high), (50.0, 5.0, 95.0));
    }
}

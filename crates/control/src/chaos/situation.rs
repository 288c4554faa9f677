//! How the service is, as whoever runs experiments is told.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mainstay_core::chaos::gates::{BudgetOf, OpenIncident, Situation, Traffic};
use mainstay_core::slo::burn;
use mainstay_core::status::{RouteStatus, Status};
use mainstay_core::time::Time;

use crate::engine::Engine;
use crate::incidents::Incidents;

/// How far back traffic is looked at.
const TRAFFIC_BACK: Duration = Duration::from_mins(1);
/// Shortest time over which a rate says something.
const TRAFFIC_LEAST: Duration = Duration::from_secs(2);
/// Shortest time between two looks at what routes have done.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What routes had done at earlier moments.
#[derive(Debug, Default)]
pub(super) struct Looks(VecDeque<(Time, Vec<Done>)>);

/// What a route had done: requests, and those of them that nobody answered.
#[derive(Debug)]
struct Done {
    route: String,
    requests: u64,
    unanswered: u64,
}

impl Done {
    fn of(route: &RouteStatus) -> Done {
        let unanswered = route.all_failed + route.shed;
        Done { route: route.name.clone(), requests: route.served.iter().sum::<u64>() + unanswered, unanswered }
    }
}

impl Looks {
    fn is_due(&self, now: Time) -> bool {
        self.0.back().is_none_or(|(at, _)| now.since(*at) >= LOOK_EVERY)
    }

    /// Takes a look, unless the last one was a moment ago.
    pub(super) fn look(&mut self, status: &Status, now: Time) {
        if !self.is_due(now) {
            return;
        }
        self.0.push_back((now, status.routes.iter().map(Done::of).collect()));
        while self.0.front().is_some_and(|(at, _)| now.since(*at) > TRAFFIC_BACK) {
            self.0.pop_front();
        }
    }

    /// What routes have to do, since the first of these looks.
    fn traffic(&self, status: &Status, now: Time) -> Vec<Traffic> {
        let Some((at, before)) = self.0.front().filter(|(at, _)| now.since(*at) >= TRAFFIC_LEAST) else {
            return Vec::new();
        };
        let of = |route: &RouteStatus| {
            let (now_done, then) = (Done::of(route), before.iter().find(|it| it.route == route.name)?);
            let requests = now_done.requests.saturating_sub(then.requests);
            let unanswered = now_done.unanswered.saturating_sub(then.unanswered);
            let share = if requests == 0 { 0.0 } else { unanswered as f64 / requests as f64 };
            let rate = requests as f64 / now.since(*at).as_secs_f64();
            Some(Traffic { route: now_done.route, rate, unanswered: share })
        };
        status.routes.iter().filter_map(of).collect()
    }
}

/// Takes a look at what routes have done, where it is time.
pub(super) fn look((status, looks): (&dyn Fn() -> Option<Status>, &Mutex<Looks>), now: Time) {
    let is_due = looks.lock().unwrap_or_else(PoisonError::into_inner).is_due(now);
    if is_due && let Some(status) = status() {
        looks.lock().unwrap_or_else(PoisonError::into_inner).look(&status, now);
    }
}

/// How the service is at this moment.
pub(super) async fn gather(
    engine: &Engine,
    incidents: &Incidents,
    (status, looks): (Option<Status>, &Mutex<Looks>),
    config_revision: u64,
) -> Situation {
    let now = engine.now();
    let incidents = incidents.open_ones(|it| OpenIncident {
        id: it.id.clone(),
        kind: it.kind.clone(),
        routes: it.routes.clone(),
        opened: it.detected,
    });
    let incidents = incidents.await;
    let (mut degraded, mut traffic) = (Vec::new(), Vec::new());
    if let Some(status) = status {
        let mut looks = looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.look(&status, now);
        traffic = looks.traffic(&status, now);
        let deeper = |route: &&RouteStatus| route.entries.first().is_some_and(|best| route.level > best.level);
        degraded.extend(status.routes.iter().filter(deeper).map(|it| (it.name.clone(), it.level.number())));
    }
    Situation { budgets: budgets(engine), incidents, degraded, traffic, config_revision }
}

fn budgets(engine: &Engine) -> Vec<BudgetOf> {
    let now = engine.now();
    let budgets = engine.budgets();
    let of = |(id, objective): (_, &mainstay_core::slo::objective::Objective)| {
        let answer = budgets.core.answer(id, now);
        // The pair that shows a fast burn: the first.
        let pair = burn::pairs(objective.window.longest()).first().copied();
        let rate = |window: Option<Duration>| answer.burn.iter().find(|it| Some(it.window) == window)?.rate;
        BudgetOf {
            slo: objective.name.clone(),
            route: objective.scope.route.clone(),
            remaining: (answer.counts.total() > 0).then_some(answer.budget.remaining),
            burn_short: rate(pair.map(|pair| pair.short)),
            burn_long: rate(pair.map(|pair| pair.long)),
            status: answer.budget.status.name().to_owned(),
        }
    };
    budgets.core.objectives().map(of).collect()
}

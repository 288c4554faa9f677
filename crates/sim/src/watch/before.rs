//! The time before a drill, in which every promise was kept.

use std::time::Duration;

use mainstay_core::drill::Drill;
use mainstay_core::engine::{Engine, ObjectiveId};
use mainstay_core::slo::objective::Objective;
use mainstay_core::slo::series::{Counts, GRAIN};

use super::counting;

/// The last hours are counted as finely as windows of alerts ask for.
const FINE: Duration = Duration::from_hours(6);
/// What lies before, in steps of this.
const COARSE: Duration = Duration::from_mins(10);

/// Counts the drill's load for the time before it, all of it good.
pub(super) fn count(drill: &Drill, engine: &mut Engine) {
    for at in 0..drill.plan.slos.len() {
        let per_second = per_second(drill, at, &drill.plan.slos[at]);
        if per_second <= 0.0 {
            continue;
        }
        let (mut left, mut owed) = (drill.around.before, 0.0);
        while !left.is_zero() {
            let step = if left > FINE { COARSE.min(left.saturating_sub(FINE)) } else { GRAIN.min(left) };
            owed += per_second * step.as_secs_f64();
            let good = owed as u64;
            owed -= good as f64;
            let now = drill.around.starts;
            engine.handle_counts(ObjectiveId(at), now - left, Counts { good, bad: 0 }, now);
            left = left.saturating_sub(step);
        }
    }
}

/// Requests per second that an objective counts when all is well.
fn per_second(drill: &Drill, at: usize, objective: &Objective) -> f64 {
    let of = |users: &mainstay_core::drill::Users| {
        let route = &drill.plan.routes[users.route];
        let model = drill.first_backend(users.route).map(|backend| &drill.plan.backends[backend]);
        let model = model.map(|backend| backend.model.as_deref().unwrap_or(&backend.name));
        let of_model = objective.scope.model.as_deref().is_none_or(|wanted| model == Some(wanted));
        if !of_model || !counting(&drill.plan, &route.name).contains(&at) {
            return 0.0;
        }
        let share = objective.scope.class.map_or(1.0, |class| users.classes[class.index()]);
        let day = users.day.as_ref().map_or(1.0, |day| day.mean(Duration::ZERO, day.lasts));
        drill.per_second(users.route, users.rate) * day * share
    };
    drill.users.iter().map(of).sum()
}

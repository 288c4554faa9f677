//! What an incident cost, by objective: what was counted between its onset and its end.

use std::time::Duration;

use mainstay_core::incident::record::Incident;
use mainstay_core::slo::window::Stretch;
use mainstay_core::time::Time;

use crate::engine::{Budgets, Engine};
use crate::review::{Impact, PLOTS_MAX, Plot};

/// Points of a plot.
const POINTS: u32 = 60;
/// The shortest time between two points: counts rest in buckets of it.
const BUCKET: Duration = Duration::from_secs(10);

/// What objectives lost, those that lost nothing left out, and how it went.
pub(crate) fn of(engine: &Engine, incident: &Incident, now: Time) -> (Vec<Impact>, Vec<Plot>) {
    let budgets = engine.budgets();
    let end = incident.resolved.unwrap_or(now).max(incident.onset);
    let during = Stretch { from: incident.onset, to: end + BUCKET };
    let (mut impact, mut plots) = (Vec::new(), Vec::new());
    for (id, objective) in budgets.core.objectives() {
        // An objective of another route has nothing to do with it.
        let elsewhere = objective.scope.route.as_ref().is_some_and(|route| !incident.routes.contains(route));
        if elsewhere && !incident.routes.is_empty() {
            continue;
        }
        let counts = budgets.core.counts(id, during);
        if counts.bad == 0 {
            continue;
        }
        let answer = budgets.core.answer(id, now);
        let allowed = objective.kind.allowed_bad();
        let in_window = (answer.counts.good + answer.counts.bad) as f64;
        let share = counts.bad as f64 / (allowed * in_window).max(f64::MIN_POSITIVE);
        let minutes = allowed * answer.window.length().as_secs_f64() / 60.0;
        impact.push(Impact {
            slo: objective.name.clone(),
            category: objective.category().name().to_owned(),
            budget_minutes: Some(share * minutes).filter(|minutes| minutes.is_finite()),
            bad: counts.bad,
            total: counts.good + counts.bad,
            budget_share: share,
        });
        if plots.len() < PLOTS_MAX {
            plots.push(plot(&budgets, id, &objective.name, allowed, during));
        }
    }
    impact.sort_by(|a, b| b.budget_share.total_cmp(&a.budget_share));
    (impact, plots)
}

/// The share of bad events over the incident's time, and some before and after.
fn plot(budgets: &Budgets, id: mainstay_core::engine::ObjectiveId, name: &str, allowed: f64, during: Stretch) -> Plot {
    let around = (during.length() / 5).max(BUCKET * 6);
    let (from, to) = (during.from - around, during.to + around);
    let step = (to.since(from) / POINTS).max(BUCKET);
    let mut points = Vec::new();
    let mut at = from;
    while at < to {
        let counts = budgets.core.counts(id, Stretch { from: at, to: at + step });
        let share = counts.bad_share().map_or(f64::NAN, |share| 100.0 * share);
        points.push((at + step / 2, share));
        at = at + step;
    }
    Plot {
        title: format!("Bad events of {name}"),
        unit: "%".to_owned(),
        points,
        marks: Vec::new(),
        bound: Some(100.0 * allowed),
    }
}

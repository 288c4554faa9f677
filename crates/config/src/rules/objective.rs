//! Objectives as rules see them.

use std::time::Duration;

use mainstay_core::slo::burn;
use mainstay_core::slo::objective::{Budgeting, Counted, Kind, Objective};
use mainstay_core::slo::window::{Period, Window};

use super::{Sli, Target};

/// The metrics of each category are a table in `docs/prometheus.md`.
pub(super) fn target<'a>(service: &'a str, objective: &'a Objective) -> Target<'a> {
    let window = nominal(&objective.window);
    Target {
        service,
        name: &objective.name,
        description: &objective.description,
        allowed: objective.kind.allowed_bad(),
        window,
        is_rolling: matches!(objective.window, Window::Rolling(_)),
        sli: sli(objective),
        pairs: burn::pairs(window),
    }
}

fn sli(objective: &Objective) -> Sli {
    match objective.budgeting {
        Budgeting::Occurrences => {}
        Budgeting::TimeSlices { .. } | Budgeting::RatioTimeSlices { .. } => return Sli::Gauges,
    }
    match &objective.kind {
        Kind::Availability { .. } | Kind::Latency { .. } | Kind::FeatureFreshness { .. } | Kind::ReviewAge { .. } => {
            Sli::Counters
        }
        Kind::Quality { .. } | Kind::ModelFreshness { .. } | Kind::Safety { .. } => Sli::Gauges,
        Kind::External { source, .. } => match &source.counted {
            Counted::Good(good) => Sli::Good { good: good.clone(), total: source.total.clone() },
            Counted::Bad(bad) => Sli::Bad { bad: bad.clone(), total: source.total.clone() },
        },
    }
}

/// Prometheus knows no calendar: a month is 30 days in the names of series, and the budget of the real one comes from
/// mainstay's gauge.
fn nominal(window: &Window) -> Duration {
    let days = match window {
        Window::Rolling(length) => return *length,
        Window::Calendar(calendar) => match calendar.period() {
            Period::Day => 1,
            Period::Week => 7,
            Period::Month => 30,
            Period::Quarter => 90,
            Period::Year => 365,
        },
    };
    Duration::from_hours(24 * days)
}

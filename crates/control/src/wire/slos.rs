//! Objectives and their budgets.

use mainstay_core::engine::{self, Answer, Signal, Why};
use mainstay_core::event::format_time;
use mainstay_core::slo::objective::{Budgeting, Kind, Objective};
use mainstay_core::slo::window::Window;
use mainstay_core::time::Time;
use schemars::JsonSchema;
use serde::Serialize;

/// `GET /api/v1/slos`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Slos {
    /// The objectives, in the config's order.
    pub(crate) slos: Vec<Slo>,
}

/// An objective at one moment.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Slo {
    /// Its name.
    name: String,
    /// `availability`, `latency`, `quality`, `freshness` or `safety`.
    category: &'static str,
    /// What it promises.
    description: String,
    /// The share of events, or of slices, that may be bad.
    allowed_bad: f64,
    /// The route that it is about; null: all.
    route: Option<String>,
    /// The budget policy that applies; null: the usual one.
    policy: Option<String>,
    /// `occurrences`, `timeslices` or `ratio_timeslices`.
    budgeting: &'static str,
    /// The time over which it is judged.
    window: WindowOf,
    /// `no_data`, `healthy`, `warning`, `critical` or `exhausted`.
    status: &'static str,
    /// Why there may be nothing to count: `present`, `no_traffic`, `no_signal` or `query_failed`.
    signal: &'static str,
    /// The share of good events; null: nothing was counted.
    sli: Option<f64>,
    /// Good events of the window.
    good: u64,
    /// Bad events of the window.
    bad: u64,
    /// All events of the window.
    total: u64,
    /// The budget, in events.
    budget: BudgetOf,
    /// How fast it burns, by look-back.
    burn: Vec<Burn>,
    /// Where it is heading.
    forecast: Forecast,
    /// Alerts that fire.
    alerts: Vec<Alert>,
    /// What spent a budget that tolerates nothing.
    first_bad: Option<FirstBad>,
    /// Latencies that were measured, where it is about latency.
    percentiles: Vec<Percentile>,
    /// What can be said of a rare rate; null: it is not about safety.
    safety: Option<Safety>,
    /// Slices of time that have begun and are not judged.
    pending_slices: usize,
    /// The share of the budget that is left if all pending slices turn out bad, and if all turn out good.
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining_bounds: Option<[f64; 2]>,
    /// Whether it is estimated from a sample, since its filter needs the interpreter.
    estimate: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct WindowOf {
    /// `rolling`, `day`, `week`, `month`, `quarter` or `year`.
    kind: &'static str,
    /// Its length in seconds.
    seconds: u64,
    /// From when on events are counted.
    from: String,
    /// The time zone of a calendar window.
    zone: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct BudgetOf {
    /// Bad events that are allowed among those counted.
    total: f64,
    /// Bad events.
    consumed: u64,
    /// The share that is left: below 0 where more was spent than there was.
    remaining: f64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Burn {
    /// The look-back in seconds.
    seconds: u64,
    /// Its bad share over what is allowed; null: nothing was counted, or nothing is allowed.
    rate: Option<f64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Forecast {
    /// How long the budget lasts at the burn of the last hour, in seconds; null: it does not burn, or is gone.
    exhausted_in_seconds: Option<f64>,
    /// Of a calendar window: the share left at its end at the burn of the last hour.
    projected_remaining: Option<f64>,
    /// Of a calendar window: the share left at its end if nothing bad happens any more.
    projected_remaining_at_best: Option<f64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Alert {
    /// `page` or `ticket`.
    severity: &'static str,
    /// `burn`, `trickle`, `rate` or `harm`.
    why: &'static str,
    /// The longer window of a pair, in seconds.
    long_seconds: Option<u64>,
    /// The shorter window of a pair, in seconds.
    short_seconds: Option<u64>,
    /// The burn rate from which on a pair fires.
    factor: Option<f64>,
    /// The burn rate of the longer window.
    burn: Option<f64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Percentile {
    /// Which, within (0, 1).
    q: f64,
    /// Its value in seconds.
    seconds: f64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Safety {
    /// The highest rate that is tolerable.
    max_rate: f64,
    /// The rate of the window; null: nothing was counted.
    rate: Option<f64>,
    /// With 95 % confidence the rate is at most this (Clopper and Pearson).
    at_most: f64,
    /// How many times likelier a rate above the bound makes what was seen.
    evidence: f64,
    /// Whether that ever reached 20: at a rate that is kept, this has a chance of at most 5 %.
    alarm: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct FirstBad {
    /// What spent the budget: a request, a model.
    event: String,
    /// When.
    at: String,
}

impl Slo {
    /// How an objective stands.
    pub(crate) fn of(objective: &Objective, answer: Answer, now: Time) -> Slo {
        let max_rate = match objective.kind {
            Kind::Safety { max_rate } => max_rate,
            Kind::Availability { .. }
            | Kind::Latency { .. }
            | Kind::Quality { .. }
            | Kind::ModelFreshness { .. }
            | Kind::ReviewAge { .. }
            | Kind::FeatureFreshness { .. }
            | Kind::External { .. } => 0.0,
        };
        Slo {
            name: objective.name.clone(),
            category: objective.category().name(),
            description: objective.description.clone(),
            allowed_bad: objective.kind.allowed_bad(),
            route: objective.scope.route.clone(),
            policy: objective.policy.clone(),
            budgeting: budgeting(objective.budgeting),
            window: window(objective, &answer, now),
            status: answer.budget.status.name(),
            signal: signal(answer.signal),
            sli: answer.sli,
            good: answer.counts.good,
            bad: answer.counts.bad,
            total: answer.counts.total(),
            budget: BudgetOf {
                total: answer.budget.total,
                consumed: answer.budget.consumed,
                remaining: answer.budget.remaining,
            },
            burn: answer.burn.iter().map(|burn| Burn { seconds: burn.window.as_secs(), rate: burn.rate }).collect(),
            forecast: forecast(&answer),
            alerts: answer.alerts.iter().map(alert).collect(),
            first_bad: answer.first_bad.map(|first| FirstBad { event: first.event, at: format_time(first.at) }),
            percentiles: answer
                .percentiles
                .iter()
                .map(|percentile| Percentile { q: percentile.q, seconds: percentile.value.as_secs_f64() })
                .collect(),
            safety: answer.claim.map(|claim| Safety {
                max_rate,
                rate: claim.point,
                at_most: claim.at_most,
                evidence: claim.evidence,
                alarm: claim.alarms,
            }),
            pending_slices: answer.pending,
            remaining_bounds: answer.bounds.map(|bounds| [bounds.low, bounds.high]),
            estimate: objective.scope.filter.as_ref().is_some_and(|filter| !filter.is_native()),
        }
    }
}

const fn budgeting(of: Budgeting) -> &'static str {
    match of {
        Budgeting::Occurrences => "occurrences",
        Budgeting::TimeSlices { .. } => "timeslices",
        Budgeting::RatioTimeSlices { .. } => "ratio_timeslices",
    }
}

fn signal(of: Signal) -> &'static str {
    of.name()
}

fn window(objective: &Objective, answer: &Answer, now: Time) -> WindowOf {
    let (kind, zone) = match &objective.window {
        Window::Rolling(_) => ("rolling", None),
        Window::Calendar(calendar) => (calendar.period().name(), Some(calendar.zone_name().to_owned())),
    };
    let seconds = objective.window.length(now).as_secs();
    WindowOf { kind, seconds, from: format_time(answer.counted_from), zone }
}

fn forecast(answer: &Answer) -> Forecast {
    let projected = answer.forecast.projected;
    Forecast {
        exhausted_in_seconds: answer.forecast.exhausted_in.map(|left| left.as_secs_f64()),
        projected_remaining: projected.map(|projected| projected.remaining),
        projected_remaining_at_best: projected.map(|projected| projected.remaining_at_best),
    }
}

fn alert(alert: &engine::Alert) -> Alert {
    let pair = match alert.why {
        Why::Burn { long, short, factor } => Some((long.as_secs(), short.as_secs(), factor)),
        Why::Trickle | Why::Rate | Why::Harm => None,
    };
    Alert {
        severity: alert.severity.name(),
        why: alert.why.name(),
        long_seconds: pair.map(|(long, _, _)| long),
        short_seconds: pair.map(|(_, short, _)| short),
        factor: pair.map(|(_, _, factor)| factor),
        burn: alert.burn,
    }
}

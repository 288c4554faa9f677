//! The metrics of the data plane: what was counted, and how the machines stand.

use mainstay_core::metric::{Family, Kind, Sample, Value};
use mainstay_core::resilience::breaker::Phase;

use crate::counters::families::gauges;
use crate::shared::Shared;

pub(super) fn families(shared: &Shared) -> Vec<Family> {
    let mut all = shared.totals.lock().expect("counting does not panic").families();
    let now = shared.clock.now();
    let label = |name: &str| vec![("backend", name.to_owned())];
    let backends = &shared.backends;
    all.push(gauges(
        "mainstay_breaker_state",
        "0 closed, 1 half-open, 2 open.",
        backends.iter().map(|b| (label(&b.name), breaker_number(b.breaker.state(now).phase))),
    ));
    all.push(gauges(
        "mainstay_limit",
        "Calls that a backend is given at once.",
        backends.iter().filter_map(|b| Some((label(&b.name), f64::from(b.limit()?)))),
    ));
    all.push(gauges(
        "mainstay_inflight",
        "Calls under way at a backend.",
        backends.iter().map(|b| (label(&b.name), f64::from(b.limit.view().in_flight))),
    ));
    all.push(gauges(
        "mainstay_level",
        "The level at which requests of a route start.",
        shared.routes.iter().map(|r| (vec![("route", r.name.clone())], f64::from(r.level().number()))),
    ));
    let dropped = shared
        .events
        .dropped()
        .into_iter()
        .map(|(reason, n)| Sample { labels: vec![("reason", reason.to_owned())], value: Value::Count(n) });
    all.push(Family {
        name: "mainstay_events_dropped",
        help: "Events that nobody took in time.",
        kind: Kind::Counter,
        samples: dropped.collect(),
    });
    all
}

fn breaker_number(phase: Phase) -> f64 {
    match phase {
        Phase::Closed | Phase::ForcedClosed | Phase::MetricsOnly => 0.0,
        Phase::HalfOpen => 1.0,
        Phase::Open | Phase::ForcedOpen => 2.0,
    }
}

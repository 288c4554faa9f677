//! The metrics of the data plane: what was counted, and how the machines stand.

use mainstay_core::metric::{Family, Kind, Sample, Value};
use mainstay_core::resilience::breaker::Phase;
use mainstay_core::resilience::keys::{Fault, View};

use crate::counters::families::gauges;
use crate::shared::Shared;

pub(super) fn families(shared: &Shared) -> Vec<Family> {
    let mut all = shared.totals.lock().expect("counting does not panic").families();
    point_at_kept(&mut all, shared);
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
    all.extend(keys(shared));
    let group = |name: &str| vec![("group", name.to_owned())];
    all.push(gauges(
        "mainstay_group_state",
        "The breaker of a group: 0 closed, 1 half-open, 2 open.",
        shared.groups.all().map(|it| (group(&it.name), breaker_number(it.phase(now)))),
    ));
    all.push(gauges(
        "mainstay_group_open",
        "Backends of a group whose breakers are not closed.",
        shared.groups.status(backends, now).into_iter().map(|it| (group(&it.name), it.open as f64)),
    ));
    all.push(gauges(
        "mainstay_level",
        "The level at which requests of a route start.",
        shared.routes.iter().map(|r| (vec![("route", r.name.clone())], f64::from(r.level().number()))),
    ));
    let queue = |name: &str| vec![("queue", name.to_owned())];
    let sizes: Vec<_> = shared.lines.iter().map(|line| (queue(&line.name), line.size(now))).collect();
    all.push(gauges(
        "mainstay_review_queue_size",
        "Requests that wait for a person.",
        sizes.iter().map(|(labels, size)| (labels.clone(), size.open as f64)),
    ));
    all.push(gauges(
        "mainstay_review_queue_oldest_seconds",
        "How long the oldest of them waits.",
        sizes.iter().map(|(labels, size)| (labels.clone(), size.oldest.as_secs_f64())),
    ));
    let file = |file: &crate::answers::files::DataFile| {
        let status = file.status();
        (vec![("file", status.path.clone()), ("used_as", status.used_as.to_owned())], status)
    };
    let files: Vec<_> = shared.files.iter().map(|f| file(f)).collect();
    all.push(gauges(
        "mainstay_answer_file_age_seconds",
        "How old the version is that serves.",
        files.iter().filter_map(|(l, s)| Some((l.clone(), now.since(s.modified?).as_secs_f64()))),
    ));
    all.push(gauges(
        "mainstay_answer_file_fault",
        "1 where the file as it is cannot be used.",
        files.iter().map(|(labels, status)| (labels.clone(), f64::from(u8::from(status.fault.is_some())))),
    ));
    let unseen = shared.observations.lock().expect("handing over does not panic").dropped;
    let unflagged = shared.ledger.lock().expect("counting does not panic").flags_dropped;
    let dropped = shared
        .events
        .dropped()
        .into_iter()
        .chain([("observations_full", unseen), ("flags_full", unflagged)])
        .map(|(reason, n)| Sample { labels: vec![("reason", reason.to_owned())], value: Value::Count(n) });
    let (replaced, dropped_texts) = shared.kept.redacted();
    let of = |what: &str, count: u64| Sample { labels: vec![("what", what.to_owned())], value: Value::Count(count) };
    all.push(Family {
        name: "mainstay_redactions",
        help: "Things that were replaced in kept requests, and texts that were dropped as a whole.",
        kind: Kind::Counter,
        samples: vec![of("replaced", replaced), of("dropped", dropped_texts)],
    });
    all.push(Family {
        name: "mainstay_events_dropped",
        help: "Events that nobody took in time.",
        kind: Kind::Counter,
        samples: dropped.collect(),
    });
    all
}

/// Keys by their place in the config, never by what they are.
fn keys(shared: &Shared) -> [Family; 3] {
    let views = || shared.keys.iter().filter(|ring| ring.len() > 0).map(|ring| (ring.backend.as_str(), ring.view()));
    let each =
        || views().flat_map(|(backend, views)| views.into_iter().enumerate().map(move |(at, v)| (backend, at, v)));
    let labels = |backend: &str, at: usize| vec![("backend", backend.to_owned()), ("key", at.to_string())];
    let faults = each().flat_map(|(backend, at, view)| {
        Fault::ALL.into_iter().zip(view.faults).map(move |(fault, count)| {
            let mut labels = labels(backend, at);
            labels.push(("reason", fault.word().to_owned()));
            Sample { labels, value: Value::Count(count) }
        })
    });
    let calls =
        each().map(|(backend, at, view)| Sample { labels: labels(backend, at), value: Value::Count(view.calls) });
    let up = |view: &View| f64::from(u8::from(view.rests_until.is_none()));
    [
        gauges(
            "mainstay_key_up",
            "1 where a key is used, 0 where it rests.",
            each().map(|(b, at, v)| (labels(b, at), up(&v))),
        ),
        Family {
            name: "mainstay_key_calls",
            help: "Calls that bore a key.",
            kind: Kind::Counter,
            samples: calls.collect(),
        },
        Family {
            name: "mainstay_key_faults",
            help: "Calls that were not taken for their key's sake.",
            kind: Kind::Counter,
            samples: faults.collect(),
        },
    ]
}

/// Durations point at requests that are kept.
fn point_at_kept(all: &mut [Family], shared: &Shared) {
    let durations = all.iter_mut().filter(|family| family.name == "mainstay_request_duration_seconds");
    for sample in durations.flat_map(|family| &mut family.samples) {
        let route = sample.labels.iter().find(|(name, _)| *name == "route").map(|(_, route)| route.as_str());
        if let (Some(route), Value::Histogram(histogram)) = (route, &mut sample.value) {
            histogram.exemplars = shared.kept.exemplars(route);
        }
    }
}

fn breaker_number(phase: Phase) -> f64 {
    match phase {
        Phase::Closed | Phase::ForcedClosed | Phase::MetricsOnly => 0.0,
        Phase::HalfOpen => 1.0,
        Phase::Open | Phase::ForcedOpen => 2.0,
    }
}

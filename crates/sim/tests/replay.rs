//! Recorded requests under the config that recorded them, and under another.

use std::fmt::Write as _;
use std::time::Duration;

use mainstay_core::event::{Event, EventKind, RequestFinished};
use mainstay_core::plan::Plan;
use mainstay_core::rng::Rng;
use mainstay_core::route::{Class, Level};
use mainstay_core::time::Time;
use mainstay_sim::{Estimate, Unusable, replay};

fn plan(limit: &str, shed_before: &str) -> Plan {
    let mut text = String::from("service: web\nbackends:\n  model:\n    endpoints: [http://10.0.0.1:9001]\n");
    write!(
        text,
        "    protocol: http\n    limit: {limit}\nroutes:\n  - name: score\n    path: /score\n    deadline: 500ms\n{shed_before}    \
         queue: {{ max: 0, wait: 0s }}\n    ladder:\n      - {{ level: 0, backend: model }}\n      \
         - {{ level: 4, respond: {{ body: {{ decision: review }} }} }}\n\
         slos:\n  - availability: {{ target: 99%, window: 1d }}\n  - latency: {{ p99: 200ms, window: 1d }}\n"
    )
    .expect("a string takes it");
    let (plan, findings) = mainstay_config::load(&text);
    plan.unwrap_or_else(|| panic!("{}", mainstay_config::render(&findings, "test", &text, false)))
}

/// 50 requests per second for 200 s, each answered in 100 ms in the mean; one in `kept` of them.
fn recording(kept: f64) -> Vec<Event> {
    let mut rng = Rng::new(5);
    let mut at = Time::from_secs(1_000);
    let mut events = Vec::new();
    while at < Time::from_secs(1_200) {
        at = at + Duration::from_secs_f64(rng.exponential(0.02));
        let took = Duration::from_secs_f64(rng.exponential(0.1).min(0.4));
        if rng.unit() >= kept {
            continue;
        }
        let json = format!(
            "{{\"version\":1,\"at\":\"1970-01-01T00:00:00Z\",\"type\":\"request.finished\",\"request_id\":\"{}\",\
             \"route\":\"score\",\"class\":3,\"level\":0,\"code\":200,\"attempts\":1,\"duration_us\":{},\"overhead_us\":0,\
             \"inference_us\":{},\"backend\":\"model\",\"kept\":[{{\"why\":\"log\",\"probability\":{kept}}}]}}",
            events.len(),
            took.as_micros(),
            took.as_micros()
        );
        let event = Event::from_json(&json).expect("it is an event");
        events.push(Event { at: at + took, ..event });
    }
    events
}

fn finished(event: &mut Event) -> &mut RequestFinished {
    match &mut event.kind {
        EventKind::RequestFinished(finished) => finished,
        other => panic!("{other:?}"),
    }
}

fn is_within(estimate: Estimate, value: f64) -> bool {
    estimate.low <= value && value <= estimate.high
}

#[test]
fn the_same_config_does_the_same() {
    let events = recording(0.5);
    let replayed = replay(&plan("none", ""), &events, 1, 20).unwrap();
    let route = &replayed.routes[0];
    let all = recording(1.0).len() as f64;
    assert!(is_within(route.requests, all), "half were kept, with their chance, of {all}: {:?}", route.requests);
    assert!(route.levels[0].recorded.value > 0.999 && route.levels[0].replayed.value > 0.999, "{route:?}");
    let latency = &replayed.objectives[1];
    let slow = (-2.0f64).exp();
    assert!((latency.bad.recorded.value - slow).abs() < 0.02, "one in e² takes longer than 200 ms: {latency:?}");
    assert!((latency.bad.replayed.value - latency.bad.recorded.value).abs() < 0.01, "{latency:?}");
    assert!(replayed.notes.is_empty(), "{:?}", replayed.notes);
    assert_eq!(replayed, replay(&plan("none", ""), &events, 1, 20).unwrap());
}

#[test]
fn a_narrow_limit_would_have_turned_away_what_erlang_says() {
    // Five calls in flight in the mean, and five places: Erlang's loss formula says 28.5 %.
    let events = recording(1.0);
    let degraded = replay(&plan("{ fixed: { max: 5 } }", ""), &events, 1, 20).unwrap();
    let route = &degraded.routes[0];
    assert!((route.levels[4].replayed.value - 0.285).abs() < 0.03, "{route:?}");
    assert!(route.levels[4].recorded.high < 0.001, "none was turned away when it was recorded: {route:?}");
    let budget = &degraded.objectives[0];
    assert!(budget.remaining.recorded.low > 0.99 && budget.remaining.replayed.high < -20.0, "{budget:?}");

    let shed = replay(&plan("{ fixed: { max: 5 } }", "    shed_before: 4\n"), &events, 1, 20).unwrap();
    assert!((shed.routes[0].shed.replayed.value - 0.285).abs() < 0.03, "{:?}", shed.routes[0]);
}

#[test]
fn what_a_recording_does_not_tell_is_said() {
    let mut events = recording(0.05);
    for event in &mut events {
        let finished = finished(event);
        (finished.backend, finished.inference) = (None, None);
        (finished.level, finished.class) = (Some(Level::STATIC), Class::BEST);
    }
    let replayed = replay(&plan("none", ""), &events, 1, 3).unwrap();
    assert!(replayed.notes.iter().any(|note| note.contains("`model` answered none")), "{:?}", replayed.notes);
    assert!(replayed.routes[0].levels[4].replayed.value > 0.99, "{:?}", replayed.routes[0]);
    for event in &mut events {
        finished(event).route = "other".to_owned();
    }
    assert_eq!(replay(&plan("none", ""), &events, 1, 3), Err(Unusable::Empty));
    let mut crowd = recording(0.05);
    for event in &mut crowd {
        finished(event).kept[0].probability = 1e-5;
    }
    assert!(matches!(replay(&plan("none", ""), &crowd, 1, 3), Err(Unusable::TooMany(_))));
}

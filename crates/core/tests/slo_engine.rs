//! The engine at its edges: clocks that are wrong, restarts, corrections, and what is named.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use mainstay_core::engine::{Alert, Effect, Engine, Memory, ObjectiveId, Signal, Why};
use mainstay_core::slo::budget::Status;
use mainstay_core::slo::correction::Correction;
use mainstay_core::slo::objective::{Direction, Kind, Objective};
use mainstay_core::slo::series::Counts;
use mainstay_core::slo::window::Stretch;
use mainstay_core::stats::Interval;
use mainstay_core::time::Time;

const HOUR: Duration = Duration::from_hours(1);
const MINUTE: Duration = Duration::from_mins(1);
const START: Time = Time::from_secs(1_800_000_000);

fn engine(objective: Objective) -> (Engine, ObjectiveId) {
    let name = objective.name.clone();
    let engine = Engine::new(vec![objective], START);
    let id = engine.id(&name).unwrap();
    (engine, id)
}

fn safety() -> (Engine, ObjectiveId) {
    engine(Objective::new("s", Kind::Safety { max_rate: 1e-4 }))
}

fn availability() -> (Engine, ObjectiveId) {
    engine(Objective::new("s", Kind::availability(0.999).unwrap()))
}

fn named(engine: &Engine, id: ObjectiveId, now: Time) -> Option<String> {
    engine.answer(id, now).first_bad.map(|first| first.event)
}

fn tick(engine: &mut Engine, now: Time) -> Vec<Alert> {
    engine.handle_timeout(now);
    let mut fired = Vec::new();
    while let Some(effect) = engine.poll_effect() {
        if let Effect::AlertFired { alert, .. } = effect {
            fired.push(alert);
        }
    }
    fired
}

/// Reported: a window that holds one harmful answer named another, of days before.
#[test]
fn the_event_that_is_named_lies_within_the_window() {
    let (mut engine, id) = safety();
    engine.handle_counts(id, START, Counts { good: 1_000_000, bad: 0 }, START);
    engine.handle_harm(id, "a", START, START);
    let later = START + MINUTE * 30;
    engine.handle_harm(id, "b", later, later);
    assert_eq!(named(&engine, id, later).as_deref(), Some("a"));
    assert_eq!(named(&engine, id, START + MINUTE * 80).as_deref(), Some("b"), "the first has left the window");
    let days = START + HOUR * 50;
    engine.handle_harm(id, "c", days, days);
    assert_eq!(named(&engine, id, days).as_deref(), Some("c"));
    engine.handle_harm(id, "long ago", days - HOUR * 20, days);
    assert_eq!(named(&engine, id, days).as_deref(), Some("c"), "what is told late and lies outside names nothing");
    engine.handle_harm(id, "before c", days - MINUTE, days);
    assert_eq!(named(&engine, id, days).as_deref(), Some("before c"));
}

/// Reported: a flagged answer stayed among the good ones, and 5 of 100 were a rate of 5 in 105.
#[test]
fn a_flag_speaks_of_one_of_the_answers() {
    let (mut engine, id) = safety();
    engine.handle_counts(id, START, Counts { good: 100, bad: 0 }, START);
    for n in 0..5 {
        engine.handle_harm(id, &n.to_string(), START, START);
    }
    let answer = engine.answer(id, START);
    assert_eq!((answer.counts, answer.claim.unwrap().point), (Counts { good: 95, bad: 5 }, Some(0.05)));
    let (mut engine, id) = safety();
    engine.handle_harm(id, "of answers that nobody counted", START, START);
    assert_eq!(engine.answer(id, START).counts, Counts::BAD);
}

#[test]
fn so_many_harmful_events_are_named_by_the_first() {
    let (mut engine, id) = safety();
    for n in 0..1_000_u64 {
        let now = START + Duration::from_secs(n);
        engine.handle_harm(id, &n.to_string(), now, now);
    }
    let now = START + Duration::from_secs(999);
    assert_eq!(named(&engine, id, now).as_deref(), Some("0"));
    assert!(engine.memory(id).named.len() <= 32);
    assert_eq!(engine.answer(id, now).counts.bad, 1_000);
}

/// A confirmed harmful answer that a person takes out, with a reason, wakes nobody any more.
#[test]
fn what_is_corrected_is_no_harm() {
    let (mut engine, id) = safety();
    engine.handle_counts(id, START, Counts { good: 1_000_000, bad: 0 }, START);
    let now = START + MINUTE * 10;
    engine.handle_counts(id, now, Counts { good: 10, bad: 0 }, now);
    engine.handle_harm(id, "a drill", START + MINUTE, now);
    assert_eq!(tick(&mut engine, now).iter().map(|alert| alert.why).collect::<Vec<_>>(), [Why::Harm]);
    let stretch = Stretch { from: START + MINUTE, to: START + MINUTE * 2 };
    let (reason, author) = ("red team".to_owned(), "ada".to_owned());
    let correction = Correction { id: "1".to_owned(), stretch, objectives: Vec::new(), reason, author };
    engine.set_corrections(vec![correction], Vec::new());
    tick(&mut engine, now + MINUTE);
    let answer = engine.answer(id, now + MINUTE);
    assert_eq!((answer.budget.status, answer.first_bad, answer.alerts), (Status::Healthy, None, Vec::new()));
}

/// Found: the evidence of some hundred harmful answers is more than a float holds; JSON made it null, and a restart failed.
#[test]
fn any_amount_of_evidence_survives_a_restart() {
    let (mut engine, id) = safety();
    for n in 0..500 {
        engine.handle_harm(id, &n.to_string(), START, START);
    }
    let read = Memory::from_json(&engine.memory(id).to_json()).unwrap();
    let (mut restarted, id) = safety();
    restarted.restore(id, read);
    assert!(restarted.answer(id, START).claim.unwrap().alarms);
    assert_eq!(restarted.answer(id, START).budget.status, Status::Exhausted);
}

/// Found: evidence without a ceiling outlives an outage by days. Eight hours on, no pair speaks for it any more.
#[test]
fn a_trickle_resolves_soon_after_an_outage() {
    let (mut engine, id) = availability();
    let mut now = START;
    for minute in 0..60 * 8 {
        let counts = if minute < 60 { Counts { good: 0, bad: 1_200 } } else { Counts { good: 1_200, bad: 0 } };
        engine.handle_counts(id, now, counts, now);
        now = now + MINUTE;
        tick(&mut engine, now);
    }
    let alerts = engine.answer(id, now).alerts;
    assert_eq!(alerts, []);
}

#[test]
fn quality_labels_that_come_late_replay_their_slice() {
    let kind = Kind::quality("mae", mainstay_core::slo::objective::Direction::LowerIsBetter, 1.0, 0.05).unwrap();
    let (mut engine, id) = engine(Objective::new("s", kind));
    assert_eq!(engine.answer(id, START).signal, Signal::Absent);
    let now = START + HOUR;
    engine.handle_quality(id, START, Interval { low: f64::NAN, high: 1.0 }, 100, now);
    assert_eq!(engine.answer(id, now).counts, Counts::default(), "a metric that is no number counts nothing");
    engine.handle_quality(id, START, Interval { low: 1.2, high: 1.4 }, 40, now);
    assert_eq!(engine.answer(id, now).counts, Counts::BAD, "1.05 is missed on the high side");
    engine.handle_quality(id, START, Interval { low: 0.9, high: 1.1 }, 80, now);
    assert_eq!(engine.answer(id, now).counts, Counts::GOOD);
}

#[test]
fn events_of_the_future_count_now_and_those_before_the_window_nowhere() {
    let (mut engine, id) = availability();
    engine.handle_counts(id, START + HOUR * 1_000, Counts::BAD, START);
    assert_eq!(engine.answer(id, START).counts, Counts::BAD);
    engine.handle_counts(id, START, Counts::GOOD, START);
    assert_eq!(engine.answer(id, START).counts.total(), 2, "the event from the future pushed nothing out");
    engine.handle_counts(id, START - HOUR * 24 * 40, Counts { good: 7, bad: 0 }, START);
    assert_eq!((engine.answer(id, START).counts.total(), engine.too_old()), (2, 7));
}

#[test]
fn a_clock_that_is_set_back_stands_until_it_has_caught_up() {
    let (mut engine, id) = availability();
    let ahead = START + HOUR;
    engine.handle_counts(id, ahead, Counts::GOOD, ahead);
    engine.handle_counts(id, START, Counts::BAD, START);
    let answer = engine.answer(id, START);
    assert_eq!((answer.counts, answer.window.to), (Counts { good: 1, bad: 1 }, ahead));
    tick(&mut engine, ahead);
    let due = engine.poll_timeout();
    tick(&mut engine, START);
    assert_eq!(engine.poll_timeout(), due, "nothing is judged twice");
}

#[test]
fn a_model_grows_old_also_when_nothing_runs() {
    let (mut engine, id) = engine(Objective::new("s", Kind::ModelFreshness { max_age: HOUR * 24 * 7 }));
    tick(&mut engine, START + MINUTE);
    assert_eq!(engine.answer(id, START + MINUTE).signal, Signal::Absent, "nobody has named a model");
    engine.handle_model("fraud", START - HOUR * 24 * 6, START + MINUTE);
    tick(&mut engine, START + MINUTE * 2);
    assert_eq!(engine.answer(id, START + MINUTE * 2).budget.status, Status::Healthy);
    let old = START + HOUR * 25;
    let fired = tick(&mut engine, old);
    assert_eq!(fired.iter().map(|alert| alert.why).collect::<Vec<_>>(), [Why::Harm]);
    assert_eq!(engine.answer(id, old).budget.status, Status::Exhausted);
    assert!(named(&engine, id, old).is_some());
    let fresh = old + HOUR;
    engine.handle_model("fraud", old, fresh);
    tick(&mut engine, fresh + HOUR * 26);
    assert_eq!(engine.answer(id, fresh + HOUR * 26).budget.status, Status::Healthy);
}

#[test]
fn who_waits_for_a_person_is_counted_by_the_clock() {
    let kind =
        |queue: Option<&str>| Kind::ReviewAge { max_age: HOUR, queue: queue.map(Into::into), allowed_late: 0.01 };
    let (mut engine, all) = engine(Objective::new("s", kind(None)));
    assert_eq!(engine.answer(all, START).signal, Signal::Absent, "there is no queue");
    // Nobody waits in one, somebody since half an hour in the other. The first minute begins the count.
    let waits = START - MINUTE * 30;
    for minute in 0..=40 {
        let now = START + MINUTE * minute;
        engine.handle_waiting([("calm".to_owned(), now), ("risk".to_owned(), waits)], now);
        tick(&mut engine, now);
    }
    let now = START + MINUTE * 40;
    // The bucket in which it has waited exactly an hour is good still.
    assert_eq!(engine.answer(all, now).counts, Counts { good: 29 * 6 + 1, bad: 10 * 6 });
    assert!(named(&engine, all, now).is_some_and(|bad| bad == "somebody waits longer than 1h"));
    // A queue that a reload took away waits no longer.
    engine.handle_waiting([("calm".to_owned(), now)], now);
    tick(&mut engine, now + MINUTE);
    assert_eq!(engine.answer(all, now + MINUTE).counts, Counts { good: 29 * 6 + 1 + 6, bad: 10 * 6 });
}

#[test]
fn an_objective_of_an_earlier_config_is_counted_nowhere() {
    let (mut engine, _) = availability();
    engine.handle_counts(ObjectiveId(7), START, Counts::BAD, START);
    engine.handle_harm(ObjectiveId(7), "a", START, START);
    engine.handle_signal(ObjectiveId(7), Signal::Failed, START);
    assert_eq!(engine.too_old(), 0);
}

#[test]
fn a_quality_budget_says_what_labels_that_are_to_come_can_make_of_it() {
    let kind = Kind::quality("precision", Direction::HigherIsBetter, 0.92, 0.05).unwrap();
    let Kind::Quality { metric, direction, baseline, allowed_degradation, .. } = kind else { unreachable!() };
    let label_delay = Duration::from_hours(1);
    let kind = Kind::Quality { metric, direction, baseline, allowed_degradation, label_delay };
    let start = Time::from_secs(1_800_000_000);
    let mut engine = Engine::new(vec![Objective::new("s", kind)], start);
    let id = engine.id("s_quality_precision").unwrap();
    for slice in 0..94 {
        let at = start + Duration::from_mins(10 * slice);
        engine.handle_quality(id, at, Interval { low: 0.9, high: 0.95 }, 100, at);
    }
    let now = start + Duration::from_mins(10 * 94) + Duration::from_mins(50);
    let answer = engine.answer(id, now);
    assert_eq!((answer.counts.good, answer.pending), (94, 6));
    let bounds = answer.bounds.unwrap();
    // Six bad slices of a hundred, five allowed.
    assert!((bounds.low - (1.0 - 0.06 / 0.05)).abs() < 1e-9, "{bounds:?}");
    assert_eq!(bounds.high, 1.0);
}

//! Every reason for a stop, and how long it takes from when it can be known until the fault is gone.

use std::time::Duration;

use mainstay_core::chaos::gates::{BudgetOf, Rigour, Situation, Terms};
use mainstay_core::chaos::record::Phase;
use mainstay_core::chaos::run::{Effect, Start};
use mainstay_core::chaos::verdict::Verdict;
use mainstay_core::chaos::window::{Deny, DenyWhen};
use mainstay_core::event::EventKind;

use super::bench::{Bench, START, budget, experiment, incident, start_of, terms};

/// The reason for the stop, and the seconds that passed from now until the fault was gone.
fn stops(bench: &mut Bench, id: &str) -> (String, u64) {
    assert!(bench.injects(), "the fault is in force before");
    let waited = bench.until(|bench| !bench.injects());
    assert_eq!(bench.phase(id), Phase::Recovering, "{:?}", bench.journal(id));
    let generations: Vec<u64> = bench
        .done
        .iter()
        .filter_map(|(_, effect)| match effect {
            Effect::Inject(order) if order.injects => Some(order.generation),
            _ => None,
        })
        .collect();
    bench.done.clear();
    let reason = bench.reason(id).unwrap();
    assert!(bench.journal(id).contains(&"stop".to_owned()));
    bench.pass(400);
    assert!(!bench.injects() && bench.phase(id) == Phase::Ended, "{:?}", bench.phase(id));
    let renews = |(_, effect): &(_, Effect)| matches!(effect, Effect::Renew { generation, .. } if generations.contains(generation));
    assert!(!bench.done.iter().any(renews), "the fault's order is renewed after it was taken away");
    (reason, waited)
}

fn stopped(reason: &str, seconds: u64) -> (String, u64) {
    (reason.to_owned(), seconds)
}

#[test]
fn a_budget_that_burns_in_both_windows_stops_within_a_tick() {
    let mut bench = Bench::new();
    let id = bench.inject(experiment(""));
    for (short, long) in [(100.0, 14.4), (14.4, 100.0)] {
        bench.situation.budgets = vec![BudgetOf { burn_short: Some(short), burn_long: Some(long), ..budget(0.0) }];
        bench.pass(5);
    }
    bench.situation.budgets = vec![BudgetOf { route: Some("other".to_owned()), ..budget(100.0) }];
    bench.pass(5);
    assert!(bench.injects());
    bench.situation.budgets = vec![BudgetOf { route: None, ..budget(14.5) }];
    assert_eq!(stops(&mut bench, &id), stopped("burn_rate", 1));
}

#[test]
fn a_guard_on_unanswered_requests_stops_once_the_minute_is_beyond_it() {
    let mut bench = Bench::new();
    let id = bench.inject(experiment(r#", "stop": {"errors": false, "guards": {"unanswered": 0.25}}"#));
    bench.pass(60);
    bench.unanswered = [0, 4];
    // Of 240 requests of the last minute more than 60 are unanswered after 16 seconds.
    assert_eq!(stops(&mut bench, &id), stopped("guard", 16));
}

#[test]
fn a_guard_on_the_latency_stops_once_a_hundredth_of_the_minute_is_slower() {
    let mut bench = Bench::new();
    let id = bench.inject(experiment(r#", "stop": {"guards": {"p99": "2s"}}"#));
    bench.pass(60);
    bench.takes = Duration::from_secs(3);
    assert_eq!(stops(&mut bench, &id), stopped("guard", 1));
    let mut bench = Bench::new();
    bench.rate = [1, 1];
    let id = bench.inject(experiment(r#", "lead_in": "5s", "stop": {"guards": {"unanswered": 0.1}}"#));
    bench.unanswered = [0, 1];
    // A few requests say nothing.
    assert_eq!(stops(&mut bench, &id), stopped("guard", 5));
}

#[test]
fn an_injector_that_is_not_heard_stops_after_the_time_that_is_set() {
    let mut bench = Bench::new();
    let id = bench.inject(experiment(r#", "stop": {"silent": "20s"}"#));
    bench.pass(10);
    bench.hears.0 = false;
    let silent = stops_silently(&mut bench, &id);
    assert_eq!(silent, stopped("silent", 20));
}

/// As [`stops`], of one that does not recover as nothing is heard.
fn stops_silently(bench: &mut Bench, id: &str) -> (String, u64) {
    let waited = bench.until(|bench| !bench.injects());
    bench.pass(301);
    let run = bench.rested(id);
    assert_eq!(run.assessment.as_ref().unwrap().verdict, Verdict::NotRecovered);
    (bench.reason(id).unwrap(), waited)
}

#[test]
fn a_service_of_which_nothing_is_heard_stops_after_the_time_that_is_set() {
    let mut bench = Bench::new();
    let id = bench.inject(experiment(r#", "stop": {"silent": "20s"}"#));
    bench.hears.1 = false;
    assert_eq!(stops_silently(&mut bench, &id), stopped("silent", 20));
}

#[test]
fn an_arm_that_falls_silent_stops_after_the_time_that_is_set() {
    for arm in [0, 1] {
        let mut bench = Bench::new();
        let id = bench.inject(experiment(r#", "stop": {"silent": "20s"}"#));
        bench.rate[arm] = 0;
        assert_eq!(stops(&mut bench, &id), stopped("silent", 20));
    }
}

#[test]
fn an_incident_that_is_not_expected_stops_within_a_tick() {
    let mut bench = Bench::new();
    let id = bench.inject(experiment(r#", "expect": {"incidents": ["slow_model"]}"#));
    bench.situation.incidents = vec![
        incident("AI-1", "slow_model", &["answers"], bench.now),
        incident("AI-2", "other", &["elsewhere"], bench.now),
    ];
    bench.pass(10);
    assert!(bench.injects());
    bench.situation.incidents.push(incident("AI-3", "bad_data", &[], bench.now));
    let waited = bench.until(|bench| !bench.injects());
    assert_eq!((bench.reason(&id).unwrap(), waited), stopped("incident", 1));
    let texts: Vec<&str> =
        bench.rested(&id).journal.iter().filter(|it| it.what == "incident").map(|it| &*it.text).collect();
    assert_eq!(texts, ["AI-1 (slow_model) opened, as expected", "AI-3 (bad_data) opened, and was not expected"]);
    let mut bench = Bench::new();
    bench.inject(experiment(r#", "stop": {"incidents": false}"#));
    bench.situation.incidents = vec![incident("AI-3", "bad_data", &[], bench.now)];
    bench.pass(10);
    assert!(bench.injects());
}

#[test]
fn more_unanswered_requests_than_in_the_control_stop_it() {
    let mut bench = Bench::new();
    let id = bench.inject(experiment(""));
    bench.pass(30);
    bench.unanswered = [0, 4];
    let (reason, waited) = stops(&mut bench, &id);
    assert!(reason == "errors" && waited <= 60, "{reason} after {waited} s");
    let mut bench = Bench::new();
    bench.inject(experiment(r#", "stop": {"errors": false}"#));
    bench.unanswered = [0, 4];
    bench.pass(200);
    assert!(bench.injects());
}

#[test]
fn another_config_stops_within_a_tick() {
    let mut bench = Bench::new();
    let id = bench.inject(experiment(""));
    bench.situation.config_revision += 1;
    assert_eq!(stops(&mut bench, &id), stopped("config", 1));
}

#[test]
fn the_end_of_a_window_stops_it() {
    let mut bench = Bench::new();
    let id = bench.inject(experiment(""));
    // Somebody denies today, while it runs.
    let Terms { rigour, mut safety } = bench.runner.terms().clone();
    let today = jiff::civil::Date::constant(2026, 11, 24);
    safety.windows.deny = vec![Deny { when: DenyWhen::Days(today, today), reason: None }];
    bench.runner.set_terms(Terms { rigour, safety }, bench.now);
    assert_eq!(stops(&mut bench, &id), stopped("window", 1));
    // One that was in time and was late: the clock, not the plan, decides.
    let mut bench = Bench::new();
    bench.now = START + Duration::from_mins(12 * 60 + 45);
    bench.runner.handle_approve(("slow", "hash"), "bob", None, bench.now).unwrap();
    let wide = r#", "blast": "moderate", "recovery": "4m", "stop": {"silent": "1h"}"#;
    let id = bench.inject(experiment(wide));
    let Terms { rigour, mut safety } = bench.runner.terms().clone();
    safety.windows.allow = Some(vec![mainstay_core::chaos::window::Weekly {
        days: Vec::new(),
        from: jiff::civil::time(18, 0, 0, 0),
        to: Some(jiff::civil::time(8, 50, 0, 0)),
    }]);
    bench.runner.set_terms(Terms { rigour, safety }, bench.now);
    // It has been in force since 08:46.
    assert_eq!(stops(&mut bench, &id), stopped("window", 240));
}

#[test]
fn a_halt_stops_at_once_refuses_and_outlives_restarts() {
    let mut bench = Bench::new();
    let id = bench.inject(experiment(""));
    assert_eq!(bench.runner.handle_halt(true, "bob", "  ", bench.now).unwrap_err().code, "reason");
    bench.runner.handle_halt(true, "bob", "outage", bench.now).unwrap();
    bench.perform();
    assert!(!bench.injects());
    assert_eq!(bench.reason(&id).unwrap(), "halt");
    let is_halt = |event: &&EventKind| matches!(event, EventKind::HaltChanged { halted: true, .. });
    assert_eq!(bench.events().filter(is_halt).count(), 1);
    // Its arms are not watched, as the injector takes no order: the rest says whether all is well.
    bench.until(|bench| bench.phase(&id) == Phase::Ended);
    assert!(bench.rested(&id).recovered.is_some());
    let refused = |bench: &Bench| bench.runner.check(&start_of(experiment("")), &bench.situation, bench.now).refusals;
    assert_eq!(refused(&bench)[0].code, "halted");
    bench.restart(true);
    bench.perform();
    assert!(bench.leases.is_halted() && bench.runner.halt().unwrap().reason == "outage");
    assert_eq!(refused(&bench)[0].code, "halted");
    assert_eq!(bench.runner.handle_halt(false, "bob", "", bench.now).unwrap_err().code, "reason");
    bench.runner.handle_halt(false, "bob", "it is over", bench.now).unwrap();
    bench.perform();
    assert!(!bench.leases.is_halted() && refused(&bench).is_empty());
    bench.restart(false);
    assert!(bench.runner.halt().is_none());
}

#[test]
fn a_holder_that_is_not_heard_stops_it() {
    let mut bench = Bench::new();
    let held = Start { hold: Some(Duration::from_secs(10)), ..start_of(experiment("")) };
    let id = bench.start_with(held);
    for _ in 0..20 {
        bench.pass(9);
        bench.runner.handle_hold(&id, bench.now).unwrap();
    }
    assert_eq!(stops(&mut bench, &id), stopped("holder_lost", 10));
    let id = bench.start(experiment(""));
    assert_eq!(bench.runner.handle_hold(&id, bench.now).unwrap_err().code, "not_held");
    assert_eq!(bench.runner.handle_hold("EXP-2026-0009", bench.now).unwrap_err().code, "unknown");
}

#[test]
fn an_order_that_does_not_stand_any_more_stops_it_within_a_tick() {
    let mut bench = Bench::new();
    let id = bench.inject(experiment(""));
    bench.pass(7);
    let generation = bench.rested(&id).generation;
    bench.leases.handle_withdraw(&id, generation, bench.now);
    bench.tick();
    assert_eq!((bench.reason(&id).unwrap(), bench.phase(&id)), ("lease_lost".to_owned(), Phase::Recovering));
    // A runner that was away for longer than the lease does not go on either.
    let mut bench = Bench::new();
    let id = bench.inject(experiment(r#", "stop": {"silent": "1h"}"#));
    bench.now = bench.now + Duration::from_secs(6);
    bench.runner.handle_timeout(bench.now);
    let effects = bench.runner.take_effects();
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Renew { .. })), "what it cannot know to stand");
    bench.perform_all(effects);
    assert_eq!(bench.reason(&id).unwrap(), "lease_lost");
    // Nor does one whose order is refused.
    let mut bench = Bench::new();
    let id = bench.start(experiment(""));
    bench.pass(59);
    bench.leases.handle_halt(true);
    bench.pass(2);
    assert!(!bench.injects());
    assert_eq!((bench.reason(&id).unwrap(), bench.phase(&id)), ("lease_lost".to_owned(), Phase::Ended));
}

#[test]
fn an_order_that_ended_by_the_injectors_clock_a_moment_early_went_its_course() {
    let mut bench = Bench::new();
    let id = bench.inject(experiment(""));
    bench.pass(598);
    let generation = bench.rested(&id).generation;
    bench.leases.handle_withdraw(&id, generation, bench.now);
    bench.pass(1);
    assert_eq!((bench.reason(&id), bench.phase(&id)), (None, Phase::Recovering));
}

#[test]
fn somebody_stops_it_at_once_and_twice_does_no_harm() {
    let mut bench = Bench::new();
    let id = bench.inject(experiment(""));
    bench.runner.handle_stop(&id, "bob", "lunch", bench.now).unwrap();
    bench.perform();
    assert!(!bench.injects());
    let stopped = bench.rested(&id).stopped.clone().unwrap();
    assert_eq!((&*stopped.reason, &*stopped.text, &*stopped.by), ("asked", "lunch", "bob"));
    bench.runner.handle_stop(&id, "eve", "", bench.now).unwrap();
    bench.until(|bench| bench.phase(&id) == Phase::Ended);
    assert_eq!(bench.rested(&id).stopped.as_ref(), Some(&stopped));
    assert_eq!(bench.rested(&id).assessment.as_ref().unwrap().verdict, Verdict::Aborted);
    assert_eq!(bench.runner.handle_stop(&id, "bob", "", bench.now).unwrap_err().code, "unknown");
}

#[test]
fn what_waits_to_be_done_is_not_done_after_a_stop() {
    let mut bench = Bench::new();
    let id = bench.start(experiment(""));
    bench.pass(59);
    bench.now = bench.now + super::bench::SECOND;
    // The fault is due, and before the shell performs anything somebody stops the run.
    bench.runner.handle_timeout(bench.now);
    bench.runner.handle_stop(&id, "bob", "", bench.now).unwrap();
    let effects = bench.runner.take_effects();
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Rest(run) if run.phase == Phase::Injecting)));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Inject(order) if order.injects)));
    // The same of a renewal.
    let mut bench = Bench::new();
    let id = bench.inject(experiment(""));
    bench.now = bench.runner.poll_timeout().unwrap();
    bench.runner.handle_timeout(bench.now);
    bench.runner.handle_stop(&id, "bob", "", bench.now).unwrap();
    assert!(!bench.runner.take_effects().iter().any(|effect| matches!(effect, Effect::Renew { .. })));
}

#[test]
fn what_is_not_steady_before_is_not_made_worse() {
    type Disturb = fn(&mut Bench);
    let disturbances: [(Disturb, &str); 7] = [
        (|bench| bench.situation.budgets[0].remaining = Some(0.1), "steady_state"),
        (|bench| bench.situation.degraded = vec![("answers".to_owned(), 2)], "steady_state"),
        (|bench| bench.situation.budgets = vec![budget(20.0)], "steady_state"),
        (|bench| bench.situation.incidents = vec![incident("AI-1", "any", &[], bench.now)], "steady_state"),
        (|bench| bench.unanswered = [4, 4], "steady_state"),
        (|bench| bench.rate = [0, 0], "steady_state"),
        (|bench| bench.situation = Situation { config_revision: 8, ..bench.situation.clone() }, "config"),
    ];
    for (disturb, reason) in disturbances {
        let mut bench = Bench::new();
        let id = bench.start(experiment(r#", "stop": {"guards": {"unanswered": 0.5}}"#));
        bench.pass(10);
        disturb(&mut bench);
        bench.pass(120);
        assert_eq!((bench.phase(&id), bench.reason(&id).unwrap()), (Phase::Ended, reason.to_owned()));
        let run = bench.rested(&id);
        assert_eq!((run.injected, run.recovered), (None, None));
        assert!(!bench.done.iter().any(|(_, effect)| matches!(effect, Effect::Inject(order) if order.injects)));
        assert!(bench.leases.in_force(bench.now).next().is_none());
    }
    // Arms of which nothing was ever heard.
    for rate in [[0, 0], [4, 0], [0, 4]] {
        let mut bench = Bench::with(terms(Rigour::Staging));
        bench.rate = rate;
        let id = bench.start(experiment(""));
        bench.pass(60);
        assert_eq!((bench.phase(&id), bench.reason(&id).unwrap()), (Phase::Ended, "steady_state".to_owned()));
    }
}

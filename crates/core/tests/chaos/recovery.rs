//! What has to be so before all counts as well again.

use std::time::Duration;

use mainstay_core::chaos::gates::BudgetOf;
use mainstay_core::chaos::record::Phase;
use mainstay_core::chaos::run::Effect;
use mainstay_core::chaos::verdict::Verdict;

use super::bench::{Bench, SECOND, budget, experiment, incident};

/// A run whose fault has just been taken away.
fn withdrawn(more: &str) -> (Bench, String) {
    let mut bench = Bench::new();
    let id = bench.inject(experiment(more));
    bench.pass(30);
    bench.runner.handle_stop(&id, "bob", "", bench.now).unwrap();
    bench.perform();
    (bench, id)
}

fn verdict(bench: &Bench, id: &str) -> Verdict {
    bench.rested(id).assessment.as_ref().unwrap().verdict
}

/// It is not well again in the seconds of its recovery that are left.
fn fails(mut bench: Bench, id: &str, left: u64) {
    bench.pass(left - 1);
    assert_eq!(bench.phase(id), Phase::Recovering);
    bench.pass(1);
    assert_eq!((bench.phase(id), verdict(&bench, id)), (Phase::Ended, Verdict::NotRecovered));
    assert_eq!(bench.rested(id).recovered, None);
}

#[test]
fn what_hinders_it_is_what_was_not_so_before() {
    type Disturb = fn(&mut Bench);
    let disturbances: [Disturb; 6] = [
        |bench| bench.situation.degraded = vec![("answers".to_owned(), 1)],
        |bench| bench.situation.incidents = vec![incident("AI-1", "bad_data", &["answers"], bench.now)],
        |bench| bench.situation.budgets = vec![budget(20.0)],
        |bench| bench.unanswered = [0, 1],
        |bench| bench.unanswered = [1, 0],
        |bench| bench.rate = [0, 0],
    ];
    for disturb in disturbances {
        let (mut bench, id) = withdrawn("");
        bench.pass(1);
        disturb(&mut bench);
        fails(bench.clone(), &id, 299);
        // Where it is over in time all is well half a minute later, at the latest once the last half minute is.
        bench.pass(60);
        assert_eq!(bench.phase(&id), Phase::Recovering);
        (bench.unanswered, bench.rate) = ([0, 0], [4, 4]);
        bench.situation.incidents.clear();
        bench.situation.degraded.clear();
        bench.situation.budgets = vec![budget(0.0)];
        bench.pass(62);
        assert_eq!((bench.phase(&id), verdict(&bench, &id)), (Phase::Ended, Verdict::Aborted));
    }
}

#[test]
fn few_requests_that_are_mostly_unanswered_hinder_it() {
    // So few in the two seconds that all has to be well for that their share alone is no evidence against the margin.
    let more = r#", "recovery": "4s", "margin": {"errors": "50%"}"#;
    let (mut bench, id) = withdrawn(more);
    (bench.rate, bench.unanswered) = ([1, 1], [0, 1]);
    fails(bench, &id, 4);
    let (mut bench, id) = withdrawn(more);
    bench.rate = [1, 1];
    bench.pass(4);
    assert!(bench.rested(&id).recovered.is_some(), "{:?}", verdict(&bench, &id));
}

#[test]
fn incidents_that_are_expected_do_not_hinder_it() {
    let (mut bench, id) = withdrawn(r#", "expect": {"incidents": ["slow_model"]}"#);
    bench.situation.incidents = vec![incident("AI-1", "slow_model", &["answers"], bench.now)];
    bench.situation.degraded = vec![("other".to_owned(), 2)];
    bench.pass(31);
    assert_eq!((bench.phase(&id), bench.rested(&id).recovered.is_some()), (Phase::Ended, true));
}

#[test]
fn a_window_that_still_holds_the_fault_does_not_hinder_it() {
    let mut bench = Bench::new();
    let id = bench.inject(experiment(""));
    bench.situation.budgets = vec![budget(50.0)];
    bench.tick();
    assert_eq!((bench.phase(&id), bench.reason(&id).unwrap()), (Phase::Recovering, "burn_rate".to_owned()));
    let mut rises = bench.clone();
    bench.pass(31);
    assert_eq!(bench.phase(&id), Phase::Ended);
    rises.situation.budgets = vec![BudgetOf { burn_short: Some(50.1), ..budget(50.0) }];
    fails(rises, &id, 300);
}

#[test]
fn a_fault_that_stays_is_withdrawn_again_and_again() {
    let mut bench = Bench::new();
    let id = bench.inject(experiment(""));
    bench.pass(10);
    // The injector does not hear.
    bench.runner.handle_stop(&id, "bob", "", bench.now).unwrap();
    let deaf = |effects: Vec<Effect>| {
        effects
            .into_iter()
            .filter(|it| !matches!(it, Effect::Withdraw { .. } | Effect::Inject(_) | Effect::Renew { .. }))
    };
    let mut withdrawals = 0;
    for second in 0..=300 {
        let effects = bench.runner.take_effects();
        withdrawals += effects.iter().filter(|it| matches!(it, Effect::Withdraw { .. })).count();
        let rest = deaf(effects).collect();
        bench.perform_all(rest);
        assert_eq!(bench.phase(&id) == Phase::Ended, second == 300);
        let generation = bench.leases.in_force(bench.now).map(|(order, _)| order.generation).next().unwrap();
        bench.now = bench.now + SECOND;
        bench.leases.handle_renew(&id, generation, bench.now).unwrap();
        let beats = bench.beats();
        assert!(beats[0].injects);
        bench.runner.handle_beats(&beats, bench.now);
        bench.runner.handle_situation(&bench.situation, bench.now);
        bench.runner.handle_timeout(bench.now);
    }
    assert!(withdrawals >= 300 / 2, "{withdrawals}");
    assert_eq!((verdict(&bench, &id), bench.rested(&id).quiet), (Verdict::NotRecovered, None));
}

#[test]
fn a_run_that_is_halted_before_its_injector_was_heard_ends_once_its_lease_has_run_out() {
    let mut bench = Bench::new();
    let mut short = experiment(r#", "recovery": "1s""#);
    (short.lead_in, short.duration) = (Duration::ZERO, SECOND);
    let id = bench.start(short);
    bench.runner.handle_halt(true, "bob", "why", bench.now).unwrap();
    bench.perform();
    assert!(!bench.injects());
    assert_eq!(
        bench.until(|bench| bench.phase(&id) == Phase::Ended),
        7,
        "a lease of 5 s, a second by which clocks differ, and one to be seen"
    );
}

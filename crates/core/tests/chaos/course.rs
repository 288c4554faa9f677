//! The course of a run that nothing disturbs, and what is asked of it.

use std::time::Duration;

use mainstay_core::chaos::experiment::Design;
use mainstay_core::chaos::gates::Rigour;
use mainstay_core::chaos::record::Phase;
use mainstay_core::chaos::run::{Effect, Runner};
use mainstay_core::chaos::verdict::Verdict;
use mainstay_core::event::EventKind;

use super::bench::{Bench, SECOND, START, experiment, start_of, terms};

#[test]
fn a_run_goes_from_phase_to_phase_and_each_rests_first() {
    let mut bench = Bench::new();
    let id = bench.start(experiment(""));
    assert_eq!(id, "EXP-2026-0001");
    assert_eq!((bench.phase(&id), bench.injects()), (Phase::LeadIn, false));
    bench.pass(59);
    assert_eq!((bench.phase(&id), bench.injects()), (Phase::LeadIn, false));
    bench.pass(1);
    assert_eq!((bench.phase(&id), bench.injects()), (Phase::Injecting, true));
    bench.pass(599);
    assert!(bench.injects());
    bench.pass(1);
    assert_eq!((bench.phase(&id), bench.injects()), (Phase::Recovering, false));
    let waited = bench.until(|bench| bench.phase(&id) == Phase::Ended);
    // A second until it is quiet, half a minute of being well.
    assert_eq!(waited, 31);
    let run = bench.rested(&id);
    assert_eq!(
        (run.started, run.injected, run.withdrawn),
        (START, Some(START + SECOND * 60), Some(START + SECOND * 660))
    );
    assert_eq!((run.quiet, run.recovered), (Some(START + SECOND * 661), Some(START + SECOND * 661)));
    assert_eq!((run.ended, &run.stopped), (Some(START + SECOND * 691), &None));
    assert!(run.assessment.is_some() && bench.runner.runs().next().is_none());
    let phases = bench.events().filter_map(|event| match event {
        EventKind::ExperimentChanged(change) => Some(change.phase.to_string()),
        _ => None,
    });
    assert_eq!(phases.collect::<Vec<_>>(), ["lead_in", "injecting", "recovering", "ended"]);
    assert_eq!(bench.events().filter(|event| matches!(event, EventKind::ExperimentEnded { .. })).count(), 1);
    // Nothing of it is left.
    assert_eq!(bench.leases.in_force(bench.now).count(), 0);
    assert_eq!(bench.runner.poll_timeout(), None);
}

#[test]
fn every_order_is_preceded_by_what_permits_it_and_numbers_rise() {
    let mut bench = Bench::new();
    let id = bench.start(experiment(""));
    bench.until(|bench| bench.phase(&id) == Phase::Ended);
    let mut rested = None;
    let mut generations = Vec::new();
    for (_, effect) in &bench.done {
        match effect {
            Effect::Rest(run) => rested = Some((run.phase, run.generation)),
            Effect::Inject(order) => {
                let (phase, generation) = rested.unwrap();
                assert_eq!((order.injects, order.generation), (phase == Phase::Injecting, generation));
                let hard_stop = if order.injects { Duration::from_mins(10) } else { order.hard_stop };
                assert_eq!((order.ttl, order.hard_stop), (Duration::from_secs(5), hard_stop));
                generations.push(generation);
            }
            _ => {}
        }
    }
    assert!(generations.len() == 3 && generations.is_sorted(), "{generations:?}");
    let mut renewals = bench.done.iter().filter(|(_, it)| matches!(it, Effect::Renew { .. })).map(|(at, _)| *at);
    let first = renewals.next().unwrap();
    renewals.fold(first, |before, at| {
        assert!(at.since(before) <= Duration::from_secs(4), "a third of the lease, in whole seconds, or a new order");
        at
    });
}

#[test]
fn what_is_counted_lands_in_slices_of_its_phase() {
    let mut bench = Bench::new();
    bench.unanswered = [1, 2];
    let id = bench.start(experiment(r#", "stop": {"errors": false}, "recovery": "1m""#));
    bench.until(|bench| bench.phase(&id) == Phase::Ended);
    let slices = &bench.rested(&id).slices;
    let of = |phase| slices.iter().filter(move |slice| slice.phase == phase);
    assert_eq!((of(Phase::LeadIn).count(), of(Phase::Injecting).count()), (6, 60));
    assert!(slices.is_sorted_by_key(|slice| (slice.phase, slice.at)) && slices.iter().all(|slice| slice.seconds == 10));
    let injecting: u64 = of(Phase::Injecting).map(|slice| slice.requests[1]).sum();
    // The injector here counts nothing in the second in which an order ends.
    assert_eq!((injecting, of(Phase::Injecting).map(|slice| slice.injected).sum::<u64>()), (599 * 4, 599 * 4));
    assert_eq!(of(Phase::LeadIn).map(|slice| slice.unanswered[0]).sum::<u64>(), 60);
    assert!(of(Phase::LeadIn).chain(of(Phase::Recovering)).all(|slice| slice.injected == 0));
}

#[test]
fn the_slices_of_a_long_run_are_longer() {
    let mut bench = Bench::with(terms(Rigour::Demo));
    let id = bench.start(experiment(r#", "lead_in": "10s", "recovery": "24h""#));
    bench.pass(700);
    let slices = &bench.runner.run(&id).map_or_else(|| bench.rested(&id).slices.clone(), |run| run.slices.clone());
    assert!(slices.len() <= 8 && slices.iter().all(|slice| slice.seconds == 250), "{}", slices.len());
}

#[test]
fn a_full_experiment_goes_in_blocks() {
    let mut bench = Bench::with(terms(Rigour::Demo));
    let id = bench.start(experiment(r#", "blast": "full", "cohort": {"share": "100%"}"#));
    bench.until(|bench| bench.phase(&id) == Phase::Injecting);
    let order = bench.leases.in_force(bench.now).next().unwrap().0;
    let blocks = order.blocks.unwrap();
    assert_eq!((blocks.length, blocks.washout), (Duration::from_secs(100), Duration::from_secs(100) / 6));
    bench.until(|bench| bench.phase(&id) == Phase::Ended);
    let run = bench.rested(&id);
    assert_eq!((run.design, &run.stopped, run.recovered.is_some()), (Design::Switchback, &None, true));
    assert!(run.slices.iter().any(|slice| slice.injected > 0));
}

#[test]
fn without_a_lead_in_the_fault_is_in_force_at_once() {
    let mut bench = Bench::new();
    let id = bench.start(experiment(r#", "lead_in": "0s""#));
    assert_eq!((bench.phase(&id), bench.injects()), (Phase::Injecting, true));
}

#[test]
fn a_run_rests_each_minute() {
    let mut bench = Bench::new();
    bench.inject(experiment(""));
    bench.done.clear();
    bench.pass(300);
    assert_eq!(bench.done.iter().filter(|(_, effect)| matches!(effect, Effect::Rest(_))).count(), 5);
}

#[test]
fn ids_and_generations_rise_over_restarts_and_clocks_that_are_set_back() {
    let mut bench = Bench::new();
    let first = bench.start(experiment(r#", "duration": "10s", "lead_in": "1s""#));
    bench.until(|bench| bench.phase(&first) == Phase::Ended);
    let known = bench.rested(&first).generation;
    let mut runner = Runner::new(terms(Rigour::Production), 3);
    let earlier = START - Duration::from_hours(400 * 24);
    runner.restore(bench.store.runs.values().cloned().collect(), None, Vec::new(), earlier);
    let id = runner.handle_start(start_of(experiment("")), &bench.situation, earlier).unwrap();
    assert_eq!(id, "EXP-2026-0002");
    assert!(runner.run(&id).unwrap().generation > known);
    let mut runner = Runner::new(terms(Rigour::Production), 3);
    let next_year = START + Duration::from_hours(60 * 24);
    runner.restore(bench.store.runs.values().cloned().collect(), None, Vec::new(), next_year);
    assert_eq!(runner.handle_start(start_of(experiment("")), &bench.situation, next_year).unwrap(), "EXP-2027-0001");
}

#[test]
fn a_runner_that_is_only_woken_when_it_asks_goes_the_same_course() {
    let mut bench = Bench::new();
    let id = bench.start(experiment(r#", "stop": {"silent": "1h"}"#));
    let mut woken = 0;
    while bench.phase(&id) != Phase::Ended {
        let due = bench.runner.poll_timeout().unwrap();
        assert!(due > bench.now, "it asks for what was");
        bench.now = due;
        let beats = bench.beats();
        bench.runner.handle_beats(&beats, bench.now);
        bench.runner.handle_situation(&bench.situation, bench.now);
        bench.runner.handle_timeout(bench.now);
        bench.perform();
        woken += 1;
        assert!(woken < 2_000);
    }
    let run = bench.rested(&id);
    assert_eq!((run.injected, run.withdrawn), (Some(START + SECOND * 60), Some(START + SECOND * 660)));
    assert_ne!(run.assessment.as_ref().unwrap().verdict, Verdict::NotRecovered);
}

//! The process dies at any moment: nothing is injected afterwards, and the journal says what was.

use mainstay_core::chaos::lease::Leases;
use mainstay_core::chaos::record::{Phase, Run};
use mainstay_core::chaos::run::Effect;
use mainstay_core::chaos::verdict::Verdict;
use mainstay_core::time::Time;

use super::bench::{Bench, SECOND, Store, experiment};

/// What a disturbed course does at its seconds.
fn disturbed(bench: &mut Bench, id: &str, second: u64, how: usize) {
    match (how, second) {
        (1, 25) => bench.runner.handle_stop(id, "bob", "lunch", bench.now).unwrap_or_default(),
        (2, 25) => bench.runner.handle_halt(true, "bob", "outage", bench.now).unwrap(),
        (3, 5) => bench.situation.config_revision += 1,
        (4, 22) => bench.rate = [0, 0],
        _ => {}
    }
}

#[test]
fn whatever_was_performed_nothing_is_injected_after_a_restart_and_the_journal_says_so() {
    let short = r#", "lead_in": "10s", "duration": "30s", "recovery": "40s", "stop": {"silent": "5s"}"#;
    for how in 0..5 {
        let mut bench = Bench::new();
        let mut cut = 0;
        let id =
            bench.runner.handle_start(super::bench::start_of(experiment(short)), &bench.situation, bench.now).unwrap();
        for second in 0..110 {
            disturbed(&mut bench, &id, second, how);
            // Each effect is performed after a look at what were if the process died before it.
            loop {
                let effects = bench.runner.take_effects();
                if effects.is_empty() {
                    break;
                }
                for effect in effects {
                    for gateway_too in [false, true] {
                        dies(bench.clone(), &id, gateway_too);
                        cut += 1;
                    }
                    bench.done.push((bench.now, effect.clone()));
                    bench.perform_one(effect);
                }
            }
            for gateway_too in [false, true] {
                dies(bench.clone(), &id, gateway_too);
            }
            bench.now = bench.now + SECOND;
            let beats = bench.beats();
            bench.runner.handle_beats(&beats, bench.now);
            bench.runner.handle_situation(&bench.situation, bench.now);
            bench.runner.handle_timeout(bench.now);
        }
        assert!(cut >= 20 && bench.phase(&id) == Phase::Ended, "course {how}: {cut}");
    }
}

/// The process dies now.
fn dies(mut bench: Bench, id: &str, gateway_too: bool) {
    let injected = bench.injects();
    let before = bench.store.runs.get(id).cloned();
    assert!(
        !injected || before.as_ref().is_some_and(|run| run.injected.is_some()),
        "it is injected and that does not rest"
    );
    bench.restart(gateway_too);
    let effects = bench.runner.take_effects();
    assert!(!effects.iter().any(|it| matches!(it, Effect::Inject(order) if order.injects)), "it is resumed");
    bench.perform_all(effects);
    assert!(!bench.injects(), "it is still injected");
    let Some(before) = before else { return };
    if before.phase == Phase::Ended {
        assert!(bench.runner.runs().next().is_none());
        return;
    }
    (bench.rate, bench.situation.config_revision) = ([4, 4], 7);
    bench.pass(45);
    assert!(!bench.injects() && bench.leases.in_force(bench.now).next().is_none());
    let after = bench.rested(id);
    tells(&before, after, bench.now);
}

fn tells(before: &Run, after: &Run, now: Time) {
    assert_eq!((after.phase, after.ended.is_some_and(|ended| ended <= now)), (Phase::Ended, true));
    let whats: Vec<&str> = after.journal.iter().map(|line| &*line.what).collect();
    assert!(after.journal.starts_with(&before.journal) && whats.contains(&"restart") && whats.contains(&"withdraw"));
    assert!(whats.contains(&"inject") == after.injected.is_some());
    let stopped = after.stopped.as_ref().unwrap();
    assert_eq!(&*stopped.reason, before.stopped.as_ref().map_or("restart", |it| &*it.reason));
    let verdict = after.assessment.as_ref().unwrap().verdict;
    assert!(matches!(verdict, Verdict::Aborted | Verdict::Invalid), "{verdict:?}");
    assert_eq!(after.quiet.is_some(), after.injected.is_some(), "that nothing is injected any more is seen to");
}

#[test]
fn a_gateway_that_lives_on_alone_loses_its_fault_within_the_lease() {
    let mut bench = Bench::new();
    bench.inject(experiment(""));
    bench.pass(17);
    let mut seconds = 0;
    while bench.injects() {
        bench.now = bench.now + SECOND;
        seconds += 1;
    }
    assert!((4..=5).contains(&seconds), "{seconds}");
    // What is told late does not bring it back.
    let generation = bench.store.runs.values().next().unwrap().generation;
    assert!(bench.leases.handle_renew("EXP-2026-0001", generation, bench.now).is_err());
}

#[test]
fn a_run_that_never_came_to_rest_is_not_known_and_cannot_be_injected() {
    let mut bench = Bench::new();
    bench
        .runner
        .handle_start(super::bench::start_of(experiment(r#", "lead_in": "0s""#)), &bench.situation, bench.now)
        .unwrap();
    let effects = bench.runner.take_effects();
    let rests = effects.iter().position(|it| matches!(it, Effect::Rest(run) if run.phase == Phase::Injecting)).unwrap();
    let injects = effects.iter().position(|it| matches!(it, Effect::Inject(_))).unwrap();
    assert!(rests < injects);
    // The store fails: the shell does not inject, and says so.
    let Some(Effect::Inject(order)) = effects.get(injects) else { unreachable!() };
    bench.runner.handle_failed(&order.run, order.generation, "the store is full", bench.now);
    let after = bench.runner.take_effects();
    assert!(matches!(after[0], Effect::Withdraw { .. }));
    (bench.store, bench.leases) = (Store::default(), Leases::default());
}

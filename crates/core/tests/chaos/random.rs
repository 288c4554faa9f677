//! Whatever is told, heard, asked and failed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mainstay_core::chaos::gates::Rigour;
use mainstay_core::chaos::record::Phase;
use mainstay_core::chaos::run::{Effect, Start};
use mainstay_core::time::Time;
use proptest::prelude::*;

use super::bench::{Bench, SECOND, budget, experiment, incident, start_of, terms};

#[derive(Clone, Debug)]
enum Input {
    Start { lead_in: u64, duration: u64, recovery: u64, hold: bool },
    Stop,
    Hold,
    Halt(bool),
    Approve,
    Rate(u64, u64),
    Unanswered(u64, u64),
    Hears(bool, bool),
    Burn(f64),
    Incident(bool),
    Degraded(bool),
    Config,
    Reload,
    Fails,
    Restart(bool),
    Jump(u64),
    Pass(u64),
}

fn any_input() -> impl Strategy<Value = Input> {
    prop_oneof![
        6 => (0..15_u64, 1..40_u64, 1..40_u64, any::<bool>())
            .prop_map(|(lead_in, duration, recovery, hold)| Input::Start { lead_in, duration, recovery, hold }),
        1 => Just(Input::Stop),
        2 => Just(Input::Hold),
        1 => any::<bool>().prop_map(Input::Halt),
        1 => Just(Input::Approve),
        1 => (0..5_u64, 0..5_u64).prop_map(|(a, b)| Input::Rate(a, b)),
        1 => (0..3_u64, 0..5_u64).prop_map(|(a, b)| Input::Unanswered(a, b)),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(a, b)| Input::Hears(a, b)),
        1 => prop_oneof![Just(0.0), Just(20.0), Just(f64::NAN)].prop_map(Input::Burn),
        1 => any::<bool>().prop_map(Input::Incident),
        1 => any::<bool>().prop_map(Input::Degraded),
        1 => Just(Input::Config),
        1 => Just(Input::Reload),
        1 => Just(Input::Fails),
        1 => any::<bool>().prop_map(Input::Restart),
        1 => (0..30_u64).prop_map(Input::Jump),
        8 => (1..25_u64).prop_map(Input::Pass),
    ]
}

/// What must be so of every sequence of effects.
#[derive(Default)]
struct Judge {
    seen: usize,
    /// The phase and generation that rest of each run.
    rested: BTreeMap<String, (Phase, u64)>,
    /// Orders that inject, and the runs whose fault was withdrawn.
    faults: BTreeSet<u64>,
    withdrawn: BTreeSet<String>,
    generation: u64,
}

impl Judge {
    fn judge(&mut self, bench: &Bench) {
        for (_, effect) in &bench.done[self.seen..] {
            match effect {
                Effect::Rest(run) => {
                    let before = self.rested.insert(run.id.clone(), (run.phase, run.generation));
                    assert!(
                        before.is_none_or(|(phase, _)| phase <= run.phase && phase != Phase::Ended),
                        "it goes back"
                    );
                    assert!(run.journal.is_sorted_by_key(|line| line.at) && run.journal.len() <= 200);
                    let open = self.rested.values().filter(|(phase, _)| *phase != Phase::Ended).count();
                    assert!(open <= 1, "two runs at once");
                }
                Effect::Inject(order) => {
                    let (phase, generation) = self.rested[&order.run];
                    assert_eq!((phase == Phase::Injecting, generation), (order.injects, order.generation));
                    assert!(order.generation > self.generation, "generations rise");
                    self.generation = order.generation;
                    if order.injects {
                        assert!(!self.withdrawn.contains(&order.run), "it comes back");
                        self.faults.insert(order.generation);
                    }
                }
                Effect::Renew { run, generation } => {
                    let is_fault = self.faults.contains(generation);
                    assert!(!is_fault || !self.withdrawn.contains(run), "it is renewed after a stop");
                }
                Effect::Withdraw { run, .. } => {
                    self.withdrawn.insert(run.clone());
                }
                _ => {}
            }
        }
        self.seen = bench.done.len();
    }
}

/// When a run is over at the latest whose recovery nobody watches from now on: the injector's lease has to run out first, as clocks differ, and all
/// to be well for a while after that.
fn unwatched(deadline: Option<Time>, now: Time) -> Option<Time> {
    deadline.map(|deadline| deadline.max(now + SECOND * (5 + 1 + 20 + 2)))
}

fn apply(bench: &mut Bench, input: &Input, deadline: &mut Option<Time>, judge: &mut Judge) {
    let id = bench.runner.runs().next().map(|run| run.id.clone());
    match *input {
        Input::Start { lead_in, duration, recovery, hold } => {
            let text =
                format!(r#", "stop": {{"silent": "5s", "guards": {{"unanswered": 0.5}}}}, "recovery": "{recovery}s""#);
            let mut experiment = experiment(&text);
            (experiment.lead_in, experiment.duration) = (Duration::from_secs(lead_in), Duration::from_secs(duration));
            let hold = hold.then_some(Duration::from_secs(10));
            let start = Start { hold, ..start_of(experiment) };
            let refusals = bench.runner.check(&start, &bench.situation, bench.now).refusals;
            let started = bench.runner.handle_start(start, &bench.situation, bench.now);
            assert_eq!(started.is_ok(), refusals.is_empty());
            assert!(started.is_err() || id.is_none(), "two at once");
            if started.is_ok() {
                *deadline = Some(bench.now + SECOND * u32::try_from(lead_in + duration + recovery + 2).unwrap());
            }
        }
        Input::Stop => {
            let stopped = bench.runner.handle_stop(id.as_deref().unwrap_or("none"), "bob", "", bench.now);
            assert_eq!(stopped.is_ok(), id.is_some());
            bench.perform();
            assert!(!bench.injects());
        }
        Input::Hold => {
            let _ = bench.runner.handle_hold(id.as_deref().unwrap_or("none"), bench.now);
        }
        Input::Halt(halted) => {
            bench.runner.handle_halt(halted, "bob", "why", bench.now).unwrap();
            bench.perform();
            assert!(!halted || !bench.injects());
            if halted {
                *deadline = unwatched(*deadline, bench.now);
            }
        }
        Input::Approve => {
            bench.runner.handle_approve(("slow", "hash"), "bob", None, bench.now).unwrap();
        }
        Input::Rate(control, experiment) => bench.rate = [control, experiment],
        Input::Unanswered(control, experiment) => bench.unanswered = [control, experiment],
        Input::Hears(injector, service) => bench.hears = (injector, service),
        Input::Burn(burn) => bench.situation.budgets = vec![budget(burn)],
        Input::Incident(open) => {
            let name = format!("AI-{}", bench.now.as_millis());
            let incidents = open.then(|| incident(&name, "bad_data", &["answers"], bench.now));
            bench.situation.incidents = incidents.into_iter().collect();
        }
        Input::Degraded(is) => {
            bench.situation.degraded = if is { vec![("answers".to_owned(), 2)] } else { Vec::new() };
        }
        Input::Config => bench.situation.config_revision += 1,
        Input::Reload => bench.runner.set_terms(terms(Rigour::Production), bench.now),
        Input::Fails => {
            let run = bench.runner.runs().next().map(|run| (run.id.clone(), run.generation));
            if let Some((run, generation)) = run {
                bench.runner.handle_failed(&run, generation, "why", bench.now);
                *deadline = unwatched(*deadline, bench.now);
            }
        }
        Input::Restart(gateway_too) => {
            bench.restart(gateway_too);
            bench.perform();
            assert!(!bench.injects());
            // Its recovery begins anew.
            *deadline = deadline.map(|deadline| deadline.max(bench.now + SECOND * 42));
        }
        Input::Jump(seconds) => {
            bench.now = bench.now + SECOND * u32::try_from(seconds).unwrap();
            *deadline = deadline.map(|deadline| deadline + SECOND * u32::try_from(seconds).unwrap());
        }
        Input::Pass(seconds) => {
            for _ in 0..seconds {
                bench.tick();
                judge.judge(bench);
                let open = bench.runner.runs().next().is_some();
                assert!(!open || deadline.is_some_and(|deadline| bench.now <= deadline), "it does not end");
                if !open {
                    *deadline = None;
                }
            }
        }
    }
    bench.perform();
    judge.judge(bench);
    assert!(bench.leases.in_force(bench.now).all(|(order, _)| {
        !order.injects || bench.store.runs.get(&order.run).is_some_and(|run| run.phase == Phase::Injecting)
    }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_a_fault_rests_before_it_is_and_ends_in_time(
        inputs in prop::collection::vec(any_input(), 1..60),
    ) {
        let mut bench = Bench::new();
        let (mut deadline, mut judge) = (None, Judge::default());
        for input in &inputs {
            apply(&mut bench, input, &mut deadline, &mut judge);
        }
        bench.hears = (true, true);
        apply(&mut bench, &Input::Pass(200), &mut deadline, &mut judge);
        prop_assert!(bench.runner.runs().next().is_none() && !bench.injects());
    }
}

//! A breaker of what several backends share: a region, say, of which each backend is a part with a breaker of its own.

use mainstay_core::resilience::breaker::{Breaker, Config, Effect, Phase, Transition, Why};
use mainstay_core::resilience::outcome::{FailureKind, Outcome};
use mainstay_core::time::Time;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const START: Time = Time::from_secs(1_000_000);
const DOWN: Outcome = Outcome::failure(FailureKind::Server);

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn region(parts: u32) -> Breaker {
    let config = Config::default();
    Breaker::new(Config::of_parts(vec![&config; parts as usize]), 7, START)
}

fn call(breaker: &mut Breaker, part: u32, request: u64, outcome: Outcome, now: Time) -> bool {
    let ticket = breaker.handle_admit_to(part, request, now);
    ticket.map(|ticket| breaker.handle_outcome(ticket, outcome, now)).is_ok()
}

/// One request that goes from part to part until one answers; the parts that were called.
fn walk(breaker: &mut Breaker, parts: u32, request: u64, dead: impl Fn(u32) -> bool, now: Time) -> Vec<u32> {
    let mut called = Vec::new();
    for part in 0..parts {
        let outcome = if dead(part) { DOWN } else { Outcome::Success };
        if call(breaker, part, request, outcome, now) {
            called.push(part);
            if outcome == Outcome::Success {
                break;
            }
        }
    }
    called
}

fn changes(breaker: &mut Breaker) -> Vec<(Phase, &'static str)> {
    let effects = std::iter::from_fn(|| breaker.poll_effect());
    let change = |effect| match effect {
        Effect::Transition(Transition { to, why, .. }) => Some((to, why.name())),
        Effect::WouldOpen { .. } => None,
    };
    effects.filter_map(change).collect()
}

fn opened(why: Why) -> Transition {
    let evidence = mainstay_core::resilience::breaker::Evidence::default();
    Transition { from: Phase::Closed, to: Phase::Open, why, at: START, until: None, evidence }
}

#[test]
fn a_dead_region_costs_a_few_failures_however_many_parts_it_has() {
    for (parts, failures) in [(2, 6), (5, 8), (20, 23)] {
        let mut breaker = region(parts);
        let mut called = 0;
        for request in 0..100 {
            called += walk(&mut breaker, parts, request, |_| true, START).len();
        }
        assert_eq!(
            (breaker.phase(), called),
            (Phase::Open, failures),
            "{parts} parts, each of which would open after five"
        );
        assert_eq!(changes(&mut breaker), [(Phase::HalfOpen, "streak"), (Phase::Open, "probe_failed")]);
    }
}

#[test]
fn whichever_part_answers_first_heals_all() {
    let mut breaker = region(3);
    for request in 0..10 {
        walk(&mut breaker, 3, request, |_| true, START);
    }
    let now = breaker.poll_timeout().expect("it is open for a time");
    assert_eq!(now.since(START), secs(5));
    // The first two are dead for reasons of their own by now: they have their turns, and no others.
    let mut asked = Vec::new();
    for request in 10..200 {
        asked.extend(walk(&mut breaker, 3, request, |part| part < 2, now + secs(request)));
        if breaker.phase() == Phase::Closed {
            break;
        }
    }
    let asked: Vec<u32> = asked.into_iter().skip_while(|part| *part < 2).collect();
    assert_eq!(asked, [2, 0, 1, 2, 0, 1, 2], "once it answers, what the others show is theirs alone");
    assert_eq!(changes(&mut breaker).last(), Some(&(Phase::Closed, "recovered")));
}

#[test]
fn a_suspicion_that_is_wrong_costs_no_time() {
    let mut breaker = region(3);
    let mut well = Vec::new();
    // Two die at once, while the third takes long to answer.
    for request in 0..2 {
        walk(&mut breaker, 2, request, |_| true, START);
        well.extend(breaker.handle_admit_to(2, request, START));
    }
    call(&mut breaker, 0, 2, DOWN, START);
    assert_eq!(breaker.phase(), Phase::HalfOpen);
    let called: Vec<_> = (3..6).map(|request| walk(&mut breaker, 3, request, |part| part < 2, START)).collect();
    assert_eq!(
        called,
        [vec![2], vec![0, 1, 2], vec![0, 1, 2]],
        "the one that nothing was seen of goes first, and answers all"
    );
    assert_eq!(changes(&mut breaker), [(Phase::HalfOpen, "streak"), (Phase::Closed, "recovered")]);
    assert_eq!(breaker.recovered(), None, "it was not away");
}

#[test]
fn most_parts_opening_together_are_a_suspicion_and_what_they_ask_for_themselves_is_none() {
    let suspects = |parts, opens: &[(u32, Why, u64)]| {
        let mut breaker = region(parts);
        for (part, why, at) in opens {
            breaker.handle_part(*part, &opened(why.clone()), START + secs(*at));
        }
        breaker.phase() == Phase::HalfOpen
    };
    assert!(suspects(3, &[(0, Why::FailureShare, 0), (1, Why::SlowShare, 20)]));
    assert!(!suspects(3, &[(0, Why::FailureShare, 0), (1, Why::SlowShare, 30)]), "too far apart");
    assert!(!suspects(3, &[(0, Why::Streak, 0), (0, Why::Streak, 1)]), "the same part twice");
    assert!(!suspects(5, &[(0, Why::Streak, 0), (1, Why::Streak, 0)]), "most are well");
    assert!(suspects(5, &[(0, Why::Streak, 0), (1, Why::Streak, 0), (4, Why::Streak, 9)]));
    assert!(!suspects(2, &[(0, Why::Throttled, 0), (1, Why::Throttled, 0)]), "their own quotas");
    assert!(!suspects(2, &[(0, Why::Forced("test".into()), 0), (1, Why::Forced("test".into()), 0)]));
    let still_ill = Transition { from: Phase::HalfOpen, ..opened(Why::ProbeFailed) };
    let mut breaker = region(2);
    (0..2).for_each(|part| breaker.handle_part(part, &still_ill, START));
    assert_eq!(breaker.phase(), Phase::Closed, "that they are ill still is no news");
}

#[test]
fn what_a_part_asks_for_itself_is_not_heeded_for_all() {
    let mut breaker = region(2);
    for request in 0..50 {
        for part in 0..2 {
            call(&mut breaker, part, request, Outcome::Throttled { retry_after: Some(secs(60)) }, START);
        }
    }
    assert_eq!(breaker.phase(), Phase::Closed);
    let wish = Outcome::Failure { kind: FailureKind::Server, retry_after: Some(secs(200)) };
    for request in 0..10 {
        for part in 0..2 {
            call(&mut breaker, part, request, wish, START);
        }
    }
    assert_eq!((breaker.phase(), breaker.poll_timeout()), (Phase::Open, Some(START + secs(5))));
}

#[test]
fn the_figures_of_a_region_are_those_of_its_most_patient_part_and_its_pauses_those_of_the_least() {
    let one = Config { consecutive: 3, open: secs(5), ..Config::default() };
    let other = Config { consecutive: 9, open: secs(60), open_max: secs(600), ..Config::default() };
    let all = Config::of_parts([&one, &other]);
    assert_eq!((all.consecutive, all.open, all.open_max, all.parts), (9, secs(5), secs(30), 2));
    assert_eq!(Config::of_parts([&one]), one, "of one part it is that part's breaker");
}

#[derive(Clone, Debug)]
enum Input {
    Call { part: u32, request: u64, fails: bool },
    Opened { part: u32 },
    Wait { ms: u64 },
}

fn input(parts: u32) -> impl Strategy<Value = Input> {
    prop_oneof![
        8 => (0..parts, 0..4u64, prop::bool::weighted(0.8)).prop_map(|(part, request, fails)| Input::Call { part, request, fails }),
        1 => (0..parts).prop_map(|part| Input::Opened { part }),
        2 => (0..20_000u64).prop_map(|ms| Input::Wait { ms }),
    ]
}

/// Everything that was seen, added up anew at each step.
#[derive(Default)]
struct Model {
    /// Failures since anything answered: part and request.
    failures: Vec<(u32, u64)>,
    opened: Vec<(u32, Time)>,
}

impl Model {
    fn suspects(&self, parts: u32, now: Time) -> bool {
        let mut by_part: BTreeMap<u32, u32> = BTreeMap::new();
        self.failures.iter().for_each(|(part, _)| *by_part.entry(*part).or_default() += 1);
        let requests: BTreeSet<u64> = self.failures.iter().map(|(_, request)| *request).collect();
        let fail = self.failures.len() >= 5 && requests.len() > 1 && by_part.values().filter(|n| **n >= 2).count() > 1;
        let within = |(part, at): &(u32, Time)| (now.since(*at) < secs(30)).then_some(*part);
        let opened: BTreeSet<u32> = self.opened.iter().filter_map(within).collect();
        fail || opened.len() > 1 && opened.len() as u32 * 2 >= parts
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// A closed one is suspicious exactly when the model is.
    #[test]
    fn it_is_suspicious_when_the_model_is((parts, inputs) in (2..7u32).prop_flat_map(|n| (Just(n), prop::collection::vec(input(n), 1..120)))) {
        let config = Config { min_calls: u64::MAX, ..Config::default() };
        let mut breaker = Breaker::new(Config::of_parts(vec![&config; parts as usize]), 3, START);
        let (mut model, mut now) = (Model::default(), START);
        for input in inputs {
            match input {
                Input::Call { part, request, fails } => {
                    let outcome = if fails { DOWN } else { Outcome::Success };
                    prop_assert!(call(&mut breaker, part, request, outcome, now));
                    if fails { model.failures.push((part, request)) } else { model.failures.clear() }
                }
                Input::Opened { part } => {
                    breaker.handle_part(part, &opened(Why::Streak), now);
                    model.opened.retain(|(at, _)| *at != part);
                    model.opened.push((part, now));
                }
                // Failures this far apart would be no streak any more.
                Input::Wait { ms } => now = now + Duration::from_millis(ms % 2_000),
            }
            let suspects = model.suspects(parts, now);
            // That others opened is noticed when one does.
            let is_noticed = breaker.phase() == Phase::HalfOpen;
            prop_assert!(is_noticed == suspects, "{:?} of {parts}, {suspects}", breaker.phase());
            if is_noticed {
                break;
            }
        }
    }

    /// Whatever one part does, and however often, it is no suspicion against all.
    #[test]
    fn one_part_alone_opens_nothing(parts in 2..7u32, inputs in prop::collection::vec(input(1), 1..300), answers in prop::collection::vec(any::<bool>(), 300)) {
        let (mut breaker, mut now) = (region(parts), START);
        for (input, others_answer) in inputs.into_iter().zip(answers) {
            match input {
                Input::Call { request, fails, .. } => {
                    let outcome = if fails { DOWN } else { Outcome::Success };
                    prop_assert!(call(&mut breaker, 0, request, outcome, now));
                }
                Input::Opened { .. } => breaker.handle_part(0, &opened(Why::Streak), now),
                Input::Wait { ms } => now = now + Duration::from_millis(ms),
            }
            if others_answer {
                prop_assert!(call(&mut breaker, 1, 99, Outcome::Success, now));
            }
            prop_assert_eq!(breaker.phase(), Phase::Closed);
        }
    }

    /// However it came about, it is asked again: of all parts in turn one is let through in time.
    #[test]
    fn it_never_stops_asking((parts, inputs) in (2..7u32).prop_flat_map(|n| (Just(n), prop::collection::vec(input(n), 1..300)))) {
        let (mut breaker, mut now) = (region(parts), START);
        for input in inputs {
            match input {
                Input::Call { part, request, fails } => {
                    call(&mut breaker, part, request, if fails { DOWN } else { Outcome::Success }, now);
                }
                Input::Opened { part } => breaker.handle_part(part, &opened(Why::SlowShare), now),
                Input::Wait { ms } => now = now + Duration::from_millis(ms),
            }
            let view = breaker.view(now);
            prop_assert!(view.probes <= view.probes_allowed && view.probes_allowed <= 8, "{view:?}");
        }
        now = now + secs(60);
        let admits = |breaker: &mut Breaker| breaker.handle_admit_to(0, 1, now).is_ok();
        prop_assert!(admits(&mut breaker) || admits(&mut breaker), "stuck in {:?}", breaker.phase());
    }
}

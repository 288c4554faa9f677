//! The dead-man lease against what it has to keep: an order is in force while it is asked for, and never again.

use std::time::Duration;

use mainstay_core::chaos::experiment::{Caps, Cohort};
use mainstay_core::chaos::fault::{Failing, Fault};
use mainstay_core::chaos::lease::{Ended, Leases, ORDERS_MAX, Refused, TTL_MAX, Why};
use mainstay_core::chaos::order::Order;
use mainstay_core::time::Time;
use proptest::prelude::*;

fn order(run: &str, generation: u64, ttl: Duration, hard_stop: Duration) -> Order {
    Order {
        run: run.to_owned(),
        generation,
        seed: 1,
        route: "score".to_owned(),
        target: None,
        fault: Fault::ModelError(Failing::default()),
        dose: 1.0,
        cohort: Cohort::default(),
        caps: Caps::default(),
        blocks: None,
        injects: true,
        ttl,
        hard_stop,
    }
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn at(secs: u64) -> Time {
    Time::from_secs(secs)
}

fn in_force(leases: &Leases, now: Time) -> Vec<(String, u64)> {
    let mut all: Vec<_> = leases.in_force(now).map(|(order, _)| (order.run.clone(), order.generation)).collect();
    all.sort();
    all
}

#[derive(Clone, Debug)]
enum Op {
    Order { run: usize, generation: u64, ttl: u64, hard_stop: u64 },
    Renew { run: usize, generation: u64 },
    Withdraw { run: usize, generation: u64 },
    Halt(bool),
    Timeout,
}

const RUNS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn op() -> impl Strategy<Value = Op> {
    let run = || 0..RUNS.len();
    let generation = || 1_u64..5;
    prop_oneof![
        4 => (run(), generation(), 1_u64..90, 1_u64..200)
            .prop_map(|(run, generation, ttl, hard_stop)| Op::Order { run, generation, ttl, hard_stop }),
        6 => (run(), generation()).prop_map(|(run, generation)| Op::Renew { run, generation }),
        1 => (run(), generation()).prop_map(|(run, generation)| Op::Withdraw { run, generation }),
        1 => prop::bool::weighted(0.3).prop_map(Op::Halt),
        2 => Just(Op::Timeout),
    ]
}

/// An order that was taken, and all that was heard of it.
struct Taken {
    run: &'static str,
    generation: u64,
    ttl: Duration,
    hard_stop: Duration,
    since: Time,
    renewed: Time,
    is_gone: bool,
}

impl Taken {
    /// By the definition: it was asked for within its time, it stands within its hard stop, and nobody took it back.
    fn stands(&self, now: Time) -> bool {
        let in_lease = now < self.renewed + self.ttl.min(TTL_MAX);
        !self.is_gone && in_lease && now < self.since + self.hard_stop
    }
}

proptest! {
    #[test]
    fn an_order_stands_while_it_is_asked_for_and_never_comes_back(
        steps in prop::collection::vec((op(), 0_u64..40), 1..80),
    ) {
        let mut leases = Leases::default();
        let (mut now, mut halted) = (at(1_000), false);
        let mut taken: Vec<Taken> = Vec::new();
        let mut fences = [0_u64; RUNS.len()];
        for (op, wait) in steps {
            now = now + secs(wait);
            match op {
                Op::Order { run, generation, ttl, hard_stop } => {
                    let order = order(RUNS[run], generation, secs(ttl), secs(hard_stop));
                    let standing = taken.iter().filter(|t| t.run != RUNS[run] && t.stands(now)).count();
                    let wanted = if halted {
                        Err(Refused::Halted)
                    } else if generation <= fences[run] {
                        Err(Refused::Fenced)
                    } else if standing >= ORDERS_MAX {
                        Err(Refused::TooMany)
                    } else {
                        Ok(())
                    };
                    prop_assert_eq!(leases.handle_order(order, now), wanted);
                    if wanted.is_ok() {
                        fences[run] = generation;
                        taken.iter_mut().filter(|t| t.run == RUNS[run]).for_each(|t| t.is_gone = true);
                        let (ttl, hard_stop) = (secs(ttl), secs(hard_stop));
                        let run = RUNS[run];
                        taken.push(Taken { run, generation, ttl, hard_stop, since: now, renewed: now, is_gone: false });
                    }
                }
                Op::Renew { run, generation } => {
                    let renewed = leases.handle_renew(RUNS[run], generation, now);
                    let is = |t: &&mut Taken| t.run == RUNS[run] && t.generation == generation && t.stands(now);
                    let found = taken.iter_mut().find(is);
                    prop_assert_eq!(renewed.is_ok(), found.is_some() && !halted);
                    if let Some(found) = found {
                        found.renewed = now;
                    }
                }
                Op::Withdraw { run, generation } => {
                    leases.handle_withdraw(RUNS[run], generation, now);
                    fences[run] = fences[run].max(generation);
                    let is = |t: &&mut Taken| t.run == RUNS[run] && t.generation <= generation;
                    for t in taken.iter_mut().filter(is) {
                        t.is_gone = true;
                    }
                }
                Op::Halt(on) => {
                    leases.handle_halt(on);
                    halted = on;
                    if on {
                        for t in &mut taken {
                            t.is_gone = true;
                        }
                    }
                }
                Op::Timeout => drop(leases.handle_timeout(now)),
            }
            let mut wanted: Vec<_> =
                taken.iter().filter(|t| t.stands(now)).map(|t| (t.run.to_owned(), t.generation)).collect();
            wanted.sort();
            prop_assert_eq!(in_force(&leases, now), wanted);
            // What is told of the next end is when the next one really ends.
            if let Some(next) = leases.poll_timeout().filter(|next| *next > now) {
                let before = Time::from_nanos(next.as_nanos() - 1);
                prop_assert_eq!(in_force(&leases, before), in_force(&leases, now));
                prop_assert!(in_force(&leases, next).len() < in_force(&leases, now).len());
            }
        }
    }
}

#[test]
fn what_ended_by_itself_is_told_once_with_its_reason() {
    let mut leases = Leases::default();
    leases.handle_order(order("a", 1, secs(5), secs(100)), at(0)).unwrap();
    leases.handle_order(order("b", 1, secs(5), secs(8)), at(0)).unwrap();
    leases.handle_renew("b", 1, at(4)).unwrap();
    assert_eq!(leases.poll_timeout(), Some(at(5)));
    assert_eq!(leases.handle_timeout(at(4)), []);
    let ended = |run: &str, why| Ended { run: run.to_owned(), generation: 1, why };
    assert_eq!(leases.handle_timeout(at(5)), [ended("a", Why::Lease)]);
    leases.handle_renew("b", 1, at(7)).unwrap();
    // Its lease would last until 12.
    assert_eq!(leases.handle_timeout(at(8)), [ended("b", Why::HardStop)]);
    assert_eq!((leases.handle_timeout(at(9)), leases.poll_timeout()), (vec![], None));
    // It is told even where something else noticed first.
    leases.handle_order(order("c", 1, secs(5), secs(100)), at(10)).unwrap();
    assert_eq!(leases.handle_renew("c", 1, at(20)), Err(Refused::Over));
    assert!(leases.poll_timeout().is_some());
    assert_eq!(leases.handle_timeout(at(20)), [ended("c", Why::Lease)]);
}

#[test]
fn the_last_nanosecond_counts_and_a_clock_that_goes_back_gives_no_time() {
    let mut leases = Leases::default();
    leases.handle_order(order("a", 1, secs(5), secs(100)), at(100)).unwrap();
    let last = Time::from_nanos(at(105).as_nanos() - 1);
    assert_eq!((in_force(&leases, last).len(), in_force(&leases, at(105)).len()), (1, 0));
    assert_eq!(leases.handle_renew("a", 1, at(104)), Ok(()));
    // A renewal that bears an earlier time counts from the latest that was known.
    assert_eq!(leases.handle_renew("a", 1, at(50)), Ok(()));
    assert_eq!(leases.ends("a", 1), Some(at(109)));
    assert_eq!(leases.handle_renew("a", 1, at(109)), Err(Refused::Over));
    assert_eq!(leases.handle_renew("a", 1, at(105)), Err(Refused::Over));
    assert_eq!(in_force(&leases, at(105)), []);
}

#[test]
fn a_late_word_of_an_earlier_generation_changes_nothing() {
    let mut leases = Leases::default();
    leases.handle_order(order("a", 1, secs(5), secs(100)), at(0)).unwrap();
    leases.handle_order(order("a", 3, secs(5), secs(100)), at(1)).unwrap();
    leases.handle_withdraw("a", 1, at(2));
    assert_eq!(leases.handle_renew("a", 1, at(2)), Err(Refused::Over));
    assert_eq!(in_force(&leases, at(2)), [("a".to_owned(), 3)]);
    // It would have ended at 6 without being renewed itself.
    assert_eq!(in_force(&leases, at(6)), []);
    // What was withdrawn before it came is not taken any more.
    leases.handle_withdraw("b", 7, at(7));
    assert_eq!(leases.handle_order(order("b", 7, secs(5), secs(100)), at(7)), Err(Refused::Fenced));
    assert_eq!(leases.handle_order(order("b", 8, secs(5), secs(100)), at(7)), Ok(()));
}

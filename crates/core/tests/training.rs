//! Training: which checkpoint, which to keep, and where the time went, against naive models.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use mainstay_core::rng::Rng;
use mainstay_core::time::Time;
use mainstay_core::training::chain::{Chain, CheckpointId, Retention, State};
use mainstay_core::training::goodput::{Bucket, Ledger};
use mainstay_core::training::interval::{Job, goodput, suggested};
use mainstay_core::training::numeric::{Finding, Guard, Losses};
use mainstay_core::training::watch::{Bounds, Watch};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Move {
    Save(u64),
    Fail,
    Quarantine(usize),
    GoBack(usize),
    Gate(usize),
    Promote(usize),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        6 => (1_u64..50).prop_map(Move::Save),
        2 => Just(Move::Fail),
        1 => (0_usize..20).prop_map(Move::Quarantine),
        1 => (0_usize..20).prop_map(Move::GoBack),
        1 => (0_usize..20).prop_map(Move::Gate),
        1 => (0_usize..20).prop_map(Move::Promote),
    ];
    prop::collection::vec(one, 1..80)
}

/// The branch in use as a plain list, newest last.
struct Naive {
    branch: Vec<(CheckpointId, State)>,
}

fn is_good(state: State) -> bool {
    matches!(state, State::Verified | State::Gated | State::Promoted)
}

proptest! {
    #[test]
    fn the_chain_goes_on_where_the_list_does_and_never_loses_the_last_good_one(moves in moves()) {
        let mut chain = Chain::default();
        let mut naive = Naive { branch: Vec::new() };
        let (mut step, mut attempt) = (0, 1);
        for one in moves {
            let at = |n: usize, naive: &Naive| (!naive.branch.is_empty()).then(|| n % naive.branch.len());
            match one {
                Move::Save(steps) => {
                    step += steps;
                    let id = CheckpointId { step, attempt };
                    chain.add(id, naive.branch.last().map(|(id, _)| *id), State::Verified, 10);
                    naive.branch.push((id, State::Verified));
                }
                Move::Fail => {
                    attempt += 1;
                    let resumed = chain.resume();
                    let wanted = naive.branch.iter().rev().find(|(_, state)| is_good(*state)).map(|(id, _)| *id);
                    prop_assert_eq!(resumed, wanted);
                    if let Some(id) = resumed {
                        chain.go_back(id);
                        let keep = naive.branch.iter().position(|(other, _)| *other == id).unwrap();
                        naive.branch.truncate(keep + 1);
                        step = id.step;
                    }
                }
                Move::Quarantine(n) => if let Some(n) = at(n, &naive) {
                    chain.set(naive.branch[n].0, State::Quarantined);
                    naive.branch[n].1 = State::Quarantined;
                },
                Move::GoBack(n) => if let Some(n) = at(n, &naive) {
                    attempt += 1;
                    chain.go_back(naive.branch[n].0);
                    naive.branch.truncate(n + 1);
                    step = naive.branch[n].0.step;
                },
                Move::Gate(n) => if let Some(n) = at(n, &naive) && is_good(naive.branch[n].1) {
                    chain.set(naive.branch[n].0, State::Gated);
                    if naive.branch[n].1 != State::Promoted {
                        naive.branch[n].1 = State::Gated;
                    }
                },
                Move::Promote(n) => if let Some(n) = at(n, &naive) && is_good(naive.branch[n].1) {
                    chain.set(naive.branch[n].0, State::Promoted);
                    naive.branch[n].1 = State::Promoted;
                },
            }
            let good_before = chain.resume();
            for gone in chain.expendable(Retention { newest: 2 }) {
                prop_assert!(chain.state(gone) != Some(State::Promoted) && chain.state(gone) != Some(State::Quarantined));
                chain.remove(gone);
                naive.branch.retain(|(id, _)| *id != gone);
            }
            prop_assert_eq!(chain.resume(), good_before, "retention took what the run goes on from");
            prop_assert_eq!(naive.branch.iter().rev().find(|(_, s)| is_good(*s)).map(|(id, _)| *id), good_before);
        }
    }

    #[test]
    fn every_second_is_in_one_bucket(events in prop::collection::vec((0_u64..100, 0_u8..6), 1..200)) {
        let mut now = Time::from_secs(1_000);
        let mut ledger = Ledger::new(now);
        let mut step = 0;
        for (seconds, kind) in events {
            now = now + Duration::from_secs(seconds);
            match kind {
                0 | 1 => { step += 1; ledger.handle_step(step, now); }
                2 => ledger.enter(Bucket::Saving, now),
                3 => ledger.enter(Bucket::Backoff, now),
                4 => ledger.handle_failure(now),
                _ => { step = step.saturating_sub(seconds % 7); ledger.go_back(step, now); }
            }
        }
        ledger.book(now);
        prop_assert_eq!(ledger.total(), now.since(Time::from_secs(1_000)));
        let all: Duration = Bucket::ALL.into_iter().map(|bucket| ledger.spent(bucket)).sum();
        prop_assert_eq!(all, ledger.total());
    }
}

#[test]
fn a_beating_heart_is_no_progress_and_a_long_evaluation_no_hang() {
    let at = |seconds: u64| Time::from_secs(10_000 + seconds);
    let bounds = Bounds { least: Duration::from_secs(5), ..Bounds::default() };
    let mut watch = Watch::new(bounds);
    watch.handle_started(at(0));
    watch.handle_progress(1, at(10));
    watch.handle_progress(2, at(12));
    for second in 12..22 {
        watch.handle_progress(2, at(second));
    }
    assert!(watch.hangs(at(21)).is_none());
    assert!(watch.hangs(at(22)).is_some(), "five times the longest step of two seconds");
    watch.handle_phase("eval", Some(Duration::from_mins(10)), at(22));
    assert!(watch.hangs(at(22 + 600)).is_none());
    assert!(watch.hangs(at(22 + 1_200)).is_some());
    watch.handle_ended();
    assert!(watch.hangs(at(100_000)).is_none());
}

#[test]
fn losses_that_were_rolled_back_are_forgotten() {
    let mut losses = Losses::new(Guard { warm_up: 2, steps: 2, ..Guard::default() });
    for step in 0..10 {
        assert_eq!(losses.handle(step, 1.0), None);
    }
    assert_eq!(losses.handle(10, 50.0), None);
    assert_eq!(losses.handle(11, 50.0), Some(Finding::Spike { onset: 10 }));
    losses.restart();
    assert_eq!(losses.handle(8, 50.0), None, "another attempt is measured against itself");
}

#[test]
fn an_hour_between_saves_loses_where_failures_come_each_half_hour() {
    let job = Job {
        work: Duration::from_hours(24),
        save: Duration::from_secs(5),
        restart: Duration::from_secs(30),
        between_failures: Duration::from_mins(30),
    };
    let of = |every| goodput(job, every, 50, &mut Rng::new(4));
    let (best, hourly) = (of(suggested(job.save, job.between_failures)), of(Duration::from_hours(1)));
    assert!(best > 0.85, "{best}");
    assert!(hourly < 0.40, "{hourly}");
}

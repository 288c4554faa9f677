//! Budgets against a naive model: the list of all events.

use std::time::Duration;

use mainstay_core::engine::Engine;
use mainstay_core::slo::correction::Correction;
use mainstay_core::slo::objective::{Kind, Objective};
use mainstay_core::slo::series::{Counts, Recorded, Series};
use mainstay_core::slo::window::Stretch;
use mainstay_core::time::Time;
use proptest::prelude::*;

const DAYS: u64 = 30;
const START: u64 = 1_800_000_000;

/// An event: how long after the one before it was offered, how old it was by then, good or bad.
fn events() -> impl Strategy<Value = Vec<(u64, u64, bool)>> {
    let gap = prop_oneof![4 => 0_u64..30, 3 => 0_u64..4_000, 1 => 0_u64..200_000];
    let age = prop_oneof![5 => Just(0_u64), 3 => 0_u64..120, 2 => 0_u64..100_000, 1 => 0_u64..4_000_000];
    prop::collection::vec((gap, age, any::<bool>()), 1..300)
}

fn counts(good: bool) -> Counts {
    if good { Counts::GOOD } else { Counts::BAD }
}

/// The start of the bucket, of the finest grain that reaches as far, which holds the far edge.
fn edge(now: u64, length: u64) -> u64 {
    let grain = match length {
        0..=3_600 => 10,
        3_601..=86_400 => 60,
        _ => 3_600,
    };
    (now - length) / grain * grain
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_window_counts_what_the_list_counts(events in events(), after in 0_u64..100_000) {
        let mut series = Series::new(Duration::from_hours(24 * DAYS));
        let mut list: Vec<(u64, bool)> = Vec::new();
        let mut now = START;
        for (gap, age, good) in events {
            now += gap;
            let at = now - age;
            if series.record(Time::from_secs(at), counts(good)) == Recorded::Counted {
                list.push((at, good));
            } else {
                prop_assert!(age > DAYS * 86_400);
            }
        }
        now += after;
        for length in [10, 60, 300, 1_800, 3_600, 7_200, 21_600, 86_400, 3 * 86_400, 7 * 86_400, DAYS * 86_400] {
            let seen = series.last(Duration::from_secs(length), Time::from_secs(now));
            let within = |good: bool| {
                let from = edge(now, length);
                list.iter().filter(|(at, kind)| *at >= from && *at <= now && *kind == good).count() as u64
            };
            prop_assert_eq!((seen.good, seen.bad), (within(true), within(false)), "last {} s", length);
        }
    }

    #[test]
    fn a_series_that_is_restored_answers_like_the_one_that_went_on(events in events(), after in 0_u64..100_000) {
        let mut series = Series::new(Duration::from_hours(24 * DAYS));
        let mut now = START;
        for (gap, age, good) in events {
            now += gap;
            series.record(Time::from_secs(now - age), counts(good));
        }
        // As a store keeps them: each event at one grain, the finest that still holds it.
        let mut restored = Series::new(Duration::from_hours(24 * DAYS));
        let fine: Vec<_> = series.buckets(0).collect();
        let middle: Vec<_> = series.buckets(1).collect();
        let rest = |coarse: &[(Time, Counts)], finer: &[(Time, Counts)], grain: u64| -> Vec<(Time, Counts)> {
            coarse.iter().map(|(start, counts)| {
                let mut left = *counts;
                let end = *start + Duration::from_secs(grain);
                finer.iter().filter(|(at, _)| at >= start && *at < end).for_each(|(_, part)| left.subtract(*part));
                (*start, left)
            }).collect()
        };
        for (start, counts) in &fine {
            restored.restore(0, *start, *counts);
        }
        for (start, counts) in rest(&middle, &fine, 60) {
            restored.restore(1, start, counts);
        }
        for (start, counts) in rest(&series.buckets(2).collect::<Vec<_>>(), &middle, 3_600) {
            restored.restore(2, start, counts);
        }
        now += after;
        for length in [60, 3_600, 86_400, 7 * 86_400, DAYS * 86_400] {
            let last = |series: &Series| series.last(Duration::from_secs(length), Time::from_secs(now));
            prop_assert_eq!(last(&restored), last(&series), "last {} s", length);
        }
    }

    #[test]
    fn what_is_corrected_does_not_count(events in events(), cut_at in 0_u64..3_600, cut in 1_u64..1_800) {
        let objective = Objective::new("s", Kind::availability(0.99).unwrap());
        let mut engine = Engine::new(vec![objective], Time::from_secs(START));
        let id = engine.id("s_availability").unwrap();
        let mut list: Vec<(u64, bool)> = Vec::new();
        let mut now = START;
        for (gap, _, good) in events {
            now += gap.min(10);
            engine.handle_counts(id, Time::from_secs(now), counts(good), Time::from_secs(now));
            list.push((now, good));
        }
        // On the grain, so that nothing is left to an estimate.
        let from = (now - cut_at.min(now - START)) / 10 * 10;
        let to = from + cut.div_ceil(10) * 10;
        let stretch = Stretch { from: Time::from_secs(from), to: Time::from_secs(to) };
        let correction = Correction {
            id: "1".to_owned(),
            stretch,
            objectives: vec!["s_availability".to_owned()],
            reason: "deploy".to_owned(),
            author: "ada".to_owned(),
        };
        engine.set_corrections(vec![correction], Vec::new());
        let answer = engine.answer(id, Time::from_secs(now));
        let kept = |good: bool| {
            list.iter().filter(|(at, kind)| *kind == good && !(from..to).contains(at)).count() as u64
        };
        // What happens at this very moment may be on either side of an end that is this moment.
        if to != now {
            prop_assert_eq!((answer.counts.good, answer.counts.bad), (kept(true), kept(false)));
        }
    }
}

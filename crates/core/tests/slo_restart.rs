//! A restart changes nothing: what an engine says after one is what it would have said without.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_core::engine::{Engine, Memory, ObjectiveId};
use mainstay_core::slo::objective::{Budgeting, EmptySlice, Kind, Objective};
use mainstay_core::slo::series::{Counts, GRAIN, bucket_of};
use mainstay_core::time::Time;
use proptest::prelude::*;

const START: Time = Time::from_secs(1_800_000_000);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// What rests: counts by bucket of ten seconds, rolled up when they are read as a store does it.
#[derive(Default)]
struct Rest {
    events: BTreeMap<Time, Counts>,
    slices: BTreeMap<Time, Counts>,
    taken_back: BTreeMap<Time, Counts>,
    memory: Option<String>,
}

impl Rest {
    fn settle(&mut self, engine: &mut Engine, id: ObjectiveId) {
        for (_, change) in engine.take_slices() {
            self.slices.entry(bucket_of(change.at)).or_default().add(change.after);
            self.taken_back.entry(bucket_of(change.at)).or_default().add(change.before);
        }
        self.memory = Some(engine.memory(id).to_json());
    }

    /// By grain: 10 s for an hour, 1 min for a day, 1 h before. Whole coarser buckets only, so that none is in two.
    fn rolled(series: &BTreeMap<Time, Counts>, now: Time) -> BTreeMap<(Duration, Time), Counts> {
        let floor = |at: Time, grain: Duration| {
            Time::from_secs(at.as_nanos() / 1_000_000_000 / grain.as_secs() * grain.as_secs())
        };
        let mut rolled: BTreeMap<(Duration, Time), Counts> = BTreeMap::new();
        for (at, counts) in series {
            let grain = if *at < floor(now - HOUR * 24, HOUR) {
                HOUR
            } else if *at < floor(now - HOUR, MINUTE) {
                MINUTE
            } else {
                GRAIN
            };
            rolled.entry((grain, floor(*at, grain))).or_default().add(*counts);
        }
        rolled
    }

    fn restart(&self, objective: &Objective, now: Time) -> (Engine, ObjectiveId) {
        let mut engine = Engine::new(vec![objective.clone()], now);
        let id = engine.id(&objective.name).unwrap();
        for ((grain, start), counts) in Rest::rolled(&self.events, now) {
            match objective.budgeting {
                Budgeting::Occurrences => engine.restore_counts(id, grain, start, counts),
                Budgeting::TimeSlices { .. } | Budgeting::RatioTimeSlices { .. } => {
                    engine.restore_events(id, grain, start, counts);
                }
            }
        }
        for ((grain, start), counts) in Rest::rolled(&self.slices, now) {
            engine.restore_counts(id, grain, start, counts);
        }
        for ((grain, start), counts) in Rest::rolled(&self.taken_back, now) {
            engine.restore_less(id, grain, start, counts);
        }
        if let Some(memory) = &self.memory {
            engine.restore(id, Memory::from_json(memory).unwrap());
        }
        engine.resume(id);
        (engine, id)
    }
}

fn budgetings() -> impl Strategy<Value = Budgeting> {
    let slices = |slice| Budgeting::TimeSlices { slice, good_from: 0.9, empty: EmptySlice::Ignored, events_least: 3 };
    prop_oneof![
        Just(Budgeting::Occurrences),
        prop::sample::select(vec![10_u64, 60, 90, 300, 3_600]).prop_map(move |s| slices(Duration::from_secs(s))),
        prop::sample::select(vec![60_u64, 600])
            .prop_map(|s| Budgeting::RatioTimeSlices { slice: Duration::from_secs(s) }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Events come in order or up to an hour late; pauses are seconds or days; the process is killed between settling and not.
    #[test]
    fn a_restart_at_any_moment_is_not_seen(
        budgeting in budgetings(),
        steps in prop::collection::vec((prop_oneof![1_u64..90, 600_u64..9_000, 80_000_u64..200_000], 0_u64..3_000, 0_u64..20, 0_u64..4, 0_u8..6), 1..60),
    ) {
        let objective = Objective { budgeting, ..Objective::new("s", Kind::availability(0.9).unwrap()) };
        let (mut rest, mut now) = (Rest::default(), START);
        let mut whole = Engine::new(vec![objective.clone()], now);
        let id = whole.id(&objective.name).unwrap();
        let (mut restarted, mut again) = rest.restart(&objective, now);
        for (pause, late, good, bad, dice) in steps {
            now = now + Duration::from_secs(pause);
            // Time passes in ticks: a slice is judged soon after its end.
            whole.handle_timeout(now);
            restarted.handle_timeout(now);
            rest.settle(&mut restarted, again);
            let at = if dice % 2 == 0 { now } else { now - Duration::from_secs(late) };
            let counts = Counts { good, bad };
            rest.events.entry(bucket_of(at)).or_default().add(counts);
            whole.handle_counts(id, at, counts, now);
            restarted.handle_counts(again, at, counts, now);
            if dice == 0 {
                rest.settle(&mut restarted, again);
            }
            if dice <= 2 {
                (restarted, again) = rest.restart(&objective, now);
            }
            let (one, other) = (whole.answer(id, now), restarted.answer(again, now));
            prop_assert_eq!(one.counts, other.counts, "{:?} at {}", budgeting, now.as_secs_f64());
        }
    }
}

//! A series of the core that is put back from the store answers every window like the one that never stopped.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use mainstay_core::rng::Rng;
use mainstay_core::slo::series::{Counts, Series};
use mainstay_core::time::Time;
use mainstay_store::bucket::Bucket;
use mainstay_store::item::{Delta, Sums};
use mainstay_store::{Options, Sqlite, Store};

const NOON: Time = Time::from_secs(1_767_268_800);
const LONGEST: Duration = Duration::from_hours(30 * 24);
/// The look-backs of burn alerts and windows, in minutes.
const WINDOWS: [u64; 11] = [1, 5, 30, 60, 120, 360, 1440, 4320, 7 * 1440, 28 * 1440, 30 * 1440];

#[tokio::test]
async fn a_restored_series_answers_like_the_one_that_never_stopped() {
    for seed in 1..=2 {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("restart-{seed}"));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("mainstay.db");
        let mut store = Sqlite::open(&path, Options::default()).await.unwrap();
        let mut random = Rng::new(seed);
        let mut live = Series::new(LONGEST);
        let mut now = NOON;
        for sequence in 1..=300 {
            // Mostly seconds go by, sometimes hours, rarely days.
            let most = [20, 700, 20_000, 200_000][step(&mut random)];
            now = now + Duration::from_secs(random.below(most));
            let delta = delta(now, &mut random);
            live.record(delta.start, Counts { good: delta.good, bad: delta.bad });
            let sums = Sums { source: "s".to_owned(), sequence, deltas: vec![delta], ..Sums::default() };
            store.add_sums(sums, now).await.unwrap();
            if random.below(3) == 0 {
                store.maintain(now).await.unwrap();
            }
            if random.below(8) == 0 {
                store.close().await.unwrap();
                store = Sqlite::open(&path, Options::default()).await.unwrap();
                compare(&live, &restored(&store).await, now, &format!("seed {seed}, step {sequence}"));
            }
        }
        store.close().await.unwrap();
        fs::remove_dir_all(&directory).unwrap();
    }
}

fn step(random: &mut Rng) -> usize {
    match random.below(100) {
        0..70 => 0,
        70..90 => 1,
        90..98 => 2,
        _ => 3,
    }
}

/// On time, or late by up to two days.
fn delta(now: Time, random: &mut Rng) -> Delta {
    let late = if random.below(4) == 0 { random.below(2 * 86_400) } else { random.below(15) };
    let start = now - Duration::from_secs(late);
    Delta { objective: "a".to_owned(), start, good: random.below(1000), bad: 1 + random.below(5) }
}

async fn restored(store: &dyn Store) -> Series {
    let mut series = Series::new(LONGEST);
    let rests = store.load().await.unwrap().remove(0);
    for (ring, buckets) in [(2, &rests.hours), (1, &rests.minutes), (0, &rests.tens)] {
        for Bucket { start, good, bad } in buckets {
            series.restore(ring, *start, Counts { good: *good, bad: *bad });
        }
    }
    series
}

fn compare(live: &Series, restored: &Series, now: Time, place: &str) {
    for window in WINDOWS.map(Duration::from_mins) {
        for later in [0, 1, 59, 600].map(Duration::from_secs) {
            let (live, restored) = (live.last(window, now + later), restored.last(window, now + later));
            assert_eq!(restored, live, "{place}: the last {window:?}, {later:?} later");
        }
    }
}

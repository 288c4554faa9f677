use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_core::rng::Rng;
use mainstay_core::time::Time;
use mainstay_store::bucket::Bucket;
use mainstay_store::change::Change;
use mainstay_store::item::{Item, ItemQuery, Kind, Sketch, Sums};
use mainstay_store::record::{Event, EventQuery};
use mainstay_store::store::Maintained;
use mainstay_store::{Options, Retention, Store};

use crate::Place;
use crate::place::{NOON, after, delta, item, total};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

async fn add(store: &dyn Store, sequence: u64, at: Time, good: u64, bad: u64) {
    let sums = Sums { source: "s".to_owned(), sequence, deltas: vec![delta("a", at, good, bad)], ..Sums::default() };
    store.add_sums(sums, at).await.unwrap();
}

fn counts(buckets: &[Bucket]) -> Vec<(Time, u64, u64)> {
    buckets.iter().map(|bucket| (bucket.start, bucket.good, bucket.bad)).collect()
}

pub(crate) async fn roll_up_keeps_every_event(place: &dyn Place) {
    let store = place.open().await;
    for (sequence, secs) in (1..).zip([0, 10, 59, 60, HOUR, HOUR + 30]) {
        add(&*store, sequence, after(secs), 1, secs).await;
    }
    assert_eq!(store.maintain(after(HOUR)).await.unwrap(), Maintained::default());
    assert_eq!(store.maintain(after(HOUR + 600)).await.unwrap().rolled_up, 4);
    let a = store.load().await.unwrap().remove(0);
    assert_eq!(counts(&a.minutes), [(NOON, 3, 69), (after(60), 1, 60)]);
    assert_eq!(a.tens.len(), 2);
    store.maintain(after(DAY + HOUR)).await.unwrap();
    let a = store.load().await.unwrap().remove(0);
    assert_eq!(counts(&a.hours), [(NOON, 4, 129)]);
    assert_eq!(counts(&a.minutes), [(after(HOUR), 2, 2 * HOUR + 30)]);
    assert_eq!(a.tens, []);
    store.maintain(after(93 * DAY + HOUR)).await.unwrap();
    assert_eq!(total(&*store, "a").await, (2, 2 * HOUR + 30), "the first hour is older than 93 days");
}

pub(crate) async fn late_counts_are_added(place: &dyn Place) {
    let store = place.open().await;
    add(&*store, 1, NOON, 1, 0).await;
    store.maintain(after(2 * DAY)).await.unwrap();
    add(&*store, 2, after(20), 0, 1).await;
    assert_eq!(total(&*store, "a").await, (1, 1));
    store.maintain(after(2 * DAY)).await.unwrap();
    let a = store.load().await.unwrap().remove(0);
    assert_eq!((a.tens.len(), a.minutes.len(), counts(&a.hours)), (0, 0, vec![(NOON, 1, 1)]));
}

pub(crate) async fn retention_deletes_what_is_old(place: &dyn Place) {
    let store = place.open().await;
    let event = |at| Change::Event(Event { seq: 0, at, kind: "x".to_owned(), body: "{}".to_owned() });
    let sketch = |start| Change::Sketch(Sketch { series: "s".to_owned(), start, width_secs: 60, data: Vec::new() });
    for (day, start) in (0..100).step_by(20).map(|day| (day, after(day * DAY))) {
        let batch = (0..3).map(|n| item(Kind::Flag, "", &format!("{day}-{n}"), "1")).collect();
        store.ingest(batch, start).await.unwrap();
        store.change(vec![event(start), sketch(start)], start).await.unwrap();
        add(&*store, day + 1, start, 1, 0).await;
    }
    let done = store.maintain(after(100 * DAY)).await.unwrap();
    assert_eq!((done.items_deleted, done.events_deleted, done.sketches_deleted), (4 * 3, 1, 4));
    let left: Vec<Item> = store.items(ItemQuery::default()).await.unwrap().into_iter().map(|it| it.item).collect();
    assert_eq!(left.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["80-0", "80-1", "80-2"]);
    assert_eq!(store.events(EventQuery::default()).await.unwrap().len(), 4);
    assert_eq!(store.sketches(NOON).await.unwrap().len(), 1);
    assert_eq!(store.last_sequence("s").await.unwrap(), None);
}

/// Random counts, on time and late, with roll-up in between, against a map from second to counts.
pub(crate) async fn rolling_up_like_a_naive_model(place: &dyn Place) {
    let retention = Retention {
        tens: Duration::from_mins(2),
        minutes: Duration::from_secs(2 * HOUR),
        hours: Duration::from_secs(1000 * DAY),
        ..Retention::default()
    };
    let store = place.open_with(Options { retention, ..Options::default() }).await;
    let mut random = Rng::new(4);
    let mut model: BTreeMap<(String, u64), (u64, u64)> = BTreeMap::new();
    let mut now = 0;
    for sequence in 1..=300 {
        now += random.below(400);
        let deltas: Vec<_> = (0..random.below(8))
            .map(|_| {
                let late = if random.below(4) == 0 { random.below(5 * HOUR) } else { random.below(20) };
                let secs = now.saturating_sub(late);
                delta(&random.below(3).to_string(), after(secs), random.below(100), random.below(3))
            })
            .collect();
        for it in &deltas {
            let secs = it.start.since(NOON).as_secs();
            let sum = model.entry((it.objective.clone(), secs)).or_default();
            *sum = (sum.0 + it.good, sum.1 + it.bad);
        }
        store.add_sums(Sums { source: "s".to_owned(), sequence, deltas, ..Sums::default() }, after(now)).await.unwrap();
        if random.below(3) == 0 {
            store.maintain(after(now)).await.unwrap();
            compare(&*store, &model).await;
        }
    }
    compare(&*store, &model).await;
}

/// Each hour holds what the model holds in it; each bucket is of its width and holds no more than happened in it.
async fn compare(store: &dyn Store, model: &BTreeMap<(String, u64), (u64, u64)>) {
    let mut expected: BTreeMap<(String, u64), (u64, u64)> = BTreeMap::new();
    for ((objective, secs), (good, bad)) in model {
        let sum = expected.entry((objective.clone(), secs / HOUR)).or_default();
        *sum = (sum.0 + good, sum.1 + bad);
    }
    let mut found: BTreeMap<(String, u64), (u64, u64)> = BTreeMap::new();
    for series in store.load().await.unwrap() {
        for (width, buckets) in [(10, &series.tens), (60, &series.minutes), (HOUR, &series.hours)] {
            assert!(buckets.is_sorted_by(|a, b| a.start < b.start));
            for bucket in buckets {
                let secs = bucket.start.since(NOON).as_secs();
                assert_eq!(secs % width, 0);
                let within = model.range((series.objective.clone(), secs)..(series.objective.clone(), secs + width));
                let most = within.fold((0, 0), |sum, (_, it)| (sum.0 + it.0, sum.1 + it.1));
                assert!(bucket.good <= most.0 && bucket.bad <= most.1, "{series:?}");
                let sum = found.entry((series.objective.clone(), secs / HOUR)).or_default();
                *sum = (sum.0 + bucket.good, sum.1 + bucket.bad);
            }
        }
    }
    assert_eq!(found, expected);
}

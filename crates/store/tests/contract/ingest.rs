use std::sync::Arc;

use mainstay_core::time::Time;
use mainstay_store::StoreError;
use mainstay_store::item::{BODY_MAX, Counted, Item, ItemQuery, Kind, Sketch, State, Sums, Verdict};
use tokio::task::JoinSet;

use crate::Place;
use crate::place::{NOON, after, delta, item, total};

fn counted(id: &str, body: &str, bad: u64) -> Item {
    Item { deltas: vec![delta("availability", NOON, 1, bad)], ..item(Kind::Prediction, "shop", id, body) }
}

pub(crate) async fn new_duplicate_conflict(place: &dyn Place) {
    let store = place.open().await;
    let first = store.ingest(vec![counted("a", "{}", 0), counted("b", "{}", 1)], NOON).await.unwrap();
    assert!(matches!(first[..], [Verdict::New(a), Verdict::New(b)] if a < b), "{first:?}");
    let later = Item { at: after(5), ..counted("a", "{}", 0) };
    let again = vec![later, counted("b", r#"{"other":1}"#, 1), counted("c", "{}", 0)];
    let second = store.ingest(again, after(1)).await.unwrap();
    assert!(matches!(second[..], [Verdict::Duplicate, Verdict::Conflict, Verdict::New(_)]), "{second:?}");
    assert_eq!(total(&*store, "availability").await, (3, 1));
    let kept = store.item(Kind::Prediction, "shop", "b").await.unwrap().unwrap();
    assert_eq!((kept.item.body.as_str(), kept.received), ("{}", NOON));
    assert_eq!(store.item(Kind::Prediction, "shop", "z").await.unwrap(), None);
}

pub(crate) async fn duplicates_within_a_batch(place: &dyn Place) {
    let store = place.open().await;
    let batch = vec![counted("a", "1", 0), counted("a", "1", 0), counted("a", "2", 0)];
    let verdicts = store.ingest(batch, NOON).await.unwrap();
    assert!(matches!(verdicts[..], [Verdict::New(_), Verdict::Duplicate, Verdict::Conflict]), "{verdicts:?}");
    assert_eq!(total(&*store, "availability").await, (1, 0));
}

pub(crate) async fn keys_are_per_kind_and_client(place: &dyn Place) {
    let store = place.open().await;
    let batch = vec![
        item(Kind::Label, "shop", "a", "1"),
        item(Kind::Flag, "shop", "a", "2"),
        item(Kind::Label, "bank", "a", "3"),
        item(Kind::Label, "", "a", "4"),
    ];
    let verdicts = store.ingest(batch, NOON).await.unwrap();
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::New(_))), "{verdicts:?}");
}

pub(crate) async fn counted_once_across_a_restart(place: &dyn Place) {
    let batch: Vec<Item> = (0..200).map(|n| counted(&n.to_string(), "{}", n % 2)).collect();
    for _ in 0..3 {
        let store = place.open().await;
        store.ingest(batch.clone(), NOON).await.unwrap();
        assert_eq!(total(&*store, "availability").await, (200, 100));
        store.close().await.unwrap();
    }
}

fn sums(source: &str, sequence: u64) -> Sums {
    let deltas = vec![delta("a", NOON, 3, 1), delta("a", after(9), 1, 0), delta("b", after(10), 5, 0)];
    Sums { source: source.to_owned(), sequence, deltas, ..Sums::default() }
}

pub(crate) async fn sums_count_once(place: &dyn Place) {
    let store = place.open().await;
    assert_eq!(store.last_sequence("gateway-1").await.unwrap(), None);
    assert_eq!(store.add_sums(sums("gateway-1", 1), NOON).await.unwrap(), Counted::New);
    assert_eq!(store.add_sums(sums("gateway-1", 1), NOON).await.unwrap(), Counted::Duplicate);
    assert_eq!(store.add_sums(sums("gateway-2", 1), NOON).await.unwrap(), Counted::New);
    assert_eq!(store.add_sums(sums("gateway-1", 7), NOON).await.unwrap(), Counted::New);
    assert_eq!(store.add_sums(sums("gateway-1", 6), NOON).await.unwrap(), Counted::Duplicate);
    assert_eq!(store.last_sequence("gateway-1").await.unwrap(), Some(7));
    assert_eq!((total(&*store, "a").await, total(&*store, "b").await), ((12, 3), (15, 0)));
    let all = store.load().await.unwrap();
    let starts: Vec<Vec<Time>> = all.iter().map(|it| it.tens.iter().map(|bucket| bucket.start).collect()).collect();
    assert_eq!(starts, [[NOON], [after(10)]]);
}

pub(crate) async fn sums_bring_states_and_sketches(place: &dyn Place) {
    let store = place.open().await;
    let state = |data: u8| State { key: "alert/a".to_owned(), data: vec![data] };
    let sketch = |data: u8| Sketch { series: "score".to_owned(), start: NOON, width_secs: 60, data: vec![data] };
    let with = |sequence, data| Sums { states: vec![state(data)], sketches: vec![sketch(data)], ..sums("g", sequence) };
    store.add_sums(with(1, 1), NOON).await.unwrap();
    store.add_sums(with(2, 2), NOON).await.unwrap();
    store.add_sums(with(2, 3), NOON).await.unwrap();
    assert_eq!(store.states("alert/").await.unwrap(), [state(2)]);
    assert_eq!(store.sketches(NOON).await.unwrap(), [sketch(2)]);
    assert_eq!(store.sketches(after(60)).await.unwrap(), []);
}

pub(crate) async fn what_is_too_large_is_refused(place: &dyn Place) {
    let store = place.open().await;
    let long = format!("\"{}\"", "x".repeat(BODY_MAX));
    let refused = store.ingest(vec![counted("a", "{}", 0), counted("b", &long, 0)], NOON).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    let huge = Item { deltas: vec![delta("a", NOON, u64::MAX, 0)], ..counted("c", "{}", 0) };
    assert!(matches!(store.ingest(vec![huge], NOON).await, Err(StoreError::Invalid(_))));
    assert_eq!(store.items(ItemQuery::default()).await.unwrap(), []);
}

pub(crate) async fn bad_json_and_names_are_refused(place: &dyn Place) {
    let store = place.open().await;
    for bad in ["", "{", "NaN", "{\"a\":1}}"] {
        assert!(matches!(store.ingest(vec![counted("a", bad, 0)], NOON).await, Err(StoreError::Invalid(_))), "{bad}");
    }
    for bad in ["", "a\0b"] {
        assert!(matches!(store.ingest(vec![counted(bad, "{}", 0)], NOON).await, Err(StoreError::Invalid(_))), "{bad}");
    }
    assert!(matches!(
        store.ingest(vec![counted(&"x".repeat(2000), "{}", 0)], NOON).await,
        Err(StoreError::TooLarge { .. })
    ));
    let quoted = counted("'); DROP TABLE item; --", r#""\u0000 'ü""#, 0);
    store.ingest(vec![quoted.clone()], Time::ZERO).await.unwrap();
    let stored = store.item(quoted.kind, &quoted.client, &quoted.id).await.unwrap().unwrap();
    assert_eq!(stored.item, Item { deltas: Vec::new(), ..quoted });
}

pub(crate) async fn numbers_never_return(place: &dyn Place) {
    let store = place.open().await;
    let month = after(40 * 86_400);
    let Verdict::New(old) = store.ingest(vec![counted("a", "{}", 0)], NOON).await.unwrap()[0] else { panic!() };
    assert_eq!(store.maintain(month).await.unwrap().items_deleted, 1);
    let Verdict::New(new) = store.ingest(vec![counted("a", "{}", 0)], month).await.unwrap()[0] else { panic!() };
    assert!(new > old);
}

pub(crate) async fn many_writers_at_once(place: &dyn Place) {
    let store = place.open().await;
    let mut writers = JoinSet::new();
    for writer in 0..20 {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            for n in 0..20 {
                // Every item is sent by two of the writers.
                let id = format!("{}-{n}", writer / 2);
                store.ingest(vec![counted(&id, "{}", 1)], NOON).await.unwrap();
                store.add_sums(sums(&writer.to_string(), n + 1), NOON).await.unwrap();
            }
        });
    }
    writers.join_all().await;
    assert_eq!(total(&*store, "availability").await, (200, 200));
    assert_eq!(total(&*store, "a").await, (20 * 20 * 4, 20 * 20));
    let stats = store.stats();
    assert_eq!(stats.writes, 800);
    assert!(stats.commits < 400, "{} commits for 800 writes: they do not share", stats.commits);
}

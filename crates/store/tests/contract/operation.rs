use std::fs;
use std::sync::Arc;

use mainstay_store::item::{Item, ItemQuery, Kind};
use mainstay_store::{Options, Sqlite, Store, StoreError};
use tokio::task::JoinSet;

use crate::Place;
use crate::place::{NOON, delta, item, total};

fn counted(id: &str) -> Item {
    Item { deltas: vec![delta("a", NOON, 1, 0)], ..item(Kind::Request, "", id, "{}") }
}

pub(crate) async fn a_backup_is_a_store(place: &dyn Place) {
    let store = place.open().await;
    let copy = place.file("copy.db");
    store.ingest(vec![counted("before")], NOON).await.unwrap();
    let mut writers = JoinSet::new();
    for n in 0..50 {
        let store = Arc::clone(&store);
        writers.spawn(async move { store.ingest(vec![counted(&n.to_string())], NOON).await.unwrap() });
    }
    let size = store.backup(&copy).await.unwrap();
    writers.join_all().await;
    assert_eq!(size, fs::metadata(&copy).unwrap().len());
    store.close().await.unwrap();
    let copied = Sqlite::open(&copy, Options::default()).await.unwrap();
    assert!(copied.item(Kind::Request, "", "before").await.unwrap().is_some());
    let items = copied.items(ItemQuery::default()).await.unwrap().len() as u64;
    assert_eq!(total(&copied, "a").await, (items, 0), "items and their counts are of one moment");
    copied.check().await.unwrap();
    copied.ingest(vec![counted("after")], NOON).await.unwrap();
}

pub(crate) async fn a_backup_overwrites_nothing(place: &dyn Place) {
    let store = place.open().await;
    let taken = place.file("taken");
    fs::write(&taken, "mine").unwrap();
    let refused = store.backup(&taken).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    assert_eq!(fs::read_to_string(&taken).unwrap(), "mine");
    let nowhere = store.backup(&place.file("none/copy.db")).await;
    assert!(matches!(nowhere, Err(StoreError::Io { .. })), "{nowhere:?}");
    assert!(store.backup(&place.file("copy.db")).await.is_ok());
    assert!(!place.file("copy.db.unfinished").exists());
}

pub(crate) async fn closed_is_closed(place: &dyn Place) {
    let store = place.open().await;
    store.close().await.unwrap();
    store.close().await.unwrap();
    assert!(matches!(store.ingest(vec![counted("a")], NOON).await, Err(StoreError::Closed)));
    assert!(matches!(store.load().await, Err(StoreError::Closed)));
}

pub(crate) async fn a_full_queue_is_busy(place: &dyn Place) {
    let store = place.open_with(Options { queue: 2, ..Options::default() }).await;
    // On one thread the writer does not run before all of them have asked.
    let asked = (0..5).map(|n| store.ingest(vec![counted(&n.to_string())], NOON));
    let mut asked: Vec<_> = asked.collect();
    let polled = std::future::poll_fn(|context| {
        let answers = asked.iter_mut().map(|it| it.as_mut().poll(context)).collect::<Vec<_>>();
        std::task::Poll::Ready(answers)
    });
    let refused = polled.await.into_iter().filter(|it| matches!(it, std::task::Poll::Ready(Err(StoreError::Busy))));
    assert_eq!(refused.count(), 3);
    let stats = store.stats();
    assert_eq!((stats.queued, stats.queue_max, stats.refused), (2, 2, 3));
    for waiting in asked.into_iter().take(2) {
        waiting.await.unwrap();
    }
    assert_eq!(total(&*store, "a").await, (2, 0));
    let small = Options { queue_bytes: 100, ..Options::default() };
    store.close().await.unwrap();
    let store = place.open_with(small).await;
    assert!(store.ingest(vec![counted("larger than all that may wait")], NOON).await.is_ok(), "alone it may pass");
}

pub(crate) async fn a_sound_store_checks(place: &dyn Place) {
    let store = place.open().await;
    store.ingest((0..500).map(|n| counted(&n.to_string())).collect(), NOON).await.unwrap();
    store.check().await.unwrap();
    assert!(store.stats().size_bytes > 0);
}

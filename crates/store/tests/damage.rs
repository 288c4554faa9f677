//! Damaged bytes and a full disk: an error, never a panic, never a write to what is damaged.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};

use mainstay_core::rng::Rng;
use mainstay_core::time::Time;
use mainstay_store::audit::Entry;
use mainstay_store::change::Change;
use mainstay_store::item::{Delta, Item, ItemQuery, Kind, Sums};
use mainstay_store::record::{Event, EventQuery, RunQuery};
use mainstay_store::{Options, Retention, Sqlite, Store, StoreError};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};

const NOON: Time = Time::from_secs(1_767_268_800);

fn directory(name: &str) -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("damage-{name}"));
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    directory
}

fn item(n: u64) -> Item {
    let delta = Delta { objective: format!("o{}", n % 7), start: Time::from_secs(n * 10), good: 1, bad: 1 };
    Item {
        kind: Kind::Flag,
        client: "c".to_owned(),
        id: n.to_string(),
        about: Some("r".to_owned()),
        at: NOON,
        body: format!("[{n},\"{}\"]", "x".repeat(300)),
        deltas: vec![delta],
    }
}

fn event(n: u64) -> Change {
    Change::Event(Event { seq: 0, at: NOON, kind: "x".to_owned(), body: n.to_string() })
}

fn audit() -> Change {
    let word = || "w".to_owned();
    let (actor, source, action, subject) = (word(), word(), word(), word());
    Change::Audit(Entry { actor, source, action, subject, before: None, after: None, reason: word() })
}

async fn filled(path: &Path) {
    let store = Sqlite::open(path, Options::default()).await.unwrap();
    store.ingest((0..300).map(item).collect(), NOON).await.unwrap();
    let deltas =
        (0..2000).map(|n| Delta { objective: format!("o{}", n % 7), start: Time::from_secs(n * 10), good: 9, bad: 1 });
    store
        .add_sums(Sums { source: "s".to_owned(), sequence: 1, deltas: deltas.collect(), ..Sums::default() }, NOON)
        .await
        .unwrap();
    store.change((0..50).flat_map(|n| [event(n), audit()]).collect(), NOON).await.unwrap();
    store.maintain(Time::from_secs(30_000)).await.unwrap();
    store.close().await.unwrap();
}

/// Every read; whether all went well.
async fn read_everything(store: &dyn Store) -> bool {
    let reads = [
        store.load().await.is_ok(),
        store.items(ItemQuery::default()).await.is_ok(),
        store.about("c", "r").await.is_ok(),
        store.states("").await.is_ok(),
        store.sketches(Time::ZERO).await.is_ok(),
        store.documents("d", "").await.is_ok(),
        store.events(EventQuery::default()).await.is_ok(),
        store.runs(RunQuery::default()).await.is_ok(),
        store.versions(None).await.is_ok(),
        store.pointers(None).await.is_ok(),
        store.verify_audit().await.is_ok(),
        store.check().await.is_ok(),
    ];
    reads.iter().all(|read| *read)
}

#[tokio::test]
async fn damaged_bytes_are_an_error_and_stay_as_they_are() {
    let directory = directory("bytes");
    let path = directory.join("mainstay.db");
    filled(&path).await;
    let sound = fs::read(&path).unwrap();
    let mut random = Rng::new(11);
    let (mut refused, mut noticed) = (0, 0);
    for round in 0..60 {
        let mut bytes = sound.clone();
        if round % 10 == 9 {
            bytes.truncate(usize::try_from(random.below(sound.len() as u64)).unwrap().max(100));
        }
        for _ in 0..=random.below(40) {
            let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
            bytes[at] = u8::try_from(random.below(256)).unwrap();
        }
        fs::write(&path, &bytes).unwrap();
        match Sqlite::open(&path, Options::default()).await {
            Err(_) => refused += 1,
            Ok(store) => {
                noticed += u32::from(!read_everything(&store).await);
                // Damage may hide from the close, too.
                let _ = store.close().await;
            }
        }
        assert!(fs::read(&path).unwrap() == bytes, "round {round}: the file was written to");
    }
    assert!(refused + noticed > 30, "{refused} were refused and {noticed} noticed of 60");
}

#[tokio::test]
async fn a_damaged_store_is_not_written_to() {
    let directory = directory("write");
    let path = directory.join("mainstay.db");
    filled(&path).await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut past = options.connect().await.unwrap();
    let root = sqlx::query_scalar("SELECT rootpage FROM sqlite_schema WHERE name = 'item'");
    let root: u32 = root.fetch_one(&mut past).await.unwrap();
    past.close().await.unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let page = 4096 * (root as usize - 1);
    bytes[page..page + 4096].fill(0x5a);
    fs::write(&path, &bytes).unwrap();
    let store = Sqlite::open(&path, Options::default()).await.unwrap();
    let first = store.ingest((0..200).map(item).collect(), NOON).await;
    assert!(matches!(first, Err(StoreError::Corrupt(_))), "{first:?}");
    let second = store.change(vec![event(1)], NOON).await;
    assert!(matches!(second, Err(StoreError::Corrupt(_))), "nothing more is written: {second:?}");
    store.close().await.unwrap();
    assert!(fs::read(&path).unwrap() == bytes);
}

#[tokio::test]
async fn a_changed_audit_entry_is_found() {
    let directory = directory("audit");
    let path = directory.join("mainstay.db");
    filled(&path).await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut past = options.connect().await.unwrap();
    assert!(past.execute("UPDATE audit SET actor = 'nobody' WHERE seq = 7").await.is_err(), "a trigger forbids it");
    assert!(past.execute("DELETE FROM audit WHERE seq = 7").await.is_err());
    past.execute("DROP TRIGGER audit_stays; UPDATE audit SET actor = 'nobody' WHERE seq = 7").await.unwrap();
    past.close().await.unwrap();
    let store = Sqlite::open(&path, Options::default()).await.unwrap();
    let found = store.verify_audit().await;
    assert!(matches!(&found, Err(StoreError::Corrupt(what)) if what.contains("entry 7")), "{found:?}");
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_loses_nothing() {
    let directory = directory("full");
    let path = directory.join("mainstay.db");
    let options =
        || Options { retention: Retention { size_max: Some(1 << 20), ..Retention::default() }, ..Options::default() };
    let store = Sqlite::open(&path, options()).await.unwrap();
    let (mut acknowledged, mut full) = (0, 0);
    for n in 0..100 {
        match store.ingest((n * 50..n * 50 + 50).map(item).collect(), NOON).await {
            Ok(_) => acknowledged += 50,
            Err(StoreError::Full) => full += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(full > 0 && acknowledged > 0, "{acknowledged} acknowledged, {full} refused");
    assert_eq!(store.items(ItemQuery::default()).await.unwrap().len(), acknowledged, "reads go on");
    assert!(store.stats().failed == full);
    store.close().await.unwrap();
    assert!(fs::metadata(&path).unwrap().len() <= 1 << 20);
    let store = Sqlite::open(&path, Options::default()).await.unwrap();
    store.check().await.unwrap();
    assert_eq!(store.items(ItemQuery::default()).await.unwrap().len(), acknowledged);
    let counted: u64 = store.load().await.unwrap().iter().flat_map(|it| &it.tens).map(|bucket| bucket.good).sum();
    assert_eq!(counted, acknowledged as u64);
    store.ingest(vec![item(1_000_000)], NOON).await.unwrap();
}

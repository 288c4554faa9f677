//! Where a store rests during a test.

use std::fs;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::time::Time;
use mainstay_store::item::{Delta, Item, Kind};
use mainstay_store::{Options, Sqlite, Store};

/// A time that is the start of an hour.
pub(crate) const NOON: Time = Time::from_secs(1_767_268_800);

/// `secs` after [`NOON`].
pub(crate) fn after(secs: u64) -> Time {
    NOON + Duration::from_secs(secs)
}

pub(crate) trait Place {
    /// Opens what rests here, or makes it.
    fn open_with(&self, options: Options) -> Pin<Box<dyn Future<Output = Arc<dyn Store>> + '_>>;

    fn open(&self) -> Pin<Box<dyn Future<Output = Arc<dyn Store>> + '_>> {
        self.open_with(Options::default())
    }

    /// A name for a file near it, without a file.
    fn file(&self, name: &str) -> PathBuf;
}

/// A directory of its own, below cargo's directory for tests.
pub(crate) struct SqlitePlace {
    directory: PathBuf,
}

impl SqlitePlace {
    pub(crate) fn new(name: &str) -> SqlitePlace {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("contract-{name}"));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        SqlitePlace { directory }
    }
}

impl Drop for SqlitePlace {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Place for SqlitePlace {
    fn open_with(&self, options: Options) -> Pin<Box<dyn Future<Output = Arc<dyn Store>> + '_>> {
        Box::pin(async move {
            let store = Sqlite::open(&self.directory.join("mainstay.db"), options).await.unwrap();
            Arc::new(store) as Arc<dyn Store>
        })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

pub(crate) fn item(kind: Kind, client: &str, id: &str, body: &str) -> Item {
    Item {
        kind,
        client: client.to_owned(),
        id: id.to_owned(),
        about: None,
        at: NOON,
        body: body.to_owned(),
        deltas: Vec::new(),
    }
}

pub(crate) fn delta(objective: &str, start: Time, good: u64, bad: u64) -> Delta {
    Delta { objective: objective.to_owned(), start, good, bad }
}

/// Good and bad of an objective, over all that rests.
pub(crate) async fn total(store: &dyn Store, objective: &str) -> (u64, u64) {
    let all = store.load().await.unwrap();
    let series = all.into_iter().find(|series| series.objective == objective).unwrap_or_default();
    let buckets = series.tens.iter().chain(&series.minutes).chain(&series.hours);
    buckets.fold((0, 0), |sum, bucket| (sum.0 + bucket.good, sum.1 + bucket.bad))
}

//! What mainstay asks of a store, whatever keeps it.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;

use mainstay_core::time::Time;

use crate::audit::Recorded;
use crate::bucket::Series;
use crate::change::Change;
use crate::error::StoreError;
use crate::item::{Counted, Item, ItemQuery, Kind, Sketch, State, Stored, Sums, Verdict};
use crate::record::{Document, Event, EventQuery, Run, RunQuery};
use crate::registry::{Moved, Version};

/// The future of a call.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A store. Writes resolve once they are durable, in the order in which they were called. Reads see every write that was
/// acknowledged before.
pub trait Store: Send + Sync + 'static {
    /// Stores items and counts their deltas, all in one transaction; one verdict for each item, in order.
    fn ingest(&self, items: Vec<Item>, now: Time) -> Answer<'_, Vec<Verdict>>;
    /// Adds counts exactly once.
    fn add_sums(&self, sums: Sums, now: Time) -> Answer<'_, Counted>;
    /// All changes, or none where one cannot be made; the number of each, see [`Change`].
    fn change(&self, changes: Vec<Change>, now: Time) -> Answer<'_, Vec<u64>>;
    /// Rolls buckets up and deletes what is too old, in several short transactions. Call it every minute or so.
    fn maintain(&self, now: Time) -> Answer<'_, Maintained>;

    /// Everything that rests of all objectives, in the order of their names.
    fn load(&self) -> Answer<'_, Vec<Series>>;
    /// The last number of a source; `None` where it is not known.
    fn last_sequence(&self, source: &str) -> Answer<'_, Option<u64>>;
    /// Sketches that end after `since`, in the order of series and start.
    fn sketches(&self, since: Time) -> Answer<'_, Vec<Sketch>>;
    /// States whose key starts with `prefix`, in the order of keys.
    fn states(&self, prefix: &str) -> Answer<'_, Vec<State>>;

    /// An item by its key.
    fn item(&self, kind: Kind, client: &str, id: &str) -> Answer<'_, Option<Stored>>;
    /// Items in the order of their numbers.
    fn items(&self, query: ItemQuery) -> Answer<'_, Vec<Stored>>;
    /// Items of a client that are about a request, in the order of their numbers.
    fn about(&self, client: &str, request: &str) -> Answer<'_, Vec<Stored>>;

    /// A document.
    fn document(&self, kind: &str, id: &str) -> Answer<'_, Option<Document>>;
    /// Documents of a kind with an id after `after`, in the order of ids; at most [`PAGE_MAX`](crate::record::PAGE_MAX).
    fn documents(&self, kind: &str, after: &str) -> Answer<'_, Vec<Document>>;
    /// Documents of a kind with an id before `before`, or all where it is empty, the greatest id first; at most `limit`, and at most
    /// [`PAGE_MAX`](crate::record::PAGE_MAX).
    fn documents_before(&self, kind: &str, before: &str, limit: usize) -> Answer<'_, Vec<Document>>;
    /// A page of the documents of a kind, the greatest id first, and how many there are in all. The page has at most `limit` of them, and at
    /// most [`PAGE_MAX`](crate::record::PAGE_MAX); `skip` come before it.
    fn documents_page(&self, kind: &str, skip: usize, limit: usize) -> Answer<'_, (Vec<Document>, usize)>;
    /// A page of the log of events.
    fn events(&self, query: EventQuery) -> Answer<'_, Vec<Event>>;
    /// A run.
    fn run(&self, id: &str) -> Answer<'_, Option<Run>>;
    /// Runs, the last changed first.
    fn runs(&self, query: RunQuery) -> Answer<'_, Vec<Run>>;

    /// Versions of a model, or of all models: by model, then by when they were made.
    fn versions(&self, model: Option<&str>) -> Answer<'_, Vec<Version>>;
    /// Where each pointer of a model, or of all models, stands: its last move.
    fn pointers(&self, model: Option<&str>) -> Answer<'_, Vec<Moved>>;
    /// The moves of a pointer, the last first; at most `limit`.
    fn moves(&self, model: &str, pointer: &str, limit: usize) -> Answer<'_, Vec<Moved>>;

    /// A page of the audit log, in its order, after the entry `after`.
    fn audit(&self, after: u64, limit: usize) -> Answer<'_, Vec<Recorded>>;
    /// Reads the whole audit log; the number of its entries, or [`StoreError::Corrupt`] at the first one that is not what was
    /// recorded.
    fn verify_audit(&self) -> Answer<'_, u64>;

    /// Writes a copy of this moment to a new file, while everything goes on; its size in bytes. The file appears whole and
    /// durable, or not at all; one that exists is never overwritten.
    fn backup(&self, to: &Path) -> Answer<'_, u64>;
    /// Reads everything and compares it with itself: [`StoreError::Corrupt`] says what is wrong. Slow with a large store.
    fn check(&self) -> Answer<'_, ()>;
    /// Numbers for metrics. Never waits.
    fn stats(&self) -> Stats;
    /// Writes what waits, and closes. Later calls end in [`StoreError::Closed`].
    fn close(&self) -> Answer<'_, ()>;
}

/// What maintenance did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Maintained {
    /// Buckets of ten seconds that became minutes.
    pub rolled_up: u64,
    /// Items that were too old.
    pub items_deleted: u64,
    /// Events that were too old.
    pub events_deleted: u64,
    /// Sketches that were too old.
    pub sketches_deleted: u64,
}

/// How the store fares.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Writes that wait.
    pub queued: u64,
    /// Writes that may wait.
    pub queue_max: u64,
    /// Transactions so far.
    pub commits: u64,
    /// Writes in them.
    pub writes: u64,
    /// Writes that were turned away because too many waited.
    pub refused: u64,
    /// Writes that failed because the disk, the file or the database did.
    pub failed: u64,
    /// Time in commits so far, in nanoseconds, by [`Options::clock`](crate::Options::clock).
    pub commit_nanos: u64,
    /// The longest commit, in nanoseconds.
    pub commit_nanos_max: u64,
    /// The file's size in bytes, without what waits in its log.
    pub size_bytes: u64,
    /// The size of its log in bytes.
    pub log_bytes: u64,
}

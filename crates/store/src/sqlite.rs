//! The store of one machine: one SQLite file, one process.
//!
//! ```text
//! writes ──queue──> writer: BEGIN IMMEDIATE, everything that waits, COMMIT (fsync), answers
//! reads  ─────────> connections that only read, each call in a snapshot of its own
//! ```
//!
//! Beside the file `mainstay.db` stand `mainstay.db-wal` and `mainstay.db-shm`, SQLite's log and its index, while it is open
//! or after a crash, and `mainstay.db.lock`. To copy a store use [`Store::backup`](crate::Store::backup): a copy of the file
//! alone lacks what is in its log.

mod backup;
mod calls;
mod change;
mod failure;
mod file;
mod ingest;
mod insert;
mod lock;
mod maintain;
mod models;
mod open;
mod read;
mod records;
mod roll_up;
mod schema;
mod sums;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use sqlx::SqlitePool;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::error::{OpenError, StoreError};
use crate::options::Options;
use lock::Lock;
use writer::{Queue, Write};

/// A store in a SQLite file.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    options: Options,
    readers: SqlitePool,
    queue: Queue,
    /// Up to which second minutes have become hours, since this store was opened.
    hours_from: AtomicU64,
    /// Taken by [`Store::close`](crate::Store::close), which waits for it.
    writer: Mutex<Option<JoinHandle<()>>>,
    lock: std::sync::Mutex<Option<Arc<Lock>>>,
}

impl Sqlite {
    /// Opens the store at `path`, or makes one where there is no file or an empty one. Must be called on a tokio runtime,
    /// which runs the writer.
    pub async fn open(path: &Path, options: Options) -> Result<Sqlite, OpenError> {
        open::open(path, options).await
    }

    /// Where it rests.
    pub fn path(&self) -> &Path {
        &self.path
    }

    async fn write<W: Write>(&self, write: W) -> Result<W::Output, StoreError> {
        self.queue.write(write)?.await.unwrap_or(Err(StoreError::Closed))
    }
}

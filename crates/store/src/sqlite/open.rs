//! Opening and making a store.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, SqliteConnection};
use tokio::sync::Mutex;

use super::file::{self, Found};
use super::lock::{Lock, beside};
use super::writer::{self, Session};
use super::{Sqlite, failure, schema};
use crate::error::OpenError;
use crate::options::Options;

/// How long a statement waits for a lock of SQLite's own; only a checkpoint takes one that others meet.
const BUSY: Duration = Duration::from_secs(5);
/// The log is cut back to this size when it was longer, in bytes.
const LOG_KEPT: &str = "67108864";
/// Statements that a connection keeps prepared.
const STATEMENTS: usize = 200;

pub(super) async fn open(path: &Path, options: Options) -> Result<Sqlite, OpenError> {
    let path = canonical(path)?;
    // What is not ours gets no lock file beside it either.
    file::look(&path)?;
    let lock = Arc::new(Lock::take(&path)?);
    if file::look(&path)? == Found::Nothing {
        create(&path).await?;
    }
    let failed = |error| failure::opening(&path, error);
    let mut connection = connect(&path, true).await.map_err(failed)?;
    let version = version(&mut connection).await.map_err(failed)?;
    if version > schema::VERSION {
        return Err(OpenError::Newer { path, found: version, known: schema::VERSION });
    }
    schema::migrate(&mut connection, version).await.map_err(failed)?;
    limit(&mut connection, options.retention.size_max).await.map_err(failed)?;
    let readers = SqlitePoolOptions::new().max_connections(options.readers.max(1)).test_before_acquire(false);
    let readers = readers.connect_with(reading(&path)).await.map_err(failed)?;
    let session = Session::new(connection, Arc::clone(&lock));
    let (queue, writer) = writer::start(session, &options);
    let (writer, lock) = (Mutex::new(Some(writer)), std::sync::Mutex::new(Some(lock)));
    Ok(Sqlite { path, options, readers, queue, hours_from: AtomicU64::new(0), writer, lock })
}

/// Two names of one file are one store.
fn canonical(path: &Path) -> Result<PathBuf, OpenError> {
    match fs::canonicalize(path) {
        Ok(path) => return Ok(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(OpenError::Io { path: path.to_path_buf(), doing: "find it", source }),
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let found = fs::canonicalize(directory);
    let found =
        found.map_err(|source| OpenError::Io { path: path.to_path_buf(), doing: "find its directory", source })?;
    Ok(found.join(path.file_name().unwrap_or(path.as_os_str())))
}

/// Makes the whole file under another name first: at `path` there is never half a store.
async fn create(path: &Path) -> Result<(), OpenError> {
    let unfinished = beside(path, ".new");
    let io = |doing| move |source| OpenError::Io { path: path.to_path_buf(), doing, source };
    for left in [&unfinished, &beside(&unfinished, "-journal")] {
        match fs::remove_file(left) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io("remove what an unfinished start left")(error));
            }
            _ => {}
        }
    }
    // SQLite does not say why it cannot make a file; the system does.
    File::create(&unfinished).map_err(io("make it"))?;
    let failed = |error| failure::opening(path, error);
    let mut connection = connect(&unfinished, false).await.map_err(failed)?;
    schema::migrate(&mut connection, 0).await.map_err(failed)?;
    connection.close().await.map_err(failed)?;
    fs::rename(&unfinished, path).map_err(io("give it its name"))?;
    sync_directory(path).map_err(io("make its name durable"))
}

/// A name is durable once its directory is.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

async fn connect(path: &Path, log: bool) -> Result<SqliteConnection, sqlx::Error> {
    let options = options(path).synchronous(SqliteSynchronous::Full);
    if log { options.journal_mode(SqliteJournalMode::Wal).connect().await } else { options.connect().await }
}

/// A connection of no purpose but one statement.
pub(super) async fn connect_once(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    options(path).connect().await
}

fn reading(path: &Path) -> SqliteConnectOptions {
    options(path).pragma("query_only", "ON")
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY)
        .statement_cache_capacity(STATEMENTS)
        .pragma("journal_size_limit", LOG_KEPT)
        .pragma("trusted_schema", "OFF")
        .disable_statement_logging()
}

async fn version(connection: &mut SqliteConnection) -> Result<u32, sqlx::Error> {
    sqlx::query_scalar("PRAGMA user_version").fetch_one(connection).await
}

async fn limit(connection: &mut SqliteConnection, bytes: Option<u64>) -> Result<(), sqlx::Error> {
    let Some(bytes) = bytes else { return Ok(()) };
    let page: u32 = sqlx::query_scalar("PRAGMA page_size").fetch_one(&mut *connection).await?;
    let pages = (bytes / u64::from(page.max(1))).max(1);
    connection.execute(AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"))).await?;
    Ok(())
}

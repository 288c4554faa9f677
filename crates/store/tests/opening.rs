//! What a store refuses to open, and that it leaves such files as they are.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};

use mainstay_store::{OpenError, Options, Sqlite, Store as _};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};

fn directory(name: &str) -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("opening-{name}"));
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    directory
}

async fn refused(path: &Path) -> OpenError {
    Sqlite::open(path, Options::default()).await.unwrap_err()
}

/// What lies in a directory, with its bytes.
fn tree(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut tree: Vec<_> = paths.map(|path| (path.clone(), fs::read(&path).unwrap())).collect();
    tree.sort();
    tree
}

/// Opens another program's database, or ours, past the store.
async fn execute(path: &Path, sql: &'static str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    connection.execute(sql).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn files_of_others_are_refused_and_stay() {
    let directory = directory("foreign");
    let text = directory.join("notes.txt");
    fs::write(&text, "x".repeat(5000)).unwrap();
    let short = directory.join("short.db");
    fs::write(&short, "SQLite format 3\0").unwrap();
    let other = directory.join("other.db");
    execute(&other, "CREATE TABLE mine (a); INSERT INTO mine VALUES (1)").await;
    let before = tree(&directory);
    for (path, what) in [(&text, "not a SQLite file"), (&short, "not a SQLite file"), (&other, "another program")] {
        let error = refused(path).await;
        assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains(what) && message.contains(path.to_str().unwrap()), "{message}");
    }
    assert!(tree(&directory) == before, "not even a lock file");
    assert!(matches!(refused(&directory).await, OpenError::Foreign { .. } | OpenError::Io { .. }));
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_stays() {
    let directory = directory("newer");
    let path = directory.join("mainstay.db");
    Sqlite::open(&path, Options::default()).await.unwrap().close().await.unwrap();
    execute(&path, "PRAGMA journal_mode = DELETE; PRAGMA user_version = 1000").await;
    let before = fs::read(&path).unwrap();
    let error = refused(&path).await;
    assert!(matches!(error, OpenError::Newer { found: 1000, .. }), "{error}");
    assert!(fs::read(&path).unwrap() == before);
}

#[tokio::test]
async fn a_newer_schema_in_the_log_alone_is_refused() {
    let directory = directory("newer-log");
    let path = directory.join("mainstay.db");
    Sqlite::open(&path, Options::default()).await.unwrap().close().await.unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut newer = options.connect().await.unwrap();
    newer.execute("PRAGMA wal_autocheckpoint = 0; PRAGMA user_version = 1000").await.unwrap();
    let error = refused(&path).await;
    assert!(matches!(error, OpenError::Newer { found: 1000, .. }), "{error}");
    newer.close().await.unwrap();
}

#[tokio::test]
async fn one_opens_it_at_a_time_and_the_next_when_it_is_closed() {
    let directory = directory("twice");
    let path = directory.join("mainstay.db");
    let first = Sqlite::open(&path, Options::default()).await.unwrap();
    let link = directory.join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for name in [&path, &link] {
        let error = refused(name).await;
        assert!(matches!(error, OpenError::InUse { .. }), "{error}");
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    }
    first.close().await.unwrap();
    Sqlite::open(&link, Options::default()).await.unwrap();
}

#[tokio::test]
async fn an_empty_file_becomes_a_store_and_an_unfinished_one_is_made_anew() {
    let directory = directory("empty");
    let path = directory.join("mainstay.db");
    fs::write(&path, "").unwrap();
    fs::write(directory.join("mainstay.db.new"), "half").unwrap();
    let store = Sqlite::open(&path, Options::default()).await.unwrap();
    store.check().await.unwrap();
    store.close().await.unwrap();
    let names: Vec<_> = tree(&directory).into_iter().map(|(path, _)| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["mainstay.db", "mainstay.db.lock"]);
}

#[tokio::test]
async fn a_place_without_a_directory_or_that_cannot_be_written_says_so() {
    let directory = directory("place");
    let nowhere = refused(&directory.join("none/mainstay.db")).await;
    assert!(matches!(nowhere, OpenError::Io { doing: "find its directory", .. }), "{nowhere}");
    fs::write(directory.join("file"), "").unwrap();
    let below_a_file = refused(&directory.join("file/mainstay.db")).await;
    assert!(matches!(below_a_file, OpenError::Io { .. }), "{below_a_file}");
    // Nobody can make files there, not even root.
    let read_only = refused(Path::new("/proc/mainstay.db")).await;
    assert!(matches!(read_only, OpenError::Io { .. }), "{read_only}");
}

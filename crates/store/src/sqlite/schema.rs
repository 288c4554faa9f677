//! The schema and its versions. A file is one of ours by its `application_id`, and of this version by its `user_version`.

use sqlx::{AssertSqlSafe, Executor as _, SqliteConnection};

/// "Mnst", where SQLite keeps whose file it is.
pub(super) const APPLICATION_ID: u32 = 0x4d6e_7374;

/// What makes each version from the one before; the first makes version 1. What was released is never edited.
const MIGRATIONS: [&str; 1] = [include_str!("../../migrations/sqlite/0001_start.sql")];

/// The version of this build.
pub(super) const VERSION: u32 = MIGRATIONS.len() as u32;

/// Brings a file of version `from` to [`VERSION`], each step in a transaction.
pub(super) async fn migrate(connection: &mut SqliteConnection, from: u32) -> Result<(), sqlx::Error> {
    for (version, migration) in (1..).zip(MIGRATIONS).filter(|(version, _)| *version > from) {
        // Both numbers are part of the file's first page, hence of the transaction.
        let step = format!(
            "BEGIN IMMEDIATE;\n{migration}\nPRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {version};\nCOMMIT;"
        );
        connection.execute(AssertSqlSafe(step)).await?;
    }
    Ok(())
}

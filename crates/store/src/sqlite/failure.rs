//! What the database says, as what a caller can do about it.

use std::path::Path;
use std::sync::Arc;

use crate::error::{OpenError, StoreError};

/// SQLite's result codes, the low byte (SQLite, "Result and Error Codes").
const CORRUPT: u32 = 11;
const FULL: u32 = 13;
const NOT_A_DATABASE: u32 = 26;

/// For any statement.
pub(super) fn store(error: sqlx::Error) -> StoreError {
    match (code(&error), &error) {
        (Some(FULL), _) => StoreError::Full,
        (Some(CORRUPT | NOT_A_DATABASE), _) | (_, sqlx::Error::ColumnDecode { .. }) => {
            StoreError::Corrupt(error.to_string().into())
        }
        (_, sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed) => StoreError::Closed,
        _ => StoreError::Database(Arc::new(error)),
    }
}

/// For opening.
pub(super) fn opening(path: &Path, error: sqlx::Error) -> OpenError {
    let path = path.to_path_buf();
    match code(&error) {
        Some(CORRUPT | NOT_A_DATABASE) => OpenError::Corrupt { path, source: Arc::new(error) },
        _ => OpenError::Database { path, source: Arc::new(error) },
    }
}

/// Whether it speaks of the database rather than of what was asked: the transaction is lost.
pub(super) fn is_failure(error: &StoreError) -> bool {
    match error {
        StoreError::Full | StoreError::Corrupt(_) | StoreError::Io { .. } | StoreError::Database(_) => true,
        StoreError::Busy
        | StoreError::Closed
        | StoreError::TooLarge { .. }
        | StoreError::Invalid(_)
        | StoreError::Conflict { .. }
        | StoreError::Unknown(_) => false,
    }
}

fn code(error: &sqlx::Error) -> Option<u32> {
    let code: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

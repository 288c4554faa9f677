//! A copy of one moment, while everything goes on.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::lock::beside;
use super::open::{connect_once, sync_directory};
use super::{Sqlite, failure};
use crate::error::StoreError;

impl Sqlite {
    /// Under another name first: at `to` there is never half a copy.
    pub(super) async fn copy(&self, to: &Path) -> Result<u64, StoreError> {
        if to.symlink_metadata().is_ok() {
            let (what, found) = (format!("the backup {}", to.display()), "it exists".to_owned());
            return Err(StoreError::Conflict { what, found });
        }
        let unfinished = beside(to, ".unfinished");
        let made = self.vacuum(&unfinished).await;
        let finished = match made {
            Ok(()) => finish(unfinished.clone(), to.to_path_buf()).await,
            Err(error) => Err(error),
        };
        if finished.is_err() && !matches!(finished, Err(StoreError::Conflict { .. })) {
            // The error that is returned says more than this one would.
            let _ = fs::remove_file(&unfinished);
        }
        finished
    }

    async fn vacuum(&self, unfinished: &Path) -> Result<(), StoreError> {
        let io = io_error(format!("make the backup {}", unfinished.display()));
        // Makes it, or says that somebody else is at it, or why it cannot be made, which SQLite does not.
        File::create_new(unfinished).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => StoreError::Conflict {
                what: format!("the backup's first half {}", unfinished.display()),
                found: "it exists: another backup runs, or one broke off and left it to be deleted".to_owned(),
            },
            _ => io(source),
        })?;
        let name =
            unfinished.to_str().ok_or_else(|| StoreError::Invalid("a backup's name must be UTF-8".to_owned()))?;
        let mut connection = connect_once(&self.path).await.map_err(failure::store)?;
        let query = sqlx::query("VACUUM INTO $1").bind(name);
        query.execute(&mut connection).await.map_err(failure::store)?;
        Ok(())
    }
}

/// Durable first, then named: a link fails where the name is taken.
async fn finish(unfinished: PathBuf, to: PathBuf) -> Result<u64, StoreError> {
    let io = io_error(format!("finish the backup {}", to.display()));
    let finish = move || {
        let file = File::open(&unfinished)?;
        file.sync_all()?;
        fs::hard_link(&unfinished, &to)?;
        fs::remove_file(&unfinished)?;
        sync_directory(&fs::canonicalize(&to)?)?;
        Ok(file.metadata()?.len())
    };
    let done = tokio::task::spawn_blocking(finish).await.map_err(|_| StoreError::Closed)?;
    done.map_err(io)
}

fn io_error(doing: String) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::Io { doing, source: Arc::new(source) }
}

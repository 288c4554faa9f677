//! Why something did not come to rest, or could not be read.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a store could not be opened. Nothing was overwritten.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("open {}: {holder} has it open; one process may use a store at a time", path.display())]
    InUse {
        /// The store.
        path: PathBuf,
        /// Who has it, as far as is known.
        holder: String,
    },
    /// A file of another kind.
    #[error("open {}: it is not a store of mainstay ({what}); name another file", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: String,
    },
    /// Written by a newer mainstay.
    #[error("open {}: its schema is version {found}, this build knows up to {known}; use the newer mainstay", path.display())]
    Newer {
        /// The store.
        path: PathBuf,
        /// The file's schema.
        found: u32,
        /// The newest schema of this build.
        known: u32,
    },
    /// The file is damaged.
    #[error("open {}: it is damaged; keep a copy and restore a backup", path.display())]
    Corrupt {
        /// The store.
        path: PathBuf,
        /// What the database says.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The file or its directory cannot be read or written.
    #[error("open {}: {doing}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The database refused for another reason.
    #[error("open {}", path.display())]
    Database {
        /// The store.
        path: PathBuf,
        /// What the database says.
        source: Arc<dyn Error + Send + Sync>,
    },
}

/// Why something was not written or read. A write that ends in an error changed nothing, except where it says so.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Too much waits to be written. Try again in a moment.
    #[error("too much waits to be written")]
    Busy,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// No room on the disk, or the largest size that it may have is reached. Reads go on.
    #[error("no room is left for the store")]
    Full,
    /// The file is damaged. Nothing more is written to it.
    #[error("the store is damaged; keep a copy and restore a backup: {0}")]
    Corrupt(Arc<str>),
    /// More than one call may carry.
    #[error("{what} is larger than {max}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The most that is accepted, in the unit of `what`.
        max: usize,
    },
    /// What was given can not be stored as it is.
    #[error("{0}")]
    Invalid(String),
    /// It exists with other content, or at another revision than was expected.
    #[error("{what} is not as expected: {found}")]
    Conflict {
        /// What was to be changed.
        what: String,
        /// What is there.
        found: String,
    },
    /// There is no such thing.
    #[error("there is no {0}")]
    Unknown(String),
    /// A file could not be written.
    #[error("{doing}")]
    Io {
        /// What was tried.
        doing: String,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// The database failed for another reason. After a failed commit it is not known whether the write is there.
    #[error("the database failed")]
    Database(#[source] Arc<dyn Error + Send + Sync>),
}

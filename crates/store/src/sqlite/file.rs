//! What a file is, told from its first bytes, before SQLite may touch it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::schema::{APPLICATION_ID, VERSION};
use crate::error::OpenError;

const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Of the header, in bytes; `user_version` and `application_id` are big-endian at these places (SQLite, "Database File
/// Format", 1.3).
const HEADER: usize = 100;
const USER_VERSION: usize = 60;
const APPLICATION: usize = 68;

/// What stands at a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing, or an empty file.
    Nothing,
    /// A store of this or an older version.
    Store,
}

/// Looks at `path`; changes nothing.
pub(super) fn look(path: &Path) -> Result<Found, OpenError> {
    let failed = |source| OpenError::Io { path: path.to_path_buf(), doing: "read its first bytes", source };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(failed(error)),
    };
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(foreign(path, "not a file"));
    }
    let mut header = Vec::with_capacity(HEADER);
    file.by_ref().take(HEADER as u64).read_to_end(&mut header).map_err(failed)?;
    judge(path, &header)
}

fn judge(path: &Path, header: &[u8]) -> Result<Found, OpenError> {
    if header.is_empty() {
        return Ok(Found::Nothing);
    }
    if header.len() < HEADER || !header.starts_with(MAGIC) {
        return Err(foreign(path, "not a SQLite file"));
    }
    if number(header, APPLICATION) != APPLICATION_ID {
        return Err(foreign(path, "a SQLite file of another program"));
    }
    match number(header, USER_VERSION) {
        found if found > VERSION => Err(OpenError::Newer { path: path.to_path_buf(), found, known: VERSION }),
        _ => Ok(Found::Store),
    }
}

fn number(header: &[u8], at: usize) -> u32 {
    header.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

fn foreign(path: &Path, what: &str) -> OpenError {
    OpenError::Foreign { path: path.to_path_buf(), what: what.to_owned() }
}

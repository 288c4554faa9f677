//! Files that have grown too long to be read at once; tests at their end are not counted.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Finding, source};

/// Lines a file should have at most.
pub(super) const AIM: usize = 400;
/// Lines a file must not exceed.
const LIMIT: usize = 700;

/// Files beyond the aim, the longest first, with their lines.
pub(super) fn long(root: &Path) -> Result<Vec<(PathBuf, usize)>> {
    let mut long = lengths(root)?;
    long.retain(|(_, lines)| *lines > AIM);
    long.sort_by_key(|(_, lines)| std::cmp::Reverse(*lines));
    Ok(long)
}

pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let beyond = lengths(root)?.into_iter().filter(|(_, lines)| *lines > LIMIT);
    Ok(beyond
        .map(|(file, lines)| Finding::new(&root.join(file), 0, format!("{lines} lines; at most {LIMIT}")))
        .collect())
}

/// Relative paths; whole files of tests are left out.
fn lengths(root: &Path) -> Result<Vec<(PathBuf, usize)>> {
    let mut lengths = Vec::new();
    for source in source::all(root)? {
        if !source.is_test() {
            let file = source.path.strip_prefix(root).unwrap_or(&source.path);
            lengths.push((file.to_path_buf(), source.shipped().lines().count()));
        }
    }
    Ok(lengths)
}

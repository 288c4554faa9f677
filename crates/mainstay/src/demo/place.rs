//! Where the demo keeps its files: a directory that the user named, or one that goes away.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// A directory for one run.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    is_kept: bool,
}

impl Place {
    /// Uses `dir`, or makes a temporary directory that is removed in the end.
    pub(super) fn open(dir: Option<&Path>) -> anyhow::Result<Place> {
        let path = match dir {
            Some(dir) => dir.to_owned(),
            None => std::env::temp_dir().join(format!("mainstay-demo-{}", std::process::id())),
        };
        fs::create_dir_all(&path).with_context(|| format!("cannot make the directory {}", path.display()))?;
        // Absolute, since the config inside names it.
        let path = path.canonicalize().with_context(|| format!("cannot find {}", path.display()))?;
        Ok(Place { path, is_kept: dir.is_some() })
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file into it and answers with its path.
    pub(super) fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.path.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// Whether the files outlive the run.
    pub(super) fn is_kept(&self) -> bool {
        self.is_kept
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.is_kept {
            // Left behind, a temporary directory is the system's to clean.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

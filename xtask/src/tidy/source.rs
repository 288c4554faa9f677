//! Rust files, and the part of each that is shipped.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// One file of Rust.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl Source {
    /// A file that is compiled for tests alone.
    pub(super) fn is_test(&self) -> bool {
        self.path.components().any(|part| part.as_os_str() == "tests") || self.path.ends_with("tests.rs")
    }

    /// The lines before the file's own tests, which come last.
    pub(super) fn shipped(&self) -> &str {
        shipped(&self.text)
    }
}

/// What comes before `#[cfg(test)]` at the start of a line, where that opens a module of tests.
pub(super) fn shipped(text: &str) -> &str {
    let tests =
        text.match_indices("\n#[cfg(test)]\n").find(|(at, marker)| text[at + marker.len()..].starts_with("mod "));
    // `mod tests;` keeps its tests in another file, and more may follow it.
    let tests =
        tests.filter(|(at, marker)| !text[at + marker.len()..].lines().next().is_some_and(|l| l.ends_with(';')));
    &text[..tests.map_or(text.len(), |(at, _)| at + 1)]
}

/// Every `.rs` file below `directory`, but for build outputs, in order.
pub(super) fn below(directory: &Path) -> Result<Vec<Source>> {
    let mut found = Vec::new();
    collect(directory, &mut found)?;
    found.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Source { path, text })
    };
    found.into_iter().map(read).collect()
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("target")) {
                collect(&path, found)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// Everything Rust in the tree.
pub(super) fn all(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for directory in ["crates", "fuzz", "xtask"] {
        sources.extend(below(&root.join(directory))?);
    }
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_at_the_end_are_not_shipped() {
        assert_eq!(shipped("fn a() {}\n#[cfg(test)]\nmod tests {\n}\n"), "fn a() {}\n");
        assert_eq!(shipped("#[cfg(test)]\nfn helper() {}\n"), "#[cfg(test)]\nfn helper() {}\n");
        let separate = "fn a() {}\n#[cfg(test)]\nmod tests;\nfn b() {}\n";
        assert_eq!(shipped(separate), separate);
    }
}

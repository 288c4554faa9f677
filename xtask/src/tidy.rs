//! The project's own rules, checked on the text of the tree: what neither rustc nor clippy can know.

mod arrows;
mod length;
pub(crate) mod manifest;
mod source;
mod systems;
mod words;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::shell;

/// One thing that is not as it should be.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Relative to the root of the workspace.
    file: PathBuf,
    /// From 1; 0 where it is about the whole file.
    line: usize,
    what: String,
}

impl Finding {
    fn new(file: &Path, line: usize, what: impl Into<String>) -> Self {
        let file = file.strip_prefix(shell::root()).unwrap_or(file).to_path_buf();
        Self { file, line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.what)
    }
}

/// Prints all findings and the longest files; true when there are no findings.
pub(crate) fn run() -> Result<bool> {
    for (file, lines) in length::long(&shell::root())? {
        println!("note: {} has {lines} lines without tests (aim: {})", file.display(), length::AIM);
    }
    let findings = check(&shell::root())?;
    for finding in &findings {
        println!("{finding}");
    }
    println!("tidy: {} findings", findings.len());
    Ok(findings.is_empty())
}

/// Every rule on the tree below `root`, in the order of files.
fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = manifest::check(root)?;
    findings.extend(arrows::check(root)?);
    findings.extend(words::check(root)?);
    findings.extend(length::check(root)?);
    findings.extend(systems::check(root)?);
    findings.sort();
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_keeps_its_rules() {
        let findings = check(&shell::root()).unwrap();
        let listed: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert!(findings.is_empty(), "\n{}", listed.join("\n"));
    }
}

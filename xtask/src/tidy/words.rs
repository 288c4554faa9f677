//! Words that have no place in the sources, each with what to do in its stead.

use std::path::Path;

use anyhow::Result;

use super::{Finding, source};

/// Broken in two, so that this file does not hold them itself.
const BANNED: [(&str, &str, &str); 11] = [
    ("#[al", "low(", "`#[expect(.., reason = ..)]` tells when it is no longer needed"),
    ("#![al", "low(", "`#![expect(.., reason = ..)]` tells when it is no longer needed"),
    ("#[ig", "nore", "a test runs, or is deleted"),
    ("should", "_panic", "assert on the result that is returned"),
    ("to", "do!(", "write it, or leave it out"),
    ("unimple", "mented!(", "write it, or leave it out"),
    ("TO", "DO", "an issue, or the work itself"),
    ("FIX", "ME", "an issue, or the work itself"),
    ("XX", "X", "an issue, or the work itself"),
    ("for", " now", "say what holds, and why"),
    ("db", "g!(", "a trace event, or nothing"),
];

pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let sources = source::all(root)?;
    Ok(sources.iter().flat_map(|source| findings(&source.path, &source.text)).collect())
}

fn findings(path: &Path, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (n, line) in text.lines().enumerate() {
        for (start, end, instead) in BANNED {
            let word = format!("{start}{end}");
            if line.contains(&word) {
                findings.push(Finding::new(path, n + 1, format!("`{word}`: {instead}")));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_banned_word_is_found_where_it_stands() {
        for (start, end, _) in BANNED {
            let found = findings(Path::new("a.rs"), &format!("fn a() {{}}\n// {start}{end}"));
            assert!(found.iter().any(|finding| finding.line == 2), "{start}{end}");
        }
        assert_eq!(findings(Path::new("a.rs"), "#[expect(dead_code, reason = \"tested\")]"), []);
    }
}

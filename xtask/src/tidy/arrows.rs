//! The order of the core's public modules: one uses only those listed above it in `lib.rs`, and within a family in the
//! family's own file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Finding, source};

/// Children of each module in the order of their declaration, by path: `[]` is the crate.
type Order = BTreeMap<Vec<String>, Vec<String>>;

pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let src = root.join("crates/core/src");
    let files = source::below(&src)?;
    let files: Vec<_> = files.into_iter().filter(|file| !file.is_test()).collect();
    let modules: Vec<_> =
        files.iter().map(|file| module_of(file.path.strip_prefix(&src).unwrap_or(&file.path))).collect();
    let order: Order = modules.iter().cloned().zip(files.iter().map(|file| declared(file.shipped()))).collect();
    let found = files.iter().zip(&modules).flat_map(|(file, own)| findings(&file.path, own, file.shipped(), &order));
    Ok(found.collect())
}

/// `resilience/breaker.rs` is `[resilience, breaker]`; `lib.rs` is `[]`.
fn module_of(file: &Path) -> Vec<String> {
    let stem: PathBuf = file.with_extension("");
    let parts = stem.iter().map(|part| part.to_string_lossy().into_owned());
    parts.filter(|part| part != "lib").collect()
}

/// Public modules alone: how a module is cut into private ones is its own business.
fn declared(text: &str) -> Vec<String> {
    let modules = text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    modules.map(str::to_owned).collect()
}

fn findings(path: &Path, own: &[String], text: &str, order: &Order) -> Vec<Finding> {
    let wrong = uses(own, text).into_iter().filter(|(_, used)| is_upward(own, used, order));
    wrong
        .map(|(line, used)| Finding::new(path, line, format!("uses `{}`, which is listed below it", used.join("::"))))
        .collect()
}

/// At the first step where the two paths part, the used module must be listed above the using one.
fn is_upward(own: &[String], used: &[String], order: &Order) -> bool {
    let shared = own.iter().zip(used).take_while(|(a, b)| a == b).count();
    let (Some(from), Some(to), Some(children)) = (own.get(shared), used.get(shared), order.get(&own[..shared])) else {
        return false;
    };
    let position = |name: &String| children.iter().position(|child| child == name);
    matches!((position(from), position(to)), (Some(from), Some(to)) if to > from)
}

/// Every path that starts with `crate` or `super`, from the crate's root, with its line; comments do not count.
fn uses(own: &[String], text: &str) -> Vec<(usize, Vec<String>)> {
    let code: String = text.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n").collect();
    let mut found = Vec::new();
    for (start, base) in starts(own, &code) {
        let line = code[..start].matches('\n').count() + 1;
        let mut paths = Vec::new();
        expand(&code[start..], base, &mut paths);
        found.extend(paths.into_iter().map(|path| (line, path)));
    }
    found
}

/// Where a path goes on after `crate::` or `super::`s, and the module it goes on from.
fn starts(own: &[String], code: &str) -> Vec<(usize, Vec<String>)> {
    let after = |word: &'static str| code.match_indices(word).map(move |(at, word)| (at, at + word.len()));
    let free = |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
    let mut starts: Vec<_> = after("crate::").filter(|(at, _)| free(*at)).map(|(_, end)| (end, Vec::new())).collect();
    for (at, mut end) in after("super::").filter(|(at, _)| free(*at)) {
        let mut base = own.to_vec();
        base.pop();
        while code[end..].starts_with("super::") {
            base.pop();
            end += "super::".len();
        }
        if at < end {
            starts.push((end, base));
        }
    }
    starts
}

/// Reads `a::{b, c::d}` after `base` into paths; returns what is left of the text.
fn expand<'a>(text: &'a str, base: Vec<String>, paths: &mut Vec<Vec<String>>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = expand(rest, base.clone(), paths).trim_start();
            let Some(next) = rest.strip_prefix(',') else { break };
            rest = next;
        }
        return rest.strip_prefix('}').unwrap_or(rest);
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let mut path = base;
    if !name.is_empty() {
        path.push(name.to_owned());
    }
    match rest.strip_prefix("::") {
        Some(rest) if !name.is_empty() => expand(rest, path, paths),
        _ => {
            paths.push(path);
            rest
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn found(own: &[&str], text: &str) -> Vec<String> {
        let mut order = Order::new();
        order.insert(vec![], declared("pub mod time;\npub mod stats;\nmod detail;\npub mod resilience;\n"));
        order.insert(strings(&["resilience"]), declared("pub mod retry;\npub mod breaker;"));
        findings(Path::new("f.rs"), &strings(own), text, &order).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_module_uses_those_above_it() {
        assert_eq!(found(&["stats"], "use crate::time::Time;\n"), Vec::<String>::new());
        assert_eq!(
            found(&["resilience", "breaker"], "use super::retry::Budget;\nuse crate::{time, stats::Mean};"),
            Vec::<String>::new()
        );
        assert_eq!(
            found(&["resilience"], "use self::retry::Budget;\nuse crate::resilience::breaker::B;"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_module_does_not_use_those_below_it() {
        let nested = "use std::fmt;\nuse crate::{\n    time::Time,\n    resilience::{retry::A, breaker},\n};\n";
        assert_eq!(
            found(&["stats"], nested),
            [
                "f.rs:2: uses `resilience::retry::A`, which is listed below it",
                "f.rs:2: uses `resilience::breaker`, which is listed below it",
            ]
        );
        assert_eq!(
            found(&["resilience", "retry"], "fn f(b: super::breaker::Breaker) {}"),
            ["f.rs:1: uses `resilience::breaker::Breaker`, which is listed below it"]
        );
    }

    #[test]
    fn comments_and_deeper_supers_are_understood() {
        assert_eq!(found(&["stats"], "/// See [`crate::resilience`].\n"), Vec::<String>::new());
        assert_eq!(
            found(&["stats", "window"], "use super::super::resilience::retry;"),
            ["f.rs:1: uses `resilience::retry`, which is listed below it"]
        );
    }
}

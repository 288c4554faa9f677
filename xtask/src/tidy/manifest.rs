//! Manifests: which crate may use which, where versions are written, and that every crate has the workspace's lints.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Finding;

/// The arrows between crates, as in the architecture: they point inwards, and there are no others.
const ARROWS: [(&str, &[&str]); 11] = [
    ("mainstay-core", &[]),
    ("mainstay-config", &["mainstay-core"]),
    ("mainstay-sim", &["mainstay-core", "mainstay-config"]),
    ("mainstay-tower", &["mainstay-core"]),
    ("mainstay-gateway", &["mainstay-core", "mainstay-tower"]),
    ("mainstay-store", &["mainstay-core"]),
    ("mainstay-trainer", &["mainstay-core"]),
    ("mainstay-telemetry", &["mainstay-core"]),
    ("mainstay-control", &["mainstay-core", "mainstay-store"]),
    ("mainstay-py", &["mainstay-core", "mainstay-config", "mainstay-sim"]),
    (
        "mainstay",
        &[
            "mainstay-core",
            "mainstay-config",
            "mainstay-sim",
            "mainstay-tower",
            "mainstay-gateway",
            "mainstay-store",
            "mainstay-trainer",
            "mainstay-telemetry",
            "mainstay-control",
        ],
    ),
];

/// Direct dependencies the core may have: each one is in the build of everything.
const CORE_DEPENDENCIES_MAX: usize = 10;

/// A manifest as sections of `key = value` lines, which is all that the rules need.
pub(crate) struct Manifest {
    path: PathBuf,
    entries: Vec<Entry>,
}

struct Entry {
    line: usize,
    section: String,
    key: String,
    value: String,
}

impl Manifest {
    /// Reads `path`.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self::parse(path, &text))
    }

    /// The package's name; empty where there is none.
    pub(crate) fn name(&self) -> &str {
        let mut names = self.entries.iter().filter(|entry| entry.section == "package" && entry.key == "name");
        names.next().map_or("", |entry| entry.value.trim_matches('"'))
    }

    fn parse(path: &Path, text: &str) -> Self {
        let (mut section, mut entries) = (String::new(), Vec::new());
        for (n, line) in text.lines().enumerate() {
            let line = line.trim();
            if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                header.trim_matches(['[', ']']).clone_into(&mut section);
            } else if let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
                let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
                entries.push(Entry { line: n + 1, section: section.clone(), key, value });
            }
        }
        Self { path: path.to_path_buf(), entries }
    }

    fn dependencies(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.section.ends_with("dependencies"))
    }

    fn findings(&self) -> Vec<Finding> {
        let mut findings = self.outward_arrows();
        findings.extend(self.own_versions());
        let lints = |entry: &Entry| entry.section == "lints" && entry.key == "workspace" && entry.value == "true";
        if !self.entries.iter().any(lints) {
            findings.push(Finding::new(&self.path, 0, "without `[lints] workspace = true`"));
        }
        let direct = self.dependencies().filter(|entry| entry.section == "dependencies").count();
        if self.name() == "mainstay-core" && direct > CORE_DEPENDENCIES_MAX {
            let what = format!("the core has {direct} direct dependencies; at most {CORE_DEPENDENCIES_MAX}");
            findings.push(Finding::new(&self.path, 0, what));
        }
        findings
    }

    /// Tests may look at any crate; what is shipped may not.
    fn outward_arrows(&self) -> Vec<Finding> {
        let name = self.name();
        let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == name) else { return Vec::new() };
        let shipped = self.dependencies().filter(|entry| !entry.section.ends_with("dev-dependencies"));
        let own = shipped.filter(|entry| entry.key.starts_with("mainstay"));
        let wrong = own.filter(|entry| !allowed.contains(&crate_of(entry)));
        wrong
            .map(|entry| Finding::new(&self.path, entry.line, format!("{name} must not use {}", crate_of(entry))))
            .collect()
    }

    fn own_versions(&self) -> Vec<Finding> {
        let elsewhere = |entry: &&Entry| !entry.value.contains("workspace = true") && !inherits(entry);
        let findings = self.dependencies().filter(elsewhere);
        let what = |entry: &Entry| format!("the version of {} belongs into [workspace.dependencies]", entry.key);
        findings.map(|entry| Finding::new(&self.path, entry.line, what(entry))).collect()
    }
}

/// The crate's name in both spellings: `name = { .. }` and `name.workspace = true`.
fn crate_of(entry: &Entry) -> &str {
    entry.key.split('.').next().unwrap_or_default()
}

fn inherits(entry: &Entry) -> bool {
    entry.key.ends_with(".workspace") && entry.value == "true"
}

/// Every member of the workspace; `fuzz` and the proxies of the bench are packages of their own.
pub(crate) fn members(root: &Path) -> Result<Vec<PathBuf>> {
    let mut members = vec![root.join("xtask"), root.join("fuzz/targets")];
    for directory in fs::read_dir(root.join("crates"))? {
        members.push(directory?.path());
    }
    members.retain(|member| member.join("Cargo.toml").is_file());
    members.sort();
    Ok(members)
}

pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for member in members(root)? {
        findings.extend(Manifest::read(&member.join("Cargo.toml"))?.findings());
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<String> {
        let manifest = Manifest::parse(Path::new("Cargo.toml"), text);
        manifest.findings().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_inward_arrow_with_inherited_versions_is_fine() {
        let text = "[package]\nname = \"mainstay-gateway\"\n[lints]\nworkspace = true\n[dependencies]\nmainstay-core = { workspace = true }\ntokio.workspace = true\n[dev-dependencies]\nmainstay-config = { workspace = true }";
        assert_eq!(findings(text), Vec::<String>::new());
    }

    #[test]
    fn an_outward_arrow_a_version_and_missing_lints_are_found() {
        let text = "[package]\nname = \"mainstay-core\"\n[dependencies]\nmainstay-config = { workspace = true }\nserde = \"1\"";
        assert_eq!(
            findings(text),
            [
                "Cargo.toml:4: mainstay-core must not use mainstay-config",
                "Cargo.toml:5: the version of serde belongs into [workspace.dependencies]",
                "Cargo.toml:0: without `[lints] workspace = true`",
            ]
        );
    }

    #[test]
    fn the_core_stays_small() {
        let many = "a = { workspace = true }\n".repeat(11);
        let text = format!("[package]\nname = \"mainstay-core\"\n[lints]\nworkspace = true\n[dependencies]\n{many}");
        assert_eq!(findings(&text), ["Cargo.toml:0: the core has 11 direct dependencies; at most 10"]);
    }
}

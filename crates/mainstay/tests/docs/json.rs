//! What each command's help says of `--format json` is what it writes.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::commands::{Folder, leaves};
use crate::page::{Block, Page};

/// Commands in an order in which each finds what it needs; a number before one is what it ends with, where it is not 0.
const ASKED: &str = "
init --config other.yaml
check
explain E0101
schema config
completions bash
version
status
level pin score 2 --for 30m --reason odd
level auto score
runs list
models list
review list --state waiting
slo list
slo show payments_availability
slo export --prometheus
slo correction add load-test --from 2026-11-01T12:00:00Z --to 2026-11-01T13:00:00Z --reason test
slo correction list
slo correction remove load-test
slo maintenance add reindex --from 02:30 --length 90m --day sunday --reason test
slo maintenance list
slo maintenance end reindex
drift check a.csv b.csv
drift baseline amount training.parquet --column amount
drift status
quality report
incident open 'answers are odd' --severity sev2 --route score
incident list
incident show AI-20260301-0001
incident ack AI-20260301-0001
incident note AI-20260301-0001 'the feed changed at noon'
incident action AI-20260301-0001 pin_level --route score --level 2 --for 30m
incident undo AI-20260301-0001 1
incident write AI-20260301-0001 --root-cause 'a unit changed'
incident status AI-20260301-0001 resolved --reason over
incident review AI-20260301-0001
incident metrics
incident silence --route score --for 1h --reason moved
incident silences
runbook
oncall who
oncall schedule ml
oncall override ml bob --from 2026-11-01T12:00:00Z --until 2027-11-01T12:00:00Z
oncall overrides
chaos list
chaos plan score-feature-store-latency
1 chaos run score-feature-store-latency --yes
chaos report EXP-2026-0001
chaos halt --reason tv
chaos resume --reason calm
chaos export --chaostoolkit score-primary-model-failure
gameday list
gameday findings
gameday tabletop examples/gamedays/store-outage.md
1 gameday rehearse examples/gamedays/store-outage.md
simulate docs/drills/a3-brown-out.md
wall --list
";

/// Commands that need more than a service without traffic, and what.
const ELSEWHERE: [(&str, &str); 18] = [
    ("demo", "minutes; `cargo xtask test` reads the same document from its folder"),
    ("serve", "an end; the tests of the command line read its line"),
    ("top", "an end; its own tests read its lines"),
    ("train", "a script"),
    ("runs show", "a run"),
    ("models promote", "a version"),
    ("models rollback", "a version"),
    ("review claim", "a request that waits"),
    ("review decide", "a request that waits"),
    ("slo import", "a file of objectives"),
    ("incident unsilence", "a silence's id; it writes nothing"),
    ("oncall unoverride", "an override's id; it writes nothing"),
    ("chaos approve", "a plan's hash"),
    ("chaos stop", "a run that goes on"),
    ("chaos import", "a file of the Chaos Toolkit; it writes the same text"),
    ("gameday run", "traffic"),
    ("gameday stop", "a game day that goes on"),
    ("gameday report", "a game day that was"),
];

/// Commands whose JSON is not as it is described, and commands of which nobody knows.
pub(crate) fn wrong() -> Vec<String> {
    let page = Page::parse("json".to_owned(), "<!-- test: service, samples -->\n```text\n```\n");
    let mut folder = Folder::of(&page);
    let mut wrong = folder.run(&page);
    let described = leaves();
    let mut left: BTreeSet<&str> = described.keys().map(String::as_str).collect();
    for (command, _) in ELSEWHERE {
        left.remove(command);
    }
    for line in ASKED.lines().filter(|line| !line.is_empty()) {
        let (exit, line) = line.split_once(' ').filter(|(exit, _)| *exit == "1").unwrap_or(("0", line));
        let Some((command, told)) = described.iter().rev().find(|(command, _)| line.starts_with(command.as_str()))
        else {
            wrong.push(format!("`{line}` is no command"));
            continue;
        };
        left.remove(command.as_str());
        let block =
            Block { line: 0, language: "sh".to_owned(), text: String::new(), hints: vec![format!("exit {exit}")] };
        let fault = match folder.written(&block, &format!("mainstay {line} --format json")) {
            Ok(written) => differs(told_of(told, line), &written),
            Err(why) => Some(why),
        };
        wrong.extend(fault.map(|why| format!("`{line}`: {why}")));
    }
    wrong.extend(left.iter().map(|command| format!("nobody looks at the JSON of `{command}`")));
    wrong
}

/// What is told of a command with an option, where that is another thing.
fn told_of<'a>(told: &'a str, line: &str) -> &'a str {
    let options = line.split(' ').filter(|word| word.starts_with("--"));
    options
        .filter_map(|option| told.split_once(&format!("with {option} ")))
        .map(|(_, rest)| rest)
        .next()
        .unwrap_or(told)
}

/// How what was written is another thing than what was told of it.
fn differs(told: &str, written: &str) -> Option<String> {
    if told.starts_with("the same text") || told.starts_with("the guide as it is") {
        return None;
    }
    if told.starts_with("nothing") {
        return (!written.trim().is_empty()).then(|| format!("it writes {written}"));
    }
    let value: Value = match serde_json::from_str(written) {
        Ok(value) => value,
        Err(error) => return Some(format!("no JSON: {error}\n{written}")),
    };
    let missing: Vec<&str> = members(told).into_iter().filter(|name| value.get(name).is_none()).collect();
    (!missing.is_empty()).then(|| format!("without {missing:?}, which its help names\n{value:#}"))
}

/// The members of the first object that a text describes: `a` and `b` of `the answer: {a, b: [{c}], ...}; with --x {d}`.
fn members(told: &str) -> Vec<&str> {
    let told = told.split(';').next().unwrap_or_default();
    let Some((_, inside)) = told.split_once('{').filter(|(before, _)| !before.ends_with('[')) else {
        return Vec::new();
    };
    let (mut depth, mut names, mut start) = (0, Vec::new(), 0);
    for (at, c) in inside.char_indices() {
        match c {
            ',' | '}' if depth == 0 => {
                names.push(inside[start..at].split(':').next().unwrap_or_default().trim());
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            _ => {}
        }
    }
    // A name in capitals stands for one that is not known, and dots for others.
    names.retain(|name| {
        name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') && !name.is_empty()
    });
    names
}

#[test]
fn described_members_are_looked_for() {
    let told = "the answer: {a, b_c: [{d, e}], NAME: 1, f, ...}; with --x {g}";
    assert_eq!(members(told), ["a", "b_c", "f"]);
    assert_eq!(differs(told, r#"{"a": 1, "b_c": [], "f": null}"#), None);
    assert!(differs(told, r#"{"a": 1}"#).unwrap().starts_with(r#"without ["b_c", "f"]"#));
    assert_eq!(members("a list: [{a, b}]"), [""; 0]);
    assert!(differs("the run", "it ran").unwrap().starts_with("no JSON"));
    assert!(differs("nothing", "null").is_some());
}

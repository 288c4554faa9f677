//! Scenarios of game days, as YAML or as Markdown with YAML in it.
//!
//! ````text
//! ---            the scenario's keys, without `steps` (or with the first of them)
//! name: outage
//! ---
//! # A title      text before the first step, and in sections without one: notes of the scenario
//! ## A section   its text: notes of the step in it
//! ```yaml        a step, or a list of them
//! ```
//! ````

pub(crate) mod markdown;
mod raw;

use std::collections::BTreeSet;
use std::time::Duration;

use mainstay_core::chaos::gameday::criterion::{Compiled, Within};
use mainstay_core::chaos::gameday::{Criterion, PAUSE_MAX, Participant, Scenario, Step, Wanted};

use crate::cel;
use crate::code::Code;
use crate::finding::Finding;
use crate::raw::experiment::Document;
use crate::read::{Kind, Reader};
use crate::span::{At, Span};
use crate::tree::{self, Node, Value};

/// Longest text of a scenario, in bytes.
const BYTES_MAX: usize = 1 << 20;
/// How long a step waits for its experiment to be allowed, where it does not say.
const WAIT: Duration = Duration::from_mins(10);

/// Reads a scenario; a file whose name ends in `.md` or `.markdown` is Markdown. The scenario, unless an error was found, and all
/// findings in the order of the text.
///
/// ```
/// let text = "name: outage\nsteps:\n  - experiment: store-slow\n    criteria: [{ name: seen, holds: detected_s < 60 }]\n";
/// let (scenario, findings) = mainstay_config::scenario("outage.yaml", text);
/// assert!(findings.is_empty());
/// assert_eq!(scenario.unwrap().steps[0].name(), "store-slow");
/// ```
pub fn scenario(file: &str, text: &str) -> (Option<Scenario>, Vec<Finding>) {
    if text.len() > BYTES_MAX {
        let message = format!("the file has {} bytes; a scenario has at most {BYTES_MAX}", text.len());
        return (None, vec![Finding::new(Code::TooLarge, Span::default(), message)]);
    }
    let mut reader = Reader::new(text);
    let extension = file.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let scenario = if matches!(extension.as_str(), "md" | "markdown") {
        markdown::read(text, &mut reader)
    } else {
        match tree::parse(text) {
            Ok(node) => raw::Scenario::read(&node, &mut reader).and_then(|raw| whole(raw, node.span, &mut reader)),
            Err(finding) => return (None, vec![finding]),
        }
    };
    (scenario.filter(|_| !reader.refused()), reader.into_findings())
}

/// The scenario of what was read.
fn whole(raw: raw::Scenario, span: Span, reader: &mut Reader<'_>) -> Option<Scenario> {
    if !raw.given.contains("name") {
        let finding = Finding::new(Code::MissingKey, span.first_line(reader.text), "a scenario needs `name`");
        reader.report(finding.label("`name` is missing here"));
    }
    let text = |field: Option<At<String>>| field.map(|it| it.value).unwrap_or_default();
    let steps = raw.steps.map(|it| it.value).unwrap_or_default();
    if steps.is_empty() && !reader.refused() {
        let finding = Finding::new(Code::Empty, span.first_line(reader.text), "a scenario needs at least one step");
        reader.report(finding.help("a step names an experiment: `- experiment: NAME`"));
    }
    let named: Vec<(String, Span)> = steps.iter().filter_map(|step| raw::name(&step.value)).collect();
    let names: Vec<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
    let mut seen = BTreeSet::new();
    for (name, span) in &named {
        if !seen.insert(name) {
            let finding = Finding::new(Code::Duplicate, *span, format!("two steps are called `{name}`"));
            reader.report(finding.help("give one of them a `name`"));
        }
    }
    let before = reader.refused();
    let scenario = Scenario {
        name: text(raw.name),
        title: text(raw.title),
        purpose: text(raw.purpose),
        participants: raw
            .participants
            .map(|it| it.value)
            .unwrap_or_default()
            .into_iter()
            .filter_map(participant)
            .collect(),
        steps: steps.into_iter().filter_map(|it| step(it.value, &names, reader)).collect(),
        criteria: criteria(raw.criteria, &names, Within::Day, reader),
        notes: text(raw.notes),
    };
    if before || reader.refused() {
        return None;
    }
    // What has no finding of its own.
    for wrong in scenario.check() {
        reader.report(Finding::new(Code::OutOfRange, span.first_line(reader.text), wrong));
    }
    Some(scenario)
}

fn participant(at: At<raw::Participant>) -> Option<Participant> {
    Some(Participant { role: at.value.role?.value, name: at.value.name?.value })
}

fn step(raw: raw::Step, names: &[&str], reader: &mut Reader<'_>) -> Option<Step> {
    let criteria = criteria(raw.criteria, names, Within::Step, reader);
    let texts = |field: Option<At<Vec<At<String>>>>| {
        field.map(|it| it.value).unwrap_or_default().into_iter().map(|text| text.value).collect()
    };
    for field in [&raw.pause, &raw.wait].into_iter().flatten().filter(|it| it.value > PAUSE_MAX) {
        reader.report(Finding::new(Code::OutOfRange, field.span, "this is longer than four hours"));
    }
    Some(Step {
        name: raw.name.map(|it| it.value),
        experiment: raw.experiment?.value,
        expect: texts(raw.expect),
        questions: texts(raw.questions),
        criteria,
        pause: raw.pause.map(|it| it.value).unwrap_or_default(),
        wait: raw.wait.map_or(WAIT, |it| it.value),
        notes: raw.notes.map(|it| it.value).unwrap_or_default(),
    })
}

fn criteria(
    raw: Option<At<Vec<At<raw::Criterion>>>>,
    names: &[&str],
    within: Within,
    reader: &mut Reader<'_>,
) -> Vec<Criterion> {
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for At { value: raw, .. } in raw.map(|it| it.value).unwrap_or_default() {
        let (Some(name), Some(holds)) = (raw.name, raw.holds) else { continue };
        if let Err(error) = Compiled::new(&holds.value, names, within) {
            let place = cel::place(reader.text, holds.span, &holds.value, error.offset);
            let message = format!("this criterion does not compile: {}", error.message);
            reader.report(Finding::new(Code::CelCompile, place, message).label("here"));
        }
        if !seen.insert(name.value.clone()) {
            let finding = Finding::new(Code::Duplicate, name.span, format!("two criteria are called `{}`", name.value));
            reader.report(finding.help("give each its own name: findings go by it"));
        }
        out.push(Criterion { name: name.value, holds: holds.value });
    }
    out
}

/// An experiment by its name, or in full.
pub(crate) struct Chosen;

impl Kind for Chosen {
    type Out = Wanted;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Wanted> {
        match &node.value {
            Value::Text(name) => Some(Wanted::Named(name.clone())),
            Value::Map(_) => Document::read(node, reader).map(|written| Wanted::Inline(Box::new(written.experiment))),
            _ => {
                reader.wrong_kind(node, "the name of an experiment, or an experiment");
                None
            }
        }
    }

    fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "object"] })
    }
}

#[cfg(test)]
mod tests;

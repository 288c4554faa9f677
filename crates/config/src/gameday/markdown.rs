//! Markdown with YAML in it: blocks between fences are read where they stand, the text around them is kept.

use mainstay_core::chaos::gameday::Scenario;

use super::{raw, whole};
use crate::code::Code;
use crate::finding::Finding;
use crate::read::{Kind, Reader};
use crate::span::{At, Span};
use crate::tree::{self, Node, Value};

/// Most blocks of YAML in one text.
const BLOCKS_MAX: usize = 64;

/// A part of the text.
pub(crate) enum Part {
    /// YAML at the top, between lines of `---`.
    Front(Span),
    /// YAML between fences, and the word after `yaml`.
    Block(Span, String),
    /// A heading of a level, and its text.
    Heading(usize, String),
    /// Anything else.
    Line(Span),
}

pub(super) fn read(text: &str, reader: &mut Reader<'_>) -> Option<Scenario> {
    let mut scenario = raw::Scenario::default();
    let mut notes = String::new();
    let mut steps: Vec<At<raw::Step>> = Vec::new();
    // Of the section at hand: its text, and the step that it belongs to.
    let (mut section, mut owner) = (String::new(), None);
    let mut blocks = 0;
    for part in parts(text) {
        match part {
            Part::Front(span) => {
                let node = yaml(text, span, reader)?;
                scenario = raw::Scenario::read(&node, reader)?;
                steps = scenario.steps.take().map(|it| it.value).unwrap_or_default();
            }
            Part::Block(span, _) => {
                blocks += 1;
                if blocks > BLOCKS_MAX {
                    let message = format!("there are more than {BLOCKS_MAX} blocks of YAML");
                    reader.report(Finding::new(Code::TooLarge, span, message));
                    return None;
                }
                let first = steps.len();
                for node in items(yaml(text, span, reader)?) {
                    if let Some(step) = raw::Step::read(&node, reader) {
                        steps.push(At::new(step, node.span));
                    }
                }
                if owner.is_none() && steps.len() > first {
                    owner = Some(first);
                }
            }
            Part::Heading(level, heading) => {
                close(&mut section, &mut owner, &mut steps, &mut notes);
                if level == 1 && scenario.title.is_none() {
                    scenario.title = Some(At::new(heading, Span::default()));
                } else {
                    section = format!("**{heading}**\n");
                }
            }
            Part::Line(span) => section.push_str(&text[span.range()]),
        }
    }
    close(&mut section, &mut owner, &mut steps, &mut notes);
    if !notes.is_empty() {
        let all = match scenario.notes {
            Some(own) => format!("{}\n\n{notes}", own.value),
            None => notes,
        };
        scenario.notes = Some(At::new(all, Span::default()));
    }
    scenario.steps = Some(At::new(steps, Span::default()));
    whole(scenario, Span::new(0, text.len()), reader)
}

/// A section ends: its text goes to the step in it, or to the scenario.
fn close(section: &mut String, owner: &mut Option<usize>, steps: &mut [At<raw::Step>], notes: &mut String) {
    let text = std::mem::take(section);
    let step = owner.take().and_then(|index| steps.get_mut(index));
    let text = text.trim();
    if text.is_empty() {
        return;
    }
    match step {
        Some(step) => {
            let own = step.value.notes.take().map(|it| format!("{}\n\n", it.value)).unwrap_or_default();
            step.value.notes = Some(At::new(format!("{own}{text}"), Span::default()));
        }
        None => {
            if !notes.is_empty() {
                notes.push_str("\n\n");
            }
            notes.push_str(text);
        }
    }
}

/// A list's items, or the one thing that there is.
pub(crate) fn items(node: Node) -> Vec<Node> {
    match node.value {
        Value::List(items) => items,
        _ => vec![node],
    }
}

/// Reads YAML where it stands: everything before it counts as blanks, so that places are those of the whole text.
pub(crate) fn yaml(text: &str, span: Span, reader: &mut Reader<'_>) -> Option<Node> {
    let blanks = text[..span.start].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' });
    let mut padded: String = blanks.collect();
    padded.push_str(&text[span.range()]);
    tree::parse(&padded).map_err(|finding| reader.report(finding)).ok()
}

pub(crate) fn parts(text: &str) -> Vec<Part> {
    let mut out = Vec::new();
    let mut lines = lines(text).into_iter().peekable();
    if lines.peek().is_some_and(|line| text[line.range()].trim_end() == "---") {
        let start = lines.next().map_or(0, |line| line.end);
        let mut end = start;
        for line in lines.by_ref() {
            if text[line.range()].trim_end() == "---" {
                break;
            }
            end = line.end;
        }
        out.push(Part::Front(Span::new(start, end)));
    }
    while let Some(line) = lines.next() {
        let words = &text[line.range()];
        if let Some((fence, info, label)) = fence(words) {
            let label = label.to_owned();
            let inner = line.end;
            let mut end = inner;
            let mut last = line.end;
            for line in lines.by_ref() {
                last = line.end;
                let words = text[line.range()].trim();
                if words.len() >= fence.len() && words.starts_with(fence) && words.chars().all(|c| fence.contains(c)) {
                    break;
                }
                end = line.end;
            }
            if matches!(info.to_ascii_lowercase().as_str(), "yaml" | "yml") {
                out.push(Part::Block(Span::new(inner, end), label));
            } else {
                out.push(Part::Line(Span::new(line.start, last)));
            }
        } else if let Some((level, heading)) = heading(words) {
            out.push(Part::Heading(level, heading));
        } else {
            out.push(Part::Line(line));
        }
    }
    out
}

fn lines(text: &str) -> Vec<Span> {
    let mut at = 0;
    let mut out = Vec::new();
    for line in text.split_inclusive('\n') {
        out.push(Span::new(at, at + line.len()));
        at += line.len();
    }
    out
}

/// The fence that a line begins, and the two words that are said of what follows.
fn fence(line: &str) -> Option<(&str, &str, &str)> {
    let line = line.trim_end();
    let letter = line.chars().next().filter(|letter| matches!(letter, '`' | '~'))?;
    let length = line.len() - line.trim_start_matches(letter).len();
    let (fence, info) = line.split_at(length);
    let mut words = info.split_whitespace();
    let mut word = || words.next().unwrap_or_default();
    (length >= 3 && !info.contains('`')).then(|| (fence, word(), word()))
}

fn heading(line: &str) -> Option<(usize, String)> {
    let level = line.len() - line.trim_start_matches('#').len();
    let rest = line[level..].strip_prefix(' ')?;
    (1..=6).contains(&level).then(|| (level, rest.trim().trim_end_matches('#').trim().to_owned()))
}

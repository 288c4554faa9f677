//! What people write of an incident, and what its type makes them ask.

use mainstay_core::incident::record::Item;

use super::super::text::Text;
use super::super::{ROWS_MAX, Review};
use super::{Block, Section, bounded};

/// Most paragraphs of a root cause.
const PARAGRAPHS_MAX: usize = 50;

pub(super) fn sections(review: &Review) -> Vec<Section> {
    let findings = &review.incident.review;
    let said =
        |title, texts: &[String]| Section { title, blocks: listed(texts).unwrap_or_else(|| vec![Block::Unwritten]) };
    let of_type = |title, texts: &[String]| {
        let none = || vec![Block::Line(Text::line("There are none for its type."))];
        Section { title, blocks: listed(texts).unwrap_or_else(none) }
    };
    vec![
        Section { title: "Root cause", blocks: paragraphs(&findings.root_cause) },
        said("Contributing factors", &findings.contributing),
        said("What went well", &findings.went_well),
        said("What could improve", &findings.could_improve),
        said("Where luck helped", &findings.lucky),
        of_type("Questions to ask", &review.questions),
        of_type("Ideas for prevention", &review.prevention),
        said("How it will be prevented", &findings.prevention),
        said("How it will be found sooner", &findings.detection),
        Section { title: "Action items", blocks: items(&findings.items) },
    ]
}

fn paragraphs(text: &str) -> Vec<Block> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let blocks: Vec<_> = lines.take(PARAGRAPHS_MAX).map(|line| Block::Line(Text::long(line))).collect();
    if blocks.is_empty() { vec![Block::Unwritten] } else { blocks }
}

/// `None` where there is nothing to list.
fn listed(texts: &[String]) -> Option<Vec<Block>> {
    let written: Vec<_> = texts.iter().filter(|text| !text.trim().is_empty()).collect();
    if written.is_empty() {
        return None;
    }
    let mut blocks = vec![Block::List(written.iter().take(ROWS_MAX).map(|text| Text::long(text.as_str())).collect())];
    if written.len() > ROWS_MAX {
        blocks.push(Block::Line(Text::line(format!("And {} more.", written.len() - ROWS_MAX))));
    }
    Some(blocks)
}

fn items(items: &[Item]) -> Vec<Block> {
    const HEAD: &[&str] = &["No.", "What", "Owner", "Due", "To", "State"];
    let or = |text: &str, without: &str| Text::short(if text.trim().is_empty() { without } else { text });
    let rows = items.iter().map(|it| {
        vec![
            Text::short(it.id.to_string()),
            Text::line(&it.text),
            or(&it.owner, "nobody yet"),
            or(it.due.as_deref().unwrap_or_default(), "no day yet"),
            Text::short(&it.purpose),
            Text::short(&it.state),
        ]
    });
    if items.is_empty() { vec![Block::Unwritten] } else { bounded(Vec::new(), HEAD, rows, items.len()) }
}

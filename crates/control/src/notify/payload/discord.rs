//! Discord: a line and an embed.
//!
//! Nobody is mentioned (`allowed_mentions`), and what its markdown means something by is escaped.

use mainstay_core::event::format_time;
use mainstay_core::incident::kind::Severity;
use mainstay_core::incident::notice::{Notice, Purpose};
use serde_json::{Value, json};

use super::{facts, headline, link};
use crate::notify::text::{fit, lines, list};

/// Longest line, title and field, as Discord documents them (2,000, 256 and 1,024); texts of an embed have 6,000
/// characters together.
const CONTENT_MAX: usize = 1_000;
const TITLE_MAX: usize = 256;
const FIELD_MAX: usize = 1_000;
const DESCRIPTION_MAX: usize = 1_500;
const FACT_MAX: usize = 150;
/// Most lines of a list.
const LINES_MAX: usize = 15;

/// The message.
pub(in crate::notify) fn message(notice: &Notice) -> Value {
    let title = headline(notice);
    let mut fields: Vec<Value> = facts(notice)
        .iter()
        .map(|(name, value)| json!({ "name": name, "value": fit(value, FACT_MAX, escape), "inline": true }))
        .filter(|field| field["value"] != "")
        .collect();
    for (name, items) in [("Signals", &notice.signals), ("First steps", &notice.actions)] {
        if !items.is_empty() {
            let text = format!("• {}", list(items, LINES_MAX).join("\n• "));
            fields.push(json!({ "name": name, "value": fit(&text, FIELD_MAX, escape) }));
        }
    }
    let mut embed = json!({
        "title": fit(&title, TITLE_MAX, escape),
        "description": fit(&lines(&notice.summary), DESCRIPTION_MAX, escape),
        "color": color(notice),
        "fields": fields,
        "timestamp": format_time(notice.detected),
    });
    if let Some(link) = link(notice) {
        embed["url"] = json!(link);
    }
    json!({
        "content": fit(&title, CONTENT_MAX, escape),
        "embeds": [embed],
        "allowed_mentions": { "parse": [] },
    })
}

fn color(notice: &Notice) -> u32 {
    match (notice.purpose, notice.severity) {
        (Purpose::Resolved, _) => 0x002e_a043,
        (_, Severity::Sev1) => 0x00d1_242f,
        (_, Severity::Sev2) => 0x00bc_4c00,
        (_, Severity::Sev3) => 0x009a_6700,
        (_, Severity::Sev4) => 0x0057_606a,
    }
}

/// A backslash before what markdown, links, mentions and emoji begin with; a space without width keeps a name from
/// following its `@`.
fn escape(c: char, out: &mut String) {
    if matches!(c, '\\' | '*' | '_' | '~' | '`' | '|' | '<' | '>' | '#' | '[' | ']' | ':') {
        out.push('\\');
    }
    out.push(c);
    if c == '@' {
        out.push('\u{200b}');
    }
}

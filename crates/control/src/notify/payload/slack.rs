//! Slack: blocks, and a text for where blocks are not shown.
//!
//! All text is `plain_text` or without markup, and its `&`, `<` and `>` are escaped: a mention or a link is only text.

use mainstay_core::incident::notice::Notice;
use serde_json::{Value, json};

use super::{facts, headline, link};
use crate::notify::text::{fit, lines, list};

/// Longest header, text of a section and field, as Slack documents them.
const HEADER_MAX: usize = 150;
const SECTION_MAX: usize = 3_000;
const FIELD_MAX: usize = 2_000;
/// Most fields of a section.
const FIELDS_MAX: usize = 10;
/// Longest text for notifications.
const TEXT_MAX: usize = 1_000;
/// Most lines of a list.
const LINES_MAX: usize = 20;

/// The message.
pub(in crate::notify) fn message(notice: &Notice) -> Value {
    let title = headline(notice);
    let mut blocks = vec![json!({ "type": "header", "text": plain(&title, HEADER_MAX) })];
    // The header may have cut it.
    if title.encode_utf16().count() > HEADER_MAX {
        blocks.push(section(&title));
    }
    let fields: Vec<Value> = facts(notice)
        .iter()
        .take(FIELDS_MAX)
        .map(|(name, value)| plain(&format!("{name}: {value}"), FIELD_MAX))
        .collect();
    blocks.push(json!({ "type": "section", "fields": fields }));
    blocks.extend(Some(lines(&notice.summary)).filter(|it| !it.is_empty()).map(|it| section(&it)));
    for (name, items) in [("Signals", &notice.signals), ("First steps", &notice.actions)] {
        if !items.is_empty() {
            blocks.push(section(&format!("{name}\n• {}", list(items, LINES_MAX).join("\n• "))));
        }
    }
    if let Some(link) = link(notice) {
        let button = json!({ "type": "button", "text": plain("Open in mainstay", 75), "url": link });
        blocks.push(json!({ "type": "actions", "elements": [button] }));
    }
    json!({
        "text": fit(&title, TEXT_MAX, escape),
        "mrkdwn": false,
        "unfurl_links": false,
        "unfurl_media": false,
        "blocks": blocks,
    })
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": plain(text, SECTION_MAX) })
}

fn plain(text: &str, max: usize) -> Value {
    json!({ "type": "plain_text", "text": fit(text, max, escape), "emoji": false })
}

fn escape(c: char, out: &mut String) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        c => out.push(c),
    }
}

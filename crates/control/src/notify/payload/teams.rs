//! Teams: an adaptive card for a workflow's webhook.
//!
//! All text from outside is in text runs, which know no markdown. A space without width before each brace keeps
//! `{{DATE(..)}}` and `${..}` from being evaluated.

use mainstay_core::incident::notice::{Notice, Purpose};
use serde_json::{Value, json};

use super::{facts, headline, link};
use crate::notify::text::{fit, lines, list};

/// Longest texts. A message may have 28 KB: with three bytes for each unit all of them together are below that.
const TITLE_MAX: usize = 400;
const FACT_MAX: usize = 120;
const SUMMARY_MAX: usize = 2_000;
const LIST_MAX: usize = 1_200;
/// Most lines of a list.
const LINES_MAX: usize = 15;

/// The message.
pub(in crate::notify) fn message(notice: &Notice) -> Value {
    let color = match notice.purpose {
        Purpose::Page | Purpose::Undelivered => "attention",
        Purpose::Notify | Purpose::Acknowledged => "warning",
        Purpose::Resolved => "good",
    };
    let mut title = run(&headline(notice), TITLE_MAX);
    title["weight"] = json!("bolder");
    title["size"] = json!("medium");
    title["color"] = json!(color);
    let mut body = vec![block(&[title])];
    for (name, value) in facts(notice) {
        let mut name = run(&format!("{name}: "), FACT_MAX);
        name["weight"] = json!("bolder");
        let mut fact = block(&[name, run(&value, FACT_MAX)]);
        fact["spacing"] = json!("none");
        body.push(fact);
    }
    let summary: Vec<String> = lines(&notice.summary).lines().filter(|it| !it.is_empty()).map(str::to_owned).collect();
    body.extend(list(&summary, LINES_MAX).into_iter().scan(SUMMARY_MAX, cut));
    for (name, items) in [("Signals", &notice.signals), ("First steps", &notice.actions)] {
        if !items.is_empty() {
            let mut name = run(name, FACT_MAX);
            name["weight"] = json!("bolder");
            body.push(block(&[name]));
            body.extend(list(items, LINES_MAX).iter().map(|it| format!("• {it}")).scan(LIST_MAX, cut));
        }
    }
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
        "msteams": { "width": "full" },
    });
    if let Some(link) = link(notice) {
        card["actions"] = json!([{ "type": "Action.OpenUrl", "title": "Open in mainstay", "url": link }]);
    }
    let attachment =
        json!({ "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card });
    json!({ "type": "message", "attachments": [attachment] })
}

/// A line of its own, out of what is left of a text's bound.
#[expect(clippy::needless_pass_by_value, reason = "as `scan` calls it")]
fn cut(left: &mut usize, line: String) -> Option<Value> {
    if *left == 0 {
        return None;
    }
    let text = fit(&line, *left, escape);
    *left -= text.encode_utf16().count().min(*left);
    Some(block(&[json!({ "type": "TextRun", "text": text })]))
}

fn block(inlines: &[Value]) -> Value {
    json!({ "type": "RichTextBlock", "inlines": inlines })
}

fn run(text: &str, max: usize) -> Value {
    json!({ "type": "TextRun", "text": fit(text, max, escape) })
}

fn escape(c: char, out: &mut String) {
    if c == '{' {
        out.push('\u{200b}');
    }
    out.push(c);
}

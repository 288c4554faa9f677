//! Text from outside: harmless in each channel's own form, and within each channel's bounds, whatever it holds.

use mainstay_control::notify::{Outcome, Sender};
use mainstay_core::incident::notice::{Notice, Purpose};
use mainstay_core::plan::ChannelBy;
use serde_json::Value;

use crate::support::{ID, NOW, Receiver, by_http, channel, notice};

/// What somebody may have put into a title, with a word in it that must be shown still.
pub(crate) const HOSTILE: [&str; 16] = [
    "<script>alert(1)</script> kept",
    "kept \u{1b}[31mred\u{1b}[0m \u{1b}]0;title\u{7} \u{9b}2J \u{8}\u{7f}\u{0}",
    "kept <!channel> <!here|here> <@U123> <#C1> <!subteam^S1>",
    "<https://evil.example|kept> & &lt;!channel&gt;",
    "kept @everyone @here <@1> <@&2> <#3> <:a:4> <t:5:R>",
    "**kept** __b__ ~~c~~ `d` ```e``` ||f|| > g # h \\",
    "[kept](https://evil.example) ![i](https://evil.example/i.png) https://evil.example",
    "kept\r\nBcc: evil@example.org\r\n\r\nbody",
    "kept\nTo: evil@example.org",
    "kept \u{202e}gpj.exe\u{202c} \u{2066}x\u{2069} \u{200f}\u{61c}",
    "kept\u{200b}\u{feff}\u{2060}\u{e0041}",
    "kept {{DATE(2017-02-14T06:08:00Z, SHORT)}} ${expression} @{triggerBody()}",
    "kept =?utf-8?q?evil?= <at>everyone</at>",
    "kept\u{2028}a\u{2029}b\u{85}c\u{b}d",
    "kept \"}],\"x\":[{\"y\":\"",
    "kept {{ $labels.x }} {{ template \"x\" }} %s %n ' OR 1=1 --",
];

/// A notice that holds this in every text.
pub(crate) fn all(text: &str) -> Notice {
    let text = || text.to_owned();
    Notice {
        incident: text(),
        service: text(),
        environment: text(),
        kind: text(),
        title: text(),
        summary: text(),
        signals: vec![text(), text()],
        actions: vec![text()],
        route: Some(text()),
        person: Some(text()),
        link: Some(text()),
        ..notice(Purpose::Undelivered)
    }
}

/// Whether a character is one that must not be seen anywhere.
pub(crate) fn is_banned(c: char) -> bool {
    let marks = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    marks || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{e0041}') || (c.is_control() && c != '\n')
}

fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(list) => list.iter().flat_map(texts).collect(),
        Value::Object(map) => map.values().flat_map(texts).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

/// Every object below, with its keys.
fn objects(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(list) => list.iter().flat_map(objects).collect(),
        Value::Object(map) => std::iter::once(value).chain(map.values().flat_map(objects)).collect(),
        _ => Vec::new(),
    }
}

async fn bodies(notice: &Notice) -> Vec<(ChannelBy, Value, usize)> {
    let receiver = Receiver::status(202).await;
    let mut bodies = Vec::new();
    for by in by_http(&receiver.url) {
        let outcome = Sender::new().send(&channel(by.clone()), ID, notice, NOW).await;
        assert_eq!(outcome, Outcome::Delivered { provider: None });
        let heard = receiver.heard().pop().unwrap();
        bodies.push((by, heard.json(), heard.body.len()));
    }
    bodies
}

fn check_slack(body: &Value) {
    for text in texts(body) {
        assert!(!text.contains(['<', '>']), "{text}");
        let escaped = text.split('&').skip(1).all(|rest| ["amp;", "lt;", "gt;"].iter().any(|it| rest.starts_with(it)));
        assert!(escaped, "{text}");
    }
    assert!(objects(body).iter().all(|it| it["type"] != "mrkdwn"));
    assert_eq!(body["mrkdwn"], false);
}

fn check_teams(body: &Value) {
    for object in objects(body) {
        // Text blocks and facts would read markdown.
        assert!(!matches!(object["type"].as_str(), Some("TextBlock" | "FactSet")), "{object}");
        assert_ne!(object["type"], "Action.OpenUrl");
    }
    assert!(texts(body).iter().all(|it| !it.contains("{{") && !it.contains("${") && !it.contains("@{")));
}

fn check_discord(body: &Value) {
    assert_eq!(body["allowed_mentions"], serde_json::json!({ "parse": [] }));
    let embed = &body["embeds"][0];
    let shown = [&body["content"], &embed["title"], &embed["description"], &embed["fields"]];
    for text in shown.into_iter().flat_map(texts) {
        assert!(!text.contains("@everyone") && !text.contains("@here"), "{text}");
        let mut escaped = false;
        for c in text.chars() {
            assert!(escaped || !matches!(c, '*' | '_' | '~' | '`' | '|' | '<' | '>' | '#' | '[' | ']' | ':'), "{text}");
            escaped = c == '\\' && !escaped;
        }
        assert!(!escaped, "{text}");
    }
    assert_eq!(embed.get("url"), None);
}

#[tokio::test]
async fn hostile_text_is_only_text() {
    for text in HOSTILE {
        for (by, body, _) in bodies(&all(text)).await {
            for text in texts(&body) {
                assert!(!text.contains(is_banned), "{by:?}: {text:?}");
            }
            assert!(texts(&body).iter().any(|it| it.contains("kept")), "{by:?}: {body}");
            match by {
                ChannelBy::Slack { .. } => check_slack(&body),
                ChannelBy::Teams { .. } => check_teams(&body),
                ChannelBy::Discord { .. } => check_discord(&body),
                // Data: whoever shows it knows how.
                ChannelBy::PagerDuty { .. } | ChannelBy::Alertmanager { .. } | ChannelBy::Webhook { .. } => {}
                ChannelBy::Email { .. } => panic!("mail goes by SMTP"),
            }
        }
    }
}

#[tokio::test]
async fn a_title_is_one_line() {
    let notice = Notice { title: "kept\nsecond".to_owned(), ..notice(Purpose::Page) };
    for (by, body, _) in bodies(&notice).await {
        let all = texts(&body).join("\u{0}");
        assert!(all.contains("kept second") && !all.contains("kept\nsecond"), "{by:?}");
    }
}

#[tokio::test]
async fn only_links_of_the_web_are_links() {
    let links =
        ["javascript:alert(1)", "https://x.example/<y>", "https://x.example/a|b", "/x", "https://u:p@x.example/"];
    for link in links {
        let notice = Notice { link: Some(link.to_owned()), ..notice(Purpose::Page) };
        for (by, body, _) in bodies(&notice).await {
            assert!(!texts(&body).contains(&link), "{by:?}: {body}");
        }
    }
    for (by, body, _) in bodies(&notice(Purpose::Page)).await {
        assert!(texts(&body).contains(&"https://mainstay.example/incidents/i-42"), "{by:?}: {body}");
    }
}

fn length(value: &Value) -> usize {
    value.as_str().unwrap().encode_utf16().count()
}

fn check_slack_bounds(body: &Value) {
    let blocks = body["blocks"].as_array().unwrap();
    assert!(blocks.len() <= 50 && (1..=4_000).contains(&length(&body["text"])));
    for block in blocks {
        let most = if block["type"] == "header" { 150 } else { 3_000 };
        assert!(block.get("text").is_none_or(|it| (1..=most).contains(&length(&it["text"]))), "{block}");
        let fields = block.get("fields").and_then(Value::as_array).map_or(&[][..], |it| it);
        assert!(fields.len() <= 10 && fields.iter().all(|it| (1..=2_000).contains(&length(&it["text"]))));
    }
}

fn check_discord_bounds(body: &Value) {
    let embed = &body["embeds"][0];
    let fields = embed["fields"].as_array().unwrap();
    assert!(length(&body["content"]) <= 2_000 && length(&embed["title"]) <= 256 && fields.len() <= 25);
    let mut sum = length(&embed["title"]) + length(&embed["description"]);
    for field in fields {
        assert!((1..=256).contains(&length(&field["name"])) && (1..=1_024).contains(&length(&field["value"])));
        sum += length(&field["name"]) + length(&field["value"]);
    }
    assert!(sum <= 6_000, "{sum}");
}

#[tokio::test]
async fn bounds_hold_for_whatever_fills_a_notice() {
    for fill in ["x", "é", "€", "😀", "&", "<", "{", "\"", "\\", "*", "@", "x\n", "x ", "\u{1b}"] {
        let long = fill.repeat(40_000);
        let lines = vec![fill.repeat(3_000); 300];
        let link = Some(format!("https://x.example/{}", "x".repeat(1_900)));
        let notice = Notice { signals: lines.clone(), actions: lines, link, ..all(&long) };
        for (by, body, bytes) in bodies(&notice).await {
            match by {
                ChannelBy::PagerDuty { .. } => {
                    let summary = body["payload"]["summary"].as_str().unwrap().chars().count();
                    assert!(bytes <= 512_000 && summary <= 1_024, "{fill:?}: {bytes} {summary}");
                    assert!(body["dedup_key"].as_str().unwrap().chars().count() <= 255);
                }
                ChannelBy::Slack { .. } => check_slack_bounds(&body),
                ChannelBy::Teams { .. } => assert!(bytes <= 28_000, "{fill:?}: {bytes}"),
                ChannelBy::Discord { .. } => check_discord_bounds(&body),
                ChannelBy::Alertmanager { .. } | ChannelBy::Webhook { .. } => {
                    assert!(bytes <= 1_000_000, "{fill:?}: {bytes}");
                }
                ChannelBy::Email { .. } => panic!("mail goes by SMTP"),
            }
            // What was cut says so.
            let cut = texts(&body).iter().any(|it| it.ends_with('…') || it.contains("… and "));
            assert!(cut || fill == "\u{1b}", "{by:?} {fill:?}");
        }
    }
}

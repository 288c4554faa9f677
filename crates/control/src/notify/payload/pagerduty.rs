//! `PagerDuty`: an event of the Events API v2.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mainstay_core::event::format_time;
use mainstay_core::incident::kind::Severity;
use mainstay_core::incident::notice::{Notice, Purpose};
use serde_json::{Value, json};

use super::{facts, headline, link, word};
use crate::notify::text::{clip, line, lines, list};

/// Longest summary that is taken, in characters.
const SUMMARY_MAX: usize = 1_024;
/// Longest key that is taken, in characters.
const KEY_MAX: usize = 255;
/// Longest text of the details.
const TEXT_MAX: usize = 16_000;
/// Most lines of a list, and the longest of them.
const LINES_MAX: usize = 50;
const LINE_MAX: usize = 1_000;

/// The event. The whole is below 512,000 bytes whatever the notice holds: its texts have bounds.
pub(in crate::notify) fn event(key: &str, notice: &Notice) -> Value {
    let action = match notice.purpose {
        Purpose::Page | Purpose::Notify | Purpose::Undelivered => "trigger",
        Purpose::Acknowledged => "acknowledge",
        Purpose::Resolved => "resolve",
    };
    let mut event = json!({ "routing_key": key, "event_action": action, "dedup_key": dedup_key(notice) });
    if action != "trigger" {
        return event;
    }
    let mut details: serde_json::Map<String, Value> =
        facts(notice).into_iter().map(|(name, value)| (name.to_lowercase(), Value::String(value))).collect();
    details.insert("purpose".to_owned(), json!(notice.purpose.as_str()));
    details.insert("summary".to_owned(), json!(clip(&lines(&notice.summary), TEXT_MAX)));
    details.insert("signals".to_owned(), json!(listed(&notice.signals)));
    details.insert("actions".to_owned(), json!(listed(&notice.actions)));
    event["payload"] = json!({
        "summary": clip(&headline(notice), SUMMARY_MAX),
        "source": word(&notice.service),
        "severity": severity(notice.severity),
        "timestamp": format_time(notice.detected),
        "group": word(&notice.environment),
        "class": word(&notice.kind),
        "custom_details": details,
    });
    if let Some(route) = &notice.route {
        event["payload"]["component"] = json!(word(route));
    }
    event["client"] = json!("mainstay");
    if let Some(link) = link(notice) {
        event["client_url"] = json!(link);
        event["links"] = json!([{ "href": link, "text": "The incident in mainstay" }]);
    }
    event
}

/// The same for every event of an incident.
fn dedup_key(notice: &Notice) -> String {
    let key = format!("mainstay/{}/{}", notice.service, notice.incident);
    if key.chars().count() <= KEY_MAX && line(&key) == key {
        return key;
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
    format!("mainstay/{}", URL_SAFE_NO_PAD.encode(digest))
}

const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Sev1 => "critical",
        Severity::Sev2 => "error",
        Severity::Sev3 => "warning",
        Severity::Sev4 => "info",
    }
}

fn listed(items: &[String]) -> Vec<String> {
    list(items, LINES_MAX).iter().map(|item| clip(item, LINE_MAX)).collect()
}

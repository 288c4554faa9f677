//! Alertmanager: an alert of its API v2.

use std::time::Duration;

use mainstay_core::event::format_time;
use mainstay_core::incident::kind::Severity;
use mainstay_core::incident::notice::{Notice, Purpose};
use mainstay_core::time::Time;
use serde_json::{Value, json};

use super::{headline, link, word};
use crate::notify::text::{clip, lines, list};

/// The name of every alert.
const ALERT: &str = "MainstayIncident";
/// How long an alert fires without a word: Alertmanager would end it after minutes otherwise, and nobody repeats it.
const FIRING: Duration = Duration::from_hours(24);
/// Longest annotation.
const TEXT_MAX: usize = 8_000;
/// Most lines of a list.
const LINES_MAX: usize = 50;

/// The alerts to post. Labels say which incident it is and how bad, and a severity that changed is another alert to Alertmanager: the end
/// is posted of all of them. An acknowledgement posts the alert again, as still firing.
pub(in crate::notify) fn alerts(notice: &Notice, now: Time) -> Value {
    if notice.purpose == Purpose::Resolved {
        return Severity::ALL.into_iter().map(|severity| alert(notice, severity, now)).collect();
    }
    json!([alert(notice, notice.severity, now)])
}

fn alert(notice: &Notice, severity: Severity, now: Time) -> Value {
    let mut labels = json!({
        "alertname": ALERT,
        "service": word(&notice.service),
        "incident": word(&notice.incident),
        "severity": severity.as_str(),
    });
    if let Some(route) = &notice.route {
        labels["route"] = json!(word(route));
    }
    let ends = match notice.purpose {
        Purpose::Resolved => notice.resolved.unwrap_or(now).max(notice.detected),
        Purpose::Page | Purpose::Notify | Purpose::Acknowledged | Purpose::Undelivered => now + FIRING,
    };
    let mut alert = json!({
        "labels": labels,
        "annotations": annotations(notice),
        "startsAt": format_time(notice.detected),
        "endsAt": format_time(ends),
    });
    if let Some(link) = link(notice) {
        alert["generatorURL"] = json!(link);
    }
    alert
}

fn annotations(notice: &Notice) -> Value {
    let mut annotations = json!({
        "summary": clip(&headline(notice), TEXT_MAX),
        "environment": word(&notice.environment),
        "status": notice.status.as_str(),
        "type": word(&notice.kind),
    });
    let texts = [
        ("description", lines(&notice.summary)),
        ("signals", list(&notice.signals, LINES_MAX).join("\n")),
        ("actions", list(&notice.actions, LINES_MAX).join("\n")),
        ("person", word(notice.person.as_deref().unwrap_or_default())),
    ];
    for (name, text) in texts {
        if !text.is_empty() {
            annotations[name] = json!(clip(&text, TEXT_MAX));
        }
    }
    annotations
}

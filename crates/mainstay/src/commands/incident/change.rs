//! What people say and do about an incident.

use hyper::Method;
use serde_json::{Value, json};

use super::{PATH, held, one};
use crate::cli::{Global, IncidentAction, IncidentOpen, IncidentStatus};
use crate::client;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::words::{array, word};

/// The id is data, so that a script can go on with it.
pub(super) fn open(global: &Global, options: &IncidentOpen) -> Result<Exit, Stop> {
    let IncidentOpen { title, kind, severity, routes, onset, note } = options;
    let body = client::without_nulls(json!({
        "title": title, "type": kind, "severity": severity, "routes": routes, "onset": onset, "note": note,
    }));
    let answer = client::call(global, Method::POST, PATH, Some(&body))?;
    match global.format {
        Format::Json => output::json(&answer)?,
        Format::Human => {
            let incident = if answer["incident"].is_null() { &answer } else { &answer["incident"] };
            output::data(word(&incident["id"]))?;
            output::say(format_args!("{}", standing(incident)));
        }
    }
    Ok(Exit::Fine)
}

pub(super) fn acknowledge(global: &Global, id: &str) -> Result<Exit, Stop> {
    post(global, id, "ack", &json!({}), standing)
}

pub(super) fn note(global: &Global, id: &str, text: &str) -> Result<Exit, Stop> {
    post(global, id, "notes", &json!({ "text": text }), |incident| format!("written down in {}", word(&incident["id"])))
}

pub(super) fn status(global: &Global, options: &IncidentStatus) -> Result<Exit, Stop> {
    let IncidentStatus { id, status, severity, kind, into, reason } = options;
    let body = json!({ "status": status, "severity": severity, "type": kind, "into": into, "reason": reason });
    post(global, id, "status", &client::without_nulls(body), standing)
}

pub(super) fn action(global: &Global, options: &IncidentAction) -> Result<Exit, Stop> {
    let IncidentAction { id, action, route, level, model, pattern, run, duration } = options;
    let body = json!({
        "action": action, "route": route, "level": level, "model": model, "pattern": pattern, "run": run, "for": duration,
    });
    post(global, id, "actions", &client::without_nulls(body), asked)
}

pub(super) fn undo(global: &Global, id: &str, action: u32) -> Result<Exit, Stop> {
    client::call(global, Method::DELETE, &format!("{}/actions/{action}", one(id)), None)?;
    output::say(format_args!("action {action} is being undone"));
    Ok(Exit::Fine)
}

fn post(global: &Global, id: &str, what: &str, body: &Value, said: impl Fn(&Value) -> String) -> Result<Exit, Stop> {
    let answer = client::call(global, Method::POST, &format!("{}/{what}", one(id)), Some(body))?;
    match global.format {
        Format::Json => output::json(&answer)?,
        Format::Human => output::say(format_args!("{}", said(&answer["incident"]))),
    }
    Ok(Exit::Fine)
}

/// Where it stands, in a line.
pub(super) fn standing(incident: &Value) -> String {
    let of = |key: &str| word(&incident[key]);
    let into = if incident["merged_into"].is_null() { String::new() } else { format!(" into {}", of("merged_into")) };
    let by = if incident["acknowledged_by"].is_null() { "nobody".to_owned() } else { of("acknowledged_by") };
    format!("{} is {}{into}: {} {}, taken by {by}", of("id"), of("status"), of("severity"), of("type"))
}

/// The action that was asked for is the last.
fn asked(incident: &Value) -> String {
    let Some(action) = array(&incident["actions"]).last() else { return standing(incident) };
    format!(
        "action {} of {} is {}: {}",
        word(&action["id"]),
        word(&incident["id"]),
        word(&action["state"]),
        held::act(action)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_it_is_a_line() {
        let mut incident = json!({
            "id": "AI-1", "status": "merged", "merged_into": "AI-2", "severity": "sev2", "type": "data_quality",
            "acknowledged_by": "ada\u{1b}[m\nbob",
            "actions": [
                { "id": 1, "action": "raise_sampling", "route": "chat", "state": "undone" },
                { "id": 2, "action": "pin_level", "route": "score", "level": 2, "state": "pending" },
            ],
        });
        assert_eq!(standing(&incident), r"AI-1 is merged into AI-2: sev2 data_quality, taken by ada\u{1b}[m bob");
        assert_eq!(asked(&incident), "action 2 of AI-1 is pending: pin_level score level 2");
        incident = json!({ "id": "AI-1", "status": "detected", "severity": "sev3", "type": "unclassified" });
        assert_eq!(asked(&incident), "AI-1 is detected: sev3 unclassified, taken by nobody");
    }
}

//! `mainstay incident show`: everything a responder needs, on one screen.

use jiff::Timestamp;
use serde_json::Value;

use super::held;
use crate::cli::Global;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::words::{array, between, line, listed, moment, when, word};

/// The admin API where nothing else is said.
const USUAL_URL: &str = "http://127.0.0.1:8090";

pub(super) fn run(global: &Global, id: &str, all: bool) -> Result<Exit, Stop> {
    let answer = super::get(global, id)?;
    match global.format {
        Format::Json => output::json(&answer)?,
        Format::Human => output::data(screen(&answer, all, &global.url, Timestamp::now()))?,
    }
    Ok(Exit::Fine)
}

fn screen(answer: &Value, all: bool, url: &str, now: Timestamp) -> String {
    let incident = &answer["incident"];
    let typed = Typed::new(&incident["id"], url);
    let sections = [
        head(incident),
        clocks(incident, now),
        hands(incident, &typed),
        held::ranking(&incident["ranking"]),
        held::facts(incident, all),
        held::proposals(&answer["proposals"], &typed),
        held::actions(&incident["actions"], &typed),
        held::notices(&answer["notices"], all),
        held::timeline(incident, all),
    ];
    let sections = sections.iter().map(|section| section.trim_end()).filter(|section| !section.is_empty());
    sections.collect::<Vec<_>>().join("\n\n")
}

/// What somebody types about one incident.
pub(super) struct Typed {
    id: Option<String>,
    url: String,
}

impl Typed {
    pub(super) fn new(id: &Value, url: &str) -> Typed {
        let elsewhere = Some(url).filter(|url| *url != USUAL_URL).and_then(quoted);
        let url = elsewhere.map_or_else(String::new, |url| format!(" --url {url}"));
        Typed { id: id.as_str().and_then(quoted), url }
    }

    /// A line to paste; `None` where a word of it cannot be typed.
    pub(super) fn line(&self, verb: &str, words: &[&str], options: &[(&str, &str)]) -> Option<String> {
        let mut line = format!("mainstay incident {verb} {}", self.id.as_deref()?);
        for word in words {
            line = format!("{line} {}", quoted(word)?);
        }
        for (option, value) in options {
            line = format!("{line} --{option} {}", quoted(value)?);
        }
        Some(line + &self.url)
    }
}

/// A word as a shell takes it; `None` where it would be an option, or holds what cannot be seen.
fn quoted(word: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,".contains(c);
    if word.is_empty() || word.starts_with('-') || line(word) != word {
        return None;
    }
    Some(if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) })
}

fn head(incident: &Value) -> String {
    let of = |key: &str| word(&incident[key]);
    let chosen = if incident["kind_chosen"] == true { " (chosen)" } else { "" };
    format!("{}  {}  {}  {}{chosen}\n{}", of("id"), of("severity"), of("status"), of("type"), of("title"))
}

/// Each clock, and how long after the onset.
fn clocks(incident: &Value, now: Timestamp) -> String {
    let onset = moment(&incident["onset"]);
    let mut lines = Vec::new();
    for clock in ["onset", "detected", "acknowledged", "mitigated", "resolved", "closed"] {
        let at = &incident[clock];
        if at.is_null() && clock == "closed" {
            continue;
        }
        let after = if at.is_null() || clock == "onset" { "-".to_owned() } else { between(onset, moment(at)) };
        let after = if after == "-" { after } else { format!("{after} after onset") };
        lines.push((clock, if after == "-" { when(at) } else { format!("{}  {after}", when(at)) }));
    }
    if is_open(incident) {
        lines.push(("goes on", format!("for {}", between(onset, Some(now)))));
    }
    aligned(&lines)
}

fn is_open(incident: &Value) -> bool {
    ["detected", "investigating", "mitigating"].iter().any(|status| incident["status"] == *status)
}

/// Who has it, who is told, and what it touches.
fn hands(incident: &Value, typed: &Typed) -> String {
    let by = &incident["acknowledged_by"];
    let mut lines = vec![("taken by", if by.is_null() { "nobody".to_owned() } else { word(by) })];
    if by.is_null()
        && is_open(incident)
        && let Some(line) = typed.line("ack", &[], &[])
    {
        lines[0].1 = format!("nobody; {line}");
    }
    if !incident["escalation"].is_null() {
        lines.push(("paging", paging(&incident["escalation"])));
    }
    let whom = |told: &Value| {
        let person = if told["person"].is_null() { String::new() } else { format!("{} by ", word(&told["person"])) };
        format!("{person}{}", word(&told["channel"]))
    };
    let told: Vec<String> = array(&incident["told"]).iter().map(whom).collect();
    if !told.is_empty() {
        lines.push(("told", told.join(", ")));
    }
    lines.push(("routes", listed(&incident["routes"])));
    if !array(&incident["places"]).is_empty() {
        lines.push(("places", listed(&incident["places"])));
    }
    match incident["reopened"].as_u64() {
        None | Some(0) => {}
        Some(1) => lines.push(("opened again", "once".to_owned())),
        Some(times) => lines.push(("opened again", format!("{times} times"))),
    }
    if !incident["merged_into"].is_null() {
        lines.push(("part of", word(&incident["merged_into"])));
    }
    if !incident["proposed"].is_null() && is_open(incident) {
        let since = if incident["quiet_since"].is_null() { &incident["proposed"] } else { &incident["quiet_since"] };
        let paste = typed.line("status", &["resolved"], &[]).map_or_else(String::new, |line| format!("; {line}"));
        lines.push(("seems over", format!("since {}{paste}", when(since))));
    }
    let cause = &incident["review"]["root_cause"];
    if cause.as_str().is_some_and(|cause| !cause.is_empty()) {
        lines.push(("root cause", word(cause)));
    }
    for item in array(&incident["review"]["items"]).iter().filter(|item| item["state"] == "open") {
        let due = if item["due"].is_null() { String::new() } else { format!(" until {}", word(&item["due"])) };
        lines
            .push(("to do", format!("{}: {} ({}{due})", word(&item["id"]), word(&item["text"]), word(&item["owner"]))));
    }
    aligned(&lines)
}

/// The step that is next counts from one for people.
fn paging(escalation: &Value) -> String {
    let policy = &escalation["policy"];
    let steps = array(&policy["steps"]).len();
    let step = escalation["step"].as_u64().unwrap_or_default() + 1;
    let next = if escalation["next"].is_null() {
        "everybody was told as often as it says".to_owned()
    } else {
        format!("step {step} of {steps} at {}", when(&escalation["next"]))
    };
    let round = escalation["round"].as_u64().unwrap_or_default() + 1;
    let rounds = policy["repeat"].as_u64().unwrap_or_default() + 1;
    format!("by the policy {}, round {round} of {rounds}: {next}", word(&policy["name"]))
}

fn aligned(lines: &[(&str, String)]) -> String {
    lines.iter().map(|(name, value)| format!("{name:<12}  {value}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;

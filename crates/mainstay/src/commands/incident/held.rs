//! The parts of an incident: what speaks for each type, facts, actions, notices, the timeline.

use serde_json::Value;

use super::show::Typed;
use crate::table::Table;
use crate::words::{array, clipped, percent, when, word};

/// Types whose signals are told one by one.
const TOLD: usize = 1;
/// Types that are named at all.
const NAMED: usize = 5;
/// Lines of facts, notices and the timeline without `--all`.
const LINES: usize = 20;
/// Most characters of a line of theirs.
const TEXT_MAX: usize = 300;

/// Types by evidence; of the first with what each signal adds, of others in a line.
pub(super) fn ranking(ranking: &Value) -> String {
    let all = array(ranking);
    if all.is_empty() {
        return String::new();
    }
    let mut out = vec!["types, by what is seen".to_owned()];
    for (place, ranked) in all.iter().take(NAMED).enumerate() {
        out.push(format!(
            "  {:>7}  {} ({})",
            percent(&ranked["probability"]),
            word(&ranked["type"]),
            word(&ranked["title"])
        ));
        for (heading, signs) in [("fired", &ranked["fired"]), ("silent", &ranked["silent"])] {
            if place < TOLD {
                for sign in array(signs) {
                    let weight = sign["weight"].as_f64().map_or("-".to_owned(), |weight| format!("{weight:+.2}"));
                    out.push(format!("           {heading:<6}  {weight:>5}  {}", clipped(&sign["text"], TEXT_MAX)));
                }
            } else if !array(signs).is_empty() {
                let names: Vec<String> = array(signs).iter().map(|sign| word(&sign["name"])).collect();
                out.push(format!("           {heading:<6}  {}", names.join(", ")));
            }
        }
    }
    if all.len() > NAMED {
        out.push(format!("  and {} more", all.len() - NAMED));
    }
    out.join("\n")
}

/// Facts that last, and how many do not.
pub(super) fn facts(incident: &Value, all: bool) -> String {
    let held = array(&incident["facts"]);
    let (last, over): (Vec<&Value>, Vec<&Value>) = held.iter().partition(|fact| fact["until"].is_null());
    let more = incident["more_facts"].as_u64().unwrap_or_default();
    if held.is_empty() && more == 0 {
        return String::new();
    }
    let mut table = Table::new(&["since", "until", "fact", "times", "what"]);
    let shown: Vec<&Value> =
        if all { last.iter().chain(&over).copied().collect() } else { last.iter().copied().take(LINES).collect() };
    for fact in &shown {
        let what = clipped(&fact["text"], TEXT_MAX);
        table.row(vec![when(&fact["since"]), when(&fact["until"]), word(&fact["fact"]), word(&fact["times"]), what]);
    }
    let mut out = vec![format!("facts that last: {}; over: {}", last.len(), over.len())];
    if more > 0 {
        out.push(format!("not kept one by one: {more}"));
    }
    if !shown.is_empty() {
        out.push(table.to_string().trim_end().to_owned());
    }
    if !all && last.len() > LINES {
        out.push(format!("and {} more: --all", last.len() - LINES));
    }
    out.join("\n")
}

/// What can be done at once, as lines to paste.
pub(super) fn proposals(proposals: &Value, typed: &Typed) -> String {
    let mut out = vec!["to do at once".to_owned()];
    for proposal in array(proposals) {
        out.push(format!("  {}", clipped(&proposal["text"], TEXT_MAX)));
        // As it is: a word that was made harmless would be another one. What cannot be typed is told alone.
        let value = |key: &'static str| match &proposal[key] {
            Value::Null => None,
            Value::String(text) => Some((key, text.clone())),
            other => Some((key, other.to_string())),
        };
        let options: Vec<(&str, String)> = ["route", "level", "model"].into_iter().filter_map(value).collect();
        let options: Vec<(&str, &str)> = options.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let action = proposal["action"].as_str().unwrap_or_default();
        if let Some(line) = typed.line("action", &[action], &options) {
            out.push(format!("    {line}"));
        }
    }
    if out.len() > 1 { out.join("\n") } else { String::new() }
}

/// What mainstay did or is doing, and how to undo it.
pub(super) fn actions(actions: &Value, typed: &Typed) -> String {
    let all = array(actions);
    if all.is_empty() {
        return String::new();
    }
    let mut table =
        Table::new(&["action", "what", "state", "by", "asked for", "took effect", "until", "ended", "error"]);
    let mut undo = Vec::new();
    for action in all {
        let mut row = vec![word(&action["id"]), act(action)];
        row.extend(["state", "by"].map(|key| word(&action[key])));
        row.extend(["at", "taken", "until", "ended"].map(|key| when(&action[key])));
        row.push(clipped(&action["error"], TEXT_MAX));
        table.row(row);
        if action["state"] == "active"
            && let Some(line) = typed.line("undo", &[&word(&action["id"])], &[])
        {
            undo.push(line);
        }
    }
    format!("{table}{}", undo.join("\n"))
}

/// An action in the words in which it is asked for.
pub(super) fn act(action: &Value) -> String {
    let of = ["route", "level", "model", "pattern", "run"].into_iter().filter(|key| !action[*key].is_null());
    let of =
        of.map(
            |key| {
                if key == "level" { format!("level {}", word(&action[key])) } else { clipped(&action[key], TEXT_MAX) }
            },
        );
    [word(&action["action"])].into_iter().chain(of).collect::<Vec<_>>().join(" ")
}

/// Who was told by what, and whether it arrived.
pub(super) fn notices(notices: &Value, all: bool) -> String {
    let every = array(notices);
    if every.is_empty() {
        return String::new();
    }
    let left_out = if all { 0 } else { every.len().saturating_sub(LINES) };
    let mut table =
        Table::new(&["notice", "made", "why", "channel", "person", "state", "tries", "next or ended", "error"]);
    for delivery in &every[left_out..] {
        let notice = &delivery["notice"];
        let ended = if delivery["ended"].is_null() { &delivery["next"] } else { &delivery["ended"] };
        table.row(vec![
            word(&delivery["id"]),
            when(&delivery["made"]),
            word(&notice["purpose"]),
            word(&delivery["channel"]),
            word(&notice["person"]),
            word(&delivery["state"]),
            word(&delivery["attempts"]),
            when(ended),
            clipped(&delivery["error"], TEXT_MAX),
        ]);
    }
    let more = if left_out > 0 { format!("and {left_out} before: --all\n") } else { String::new() };
    format!("{table}{more}")
}

/// What happened, in order; the last of it.
pub(super) fn timeline(incident: &Value, all: bool) -> String {
    let every = array(&incident["timeline"]);
    if every.is_empty() {
        return String::new();
    }
    let left_out = if all { 0 } else { every.len().saturating_sub(LINES) };
    let mut table = Table::new(&["at", "who", "what", "timeline"]);
    for entry in &every[left_out..] {
        let text = if all { word(&entry["text"]) } else { clipped(&entry["text"], TEXT_MAX) };
        table.row(vec![when(&entry["at"]), word(&entry["actor"]), word(&entry["what"]), text]);
    }
    let mut out = vec![table.to_string().trim_end().to_owned()];
    if left_out > 0 {
        out.push(format!("and {left_out} before: --all"));
    }
    if let Some(dropped) = incident["timeline_dropped"].as_u64().filter(|dropped| *dropped > 0) {
        out.push(format!("entries that had no room: {dropped}"));
    }
    out.join("\n")
}

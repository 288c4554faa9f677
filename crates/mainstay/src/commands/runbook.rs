//! `mainstay runbook`: what a type of incident looks like, and what to do about it.

use hyper::Method;
use serde_json::Value;

use crate::cli::Global;
use crate::client;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::table::Table;
use crate::words::{array, word};

const PATH: &str = "/api/v1/runbooks";

/// All types, or the page of one.
pub(crate) fn run(global: &Global, kind: Option<&str>) -> Result<Exit, Stop> {
    let path = kind.map_or(PATH.to_owned(), |kind| format!("{PATH}/{}", client::segment(kind)));
    let answer = client::call(global, Method::GET, &path, None)?;
    match (global.format, kind) {
        (Format::Json, _) => output::json(&answer)?,
        (Format::Human, None) => output::data(list(array(&answer["runbooks"])))?,
        (Format::Human, Some(_)) => output::data(page(&answer))?,
    }
    Ok(Exit::Fine)
}

fn list(runbooks: &[Value]) -> String {
    let mut table = Table::new(&["type", "title", "about"]);
    for runbook in runbooks {
        table.row(["type", "title", "about"].map(|key| word(&runbook[key])).to_vec());
    }
    table.to_string()
}

fn page(runbook: &Value) -> String {
    let of = |key: &str| word(&runbook[key]);
    let least = if runbook["severity"].is_null() { String::new() } else { format!("At least {}.", of("severity")) };
    let head = format!("{}: {}\n{}\n{least}", of("type"), of("title"), of("about"));
    let signal = |signal: &Value| match signal["opens"].as_str() {
        Some("at_once") => format!("{}; opens an incident at once", word(&signal["text"])),
        Some("held") => format!("{}; opens an incident when it has lasted", word(&signal["text"])),
        _ => word(&signal["text"]),
    };
    let action = |action: &Value| {
        let by = if action["action"].is_null() { String::new() } else { format!(" ({})", word(&action["action"])) };
        format!("{}{by}", word(&action["text"]))
    };
    let mut sections = vec![
        head,
        section("signals", &runbook["signals"], signal),
        section("do at once", &runbook["actions"], action),
        section("find the cause", &runbook["steps"], word),
        section("usual causes", &runbook["causes"], word),
        section("who is told, in this order", &runbook["escalation"], word),
        section("ask afterwards", &runbook["questions"], word),
        section("what may prevent it", &runbook["prevention"], word),
    ];
    if !runbook["policy"].is_null() {
        sections.push(format!("paged by the policy {}\n", of("policy")));
    }
    let sections = sections.iter().map(|section| section.trim_end()).filter(|section| !section.is_empty());
    sections.collect::<Vec<_>>().join("\n\n")
}

fn section(heading: &str, items: &Value, told: impl Fn(&Value) -> String) -> String {
    let items = array(items);
    let lines = (1..).zip(items).map(|(number, item)| format!("{number:>3}. {}", told(item)));
    let lines: Vec<String> = [heading.to_owned()].into_iter().chain(lines).collect();
    if items.is_empty() { String::new() } else { lines.join("\n") }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_runbook_is_a_page_and_its_empty_parts_are_left_out() {
        let runbook = json!({
            "type": "serving_latency", "title": "Serving latency", "about": "Answers come late.", "severity": "sev2",
            "signals": [
                { "name": "latency", "text": "a latency objective burns", "opens": "at_once" },
                { "name": "breaker", "text": "a breaker is open", "opens": "held" },
                { "name": "change", "text": "something changed", "opens": "no" },
            ],
            "causes": ["load\u{1b}[31m"],
            "actions": [{ "text": "Answer with the simpler model.", "action": "pin_level" }, { "text": "Wait.", "action": null }],
            "steps": ["Look at\nqueues."], "escalation": ["ML engineer on call"], "questions": [], "prevention": [], "policy": "ml",
        });
        expect![[r"
            serving_latency: Serving latency
            Answers come late.
            At least sev2.

            signals
              1. a latency objective burns; opens an incident at once
              2. a breaker is open; opens an incident when it has lasted
              3. something changed

            do at once
              1. Answer with the simpler model. (pin_level)
              2. Wait.

            find the cause
              1. Look at queues.

            usual causes
              1. load\u{1b}[31m

            who is told, in this order
              1. ML engineer on call

            paged by the policy ml"]]
        .assert_eq(&page(&runbook));
    }

    #[test]
    fn types_are_a_table() {
        let one = json!({ "type": "unclassified", "title": "Unclassified", "about": "No type is known.\u{202e}" });
        expect![[r"
            type          title         about
            ------------  ------------  -------------------------
            unclassified  Unclassified  No type is known.\u{202e}
        "]]
        .assert_eq(&list(&[one]));
    }
}

//! `mainstay incident review` and `incident write`: what is told of an incident afterwards, and what people say of it.

use std::fs;

use anyhow::{Context as _, anyhow};
use hyper::Method;
use serde_json::{Map, Value, json};

use super::{get, one};
use crate::cli::{Global, IncidentFindings, IncidentReview, ReviewForm};
use crate::client;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::words::{array, page, word};

/// A file gets the review as it is; a terminal what it can show.
pub(super) fn read(global: &Global, options: &IncidentReview) -> Result<Exit, Stop> {
    let form = options.form.unwrap_or(match global.format {
        Format::Json => ReviewForm::Json,
        Format::Human => ReviewForm::Md,
    });
    let path = |form: &str| format!("{}/review?format={form}", one(&options.id));
    let text = match form {
        ReviewForm::Json => {
            let review = client::call(global, Method::GET, &path("json"), None)?;
            if options.output.is_none() {
                output::json(&review)?;
                return Ok(Exit::Fine);
            }
            format!("{review:#}\n")
        }
        ReviewForm::Md => client::text(global, &path("md"))?,
        ReviewForm::Html => client::text(global, &path("html"))?,
    };
    match &options.output {
        None => output::data(page(&text))?,
        Some(file) => {
            let written = fs::write(file, text);
            written.with_context(|| format!("cannot write {}", file.display())).map_err(Stop::unreachable)?;
        }
    }
    Ok(Exit::Fine)
}

pub(super) fn write(global: &Global, findings: &IncidentFindings) -> Result<Exit, Stop> {
    let known = if findings.done.is_empty() && findings.dropped.is_empty() {
        Value::Null
    } else {
        get(global, &findings.id)?["incident"]["review"]["items"].take()
    };
    let body = body(findings, array(&known))?;
    let answer = client::call(global, Method::PUT, &format!("{}/review", one(&findings.id)), Some(&body))?;
    match global.format {
        Format::Json => output::json(&answer)?,
        Format::Human => output::say(format_args!("{}", written(&answer["incident"]))),
    }
    Ok(Exit::Fine)
}

/// What is said, and nothing else: what is left out stays as it is. An item that is there is told whole.
fn body(findings: &IncidentFindings, known: &[Value]) -> Result<Value, Stop> {
    let mut body = Map::new();
    if let Some(cause) = &findings.root_cause {
        body.insert("root_cause".to_owned(), json!(cause));
    }
    let lists = [
        ("contributing", &findings.contributing),
        ("went_well", &findings.went_well),
        ("could_improve", &findings.could_improve),
        ("lucky", &findings.lucky),
        ("detection", &findings.detection),
        ("prevention", &findings.prevention),
    ];
    for (key, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        body.insert(key.to_owned(), json!(list));
    }
    let mut items = Vec::new();
    if let Some(text) = &findings.item {
        let due = findings.due.map(|due| due.to_string());
        let item = json!({ "text": text, "owner": findings.owner, "due": due, "purpose": findings.purpose });
        items.push(client::without_nulls(item));
    }
    let ended = [(&findings.done, "done"), (&findings.dropped, "dropped")];
    for (number, state) in
        ended.into_iter().flat_map(|(numbers, state)| numbers.iter().map(move |number| (number, state)))
    {
        let item = known.iter().find(|item| item["id"] == *number);
        let mut item = item.cloned().ok_or_else(|| Stop::usage(anyhow!("{} has no item {number}", findings.id)))?;
        item["state"] = json!(state);
        items.push(item);
    }
    if !items.is_empty() {
        body.insert("items".to_owned(), json!(items));
    }
    Ok(Value::Object(body))
}

fn written(incident: &Value) -> String {
    let items = array(&incident["review"]["items"]);
    let open: Vec<String> = items.iter().filter(|item| item["state"] == "open").map(|item| word(&item["id"])).collect();
    let open = if open.is_empty() { "no open items".to_owned() } else { format!("open items: {}", open.join(", ")) };
    let cause = if incident["review"]["root_cause"] == "" { "no root cause yet; " } else { "" };
    format!("written into the review of {}; {cause}{open}", word(&incident["id"]))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command, IncidentCommand};

    fn said(words: &[&str], known: &[Value]) -> Result<Value, Stop> {
        let command = ["mainstay", "incident", "write", "AI-1"].into_iter().chain(words.iter().copied());
        match Cli::try_parse_from(command).unwrap().command {
            Command::Incident(IncidentCommand::Write(findings)) => body(&findings, known),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_what_was_said_is_written() {
        assert_eq!(said(&["--root-cause", "a full disk"], &[]).unwrap(), json!({ "root_cause": "a full disk" }));
        let words = ["--lucky", "a", "--lucky", "b", "--item", "Watch disks", "--owner", "ada", "--due", "2026-03-31"];
        assert_eq!(
            said(&words, &[]).unwrap(),
            json!({ "lucky": ["a", "b"], "items": [{ "text": "Watch disks", "owner": "ada", "due": "2026-03-31" }] })
        );
    }

    #[test]
    fn an_item_that_is_done_stays_what_it_was() {
        let item = |id: u32, state: &str| json!({ "id": id, "text": "t", "owner": "bob", "due": "2026-01-01", "purpose": "detect", "state": state });
        let known = [item(1, "open"), item(2, "open"), item(3, "open")];
        let body = said(&["--done", "2", "--dropped", "3"], &known).unwrap();
        assert_eq!(body, json!({ "items": [item(2, "done"), item(3, "dropped")] }));
        assert!(matches!(said(&["--done", "4"], &known), Err(Stop::Failed(Exit::Usage, _))));
    }

    #[test]
    fn what_is_missing_is_said() {
        let incident = json!({ "id": "AI-1", "review": { "root_cause": "", "items": [{ "id": 1, "state": "done" }, { "id": 2, "state": "open" }] } });
        assert_eq!(written(&incident), "written into the review of AI-1; no root cause yet; open items: 2");
    }
}

//! `mainstay status`: one screen.

use hyper::Method;
use serde_json::{Value, json};

use crate::cli::Global;
use crate::client;
use crate::commands::incident;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::table::Table;
use crate::words::{percent, word};

/// Asks the running service how it is.
pub(crate) fn run(global: &Global) -> Result<Exit, Stop> {
    let status = client::call(global, Method::GET, "/api/v1/status", None)?;
    match global.format {
        Format::Json => output::json(&status)?,
        Format::Human => output::data(screen(&status, incident::open(global)?))?,
    }
    Ok(Exit::Fine)
}

/// Asks whether it takes requests, as probes of containers do. That it does not is an answer.
pub(crate) fn ready(global: &Global) -> Result<Exit, Stop> {
    let (is_ready, said) = client::probe(global, "/readyz")?;
    match global.format {
        Format::Json => output::json(&json!({ "schema": 1, "ready": is_ready, "why": said }))?,
        Format::Human => output::data(said.as_deref().map_or("ready".to_owned(), |why| format!("not ready: {why}")))?,
    }
    Ok(if is_ready { Exit::Fine } else { Exit::No })
}

fn screen(status: &Value, incidents: Option<Table>) -> String {
    let draining = if status["draining"] == true { ", draining" } else { "" };
    let tables = [
        incidents,
        experiments(&status["experiments"]),
        routes(&status["routes"]),
        answers(&status["routes"]),
        backends(&status["backends"]),
        groups(&status["groups"]),
        features(&status["features"]),
        files(&status["files"]),
        queues(&status["queues"]),
        budgets(&status["budgets"]),
    ];
    let tables: Vec<String> = tables.into_iter().flatten().map(|table| table.to_string()).collect();
    let halt = &status["halt"];
    let halted = if halt["halted"] == true {
        format!("faults are halted by {}: {}\n", word(&halt["by"]), word(&halt["reason"]))
    } else {
        String::new()
    };
    format!("{} at {}{draining}\n{halted}\n{}", word(&status["service"]), word(&status["at"]), tables.join("\n"))
}

fn experiments(running: &Value) -> Option<Table> {
    table(running, &["experiment", "name", "fault", "route", "phase", "since", "by"], |run| {
        ["id", "experiment", "fault", "route", "phase", "started", "by"].map(|key| word(&run[key])).to_vec()
    })
}

fn routes(routes: &Value) -> Option<Table> {
    table(routes, &["route", "level", "why", "pinned", "0", "1", "2", "3", "4", "failed", "shed"], |route| {
        let mut row = vec![
            word(&route["name"]),
            format!("{} {}", route["level"], word(&route["level_name"])),
            word(&route["reason"]),
            pin(&route["pin"]),
        ];
        row.extend((0..5).map(|level| word(&route["served"][level])));
        row.extend([word(&route["all_failed"]), word(&route["shed"])]);
        row
    })
}

fn backends(backends: &Value) -> Option<Table> {
    table(backends, &["backend", "healthy", "breaker", "limit", "in flight", "waiting", "endpoints"], |backend| {
        let endpoints = backend["endpoints"].as_array().map_or(&[][..], Vec::as_slice);
        let ejected = endpoints.iter().filter(|endpoint| endpoint["ejected"] == true).count();
        vec![
            word(&backend["name"]),
            health(&backend["healthy"]),
            word(&backend["breaker"]),
            word(&backend["limit"]),
            word(&backend["in_flight"]),
            word(&backend["waiting"]),
            if ejected == 0 { endpoints.len().to_string() } else { format!("{} ({ejected} ejected)", endpoints.len()) },
        ]
    })
}

fn groups(groups: &Value) -> Option<Table> {
    table(groups, &["group", "breaker", "again at", "left alone", "members"], |group| {
        let members = group["members"].as_array().map_or(0, Vec::len);
        let mut row = ["name", "breaker", "retry_at", "open"].map(|key| word(&group[key])).to_vec();
        row.push(members.to_string());
        row
    })
}

fn features(sets: &Value) -> Option<Table> {
    table(sets, &["features", "healthy", "breaker", "cached", "hits", "misses", "stale"], |set| {
        let mut row = vec![word(&set["name"]), health(&set["healthy"]), word(&set["breaker"])];
        row.extend(["cached", "hits", "misses", "stale"].map(|count| word(&set[count])));
        row
    })
}

/// Entries that lacked an answer or were late, and why.
fn answers(routes: &Value) -> Option<Table> {
    let mut table = Table::new(&["route", "level", "by", "answered", "late", "without answer"]);
    let mut is_empty = true;
    for route in routes.as_array().map_or(&[][..], Vec::as_slice) {
        for entry in route["entries"].as_array().map_or(&[][..], Vec::as_slice) {
            let failures = entry["failures"].as_object().filter(|failures| !failures.is_empty());
            if failures.is_none() && entry["late"] == 0 {
                continue;
            }
            let failures = failures.into_iter().flatten().map(|(why, count)| format!("{why} {count}"));
            let failures: Vec<String> = failures.collect();
            table.row(vec![
                word(&route["name"]),
                format!("{} {}", entry["level"], word(&entry["name"])),
                word(&entry["kind"]),
                word(&entry["answered"]),
                word(&entry["late"]),
                if failures.is_empty() { "-".to_owned() } else { failures.join(", ") },
            ]);
            is_empty = false;
        }
    }
    (!is_empty).then_some(table)
}

fn files(files: &Value) -> Option<Table> {
    table(files, &["file", "used as", "entries", "written", "refused", "fault"], |file| {
        ["path", "used_as", "entries", "modified", "refused", "fault"].map(|key| word(&file[key])).to_vec()
    })
}

fn queues(queues: &Value) -> Option<Table> {
    table(queues, &["queue", "open", "claimed", "of", "oldest (s)", "decided", "disk"], |queue| {
        let oldest = queue["oldest_seconds"].as_f64().map_or("-".to_owned(), |seconds| format!("{seconds:.0}"));
        let mut row = ["name", "open", "claimed", "max"].map(|key| word(&queue[key])).to_vec();
        let disk = if queue["is_broken"] == true { "cannot be written" } else { "ok" };
        row.extend([oldest, word(&queue["decided"]), disk.to_owned()]);
        row
    })
}

fn budgets(budgets: &Value) -> Option<Table> {
    table(budgets, &["objective", "budget left", "status", "alert"], |budget| {
        vec![word(&budget["slo"]), percent(&budget["remaining"]), word(&budget["status"]), word(&budget["alert"])]
    })
}

/// A table with one row per item; `None` where there are no items.
fn table(items: &Value, headings: &[&str], row: impl Fn(&Value) -> Vec<String>) -> Option<Table> {
    let items = items.as_array().filter(|items| !items.is_empty())?;
    let mut table = Table::new(headings);
    for item in items {
        table.row(row(item));
    }
    Some(table)
}

fn pin(pin: &Value) -> String {
    match (pin.is_null(), pin["until"].as_str()) {
        (true, _) => "-".to_owned(),
        (false, Some(until)) => format!("until {until}"),
        (false, None) => "yes".to_owned(),
    }
}

fn health(healthy: &Value) -> String {
    match healthy.as_bool() {
        Some(true) => "yes".to_owned(),
        Some(false) => "NO".to_owned(),
        None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_comes_first_and_nothing_of_it_moves_a_terminal() {
        let mut open = Table::new(&["incident", "title"]);
        open.row(vec!["AI-1".to_owned(), "late".to_owned()]);
        let status =
            json!({ "service": "s\u{1b}[31m", "at": "now", "budgets": [{ "slo": "a\u{202e}", "remaining": 0.5 }] });
        let shown = screen(&status, Some(open));
        assert!(shown.starts_with("s\\u{1b}[31m at now\n\nincident  title\n"), "{shown}");
        assert!(shown.contains(r"a\u{202e}"), "{shown}");
        assert!(!screen(&status, None).contains("incident"));
    }
}

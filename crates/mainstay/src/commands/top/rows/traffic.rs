//! Routes and backends.

use serde_json::Value;

use super::super::columns::{Cell, Column, Tone};
use super::super::feed::Heard;
use super::super::figures::{Figures, History, Quantile};
use super::super::model::Row;
use super::{breaker, cell, health, row, seconds, short, since};
use crate::words::{array, word};

/// Columns of routes; traffic is in requests per second, by class.
pub(super) const ROUTES: [Column; 12] = [
    Column::words("route", 24, 40, 0),
    Column::words("level", 17, 30, 1),
    Column::words("pin", 4, 8, 2),
    Column::number("0/s", 3),
    Column::number("1/s", 4),
    Column::number("2/s", 5),
    Column::number("3/s", 6),
    Column::number("shed/s", 7),
    Column::number("p50", 9),
    Column::number("p99", 8),
    Column::words("why", 12, 60, 10),
    Column::number("failed", 11),
];

/// Columns of backends.
pub(super) const BACKENDS: [Column; 10] = [
    Column::words("backend", 20, 40, 0),
    Column::words("healthy", 7, 7, 4),
    Column::words("breaker", 9, 13, 1),
    Column::number("in flight", 3),
    Column::number("limit", 2),
    Column::number("waiting", 5),
    Column::words("keys", 4, 12, 6),
    Column::words("endpoints", 9, 16, 7),
    Column::words("version", 7, 20, 8),
    Column::words("protocol", 14, 20, 9),
];

pub(super) fn routes(heard: &Heard, history: &History) -> Vec<Row> {
    let at = &heard.status["at"];
    let each = array(&heard.status["routes"]).iter();
    each.map(|route| {
        let figures = history.figures(route["name"].as_str().unwrap_or_default());
        row(&route["name"], of_route(route, at, &figures), told_of_route(route, &figures))
    })
    .collect()
}

fn of_route(route: &Value, at: &Value, figures: &Figures) -> Vec<Cell> {
    let tone = match route["level"].as_u64() {
        Some(0) => Tone::Good,
        Some(1 | 2) => Tone::Warn,
        _ => Tone::Bad,
    };
    let number = |number: Option<f64>| Cell::plain(&number.map_or("-".to_owned(), short));
    let mut cells = vec![
        cell(&route["name"]),
        Cell::new(&format!("{} {}", word(&route["level"]), word(&route["level_name"])), tone),
        pin(&route["pin"], at),
    ];
    cells.extend((0..4).map(|class| number(figures.rates.map(|rates| rates[class]))));
    let shed = number(figures.shed);
    cells.push(if figures.shed.is_some_and(|shed| shed > 0.0) { Cell { tone: Tone::Warn, ..shed } } else { shed });
    cells.extend([figures.p50, figures.p99].map(|quantile| Cell::plain(&told(quantile))));
    cells.extend([cell(&route["reason"]), cell(&route["all_failed"])]);
    cells
}

/// How long a pin holds yet.
fn pin(pin: &Value, at: &Value) -> Cell {
    match (pin.is_null(), pin["until"].is_null()) {
        (true, _) => Cell::new("-", Tone::Dim),
        (false, true) => Cell::new("held", Tone::Warn),
        (false, false) => Cell::new(&since(at, &pin["until"]), Tone::Warn),
    }
}

fn told(quantile: Option<Quantile>) -> String {
    match quantile {
        None => "-".to_owned(),
        Some(Quantile::Seconds(number)) => seconds(number),
        Some(Quantile::Beyond(bound)) => format!(">{}", seconds(bound)),
    }
}

fn told_of_route(route: &Value, figures: &Figures) -> Vec<(&'static str, String)> {
    let held = &route["pin"];
    let served: Vec<String> =
        array(&route["served"]).iter().enumerate().map(|(n, it)| format!("{it} at {n}")).collect();
    let mut details = vec![
        ("route", word(&route["name"])),
        ("path", word(&route["path"])),
        ("level", format!("{} {}", word(&route["level"]), word(&route["level_name"]))),
        ("why", word(&route["reason"])),
        ("pin", if held.is_null() { String::new() } else { format!("level {}", word(&held["level"])) }),
        ("pinned until", if held.is_null() { String::new() } else { word(&held["until"]) }),
        ("pinned for", word(&held["reason"])),
        ("last minute", format!("p50 {}, p99 {}", told(figures.p50), told(figures.p99))),
        ("served by level", served.join(", ")),
        ("shed", word(&route["shed"])),
        ("no answer", word(&route["all_failed"])),
        ("blocked", route["blocked"].as_u64().filter(|n| *n > 0).map_or(String::new(), |n| format!("{n} patterns"))),
    ];
    details.extend(array(&route["entries"]).iter().map(|entry| ("entry", of_entry(entry))));
    details
}

fn of_entry(entry: &Value) -> String {
    let [level, name, kind, answered] = ["level", "name", "kind", "answered"].map(|key| word(&entry[key]));
    let failures = entry["failures"].as_object().into_iter().flatten().map(|(why, count)| format!(", {why} {count}"));
    let late = entry["late"].as_u64().filter(|n| *n > 0).map_or(String::new(), |n| format!(", late {n}"));
    format!("{level} {name} ({kind}): answered {answered}{late}{}", failures.collect::<String>())
}

pub(super) fn backends(heard: &Heard, history: &History) -> Vec<Row> {
    let each = array(&heard.status["backends"]).iter();
    each.map(|backend| {
        let keys = history.newest().map_or(&[][..], |it| it.keys(backend["name"].as_str().unwrap_or_default()));
        let up = keys.iter().filter(|key| key.is_up).count();
        let tone = if up == keys.len() { Tone::Plain } else { Tone::Warn };
        let keys_cell =
            if keys.is_empty() { Cell::plain("-") } else { Cell::new(&format!("{up} of {}", keys.len()), tone) };
        let endpoints = array(&backend["endpoints"]);
        let out = endpoints.iter().filter(|endpoint| endpoint["ejected"] == true).count();
        let tone = if out > 0 { Tone::Warn } else { Tone::Plain };
        let in_use = Cell::new(&format!("{} of {}", endpoints.len() - out, endpoints.len()), tone);
        let cells = vec![
            cell(&backend["name"]),
            health(&backend["healthy"]),
            breaker(&backend["breaker"]),
            cell(&backend["in_flight"]),
            cell(&backend["limit"]),
            cell(&backend["waiting"]),
            keys_cell,
            in_use,
            cell(&backend["version"]),
            cell(&backend["protocol"]),
        ];
        let mut details = told_of_backend(backend);
        let of_key = |(at, key): (usize, &super::super::figures::Key)| {
            let state = if key.is_up { "used" } else { "rests" };
            ("key", format!("{at}: {state}, calls {:.0}, faults {:.0}", key.calls, key.faults))
        };
        details.extend(keys.iter().enumerate().map(of_key));
        row(&backend["name"], cells, details)
    })
    .collect()
}

fn told_of_backend(backend: &Value) -> Vec<(&'static str, String)> {
    let mut details: Vec<(&'static str, String)> = [
        ("backend", "name"),
        ("protocol", "protocol"),
        ("version", "version"),
        ("breaker", "breaker"),
        ("tried again at", "retry_at"),
        ("limit", "limit"),
        ("in flight", "in_flight"),
        ("waiting", "waiting"),
    ]
    .map(|(name, key)| (name, word(&backend[key])))
    .to_vec();
    details.extend(array(&backend["endpoints"]).iter().map(|endpoint| {
        let out = if endpoint["ejected"] == true { ", left out" } else { "" };
        ("endpoint", format!("{}, in flight {}{out}", word(&endpoint["url"]), word(&endpoint["in_flight"])))
    }));
    details
}

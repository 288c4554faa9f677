//! Budgets, incidents, and what is under way.

use std::cmp::Ordering;

use serde_json::Value;

use super::super::columns::{Cell, Column, Tone};
use super::super::feed::Heard;
use super::super::model::Row;
use super::{cell, row, short, since};
use crate::words::{array, listed, percent, span, when, word};

/// Columns of budgets.
pub(super) const BUDGETS: [Column; 7] = [
    Column::words("objective", 24, 50, 0),
    Column::number("left", 1),
    Column::words("status", 9, 9, 2),
    Column::words("alert", 6, 6, 3),
    Column::number("burn 1h", 4),
    Column::number("lasts", 5),
    Column::words("promise", 12, 60, 6),
];

/// Columns of incidents.
pub(super) const INCIDENTS: [Column; 7] = [
    Column::words("incident", 16, 20, 0),
    Column::words("sev", 4, 4, 1),
    Column::words("status", 13, 26, 3),
    Column::number("since", 4),
    Column::words("taken by", 8, 16, 5),
    Column::words("title", 16, 120, 2),
    Column::words("routes", 8, 30, 6),
];

/// Columns of what is under way.
pub(super) const RUNNING: [Column; 6] = [
    Column::words("running", 16, 30, 0),
    Column::words("what", 10, 40, 1),
    Column::words("phase", 9, 16, 2),
    Column::number("since", 3),
    Column::words("on", 8, 40, 4),
    Column::words("by", 8, 20, 5),
];

/// The look-back whose burn is shown.
const BURN_OVER_S: u64 = 3_600;

/// What calls somebody comes first, then what has the least left.
pub(super) fn budgets(heard: &Heard) -> Vec<Row> {
    let mut each: Vec<Budget> = match array(&heard.slos["slos"]) {
        [] => array(&heard.status["budgets"]).iter().map(Budget::in_short).collect(),
        slos => slos.iter().map(Budget::of).collect(),
    };
    each.sort_by(|a, b| a.urgency().cmp(&b.urgency()).then(order(a.remaining, b.remaining)));
    each.iter().map(Budget::row).collect()
}

fn order(a: Option<f64>, b: Option<f64>) -> Ordering {
    a.unwrap_or(f64::INFINITY).total_cmp(&b.unwrap_or(f64::INFINITY))
}

/// A budget, of a list or in short.
struct Budget<'a> {
    value: &'a Value,
    name: &'a Value,
    remaining: Option<f64>,
    alert: &'a str,
}

impl<'a> Budget<'a> {
    fn of(value: &'a Value) -> Budget<'a> {
        let severities = || array(&value["alerts"]).iter().filter_map(|alert| alert["severity"].as_str());
        let alert = severities().find(|severity| *severity == "page").or_else(|| severities().next());
        let remaining = value["budget"]["remaining"].as_f64();
        Budget { value, name: &value["name"], remaining, alert: alert.unwrap_or("-") }
    }

    fn in_short(value: &'a Value) -> Budget<'a> {
        let alert = value["alert"].as_str().unwrap_or("-");
        Budget { value, name: &value["slo"], remaining: value["remaining"].as_f64(), alert }
    }

    fn urgency(&self) -> u8 {
        match self.alert {
            "page" => 0,
            "-" => 2,
            _ => 1,
        }
    }

    fn row(&self) -> Row {
        let value = self.value;
        let tone = match value["status"].as_str() {
            Some("exhausted" | "critical") => Tone::Bad,
            Some("warning") => Tone::Warn,
            Some("healthy") => Tone::Good,
            _ => Tone::Dim,
        };
        let no_data = value["status"] == "no_data";
        let left = if no_data { "-".to_owned() } else { percent(&self.remaining.into()) };
        let alert_tone = match self.urgency() {
            0 => Tone::Bad,
            1 => Tone::Warn,
            _ => Tone::Dim,
        };
        let lasts = value["forecast"]["exhausted_in_seconds"].as_f64();
        let cells = vec![
            cell(self.name),
            Cell::new(&left, tone),
            Cell::new(&word(&value["status"]), tone),
            Cell::new(self.alert, alert_tone),
            Cell::plain(&burn(value).map_or("-".to_owned(), |rate| format!("{}x", short(rate)))),
            Cell::plain(span(lasts).split(' ').next().unwrap_or("-")),
            cell(&value["description"]),
        ];
        row(self.name, cells, self.details())
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let value = self.value;
        let mut details = vec![
            ("objective", word(self.name)),
            ("promise", word(&value["description"])),
            ("status", word(&value["status"])),
            ("signal", word(&value["signal"])),
            ("budget left", percent(&self.remaining.into())),
            ("route", word(&value["route"])),
            ("window from", word(&value["window"]["from"])),
            ("good", word(&value["good"])),
            ("bad", word(&value["bad"])),
            ("lasts", span(value["forecast"]["exhausted_in_seconds"].as_f64())),
            ("first bad", word(&value["first_bad"]["event"])),
        ];
        details.extend(array(&value["burn"]).iter().map(|burn| {
            let rate = burn["rate"].as_f64().map_or("-".to_owned(), |rate| format!("{rate:.2}x"));
            ("burn", format!("{rate} over {}", span(burn["seconds"].as_f64())))
        }));
        details.extend(
            array(&value["alerts"])
                .iter()
                .map(|alert| ("alert", format!("{}: {}", word(&alert["severity"]), word(&alert["why"])))),
        );
        details
    }
}

/// The burn of the last hour, or of the look-back that is next to it.
fn burn(value: &Value) -> Option<f64> {
    let seconds = |burn: &&Value| burn["seconds"].as_u64().unwrap_or(u64::MAX).abs_diff(BURN_OVER_S);
    array(&value["burn"]).iter().min_by_key(seconds)?["rate"].as_f64()
}

/// The worst first, the latest first among those.
pub(super) fn incidents(heard: &Heard) -> Vec<Row> {
    let mut each: Vec<&Value> = array(&heard.incidents["incidents"]).iter().collect();
    each.sort_by(|a, b| {
        let severity = |it: &Value| word(&it["severity"]);
        severity(a).cmp(&severity(b)).then_with(|| word(&b["detected"]).cmp(&word(&a["detected"])))
    });
    each.into_iter().map(|incident| incident_row(incident, &heard.status["at"])).collect()
}

fn incident_row(incident: &Value, at: &Value) -> Row {
    let tone = match incident["severity"].as_str() {
        Some("sev1" | "sev2") => Tone::Bad,
        Some("sev3") => Tone::Warn,
        _ => Tone::Plain,
    };
    let over = if incident["proposed"].is_null() { "" } else { ", seems over" };
    let cells = vec![
        cell(&incident["id"]),
        Cell::new(&word(&incident["severity"]), tone),
        Cell::plain(&format!("{}{over}", word(&incident["status"]))),
        Cell::plain(&since(&incident["detected"], at)),
        cell(&incident["acknowledged_by"]),
        cell(&incident["title"]),
        Cell::plain(&listed(&incident["routes"])),
    ];
    let details = vec![
        ("incident", word(&incident["id"])),
        ("title", word(&incident["title"])),
        ("type", word(&incident["type"])),
        ("severity", word(&incident["severity"])),
        ("status", word(&incident["status"])),
        ("began", when(&incident["onset"])),
        ("found", when(&incident["detected"])),
        ("taken", when(&incident["acknowledged"])),
        ("taken by", word(&incident["acknowledged_by"])),
        ("seems over since", when(&incident["proposed"])),
        ("routes", listed(&incident["routes"])),
        ("all of it", format!("mainstay incident show {}", word(&incident["id"]))),
    ];
    row(&incident["id"], cells, details)
}

/// Experiments, game days, training runs.
pub(super) fn running(heard: &Heard) -> Vec<Row> {
    let at = &heard.status["at"];
    let under_way = |it: &&Value| it["ended"].is_null();
    let experiments = array(&heard.status["experiments"]).iter().map(|it| experiment(it, at));
    let days = array(&heard.gamedays["gamedays"]).iter().filter(under_way).map(|it| gameday(it, at));
    let runs = array(&heard.runs["runs"]).iter().filter(under_way).map(|it| training(it, at));
    experiments.chain(days).chain(runs).collect()
}

fn experiment(it: &Value, at: &Value) -> Row {
    let tone = if it["phase"] == "injecting" { Tone::Warn } else { Tone::Plain };
    let cells = vec![
        cell(&it["id"]),
        cell(&it["experiment"]),
        Cell::new(&word(&it["phase"]), tone),
        Cell::plain(&since(&it["started"], at)),
        Cell::plain(&format!("{} of {}", word(&it["fault"]), word(&it["route"]))),
        cell(&it["by"]),
    ];
    let keys = [
        ("experiment", "id"),
        ("name", "experiment"),
        ("fault", "fault"),
        ("route", "route"),
        ("blast", "blast"),
        ("phase", "phase"),
        ("by", "by"),
        ("game day", "gameday"),
        ("started", "started"),
        ("fault since", "injected"),
        ("fault until", "withdrawn"),
    ];
    row(&it["id"], cells, keys.map(|(name, key)| (name, word(&it[key]))).to_vec())
}

fn gameday(it: &Value, at: &Value) -> Row {
    let cells = vec![
        cell(&it["id"]),
        cell(&it["scenario"]),
        cell(&it["phase"]),
        Cell::plain(&since(&it["started"], at)),
        Cell::plain(&format!("game day, {}", word(&it["mode"]))),
        cell(&it["by"]),
    ];
    let keys = [
        ("game day", "id"),
        ("scenario", "scenario"),
        ("mode", "mode"),
        ("phase", "phase"),
        ("by", "by"),
        ("started", "started"),
    ];
    row(&it["id"], cells, keys.map(|(name, key)| (name, word(&it[key]))).to_vec())
}

fn training(it: &Value, at: &Value) -> Row {
    let step = match it["total"].as_u64() {
        Some(total) => format!("step {} of {total}", word(&it["step"])),
        None => format!("step {}", word(&it["step"])),
    };
    let cells = vec![
        cell(&it["id"]),
        cell(&it["name"]),
        cell(&it["state"]),
        Cell::plain(&since(&it["started"], at)),
        Cell::plain(&step),
        Cell::plain("training"),
    ];
    let mut details = vec![
        ("training run", word(&it["id"])),
        ("model", word(&it["name"])),
        ("state", word(&it["state"])),
        ("why", word(&it["reason"])),
        ("started", word(&it["started"])),
        ("progress", step),
        ("attempts", word(&it["attempts"])),
        ("goodput", percent(&it["goodput"])),
    ];
    let metrics = it["metrics"].as_object().into_iter().flatten();
    details.extend(metrics.map(|(name, value)| ("metric", format!("{name} {value}"))));
    row(&it["id"], cells, details)
}

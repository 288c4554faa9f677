//! From what the service said to the rows of tables.

mod quality;
mod traffic;

use serde_json::Value;

use super::columns::{Cell, Column, Tone};
use super::feed::Heard;
use super::figures::History;
use super::model::{Pane, Row};
use super::text;
use crate::words::{self, word};

/// Most characters of one of the details.
const DETAIL_CHARS_MAX: usize = 4_000;

/// The columns of a table.
pub(super) const fn columns(pane: Pane) -> &'static [Column] {
    match pane {
        Pane::Routes => &traffic::ROUTES,
        Pane::Backends => &traffic::BACKENDS,
        Pane::Budgets => &quality::BUDGETS,
        Pane::Incidents => &quality::INCIDENTS,
        Pane::Running => &quality::RUNNING,
    }
}

/// What a table says that has no rows.
pub(super) const fn nothing(pane: Pane) -> &'static str {
    match pane {
        Pane::Routes => "the config has no routes",
        Pane::Backends => "the config has no backends",
        Pane::Budgets => "the config has no objectives",
        Pane::Incidents => "no incident is open",
        Pane::Running => "no experiment, game day or training is under way",
    }
}

/// The rows of a table.
pub(super) fn of(pane: Pane, heard: &Heard, history: &History) -> Vec<Row> {
    match pane {
        Pane::Routes => traffic::routes(heard, history),
        Pane::Backends => traffic::backends(heard, history),
        Pane::Budgets => quality::budgets(heard),
        Pane::Incidents => quality::incidents(heard),
        Pane::Running => quality::running(heard),
    }
}

/// A row whose cells stand under the columns of its table.
fn row(key: &Value, cells: Vec<Cell>, details: Vec<(&'static str, String)>) -> Row {
    let details = details.into_iter().filter(|(_, text)| !text.is_empty() && text != "-");
    let details = details.map(|(name, text)| (name, text::harmless(&text, DETAIL_CHARS_MAX))).collect();
    Row { key: word(key), cells, details }
}

fn cell(value: &Value) -> Cell {
    Cell::plain(&word(value))
}

/// How long it is from one moment to another, in the largest unit.
fn since(from: &Value, at: &Value) -> String {
    let both = words::between(words::moment(from), words::moment(at));
    both.split(' ').next().unwrap_or("-").to_owned()
}

/// A number with as many digits as fit into five places.
fn short(number: f64) -> String {
    match number {
        n if n >= 9_999_500.0 => format!("{:.0}M", n / 1e6),
        n if n >= 9_999.5 => format!("{:.0}k", n / 1e3),
        n if n >= 99.95 => format!("{n:.0}"),
        n if n > 0.0 => format!("{n:.1}"),
        _ => "0".to_owned(),
    }
}

/// Seconds in the unit that suits them.
fn seconds(number: f64) -> String {
    match number {
        n if n >= 99.95 => format!("{n:.0}s"),
        n if n >= 0.9995 => format!("{n:.1}s"),
        n if n >= 0.009_95 => format!("{:.0}ms", n * 1e3),
        n => format!("{:.1}ms", n * 1e3),
    }
}

fn breaker(state: &Value) -> Cell {
    let tone = match state.as_str() {
        Some("closed" | "forced_closed") => Tone::Good,
        Some("open" | "forced_open") => Tone::Bad,
        Some("half_open") => Tone::Warn,
        _ => Tone::Dim,
    };
    Cell::new(&word(state), tone)
}

fn health(healthy: &Value) -> Cell {
    match healthy.as_bool() {
        Some(true) => Cell::new("yes", Tone::Good),
        Some(false) => Cell::new("NO", Tone::Bad),
        None => Cell::new("-", Tone::Dim),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_short() {
        let numbers = [0.0, 0.04, 5.25, 99.94, 99.96, 9_999.4, 10_000.0, 12_345_678.0].map(short);
        assert_eq!(numbers, ["0", "0.0", "5.2", "99.9", "100", "9999", "10k", "12M"]);
        let times = [0.000_4, 0.009_96, 0.25, 0.9996, 12.34, 120.0].map(seconds);
        assert_eq!(times, ["0.4ms", "10ms", "250ms", "1.0s", "12.3s", "120s"]);
    }
}

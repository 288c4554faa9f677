//! stdout is data, stderr is talk.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};

use clap::ValueEnum;
use serde_json::Value;

use crate::exit::Stop;
use crate::words;

/// How data is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Human,
    /// For programs: one JSON document.
    Json,
}

/// Writes data to stdout and ends it with a line break.
pub(crate) fn data(text: impl fmt::Display) -> Result<(), Stop> {
    let mut out = io::stdout().lock();
    let text = text.to_string();
    writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush()).map_err(Stop::from_stdout)
}

/// Writes one JSON document to stdout. What is hidden in its strings stands there by its number, as JSON has it: it is the same document,
/// and a terminal that shows it does nothing else.
pub(crate) fn json(value: &Value) -> Result<(), Stop> {
    data(numbered(&format!("{value:#}")))
}

/// The same on one line, for those who read line by line.
pub(crate) fn json_line(value: &Value) -> Result<(), Stop> {
    data(numbered(&value.to_string()))
}

fn numbered(document: &str) -> String {
    let mut out = String::with_capacity(document.len());
    for c in document.chars() {
        if c != '\n' && words::is_hidden(c) {
            let mut units = [0; 2];
            out.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    out
}

/// Says something on stderr. Nobody listening is no reason to stop.
pub(crate) fn say(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether stdout may carry colours: a terminal, and nobody asked for none (<https://no-color.org>).
pub(crate) fn stdout_has_colours() -> bool {
    io::stdout().is_terminal() && colours_are_wanted()
}

/// Whether stderr may carry colours.
pub(crate) fn stderr_has_colours() -> bool {
    io::stderr().is_terminal() && colours_are_wanted()
}

fn colours_are_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_is_the_same_document_without_what_a_terminal_obeys() {
        let document = json!({ "title\u{202e}": "a\u{9b}2J\u{1b}[m\u{e0041}\n é", "lines": [1, 2] });
        let written = numbered(&format!("{document:#}"));
        assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), document);
        assert!(!written.chars().any(|c| c != '\n' && words::is_hidden(c)), "{written}");
    }
}

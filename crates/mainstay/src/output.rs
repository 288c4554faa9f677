//! stdout is data, stderr is talk.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};

use clap::ValueEnum;
use serde_json::Value;

use crate::exit::Stop;

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

/// Writes one JSON document to stdout.
pub(crate) fn json(value: &Value) -> Result<(), Stop> {
    data(format_args!("{value:#}"))
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

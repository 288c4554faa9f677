//! Comma-separated values (RFC 4180) with a line of names.

use serde_json::Value;

use super::{Rows, TableError};

/// A cell that is a number, `true`, `false`, or a list or object of JSON is that; an empty one is nothing; any other is
/// text.
pub(super) fn read(bytes: &[u8], key: Option<&str>) -> Result<Rows, TableError> {
    let mut reader = csv::ReaderBuilder::new().has_headers(true).flexible(false).from_reader(bytes);
    let names = reader.headers().map_err(|error| fault(&error))?;
    if names.is_empty() {
        return Err(TableError::Empty);
    }
    let columns: Vec<String> = names.iter().map(|name| name.trim().to_owned()).collect();
    let mut rows = Rows::new(columns, key)?;
    let mut record = csv::StringRecord::new();
    let mut values = Vec::new();
    while reader.read_record(&mut record).map_err(|error| fault(&error))? {
        values.clear();
        values
            .extend(record.iter().enumerate().map(|(at, cell)| if at == rows.key { text(cell) } else { typed(cell) }));
        let line = record.position().map_or(0, csv::Position::line);
        rows.push(&values).map_err(|what| TableError::line(line, what))?;
    }
    Ok(rows)
}

/// A key is text, whatever it looks like: `007` is not 7.
fn text(cell: &str) -> Value {
    if cell.is_empty() { Value::Null } else { Value::String(cell.to_owned()) }
}

fn typed(cell: &str) -> Value {
    let is_json = match cell.as_bytes() {
        [] => return Value::Null,
        [b'0'..=b'9' | b'-' | b'[' | b'{', ..] => true,
        _ => matches!(cell, "true" | "false"),
    };
    let parsed = if is_json { serde_json::from_str(cell).ok() } else { None };
    parsed.unwrap_or_else(|| Value::String(cell.to_owned()))
}

fn fault(error: &csv::Error) -> TableError {
    let line = error.position().map_or(1, csv::Position::line);
    let what = match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "not UTF-8".to_owned(),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} cells where the first line has {expected_len}")
        }
        _ => error.to_string(),
    };
    TableError::line(line, what)
}

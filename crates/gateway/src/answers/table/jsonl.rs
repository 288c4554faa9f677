//! One JSON object a line.

use serde_json::{Map, Value};

use super::{MAX_COLUMNS, Rows, TableError};

/// The columns are the members of the first object and what later ones add; without `key` the key is the first member of
/// the first object in alphabetical order, so it is better named.
pub(super) fn read(bytes: &[u8], key: Option<&str>) -> Result<Rows, TableError> {
    let mut columns: Vec<String> = Vec::new();
    let mut rows: Option<Rows> = None;
    let mut values = Vec::new();
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let fault = |what: String| TableError::line(at as u64 + 1, what);
        let mut object: Map<String, Value> = serde_json::from_slice(line).map_err(|error| fault(error.to_string()))?;
        for name in object.keys().filter(|name| !columns.contains(name)).cloned().collect::<Vec<_>>() {
            if columns.len() == MAX_COLUMNS {
                return Err(fault(format!("more than {MAX_COLUMNS} columns")));
            }
            if let Some(rows) = &mut rows {
                rows.columns.push(super::Column { name: name.clone(), kinds: super::Kinds::default() });
            }
            columns.push(name);
        }
        let rows = match &mut rows {
            Some(rows) => rows,
            None => rows.insert(Rows::new(columns.clone(), key)?),
        };
        values.clear();
        values.extend(columns.iter().map(|name| object.remove(name).unwrap_or_default()));
        rows.push(&values).map_err(fault)?;
    }
    rows.ok_or(TableError::Empty)
}

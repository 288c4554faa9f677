//! The entities that a request is about.

use http::HeaderMap;
use serde_json::Value;

use crate::json::{self, Pointer};
use crate::protocol::{BadRequest, json_part};

/// Most rows of a request.
pub const MAX_ROWS: usize = 1024;

/// The entities of a request, column by column: each key has one value per row.
#[derive(Clone, PartialEq, Debug)]
pub struct Keys {
    rows: usize,
    columns: Vec<(String, Vec<Value>)>,
}

/// Why a request's entities cannot be found.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyError {
    /// The request cannot be read.
    #[error(transparent)]
    Request(#[from] BadRequest),
    /// Nothing is where the pointer points.
    #[error("entity `{key}`: the request has nothing at {pointer}")]
    Absent {
        /// The entity's key.
        key: String,
        /// Where it should be.
        pointer: String,
    },
    /// Something else than a string, a number, or an array of these.
    #[error("entity `{key}`: the value at {pointer} is neither a string nor a number nor an array of these")]
    Kind {
        /// The entity's key.
        key: String,
        /// Where it is.
        pointer: String,
    },
    /// Arrays of different lengths, an empty one, or more than [`MAX_ROWS`] values.
    #[error("the entities have {found} rows where {expected} fit (at least 1, at most {MAX_ROWS})")]
    Rows {
        /// The rows of this key.
        found: usize,
        /// The rows of the others.
        expected: usize,
    },
}

impl Keys {
    pub(super) fn read(entity: &[(String, Pointer)], headers: &HeaderMap, body: &[u8]) -> Result<Keys, KeyError> {
        let body = json_part(headers, body)?;
        let columns = entity.iter().map(|(key, pointer)| Ok((key.clone(), column(key, pointer, body)?)));
        let mut columns: Vec<(String, Vec<Value>)> = columns.collect::<Result<_, KeyError>>()?;
        let rows = columns.iter().map(|(_, values)| values.len()).max().unwrap_or(1);
        for (_, values) in &mut columns {
            match values.as_slice() {
                [only] if rows > 1 => *values = vec![only.clone(); rows],
                _ if values.len() == rows => {}
                _ => return Err(KeyError::Rows { found: values.len(), expected: rows }),
            }
        }
        Ok(Keys { rows, columns })
    }

    /// How many entities there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn columns(&self) -> &[(String, Vec<Value>)] {
        &self.columns
    }

    /// One entity, as the cache knows it: its key values as JSON.
    pub(super) fn entity(&self, row: usize) -> Box<str> {
        use std::fmt::Write;
        let mut text = String::new();
        for (_, values) in &self.columns {
            write!(text, "{},", values[row]).expect("writing to a string does not fail");
        }
        text.into()
    }
}

fn column(key: &str, pointer: &Pointer, body: &[u8]) -> Result<Vec<Value>, KeyError> {
    let absent = || KeyError::Absent { key: key.to_owned(), pointer: pointer.to_string() };
    let kind = || KeyError::Kind { key: key.to_owned(), pointer: pointer.to_string() };
    let raw = json::find(body, pointer).map_err(BadRequest::from)?.ok_or_else(absent)?;
    let scalar = |text: &str| match serde_json::from_str(text) {
        Ok(value @ (Value::String(_) | Value::Number(_))) => Ok(value),
        Ok(Value::Null) => Err(absent()),
        Ok(_) | Err(_) => Err(kind()),
    };
    if !raw.get().starts_with('[') {
        return Ok(vec![scalar(raw.get())?]);
    }
    let elements = json::elements(raw.get().as_bytes()).map_err(BadRequest::from)?.unwrap_or_default();
    match elements.len() {
        1..=MAX_ROWS => elements.into_iter().map(|element| scalar(element.get())).collect(),
        found => Err(KeyError::Rows { found, expected: MAX_ROWS.min(found.max(1)) }),
    }
}

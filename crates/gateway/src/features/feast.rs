//! Feast's online retrieval over REST (`POST /get-online-features`).
//!
//! The answer is column-major: `results[i]` belongs to `metadata.feature_names[i]` and has one value per entity.
//! Feast's own documentation prints an example the other way round, and servers were written after it, so the shape
//! is checked: as many results as names, as many values as entities, and where a result belongs to an entity's key
//! it must repeat the keys that were asked for. What fails a check is refused, not guessed at.

use std::borrow::Cow;

use bytes::Bytes;
use mainstay_core::resilience::features::Given;
use mainstay_core::time::Time;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::keys::Keys;

/// Why the store's answer cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FeastError {
    /// Not JSON, or not of Feast's shape.
    #[error("the feature store's answer is not feast's: {0}")]
    Shape(String),
    /// Results and names do not go together.
    #[error("the feature store gave {results} results for {names} names: it is not column-major")]
    Columns {
        /// How many results.
        results: usize,
        /// How many names.
        names: usize,
    },
    /// A column and the entities do not go together.
    #[error("the feature store gave {found} values of `{name}` for {rows} entities: it is not column-major")]
    Rows {
        /// The column's name.
        name: String,
        /// How many values.
        found: usize,
        /// How many entities.
        rows: usize,
    },
    /// The entity's own column holds something else than was asked for.
    #[error("the feature store's column `{name}` does not repeat the entities: it is not column-major")]
    Entities {
        /// The entity's key.
        name: String,
    },
    /// A feature that was asked for has no column.
    #[error("the feature store's answer lacks `{0}`")]
    Lacks(String),
}

/// How Feast describes a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Status {
    Present,
    Null,
    NotFound,
    OutsideMaxAge,
    Invalid,
}

/// One value of the answer.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) status: Status,
    pub(super) value: Option<Value>,
    pub(super) event: Option<Time>,
}

impl Cell {
    /// What the store says by it.
    pub(super) const fn given(&self) -> Given {
        let event = self.event;
        match (self.status, &self.value) {
            (Status::Present, Some(_)) => Given::Value { event, outdated: false },
            (Status::OutsideMaxAge, Some(_)) => Given::Value { event, outdated: true },
            (Status::Null, _) | (Status::Present, None) => Given::Null,
            (Status::NotFound | Status::Invalid, _) | (Status::OutsideMaxAge, None) => Given::Nothing,
        }
    }
}

/// A checked answer: for each feature reference its column.
pub(super) struct Table {
    columns: Vec<Vec<Cell>>,
}

impl Table {
    pub(super) fn row(&self, row: usize) -> Vec<Cell> {
        self.columns.iter().map(|column| column[row].clone()).collect()
    }
}

/// The body of a retrieval.
pub(super) fn request(refs: &[String], keys: &Keys) -> Bytes {
    #[derive(Serialize)]
    struct Request<'a> {
        features: &'a [String],
        entities: serde_json::Map<String, Value>,
        full_feature_names: bool,
    }
    let entities = keys.columns().iter().map(|(key, values)| (key.clone(), Value::Array(values.clone()))).collect();
    let request = Request { features: refs, entities, full_feature_names: true };
    serde_json::to_vec(&request).expect("strings and numbers are always JSON").into()
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow)]
    results: Vec<Column<'a>>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    feature_names: Names<'a>,
}

/// A list, or as older servers print it `{"val": [..]}`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Names<'a> {
    Plain(#[serde(borrow)] Vec<Cow<'a, str>>),
    Wrapped {
        #[serde(borrow)]
        val: Vec<Cow<'a, str>>,
    },
}

#[derive(Deserialize)]
struct Column<'a> {
    values: Vec<Value>,
    #[serde(borrow, default)]
    statuses: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    event_timestamps: Vec<Cow<'a, str>>,
}

/// Reads and checks an answer.
pub(super) fn parse(response: &[u8], refs: &[String], keys: &Keys) -> Result<Table, FeastError> {
    let response: Response<'_> =
        serde_json::from_slice(response).map_err(|error| FeastError::Shape(error.to_string()))?;
    let names = match &response.metadata.feature_names {
        Names::Plain(names) | Names::Wrapped { val: names } => names,
    };
    check(names, &response.results, keys)?;
    let columns = refs.iter().map(|reference| {
        let at = column_of(names, reference, refs).ok_or_else(|| FeastError::Lacks(reference.clone()))?;
        Ok(cells(&response.results[at], keys.rows()))
    });
    Ok(Table { columns: columns.collect::<Result<_, _>>()? })
}

fn check(names: &[Cow<'_, str>], results: &[Column<'_>], keys: &Keys) -> Result<(), FeastError> {
    if names.len() != results.len() {
        return Err(FeastError::Columns { results: results.len(), names: names.len() });
    }
    for (name, column) in names.iter().zip(results) {
        let lengths = [column.values.len(), column.statuses.len(), column.event_timestamps.len()];
        let optional = |length: usize| length == 0 || length == keys.rows();
        if lengths[0] != keys.rows() || !optional(lengths[1]) || !optional(lengths[2]) {
            let found = lengths.into_iter().find(|length| *length != keys.rows()).unwrap_or_default();
            return Err(FeastError::Rows { name: name.to_string(), found, rows: keys.rows() });
        }
        let asked = keys.columns().iter().find(|(key, _)| key == name);
        if asked.is_some_and(|(_, asked)| !asked.iter().zip(&column.values).all(|(a, b)| same_entity(a, b))) {
            return Err(FeastError::Entities { name: name.to_string() });
        }
    }
    Ok(())
}

/// A store may give a number back as text, or the other way round.
fn same_entity(asked: &Value, given: &Value) -> bool {
    match (asked, given) {
        (Value::String(text), Value::Number(number)) | (Value::Number(number), Value::String(text)) => {
            *text == number.to_string()
        }
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => asked == given,
    }
}

/// `view:feature` comes back as `view__feature`, by some servers as it was asked for, and as the bare `feature` where
/// the server ignores `full_feature_names`; the bare name counts only where no other reference has it.
fn column_of(names: &[Cow<'_, str>], reference: &str, refs: &[String]) -> Option<usize> {
    let position = |wanted: &str| names.iter().position(|name| name == wanted);
    let Some((view, feature)) = reference.split_once(':') else { return position(reference) };
    let is_feature = |other: &&String| other.split_once(':').is_some_and(|(_, name)| name == feature);
    let bare = || if refs.iter().filter(is_feature).count() == 1 { position(feature) } else { None };
    position(&format!("{view}__{feature}")).or_else(|| position(reference)).or_else(bare)
}

fn cells(column: &Column<'_>, rows: usize) -> Vec<Cell> {
    let cell = |row: usize| {
        let value = Some(&column.values[row]).filter(|value| !value.is_null()).cloned();
        let status = match column.statuses.get(row).map(|status| &**status) {
            Some("PRESENT") => Status::Present,
            Some("NULL_VALUE") => Status::Null,
            Some("NOT_FOUND") => Status::NotFound,
            Some("OUTSIDE_MAX_AGE") => Status::OutsideMaxAge,
            Some(_) => Status::Invalid,
            // Without statuses a null does not say whether the entity is unknown or its value null.
            None if value.is_none() => Status::NotFound,
            None => Status::Present,
        };
        let event = column.event_timestamps.get(row).and_then(|text| timestamp(text));
        Cell { status, value, event }
    };
    (0..rows).map(cell).collect()
}

/// RFC 3339; Feast writes the epoch where it knows no time.
fn timestamp(text: &str) -> Option<Time> {
    let at: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(at.as_nanosecond()).ok().filter(|nanos| *nanos > 0).map(Time::from_nanos)
}

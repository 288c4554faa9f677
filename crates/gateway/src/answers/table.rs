//! Tables of rows by key, read from CSV, JSON lines or Parquet into one block of memory.
//!
//! A file is refused in whole where anything in it is wrong: an answer from half a table is worse than one from the last
//! good version. What is wrong is told with its line.

mod csv;
mod jsonl;
#[cfg(feature = "parquet")]
mod parquet;

use mainstay_core::plan::TableFormat;
use serde_json::{Map, Value};

/// Most rows of a table.
pub const MAX_ROWS: usize = 5_000_000;
/// Longest table, in bytes of its file and in bytes of memory.
pub const MAX_BYTES: u64 = 1 << 30;
/// Most columns.
pub const MAX_COLUMNS: usize = 1000;

/// Why a table is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TableError {
    /// A line, or a row, is not as it should be.
    #[error("{} {at}: {what}", if *.is_line { "line" } else { "row" })]
    Row {
        /// From 1.
        at: u64,
        /// Whether `at` counts lines.
        is_line: bool,
        /// What is wrong with it.
        what: String,
    },
    /// The file as a whole is not what its name says.
    #[error("{0}")]
    File(String),
    /// There is no column of this name.
    #[error("there is no column `{0}`")]
    NoColumn(String),
    /// There is nothing in it.
    #[error("there are no rows")]
    Empty,
    /// It is larger than a table may be.
    #[error("more than {0}")]
    TooLarge(&'static str),
    /// The last line has no end.
    #[error("no line break at the end: the file may be half written")]
    Unfinished,
}

impl TableError {
    fn line(at: u64, what: impl Into<String>) -> TableError {
        TableError::Row { at, is_line: true, what: what.into() }
    }
}

/// A table, indexed by its key.
#[derive(Clone, Debug)]
pub struct Rows {
    columns: Vec<Column>,
    key: usize,
    /// The keys and the rows, one after the other.
    bytes: Vec<u8>,
    /// Where key and row of each are: start, start of the row, end.
    places: Vec<(u32, u32, u32)>,
    /// Numbers of the rows that count, in order.
    numbers: Vec<u32>,
    /// The same rows where the hash of their key, or the next free slot, is; [`NO_ROW`] elsewhere. At least twice as many
    /// slots as rows, a power of two.
    slots: Vec<u32>,
}

/// A slot without a row.
const NO_ROW: u32 = u32::MAX;

/// A column: its name and what its values are.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Column {
    name: String,
    kinds: Kinds,
}

/// Kinds of values that a column has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Kinds {
    whole: bool,
    real: bool,
    text: bool,
    flag: bool,
    other: bool,
}

/// Reads a table. `key` is the column that names a row; without it the first.
///
/// Of rows with one key the last counts.
pub fn read(format: TableFormat, bytes: &[u8], key: Option<&str>) -> Result<Rows, TableError> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(TableError::TooLarge("1 GiB"));
    }
    let mut rows = match format {
        TableFormat::Csv => csv::read(finished(bytes)?, key),
        TableFormat::Jsonl => jsonl::read(finished(bytes)?, key),
        #[cfg(feature = "parquet")]
        TableFormat::Parquet => parquet::read(bytes, key),
        #[cfg(not(feature = "parquet"))]
        TableFormat::Parquet => {
            Err(TableError::File("this build does not read Parquet (feature `parquet`)".to_owned()))
        }
    }?;
    rows.index()?;
    Ok(rows)
}

/// A text whose last line ends, without the mark that some programs put before it.
fn finished(bytes: &[u8]) -> Result<&[u8], TableError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.is_empty() || bytes.ends_with(b"\n") { Ok(bytes) } else { Err(TableError::Unfinished) }
}

impl Rows {
    fn new(columns: Vec<String>, key: Option<&str>) -> Result<Rows, TableError> {
        if columns.len() > MAX_COLUMNS {
            return Err(TableError::TooLarge("1000 columns"));
        }
        let at = match key {
            Some(key) => {
                columns.iter().position(|column| column == key).ok_or_else(|| TableError::NoColumn(key.to_owned()))?
            }
            None => 0,
        };
        let columns = columns.into_iter().map(|name| Column { name, kinds: Kinds::default() }).collect();
        Ok(Rows { columns, key: at, bytes: Vec::new(), places: Vec::new(), numbers: Vec::new(), slots: Vec::new() })
    }

    /// Adds a row of values in the order of the columns.
    fn push(&mut self, values: &[Value]) -> Result<(), String> {
        let key = values.get(self.key).and_then(key_text).ok_or("the key is neither text nor a number")?;
        for (column, value) in self.columns.iter_mut().zip(values) {
            column.kinds.note(value);
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key.as_bytes());
        let middle = self.bytes.len();
        serde_json::to_writer(&mut self.bytes, values).expect("JSON values are always JSON");
        let end = self.bytes.len();
        if end as u64 > MAX_BYTES || self.places.len() >= MAX_ROWS {
            return Err(format!("more than {MAX_ROWS} rows, or 1 GiB"));
        }
        self.places.push((start as u32, middle as u32, end as u32));
        Ok(())
    }

    fn index(&mut self) -> Result<(), TableError> {
        if self.places.is_empty() {
            return Err(TableError::Empty);
        }
        self.slots = vec![NO_ROW; (self.places.len() * 2).next_power_of_two()];
        for row in 0..self.places.len() as u32 {
            let slot = self.slot(self.key_at(row));
            self.slots[slot] = row;
        }
        self.numbers = self.slots.iter().copied().filter(|row| *row != NO_ROW).collect();
        self.numbers.sort_unstable();
        Ok(())
    }

    /// The slot of a key: the one that its row has, or the free one that it would have.
    fn slot(&self, key: &[u8]) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = hash(key) as usize & mask;
        while self.slots[slot] != NO_ROW && self.key_at(self.slots[slot]) != key {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn key_at(&self, row: u32) -> &[u8] {
        let (start, middle, _) = self.places[row as usize];
        &self.bytes[start as usize..middle as usize]
    }

    /// How many keys it has.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether it has none; a table that was read has at least one.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// One more than the highest number of a row.
    pub(crate) fn capacity(&self) -> usize {
        self.places.len()
    }

    /// The key of a row.
    pub(crate) fn key(&self, row: u32) -> &str {
        std::str::from_utf8(self.key_at(row)).unwrap_or_default()
    }

    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
            + self.places.len() * size_of::<(u32, u32, u32)>()
            + (self.numbers.len() + self.slots.len()) * size_of::<u32>()
    }

    /// The names of its columns.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// The name of the column that holds the keys.
    pub fn key_column(&self) -> &str {
        &self.columns[self.key].name
    }

    /// The number of the row with this key, from 0 in the order of the file.
    pub fn find(&self, key: &str) -> Option<u32> {
        let row = self.slots[self.slot(key.as_bytes())];
        (row != NO_ROW).then_some(row)
    }

    /// The row with this key.
    pub fn get(&self, key: &str) -> Option<Row<'_>> {
        self.find(key).map(|row| self.row(row))
    }

    fn row(&self, row: u32) -> Row<'_> {
        let (_, middle, end) = self.places[row as usize];
        let values = serde_json::from_slice(&self.bytes[middle as usize..end as usize]);
        Row { rows: self, values: values.expect("rows are kept as JSON") }
    }

    /// All rows that count, in the order in which they are written: their keys and what is in them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Row<'_>)> {
        self.numbers.iter().map(|row| (self.key(*row), self.row(*row)))
    }

    /// The datatype of a column in the Open Inference Protocol, where all its values have one.
    pub fn datatype(&self, column: &str) -> Option<&'static str> {
        let kinds = self.columns.iter().find(|known| known.name == column)?.kinds;
        match kinds {
            Kinds { text: true, whole: false, real: false, flag: false, other: false } => Some("BYTES"),
            Kinds { flag: true, whole: false, real: false, text: false, other: false } => Some("BOOL"),
            Kinds { whole: true, real: false, text: false, flag: false, other: false } => Some("INT64"),
            Kinds { real: true, text: false, flag: false, other: false, .. } => Some("FP64"),
            Kinds { .. } => None,
        }
    }
}

/// A row of a table.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    rows: &'a Rows,
    values: Vec<Value>,
}

impl Row<'_> {
    /// The value of a column; `null` counts as none.
    pub fn get(&self, column: &str) -> Option<&Value> {
        let at = self.rows.columns.iter().position(|known| known.name == column)?;
        self.values.get(at).filter(|value| !value.is_null())
    }

    /// Columns and values, but for the key.
    pub fn others(&self) -> Map<String, Value> {
        let all = self.rows.columns.iter().zip(&self.values).enumerate();
        let others = all.filter(|(at, (_, value))| *at != self.rows.key && !value.is_null());
        others.map(|(_, (column, value))| (column.name.clone(), value.clone())).collect()
    }
}

impl Kinds {
    fn note(&mut self, value: &Value) {
        match value {
            Value::Null => {}
            Value::Bool(_) => self.flag = true,
            Value::Number(number) if number.is_i64() => self.whole = true,
            Value::Number(_) => self.real = true,
            Value::String(_) => self.text = true,
            Value::Array(_) | Value::Object(_) => self.other = true,
        }
    }
}

/// The same for the same key; the last bits of all keys are as if thrown by dice (FNV-1a, with the last step of `MurmurHash3`).
fn hash(key: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in key {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

/// How a key is compared: a text as it is, a number as it is written.
pub fn key_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

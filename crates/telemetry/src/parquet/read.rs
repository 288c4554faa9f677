//! Kept requests from Parquet, a row group at a time: what a replay needs of them.

use std::fmt;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use mainstay_core::event::{Event, EventKind, Kept, RequestFinished};
use mainstay_core::route::{Class, Level};
use mainstay_core::time::Time;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader as _, RowGroupReader, SerializedFileReader};
use parquet::schema::types::SchemaDescriptor;

/// Values that are decoded at once.
const BATCH: usize = 8_192;

/// What is wrong with a file, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadFile {
    /// The row group, from 0; `None`: the file as a whole.
    pub group: Option<usize>,
    /// The column.
    pub column: Option<&'static str>,
    /// What.
    pub what: String,
}

impl fmt::Display for BadFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(group) = self.group {
            write!(f, "row group {group}, ")?;
        }
        if let Some(column) = self.column {
            write!(f, "column {column}: ")?;
        }
        f.write_str(&self.what)
    }
}

impl std::error::Error for BadFile {}

impl BadFile {
    fn whole(what: impl fmt::Display) -> BadFile {
        BadFile { group: None, column: None, what: what.to_string() }
    }
}

/// Where reading is.
#[derive(Clone, Copy)]
struct Place {
    group: usize,
    column: &'static str,
}

impl Place {
    fn bad(self, what: impl fmt::Display) -> BadFile {
        BadFile { group: Some(self.group), column: Some(self.column), what: what.to_string() }
    }

    fn read(self, error: &ParquetError) -> BadFile {
        self.bad(format!("cannot be read: {error}"))
    }
}

/// Reads the requests of a file as `write` wrote it, and gives each to `take`; at most `most`. What features a request had,
/// what was predicted and how it is traced is left out. Only one row group is in memory at a time.
pub fn requests(path: &Path, most: usize, take: &mut dyn FnMut(Event)) -> Result<(), BadFile> {
    // The reader of a damaged file may panic; that is a fault of the file too.
    catch_unwind(AssertUnwindSafe(|| read(path, most, take)))
        .unwrap_or_else(|_| Err(BadFile::whole("the file is damaged")))
}

fn read(path: &Path, most: usize, take: &mut dyn FnMut(Event)) -> Result<(), BadFile> {
    let file = File::open(path).map_err(|error| BadFile::whole(format!("cannot be opened: {error}")))?;
    let reader = SerializedFileReader::new(file);
    let reader = reader.map_err(|error| BadFile::whole(format!("not a whole Parquet file: {error}")))?;
    let rows = reader.metadata().file_metadata().num_rows();
    if usize::try_from(rows).map_or(true, |rows| rows > most) {
        return Err(BadFile::whole(format!("it says that it has {rows} rows; at most {most} are read")));
    }
    for at in 0..reader.num_row_groups() {
        let group = reader.get_row_group(at);
        let group = group.map_err(|error| BadFile { group: Some(at), column: None, what: error.to_string() })?;
        Rows { group: &*group, schema: reader.metadata().file_metadata().schema_descr(), at }.read(most, take)?;
    }
    Ok(())
}

/// A row group.
struct Rows<'a> {
    group: &'a dyn RowGroupReader,
    schema: &'a SchemaDescriptor,
    at: usize,
}

impl Rows<'_> {
    fn read(&self, most: usize, take: &mut dyn FnMut(Event)) -> Result<(), BadFile> {
        let rows = self.group.metadata().num_rows();
        let rows = usize::try_from(rows).ok().filter(|rows| *rows <= most);
        let rows = rows.ok_or_else(|| BadFile {
            group: Some(self.at),
            column: None,
            what: format!("at most {most} rows are read"),
        })?;
        let mut at = self.wholes("at", rows, true)?.into_iter();
        let mut routes = self.texts("route", rows, true)?.into_iter();
        let mut classes = self.wholes("class", rows, true)?.into_iter();
        let mut levels = self.wholes("level", rows, true)?.into_iter();
        let mut codes = self.wholes("code", rows, true)?.into_iter();
        let mut attempts = self.wholes("attempts", rows, true)?.into_iter();
        let mut durations = self.wholes("duration_us", rows, true)?.into_iter();
        let mut overheads = self.wholes("overhead_us", rows, true)?.into_iter();
        let mut inferences = self.wholes("inference_us", rows, true)?.into_iter();
        let mut confidences = self.numbers("confidence", rows)?.into_iter();
        let mut backends = self.texts("backend", rows, true)?.into_iter();
        let mut models = self.texts("model", rows, true)?.into_iter();
        let mut kept = self.texts("kept", rows, true)?.into_iter();
        // Files of earlier versions lack these.
        let mut first_tokens = self.wholes("first_token_us", rows, false)?.into_iter();
        let mut synthetic = self.flags("synthetic", rows)?.into_iter();
        let mut experiments = self.texts("experiment", rows, false)?.into_iter();
        for _ in 0..rows {
            let at = self.must("at", at.next().flatten())?;
            let route = self.must("route", routes.next().flatten())?;
            let class = self.fits("class", self.must("class", classes.next().flatten())?, Class::new)?;
            let code = self.fits("code", self.must("code", codes.next().flatten())?, Some)?;
            let request = RequestFinished {
                level: match levels.next().flatten() {
                    Some(level) => Some(self.fits("level", level, Level::new)?),
                    None => None,
                },
                attempts: self.fits("attempts", self.must("attempts", attempts.next().flatten())?, Some)?,
                duration: self.micros("duration_us", self.must("duration_us", durations.next().flatten())?)?,
                overhead: self.micros("overhead_us", self.must("overhead_us", overheads.next().flatten())?)?,
                confidence: confidences.next().flatten(),
                model: models.next().flatten(),
                backend: backends.next().flatten(),
                inference: match inferences.next().flatten() {
                    Some(time) => Some(self.micros("inference_us", time)?),
                    None => None,
                },
                first_token: match first_tokens.next().flatten() {
                    Some(time) => Some(self.micros("first_token_us", time)?),
                    None => None,
                },
                synthetic: synthetic.next().flatten().unwrap_or(false),
                experiment: experiments.next().flatten(),
                kept: self.kept(kept.next().flatten())?,
                ..RequestFinished::new(route, class, code)
            };
            let at = Time::from_nanos(0) + self.micros("at", at)?;
            take(Event { at, kind: EventKind::RequestFinished(Box::new(request)) });
        }
        Ok(())
    }

    const fn place(&self, column: &'static str) -> Place {
        Place { group: self.at, column }
    }

    fn must<T>(&self, column: &'static str, value: Option<T>) -> Result<T, BadFile> {
        value.ok_or_else(|| self.place(column).bad("a row has no value"))
    }

    fn fits<N: TryFrom<i64>, T>(
        &self,
        column: &'static str,
        value: i64,
        make: impl Fn(N) -> Option<T>,
    ) -> Result<T, BadFile> {
        let made = N::try_from(value).ok().and_then(make);
        made.ok_or_else(|| self.place(column).bad(format!("{value} is out of range")))
    }

    fn micros(&self, column: &'static str, value: i64) -> Result<Duration, BadFile> {
        // Times are counted in nanoseconds.
        let most = u64::MAX / 1_000;
        self.fits(column, value, |micros: u64| (micros <= most).then(|| Duration::from_micros(micros)))
    }

    fn kept(&self, text: Option<String>) -> Result<Vec<Kept>, BadFile> {
        let Some(text) = text else { return Ok(Vec::new()) };
        serde_json::from_str(&text).map_err(|error| self.place("kept").bad(format!("not reasons as JSON: {error}")))
    }

    /// The reader of a column; `None`: the file has no such column, and need not.
    fn column(&self, name: &'static str, must: bool) -> Result<Option<(ColumnReader, i16)>, BadFile> {
        let Some(at) = self.schema.columns().iter().position(|column| column.path().string() == name) else {
            return if must { Err(self.place(name).bad("there is no such column")) } else { Ok(None) };
        };
        let column = self.schema.column(at);
        if column.max_rep_level() > 0 {
            return Err(self.place(name).bad("it holds lists"));
        }
        let reader = self.group.get_column_reader(at).map_err(|error| self.place(name).read(&error))?;
        Ok(Some((reader, column.max_def_level())))
    }

    fn wholes(&self, name: &'static str, rows: usize, must: bool) -> Result<Vec<Option<i64>>, BadFile> {
        match self.column(name, must)? {
            None => Ok(vec![None; rows]),
            Some((ColumnReader::Int64ColumnReader(reader), levels)) => {
                self.values(name, rows, (reader, levels), |value| Ok(*value))
            }
            Some((ColumnReader::Int32ColumnReader(reader), levels)) => {
                self.values(name, rows, (reader, levels), |value| Ok(i64::from(*value)))
            }
            Some(_) => Err(self.place(name).bad("it holds no whole numbers")),
        }
    }

    fn numbers(&self, name: &'static str, rows: usize) -> Result<Vec<Option<f64>>, BadFile> {
        match self.column(name, true)? {
            None => Ok(vec![None; rows]),
            Some((ColumnReader::DoubleColumnReader(reader), levels)) => {
                self.values(name, rows, (reader, levels), |value| Ok(*value))
            }
            Some(_) => Err(self.place(name).bad("it holds no numbers of 64 bits")),
        }
    }

    fn flags(&self, name: &'static str, rows: usize) -> Result<Vec<Option<bool>>, BadFile> {
        match self.column(name, false)? {
            None => Ok(vec![None; rows]),
            Some((ColumnReader::BoolColumnReader(reader), levels)) => {
                self.values(name, rows, (reader, levels), |value| Ok(*value))
            }
            Some(_) => Err(self.place(name).bad("it holds no truth values")),
        }
    }

    fn texts(&self, name: &'static str, rows: usize, must: bool) -> Result<Vec<Option<String>>, BadFile> {
        match self.column(name, must)? {
            None => Ok(vec![None; rows]),
            Some((ColumnReader::ByteArrayColumnReader(reader), levels)) => {
                self.values(name, rows, (reader, levels), |value| {
                    let text = std::str::from_utf8(value.data());
                    text.map(str::to_owned).map_err(|_| self.place(name).bad("a text is not UTF-8"))
                })
            }
            Some(_) => Err(self.place(name).bad("it holds no texts")),
        }
    }

    fn values<D: DataType, T>(
        &self,
        name: &'static str,
        rows: usize,
        (mut reader, most): (ColumnReaderImpl<D>, i16),
        make: impl Fn(&D::T) -> Result<T, BadFile>,
    ) -> Result<Vec<Option<T>>, BadFile> {
        let (mut values, mut levels) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
        let mut all = Vec::new();
        loop {
            values.clear();
            levels.clear();
            let read = reader.read_records(BATCH, Some(&mut levels), None, &mut values);
            let (records, ..) = read.map_err(|error| self.place(name).read(&error))?;
            if records == 0 {
                break;
            }
            let mut there = values.iter();
            for at in 0..records {
                // Columns that are required have no levels.
                let is_there = most == 0 || levels.get(at) == Some(&most);
                let value = if is_there { there.next() } else { None };
                all.push(value.map(&make).transpose()?);
            }
            if all.len() > rows {
                break;
            }
        }
        if all.len() == rows {
            return Ok(all);
        }
        Err(self.place(name).bad(format!("{} values or more, in a group of {rows} rows", all.len().min(rows + 1))))
    }
}

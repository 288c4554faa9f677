//! Parquet, a column of a row group at a time.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use indicatif::ProgressBar;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::file::reader::{FileReader as _, SerializedFileReader};

use super::column::Cell;

/// Values that are decoded at once.
const BATCH: usize = 8_192;

fn open(path: &Path) -> Result<SerializedFileReader<File>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    SerializedFileReader::new(file).with_context(|| format!("{}: not a whole Parquet file", path.display()))
}

/// The names of the file's columns.
pub(super) fn names(path: &Path) -> Result<Vec<String>> {
    let reader = open(path)?;
    let schema = reader.metadata().file_metadata().schema_descr();
    Ok(schema.columns().iter().map(|column| column.path().string()).collect())
}

/// Gives every value of the named columns to `take`. The reader of a damaged file may panic; that is a fault of the file too.
pub(super) fn read(
    path: &Path,
    wanted: &[String],
    bar: &ProgressBar,
    take: &mut dyn FnMut(usize, Cell<'_>),
) -> Result<()> {
    catch_unwind(AssertUnwindSafe(|| decode(path, wanted, bar, take)))
        .unwrap_or_else(|_| Err(anyhow!("{}: the file is damaged", path.display())))
}

fn decode(path: &Path, wanted: &[String], bar: &ProgressBar, take: &mut dyn FnMut(usize, Cell<'_>)) -> Result<()> {
    let reader = open(path)?;
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    for (at, name) in wanted.iter().enumerate() {
        let place = schema.columns().iter().position(|column| column.path().string() == *name);
        let place = place.with_context(|| format!("{}: no column {name}", path.display()))?;
        let column = schema.column(place);
        ensure!(column.max_rep_level() == 0, "{}: column {name} holds lists", path.display());
        for group in 0..reader.num_row_groups() {
            let group = reader.get_row_group(group)?;
            bar.inc(group.metadata().column(place).compressed_size().max(0) as u64);
            let levels = column.max_def_level();
            let mut give = |cell: Cell<'_>| take(at, cell);
            match group.get_column_reader(place)? {
                ColumnReader::BoolColumnReader(reader) => each(reader, levels, &mut |value| {
                    give(value.map_or(Cell::Missing, |flag| Cell::Word(if *flag { "true" } else { "false" })));
                })?,
                ColumnReader::Int32ColumnReader(reader) => each(reader, levels, &mut |value| {
                    give(value.map_or(Cell::Missing, |number| Cell::Number(f64::from(*number))));
                })?,
                ColumnReader::Int64ColumnReader(reader) => each(reader, levels, &mut |value| {
                    give(value.map_or(Cell::Missing, |number| Cell::Number(*number as f64)));
                })?,
                ColumnReader::FloatColumnReader(reader) => each(reader, levels, &mut |value| {
                    give(value.map_or(Cell::Missing, |number| Cell::Number(f64::from(*number))));
                })?,
                ColumnReader::DoubleColumnReader(reader) => each(reader, levels, &mut |value| {
                    give(value.map_or(Cell::Missing, |number| Cell::Number(*number)));
                })?,
                ColumnReader::ByteArrayColumnReader(reader) => {
                    each(reader, levels, &mut |value| {
                        let text = value.and_then(|bytes| std::str::from_utf8(bytes.data()).ok());
                        give(text.map_or(Cell::Missing, |text| {
                            if text.is_empty() { Cell::Missing } else { Cell::Word(text) }
                        }));
                    })?;
                }
                ColumnReader::Int96ColumnReader(_) | ColumnReader::FixedLenByteArrayColumnReader(_) => {
                    bail!(
                        "{}: column {name} is of a type that cannot be compared; pick others with --column",
                        path.display()
                    );
                }
            }
        }
    }
    Ok(())
}

fn each<T: DataType>(mut reader: ColumnReaderImpl<T>, most: i16, take: &mut dyn FnMut(Option<&T::T>)) -> Result<()> {
    let (mut values, mut levels) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
    loop {
        values.clear();
        levels.clear();
        let (records, _, _) = reader.read_records(BATCH, Some(&mut levels), None, &mut values)?;
        if records == 0 {
            return Ok(());
        }
        if most == 0 {
            for value in &values {
                take(Some(value));
            }
            continue;
        }
        let mut there = values.iter();
        for level in &levels {
            take(if *level == most { there.next() } else { None });
        }
    }
}

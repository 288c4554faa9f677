//! Kept requests as Parquet: a row each, in folders by day and model, so that tools that read Hive's layout find both as columns.

mod read;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mainstay_core::event::{Event, EventKind, RequestFinished, Scalar, format_time};
use mainstay_core::plan::Files;
use mainstay_core::time::Time;
use parquet::basic::Compression;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

pub use read::{BadFile, requests};

/// Rows of a group.
const GROUP_ROWS: usize = 65_536;

const SCHEMA: &str = "message request {
    required int64 at (TIMESTAMP_MICROS);
    required binary request_id (UTF8);
    optional binary client (UTF8);
    required binary route (UTF8);
    required int64 class;
    optional int64 level;
    required int64 code;
    optional binary reason (UTF8);
    required int64 attempts;
    required int64 duration_us;
    required int64 overhead_us;
    optional int64 inference_us;
    optional double confidence;
    optional binary backend (UTF8);
    optional binary model (UTF8);
    optional binary model_version (UTF8);
    optional binary prediction (UTF8);
    required binary features (UTF8);
    optional int64 input_tokens;
    optional int64 output_tokens;
    optional binary trace_id (UTF8);
    optional binary span_id (UTF8);
    required binary kept (UTF8);
    optional int64 first_token_us;
    required boolean synthetic;
    optional binary experiment (UTF8);
}";

/// A value of a column.
enum Cell {
    Whole(i64),
    Flag(bool),
    Number(f64),
    Text(String),
}

/// A row, in the order of the schema.
fn row(at: Time, request: &RequestFinished) -> Vec<Option<Cell>> {
    let whole = |number: u64| Some(Cell::Whole(i64::try_from(number).unwrap_or(i64::MAX)));
    let micros = |time: std::time::Duration| whole(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    let text = |text: &str| Some(Cell::Text(text.to_owned()));
    let maybe = |text: Option<&str>| text.map(|text| Cell::Text(text.to_owned()));
    let json = |value: &dyn Fn() -> serde_json::Result<String>| Some(Cell::Text(value().unwrap_or_default()));
    let prediction = request.prediction.as_ref().map(|prediction| match prediction {
        Scalar::Flag(flag) => flag.to_string(),
        Scalar::Number(number) => number.to_string(),
        Scalar::Word(word) => word.clone(),
    });
    vec![
        whole(at.as_nanos() / 1_000),
        text(&request.request_id),
        maybe(request.client.as_deref()),
        text(&request.route),
        whole(u64::from(request.class.number())),
        request.level.and_then(|level| whole(u64::from(level.number()))),
        whole(u64::from(request.code)),
        maybe(request.reason.as_deref()),
        whole(u64::from(request.attempts)),
        micros(request.duration),
        micros(request.overhead),
        request.inference.and_then(micros),
        request.confidence.map(Cell::Number),
        maybe(request.backend.as_deref()),
        maybe(request.model.as_deref()),
        maybe(request.model_version.as_deref()),
        maybe(prediction.as_deref()),
        json(&|| serde_json::to_string(&request.features)),
        request.input_tokens.and_then(whole),
        request.output_tokens.and_then(whole),
        maybe(request.trace_id.as_deref()),
        maybe(request.span_id.as_deref()),
        json(&|| serde_json::to_string(&request.kept)),
        request.first_token.and_then(micros),
        Some(Cell::Flag(request.synthetic)),
        maybe(request.experiment.as_deref()),
    ]
}

/// Writes requests: a file for each day and model, each whole or not there at all.
pub(crate) fn write(settings: &Files, events: &[Event]) -> io::Result<()> {
    let mut parts: BTreeMap<(String, String), Vec<Vec<Option<Cell>>>> = BTreeMap::new();
    let mut first = Time::MAX;
    for event in events {
        let EventKind::RequestFinished(request) = &event.kind else { continue };
        first = first.min(event.at);
        let day = format_time(event.at)[..10].to_owned();
        let model = plain(request.model.as_deref().unwrap_or("none"));
        parts.entry((day, model)).or_default().push(row(event.at, request));
    }
    for ((day, model), rows) in parts {
        let folder = settings.dir.join(format!("dt={day}")).join(format!("model={model}"));
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("requests-{:020}.parquet", first.as_nanos()));
        let part = path.with_extension("part");
        if let Err(error) = file(&part, &rows) {
            let _ = fs::remove_file(&part);
            return Err(io::Error::other(error));
        }
        fs::rename(&part, &path)?;
    }
    forget(&settings.dir, settings.keep)
}

/// A name as a folder: nothing that leads elsewhere.
fn plain(name: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || "_-".contains(c) { c } else { '_' };
    name.chars().take(100).map(keep).collect()
}

fn file(path: &Path, rows: &[Vec<Option<Cell>>]) -> parquet::errors::Result<()> {
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let optional: Vec<bool> = schema.get_fields().iter().map(|field| field.is_optional()).collect();
    let properties = Arc::new(WriterProperties::builder().set_compression(Compression::SNAPPY).build());
    let mut writer = SerializedFileWriter::new(File::create(path)?, schema, properties)?;
    for rows in rows.chunks(GROUP_ROWS) {
        let mut group = writer.next_row_group()?;
        let mut at = 0;
        while let Some(mut column) = group.next_column()? {
            let cells = rows.iter().map(|row| row[at].as_ref());
            let levels: Vec<i16> = cells.clone().map(|cell| i16::from(cell.is_some())).collect();
            // Columns that are required have no levels.
            let levels = optional[at].then_some(levels.as_slice());
            match column.untyped() {
                ColumnWriter::Int64ColumnWriter(out) => {
                    let values: Vec<i64> =
                        cells.flatten().map(|cell| if let Cell::Whole(it) = cell { *it } else { 0 }).collect();
                    out.write_batch(&values, levels, None)?;
                }
                ColumnWriter::BoolColumnWriter(out) => {
                    let flag = |cell: &Cell| matches!(cell, Cell::Flag(true));
                    let values: Vec<bool> = cells.flatten().map(flag).collect();
                    out.write_batch(&values, levels, None)?;
                }
                ColumnWriter::DoubleColumnWriter(out) => {
                    let number = |cell: &Cell| if let Cell::Number(it) = cell { *it } else { f64::NAN };
                    let values: Vec<f64> = cells.flatten().map(number).collect();
                    out.write_batch(&values, levels, None)?;
                }
                ColumnWriter::ByteArrayColumnWriter(out) => {
                    let text =
                        |cell: &Cell| if let Cell::Text(it) = cell { it.as_str().into() } else { ByteArray::new() };
                    let values: Vec<ByteArray> = cells.flatten().map(text).collect();
                    out.write_batch(&values, levels, None)?;
                }
                _ => unreachable!("the schema has truth values, whole numbers, numbers and texts alone"),
            }
            column.close()?;
            at += 1;
        }
        group.close()?;
    }
    writer.close()?;
    Ok(())
}

/// Deletes the oldest files but for `keep`.
fn forget(dir: &Path, keep: usize) -> io::Result<()> {
    let inside = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let days = inside(dir.to_path_buf()).filter(|path| path.to_string_lossy().contains("dt="));
    let mut files: Vec<PathBuf> = days
        .flat_map(inside)
        .flat_map(inside)
        .filter(|path| path.extension().is_some_and(|extension| extension == "parquet"))
        .collect();
    files.sort_by_key(|path| path.file_name().map(std::ffi::OsStr::to_owned));
    for old in &files[..files.len().saturating_sub(keep.max(1))] {
        fs::remove_file(old)?;
    }
    Ok(())
}

//! Apache Parquet, plain or compressed with Snappy.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use serde_json::{Map, Value};

use super::{MAX_ROWS, Rows, TableError};

/// The reader of a damaged file may panic; that is a fault of the file too.
pub(super) fn read(bytes: &[u8], key: Option<&str>) -> Result<Rows, TableError> {
    let bytes = Bytes::copy_from_slice(bytes);
    catch_unwind(AssertUnwindSafe(|| decode(bytes, key)))
        .unwrap_or_else(|_| Err(TableError::File("the file is damaged".to_owned())))
}

fn decode(bytes: Bytes, key: Option<&str>) -> Result<Rows, TableError> {
    let fault = |error: parquet::errors::ParquetError| TableError::File(error.to_string());
    let reader = SerializedFileReader::new(bytes).map_err(fault)?;
    let file = reader.metadata().file_metadata();
    if usize::try_from(file.num_rows()).is_ok_and(|rows| rows > MAX_ROWS) {
        return Err(TableError::TooLarge("5 million rows"));
    }
    let columns = file.schema().get_fields().iter().map(|field| field.name().to_owned()).collect();
    let mut rows = Rows::new(columns, key)?;
    for (at, row) in reader.get_row_iter(None).map_err(fault)?.enumerate() {
        let row = row.map_err(fault)?;
        let values: Vec<Value> = row.get_column_iter().map(|(_, field)| value(field)).collect();
        rows.push(&values).map_err(|what| TableError::Row { at: at as u64 + 1, is_line: false, what })?;
    }
    Ok(rows)
}

/// A value as JSON; times are seconds since 1970, bytes are text where they are UTF-8, what is no finite number is nothing.
fn value(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(flag) => Value::from(*flag),
        Field::Byte(number) => Value::from(*number),
        Field::Short(number) => Value::from(*number),
        Field::Int(number) => Value::from(*number),
        Field::Long(number) | Field::TimeMicros(number) => Value::from(*number),
        Field::UByte(number) => Value::from(*number),
        Field::UShort(number) => Value::from(*number),
        Field::UInt(number) => Value::from(*number),
        Field::ULong(number) => Value::from(*number),
        Field::Float16(number) => Value::from(f32::from(*number)),
        Field::Float(number) => Value::from(*number),
        Field::Double(number) => Value::from(*number),
        Field::Decimal(_) => Value::String(field.to_string()),
        Field::Str(text) => Value::String(text.clone()),
        Field::Bytes(bytes) => std::str::from_utf8(bytes.data()).map_or(Value::Null, Value::from),
        Field::Date(days) => Value::from(i64::from(*days) * 86_400),
        Field::TimeMillis(millis) => Value::from(*millis),
        Field::TimestampMillis(millis) => Value::from(*millis as f64 / 1e3),
        Field::TimestampMicros(micros) => Value::from(*micros as f64 / 1e6),
        Field::Group(group) => {
            Value::Object(group.get_column_iter().map(|(name, field)| (name.clone(), value(field))).collect())
        }
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        Field::MapInternal(map) => {
            let entries = map.entries().iter();
            let entries = entries.map(|(key, field)| (key_of(key), value(field)));
            Value::Object(entries.collect::<Map<String, Value>>())
        }
    }
}

fn key_of(field: &Field) -> String {
    super::key_text(&value(field)).unwrap_or_else(|| field.to_string())
}

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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mainstay_core::plan::TableFormat;
    use parquet::basic::Compression;
    use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;

    fn file(compression: Compression) -> Vec<u8> {
        let schema = "message m { required binary card (UTF8); optional double score; }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
        let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let cards: Vec<ByteArray> = (0..500).map(|n| format!("card-{n}").as_str().into()).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&cards, None, None).unwrap();
        column.close().unwrap();
        // The last row has no score.
        let scores: Vec<f64> = (0..499).map(|n| f64::from(n) / 4.0).collect();
        let there: Vec<i16> = (0..500).map(|n| i16::from(n < 499)).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<DoubleType>().write_batch(&scores, Some(&there), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.into_inner().unwrap()
    }

    #[test]
    fn plain_and_snappy_files_are_read_and_half_a_file_is_refused() {
        let (plain, snappy) = (file(Compression::UNCOMPRESSED), file(Compression::SNAPPY));
        assert_ne!(plain, snappy);
        for bytes in [plain, snappy] {
            let rows = super::super::read(TableFormat::Parquet, &bytes, Some("card")).unwrap();
            assert_eq!(rows.len(), 500);
            assert_eq!(rows.get("card-7").unwrap().get("score"), Some(&Value::from(1.75)));
            assert_eq!(rows.get("card-499").unwrap().get("score"), None);
            assert_eq!(rows.datatype("score"), Some("FP64"));
            for length in [0, 4, bytes.len() / 2, bytes.len() - 1] {
                assert!(super::super::read(TableFormat::Parquet, &bytes[..length], Some("card")).is_err(), "{length}");
            }
        }
    }
}

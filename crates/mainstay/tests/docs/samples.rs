//! Files of data that pages speak of as if they were there: columns of amounts, and requests that were kept.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use parquet::data_type::DoubleType;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

const ROWS: u32 = 1_000;

/// Puts them into a page's folder.
pub(crate) fn put(folder: &Path) {
    for name in ["reference", "current", "training"] {
        parquet(&folder.join(name).with_extension("parquet"));
    }
    let lines = |row: fn(f64) -> String| amounts().map(row).collect::<Vec<_>>().join("\n");
    for name in ["a.csv", "b.csv", "today.csv"] {
        std::fs::write(folder.join(name), format!("amount\n{}\n", lines(|it| it.to_string()))).unwrap();
    }
    for name in ["a.jsonl", "b.jsonl"] {
        std::fs::write(folder.join(name), lines(|it| format!("{{\"amount\":{it}}}")) + "\n").unwrap();
    }
    std::fs::create_dir_all(folder.join("observations")).unwrap();
    std::fs::write(folder.join("observations/requests-20261126T120000Z-1.jsonl"), requests()).unwrap();
    let config = std::fs::read_to_string(folder.join("mainstay.yaml"));
    std::fs::write(folder.join("changed.yaml"), config.unwrap_or_default()).unwrap();
}

fn amounts() -> impl Iterator<Item = f64> {
    (0..ROWS).map(|row| f64::from(row * 7_919 % ROWS) / 4.0)
}

fn parquet(path: &Path) {
    let schema = parquet::schema::parser::parse_message_type("message t { required double amount; }").unwrap();
    let file = std::fs::File::create(path).unwrap();
    let properties = Arc::new(WriterProperties::default());
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema), properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<DoubleType>().write_batch(&amounts().collect::<Vec<_>>(), None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
}

/// Ten a second, answered by the model within some 20 ms.
fn requests() -> String {
    let mut text = String::new();
    for n in 0..ROWS {
        let (second, tenth, took) = (n / 10, n % 10, 10_000 + n * 7_919 % 20_000);
        let at = format!("2026-11-26T12:{:02}:{:02}.{tenth}00Z", second / 60, second % 60);
        writeln!(
            text,
            r#"{{"version":1,"at":"{at}","type":"request.finished","request_id":"r-{n}","route":"score","class":3,"level":0,"backend":"scorer","code":200,"attempts":1,"duration_us":{took},"inference_us":{took},"overhead_us":100,"kept":[{{"why":"sampled","probability":1.0}}]}}"#
        )
        .unwrap();
    }
    text
}

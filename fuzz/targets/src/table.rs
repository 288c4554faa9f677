use mainstay_core::plan::TableFormat;
use mainstay_gateway::answers::table::{MAX_ROWS, read};

/// A table in CSV, JSON lines or, with a 2 in front, Parquet: refused with a reason, or each of its rows is found by its
/// key.
pub fn table(bytes: &[u8]) {
    let (format, bytes) = match bytes.split_first() {
        Some((b'1', rest)) => (TableFormat::Jsonl, rest),
        Some((b'2', rest)) => (TableFormat::Parquet, rest),
        Some((_, rest)) => (TableFormat::Csv, rest),
        None => return,
    };
    match read(format, bytes, None) {
        Err(why) => assert!(!why.to_string().is_empty()),
        Ok(rows) => {
            assert!(!rows.is_empty() && rows.len() <= MAX_ROWS);
            let mut seen = 0;
            for (key, _) in rows.iter() {
                let row = rows.get(key).expect("a key of the table is found");
                assert!(row.others().len() < rows.columns().count());
                seen += 1;
            }
            assert_eq!(seen, rows.len());
        }
    }
}

//! `mainstay drift check` as its users meet it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

struct Bench(PathBuf);

impl Bench {
    fn new(name: &str) -> Bench {
        let path = std::env::temp_dir().join(format!("mainstay-drift-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Bench(path)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    fn check(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
        command.args(["drift", "check"]).args(arguments).current_dir(&self.0).output().unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Two columns: numbers in [0, 1) shifted, and every n-th row a `b`.
fn table(rows: u32, shift: f64, every: u32) -> String {
    let mut text = "x,<kind>\n".to_owned();
    for row in 0..rows {
        let value = f64::from(row * 7_919 % rows) / f64::from(rows) + shift;
        writeln!(text, "{value},{}", if row % every == 0 { "b" } else { "a" }).unwrap();
    }
    text
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[test]
fn the_same_is_fine_and_a_shift_is_found_exactly_and_by_bins() {
    let bench = Bench::new("shift");
    bench.write("a.csv", &table(3_000, 0.0, 10));
    bench.write("b.csv", &table(3_000, 0.5, 2));
    let same = bench.check(&["a.csv", "a.csv", "--all", "--format", "json"]);
    assert_eq!(same.status.code(), Some(0));
    assert_eq!(json(&same)["columns"]["x"]["status"], "ok");
    let exact = bench.check(&["a.csv", "b.csv", "--all", "--format", "json", "--html", "page.html"]);
    assert_eq!(exact.status.code(), Some(1));
    let exact = json(&exact);
    assert_eq!(exact["columns"]["x"]["exact"], true);
    assert_eq!(exact["columns"]["x"]["methods"].as_object().unwrap().len(), 13);
    assert_eq!(exact["columns"]["<kind>"]["methods"]["cramers_v"]["drifted"], true);
    let binned = json(&bench.check(&["a.csv", "b.csv", "--exact-rows", "1000", "--format", "json"]));
    let (whole, parts) = (&exact["columns"]["x"], &binned["columns"]["x"]);
    assert_eq!(parts["exact"], false);
    for (method, bound) in [("ks", &parts["bounds"]["ks"]), ("mean_shift_z", &Value::from(1e-9))] {
        let figure = |of: &Value| of["methods"][method]["value"].as_f64().unwrap();
        let off = (figure(whole) - figure(parts)).abs();
        assert!(off <= bound.as_f64().unwrap() + 1e-12, "{method}: {off}");
    }
    let page = std::fs::read_to_string(bench.0.join("page.html")).unwrap();
    assert!(page.contains("<h2>&lt;kind>") && !page.contains("<kind>") && page.contains("<rect"), "{page}");
}

#[test]
fn a_broken_line_is_named_or_left_out() {
    let bench = Bench::new("broken");
    let good = table(400, 0.0, 3);
    bench.write("a.csv", &good);
    let mut lines: Vec<&str> = good.lines().collect();
    lines.insert(200, "1,2,3");
    bench.write("b.csv", &lines.join("\n"));
    let stopped = bench.check(&["a.csv", "b.csv"]);
    assert_eq!(stopped.status.code(), Some(2));
    let said = String::from_utf8(stopped.stderr).unwrap();
    assert!(said.contains("b.csv:201: 3 fields where the header has 2"), "{said}");
    let skipped = bench.check(&["a.csv", "b.csv", "--on-error", "skip", "--format", "json"]);
    assert_eq!(skipped.status.code(), Some(0));
    assert_eq!(json(&skipped)["columns"]["x"]["n_current"], 400);
    assert!(String::from_utf8(skipped.stderr).unwrap().contains("1 lines were left out"));
}

#[test]
fn missing_infinite_mixed_and_too_few_values_are_told() {
    let bench = Bench::new("bad");
    let line = |x: &str| format!("{{\"x\": {x}, \"k\": 3, \"e\": null}}\n");
    bench.write("a.jsonl", &(0..150).map(|n| line(&n.to_string())).collect::<String>());
    let odd = [line("null"), line("\"NaN\""), line("\"-inf\""), line("\"word\""), line("7")].concat();
    bench.write("b.jsonl", &odd);
    let seen = json(&bench.check(&["a.jsonl", "b.jsonl", "--format", "json"]));
    let x = &seen["columns"]["x"];
    assert_eq!(x["status"], "insufficient_data");
    assert_eq!(
        (&x["n_current"], &x["infinite"]["current"], &x["of_other_kind"]["current"]),
        (&1.into(), &1.into(), &1.into())
    );
    assert_eq!(x["missing_rate"]["current"], 0.4);
    assert_eq!(seen["columns"]["e"]["status"], "no_data");
    let wrong = bench.check(&["a.jsonl", "b.jsonl", "--column", "nope"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("no column nope; there are"));
}

#[test]
fn a_baseline_is_written_and_compared_with() {
    let bench = Bench::new("baseline");
    bench.write("was.csv", &table(5_000, 0.0, 10));
    bench.write("is.csv", &table(5_000, 0.0, 10));
    bench.write("moved.csv", &table(5_000, 0.4, 10));
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
        command.arg("drift").args(arguments).current_dir(&bench.0).output().unwrap()
    };
    let made =
        run(&["baseline", "x", "was.csv", "--column", "x", "--model", "m", "--model-version", "3", "--out", "x.json"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let artefact: Value = serde_json::from_slice(&std::fs::read(bench.0.join("x.json")).unwrap()).unwrap();
    assert_eq!((&artefact["model_version"], &artefact["values"]["kind"]), (&"3".into(), &"number".into()));
    assert_eq!(run(&["check", "x.json", "is.csv"]).status.code(), Some(0));
    let moved = run(&["check", "x.json", "moved.csv", "--format", "json"]);
    assert_eq!(moved.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&moved.stdout).unwrap();
    assert_eq!(told["columns"]["x"]["methods"]["psi"]["drifted"], true, "{told:#}");
    // What is no baseline, and what is not there.
    bench.write("bad.json", r#"{"version": 1, "values": {"kind": "number"}}"#);
    let bad = run(&["check", "bad.json", "is.csv"]);
    assert!(bad.status.code() == Some(2) && String::from_utf8_lossy(&bad.stderr).contains("bad.json"));
    let absent = run(&["baseline", "x", "was.csv", "--column", "z", "--out", "y.json"]);
    assert!(
        absent.status.code() == Some(2) && String::from_utf8_lossy(&absent.stderr).contains("no column z; there are x")
    );
    let unreachable = run(&["baseline", "x", "was.csv", "--column", "x", "--url", "http://127.0.0.1:1"]);
    assert_eq!(unreachable.status.code(), Some(3));
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_is_read_as_csv_is() {
    use std::sync::Arc;

    use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    let bench = Bench::new("parquet");
    let write = |name: &str, shift: f64| {
        let schema = "message t { optional double x; required binary kind (UTF8); }";
        let schema = Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
        let file = std::fs::File::create(bench.0.join(name)).unwrap();
        let mut writer = SerializedFileWriter::new(file, schema, Arc::new(WriterProperties::default())).unwrap();
        for _ in 0..2 {
            let mut group = writer.next_row_group().unwrap();
            let values: Vec<f64> = (0..900).map(|row| f64::from(row * 7_919 % 900) / 900.0 + shift).collect();
            // Every tenth is missing.
            let levels: Vec<i16> = (0..1_000).map(|row| i16::from(row % 10 != 0)).collect();
            let mut column = group.next_column().unwrap().unwrap();
            column.typed::<DoubleType>().write_batch(&values, Some(&levels), None).unwrap();
            column.close().unwrap();
            let kinds: Vec<ByteArray> = (0..1_000).map(|row| if row % 4 == 0 { "b" } else { "a" }.into()).collect();
            let mut column = group.next_column().unwrap().unwrap();
            column.typed::<ByteArrayType>().write_batch(&kinds, None, None).unwrap();
            column.close().unwrap();
            group.close().unwrap();
        }
        writer.close().unwrap();
    };
    write("was.parquet", 0.0);
    write("is.parquet", 0.0);
    write("moved.parquet", 0.4);
    assert_eq!(bench.check(&["was.parquet", "is.parquet"]).status.code(), Some(0));
    let moved = bench.check(&["was.parquet", "moved.parquet", "--format", "json"]);
    let told: Value = serde_json::from_slice(&moved.stdout).unwrap();
    assert_eq!((&told["columns"]["x"]["status"], &told["columns"]["kind"]["status"]), (&"alert".into(), &"ok".into()));
    assert_eq!(told["columns"]["x"]["n_reference"], 1_800);
    // A file that is cut off is a fault of the file.
    let whole = std::fs::read(bench.0.join("is.parquet")).unwrap();
    std::fs::write(bench.0.join("cut.parquet"), &whole[..whole.len() / 2]).unwrap();
    let cut = bench.check(&["was.parquet", "cut.parquet"]);
    assert!(cut.status.code() == Some(2) && String::from_utf8_lossy(&cut.stderr).contains("cut.parquet"));
}

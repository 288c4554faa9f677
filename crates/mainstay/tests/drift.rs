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

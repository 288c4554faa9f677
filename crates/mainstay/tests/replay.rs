//! `mainstay simulate --replay` with what the sampler wrote, in both of its formats.

#![cfg(feature = "parquet")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::event::{Event, EventKind, RequestFinished};
use mainstay_core::plan::{Files, Format};
use mainstay_core::time::Time;
use mainstay_telemetry::{Settings, Telemetry};

const CONFIG: &str = "service: web
backends:
  model: { endpoints: [http://127.0.0.1:9], protocol: http, limit: { fixed: { max: 2 } } }
routes:
  - name: score
    path: /score
    deadline: 500ms
    queue: { max: 0, wait: 0s }
    ladder:
      - { level: 0, backend: model }
      - { level: 4, respond: { body: { decision: review } } }
slos:
  - availability: { target: 99%, window: 1d }
  - latency: { p99: 200ms, window: 1d }
";
const REQUESTS: u64 = 2_000;

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn folder(name: &str) -> Folder {
    let path = std::env::temp_dir().join(format!("mainstay-replay-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    std::fs::write(path.join("mainstay.yaml"), CONFIG).unwrap();
    Folder(path)
}

/// Requests of two models, some from the operator's own probes and some of an experiment.
fn event(n: u64) -> Event {
    let took = 20_000 + n * 7_919 % 90_000;
    let answered = if n.is_multiple_of(9) {
        r#""level":4,"backend":"respond""#.to_owned()
    } else {
        format!(r#""level":0,"backend":"model","model":"{}","inference_us":{took}"#, if n < 1_200 { "a" } else { "b" })
    };
    let apart = match n % 50 {
        7 => r#""synthetic":true,"#,
        8 => r#""experiment":"run-1","#,
        _ => "",
    };
    let json = format!(
        r#"{{"request_id":"r-{n}","route":"score","class":{},"code":200,"attempts":1,"duration_us":{},"overhead_us":100,{answered},{apart}"confidence":0.5,"kept":[{{"why":"log","probability":0.5}}]}}"#,
        n % 4,
        took + 100,
    );
    let request: RequestFinished = serde_json::from_str(&json).unwrap();
    Event { at: Time::from_millis(1_800_000_000_000 + n * 25), kind: EventKind::RequestFinished(Box::new(request)) }
}

/// What the sampler writes.
fn record(dir: &Path, format: Format) {
    let files =
        Files { dir: dir.to_path_buf(), format, max_bytes: 64 << 20, max_age: Duration::from_hours(1), keep: 10 };
    let settings = Settings { service: "web".to_owned(), files: Some(files), otlp: None };
    let telemetry =
        Telemetry::start(settings, Arc::new(|| Time::from_secs(1_800_000_000)), 7, Box::new(Vec::new)).unwrap();
    (0..REQUESTS).for_each(|n| telemetry.send(&event(n)));
    telemetry.stop();
}

fn replay(folder: &Folder, what: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
    command.args(["simulate", "--format", "json", "--replay"]).arg(what).current_dir(&folder.0).output().unwrap()
}

fn parquet_file(dir: &Path) -> PathBuf {
    let inside = |folder: PathBuf| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = inside(dir.to_path_buf()).flat_map(inside).flat_map(inside).collect();
    files.sort();
    files.remove(0)
}

#[test]
fn both_formats_of_a_recording_say_the_same() {
    let folder = folder("same");
    let (lines, tables) = (folder.0.join("lines"), folder.0.join("tables"));
    record(&lines, Format::Jsonl);
    record(&tables, Format::Parquet);
    let (one, other) = (replay(&folder, &lines), replay(&folder, &tables));
    let said: serde_json::Value = serde_json::from_slice(&one.stdout).unwrap_or_else(|_| panic!("{one:?}"));
    assert_eq!(said["recorded"], REQUESTS - REQUESTS / 25, "probes and experiments are left out");
    assert!(said["routes"][0]["levels"][4]["replayed"]["value"].as_f64().unwrap() > 0.05, "{said}");
    assert_eq!(String::from_utf8(one.stdout).unwrap(), String::from_utf8(other.stdout).unwrap());
    // The models are in folders of their own.
    let part = replay(&folder, &parquet_file(&tables));
    let said: serde_json::Value = serde_json::from_slice(&part.stdout).unwrap_or_else(|_| panic!("{part:?}"));
    assert!(said["recorded"].as_u64().is_some_and(|recorded| recorded < 1_200), "{said}");
}

#[test]
fn a_file_that_is_none_is_told_with_what_is_wrong() {
    let folder = folder("broken");
    let tables = folder.0.join("tables");
    record(&tables, Format::Parquet);
    let whole = std::fs::read(parquet_file(&tables)).unwrap();
    let mut garbled = whole.clone();
    garbled[40..whole.len() / 2].iter_mut().for_each(|byte| *byte = byte.wrapping_mul(31).wrapping_add(7));
    let empty = folder.0.join("empty");
    std::fs::create_dir_all(&empty).unwrap();
    let cases: [(&str, &[u8], &str); 4] = [
        ("cut.parquet", &whole[..whole.len() / 2], "not a whole Parquet file"),
        ("none.parquet", b"PAR1 this is not one PAR1", "not a whole Parquet file"),
        ("zero.parquet", b"", "not a whole Parquet file"),
        ("garbled.parquet", &garbled, "garbled.parquet: row group 0, column "),
    ];
    for (name, bytes, expected) in cases {
        let path = folder.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        let ran = replay(&folder, &path);
        let said = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(2), "{name}: {said}");
        assert!(said.contains(name) && said.contains(expected), "{name}: {said}");
    }
    let ran = replay(&folder, &empty);
    assert_eq!(ran.status.code(), Some(2));
    assert!(String::from_utf8(ran.stderr).unwrap().contains("no .jsonl and no .parquet file"));
}

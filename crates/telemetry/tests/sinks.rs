//! Files and collectors, as they are and as they fail.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use mainstay_core::event::{Event, EventKind, RequestFinished};
use mainstay_core::metric::{Family, Histogram, Kind, SECONDS, Sample, Value};
use mainstay_core::plan::{Files, Format, Otlp, Secret, SecretSource};
use mainstay_core::time::Time;
use mainstay_telemetry::{Settings, Telemetry};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use prost::Message;

const START: u64 = 1_800_000_000;

fn event(n: u64) -> Event {
    let json = format!(
        r#"{{"request_id":"r-{n}","route":"chat","class":1,"level":0,"code":200,"attempts":1,"duration_us":2000,"overhead_us":100,"inference_us":1500,"confidence":0.75,"model":"big","backend":"chat","prediction":0.5,"features":{{"a:x":1.5}},"input_tokens":7,"output_tokens":3,"finish_reason":"stop","operation":"text_completion","provider":"anthropic","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7","parent_span_id":"00f067aa0ba90200","kept":[{{"why":"log","probability":0.01}}]}}"#
    );
    let request: RequestFinished = serde_json::from_str(&json).unwrap();
    Event { at: Time::from_secs(START + n), kind: EventKind::RequestFinished(Box::new(request)) }
}

/// A clock that a test sets.
fn clock() -> (Arc<AtomicU64>, mainstay_telemetry::Clock) {
    let at = Arc::new(AtomicU64::new(START * 1_000));
    let told = Arc::clone(&at);
    (at, Arc::new(move || Time::from_millis(told.load(Ordering::Relaxed))))
}

fn files(dir: &Path, format: Format) -> Settings {
    let (max_bytes, max_age) = (64 << 10, Duration::from_hours(1));
    let files = Files { dir: dir.to_path_buf(), format, max_bytes, max_age, keep: 3 };
    Settings { service: "test".to_owned(), files: Some(files), otlp: None }
}

fn collector(endpoint: &str, timeout: Duration) -> Settings {
    let mut secret = Secret::unresolved(SecretSource::Env("X".to_owned()));
    secret.resolve("Bearer t".to_owned());
    let otlp = Otlp {
        endpoint: endpoint.to_owned(),
        headers: BTreeMap::from([("authorization".to_owned(), secret)]),
        traces: true,
        logs: true,
        metrics: Some(Duration::from_hours(1)),
        timeout,
    };
    Settings { service: "test".to_owned(), files: None, otlp: Some(otlp) }
}

fn start(settings: Settings) -> (Arc<AtomicU64>, Telemetry) {
    let (at, clock) = clock();
    let metrics = || {
        let mut histogram = Histogram::new(SECONDS);
        histogram.observe(0.003);
        let labels = vec![("route", "chat".to_owned())];
        let sample = |value| Sample { labels: labels.clone(), value };
        vec![
            Family {
                name: "mainstay_requests",
                help: "h",
                kind: Kind::Counter,
                samples: vec![sample(Value::Count(7))],
            },
            Family { name: "mainstay_limit", help: "h", kind: Kind::Gauge, samples: vec![sample(Value::Gauge(1.5))] },
            Family {
                name: "mainstay_request_duration_seconds",
                help: "h",
                kind: Kind::Histogram,
                samples: vec![sample(Value::Histogram(histogram))],
            },
        ]
    };
    (at, Telemetry::start(settings, clock, 7, Box::new(metrics)).unwrap())
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Waits until `look` holds.
fn until(what: &str, mut look: impl FnMut() -> bool) {
    let began = Instant::now();
    while !look() {
        assert!(began.elapsed() < Duration::from_secs(20), "in vain waited for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn lines_are_whole_files_end_and_the_oldest_go() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("kept");
    let (at, telemetry) = start(files(&place, Format::Jsonl));
    for n in 0..1_000 {
        telemetry.send(&event(n));
        if n % 100 == 99 {
            // Time goes on, so that a batch is written and a file has a name of its own.
            at.fetch_add(1_500, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(30));
        }
    }
    telemetry.stop();
    assert_eq!(telemetry.dropped(), [("telemetry_full", 0), ("file_failed", 0), ("collector_failed", 0)]);
    let names = names(&place);
    assert_eq!(names.len(), 3, "{names:?}");
    let mut last = None;
    for name in &names {
        let text = fs::read_to_string(place.join(name)).unwrap();
        assert!(text.len() <= 64 << 10 && text.ends_with('\n'), "{name}: {}", text.len());
        last = text.lines().map(|line| Event::from_json(line).unwrap()).next_back().or(last);
    }
    assert_eq!(last.unwrap(), event(999));
}

#[test]
fn a_folder_that_vanishes_is_made_again_and_one_that_cannot_be_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("kept");
    let (at, telemetry) = start(files(&place, Format::Jsonl));
    let write = |n: u64| telemetry.send(&event(n));
    // The thread may look at the clock for the first time at any moment.
    let tick = || at.fetch_add(200, Ordering::Relaxed) > 0;
    write(1);
    until("a file", || tick() && place.exists() && !names(&place).is_empty());
    fs::remove_dir_all(&place).unwrap();
    write(2);
    until("another file", || tick() && place.exists() && !names(&place).is_empty());
    fs::remove_dir_all(&place).unwrap();
    fs::write(&place, "in the way").unwrap();
    write(3);
    until("a count", || tick() && telemetry.dropped()[1].1 == 1);
    fs::remove_file(&place).unwrap();
    write(4);
    until("one more file", || tick() && place.is_dir() && !names(&place).is_empty());
    telemetry.stop();
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_is_read_back_by_day_and_model() {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    let dir = tempfile::tempdir().unwrap();
    let (_, telemetry) = start(files(dir.path(), Format::Parquet));
    (0..50).for_each(|n| telemetry.send(&event(n)));
    telemetry.stop();
    let folder = dir.path().join("dt=2027-01-15/model=big");
    let names = names(&folder);
    assert_eq!(names.len(), 1, "{names:?}");
    let reader = SerializedFileReader::new(fs::File::open(folder.join(&names[0])).unwrap()).unwrap();
    let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    let text = rows[49].to_string();
    assert_eq!(rows.len(), 50);
    for wanted in
        [r#"request_id: "r-49""#, "duration_us: 2000", "confidence: 0.75", r#"prediction: "0.5""#, "reason: null"]
    {
        assert!(text.contains(wanted), "{wanted} in {text}");
    }
}

/// A collector that takes what comes: path, headers and body of each request.
/// Path, head and body.
type Request = (String, String, Vec<u8>);

fn recording(status: &'static str) -> (String, Arc<Mutex<Vec<Request>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut bytes = Vec::new();
            let mut buffer = [0; 8_192];
            let (head, length) = loop {
                let read = stream.read(&mut buffer).unwrap_or(0);
                bytes.extend_from_slice(&buffer[..read]);
                if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                    let head = String::from_utf8_lossy(&bytes[..at]).into_owned();
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                    break (head, at + 4 + length.unwrap_or(0));
                }
                if read == 0 {
                    return;
                }
            };
            while bytes.len() < length {
                let read = stream.read(&mut buffer).unwrap_or(0);
                bytes.extend_from_slice(&buffer[..read]);
            }
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let body = bytes[head.len() + 4..].to_vec();
            record.lock().unwrap().push((path, head, body));
            let _ = stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes());
        }
    });
    (url, seen)
}

#[test]
fn a_collector_gets_spans_records_and_metrics() {
    let (url, seen) = recording("200 OK");
    let (_, telemetry) = start(collector(&url, Duration::from_secs(5)));
    (0..3).for_each(|n| telemetry.send(&event(n)));
    telemetry.stop();
    let seen = seen.lock().unwrap();
    let body = |path: &str| {
        let found = seen.iter().find(|(to, ..)| to == path).unwrap_or_else(|| panic!("nothing came to {path}"));
        assert!(
            found.1.contains("authorization: Bearer t") && found.1.contains("application/x-protobuf"),
            "{}",
            found.1
        );
        found.2.as_slice()
    };
    let traces = ExportTraceServiceRequest::decode(body("/v1/traces")).unwrap();
    let spans = &traces.resource_spans[0].scope_spans[0].spans;
    assert_eq!(spans.len(), 6, "a request and its model's call each");
    assert_eq!(spans[0].trace_id[..2], [0x4b, 0xf9]);
    assert_eq!((&spans[1].parent_span_id, spans[0].parent_span_id.len()), (&spans[0].span_id, 8));
    assert_eq!(spans[0].end_time_unix_nano - spans[0].start_time_unix_nano, 2_000_000);
    let attribute = |key: &str| spans[0].attributes.iter().find(|it| it.key == key).map(|it| format!("{:?}", it.value));
    assert!(attribute("gen_ai.usage.input_tokens").unwrap().contains("IntValue(7)"));
    assert!(attribute("gen_ai.request.model").unwrap().contains("big"));
    assert!(attribute("gen_ai.operation.name").unwrap().contains("text_completion"));
    assert!(attribute("gen_ai.provider.name").unwrap().contains("anthropic"));
    assert!(attribute("http.response.status_code").unwrap().contains("200"));
    let logs = ExportLogsServiceRequest::decode(body("/v1/logs")).unwrap();
    assert_eq!(logs.resource_logs[0].scope_logs[0].log_records.len(), 3);
    let metrics = ExportMetricsServiceRequest::decode(body("/v1/metrics")).unwrap();
    let metrics = &metrics.resource_metrics[0].scope_metrics[0].metrics;
    let of = |name: &str| metrics.iter().find(|metric| metric.name == name).unwrap().data.clone().unwrap();
    let Data::Sum(sum) = of("mainstay_requests") else { panic!("a sum") };
    assert!(sum.is_monotonic && sum.data_points.len() == 1);
    let Data::Histogram(histogram) = of("mainstay_request_duration_seconds") else { panic!("a histogram") };
    assert_eq!((histogram.data_points[0].count, histogram.data_points[0].bucket_counts.len()), (1, SECONDS.len() + 1));
    assert_eq!(telemetry.dropped()[2].1, 0);
}

#[test]
fn a_collector_that_hangs_or_refuses_holds_nothing_up() {
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let (refusing, _) = recording("500 Internal Server Error");
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for url in [format!("http://{}", hanging.local_addr().unwrap()), refusing, format!("http://{dead}")] {
        let (_, telemetry) = start(collector(&url, Duration::from_millis(100)));
        // Far more than fits: sending never waits, and what is lost is counted.
        let began = Instant::now();
        (0..12_000).for_each(|n| telemetry.send(&event(n % 10)));
        let sending = began.elapsed();
        assert!(sending < Duration::from_secs(20), "{sending:?}");
        telemetry.stop();
        let lost: u64 = telemetry.dropped().iter().map(|(_, count)| count).sum();
        assert_eq!(lost, 12_000, "{url}: {:?}", telemetry.dropped());
    }
}

//! Kept requests: which, without what, where they go.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Place, Server, exchange};

const CONFIG: &str = "service: test
listen: 127.0.0.1:0
admin: { listen: '127.0.0.1:0' }
store: sqlite:mainstay.db
backends: { model: { url: 'http://127.0.0.1:1', protocol: http } }
routes:
  - { name: score, path: /score, deadline: 1s, ladder: [{ level: 0, backend: model }, { level: 4, respond: { body: {} } }] }
observability:
  sample: { log: 0%, reservoir: 50, per_reason: 1000/s }
  files: { dir: kept, size: 64KiB }
";

/// A request with an id of an e-mail address in it, and with a place in a trace.
fn send(listen: &str, n: u32) -> String {
    let mut stream = TcpStream::connect(listen).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!(
        "POST /score HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-request-id: jane.doe-{n}@example.com\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn requests(server: &Server, query: &str) -> Vec<Value> {
    let (status, answer) = exchange(&server.admin, "GET", &format!("/api/v1/requests?{query}"), "").unwrap();
    assert_eq!(status, 200, "{answer:#}");
    answer["requests"].as_array().unwrap().clone()
}

#[test]
fn degraded_requests_are_kept_with_their_trace_and_without_what_must_not_leave() {
    let place = Place::new("kept");
    std::fs::write(place.0.join("mainstay.yaml"), CONFIG).unwrap();
    let mut server = Server::start(&place);
    for n in 0..200 {
        assert!(send(&server.listen, n).contains("x-mainstay-level: 4"));
    }
    let degraded = requests(&server, "why=degraded&limit=1000");
    assert_eq!(degraded.len(), 200);
    let one = &degraded[0];
    assert_eq!((&one["request_id"], &one["route"], &one["level"]), (&"[email]".into(), &"score".into(), &4.into()));
    assert_eq!(one["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(one["parent_span_id"], "00f067aa0ba902b7");
    assert!(!one.to_string().contains("jane"), "{one}");
    let reservoir = requests(&server, "why=reservoir&limit=1000");
    assert_eq!(reservoir.len(), 50, "a sample of its size");
    let chance = reservoir[0]["kept"].as_array().unwrap().iter().find(|kept| kept["why"] == "reservoir").unwrap();
    let chance = chance["probability"].as_f64().unwrap();
    assert!((0.1..0.45).contains(&chance), "50 of 200: {chance}");
    assert!(requests(&server, "route=other").is_empty());

    // Exemplars of durations point at what is kept, for readers of OpenMetrics alone.
    let metrics = |accept: &str| {
        let mut stream = TcpStream::connect(&server.admin).unwrap();
        let head =
            format!("GET /metrics HTTP/1.1\r\nhost: {}\r\nconnection: close\r\naccept: {accept}\r\n\r\n", server.admin);
        stream.write_all(head.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    let open = metrics("application/openmetrics-text; version=1.0.0");
    let line =
        open.lines().find(|line| line.starts_with("mainstay_request_duration_seconds_bucket") && line.contains(" # {"));
    let line = line.unwrap_or_else(|| panic!("no exemplar in {open}"));
    assert!(line.contains("trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\""), "{line}");
    assert!(!metrics("text/plain").contains(" # {"));

    // Files have whole lines when the service ends.
    let began = Instant::now();
    while std::fs::read_dir(place.0.join("kept")).map_or(0, Iterator::count) == 0 {
        assert!(began.elapsed() < Duration::from_secs(20), "no file");
        std::thread::sleep(Duration::from_millis(20));
    }
    server.end("TERM");
    let files = std::fs::read_dir(place.0.join("kept")).unwrap();
    let text: String = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 200);
    assert!(lines.iter().all(|line| line["type"] == "request.finished") && !text.contains("jane"));
}

//! Labels and the predictions that they are about: whichever comes first, whenever the process ends, each counts once.

use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mainstay_core::event::format_time;
use mainstay_core::time::Time;
use serde_json::{Value, json};

use crate::support::{Place, Server, exchange};

const CONFIG: &str = "service: test
listen: 127.0.0.1:0
admin: { listen: '127.0.0.1:0' }
store: sqlite:mainstay.db
backends: { model: { url: 'http://127.0.0.1:1', protocol: http } }
routes:
  - name: score
    path: /score
    deadline: 1s
    prediction: { pointer: /p, task: binary, threshold: 0.5 }
    ladder: [{ level: 0, backend: model }, { level: 4, respond: { body: {} } }]
slos:
  - quality: { name: precise, metric: precision, baseline: 0.9, allowed_degradation: 5%, label_delay: 1m, window: 1d, route: score }
";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn lines(all: impl IntoIterator<Item = Value>) -> String {
    all.into_iter().map(|line| line.to_string()).collect::<Vec<_>>().join("\n")
}

/// Predictions of two hours ago.
fn predictions(range: std::ops::Range<u32>) -> String {
    let at = |n: u32| format_time(Time::from_secs(now() - 7_200 + u64::from(n) * 5));
    lines(range.map(|n| {
        json!({ "type": "prediction", "id": format!("r{n}"), "route": "score", "model": "m", "prediction": if n.is_multiple_of(2) { 0.9 } else { 0.2 }, "at": at(n) })
    }))
}

fn label(n: u32, truth: u32) -> Value {
    json!({ "request_id": format!("r{n}"), "label": truth })
}

/// Of those called positive, nine in ten are.
fn truth(n: u32) -> u32 {
    u32::from(n.is_multiple_of(2) && !n.is_multiple_of(20))
}

fn quality(server: &Server) -> Value {
    exchange(&server.admin, "GET", "/api/v1/quality", "").unwrap().1
}

fn until(server: &Server, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let seen = quality(server);
        if holds(&seen) {
            return seen;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "in vain waited for {what}: {seen:#}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn labelled(seen: &Value) -> u64 {
    seen["routes"][0]["labelled"].as_u64().unwrap()
}

#[test]
fn labels_find_their_predictions_late_early_twice_and_across_a_kill() {
    let place = Place::new("labels");
    std::fs::write(place.0.join("mainstay.yaml"), CONFIG).unwrap();
    let mut server = Server::start(&place);
    let post = |server: &Server, path: &str, body: &str| {
        let (status, answer) = server.post(path, body);
        assert_eq!(status, 202, "{answer:#}");
    };
    // Labels come before their predictions, and wait for them, also across a kill.
    post(&server, "/api/v1/labels", &lines((0..100).map(|n| label(n, truth(n)))));
    until(&server, "waiting labels", |seen| seen["labels"]["waiting"] == 100);
    server.end("KILL");
    let mut server = Server::start(&place);
    until(&server, "labels that still wait", |seen| seen["labels"]["waiting"] == 100);
    post(&server, "/api/v1/events", &predictions(0..400));
    until(&server, "what waited", |seen| labelled(seen) == 100);
    // The rest come late; a kill in the middle counts none twice.
    post(&server, "/api/v1/labels", &lines((100..300).map(|n| label(n, truth(n)))));
    server.end("KILL");
    let server = Server::start(&place);
    let seen = until(&server, "late labels", |seen| labelled(seen) == 300);
    let route = &seen["routes"][0];
    assert_eq!((route["predicted"].as_u64(), route["coverage"].as_f64()), (Some(400), Some(0.75)), "{route:#}");
    let precision = &route["metrics"]["precision"];
    assert!((precision["value"].as_f64().unwrap() - 0.9).abs() < 1e-9 && precision["n"] == 150.0, "{precision}");
    assert!(precision["low"].as_f64().unwrap() < 0.9 && precision["high"].as_f64().unwrap() > 0.9);
    assert_eq!(route["metrics"]["recall"]["value"], 1.0);
    assert_eq!(route["label_age"]["6h"], 300, "two hours old");
    assert_eq!(route["estimates"]["precision"]["validity"], "valid", "{route:#}");

    // The same label again is a repetition; one with another id corrects it.
    let (status, again) = server.post("/api/v1/labels", &label(2, 1).to_string());
    assert_eq!((status, &again["duplicates"]), (202, &json!(1)), "{again:#}");
    post(&server, "/api/v1/labels", &json!({ "id": "r2-checked", "request_id": "r2", "label": false }).to_string());
    let seen = until(&server, "a correction", |seen| seen["labels"]["superseded"] == 1);
    let corrected = seen["routes"][0]["metrics"]["precision"]["value"].as_f64().unwrap();
    assert!((corrected - 134.0 / 150.0).abs() < 1e-9 && labelled(&seen) == 300, "{corrected}");
    post(&server, "/api/v1/labels", &json!({ "id": "x", "request_id": "r302", "label": "perhaps" }).to_string());
    until(&server, "what cannot be read", |seen| seen["labels"]["unreadable"] == 1 && labelled(seen) == 300);
    post(&server, "/api/v1/labels", &json!({ "request_id": "nobody", "label": 1 }).to_string());
    until(&server, "what waits", |seen| seen["labels"]["waiting"] == 1);

    // Slices of ten minutes with 30 labels are judged by the objective.
    let began = Instant::now();
    let slo = loop {
        let (good, bad, _) = server.slo("precise");
        if good + bad >= 2 {
            break (good, bad);
        }
        assert!(began.elapsed() < Duration::from_secs(30), "slices were not judged: {good} {bad}");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(slo.1, 0, "nine in ten is what was promised");
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
    command.args(["quality", "report", "--url", &format!("http://{}", server.admin)]);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("precision") && text.contains("300 of 400"), "{text}");
}

#[test]
fn signals_from_outside_say_whether_a_model_feeds_on_itself() {
    let place = Place::new("signals");
    std::fs::write(place.0.join("mainstay.yaml"), CONFIG).unwrap();
    let mut server = Server::start(&place);
    let signal = |id: String, name: &str, value: f64, arm: Option<&str>, segment: Option<String>| json!({ "id": id, "name": name, "value": value, "arm": arm, "segment": segment });
    let mut all = Vec::new();
    for item in 0..20_u32 {
        let exposure = if item == 0 { 190.0 } else { 1.0 };
        all.push(signal(format!("e{item}"), "exposure", exposure, None, Some(format!("item-{item}"))));
        all.push(signal(format!("s{item}"), "score", f64::from(20 - item), None, Some(format!("item-{item}"))));
    }
    for n in 0..200_u32 {
        let arm = if n.is_multiple_of(2) { "holdout" } else { "model" };
        let clicked = f64::from(u8::from(if n.is_multiple_of(2) { n % 20 == 0 } else { n % 5 == 0 }));
        all.push(signal(format!("c{n}"), "click_through", clicked, Some(arm), None));
        all.push(signal(format!("l{n}"), "label_caused", f64::from(u8::from(!n.is_multiple_of(4))), None, None));
    }
    assert_eq!(server.post("/api/v1/signals", &lines(all)).0, 202);
    let check = |server: &Server| {
        let seen = until(server, "signals", |seen| seen["feedback"]["caused_label_share"]["value"] == 0.75);
        let value = |name: &str| seen["feedback"][name]["value"].as_f64().unwrap();
        assert!(value("exposure_gini") > 0.8, "{seen:#}");
        assert!((value("click_through_against_holdout") - 0.1).abs() < 0.11);
        assert!(value("exposure_score_correlation") > 0.0);
        assert_eq!(seen["signals"]["click_through"]["arms"]["holdout"]["n"], 100.0);
    };
    check(&server);
    // Killed, they are summed up anew; ended, they rest as sums: none counts twice.
    for signal in ["KILL", "TERM", "KILL"] {
        server.end(signal);
        server = Server::start(&place);
        check(&server);
    }

    // A proxy without a baseline says so; a baseline rests.
    let put = |path: &str, body: &str| exchange_json(&server.admin, path, body);
    let (status, problem) =
        put("/api/v1/quality/baselines/score", r#"{"proxies":{"happiness":{"mean":1,"deviation":0}}}"#);
    assert!(status == 422 && problem.contains("there is no proxy `happiness`"), "{problem}");
    let (status, problem) = put("/api/v1/quality/baselines/score", "{}");
    assert!(status == 422 && problem.contains("100 values"), "{problem}");
    let (status, _) =
        put("/api/v1/quality/baselines/score", r#"{"proxies":{"confidence":{"mean":0.8,"deviation":0.1}}}"#);
    assert_eq!(status, 204);
    assert_eq!(put("/api/v1/quality/baselines/other", "{}").0, 404);
}

/// A PUT of JSON: status and body as they are.
fn exchange_json(admin: &str, path: &str, body: &str) -> (u16, String) {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(admin).unwrap();
    let length = body.len();
    let head = format!(
        "PUT {path} HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    (text.split(' ').nth(1).unwrap().parse().unwrap(), text)
}

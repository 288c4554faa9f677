//! Runs and what becomes of them in the registry, with a service that is there, comes late, or never.

use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::support::{CONFIG, Place, Server, exchange};

/// Ten steps, one checkpoint with this accuracy.
fn script(accuracy: f64) -> String {
    format!(
        r#"tell() {{ echo "mstp/1 $1"; }}
for step in 1 2 3 4 5 6 7 8 9 10; do tell "{{\"type\":\"metric\",\"step\":$step,\"loss\":0.5}}"; tell "{{\"type\":\"progress\",\"step\":$step,\"total\":10}}"; done
d="$MAINSTAY_CKPT_DIR/.tmp-$MAINSTAY_ATTEMPT-10"; mkdir -p "$d"; echo "weights $MAINSTAY_RUN_ID" > "$d/weights"
tell "{{\"type\":\"ckpt_ready\",\"step\":10,\"tmp\":\"$d\",\"cursor\":null,\"metrics\":{{\"accuracy\":{accuracy}}}}}"
tell "{{\"type\":\"done\",\"step\":10}}""#
    )
}

fn train(place: &Place, url: &str, arguments: &[&str], accuracy: f64) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
    command.args(["train", "--url", url]).args(arguments).args(["--", "sh", "-c", &script(accuracy)]);
    command.current_dir(&place.0).env_remove("MAINSTAY_TOKEN").output().unwrap()
}

fn get(server: &Server, path: &str) -> Value {
    exchange(&server.admin, "GET", path, "").unwrap().1
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_run_reaches_the_registry_also_when_the_service_comes_late() {
    let place = Place::new("training");
    let training = "training: { checkpoints: kept, model: digits, gates: ['metrics.accuracy >= 0.5'] }\n";
    std::fs::write(place.0.join("mainstay.yaml"), format!("{CONFIG}{training}")).unwrap();
    let nobody = "http://127.0.0.1:1";
    let alone = train(&place, nobody, &["--data-max-event-time", "2026-03-01T00:00:00Z"], 0.7);
    assert_eq!(alone.status.code(), Some(0), "{}", said(&alone));
    assert!(
        said(&alone).contains("waits in kept") && place.0.join("kept/undelivered.json").exists(),
        "{}",
        said(&alone)
    );
    let alone = train(&place, nobody, &["--promote"], 0.7);
    assert_eq!(alone.status.code(), Some(1), "it was to be promoted, and nobody is there: {}", said(&alone));

    let server = Server::start(&place);
    let url = format!("http://{}", server.admin);
    let promoted = train(
        &place,
        &url,
        &["--promote", "--data-max-event-time", "2026-03-02T00:00:00Z", "--digest", "data=sha256:0f"],
        0.9,
    );
    assert_eq!(promoted.status.code(), Some(0), "{}", said(&promoted));
    assert!(!place.0.join("kept/undelivered.json").exists());
    let runs = get(&server, "/api/v1/runs");
    let states: Vec<&str> = runs["runs"].as_array().unwrap().iter().map(|run| run["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["succeeded"; 3], "what waited was delivered: {runs}");
    let model = get(&server, "/api/v1/models/digits");
    let champion = model["champion"].as_str().unwrap().to_owned();
    let version =
        model["versions"].as_array().unwrap().iter().find(|version| version["version"] == champion.as_str()).unwrap();
    assert_eq!(model["versions"].as_array().unwrap().len(), 3, "{model}");
    assert_eq!(
        (&version["gates"], &version["lineage"]["data"], &version["lineage"]["step"]),
        (&"passed".into(), &"sha256:0f".into(), &10.into()),
        "{version}"
    );
    assert_eq!(version["metrics"]["accuracy"], 0.9);
    let shown = get(&server, &format!("/api/v1/runs/{}", version["lineage"]["run"].as_str().unwrap()));
    assert_eq!(shown["status"]["curves"]["loss"].as_array().map(Vec::len), Some(1), "{shown}");
    let metrics = metrics(&server);
    assert!(
        metrics.contains("mainstay_model_data_timestamp_seconds") && metrics.contains("1772409600"),
        "2026-03-02: {metrics}"
    );

    // Worse than the champion, as the registry knows it and not the directory.
    let elsewhere = ["--checkpoints", "other", "--gate", "metrics.accuracy >= champion.accuracy", "--promote"];
    let worse = train(&place, &url, &elsewhere, 0.8);
    assert_eq!(worse.status.code(), Some(1), "{}", said(&worse));
    let began = std::time::Instant::now();
    loop {
        let events = get(&server, "/api/v1/events?limit=1000").to_string();
        if events.contains("training.run_failed") && events.contains("validation_failed") {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{events}");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(get(&server, "/api/v1/models/digits")["champion"], champion.as_str(), "a failed gate moves nothing");

    // No gate was asked: it may be registered, and not promoted.
    std::fs::write(place.0.join("bare.yaml"), CONFIG).unwrap();
    let ungated = ["--config", "bare.yaml", "--checkpoints", "third", "--model", "digits", "--promote"];
    let refused = train(&place, &url, &ungated, 0.99);
    assert!(refused.status.code() == Some(1) && said(&refused).contains("gates"), "{}", said(&refused));
    assert_eq!(get(&server, "/api/v1/models/digits")["champion"], champion.as_str());

    std::fs::write(place.0.join("bad.yaml"), format!("{CONFIG}training: {{ gates: ['metrics.'] }}\n")).unwrap();
    let bad = train(&place, &url, &["--config", "bad.yaml"], 0.9);
    assert!(bad.status.code() == Some(2) && said(&bad).contains("bad.yaml:"), "{}", said(&bad));
}

fn metrics(server: &Server) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(&server.admin).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", server.admin).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

//! All eight types, each from what really causes it to its review.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::story::Story;

/// A server of a model or of features: it answers by a function of the request's body, or fails.
struct Upstream {
    address: String,
    well: Arc<AtomicBool>,
}

impl Upstream {
    fn start(answer: impl Fn(&Value) -> Value + Send + Sync + 'static) -> Upstream {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (well, answer) = (Arc::new(AtomicBool::new(true)), Arc::new(answer));
        let state = Arc::clone(&well);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, answer) = (Arc::clone(&state), Arc::clone(&answer));
                thread::spawn(move || serve(stream, &state, &*answer));
            }
        });
        Upstream { address, well }
    }

    fn set_well(&self, well: bool) {
        self.well.store(well, Ordering::SeqCst);
    }
}

fn serve(stream: std::net::TcpStream, well: &AtomicBool, answer: &dyn Fn(&Value) -> Value) -> Option<()> {
    use std::io::{BufRead as _, Read as _, Write as _};
    let mut reader = std::io::BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let asked: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let (status, said) = if well.load(Ordering::SeqCst) {
            ("200 OK", answer(&asked).to_string())
        } else {
            ("500 Internal Server Error", "{}".to_owned())
        };
        let head =
            format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", said.len());
        reader.get_mut().write_all(format!("{head}{said}").as_bytes()).ok()?;
    }
}

/// A route with a model that can fail, and a local answer behind it.
fn route(model: &Upstream, more: &str) -> String {
    format!(
        "backends:
  model: {{ url: 'http://{}', protocol: http, model: fraud, breaker: {{ consecutive: 3, open: 500ms, open_max: 500ms, successes: 1 }}, retry: {{ attempts: 1 }} }}
routes:
  - name: score
    path: /score
    deadline: 2s
    hysteresis: {{ window: 1s, down: 2, up: 1s }}
{more}    ladder: [{{ level: 0, backend: model }}, {{ level: 2, respond: {{ body: {{ p: 0.5 }} }} }}, {{ level: 4, respond: {{ body: {{}} }} }}]
",
        model.address
    )
}

fn drive(story: &Story, path: &str, requests: u32, body: impl Fn(u32) -> Value) {
    for n in 0..requests {
        story.send(path, &body(n));
    }
}

#[test]
fn serving_latency_from_a_model_that_fails() {
    let model = Upstream::start(|_| json!({ "p": 0.1 }));
    let story = Story::new("latency", &route(&model, ""), ", types: { serving_latency: { auto: [pin_level] } }");
    drive(&story, "/score", 10, |_| json!({}));
    model.set_well(false);
    drive(&story, "/score", 30, |_| json!({}));
    let id = story.incident("serving_latency");
    // What the config allows was done without asking: the route is held at the simpler answer.
    story.until("the pin", || {
        let level = story.get("/api/v1/levels");
        level.to_string().contains(&format!("incident {id}")).then_some(())
    });
    model.set_well(true);
    story.admin("DELETE", &format!("/api/v1/incidents/{id}/actions/1"), &Value::Null);
    story.until("that it was undone", || {
        let it = story.get(&format!("/api/v1/incidents/{id}"));
        (it["incident"]["actions"][0]["state"] == "undone").then_some(())
    });
    assert!(!story.get("/api/v1/levels").to_string().contains(&format!("incident {id}")));
    story.until("that the model answers again", || {
        drive(&story, "/score", 5, |_| json!({}));
        (!story.get(&format!("/api/v1/incidents/{id}"))["incident"]["proposed"].is_null()).then_some(())
    });
    story.ends(&id, None);
}

#[test]
fn feature_pipeline_from_a_store_that_fails() {
    let model =
        Upstream::start(|_| json!({ "outputs": [{ "name": "p", "shape": [1], "datatype": "FP64", "data": [0.1] }] }));
    let store = Upstream::start(|_| {
        json!({
            "metadata": { "feature_names": ["account_id", "account:tx"] },
            "results": [
                { "values": ["a"], "statuses": ["PRESENT"], "event_timestamps": ["2099-01-01T00:00:00Z"] },
                { "values": [3.0], "statuses": ["PRESENT"], "event_timestamps": ["2099-01-01T00:00:00Z"] }
            ]
        })
    });
    let rest = format!(
        "features:
  account:
    store: {{ url: 'http://{}', protocol: feast, timeout: 200ms }}
    refs: [account:tx]
    entity: {{ account_id: /parameters/account_id }}
    into: {{ input: features, datatype: FP64 }}
    cache: {{ entries: 100, max_age: 24h }}
    breaker: {{ consecutive: 3, open: 500ms, open_max: 500ms, successes: 1 }}
backends:
  model: {{ url: 'http://{}', protocol: open-inference, model: fraud, retry: {{ attempts: 1 }} }}
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 2s
    hysteresis: {{ window: 1s, down: 2, up: 1s }}
    ladder:
      - {{ level: 0, backend: model, features: {{ set: account, mode: online }} }}
      - {{ level: 1, backend: model, features: {{ set: account, mode: cached }} }}
      - {{ level: 4, respond: {{ outputs: [{{ name: d, value: review }}] }} }}
",
        store.address, model.address
    );
    let story = Story::new("features", &rest, "");
    let body = |_| json!({ "inputs": [], "parameters": { "account_id": "a" } });
    drive(&story, "/v2/models/fraud/infer", 10, body);
    store.set_well(false);
    drive(&story, "/v2/models/fraud/infer", 40, body);
    let id = story.incident("feature_pipeline");
    store.set_well(true);
    let path = format!("/api/v1/incidents/{id}");
    story.admin(
        "POST",
        &format!("{path}/actions"),
        &json!({ "action": "cached_features", "route": "score", "for": "2s" }),
    );
    story.until("that the action had its time", || {
        (story.get(&path)["incident"]["actions"][0]["state"] == "expired").then_some(())
    });
    story.until("that the store answers again", || {
        drive(&story, "/v2/models/fraud/infer", 5, body);
        (!story.get(&path)["incident"]["proposed"].is_null()).then_some(())
    });
    story.ends(&id, None);
}

#[test]
fn model_degradation_from_answers_that_are_less_sure() {
    let model = Upstream::start(|asked| json!({ "p": asked["p"], "sure": asked["sure"] }));
    let more = "    prediction: { pointer: /p, task: binary, threshold: 0.5 }
    confidence: { pointer: /sure, as: score }
";
    let slos = "slos: [{ quality: { name: precise, metric: precision, baseline: 0.9, route: score } }]\n";
    let story = Story::new("model", &(route(&model, more) + slos), "");
    let body = |n: u32, sure: f64| json!({ "p": f64::from(n % 10) / 10.0, "sure": sure + f64::from(n % 7) / 100.0 });
    drive(&story, "/score", 150, |n| body(n, 0.9));
    story.until("a baseline", || {
        let (status, _) = story.try_admin("PUT", "/api/v1/quality/baselines/score", &json!({}));
        let seen = story.get("/api/v1/quality").to_string();
        (status < 300 && seen.contains("likely_healthy")).then_some(())
    });
    drive(&story, "/score", 300, |n| body(n, 0.4));
    let id = story.incident("model_degradation");
    // The version that is served from now on is sure again.
    drive(&story, "/score", 6_000, |n| body(n, 0.9));
    story.ends(&id, Some(json!({ "action": "pin_level", "route": "score", "level": 2, "for": "1h" })));
}

/// A route whose values are watched.
const WATCHED: &str = "routes: [{ name: score, path: /score, deadline: 1s, ladder: [{ level: 4, respond: { body: {} } }] }]
drift: { window: { values: 400, time: 1h }, rate: 100000/s, names: { amount: { route: score, request: /amount, learn: 1000 } } }
";

fn watched(name: &str, kind: &str, wrong: impl Fn(u32) -> Value) {
    let story = Story::new(name, WATCHED, "");
    let usual = |n: u32| json!({ "amount": f64::from(n * 7_919 % 1_000) });
    drive(&story, "/score", 1_000, usual);
    story.until("a reference", || (story.get("/api/v1/drift/amount")["reference"]["count"] == 1_000).then_some(()));
    drive(&story, "/score", 400, usual);
    drive(&story, "/score", 900, wrong);
    let id = story.incident(kind);
    drive(&story, "/score", 900, usual);
    story.ends(&id, Some(json!({ "action": "raise_sampling", "route": "score", "for": "1h" })));
}

#[test]
fn data_quality_from_values_that_are_missing() {
    watched("missing", "data_quality", |n| {
        if n % 2 == 0 { json!({}) } else { json!({ "amount": f64::from(n * 7_919 % 1_000) }) }
    });
}

#[test]
fn drift_from_values_that_moved() {
    watched("moved", "drift_detected", |n| json!({ "amount": f64::from(n * 7_919 % 300) + 600.0 }));
}

#[test]
fn a_safety_violation_from_a_flag() {
    let rest = "routes: [{ name: chat, path: /chat, deadline: 1s, ladder: [{ level: 4, respond: { body: {} } }] }]
slos: [{ safety: { name: safe, max_rate: 0.5, window: 1h, route: chat } }]
";
    let story = Story::new("safety", rest, "");
    let event = json!({ "type": "request", "id": "r1", "route": "chat", "code": 200 });
    story.admin("POST", "/api/v1/events", &event);
    story.admin("POST", "/api/v1/flags", &json!({ "request_id": "r1", "verdict": "confirmed", "route": "chat" }));
    let id = story.incident("safety_violation");
    let it = story.get(&format!("/api/v1/incidents/{id}"));
    assert_eq!((&it["incident"]["severity"], &it["incident"]["routes"]), (&json!("sev1"), &json!(["chat"])), "{it:#}");
    let path = format!("/api/v1/incidents/{id}");
    story.admin("POST", &format!("{path}/ack"), &json!({}));
    story.admin("POST", &format!("{path}/actions"), &json!({ "action": "pin_level", "route": "chat", "level": 4 }));
    // Harm is not over by itself: somebody says so, and why.
    story.admin("POST", &format!("{path}/status"), &json!({ "status": "resolved", "reason": "the pattern is known" }));
    let (status, said) = story.try_admin("POST", &format!("{path}/status"), &json!({ "status": "post_mortem" }));
    assert!(status == 409 && said.contains("root cause"), "{status} {said}");
    story.admin("PUT", &format!("{path}/review"), &json!({ "root_cause": "a filter was off" }));
    story.admin("POST", &format!("{path}/status"), &json!({ "status": "post_mortem" }));
    let (_, review) = story.try_admin("GET", &format!("{path}/review"), &Value::Null);
    assert!(review.contains("a filter was off"), "{review}");
}

#[test]
fn training_failure_from_a_run_that_fails() {
    let rest = "routes: [{ name: score, path: /score, deadline: 1s, ladder: [{ level: 4, respond: { body: {} } }] }]\n";
    let story = Story::new("training", rest, "");
    let train = |script: &str| {
        let url = format!("http://{}", story.server.admin);
        let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
        command.args(["train", "--url", &url, "--name", "fraud", "--retries", "0", "--", "sh", "-c", script]);
        command.current_dir(&story.place.0).env_remove("MAINSTAY_TOKEN").output().unwrap()
    };
    let failed = train("echo 'out of memory' >&2; exit 3");
    assert_ne!(failed.status.code(), Some(0));
    let id = story.incident("training_failure");
    // What can be done is somebody's: the run is started again.
    story.admin("POST", &format!("/api/v1/incidents/{id}/notes"), &json!({ "text": "more memory; it runs again" }));
    let well = train("echo 'mstp/1 {\"type\":\"done\",\"step\":1}'");
    assert_eq!(well.status.code(), Some(0), "{}", String::from_utf8_lossy(&well.stderr));
    story.ends(&id, None);
}

#[test]
fn a_feedback_loop_from_posted_signals() {
    let rest = "routes: [{ name: feed, path: /feed, deadline: 1s, ladder: [{ level: 4, respond: { body: {} } }] }]\n";
    let story = Story::new("feedback", rest, "");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let post = |from: u32, to: u32, value: u32| {
        let at = mainstay_core::event::format_time(mainstay_core::time::Time::ZERO + now);
        let line = |n| json!({ "id": format!("s{n}"), "name": "label_caused", "value": value, "at": at }).to_string();
        let lines: Vec<String> = (from..to).map(line).collect();
        let (status, said) =
            crate::story::ask(&story.server.admin, "POST", "/api/v1/signals", &lines.join("\n")).unwrap();
        assert_eq!(status, 202, "{said}");
    };
    post(0, 200, 1);
    let id = story.incident("feedback_loop");
    // Labels that the model did not cause outweigh those that it did.
    post(200, 900, 0);
    story.ends(&id, Some(json!({ "action": "pin_level", "route": "feed", "level": 4, "for": "1h" })));
}

//! What is not there, what may not be, and texts that want to be more than text.

use serde_json::{Value, json};

use crate::story::Story;

const ROUTES: &str =
    "routes: [{ name: score, path: /score, deadline: 1s, ladder: [{ level: 4, respond: { body: {} } }] }]\n";
const HOSTILE: &str =
    "<script>alert(1)</script> \u{1b}[31mred\u{1b}[0m <!channel> @everyone [a](javascript:x) \u{202e}txt";

#[test]
fn what_cannot_be_done_says_why_and_changes_nothing() {
    let story = Story::new("bad", ROUTES, "");
    let opened =
        story.admin("POST", "/api/v1/incidents", &json!({ "title": "x", "severity": "sev4", "routes": ["score"] }));
    let id = opened["incident"]["id"].as_str().unwrap();
    let path = format!("/api/v1/incidents/{id}");
    let before = story.get(&path)["incident"]["status"].clone();
    let cases = [
        ("GET", "/api/v1/incidents/AI-20200101-0001", Value::Null, 404),
        ("GET", "/api/v1/incidents/..%2f..", Value::Null, 404),
        ("GET", "/api/v1/incidents?status=done", Value::Null, 400),
        ("GET", "/api/v1/incidents/metrics?window=forever", Value::Null, 400),
        ("GET", "/api/v1/runbooks/none", Value::Null, 404),
        ("GET", "/api/v1/oncall?at=tomorrow", Value::Null, 400),
        ("GET", "/api/v1/oncall/none", Value::Null, 404),
        ("GET", &format!("{path}/review?format=pdf"), Value::Null, 400),
        ("POST", "/api/v1/incidents", json!({ "title": " " }), 422),
        ("POST", "/api/v1/incidents", json!({ "title": "x", "type": "none" }), 422),
        ("POST", "/api/v1/incidents", json!({ "title": "x", "routes": ["none"] }), 422),
        ("POST", "/api/v1/incidents", json!({ "title": "x", "colour": "red" }), 422),
        ("POST", "/api/v1/incidents", json!({ "title": "x".repeat(5_000) }), 422),
        ("POST", &format!("{path}/status"), json!({ "status": "post_mortem" }), 409),
        ("POST", &format!("{path}/status"), json!({ "status": "merged" }), 422),
        ("POST", &format!("{path}/status"), json!({ "into": id }), 422),
        ("POST", &format!("{path}/status"), json!({}), 422),
        ("POST", &format!("{path}/notes"), json!({ "text": "" }), 422),
        ("POST", &format!("{path}/actions"), json!({ "action": "reboot" }), 422),
        ("POST", &format!("{path}/actions"), json!({ "action": "pin_level", "route": "none", "level": 2 }), 422),
        (
            "POST",
            &format!("{path}/actions"),
            json!({ "action": "pin_level", "route": "score", "level": 2, "for": "9000d" }),
            422,
        ),
        ("DELETE", &format!("{path}/actions/7"), Value::Null, 422),
        ("DELETE", "/api/v1/silences/none", Value::Null, 404),
        ("DELETE", "/api/v1/overrides/none", Value::Null, 404),
        ("POST", "/api/v1/silences", json!({ "reason": "x" }), 422),
        ("POST", "/api/v1/silences", json!({ "reason": "x", "for": "400d" }), 422),
        ("POST", "/api/v1/silences", json!({ "reason": "x", "for": "1h", "route": "none" }), 422),
        (
            "POST",
            "/api/v1/overrides",
            json!({ "schedule": "none", "person": "ada", "from": "2026-03-01T00:00:00Z", "until": "2026-03-02T00:00:00Z" }),
            404,
        ),
        ("POST", "/api/v1/alerts", json!({ "version": "3" }), 422),
        ("POST", "/api/v1/alerts", json!([]), 422),
        ("PUT", &format!("{path}/review"), json!({ "items": [{ "text": "x", "owner": "" }] }), 422),
    ];
    for (method, path, body, expected) in cases {
        let (status, said) = story.try_admin(method, path, &body);
        assert_eq!(status, expected, "{method} {path} {body}: {said}");
        assert!(said.contains("urn:mainstay:problem:"), "{said}");
    }
    assert_eq!(story.get(&path)["incident"]["status"], before);
    assert_eq!(story.get("/api/v1/incidents")["incidents"].as_array().unwrap().len(), 1);
}

#[test]
fn hostile_texts_are_text_wherever_they_go() {
    let story = Story::new("hostile", ROUTES, "");
    let opened =
        story.admin("POST", "/api/v1/incidents", &json!({ "title": HOSTILE, "severity": "sev2", "note": HOSTILE }));
    let id = opened["incident"]["id"].as_str().unwrap().to_owned();
    story.until("the page", || (!story.receiver.of(&id, "page").is_empty()).then_some(()));
    let page = story.receiver.of(&id, "page").remove(0).body.to_string();
    assert!(!page.contains("\\u001b") && !page.contains('\u{1b}') && !page.contains('\u{202e}'), "{page}");
    let read =
        |form: &str| story.try_admin("GET", &format!("/api/v1/incidents/{id}/review?format={form}"), &Value::Null).1;
    for form in ["md", "html"] {
        let text = read(form);
        assert!(text.contains("script") && text.contains("alert"), "it is shown: {text}");
        // In Markdown a backslash makes it text.
        let text = text.replace("\\<", "");
        assert!(!text.contains("<script") && !text.contains('\u{1b}') && !text.contains('\u{202e}'), "{form}: {text}");
    }
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mainstay"));
    command.args(["incident", "show", &id, "--url", &format!("http://{}", story.server.admin)]);
    let output = command.env_remove("MAINSTAY_TOKEN").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("alert(1)"), "{text}");
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
}

#[test]
fn a_flood_of_one_cause_is_one_incident_and_one_page() {
    let story = Story::new("flood", ROUTES, "");
    for batch in 0..10 {
        let alert = |n: u32| {
            json!({ "status": "firing", "startsAt": "2026-03-01T12:00:00Z",
                "labels": { "alertname": "HighLatency", "severity": "critical", "instance": format!("i{batch}-{n}") } })
        };
        let alerts: Vec<Value> = (0..100).map(alert).collect();
        let body = json!({ "version": "4", "groupKey": "{}/{}:{alertname=\"HighLatency\"}", "status": "firing", "receiver": "m", "alerts": alerts });
        assert_eq!(story.admin("POST", "/api/v1/alerts", &body)["alerts"], 100);
    }
    let all = story.get("/api/v1/incidents");
    assert_eq!(all["incidents"].as_array().unwrap().len(), 1, "{all:#}");
    let id = all["incidents"][0]["id"].as_str().unwrap().to_owned();
    story.until("the page", || (!story.receiver.of(&id, "page").is_empty()).then_some(()));
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(story.receiver.of(&id, "page").len(), 1);
    let it = story.get(&format!("/api/v1/incidents/{id}"));
    let held =
        it["incident"]["facts"].as_array().unwrap().len() as u64 + it["incident"]["more_facts"].as_u64().unwrap();
    assert_eq!(held, 1_000);
}

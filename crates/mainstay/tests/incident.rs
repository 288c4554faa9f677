//! The commands of incidents against an admin API that is a list of answers: what is asked of it, and how each command ends.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

/// Method, path, and body of a request.
type Asked = (String, String, Value);

/// What is answered: JSON, or something else.
struct Body(String);

impl From<Value> for Body {
    fn from(value: Value) -> Body {
        Body(value.to_string())
    }
}

impl From<&str> for Body {
    fn from(text: &str) -> Body {
        Body(text.to_owned())
    }
}

/// Answers requests, one connection each, as `answer` says; remembers them.
struct Stub {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Stub {
    fn start(answer: impl Fn(&str, &str) -> (u16, String) + Send + 'static) -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = read(&stream);
                let (status, body) = answer(&request.0, &request.1);
                told.lock().unwrap().push(request);
                let head =
                    format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).unwrap();
            }
        });
        Stub { url, asked }
    }

    /// The same answer to all.
    fn with(status: u16, body: impl Into<Body>) -> Stub {
        let Body(body) = body.into();
        Stub::start(move |_, _| (status, body.clone()))
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
        command.args(arguments).args(["--url", &self.url]).env_remove("MAINSTAY_TOKEN").output().unwrap()
    }

    fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn read(stream: &TcpStream) -> Asked {
    let mut reader = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        let lower = line.to_lowercase();
        length = lower.strip_prefix("content-length:").map_or(length, |it| it.trim().parse().unwrap());
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    (method, path, if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// An incident as far as a line about it needs it.
fn incident() -> Value {
    json!({ "id": "AI-1", "status": "investigating", "severity": "sev2", "type": "data_quality", "acknowledged_by": "ada" })
}

#[test]
fn each_command_asks_for_what_it_says() {
    let stub = Stub::with(200, json!({ "id": "s1", "incident": incident(), "incidents": [], "schedules": [] }));
    let cases: &[(&[&str], &str, &str, Value)] = &[
        (
            &["incident", "list", "--status", "OPEN", "--type", "a/b", "--severity", "SEV1", "--limit", "5"],
            "GET",
            "/api/v1/incidents?limit=5&status=open&type=a%2Fb&severity=sev1",
            Value::Null,
        ),
        (&["incident", "show", "AI-1"], "GET", "/api/v1/incidents/AI-1", Value::Null),
        (&["incident", "show", "../levels"], "GET", "/api/v1/incidents/..%2Flevels", Value::Null),
        (
            &["incident", "open", "late", "--route", "a", "--route", "b", "--onset", "2026-03-01T13:00:00+01:00"],
            "POST",
            "/api/v1/incidents",
            json!({ "title": "late", "routes": ["a", "b"], "onset": "2026-03-01T12:00:00Z" }),
        ),
        (&["incident", "ack", "AI-1"], "POST", "/api/v1/incidents/AI-1/ack", json!({})),
        (&["incident", "note", "AI-1", "it's"], "POST", "/api/v1/incidents/AI-1/notes", json!({ "text": "it's" })),
        (
            &["incident", "status", "AI-1", "resolved", "--severity", "sev3", "--reason", "over"],
            "POST",
            "/api/v1/incidents/AI-1/status",
            json!({ "status": "resolved", "severity": "sev3", "reason": "over" }),
        ),
        (
            &["incident", "status", "AI-1", "--into", "AI-2"],
            "POST",
            "/api/v1/incidents/AI-1/status",
            json!({ "into": "AI-2" }),
        ),
        (
            &["incident", "action", "AI-1", "pin_level", "--route", "r", "--level", "2", "--for", "30m"],
            "POST",
            "/api/v1/incidents/AI-1/actions",
            json!({ "action": "pin_level", "route": "r", "level": 2, "for": "30m" }),
        ),
        (
            &["incident", "action", "AI-1", "previous_model", "--model", "m"],
            "POST",
            "/api/v1/incidents/AI-1/actions",
            json!({ "action": "previous_model", "model": "m" }),
        ),
        (&["incident", "undo", "AI-1", "3"], "DELETE", "/api/v1/incidents/AI-1/actions/3", Value::Null),
        (
            &["incident", "write", "AI-1", "--root-cause", "x"],
            "PUT",
            "/api/v1/incidents/AI-1/review",
            json!({ "root_cause": "x" }),
        ),
        (&["incident", "metrics", "--window", "7d"], "GET", "/api/v1/incidents/metrics?window=7d", Value::Null),
        (
            &["incident", "silence", "--route", "r", "--for", "1h", "--reason", "works"],
            "POST",
            "/api/v1/silences",
            json!({ "route": "r", "for": "1h", "reason": "works" }),
        ),
        (&["incident", "silences"], "GET", "/api/v1/silences", Value::Null),
        (&["incident", "unsilence", "s1"], "DELETE", "/api/v1/silences/s1", Value::Null),
        (&["runbook"], "GET", "/api/v1/runbooks", Value::Null),
        (&["runbook", "data_quality"], "GET", "/api/v1/runbooks/data_quality", Value::Null),
        (
            &["oncall", "who", "--at", "2026-03-01T12:00:00Z"],
            "GET",
            "/api/v1/oncall?at=2026-03-01T12%3A00%3A00Z",
            Value::Null,
        ),
        (
            &["oncall", "schedule", "ml", "--until", "2026-03-01T12:00:00Z"],
            "GET",
            "/api/v1/oncall/ml?until=2026-03-01T12%3A00%3A00Z",
            Value::Null,
        ),
        (
            &["oncall", "override", "ml", "bob", "--from", "2026-03-01T12:00:00Z", "--until", "2026-03-02T12:00:00Z"],
            "POST",
            "/api/v1/overrides",
            json!({ "schedule": "ml", "person": "bob", "from": "2026-03-01T12:00:00Z", "until": "2026-03-02T12:00:00Z" }),
        ),
        (&["oncall", "overrides"], "GET", "/api/v1/overrides", Value::Null),
        (&["oncall", "unoverride", "o1"], "DELETE", "/api/v1/overrides/o1", Value::Null),
    ];
    for (arguments, method, path, body) in cases {
        let output = stub.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        let asked = stub.asked();
        assert_eq!(asked, [((*method).to_owned(), (*path).to_owned(), body.clone())], "{arguments:?}");
    }
}

#[test]
fn what_cannot_be_meant_is_asked_of_nobody() {
    let stub = Stub::with(200, json!({}));
    for wrong in [
        &["incident"][..],
        &["incident", "list", "--status", "closed"],
        &["incident", "list", "--severity", "sev5"],
        &["incident", "list", "--limit", "0"],
        &["incident", "open"],
        &["incident", "open", "late", "--onset", "yesterday"],
        &["incident", "note", "AI-1"],
        &["incident", "status", "AI-1"],
        &["incident", "status", "AI-1", "--reason", "why"],
        &["incident", "status", "AI-1", "detected"],
        &["incident", "status", "AI-1", "resolved", "--into", "AI-2"],
        &["incident", "action", "AI-1", "restart"],
        &["incident", "action", "AI-1", "pin_level", "--route", "r"],
        &["incident", "action", "AI-1", "pin_level", "--level", "2"],
        &["incident", "action", "AI-1", "pin_level", "--route", "r", "--level", "5"],
        &["incident", "action", "AI-1", "previous_model"],
        &["incident", "action", "AI-1", "block_pattern", "--route", "r"],
        &["incident", "undo", "AI-1", "first"],
        &["incident", "review", "AI-1", "--as", "pdf"],
        &["incident", "write", "AI-1"],
        &["incident", "write", "AI-1", "--item", "x"],
        &["incident", "write", "AI-1", "--owner", "ada"],
        &["incident", "write", "AI-1", "--item", "x", "--owner", "ada", "--due", "soon"],
        &["incident", "silence", "--for", "1h"],
        &["incident", "silence", "--reason", "r"],
        &["incident", "silence", "--reason", "r", "--for", "1h", "--until", "2026-03-01T12:00:00Z"],
        &["oncall", "override", "ml", "bob", "--from", "2026-03-01T12:00:00Z"],
        &["oncall", "who", "--at", "noon"],
    ] {
        let output = stub.run(wrong);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{wrong:?}: {output:?}");
    }
    assert_eq!(stub.asked(), []);
}

#[test]
fn data_is_on_stdout_and_talk_is_not() {
    let stub = Stub::with(201, json!({ "incident": incident(), "id": "s1", "until": "2026-03-01T12:00:00Z" }));
    let opened = stub.run(&["incident", "open", "late"]);
    assert_eq!(text(&opened.stdout), "AI-1\n");
    assert_eq!(text(&opened.stderr), "AI-1 is investigating: sev2 data_quality, taken by ada\n");
    let taken = stub.run(&["incident", "ack", "AI-1"]);
    assert_eq!((taken.stdout.len(), text(&taken.stderr).contains("taken by ada")), (0, true));
    let silenced = stub.run(&["incident", "silence", "--for", "1h", "--reason", "r"]);
    assert_eq!(text(&silenced.stdout), "s1\n");
    assert!(text(&silenced.stderr).contains("ANY incident until 2026-03-01 12:00:00"), "{silenced:?}");
    let json = stub.run(&["incident", "ack", "AI-1", "--format", "json"]);
    assert_eq!(serde_json::from_slice::<Value>(&json.stdout).unwrap()["incident"], incident());
}

#[test]
fn a_refusal_says_why_and_nothing_of_it_reaches_the_terminal() {
    let detail = "an incident that is closed\u{1b}[2J cannot become resolved";
    let stub = Stub::with(409, json!({ "type": "urn:mainstay:problem:conflict", "title": "t", "detail": detail }));
    for command in
        [&["incident", "status", "AI-1", "resolved"][..], &["incident", "review", "AI-1"], &["incident", "metrics"]]
    {
        let refused = stub.run(command);
        assert_eq!((refused.status.code(), refused.stdout.len()), (Some(2), 0), "{refused:?}");
        assert!(text(&refused.stderr).contains(r"closed\u{1b}[2J cannot become resolved"), "{refused:?}");
    }
    let gone = Stub::with(500, "<html>");
    assert_eq!(gone.run(&["incident", "list"]).status.code(), Some(3));
    assert_eq!(Stub::with(200, "<html>").run(&["incident", "list"]).status.code(), Some(3));
}

#[test]
fn a_review_is_shown_harmless_and_written_as_it_is() {
    let page = "# AI-1\n\n@\u{200b}ops wrote\u{1b}[31m\u{202e}\n";
    let stub = Stub::start(move |_, path| {
        (200, if path.ends_with("json") { json!({ "incident": "AI-1" }).to_string() } else { page.to_owned() })
    });
    let shown = stub.run(&["incident", "review", "AI-1"]);
    assert_eq!(text(&shown.stdout), "# AI-1\n\n@\u{200b}ops wrote\\u{1b}[31m\\u{202e}\n");
    let file = std::env::temp_dir().join(format!("mainstay-review-{}.html", std::process::id()));
    let name = file.to_str().unwrap();
    let written = stub.run(&["incident", "review", "AI-1", "--as", "html", "--output", name]);
    assert_eq!((written.status.code(), written.stdout.len()), (Some(0), 0), "{written:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), page);
    std::fs::remove_file(&file).unwrap();
    let json = stub.run(&["incident", "review", "AI-1", "--format", "json"]);
    assert_eq!(serde_json::from_slice::<Value>(&json.stdout).unwrap(), json!({ "incident": "AI-1" }));
    let forms: Vec<String> = stub.asked().into_iter().map(|(_, path, _)| path).collect();
    assert_eq!(forms, ["md", "html", "json"].map(|form| format!("/api/v1/incidents/AI-1/review?format={form}")));
    let nowhere = stub.run(&["incident", "review", "AI-1", "--output", "/nowhere/at/all"]);
    assert_eq!(nowhere.status.code(), Some(3), "{nowhere:?}");
}

#[test]
fn an_answer_without_end_is_not_read_to_its_end() {
    let stub = Stub::with(200, &*"x".repeat((16 << 20) + 1));
    let output = stub.run(&["incident", "review", "AI-1"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0));
}

#[test]
fn nobody_on_call_is_a_no() {
    let schedule = |now: Value| json!({ "schedules": [{ "name": "ml", "zone": "UTC", "now": now, "next": null }] });
    let nobody = Stub::with(200, schedule(Value::Null)).run(&["oncall", "who"]);
    assert_eq!((nobody.status.code(), text(&nobody.stdout).contains("NOBODY")), (Some(1), true));
    let somebody =
        schedule(json!({ "person": "ada", "from": "2026-03-01T12:00:00Z", "until": "2026-03-02T12:00:00Z" }));
    assert_eq!(Stub::with(200, somebody).run(&["oncall", "who", "--format", "json"]).status.code(), Some(0));
}

#[test]
fn all_schedules_are_asked_for_where_none_is_named() {
    let stub = Stub::start(|_, path| {
        let answer = match path {
            "/api/v1/oncall" => json!({ "schedules": [{ "name": "ml" }, { "name": "data ops" }] }),
            path => json!({ "schedule": path, "zone": "UTC", "shifts": [], "gaps": [] }),
        };
        (200, answer.to_string())
    });
    let shown = stub.run(&["oncall", "schedule", "--format", "json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["schedules"][1]["schedule"], "/api/v1/oncall/data%20ops");
}

#[test]
fn an_item_is_done_as_it_stands_in_the_review() {
    let item =
        json!({ "id": 2, "text": "t", "owner": "bob", "due": "2026-01-01", "purpose": "detect", "state": "open" });
    let known = json!({ "incident": { "id": "AI-1", "review": { "root_cause": "", "items": [item] } } }).to_string();
    let stub = Stub::start(move |_, _| (200, known.clone()));
    assert_eq!(stub.run(&["incident", "write", "AI-1", "--done", "2"]).status.code(), Some(0));
    let asked = stub.asked();
    let mut done = item.clone();
    done["state"] = json!("done");
    assert_eq!((asked[0].0.as_str(), asked[1].0.as_str(), &asked[1].2), ("GET", "PUT", &json!({ "items": [done] })));
    assert_eq!(stub.run(&["incident", "write", "AI-1", "--done", "1"]).status.code(), Some(2));
}

#[test]
fn status_shows_what_is_open_where_there_are_incidents() {
    let status = json!({ "service": "shop", "at": "now" }).to_string();
    for (code, body, shown) in [
        (200, json!({ "incidents": [incident()] }), Some(true)),
        (200, json!({ "incidents": [] }), Some(false)),
        (404, json!({ "detail": "nothing here" }), Some(false)),
        (503, json!({ "detail": "not now" }), Some(false)),
        (401, json!({ "detail": "who are you" }), None),
    ] {
        let status = status.clone();
        let stub = Stub::start(
            move |_, path| if path == "/api/v1/status" { (200, status.clone()) } else { (code, body.to_string()) },
        );
        let output = stub.run(&["status"]);
        match shown {
            Some(shown) => {
                assert_eq!((output.status.code(), text(&output.stdout).contains("AI-1")), (Some(0), shown), "{code}");
                assert_eq!(stub.asked()[1].1, "/api/v1/incidents?status=open");
            }
            None => assert_eq!(output.status.code(), Some(2), "{output:?}"),
        }
    }
}

//! The command line as its users meet it: the built binary, its streams and its exit codes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A directory that goes away, and commands run in it.
struct Bench(PathBuf);

impl Bench {
    fn new(name: &str) -> Bench {
        let path = std::env::temp_dir().join(format!("mainstay-cli-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Bench(path)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
        command.args(arguments).current_dir(&self.0).env_remove("MAINSTAY_TOKEN").env_remove("MAINSTAY_LOG");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A `mainstay serve` that is killed when the test fails.
struct Server {
    child: Child,
    listen: String,
    url: String,
}

impl Server {
    /// Starts `serve` on ports that the system picks.
    fn start(bench: &Bench) -> Server {
        let mut command = bench.command(&["serve", "--format", "json", "--log", "warn"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let Ok(ready) = serde_json::from_str::<Value>(&line) else {
            let _ = child.kill();
            let mut talk = String::new();
            child.stderr.take().unwrap().read_to_string(&mut talk).unwrap();
            panic!("not ready: {line:?}\n{talk}");
        };
        let listen = ready["listen"].as_str().unwrap().to_owned();
        Server { child, listen, url: format!("http://{}", ready["admin"].as_str().unwrap()) }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end; answers with the exit code and what was said on stderr.
    fn end(mut self) -> (Option<i32>, String) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "serve did not end");
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut talk = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut talk).unwrap();
        (self.child.wait().unwrap().code(), talk)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

/// Asks until the answer satisfies, as signals are handled when they are.
fn eventually(mut question: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !question() {
        assert!(Instant::now() < deadline, "it did not come to pass");
        std::thread::sleep(Duration::from_millis(20));
    }
}

const MINIMAL: &str = "\
service: small
listen: 127.0.0.1:0
admin: { listen: 127.0.0.1:0 }
routes:
  - name: echo
    path: /v1/echo
    deadline: 1s
    ladder:
      - { level: 4, respond: { body: { answer: one } } }
";

#[test]
fn check_shows_all_findings_and_says_no_with_two() {
    let bench = Bench::new("check");
    bench.write("good.yaml", MINIMAL);
    let good = bench.run(&["check", "good.yaml", "--format", "json"]);
    assert_eq!((good.status.code(), json(&good)["errors"].as_u64()), (Some(0), Some(0)), "{good:?}");

    bench.write("bad.yaml", &MINIMAL.replace("deadline: 1s", "deadline: 1").replace("service:", "servicee:"));
    let bad = bench.run(&["check", "bad.yaml"]);
    let shown = text(&bad.stdout);
    assert_eq!(bad.status.code(), Some(2));
    assert!(shown.contains("bad.yaml:1:1") && shown.contains("servicee") && shown.contains("deadline: 1"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "no colours off a terminal");

    let bad = json(&bench.run(&["check", "--config", "bad.yaml", "--format", "json"]));
    assert!(bad["errors"].as_u64().unwrap() >= 2, "{bad}");
    let code = bad["findings"][0]["code"].as_str().unwrap();
    let explained = bench.run(&["explain", code]);
    assert!(explained.status.success() && explained.stdout.len() > 40);

    assert_eq!(bench.run(&["check", "absent.yaml"]).status.code(), Some(2));
    assert_eq!(bench.run(&["explain", "E9999"]).status.code(), Some(2));
}

#[test]
fn wrong_usage_is_two_and_help_is_data() {
    let bench = Bench::new("usage");
    for wrong in
        [&["no-such-command"][..], &["level", "pin", "r", "5"], &["demo", "--duration", "1s"], &["--format", "xml"]]
    {
        let output = bench.run(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{wrong:?}");
    }
    let help = bench.run(&["--help"]);
    assert!(help.status.success() && help.stderr.is_empty());
    let promised = text(&help.stdout).lines().any(|line| line.trim_start().starts_with("top "));
    assert!(promised, "{}", text(&help.stdout));
    for shell in ["bash", "zsh", "fish"] {
        let script = text(&bench.run(&["completions", shell]).stdout);
        for word in ["mainstay", "top", "export", "grafana", "ready"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    for (typo, meant) in [
        (&["statsu"][..], "'status'"),
        (&["slo", "exprot"], "'export'"),
        (&["slo", "list", "--formt", "json"], "'--format'"),
    ] {
        let said = text(&bench.run(typo).stderr);
        assert!(said.contains("similar") && said.contains(meant), "{said}");
    }
    assert_eq!(json(&bench.run(&["schema", "config"]))["properties"]["service"]["type"], "string");
}

#[test]
fn the_version_names_the_commit_that_it_was_built_from() {
    let bench = Bench::new("version");
    let version = json(&bench.run(&["version", "--format", "json"]));
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    let from = match (version["commit"].as_str(), version["committed"].as_str()) {
        (Some(commit), Some(day)) => format!(" ({commit} {day})"),
        (Some(commit), None) => format!(" ({commit})"),
        (None, _) => String::new(),
    };
    let expected = format!("mainstay {}{from}\n", env!("CARGO_PKG_VERSION"));
    for words in [&["version"][..], &["--version"], &["-V"]] {
        assert_eq!(text(&bench.run(words).stdout), expected, "{words:?}");
    }
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    if option_env!("MAINSTAY_COMMIT").is_none() && PathBuf::from(root).join(".git").exists() {
        let head = Command::new("git").args(["-C", root, "show", "-s", "--abbrev=12", "--format=%h %cs"]).output();
        let head = head.ok().filter(|output| output.status.success()).map(|output| text(&output.stdout));
        assert_eq!(from.trim_matches([' ', '(', ')']), head.unwrap_or_default().trim());
    }
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let bench = Bench::new("pipe");
    let mut child = bench.command(&["schema", "config"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}

#[test]
fn nobody_at_the_other_end_is_three() {
    let bench = Bench::new("nobody");
    // A port that was just free and that nobody was given since.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    for command in [
        &["status"][..],
        &["status", "--ready"],
        &["slo", "list"],
        &["slo", "show", "s"],
        &["incident", "list"],
        &["incident", "ack", "AI-1"],
        &["incident", "metrics"],
        &["runbook"],
        &["oncall", "who"],
        &["level", "auto", "score"],
        &["level", "pin", "score", "2"],
    ] {
        let output = bench.run(&[command, &["--url", &url]].concat());
        assert_eq!(output.status.code(), Some(3), "{command:?}");
        assert!(text(&output.stderr).contains("mainstay serve"), "{output:?}");
    }
    assert_eq!(bench.run(&["status", "--url", "https://127.0.0.1"]).status.code(), Some(2));
}

#[test]
fn serve_refuses_what_cannot_run() {
    let bench = Bench::new("refuse");
    bench.write("mainstay.yaml", &MINIMAL.replace("routes:", "rutes:"));
    let refused = bench.run(&["serve"]);
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(2), 0));
    assert!(text(&refused.stderr).contains("rutes"));

    bench.write(
        "mainstay.yaml",
        &format!("{MINIMAL}clients: {{ shop: {{ key: env:MAINSTAY_TEST_ABSENT, max_class: 0 }} }}\n"),
    );
    let refused = bench.run(&["serve"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(text(&refused.stderr).contains("env:MAINSTAY_TEST_ABSENT is not set"), "{refused:?}");
}

#[test]
fn a_service_whose_admin_port_is_taken_says_why_and_ends() {
    let bench = Bench::new("taken");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    bench.write(
        "mainstay.yaml",
        &MINIMAL.replace("admin: { listen: 127.0.0.1:0 }", &format!("admin: {{ listen: '{address}' }}")),
    );
    let ended = bench.run(&["serve"]);
    let talk = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(3), "{talk}");
    assert!(talk.contains(&address) && talk.contains("in use"), "{talk}");
}

#[test]
fn the_starting_config_serves_is_pinned_reloaded_and_drained() {
    let bench = Bench::new("serve");
    assert!(bench.run(&["init"]).status.success());
    assert_eq!(bench.run(&["init"]).status.code(), Some(2), "an existing file is kept");
    assert!(bench.run(&["check"]).status.success());
    let ports_are_free =
        bench.read("mainstay.yaml").replace("127.0.0.1:8080", "127.0.0.1:0").replace("127.0.0.1:8090", "127.0.0.1:0");
    bench.write("mainstay.yaml", &ports_are_free);

    let server = Server::start(&bench);
    let ask = |arguments: &[&str]| bench.run(&[arguments, &["--url", &server.url]].concat());
    let status = json(&ask(&["status", "--format", "json"]));
    let route = status["routes"][0]["name"].as_str().unwrap().to_owned();
    assert!(text(&ask(&["status"]).stdout).contains(&route));
    assert_eq!(text(&ask(&["status", "--ready"]).stdout), "ready\n");
    assert_eq!(json(&ask(&["status", "--ready", "--format", "json"]))["ready"], true);

    assert!(ask(&["level", "pin", &route, "4", "--for", "30m", "--reason", "rehearsal"]).status.success());
    let pinned = json(&ask(&["status", "--format", "json"]));
    assert_eq!(pinned["routes"][0]["level"], 4);
    assert_eq!(pinned["routes"][0]["pin"]["reason"], "rehearsal");
    assert!(ask(&["level", "auto", &route]).status.success());
    eventually(|| json(&ask(&["status", "--format", "json"]))["routes"][0]["pin"].is_null());
    assert_eq!(ask(&["level", "pin", "no-such-route", "1"]).status.code(), Some(2));
    assert_eq!(ask(&["level", "pin", &route, "1", "--for", "soon"]).status.code(), Some(2));

    server.signal("TERM");
    let (code, talk) = server.end();
    assert_eq!(code, Some(0), "{talk}");
}

#[test]
fn a_good_file_is_taken_over_and_a_bad_one_changes_nothing() {
    let bench = Bench::new("reload");
    bench.write("mainstay.yaml", MINIMAL);
    let server = Server::start(&bench);
    let answer = || post(&server.listen, "/v1/echo");
    assert!(answer().contains("one"), "{}", answer());

    bench.write("mainstay.yaml", &MINIMAL.replace("answer: one", "answer: two"));
    server.signal("HUP");
    eventually(|| answer().contains("two"));

    bench.write("mainstay.yaml", "service: [");
    server.signal("HUP");
    let url = format!("{}/api/v1/config/reload", server.url.trim_start_matches("http://"));
    let (host, path) = url.split_once('/').unwrap();
    let refused = post(host, &format!("/{path}"));
    assert!(refused.starts_with("HTTP/1.1 422") && refused.contains("E0101"), "{refused}");
    assert!(answer().contains("two"));

    server.signal("INT");
    let (code, talk) = server.end();
    assert_eq!(code, Some(0), "{talk}");
    assert!(talk.contains("the one in force stays"), "{talk}");
}

/// One POST of an empty JSON object; the whole answer as text.
fn post(address: &str, path: &str) -> String {
    send(address, path, "application/json", "{}")
}

#[test]
fn each_kind_of_system_starts_with_a_config_that_is_right_and_its_data() {
    for system in ["recommendation", "search-ranking", "content-moderation", "llm-chat", "fraud-detection"] {
        let bench = Bench::new(system);
        let written = json(&bench.run(&["init", "--system", system, "--format", "json"]));
        let data = written["data"].as_array().unwrap();
        assert!(!data.is_empty(), "{written}");
        assert!(data.iter().all(|path| !bench.read(path.as_str().unwrap()).is_empty()));
        let checked = bench.run(&["check"]);
        assert!(checked.status.success() && text(&checked.stdout).contains("nothing found"), "{system}: {checked:?}");
        let again = bench.run(&["init", "--system", system]);
        assert_eq!(again.status.code(), Some(2), "existing files are kept");
        assert!(bench.run(&["init", "--system", system, "--force"]).status.success());
    }
    let unknown = Bench::new("init-unknown").run(&["init", "--system", "weather"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("fraud-detection"), "{unknown:?}");
}

/// What was told to be held is there after the process was killed, and can be decided.
#[test]
fn held_requests_survive_a_kill() {
    let bench = Bench::new("reviews");
    bench.write(
        "mainstay.yaml",
        "service: s\nlisten: 127.0.0.1:0\nadmin: { listen: '127.0.0.1:0' }\nstore: sqlite:mainstay.db\nroutes:\n  - name: r\n    \
         path: /v1/echo\n    deadline: 5s\n    ladder:\n      - { level: 4, queue: { name: risk, respond: { body: { held: { column: id } } }, \
         otherwise: { body: { held: none } } } }\nslos:\n  - freshness: { reviews: 1h, queues: { risk: 1ms } }\n",
    );
    let server = Server::start(&bench);
    let mut held = Vec::new();
    for _ in 0..20 {
        let answer = post(&server.listen, "/v1/echo");
        held.push(answer[answer.rfind('{').unwrap()..].to_owned());
    }
    assert_eq!(held[0], r#"{"held":"risk-1"}"#);
    server.signal("KILL");
    drop(server.end());

    let server = Server::start(&bench);
    let ask = |arguments: &[&str]| bench.run(&[arguments, &["--url", &server.url, "--format", "json"]].concat());
    let list = ask(&["review", "list", "--state", "waiting"]);
    let list: Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!(list["reviews"].as_array().unwrap().len(), held.iter().filter(|told| !told.contains("none")).count());
    let claimed = ask(&["review", "claim", "--by", "ana"]);
    assert_eq!((&json(&claimed)["id"], &json(&claimed)["state"]), (&1.into(), &"claimed".into()));
    assert!(ask(&["review", "decide", "1", "allow", "--by", "ana"]).status.success());
    assert!(!ask(&["review", "decide", "1", "block", "--by", "bo"]).status.success());
    // They wait for longer than a millisecond and for less than an hour.
    let deadline = Instant::now() + Duration::from_secs(30);
    let shown = |slo: &str| json(&ask(&["slo", "show", slo]));
    while shown("s_review_age_risk")["bad"].as_u64().unwrap() == 0 {
        assert!(Instant::now() < deadline, "nobody counts how long they wait");
        std::thread::sleep(Duration::from_millis(50));
    }
    let patient = shown("s_review_age");
    assert!(patient["good"].as_u64().unwrap() > 0 && patient["bad"] == 0, "{patient}");
    server.signal("KILL");
    drop(server.end());

    let server = Server::start(&bench);
    let decided = bench.run(&["review", "list", "--state", "decided", "--url", &server.url, "--format", "json"]);
    let decided: Value = serde_json::from_slice(&decided.stdout).unwrap();
    assert_eq!((&decided["reviews"][0]["id"], &decided["reviews"][0]["decision"]), (&1.into(), &"allow".into()));
    server.signal("TERM");
    assert_eq!(server.end().0, Some(0));
}

/// A file that may not grow, as a disk that is full: what was told to be held is held, what comes on top is answered otherwise,
/// counted and shown; when there is room again the queue holds again.
#[test]
fn a_queue_whose_disk_is_full_says_so_and_recovers() {
    let bench = Bench::new("full-queue");
    bench.write(
        "mainstay.yaml",
        "service: s\nlisten: 127.0.0.1:0\nadmin: { listen: '127.0.0.1:0' }\nstore: sqlite:mainstay.db\nroutes:\n  - name: r\n    \
         path: /v1/echo\n    deadline: 5s\n    ladder:\n      - { level: 4, queue: { name: risk, respond: { body: { held: { column: id } } }, \
         otherwise: { body: { held: none } } } }\n",
    );
    let server = Server::start(&bench);
    let limit = |bytes: &str| {
        let mut set = Command::new("prlimit");
        set.args(["--pid", &server.child.id().to_string(), &format!("--fsize={bytes}")]);
        assert!(set.status().unwrap().success());
    };
    let post = |length: usize| {
        let answer = send(&server.listen, "/v1/echo", "text/plain", &"x".repeat(length));
        answer[answer.rfind('{').unwrap()..].to_owned()
    };
    let ask = |arguments: &[&str]| json(&bench.run(&[arguments, &["--url", &server.url, "--format", "json"]].concat()));
    assert_eq!(post(100_000), r#"{"held":"risk-1"}"#);
    limit("150000:unlimited");
    assert_eq!(post(100_000), r#"{"held":"none"}"#);
    let status = ask(&["status"]);
    let queue = &status["queues"][0];
    assert_eq!((&queue["open"], &queue["is_broken"]), (&1.into(), &true.into()), "{queue}");
    eventually(|| ask(&["status"])["routes"][0]["entries"][0]["failures"]["queue_disk_error"] == 1);
    let shown = text(&bench.run(&["status", "--url", &server.url]).stdout);
    assert!(shown.contains("cannot be written"), "{shown}");
    limit("unlimited:unlimited");
    assert_eq!(ask(&["review", "list"])["reviews"].as_array().unwrap().len(), 1);
    let held = post(100_000);
    assert!(held.contains("risk-"), "{held}");
    assert_eq!(ask(&["status"])["queues"][0]["is_broken"], false);
    server.signal("KILL");
    drop(server.end());
    let server = Server::start(&bench);
    let listed = bench.run(&["review", "list", "--url", &server.url, "--format", "json"]);
    assert_eq!(json(&listed)["reviews"].as_array().unwrap().len(), 2, "{listed:?}");
    server.signal("TERM");
    assert_eq!(server.end().0, Some(0));
}

/// OpenSLO in, in force at once and after a kill; what fits no more is left out and comes back with the config that it fits.
#[test]
fn imported_objectives_and_added_maintenance_survive_a_kill() {
    let bench = Bench::new("import");
    bench.write("mainstay.yaml", WITH_SLOS);
    let server = Server::start(&bench);
    let run = |url: &str, arguments: &[&str]| bench.run(&[arguments, &["--url", url, "--format", "json"]].concat());
    let exported = bench.run(&["slo", "export", "--openslo"]);
    let documents =
        text(&exported.stdout).replace("small-availability", "imported").replace("small_availability", "imported");
    let mine =
        documents.split("---\n").filter(|document| document.contains("imported")).collect::<Vec<_>>().join("---\n");
    assert!(mine.contains("kind: SLO"), "{documents}");
    bench.write("mine.yaml", &mine);

    bench.write("bad.yaml", &mine.replace("openslo/v1", "openslo/v9"));
    let bad = run(&server.url, &["slo", "import", "bad.yaml"]);
    assert!(bad.status.code() == Some(2) && text(&bad.stderr).contains("line "), "{bad:?}");
    bench.write("twice.yaml", &mine.replace("imported", "maintained"));
    let twice = run(&server.url, &["slo", "import", "twice.yaml"]);
    assert!(text(&twice.stderr).contains("`maintained` is in the config"), "{twice:?}");
    let admin = server.url.trim_start_matches("http://").to_owned();
    let dry = send(&admin, "/api/v1/slos/import?dry_run=true", "application/yaml", &mine);
    assert!(dry.starts_with("HTTP/1.1 200") && dry.contains(r#""applied":false"#), "{dry}");
    assert_eq!(run(&server.url, &["slo", "show", "imported"]).status.code(), Some(2), "nothing is in force yet");

    assert_eq!(json(&run(&server.url, &["slo", "import", "mine.yaml"]))["objectives"], serde_json::json!(["imported"]));
    eventually(|| run(&server.url, &["slo", "show", "imported"]).status.success());
    for n in 0..10 {
        post(&server.listen, "/v1/echo");
        let event = format!(r#"{{"type":"request","id":"{n}","code":200}}"#);
        assert!(send(&admin, "/api/v1/events", "application/json", &event).starts_with("HTTP/1.1 202"));
    }
    let total = |url: &str| json(&run(url, &["slo", "show", "imported"]))["total"].as_u64().unwrap();
    eventually(|| total(&server.url) == 20);
    let all = [
        [
            "slo",
            "maintenance",
            "add",
            "nights",
            "--from",
            "00:00",
            "--length",
            "24h",
            "--slo",
            "imported",
            "--reason",
            "test",
        ]
        .as_slice(),
        &[
            "slo",
            "correction",
            "add",
            "c",
            "--from",
            "2026-01-01T00:00:00Z",
            "--to",
            "2026-01-02T00:00:00Z",
            "--reason",
            "test",
        ],
    ];
    for add in all {
        assert!(run(&server.url, add).status.success(), "{add:?}");
    }
    assert_eq!(total(&server.url), 0, "it is in maintenance all day");
    let wrong = ["slo", "maintenance", "add", "mornings", "--from", "00:00", "--length", "1h", "--reason", "test"];
    assert!(text(&run(&server.url, &wrong).stderr).contains("in the config"));
    let wrong = ["slo", "maintenance", "add", "x", "--from", "25:00", "--length", "1h", "--reason", "test"];
    assert!(text(&run(&server.url, &wrong).stderr).contains("02:30"));
    server.signal("KILL");
    drop(server.end());

    let server = Server::start(&bench);
    assert_eq!(total(&server.url), 0, "maintenance goes on");
    let listed = json(&run(&server.url, &["slo", "maintenance", "list"]));
    let names: Vec<&str> =
        listed["maintenance"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["mornings", "evenings", "nights"], "{listed}");
    assert!(run(&server.url, &["slo", "maintenance", "end", "nights"]).status.success());
    assert_eq!(run(&server.url, &["slo", "maintenance", "end", "nights"]).status.code(), Some(2));
    assert!(run(&server.url, &["slo", "correction", "remove", "c"]).status.success());
    assert!(total(&server.url) >= 10, "what was acknowledged counts again");

    // A config that has one of the same name: its own is in force, until it goes.
    let own = WITH_SLOS.replace("name: maintained", "name: imported").replace("[maintained]", "[imported]");
    bench.write("mainstay.yaml", &own);
    server.signal("HUP");
    eventually(|| json(&run(&server.url, &["slo", "list"]))["slos"].as_array().unwrap().len() == 3);
    bench.write("mainstay.yaml", WITH_SLOS);
    server.signal("HUP");
    eventually(|| json(&run(&server.url, &["slo", "list"]))["slos"].as_array().unwrap().len() == 4);
    let out = send_get(server.url.trim_start_matches("http://"), "/api/v1/slos/export?format=prometheus");
    assert!(out.contains("sloth_slo: imported") || out.contains("imported"), "{out}");

    bench.write("none.yaml", "");
    assert!(run(&server.url, &["slo", "import", "none.yaml"]).status.success());
    eventually(|| run(&server.url, &["slo", "show", "imported"]).status.code() == Some(2));
    server.signal("TERM");
    assert_eq!(server.end().0, Some(0));
}

/// Objectives over what services report.
const WITH_SLOS: &str = "\
service: small
listen: 127.0.0.1:0
admin: { listen: 127.0.0.1:0 }
store: sqlite:mainstay.db
routes:
  - name: echo
    path: /v1/echo
    deadline: 1s
    ladder:
      - { level: 4, respond: { body: { answer: one } } }
slos:
  - availability: { target: 99.9% }
  - availability: { name: maintained, target: 99.9% }
  - safety: { max_rate: 0.01 }
maintenance:
  mornings: { from: 00:00, length: 12h, objectives: [maintained] }
  evenings: { from: 12:00, length: 12h, objectives: [maintained] }
";

/// A spent budget is a no; what a correction leaves out is out, after a kill as well.
#[test]
fn budgets_are_shown_and_a_correction_survives_a_kill() {
    let bench = Bench::new("slo");
    bench.write("mainstay.yaml", WITH_SLOS);
    let server = Server::start(&bench);
    let empty = bench.run(&["slo", "list", "--url", &server.url]);
    assert!(empty.status.success() && text(&empty.stdout).contains("no_data"), "{empty:?}");
    let events: Vec<String> = (0..100)
        .map(|id| format!(r#"{{"type":"request","id":"r{id}","code":{}}}"#, if id < 10 { 500 } else { 200 }))
        .collect();
    let admin = server.url.trim_start_matches("http://");
    let taken = send(admin, "/api/v1/events", "application/x-ndjson", &events.join("\n"));
    assert!(taken.starts_with("HTTP/1.1 202"), "{taken}");

    let list = bench.run(&["slo", "list", "--url", &server.url]);
    assert_eq!(list.status.code(), Some(1), "{list:?}");
    for part in ["small_availability", "exhausted", "90.000 %", "at 95 %"] {
        assert!(text(&list.stdout).contains(part), "{part} in {list:?}");
    }
    let show = bench.run(&["slo", "show", "small_availability", "--url", &server.url, "--format", "json"]);
    assert_eq!((show.status.code(), &json(&show)["bad"]), (Some(1), &10.into()), "{show:?}");
    let maintained = json(&bench.run(&["slo", "show", "maintained", "--url", &server.url, "--format", "json"]));
    assert_eq!(maintained["total"], 0, "it is always in maintenance");
    let page = text(&bench.run(&["slo", "show", "small_safety", "--url", &server.url]).stdout);
    assert!(page.contains("claim") && page.contains("bad of 90"), "{page}");
    let status = text(&bench.run(&["status", "--url", &server.url]).stdout);
    assert!(status.contains("small_availability") && status.contains("budget left"), "{status}");
    assert_eq!(bench.run(&["slo", "show", "absent", "--url", &server.url]).status.code(), Some(2));

    let (from, to) = day(&json(&bench.run(&["status", "--url", &server.url, "--format", "json"])));
    let correction =
        format!(r#"{{"id":"c1","from":"{from}","to":"{to}","slos":["small_availability"],"reason":"a test"}}"#);
    let corrected = send(admin, "/api/v1/corrections", "application/json", &correction);
    assert!(corrected.starts_with("HTTP/1.1 200"), "{corrected}");
    let is_corrected = |url: &str| {
        let show = bench.run(&["slo", "show", "small_availability", "--url", url, "--format", "json"]);
        assert_eq!((show.status.code(), &json(&show)["total"]), (Some(0), &0.into()), "{show:?}");
        let safety = json(&bench.run(&["slo", "show", "small_safety", "--url", url, "--format", "json"]));
        assert_eq!(safety["total"], 90, "it is about the other objective");
    };
    is_corrected(&server.url);
    server.signal("KILL");
    drop(server.end());
    let server = Server::start(&bench);
    is_corrected(&server.url);
    server.signal("TERM");
    assert_eq!(server.end().0, Some(0));
}

/// The day before and the day after what a status says is now, as bounds.
fn day(status: &Value) -> (String, String) {
    let now: jiff::Timestamp = status["at"].as_str().unwrap().parse().unwrap();
    let day = jiff::SignedDuration::from_hours(24);
    ((now - day).to_string(), (now + day).to_string())
}

/// One POST; the whole answer as text.
fn send_get(address: &str, path: &str) -> String {
    use std::io::Write as _;
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn send(address: &str, path: &str, media: &str, body: &str) -> String {
    use std::io::Write as _;
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: {media}\r\ncontent-length: {}", body.len());
    write!(stream, "{head}\r\nconnection: close\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn train_says_only_transitions_where_no_terminal_is_and_leaves_numbers_to_scrape() {
    let bench = Bench::new("train");
    let script = "for s in 1 2 3; do echo \"mstp/1 {\\\"type\\\":\\\"progress\\\",\\\"step\\\":$s,\\\"total\\\":3}\"; sleep 0.3; done";
    let ran = bench.run(&["train", "--name", "x", "--limit", "files=64", "--", "sh", "-c", script]);
    let (said, told) = (String::from_utf8(ran.stderr).unwrap(), String::from_utf8(ran.stdout).unwrap());
    assert!(ran.status.success(), "{said}{told}");
    assert_eq!(said, "files: enforced by rlimit\n", "no line of progress");
    assert!(told.starts_with("x: succeeded\n  step 3, 1 attempts"), "{told}");
    assert!(bench.read("checkpoints/metrics.prom").contains("mainstay_training_progress_ratio{name=\"x\""));
    let wrong = bench.run(&["train", "--deadline", "tomorrow", "--", "true"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("2030-01-31T06:00:00Z"));
}

#[test]
fn drills_are_run_judged_and_refused_with_a_place() {
    let bench = Bench::new("simulate");
    let drill = |name: &str| format!("{}/../../docs/drills/{name}.md", env!("CARGO_MANIFEST_DIR"));
    let (calm, plot) = (drill("d1-all-hang"), bench.0.join("plot.html"));
    let ran = bench.run(&["simulate", &calm, "--plot", plot.to_str().unwrap()]);
    assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
    assert!(text(&ran.stdout).contains("backend model hangs"), "{}", text(&ran.stdout));
    assert!(bench.read("plot.html").contains("<svg"));
    let again = bench.run(&["simulate", &calm]);
    assert_eq!(text(&ran.stdout), text(&again.stdout), "two processes tell the same");
    let strict = std::fs::read_to_string(&calm).unwrap().replace("degraded > 0", "degraded == 0");
    bench.write("strict.md", &strict);
    let failed = bench.run(&["simulate", "strict.md", "--seeds", "2"]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(text(&failed.stdout).contains("seed 1 + commit"), "{}", text(&failed.stdout));
    bench.write("wrong.md", &strict.replace("backend: small, hang", "backend: smal, hang"));
    let wrong = bench.run(&["simulate", "wrong.md"]);
    assert_eq!(wrong.status.code(), Some(2));
    let said = text(&wrong.stderr);
    assert!(said.contains("there is no backend `smal`") && said.contains("did you mean `small`"), "{said}");
}

#[test]
fn faults_of_a_feature_store_are_rehearsed_for_a_part_of_the_requests() {
    let bench = Bench::new("rehearse-features");
    assert!(bench.run(&["init", "--system", "fraud-detection"]).status.success());
    let day = |fault: &str| {
        let day = format!(
            "name: store
steps:
  - experiment: {{ name: store, hypothesis: h, route: score, fault: {fault}, blast: full, cohort: {{ share: 50% }}, duration: 1m, lead_in: 10s, recovery: 30s }}
    criteria: [{{ name: all answered, holds: 'unanswered == 0' }}]
"
        );
        bench.write("store.yaml", &day);
        let ran =
            bench.run(&["gameday", "rehearse", "store.yaml", "--rate", "50/s", "--age", "1h", "--format", "json"]);
        assert_eq!(ran.status.code(), Some(0), "{}{}", text(&ran.stdout), text(&ran.stderr));
        let told: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
        told["steps"][0].clone()
    };
    let injected = |step: &serde_json::Value| step["facts"]["injected"].as_u64().unwrap_or_else(|| panic!("{step:#}"));
    // A store that is gone for half of the requests: its breaker opens, the last known values answer.
    let gone = day("{ feature_error: {} }");
    assert!(gone["facts"]["breaker_opened"] == true && injected(&gone) > 0, "{gone:#}");
    assert!(gone["transcript"].to_string().contains("features card: breaker closed -> open"), "{gone:#}");
    // The store's timeout is 50 ms: what comes later is not waited for, and the arm is answered one level below. What comes sooner is waited
    // for, and takes from the model's time.
    let levels =
        |step: &serde_json::Value| -> Vec<u64> { serde_json::from_value(step["facts"]["levels"].clone()).unwrap() };
    let (late, later) = (day("{ feature_latency: { fixed: 40ms } }"), day("{ feature_latency: { fixed: 100ms } }"));
    assert!(levels(&late)[0] > 1_000 && late["facts"]["breaker_opened"] == false, "{late:#}");
    assert!(levels(&later)[0] < 10 && levels(&later)[1] > 1_000, "{later:#}");
    assert!(later["facts"]["breaker_opened"] == true, "{later:#}");
    // Older than a day, or not there with a default for each: the answers are worse and come.
    for fault in ["{ stale_features: { age: 2d } }", "{ data_quality: { change: missing } }"] {
        let step = day(fault);
        assert!(injected(&step) > 100, "{step:#}");
        assert_eq!(step["facts"]["breaker_opened"], false, "{step:#}");
    }
}

#[test]
fn a_game_day_is_rehearsed_in_virtual_time_as_far_as_that_goes() {
    let bench = Bench::new("rehearse");
    let config = "service: web
environment: demo
listen: 127.0.0.1:0
admin: { listen: '127.0.0.1:0' }
backends: { model: { url: 'http://10.0.0.1:9001', protocol: http } }
routes:
  - { name: score, path: /score, deadline: 500ms, ladder: [{ level: 0, backend: model }, { level: 4, respond: { body: {} } }] }
";
    bench.write("mainstay.yaml", config);
    let day = |fault: &str, share: &str| {
        format!(
            "name: outage
steps:
  - experiment: {{ name: broken, hypothesis: h, route: score, fault: {fault}, blast: full, cohort: {{ share: {share} }}, duration: 1m, lead_in: 10s, recovery: 30s }}
    criteria:
      - {{ name: all answered, holds: 'unanswered == 0' }}
      - {{ name: seen soon, holds: 'detected_s < 5.0' }}
      - {{ name: the control is spared, holds: 'control_p99_s < 0.3' }}
      - {{ name: somebody comes, holds: 'paged_s < 60.0' }}
criteria:
  - {{ name: nobody is left, holds: 'unanswered_class[0] == 0 && experiment.broken.injected > 0' }}
"
        )
    };
    bench.write("day.yaml", &day("{ model_error: {} }", "50%"));
    let ran = bench.run(&["gameday", "rehearse", "day.yaml", "--rate", "0.3x", "--format", "json"]);
    assert_eq!(ran.status.code(), Some(0), "{}{}", text(&ran.stdout), text(&ran.stderr));
    let told: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    let held = |results: &serde_json::Value| {
        results.as_array().unwrap().iter().map(|it| it["held"].as_bool()).collect::<Vec<_>>()
    };
    let step = &told["steps"][0];
    assert_eq!(held(&step["results"]), [Some(true), Some(true), Some(true), None], "{told:#}");
    assert_eq!(held(&told["results"]), [Some(true)], "{told:#}");
    assert!(step["facts"]["breaker_opened"].as_bool().unwrap() && step["facts"]["max_level"] == 4, "{told:#}");
    let again = bench.run(&["gameday", "rehearse", "day.yaml", "--rate", "0.3x", "--format", "json"]);
    assert_eq!(text(&ran.stdout), text(&again.stdout), "two processes tell the same");

    // A delay beyond the deadline is seen by those who meet it; a level below is no error.
    bench.write("late.yaml", &day("{ model_latency: { fixed: 200ms } }", "50%"));
    let ran = bench.run(&["gameday", "rehearse", "late.yaml", "--rate", "0.3x", "--format", "json"]);
    let told: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    let facts = &told["steps"][0]["facts"];
    let (arm, control) = (facts["p99_s"].as_f64().unwrap(), facts["control_p99_s"].as_f64().unwrap());
    assert!(arm > 0.2 && arm < 0.5 && control < 0.2, "{told:#}");

    // Load that the ladder takes without a level below is seen by nobody. It has no arms, and nothing is said of them.
    bench.write("load.yaml", &day("{ overload: { factor: 10 } }", "100%"));
    let ran = bench.run(&["gameday", "rehearse", "load.yaml", "--format", "json"]);
    assert_eq!(ran.status.code(), Some(1), "{}", text(&ran.stdout));
    let told: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(held(&told["steps"][0]["results"]), [Some(true), Some(false), None, None], "{told:#}");

    // What virtual time does not have is said, and nothing is claimed of it.
    bench.write("version.yaml", &day("{ model_error: { status: 404 } }", "50%"));
    let ran = bench.run(&["gameday", "rehearse", "version.yaml"]);
    assert!(text(&ran.stdout).contains("not rehearsed: in virtual time"), "{}", text(&ran.stdout));
    assert_eq!(ran.status.code(), Some(0));
    bench.write("wrong.yaml", &day("{ model_error: {} }", "50%").replace("route: score", "route: scor"));
    let wrong = bench.run(&["gameday", "rehearse", "wrong.yaml"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("scor"), "{}", text(&wrong.stderr));
    let wrong = bench.run(&["gameday", "rehearse", "day.yaml", "--rate", "fast"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("0.5x"), "{}", text(&wrong.stderr));
}

//! `mainstay top` in a real terminal: a pseudo-terminal of the system, its own screen read from what was written to it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod terminal;

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use terminal::Terminal;

/// A directory that goes away.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let path = std::env::temp_dir().join(format!("mainstay-top-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Place(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running mainstay.
struct Server(Child);

impl Server {
    /// Starts it with its admin API at this address; says where that is.
    fn start(place: &Place, admin: &str) -> (Server, String) {
        let config = format!(
            "service: shop\nlisten: 127.0.0.1:0\nadmin: {{ listen: '{admin}' }}\nstore: sqlite:mainstay.db\nroutes:\n  \
             - {{ name: score-of-fraud, path: /score, deadline: 1s, ladder: [{{ level: 4, respond: {{ body: {{ a: 1 }} }} }}] }}\nslos:\n  \
             - availability: {{ target: 99.9%, name: mostly-there }}\n"
        );
        std::fs::write(place.0.join("mainstay.yaml"), config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
        command.args(["serve", "--format", "json", "--log", "warn"]).current_dir(&place.0);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        let admin = ready["admin"].as_str().unwrap().to_owned();
        (Server(child), admin)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_shows_a_service_through_resizes_and_losses_and_gives_the_terminal_back() {
    let place = Place::new("shows");
    let (server, admin) = Server::start(&place, "127.0.0.1:0");
    let mut terminal = Terminal::start(&["top", "--url", &format!("http://{admin}")], &[], (80, 24));
    terminal.wait_for("score-of-fraud");
    let screen = terminal.wait_for("mostly-there");
    assert!(screen.contains("shop") && screen.contains("4 static_fallback"), "{screen}");
    assert!(screen.contains("no incident is open"), "{screen}");

    terminal.resize((170, 40));
    let screen = terminal.wait_for("promise");
    assert!(screen.contains("score-of-fraud"), "{screen}");
    terminal.resize((30, 7));
    terminal
        .wait_until("only one table is left", |screen| screen.contains("score-of-f") && !screen.contains("incident"));
    terminal.resize((100, 30));
    terminal.wait_for("mostly-there");

    terminal.press(b"\r");
    let screen = terminal.wait_for("served by level");
    assert!(screen.contains("/score"), "{screen}");
    // Escape, and the keys of another table.
    terminal.press(b"\x1b");
    terminal.wait_for("no incident is open");
    terminal.press(b"?");
    terminal.wait_for("Ctrl-C");
    terminal.press(b"?p");
    terminal.wait_for("[PAUSED]");
    terminal.press(b"p");
    terminal.wait_until("it goes on", |screen| !screen.contains("[PAUSED]"));

    drop(server);
    let screen = terminal.wait_for("LOST since");
    assert!(screen.contains("score-of-fraud"), "the last that was known stays: {screen}");
    let (_server, _) = Server::start(&place, &admin);
    terminal.wait_until("it is found again", |screen| !screen.contains("LOST since"));

    terminal.press(b"q");
    assert_eq!(terminal.end(), Some(0));
    terminal.assert_given_back();
}

#[test]
fn a_signal_ends_it_as_the_key_does() {
    let place = Place::new("signals");
    let (_server, admin) = Server::start(&place, "127.0.0.1:0");
    for (signal, colours) in [("TERM", None), ("INT", Some(("NO_COLOR", "1")))] {
        let mut terminal = Terminal::start(&["top", "--url", &format!("http://{admin}")], colours.as_slice(), (80, 24));
        terminal.wait_for("score-of-fraud");
        terminal.signal(signal);
        assert_eq!(terminal.end(), Some(0), "{signal}");
        terminal.assert_given_back();
        assert_eq!(terminal.has_colours(), colours.is_none(), "{signal}");
    }
}

#[test]
fn a_service_that_hangs_is_lost_and_keeps_nobody_waiting() {
    let place = Place::new("hangs");
    let (server, admin) = Server::start(&place, "127.0.0.1:0");
    let mut terminal = Terminal::start(&["top", "--url", &format!("http://{admin}")], &[], (120, 24));
    terminal.wait_for("score-of-fraud");
    let signal = |name: &str| {
        let sent = Command::new("kill").args([name, &server.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
    };
    signal("-STOP");
    let screen = terminal.wait_for("LOST since");
    assert!(screen.contains("no answer within 10 s"), "{screen}");
    signal("-CONT");
    terminal.wait_until("it is found again", |screen| !screen.contains("LOST since"));
    signal("-STOP");
    terminal.press(b"q");
    assert_eq!(terminal.end(), Some(0));
    terminal.assert_given_back();
}

/// `top --format json`, and what it writes.
fn written(admin: &str) -> (Server, impl Iterator<Item = Value>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
    command.args(["top", "--format", "json", "--url", &format!("http://{admin}")]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (Server(child), lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()))
}

#[test]
fn a_program_reads_a_line_for_each_look_through_losses_until_it_has_enough() {
    let place = Place::new("lines");
    let (server, admin) = Server::start(&place, "127.0.0.1:0");
    let (mut top, mut lines) = written(&admin);
    let first = lines.next().unwrap();
    assert_eq!((&first["schema"], &first["status"]["service"]), (&Value::from(1), &Value::from("shop")));
    assert_eq!(first["status"]["routes"][0]["level"], 4);
    assert_eq!(first["slos"][0]["name"], "mostly-there");
    assert_eq!(first["incidents"], serde_json::json!([]));
    assert_eq!(first["traffic"][0]["route"], "score-of-fraud");
    let second = lines.next().unwrap();
    assert_eq!(second["traffic"][0]["requests_per_second"], serde_json::json!([0.0, 0.0, 0.0, 0.0]));

    drop(server);
    let lost = lines.find(|line| line["lost"].is_string()).unwrap();
    assert!(lost["status"].is_null() && lost["at"].is_string(), "{lost}");
    let (_server, _) = Server::start(&place, &admin);
    assert!(lines.any(|line| line["status"]["service"] == "shop"));

    let sent = Command::new("kill").args(["-INT", &top.0.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert_eq!(lines.filter(|line| line["schema"] != 1).count(), 0, "whole lines to the end");
    assert_eq!(top.0.wait().unwrap().code(), Some(0));

    // Whoever reads one line has a snapshot.
    let (mut top, mut lines) = written(&admin);
    assert!(lines.next().unwrap()["status"].is_object());
    drop(lines);
    assert_eq!(top.0.wait().unwrap().code(), Some(0));
}

#[test]
fn what_is_no_screen_is_refused_with_a_hint() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_mainstay")).args(arguments).output().unwrap();
        (output.status.code(), output.stdout.len(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, data, said) = run(&["top"]);
    assert_eq!((code, data), (Some(2), 0), "{said}");
    assert!(said.contains("mainstay status --format json"), "{said}");
    // Nobody at the other end: said on an ordinary screen.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut terminal = Terminal::start(&["top", "--url", &format!("http://127.0.0.1:{port}")], &[], (200, 24));
    let screen = terminal.wait_for("mainstay serve");
    assert!(screen.contains("cannot reach mainstay"), "{screen}");
    assert_eq!(terminal.end(), Some(3));
    assert!(!terminal.was_taken());
}

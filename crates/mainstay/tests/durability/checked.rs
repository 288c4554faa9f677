//! Answers that a check flags: each counts once, whenever the process is killed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{CONFIG, Place, Server};

const CHECKS: &str = "
safety:
  checks:
    words: { patterns: [harmful], when: after }
";

/// Answers each request with what it was sent.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            thread::spawn(move || answer(stream));
        }
    });
    port
}

fn answer(mut stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line == "\r\n" {
                break;
            }
            if let Some(told) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = told.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(&[head.as_bytes(), &body].concat()).ok()?;
    }
}

fn ask(server: &Server, id: &str, body: &str) {
    let mut stream = TcpStream::connect(&server.listen).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!(
        "POST /score HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-request-id: {id}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200") && text.ends_with(body), "{text}");
}

#[test]
fn what_a_check_flags_spends_the_safety_budget_and_rests() {
    let place = Place::new("checked");
    let config = CONFIG.replace("http://127.0.0.1:1", &format!("http://127.0.0.1:{}", echo())) + CHECKS;
    std::fs::write(place.0.join("mainstay.yaml"), config).unwrap();
    let mut server = Server::start(&place);
    for (id, word) in [("r-1", "fine"), ("r-2", "harmful"), ("r-3", "well")] {
        ask(&server, id, &json!({ "say": word }).to_string());
    }
    // Of three answers that were looked at one is bad, and it is named.
    let wanted = (2, 1, json!("r-2"));
    let began = Instant::now();
    while server.slo("safety") != wanted {
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", server.slo("safety"));
        thread::sleep(Duration::from_millis(20));
    }
    server.end("KILL");
    let again = Server::start(&place);
    assert_eq!(again.slo("safety"), wanted);
}

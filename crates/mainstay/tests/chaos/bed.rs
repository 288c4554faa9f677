//! A service with a backend and real traffic, and what is asked of its experiments.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Place, Server};

/// Longest wait for something that happens by itself.
const PATIENCE: Duration = Duration::from_mins(1);
/// How much later the experiments' fault lets answers come.
pub(crate) const LATE: Duration = Duration::from_millis(400);
/// Requests that all come in time only where no fault is in force: half of them would not.
const SURE: usize = 24;
/// The shortest lease.
pub(crate) const LEASE: Duration = Duration::from_secs(2);

/// A backend that answers at once, and fails from when it is told so.
pub(crate) fn backend(fails: &Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let fails = Arc::clone(fails);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let fails = Arc::clone(&fails);
            thread::spawn(move || while answer(&stream, &fails).is_some() {});
        }
    });
    address
}

fn answer(stream: &TcpStream, fails: &AtomicBool) -> Option<()> {
    let mut read = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if read.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    read.read_exact(&mut vec![0; length]).ok()?;
    let mut stream = stream;
    let status = if fails.load(Ordering::Relaxed) { "500 Internal Server Error" } else { "200 OK" };
    let head = format!("HTTP/1.1 {status}\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(b"content-type: application/json\r\ncontent-length: 11\r\n\r\n{\"score\":1}").ok()
}

/// A config; `rest` may add sections.
pub(crate) fn config(backend: SocketAddr, environment: &str, rest: &str) -> String {
    format!(
        "service: test
environment: {environment}
listen: 127.0.0.1:0
admin: {{ listen: '127.0.0.1:0' }}
store: sqlite:mainstay.db
backends: {{ model: {{ url: 'http://{backend}', protocol: http, limit: none }} }}
routes:
  - {{ name: score, path: /score, deadline: 5s, ladder: [{{ level: 0, backend: model }}, {{ level: 4, respond: {{ body: {{}} }} }}] }}
  - {{ name: other, path: /other, deadline: 5s, ladder: [{{ level: 0, backend: model }}, {{ level: 4, respond: {{ body: {{}} }} }}] }}
chaos:
  lease: 2s
{rest}"
    )
}

/// An experiment whose fault is seen at once: half of the requests come late, and none fails.
pub(crate) fn experiment(name: &str, change: Value) -> Value {
    let mut experiment = json!({
        "name": name, "hypothesis": "late answers are still answers", "route": "score",
        "fault": { "model_latency": { "fixed": "400ms" } },
        "blast": "full", "cohort": { "share": "50%" },
        "duration": "1h", "lead_in": "1s", "recovery": "10s",
        "margin": { "errors": "50%", "p99": 100.0 },
    });
    if let Value::Object(change) = change {
        change.into_iter().for_each(|(key, value)| experiment[key] = value);
    }
    experiment
}

pub(crate) struct Bed {
    pub(crate) place: Place,
    pub(crate) server: Server,
    /// Whether the backend fails.
    pub(crate) fails: Arc<AtomicBool>,
}

impl Bed {
    pub(crate) fn new(name: &str, environment: &str, rest: &str) -> Bed {
        let place = Place::new(&format!("chaos-{name}"));
        let fails = Arc::new(AtomicBool::new(false));
        std::fs::write(place.0.join("mainstay.yaml"), config(backend(&fails), environment, rest)).unwrap();
        let server = Server::start(&place);
        Bed { place, server, fails }
    }

    /// Begins again, with the same store.
    pub(crate) fn restart(&mut self) {
        self.server = Server::start(&self.place);
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, answer) = ask(&self.server.admin, "GET", path, "").unwrap();
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// What a path answers, as text.
    pub(crate) fn page(&self, path: &str) -> String {
        ask_text(&self.server.admin, "", "GET", path, "").unwrap().1
    }

    pub(crate) fn admin(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        ask(&self.server.admin, method, path, &body).unwrap()
    }

    /// Starts an experiment; its run's id.
    pub(crate) fn start(&self, asked: &Value) -> String {
        let (status, answer) = self.admin("POST", "/api/v1/experiments", asked);
        assert_eq!(status, 201, "{answer:#}");
        answer["run"]["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn run(&self, id: &str) -> Value {
        self.get(&format!("/api/v1/experiments/{id}"))["run"].clone()
    }

    pub(crate) fn phase(&self, id: &str, phase: &str) -> Value {
        until(&format!("{id} to be {phase}"), || {
            let run = self.run(id);
            assert!(run["phase"] != "ended" || phase == "ended", "{id} ended before it was {phase}: {run:#}");
            (run["phase"] == phase).then_some(run)
        })
    }

    /// Sends a request; how long it took, where it was answered.
    fn send(&self) -> Option<Duration> {
        let began = Instant::now();
        let (status, _) = ask(&self.server.listen, "POST", "/score", "{}")?;
        (status == 200).then(|| began.elapsed())
    }

    /// Waits until requests meet the fault.
    pub(crate) fn meets(&self) {
        until("requests to meet the fault", || self.send().filter(|took| *took >= LATE));
    }

    /// Whether no request meets the fault any more.
    fn is_spared(&self) -> bool {
        (0..SURE).all(|_| self.send().is_some_and(|took| took < LATE))
    }

    /// Waits until no request meets the fault any more; how long that took.
    pub(crate) fn spared(&self) -> Duration {
        let began = Instant::now();
        let mut gone = began;
        until("the fault to be gone", || {
            gone = Instant::now();
            self.is_spared().then_some(())
        });
        gone.duration_since(began)
    }

    /// Requests from several callers, until this is dropped.
    pub(crate) fn traffic(&self) -> Traffic {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let caller = |_| {
            let (listen, stop, sent) = (self.server.listen.clone(), Arc::clone(&stop), Arc::clone(&sent));
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    if ask(&listen, "POST", "/score", "{}").is_some() {
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                    thread::sleep(Duration::from_millis(20));
                }
            })
        };
        Traffic { callers: (0..8).map(caller).collect(), stop, sent }
    }
}

pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    callers: Vec<JoinHandle<()>>,
    pub(crate) sent: Arc<AtomicU64>,
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for caller in self.callers.drain(..) {
            let _ = caller.join();
        }
    }
}

pub(crate) fn until<T>(what: &str, mut holds: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = holds() {
            return seen;
        }
        assert!(began.elapsed() < PATIENCE, "in vain waited for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// One request on a connection of its own: status and body; `None` where it broke off.
pub(crate) fn ask(address: &str, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
    ask_as(address, "", method, path, body)
}

/// The same with a token.
pub(crate) fn ask_as(address: &str, token: &str, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
    let (status, body) = ask_text(address, token, method, path, body)?;
    Some((status, serde_json::from_str(&body).unwrap_or(Value::Null)))
}

fn ask_text(address: &str, token: &str, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let shown = if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{shown}content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let status = text.split(' ').nth(1)?.parse().ok()?;
    let (_, body) = text.split_once("\r\n\r\n")?;
    Some((status, body.to_owned()))
}

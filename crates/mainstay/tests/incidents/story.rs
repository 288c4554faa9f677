//! A service with a receiver of its pages, and what is asked of its incidents.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::receiver::Receiver;
use crate::support::{Place, Server};

/// Longest wait for something that happens by itself.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Story {
    pub(crate) place: Place,
    pub(crate) server: Server,
    pub(crate) receiver: Receiver,
}

/// A config with pages of every severity to the receiver, and no patience with what comes and goes.
pub(crate) fn config(rest: &str, receiver: &Receiver, incidents: &str) -> String {
    format!(
        "service: test
listen: 127.0.0.1:0
admin: {{ listen: '127.0.0.1:0' }}
store: sqlite:mainstay.db
incidents: {{ page: [sev1, sev2, sev3, sev4], hold: 1s, quiet: 1s, escalation: ops{incidents} }}
oncall:
  people: {{ ada: {{ channels: [hook] }} }}
  policies: {{ ops: {{ steps: [{{ tell: [person:ada] }}] }} }}
notify: {{ hook: {{ webhook: {{ url: 'http://{}/hook' }} }} }}
{rest}",
        receiver.address
    )
}

/// One request on a connection of its own: status and body.
pub(crate) fn ask(address: &str, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let length = body.len();
    let media = if path.ends_with("/flags") || path.ends_with("/events") || path.ends_with("/signals") {
        "application/x-ndjson"
    } else {
        "application/json"
    };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: {media}\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let status = text.split(' ').nth(1)?.parse().ok()?;
    let (_, body) = text.split_once("\r\n\r\n")?;
    Some((status, body.to_owned()))
}

impl Story {
    pub(crate) fn new(name: &str, rest: &str, incidents: &str) -> Story {
        let (place, receiver) = (Place::new(name), Receiver::start());
        std::fs::write(place.0.join("mainstay.yaml"), config(rest, &receiver, incidents)).unwrap();
        let server = Server::start(&place);
        Story { place, server, receiver }
    }

    /// Asks the admin API; whatever is not a success fails the test.
    pub(crate) fn admin(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, text) = self.try_admin(method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    pub(crate) fn try_admin(&self, method: &str, path: &str, body: &Value) -> (u16, String) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        ask(&self.server.admin, method, path, &body).unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        self.admin("GET", path, &Value::Null)
    }

    /// Sends a request to the data plane; its status.
    pub(crate) fn send(&self, path: &str, body: &Value) -> u16 {
        ask(&self.server.listen, "POST", path, &body.to_string()).map_or(0, |(status, _)| status)
    }

    pub(crate) fn until<T>(&self, what: &str, mut holds: impl FnMut() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(seen) = holds() {
                return seen;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "in vain waited for {what}: {:#} {:#}",
                self.get("/api/v1/incidents"),
                self.get("/api/v1/events?limit=50")
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The incident, as soon as there is one of this type; the page of it has come.
    pub(crate) fn incident(&self, kind: &str) -> String {
        let id = self.until(kind, || {
            let all = self.get("/api/v1/incidents?status=open");
            let of = all["incidents"].as_array().unwrap().iter().find(|it| it["type"] == kind);
            of.map(|it| it["id"].as_str().unwrap().to_owned())
        });
        self.until("the page", || (!self.receiver.of(&id, "page").is_empty()).then_some(()));
        let it = &self.get(&format!("/api/v1/incidents/{id}"))["incident"];
        assert_eq!(it["ranking"][0]["type"], kind, "{:#}", it["ranking"]);
        let page = self.receiver.of(&id, "page").remove(0).body;
        assert_eq!((&page["type"], &page["person"]), (&it["type"], &json!("ada")), "{page:#}");
        id
    }

    /// Somebody takes it, does something, sees that it is over, resolves it, and reads the review.
    pub(crate) fn ends(&self, id: &str, action: Option<Value>) {
        let path = format!("/api/v1/incidents/{id}");
        self.admin("POST", &format!("{path}/ack"), &json!({}));
        if let Some(action) = action {
            self.admin("POST", &format!("{path}/actions"), &action);
            self.until("the action", || {
                let it = self.get(&path);
                let taken = &it["incident"]["actions"][0];
                assert_ne!(taken["state"], "failed", "{taken:#}");
                (taken["state"] == "active").then_some(())
            });
        }
        self.until("recovery", || (!self.get(&path)["incident"]["proposed"].is_null()).then_some(()));
        self.admin("POST", &format!("{path}/status"), &json!({ "status": "resolved", "reason": "it is over" }));
        self.until("word of its end", || (!self.receiver.of(id, "resolved").is_empty()).then_some(()));
        let (status, review) = self.try_admin("GET", &format!("{path}/review?format=md"), &Value::Null);
        assert!(status == 200 && review.contains(id) && review.contains("ada"), "{status} {review}");
        let (status, page) = self.try_admin("GET", &format!("{path}/review?format=html"), &Value::Null);
        assert!(status == 200 && page.contains(id), "{status}");
    }
}

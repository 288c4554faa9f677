//! A receiver of webhooks: it takes, fails, hangs or asks to wait.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How it takes what comes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mood {
    Takes,
    Fails,
    /// It reads, says nothing for a while, and goes.
    Hangs,
    /// `429` with `Retry-After: 1`.
    Waits,
}

/// What came.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) at: Instant,
    pub(crate) key: String,
    pub(crate) body: Value,
    pub(crate) taken: bool,
}

#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) address: String,
    got: Arc<Mutex<Vec<Got>>>,
    mood: Arc<Mutex<Mood>>,
}

impl Receiver {
    pub(crate) fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let receiver = Receiver { address, got: Arc::default(), mood: Arc::new(Mutex::new(Mood::Takes)) };
        let serving = receiver.clone();
        // It ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                thread::spawn(move || serving.serve(stream));
            }
        });
        receiver
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// Everything that came.
    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// What came of an incident, for a purpose.
    pub(crate) fn of(&self, incident: &str, purpose: &str) -> Vec<Got> {
        let is = |got: &Got| got.body["incident"] == incident && got.body["purpose"] == purpose;
        self.got().into_iter().filter(is).collect()
    }

    fn serve(&self, stream: TcpStream) -> Option<()> {
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let mut reader = BufReader::new(stream);
        let (mut length, mut key) = (0, String::new());
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let (name, value) = line.trim().split_once(':').unwrap_or((line.trim(), ""));
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().ok()?,
                "idempotency-key" => value.trim().clone_into(&mut key),
                "" => break,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let (at, mood) = (Instant::now(), *self.mood.lock().unwrap());
        let taken = matches!(mood, Mood::Takes);
        let body = serde_json::from_slice(&body).ok()?;
        self.got.lock().unwrap().push(Got { at, key, body, taken });
        let answer = match mood {
            Mood::Takes => "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            Mood::Fails => "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
            Mood::Waits => "HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n",
            Mood::Hangs => {
                thread::sleep(Duration::from_secs(1));
                return None;
            }
        };
        reader.get_mut().write_all(answer.as_bytes()).ok()
    }
}

//! Open-loop load: requests leave when their time has come, whether earlier ones were answered or not.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use mainstay_core::rng::Rng;
use mainstay_core::route::{Class, Level};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::data::{MEASUREMENTS, Patient};
use super::script::MIX;
use super::tally::{Outcome, Sample, Tally, Why};

/// The route that is asked.
pub(super) const PATH: &str = "/v2/models/tumour/infer";

/// How long a caller waits, counted from the moment at which the request was due: longer than the route's deadline, by
/// which the gateway has answered.
const PATIENCE: Duration = Duration::from_secs(2);

/// Part of a phase after which things have settled.
const SETTLED_AFTER: f64 = 0.6;

/// A request that is due this shortly before a phase ends may see the next one.
const UNDER_WAY: Duration = Duration::from_millis(200);

/// Most requests under way; one that would go beyond is counted as not answered.
const IN_FLIGHT_MAX: usize = 1024;

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Where one phase stands within the whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    /// Index of the phase.
    pub(super) phase: usize,
    /// Requests per second.
    pub(super) rate: f64,
    /// How long it lasts.
    pub(super) length: Duration,
}

/// A load generator with keep-alive connections to one address.
pub(super) struct Load {
    questions: Vec<Arc<Question>>,
    connections: Arc<Connections>,
    under_way: JoinSet<Sample>,
    rng: Rng,
}

/// A request's body, and the right answer.
struct Question {
    body: Bytes,
    malignant: bool,
}

/// When a request is due and where it is counted.
#[derive(Clone, Copy)]
struct Due {
    at: Instant,
    phase: usize,
    late: bool,
    class: Class,
}

impl Stretch {
    /// Whether a request that is due then sees what the phase has settled to: see [`Sample::late`].
    fn is_late(&self, elapsed: Duration) -> bool {
        (self.length.mul_f64(SETTLED_AFTER)..self.length.saturating_sub(UNDER_WAY)).contains(&elapsed)
    }
}

impl Load {
    /// Will ask `target` about the given patients; `seed` decides whom, when, and in which class.
    pub(super) fn new(target: SocketAddr, patients: &[Patient], seed: u64) -> Load {
        Load {
            questions: patients.iter().map(|patient| Arc::new(Question::about(patient))).collect(),
            connections: Arc::new(Connections {
                target,
                idle: Mutex::new(Vec::new()),
                drivers: Mutex::new(JoinSet::new()),
            }),
            under_way: JoinSet::new(),
            rng: Rng::new(seed),
        }
    }

    /// Sends for the length of a stretch and counts whatever was answered meanwhile; `tick` sees the tally now
    /// and then, with the time since the stretch's start.
    pub(super) async fn drive(&mut self, stretch: Stretch, tally: &mut Tally, mut tick: impl FnMut(&Tally, Duration)) {
        let start = Instant::now();
        let mut next = start;
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        while next < start + stretch.length {
            tokio::select! {
                () = tokio::time::sleep_until(next) => {
                    let late = stretch.is_late(next - start);
                    let class = self.pick_class();
                    self.send(Due { at: next, phase: stretch.phase, late, class }, tally);
                    next += Duration::from_secs_f64(self.rng.exponential(1.0 / stretch.rate));
                }
                Some(done) = self.under_way.join_next() => tally.count_finished(done.ok()),
                _ = ticks.tick() => tick(tally, start.elapsed()),
            }
        }
        tick(tally, stretch.length);
    }

    /// Waits for the answers that are still missing; each of them has its own time limit.
    pub(super) async fn finish(&mut self, tally: &mut Tally) {
        while let Some(done) = self.under_way.join_next().await {
            tally.count_finished(done.ok());
        }
    }

    fn send(&mut self, due: Due, tally: &mut Tally) {
        if self.under_way.len() >= IN_FLIGHT_MAX {
            return tally.count(&due.sample(Duration::ZERO, Outcome::Unanswered(Why::Transport)));
        }
        let question = Arc::clone(&self.questions[self.rng.below(self.questions.len() as u64) as usize]);
        let connections = Arc::clone(&self.connections);
        self.under_way.spawn(async move {
            let asked = tokio::time::timeout_at(due.at + PATIENCE, connections.ask(&question, due.class)).await;
            due.sample(due.at.elapsed(), asked.unwrap_or(Outcome::Unanswered(Why::Timeout)))
        });
    }

    fn pick_class(&mut self) -> Class {
        let mut rest = self.rng.unit();
        for (number, share) in MIX.iter().enumerate() {
            rest -= share;
            if rest < 0.0 {
                return Class::new(number as u8).unwrap_or(Class::WORST);
            }
        }
        Class::WORST
    }
}

impl Due {
    fn sample(self, latency: Duration, outcome: Outcome) -> Sample {
        Sample { phase: self.phase, late: self.late, class: self.class, latency, outcome }
    }
}

impl Question {
    fn about(patient: &Patient) -> Question {
        let body = json!({
            "id": id_of(patient),
            "parameters": { "patient_id": patient.id },
            "inputs": [{
                "name": "measurements", "shape": [1, 2 * MEASUREMENTS.len()], "datatype": "FP64",
                "data": patient.measured(),
            }],
        });
        Question { body: Bytes::from(body.to_string()), malignant: patient.malignant }
    }
}

/// What a question about a patient is called.
pub(super) fn id_of(patient: &Patient) -> String {
    format!("patient-{}", patient.id)
}

/// Keep-alive connections, the most recently used first.
struct Connections {
    target: SocketAddr,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
    drivers: Mutex<JoinSet<()>>,
}

impl Connections {
    async fn ask(&self, question: &Question, class: Class) -> Outcome {
        match self.exchange(question, class).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Unanswered(Why::Transport),
        }
    }

    async fn exchange(&self, question: &Question, class: Class) -> anyhow::Result<Outcome> {
        let mut connection = self.take().await?;
        let answer = connection.send_request(self.request(question, class)?).await?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| anyhow::anyhow!(error))?;
        self.give_back(connection);
        Ok(judge(&head, &body.to_bytes(), question.malignant))
    }

    fn request(&self, question: &Question, class: Class) -> anyhow::Result<Request<Full<Bytes>>> {
        let request = Request::post(PATH)
            .header(header::HOST, self.target.to_string())
            .header(header::CONTENT_TYPE, "application/json");
        let request = match class.number() {
            0 => request.header("x-safety-critical", "true"),
            1 => request.header("x-user-tier", "premium"),
            2 => request.header("x-user-id", "demo"),
            _ => request,
        };
        Ok(request.body(Full::new(question.body.clone()))?)
    }

    async fn take(&self) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        while let Some(mut connection) = self.pop() {
            // A connection that the server closed while it was idle is not the request's failure.
            if connection.ready().await.is_ok() {
                return Ok(connection);
            }
        }
        let stream = TcpStream::connect(self.target).await?;
        stream.set_nodelay(true)?;
        let (connection, driver) = http1::handshake(TokioIo::new(stream)).await?;
        let mut drivers = self.drivers.lock().unwrap_or_else(PoisonError::into_inner);
        while drivers.try_join_next().is_some() {}
        drivers.spawn(async move {
            // The request that used the connection learns of its end by itself.
            let _ = driver.await;
        });
        Ok(connection)
    }

    fn pop(&self) -> Option<SendRequest<Full<Bytes>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn give_back(&self, connection: SendRequest<Full<Bytes>>) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

/// What an answer amounts to for the one who asked.
fn judge(head: &http::response::Parts, body: &[u8], malignant: bool) -> Outcome {
    if head.status == StatusCode::TOO_MANY_REQUESTS {
        return Outcome::Unanswered(Why::Shed);
    }
    if !head.status.is_success() {
        return Outcome::Unanswered(Why::Error);
    }
    let level = head.headers.get("x-mainstay-level").and_then(|value| value.to_str().ok()?.parse().ok());
    match level.and_then(Level::new) {
        Some(level) => Outcome::Answered { level, right: prediction(body).map(|p| (p >= 0.5) == malignant) },
        // An answer that does not say its level breaks the contract, so it counts as none.
        None => Outcome::Unanswered(Why::Error),
    }
}

/// The probability in an answer; the static fallback answers with a word and has none.
fn prediction(body: &[u8]) -> Option<f64> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body.pointer("/outputs/0/data/0")?.as_f64()
}

//! One connection: requests in turn, each answered as its script says, for as long as whoever asked is there.

use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;
use tokio::time::{Instant, sleep, sleep_until};

use super::catalogue::Kind;
use super::dialect::{Dialect, Trouble};
use super::ledger::{Ending, Ledger};
use super::model::Model;
use super::request::{self, Request};
use super::script::{Asked, End, Framing, Head, Script, Step, script};

/// Most bytes that may come while an answer is under way: nobody sends ahead.
const AHEAD_MAX: usize = 64 * 1024;

pub(super) async fn serve(mut socket: TcpStream, ledger: Rc<Ledger>) {
    let _ = socket.set_nodelay(true);
    let mut buffer = Vec::new();
    while let Some(request) = request::next(&mut socket, &mut buffer).await {
        match answer(&mut socket, &mut buffer, &request, &ledger).await {
            Some(End::Whole) => {}
            Some(End::Reset) => {
                let _ = socket.set_zero_linger();
                return;
            }
            Some(End::Cut) | None => return,
        }
    }
}

/// How it ended; `None` where whoever asked is gone.
async fn answer(socket: &mut TcpStream, buffer: &mut Vec<u8>, request: &Request, ledger: &Ledger) -> Option<End> {
    let asked = (request.method == "POST").then(|| Dialect::of_path(&request.path)).flatten();
    let Some(dialect) = asked else {
        let own = referee(request, ledger);
        return play(socket, &own, &|| {}).await.ok().map(|()| own.end);
    };
    let mut asked = asked_of(dialect, request);
    let (id, attempt, since_first) = ledger.open(&asked, &request.path, request.header("x-stainless-retry-count"));
    (asked.attempt, asked.since_first) = (attempt, since_first);
    let (mut reading, mut writing) = socket.split();
    let done = tokio::select! {
        done = attend(&mut writing, &asked, ledger, id) => done,
        () = left(&mut reading, buffer) => None,
    };
    ledger.close(id, if done.is_some() { Ending::Played } else { Ending::Left });
    done
}

async fn attend(writing: &mut (impl AsyncWrite + Unpin), asked: &Asked, ledger: &Ledger, id: u64) -> Option<End> {
    let played = match Model::parse(&asked.name) {
        Ok(model) if model.kind == Kind::Capacity => served(&model, asked, ledger).await,
        Ok(model) => script(&model, asked),
        Err(message) => asked.refused(Trouble::NotFound, &message),
    };
    ledger.answering(id, played.status());
    play(writing, &played, &|| ledger.stepped(id)).await.ok().map(|()| played.end)
}

/// Waits for a slot, first come first served, and holds it for as long as the service takes.
async fn served(model: &Model, asked: &Asked, ledger: &Ledger) -> Script {
    let Some((slots, _)) = ledger.slots(&asked.name, model.knobs.slots, model.knobs.queue) else {
        return asked.refused(Trouble::Overloaded, "Too many requests wait already.");
    };
    let place = Waiting::new(ledger, &asked.name);
    let Ok(_slot) = slots.acquire().await else { return asked.refused(Trouble::Server, "The slots are gone.") };
    drop(place);
    // The factor may have changed meanwhile.
    let factor = ledger.slots(&asked.name, model.knobs.slots, usize::MAX).map_or(1.0, |(_, factor)| factor);
    sleep(model.knobs.service.mul_f64(factor)).await;
    super::script::healthy(model, asked)
}

/// Counts as waiting until it is dropped, whoever drops it.
struct Waiting<'a>(&'a Ledger, &'a str);

impl<'a> Waiting<'a> {
    fn new(ledger: &'a Ledger, model: &'a str) -> Self {
        ledger.wait(model);
        Self(ledger, model)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waited(self.1);
    }
}

/// Returns once the other side is gone.
async fn left(reading: &mut ReadHalf<'_>, buffer: &mut Vec<u8>) {
    while buffer.len() < AHEAD_MAX {
        match reading.read_buf(buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

async fn play(socket: &mut (impl AsyncWrite + Unpin), script: &Script, stepped: &dyn Fn()) -> std::io::Result<()> {
    let framing = script.head.as_ref().map_or(Framing::Length(0), |head| head.framing);
    if let Some(head) = &script.head {
        socket.write_all(&written(head)).await?;
    }
    // Waits add up from the start, so that a slow write does not slow down what comes after it.
    let mut due = Instant::now();
    for step in &script.steps {
        match step {
            Step::Wait(wait) => {
                due += *wait;
                sleep_until(due).await;
                continue;
            }
            Step::Send(bytes) => socket.write_all(&framed(framing, &[bytes])).await?,
            Step::Stamp(before, after) => {
                let now = micros().to_string();
                socket.write_all(&framed(framing, &[before, now.as_bytes(), after])).await?;
            }
        }
        stepped();
    }
    if (framing, script.end) == (Framing::Chunked, End::Whole) {
        socket.write_all(b"0\r\n\r\n").await?;
    }
    Ok(())
}

fn framed(framing: Framing, parts: &[&[u8]]) -> Vec<u8> {
    let bytes = parts.concat();
    match framing {
        Framing::Length(_) => bytes,
        Framing::Chunked => [format!("{:x}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat(),
    }
}

fn written(head: &Head) -> Vec<u8> {
    use std::fmt::Write as _;
    let reason = if head.status < 400 { "OK" } else { "Error" };
    let mut out = format!("HTTP/1.1 {} {reason}\r\n", head.status);
    for (name, value) in &head.headers {
        let _ = write!(out, "{name}: {value}\r\n");
    }
    match head.framing {
        Framing::Chunked => out.push_str("transfer-encoding: chunked\r\n\r\n"),
        Framing::Length(length) => {
            let _ = write!(out, "content-length: {length}\r\n\r\n");
        }
    }
    out.into_bytes()
}

fn micros() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros()
}

/// What a request asks for; what it does not say, it does not ask for.
fn asked_of(dialect: Dialect, request: &Request) -> Asked {
    let document = request.json().unwrap_or_default();
    let messages = document["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let last = messages.last().filter(|message| message["role"] == "assistant");
    Asked {
        dialect,
        name: document["model"].as_str().unwrap_or_default().to_owned(),
        stream: document["stream"].as_bool().unwrap_or(false),
        include_usage: document["stream_options"]["include_usage"].as_bool().unwrap_or(false),
        prefill: last.map(|message| text_of(&message["content"])),
        prompt_tokens: messages.iter().map(|message| text_of(&message["content"]).split_whitespace().count()).sum(),
        attempt: 1,
        since_first: Duration::ZERO,
        key: request.key().to_owned(),
    }
}

/// A string, or the texts of a list of parts.
fn text_of(content: &Value) -> String {
    match content.as_array() {
        Some(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        None => content.as_str().unwrap_or_default().to_owned(),
    }
}

/// What is for whoever keeps the score.
fn referee(request: &Request, ledger: &Ledger) -> Script {
    let told = |document: &Value| Script::json(200, Vec::new(), document);
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/wall/attempts") => {
            let model = request.query.strip_prefix("model=").map(decoded);
            told(&ledger.report(model.as_deref()))
        }
        ("POST", "/wall/reset") => {
            ledger.reset();
            told(&json!({ "schema": 1 }))
        }
        ("POST", "/wall/factor") => {
            let document = request.json().unwrap_or_default();
            let factor = document["factor"].as_f64().filter(|factor| (0.0..=1000.0).contains(factor));
            let (Some(model), Some(factor)) = (document["model"].as_str(), factor) else {
                let error = json!({ "error": "give `model`, and a `factor` from 0 to 1000" });
                return Script::json(400, Vec::new(), &error);
            };
            ledger.set_factor(model, factor);
            told(&json!({ "schema": 1, "model": model, "factor": factor }))
        }
        ("GET", "/" | "/healthz" | "/wall") => told(&json!({ "schema": 1, "wall": true })),
        ("GET", path) if path.ends_with("/models") => told(&models()),
        _ => Script::json(404, Vec::new(), &json!({ "error": "the wall has nothing there" })),
    }
}

fn models() -> Value {
    let model = |entry: &super::Entry| json!({ "id": entry.name, "object": "model", "created": 0, "owned_by": "wall" });
    json!({ "object": "list", "data": super::entries().map(model).collect::<Vec<_>>() })
}

/// `%2F` and its like; what is none stays.
fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = after
            .get(..2)
            .and_then(|two| std::str::from_utf8(two).ok())
            .and_then(|two| u8::from_str_radix(two, 16).ok());
        match code.filter(|_| byte == b'%') {
            Some(code) => {
                out.push(code);
                rest = &after[2..];
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

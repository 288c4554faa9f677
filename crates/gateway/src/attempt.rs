//! One attempt at one backend: admitted, sent, judged, reported.

mod flight;
mod grpc;

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body::Body as _;
use hyper::body::Incoming;
use mainstay_core::llm::answering::{Begun, Effect, Fault, Settings};
use mainstay_core::llm::taxonomy::{self, Kind};
use mainstay_core::llm::whole::Glance;
use mainstay_core::llm::{Dialect, translate};
use mainstay_core::resilience::keys;
use mainstay_core::resilience::outcome::{FailureKind, Outcome};
use mainstay_core::route::Protocol;
use mainstay_core::time::Time;

use crate::body::{AnswerBody, Outgoing, ReadUpTo, Upload, UploadFault, read_up_to};
use crate::chaos::{CallFault, Made, Met, Standing, StreamFault};
use crate::crossing::{self, Crossing, Held};
use crate::protocol::{self, ConfidenceReader, Rpc};
use crate::stream::Relay;
use crate::streamed::{self, Driver, Streamed, Streaming, Upstream};
use crate::until::Until;
use crate::upstream::pool::Lease;
use crate::upstream::{Reply, SendError};
use crate::worker::State;

pub(crate) use flight::{Departing, Flight};

/// What is sent.
pub(crate) struct Call<'a> {
    pub(crate) state: &'a Rc<State>,
    pub(crate) backend: usize,
    pub(crate) protocol: Protocol,
    pub(crate) method: &'a Method,
    pub(crate) path: &'a PathAndQuery,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Outgoing,
    /// Whether a key of ours is sent: then it is not the caller's fault if it is refused.
    pub(crate) keyed: bool,
    /// When the whole answer, or the head of a relayed one, must be there.
    pub(crate) until: Until,
    /// When a relayed answer must have ended.
    pub(crate) ends: Until,
    /// What of the answer has to be read.
    pub(crate) reader: Option<&'a ConfidenceReader>,
    /// How a language model's answer is to be streamed; `None`: it is not.
    pub(crate) streaming: Option<&'a Streaming>,
    /// What of it is translated; `None`: nothing.
    pub(crate) crossing: Option<Crossing>,
    pub(crate) request_id: &'a str,
    /// What is asked over gRPC, where that is spoken.
    pub(crate) rpc: Option<Rpc>,
    pub(crate) route: usize,
    /// The order that the request met.
    pub(crate) met: Option<&'a Met>,
}

/// What of a call is needed when its answer is there.
struct Asked<'a> {
    state: &'a Rc<State>,
    backend: usize,
    protocol: Protocol,
    keyed: bool,
    reader: Option<&'a ConfidenceReader>,
    streaming: Option<&'a Streaming>,
    crossing: Option<Crossing>,
    request_id: &'a str,
    /// When the answer must be there, or its first tokens.
    until: Until,
    /// When a relayed answer must have ended.
    ends: Until,
    rpc: Option<Rpc>,
    route: usize,
    met: Option<&'a Met>,
}

impl<'a> Asked<'a> {
    fn of(call: &Call<'a>) -> Asked<'a> {
        let Call { state, backend, protocol, keyed, reader, streaming, crossing, request_id, .. } = *call;
        let Call { until, ends, rpc, route, met, .. } = *call;
        Asked { state, backend, protocol, keyed, reader, streaming, crossing, request_id, until, ends, rpc, route, met }
    }

    /// Whether the answer has to be read, whatever its length.
    fn is_read(&self) -> bool {
        self.streaming.is_some() || self.crossing.is_some()
    }

    /// An answer that is passed on as it comes, from its `start` that was read.
    fn relay(&self, start: Bytes, rest: Incoming, lease: Lease, flight: Flight, upload: Option<Upload>) -> Relay {
        Relay::new(start, rest, lease, flight, self.ends).beside(upload)
    }

    /// How an answer in whole becomes what the caller asked for.
    fn held(&self, now: Time, spoken: Option<Dialect>) -> Held<'a> {
        let settings = self.streaming.map(|streaming| &streaming.settings);
        Held { crossing: self.crossing, settings, spoken, request_id: self.request_id, now }
    }

    /// What becomes of a streamed answer on purpose.
    fn stream_fault(&self) -> Option<(StreamFault, Arc<Standing>)> {
        let met = self.met?;
        let name = &self.state.shared.plan.backends[self.backend].name;
        Some((met.stream_fault(self.state, self.route, name)?, Arc::clone(met.standing())))
    }

    /// What is left of the answer on purpose.
    fn spoiled(&self, answer: &Bytes) -> Option<Bytes> {
        self.met?.spoiled(self.state, self.route, self.backend, answer)
    }
}

/// What came of asking.
enum Heard {
    /// A backend's answer.
    Reply(Reply),
    /// What took its place on purpose.
    Made(Made),
}

/// A backend's answer that can be passed on: a success, or the caller's own mistake.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: AnswerBody,
    pub(crate) outcome: Outcome,
    /// What a success says of its own confidence.
    pub(crate) confidence: Option<f64>,
    /// What a language model's refusal means.
    pub(crate) says: Option<Kind>,
    /// What a language model's answer in whole says of itself.
    pub(crate) told: Option<Box<Glance>>,
}

/// Why an attempt gave no answer that can be passed on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed {
    pub(crate) outcome: Outcome,
    /// In one word, for headers and metrics.
    pub(crate) reason: &'static str,
    /// What the caller did wrong, where it was not the backend.
    pub(crate) fault: Option<UploadFault>,
    /// What is wrong with the key of ours that the call bore.
    pub(crate) key: Option<keys::Fault>,
    /// What a language model's failure means; `None`: the outcome says what is done about it.
    pub(crate) means: Option<Kind>,
    /// The backend says that the same call is not to be made again.
    pub(crate) is_final: bool,
}

/// Sends a call and judges its answer.
///
/// An answer that fits `answer_bytes` is held until it is whole, so that one that breaks off is still another attempt's
/// chance; event streams and longer answers are passed on from their head on.
pub(crate) async fn send(mut call: Call<'_>, endpoint: usize, mut flight: Flight) -> Result<Answered, Failed> {
    let shared = &call.state.shared;
    let bound = shared.plan.limits.answer_bytes;
    let (protocol, clock, until) = (call.protocol, shared.clock, call.until);
    let (upload, reader) = (call.body.upload(), call.reader);
    let asked = Asked::of(&call);
    let spoken = spoken(&call);
    let is_responses = protocol == Protocol::Openai && call.path.path().ends_with("/responses");
    if let Some(streaming) = call.streaming {
        call.until = until.within(flight.began() + streaming.settings.stream.headers);
    }
    let head_until = call.until;
    let reply = match head(call, endpoint, &mut flight).await {
        Ok(Heard::Reply(reply)) => reply,
        Ok(Heard::Made(Made { status, headers, body })) => {
            flight.head_came(status);
            if asked.rpc.is_some() {
                return grpc::made(&asked, flight, headers, body);
            }
            return judge(&asked, spoken, flight, (status, headers), body);
        }
        Err(failed) => return Err(fail(flight, failed.blamed_on(upload.as_ref()).late_by(head_until))),
    };
    let Reply { response, lease } = reply;
    flight.head_came(response.status());
    if let Some(rpc) = asked.rpc {
        return Box::pin(grpc::receive(&asked, rpc, response, lease, flight, upload)).await;
    }
    let (parts, mut body) = response.into_parts();
    let (status, mut headers) = (parts.status, parts.headers);
    if let Some(streaming) = asked.streaming.filter(|_| status.is_success() && !crossing::is_json(&headers)) {
        return Box::pin(open(&asked, streaming, (status, headers), body, lease, flight)).await;
    }
    let length = body.size_hint().exact();
    if let Some(dialect) = spoken.filter(|_| status.is_success() && !asked.is_read()) {
        // A stream though none was asked for, as far as the request could be read: it is no less to be whole.
        if is_stream(&headers) {
            let mut streaming = Streaming::of(shared, asked.route, dialect, asked.request_id);
            streaming.settings.include_usage = true;
            return Box::pin(open(&asked, &streaming, (status, headers), body, lease, flight)).await;
        }
    }
    let is_judged = spoken.is_some() && length.is_none();
    if is_relayed(&headers, length, bound) && status.is_success() && !asked.is_read() && !is_judged {
        let relay = asked.relay(Bytes::new(), body, lease, flight, upload);
        let mut relay = relay.disturbed(asked.stream_fault(), &headers);
        if is_responses && is_stream(&headers) {
            headers.remove(header::CONTENT_LENGTH);
            relay = relay.of_responses();
        }
        return Ok(Answered::relayed(status, headers, relay, reader));
    }
    let bytes = match tokio::time::timeout_at(clock.instant(until.at), read_up_to(&mut body, bound)).await {
        Ok(Ok(ReadUpTo::Whole(bytes, _))) => {
            lease.give_back();
            bytes
        }
        Ok(Ok(ReadUpTo::Longer(_))) if asked.is_read() => {
            let failed = Failed::new(FailureKind::Server, "answer_too_long");
            return Err(fail(flight, failed.meaning(Some(Kind::Malformed))));
        }
        Ok(Ok(ReadUpTo::Longer(start))) if status.is_success() => {
            let relay = asked.relay(start, body, lease, flight, upload);
            let relay = relay.disturbed(asked.stream_fault(), &headers);
            return Ok(Answered::relayed(status, headers, relay, reader));
        }
        Ok(Ok(ReadUpTo::Longer(start))) => {
            let outcome = protocol::classify(protocol, status.as_u16(), &headers, Some(&start), clock.now());
            let Outcome::Caller { .. } = outcome else {
                return Err(fail(flight, Failed::refused(outcome)));
            };
            let relay = asked.relay(start, body, lease, flight, upload).judged(outcome);
            return Ok(Answered { outcome, ..Answered::relayed(status, headers, relay, None) });
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "a backend broke its answer off");
            let failed = Failed::new(FailureKind::Transport, "backend_closed");
            return Err(fail(flight, failed.blamed_on(upload.as_ref())));
        }
        Err(_) => {
            let failed = Failed::new(FailureKind::Timeout, TIMEOUT).meaning(spoken.map(|_| Kind::Silent));
            return Err(fail(flight, failed.blamed_on(upload.as_ref()).late_by(until)));
        }
    };
    judge(&asked, spoken, flight, (status, headers), bytes)
}

/// The dialect in which the backend answers a call that a language model is to answer with a text of its own.
fn spoken(call: &Call<'_>) -> Option<Dialect> {
    let dialect = Dialect::of_path(call.path.path()).filter(|_| call.method == Method::POST)?;
    let protocol = if dialect == Dialect::AnthropicMessages { Protocol::Anthropic } else { Protocol::Openai };
    (call.protocol == protocol).then_some(dialect)
}

/// Whether an answer is an event stream that can be read.
fn is_stream(headers: &HeaderMap) -> bool {
    headers.contains_key(header::CONTENT_TYPE) && unreadable(headers).is_none()
}

/// Reads a language model's stream until some of it may be shown.
async fn open(
    asked: &Asked<'_>,
    streaming: &Streaming,
    (status, mut headers): (StatusCode, HeaderMap),
    body: Incoming,
    lease: Lease,
    flight: Flight,
) -> Result<Answered, Failed> {
    if let Some(reason) = unreadable(&headers) {
        return Err(fail(flight, Failed::new(FailureKind::Server, reason).meaning(Some(Kind::Malformed))));
    }
    let settings = &streaming.settings;
    let dialect = asked.crossing.map_or(settings.dialect, |both| both.backend);
    let mut upstream = Upstream::new(dialect, body, lease, flight).disturbed(asked.stream_fault(), &headers);
    // What is to be checked first is read first, and read once more by whoever it is handed to.
    let is_read = !streaming.hands_over || settings.said_max > 0;
    if streaming.hands_over && is_read {
        upstream.keep();
    }
    let mut driver = Driver::new(Rc::clone(asked.state), settings.clone(), asked.until);
    driver.read(upstream, Begun::Fresh);
    loop {
        if !is_read {
            break;
        }
        match std::future::poll_fn(|cx| driver.poll_effect(cx)).await {
            Effect::Commit => break,
            Effect::Failed(fault) => {
                if let Some(refusal) = refusal(settings, &fault) {
                    return Ok(refusal);
                }
                let key = streamed::key_fault(&fault).filter(|_| asked.keyed);
                let (outcome, means) = (streamed::outcome(&fault), Some(fault.means()));
                return Err(Failed { outcome, reason: fault.reason(), fault: None, key, means, is_final: false });
            }
            Effect::Done(_) => {
                return Err(Failed::new(FailureKind::Timeout, TIMEOUT)
                    .meaning(Some(Kind::Silent))
                    .late_by(asked.until));
            }
            Effect::Send(_) | Effect::Rescue(..) => {}
        }
    }
    driver.set_until(asked.ends);
    headers.remove(header::CONTENT_LENGTH);
    let body = AnswerBody::Streamed(Box::new(Streamed::new(driver, streaming.beat)));
    Ok(Answered { status, headers, body, outcome: Outcome::Success, confidence: None, says: None, told: None })
}

/// A stream that begins with the provider's no to the request: that is an answer, and nobody else is asked.
fn refusal(settings: &Settings, fault: &Fault) -> Option<Answered> {
    let Fault::Told(told) = fault else { return None };
    let kind = taxonomy::of_stream(told);
    if !matches!(kind, Kind::Content | Kind::Context | Kind::Caller) {
        return None;
    }
    let status = taxonomy::status(settings.dialect, kind);
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(protocol::JSON));
    Some(Answered {
        status: StatusCode::from_u16(status).ok()?,
        headers,
        body: AnswerBody::held(translate::error(settings.dialect, kind, told, &settings.request_id).into()),
        outcome: Outcome::Caller { status },
        confidence: None,
        says: Some(kind),
        told: None,
    })
}

/// Why a success to a request for a stream is none.
fn unreadable(headers: &HeaderMap) -> Option<&'static str> {
    let is = |name: header::HeaderName, good: &[u8]| {
        let begins =
            |value: &HeaderValue| value.as_bytes().get(..good.len()).is_some_and(|v| v.eq_ignore_ascii_case(good));
        headers.get(name).is_none_or(begins)
    };
    if !is(header::CONTENT_TYPE, b"text/event-stream") {
        Some("not_a_stream")
    } else if !is(header::CONTENT_ENCODING, b"identity") {
        Some("compressed_stream")
    } else {
        None
    }
}

/// Judges an answer that is held in whole.
fn judge(
    asked: &Asked<'_>,
    spoken: Option<Dialect>,
    flight: Flight,
    (mut status, mut headers): (StatusCode, HeaderMap),
    bytes: Bytes,
) -> Result<Answered, Failed> {
    let (protocol, clock) = (asked.protocol, asked.state.shared.clock);
    let bytes = asked.spoiled(&bytes).unwrap_or(bytes);
    let start = protocol::needs_body(protocol, status.as_u16()).then_some(&*bytes);
    let ended = clock.now();
    let fault = protocol::key_fault(protocol, status.as_u16(), start.unwrap_or_default());
    let key = fault.filter(|_| asked.keyed);
    let outcome = match protocol::classify(protocol, status.as_u16(), &headers, start, ended) {
        Outcome::Caller { .. } if key.is_some() => Outcome::failure(FailureKind::Server),
        outcome => outcome,
    };
    if outcome == Outcome::Success
        && let Some(reason) = contradiction(asked, &headers, &bytes)
    {
        return Err(fail(flight, Failed::new(FailureKind::Server, reason)));
    }
    let (mut bytes, mut says, mut told) = (bytes, None, None);
    match outcome {
        Outcome::Success => match asked.held(ended, spoken).success(&mut headers, bytes) {
            Ok((read, glance)) => (bytes, told) = (read, glance),
            Err(fault) => {
                let failed = Failed::new(fault.kind(), crossing::word(&fault)).meaning(Some(fault.means()));
                return Err(fail(flight, failed));
            }
        },
        Outcome::Caller { .. } => {
            says = taxonomy::of_answer(status.as_u16(), &bytes);
            (status, bytes) = asked.held(ended, spoken).refusal(status, &mut headers, bytes);
        }
        Outcome::Failure { .. } | Outcome::Throttled { .. } | Outcome::Cancelled => {}
    }
    let reader = asked.reader.filter(|_| outcome == Outcome::Success);
    let confidence = reader.and_then(|reader| reader.read(&headers, &bytes));
    if confidence.is_none() && reader.is_some_and(ConfidenceReader::needs_body) && is_garbage(&bytes) {
        return Err(fail(flight, Failed::new(FailureKind::Server, "bad_answer")));
    }
    flight.finish_at(outcome, fault, ended);
    match outcome {
        Outcome::Success | Outcome::Caller { .. } => {
            Ok(Answered { status, headers, body: AnswerBody::held(bytes), outcome, confidence, says, told })
        }
        Outcome::Failure { .. } | Outcome::Throttled { .. } | Outcome::Cancelled => {
            Err(Failed { key, is_final: says_final(&headers), ..Failed::refused(outcome) })
        }
    }
}

/// Sends the request and waits for the answer's head; tells the breaker when that takes suspiciously long.
async fn head(call: Call<'_>, endpoint: usize, flight: &mut Flight) -> Result<Heard, Failed> {
    let clock = call.state.shared.clock;
    let mut later = None;
    match call.met.and_then(|met| met.call_fault(call.state, call.route, call.backend)) {
        None => {}
        Some(CallFault::Unconnected) => return Err(Failed::new(FailureKind::Transport, "connect_failed")),
        Some(CallFault::Reset) => return Err(Failed::new(FailureKind::Transport, "backend_closed")),
        Some(CallFault::Answer(made)) => return Ok(Heard::Made(made)),
        Some(CallFault::Later(delay)) => later = call.met.map(|met| Box::pin(met.pause(delay))),
    }
    let pool = &call.state.pools[call.backend][endpoint];
    let mut request = Request::new(call.body);
    *request.method_mut() = call.method.clone();
    *request.headers_mut() = call.headers;
    let work = async {
        if let Some(later) = later {
            later.await;
        }
        pool.send(call.path, request).await
    };
    let mut work = std::pin::pin!(work);
    let slow_at = flight.slow_at();
    if slow_at < call.until.at {
        match tokio::time::timeout_at(clock.instant(slow_at), &mut work).await {
            Ok(reply) => return reply.map(Heard::Reply).map_err(|e| Failed::unsent(&e)),
            Err(_) => flight.slow(),
        }
    }
    match tokio::time::timeout_at(clock.instant(call.until.at), work).await {
        Ok(reply) => reply.map(Heard::Reply).map_err(|e| Failed::unsent(&e)),
        Err(_) => Err(Failed::new(FailureKind::Timeout, TIMEOUT)),
    }
}

fn fail(flight: Flight, failed: Failed) -> Failed {
    flight.finish(failed.outcome);
    failed
}

/// Whether an answer is passed on from its head on.
fn is_relayed(headers: &HeaderMap, length: Option<u64>, bound: usize) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |v| v.as_bytes());
    match length {
        Some(length) => length > bound as u64,
        None => content_type.starts_with(b"text/event-stream") || !content_type.starts_with(b"application/json"),
    }
}

/// What a success says against itself, in a word: an error in its body, or another version of the model than was asked.
fn contradiction(asked: &Asked<'_>, headers: &HeaderMap, body: &[u8]) -> Option<&'static str> {
    if protocol::is_error(asked.protocol, body) {
        return Some("error_in_answer");
    }
    let backend = &asked.state.shared.plan.backends[asked.backend];
    let version = backend.version.as_deref().filter(|_| backend.model.is_some())?;
    protocol::is_other_version(asked.protocol, headers, body, version).then_some("wrong_version")
}

/// Whether a backend, which may be another gateway, says that the same call is not to be made again.
fn says_final(headers: &HeaderMap) -> bool {
    headers.get("x-should-retry").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"false"))
}

/// Whether an answer is not JSON at all.
fn is_garbage(body: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(body).is_err()
}

impl Answered {
    /// A success that is passed on as it comes; its confidence may be in its headers.
    fn relayed(status: StatusCode, headers: HeaderMap, relay: Relay, reader: Option<&ConfidenceReader>) -> Answered {
        let confidence = reader.and_then(|reader| reader.read(&headers, &[]));
        let body = AnswerBody::Relayed(Box::new(relay));
        Answered { status, headers, body, outcome: Outcome::Success, confidence, says: None, told: None }
    }
}

/// Why an attempt failed whose time was up.
const TIMEOUT: &str = "timeout";

impl Failed {
    pub(crate) fn new(kind: FailureKind, reason: &'static str) -> Failed {
        Failed { outcome: Outcome::failure(kind), reason, fault: None, key: None, means: None, is_final: false }
    }

    /// The same with a meaning.
    fn meaning(self, means: Option<Kind>) -> Failed {
        Failed { means, ..self }
    }

    /// An answer that cannot be passed on.
    const fn refused(outcome: Outcome) -> Failed {
        let reason = match outcome {
            Outcome::Throttled { .. } => "throttled",
            Outcome::Cancelled => "cancelled",
            Outcome::Failure { .. } | Outcome::Caller { .. } | Outcome::Success => "backend_error",
        };
        Failed { outcome, reason, fault: None, key: None, means: None, is_final: false }
    }

    /// The same, held against the caller where its own body was what failed.
    fn blamed_on(self, upload: Option<&Upload>) -> Failed {
        let late = matches!(self.outcome, Outcome::Failure { kind: FailureKind::Timeout, .. });
        match upload.and_then(|upload| upload.fault(late)) {
            Some(fault) => {
                let reason = fault.cause().code();
                Failed { outcome: Outcome::Cancelled, reason, fault: Some(fault), ..self }
            }
            None => self,
        }
    }

    /// The same, held against nobody where it was too late for a caller in a hurry alone.
    fn late_by(self, until: Until) -> Failed {
        if self.reason == TIMEOUT { Failed { outcome: until.late(), ..self } } else { self }
    }

    fn unsent(error: &SendError) -> Failed {
        tracing::debug!(%error, "a backend could not be reached");
        match error {
            SendError::Connect(_) | SendError::Tls(_) => Failed::new(FailureKind::Transport, "connect_failed"),
            SendError::ConnectTimeout => Failed::new(FailureKind::Timeout, "connect_timeout"),
            SendError::Http(error) if error.is_parse() => Failed::new(FailureKind::Transport, "bad_answer"),
            SendError::Http(_) => Failed::new(FailureKind::Transport, "backend_closed"),
        }
    }
}

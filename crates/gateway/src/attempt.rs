//! One attempt at one backend: admitted, sent, judged, reported.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body::Body as _;
use mainstay_core::resilience::breaker::Ticket;
use mainstay_core::resilience::limiter::Sample;
use mainstay_core::resilience::outcome::{FailureKind, Outcome};
use mainstay_core::route::Protocol;
use mainstay_core::time::Time;
use mainstay_tower::clock::Clock;
use mainstay_tower::limit::Permit;

use crate::body::{AnswerBody, Outgoing, ReadUpTo, Upload, UploadFault, read_up_to};
use crate::protocol::{self, ConfidenceReader};
use crate::shared::BackendShared;
use crate::stream::Relay;
use crate::upstream::{Reply, SendError};
use crate::worker::State;

/// A call under way: what it holds at its backend. Dropped without an outcome it was cancelled.
pub(crate) struct Flight {
    backend: Arc<BackendShared>,
    ticket: Option<Ticket>,
    permit: Option<Permit>,
    endpoint: usize,
    clock: Clock,
    began: Time,
    first_byte: Option<Duration>,
    /// The backend said that it has too much to do.
    overloaded: bool,
}

impl Flight {
    pub(crate) fn new(
        backend: Arc<BackendShared>,
        ticket: Ticket,
        permit: Permit,
        endpoint: usize,
        clock: Clock,
        began: Time,
    ) -> Flight {
        let (ticket, permit) = (Some(ticket), Some(permit));
        Flight { backend, ticket, permit, endpoint, clock, began, first_byte: None, overloaded: false }
    }

    /// The call has ended.
    pub(crate) fn finish(self, outcome: Outcome) {
        let now = self.clock.now();
        self.finish_at(outcome, now);
    }

    fn finish_at(mut self, outcome: Outcome, now: Time) {
        self.end(outcome, now);
    }

    fn end(&mut self, outcome: Outcome, now: Time) {
        let Some(ticket) = self.ticket.take() else { return };
        self.backend.breaker.report(ticket, outcome, now);
        self.backend.leave(self.endpoint, outcome, now);
        let Some(permit) = self.permit.take() else { return };
        let dropped = match outcome {
            Outcome::Success | Outcome::Caller { .. } => false,
            Outcome::Failure { kind: FailureKind::Timeout, .. } | Outcome::Throttled { .. } => true,
            Outcome::Failure { .. } if self.overloaded => true,
            // An instant error says nothing about how much the backend can carry.
            Outcome::Failure { .. } | Outcome::Cancelled => return drop(permit),
        };
        permit.finish(Sample { latency: now.since(self.began), first_byte: self.first_byte, dropped }, now);
    }

    /// When the call becomes slow.
    fn slow_at(&self) -> Time {
        self.began + self.backend.breaker.slow_after()
    }

    /// The call has become slow.
    fn slow(&mut self) {
        if let Some(ticket) = &mut self.ticket {
            self.backend.breaker.slow(ticket, self.clock.now());
        }
    }

    /// The answer's head came.
    fn head_came(&mut self, status: StatusCode) {
        let now = self.clock.now();
        self.first_byte = Some(now.since(self.began));
        self.overloaded = matches!(status.as_u16(), 503 | 529);
        if let Some(ticket) = &mut self.ticket {
            self.backend.breaker.answer_began(ticket, now);
        }
    }

    /// The first part of a relayed answer came: a limit on the time to first token learns of it before the end.
    pub(crate) fn first_part_came(&mut self) {
        let now = self.clock.now();
        if let Some(permit) = &mut self.permit {
            permit.first_byte(now.since(self.began), now);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.ticket.is_some() {
            self.end(Outcome::Cancelled, self.clock.now());
        }
    }
}

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
    pub(crate) until: Time,
    /// When a relayed answer must have ended.
    pub(crate) deadline: Time,
    /// What of the answer has to be read.
    pub(crate) reader: Option<&'a ConfidenceReader>,
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
}

/// Why an attempt gave no answer that can be passed on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed {
    pub(crate) outcome: Outcome,
    /// In one word, for headers and metrics.
    pub(crate) reason: &'static str,
    /// What the caller did wrong, where it was not the backend.
    pub(crate) fault: Option<UploadFault>,
}

/// Sends a call and judges its answer.
///
/// An answer that fits `answer_bytes` is held until it is whole, so that one that breaks off is still another attempt's
/// chance; event streams and longer answers are passed on from their head on.
pub(crate) async fn send(call: Call<'_>, endpoint: usize, mut flight: Flight) -> Result<Answered, Failed> {
    let shared = &call.state.shared;
    let bound = shared.plan.limits.answer_bytes;
    let (protocol, clock, until, deadline) = (call.protocol, shared.clock, call.until, call.deadline);
    let keyed = call.keyed;
    let (upload, reader) = (call.body.upload(), call.reader);
    let reply = match head(call, endpoint, &mut flight).await {
        Ok(reply) => reply,
        Err(failed) => return Err(fail(flight, failed.blamed_on(upload.as_ref()))),
    };
    let Reply { response, lease } = reply;
    flight.head_came(response.status());
    let (parts, mut body) = response.into_parts();
    let (status, headers) = (parts.status, parts.headers);
    if is_relayed(&headers, body.size_hint().exact(), bound) && status.is_success() {
        let relay = Relay::new(Bytes::new(), body, lease, flight, deadline).beside(upload);
        return Ok(Answered::relayed(status, headers, relay, reader));
    }
    let bytes = match tokio::time::timeout_at(clock.instant(until), read_up_to(&mut body, bound)).await {
        Ok(Ok(ReadUpTo::Whole(bytes))) => {
            lease.give_back();
            bytes
        }
        Ok(Ok(ReadUpTo::Longer(start))) if status.is_success() => {
            let relay = Relay::new(start, body, lease, flight, deadline).beside(upload);
            return Ok(Answered::relayed(status, headers, relay, reader));
        }
        Ok(Ok(ReadUpTo::Longer(start))) => {
            let outcome = protocol::classify(protocol, status.as_u16(), &headers, Some(&start), clock.now());
            let Outcome::Caller { .. } = outcome else {
                return Err(fail(flight, Failed::refused(outcome)));
            };
            let relay = Relay::new(start, body, lease, flight, deadline).beside(upload).judged(outcome);
            return Ok(Answered { outcome, ..Answered::relayed(status, headers, relay, None) });
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "a backend broke its answer off");
            let failed = Failed::new(FailureKind::Transport, "backend_closed");
            return Err(fail(flight, failed.blamed_on(upload.as_ref())));
        }
        Err(_) => {
            let failed = Failed::new(FailureKind::Timeout, "timeout");
            return Err(fail(flight, failed.blamed_on(upload.as_ref())));
        }
    };
    let start = protocol::needs_body(protocol, status.as_u16()).then_some(&*bytes);
    let ended = clock.now();
    let outcome = match protocol::classify(protocol, status.as_u16(), &headers, start, ended) {
        Outcome::Caller { status: 401 | 403 } if keyed => Outcome::failure(FailureKind::Server),
        outcome => outcome,
    };
    let reader = reader.filter(|_| outcome == Outcome::Success);
    let confidence = reader.and_then(|reader| reader.read(&headers, &bytes));
    if confidence.is_none() && reader.is_some_and(ConfidenceReader::needs_body) && is_garbage(&bytes) {
        return Err(fail(flight, Failed::new(FailureKind::Server, "bad_answer")));
    }
    flight.finish_at(outcome, ended);
    match outcome {
        Outcome::Success | Outcome::Caller { .. } => {
            Ok(Answered { status, headers, body: AnswerBody::held(bytes), outcome, confidence })
        }
        Outcome::Failure { .. } | Outcome::Throttled { .. } | Outcome::Cancelled => Err(Failed::refused(outcome)),
    }
}

/// Sends the request and waits for the answer's head; tells the breaker when that takes suspiciously long.
async fn head(call: Call<'_>, endpoint: usize, flight: &mut Flight) -> Result<Reply, Failed> {
    let clock = call.state.shared.clock;
    let pool = &call.state.pools[call.backend][endpoint];
    let mut request = Request::new(call.body);
    *request.method_mut() = call.method.clone();
    *request.headers_mut() = call.headers;
    let mut work = std::pin::pin!(pool.send(call.path, request));
    let slow_at = flight.slow_at();
    if slow_at < call.until {
        match tokio::time::timeout_at(clock.instant(slow_at), &mut work).await {
            Ok(reply) => return reply.map_err(|e| Failed::unsent(&e)),
            Err(_) => flight.slow(),
        }
    }
    match tokio::time::timeout_at(clock.instant(call.until), work).await {
        Ok(reply) => reply.map_err(|e| Failed::unsent(&e)),
        Err(_) => Err(Failed::new(FailureKind::Timeout, "timeout")),
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

/// Whether an answer is not JSON at all.
fn is_garbage(body: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(body).is_err()
}

impl Answered {
    /// A success that is passed on as it comes; its confidence may be in its headers.
    fn relayed(status: StatusCode, headers: HeaderMap, relay: Relay, reader: Option<&ConfidenceReader>) -> Answered {
        let confidence = reader.and_then(|reader| reader.read(&headers, &[]));
        let body = AnswerBody::Relayed(Box::new(relay));
        Answered { status, headers, body, outcome: Outcome::Success, confidence }
    }
}

impl Failed {
    pub(crate) fn new(kind: FailureKind, reason: &'static str) -> Failed {
        Failed { outcome: Outcome::failure(kind), reason, fault: None }
    }

    /// An answer that cannot be passed on.
    const fn refused(outcome: Outcome) -> Failed {
        let reason = match outcome {
            Outcome::Throttled { .. } => "throttled",
            Outcome::Cancelled => "cancelled",
            Outcome::Failure { .. } | Outcome::Caller { .. } | Outcome::Success => "backend_error",
        };
        Failed { outcome, reason, fault: None }
    }

    /// The same, held against the caller where its own body was what failed.
    fn blamed_on(self, upload: Option<&Upload>) -> Failed {
        let late = matches!(self.outcome, Outcome::Failure { kind: FailureKind::Timeout, .. });
        match upload.and_then(|upload| upload.fault(late)) {
            Some(fault) => Failed { outcome: Outcome::Cancelled, reason: fault.cause().code(), fault: Some(fault) },
            None => self,
        }
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

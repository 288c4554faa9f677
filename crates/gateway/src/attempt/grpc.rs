//! An answer over gRPC: HTTP says that all is well, and what came of the call stands in its trailers.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use mainstay_core::resilience::outcome::{FailureKind, Outcome};
use tokio::time::timeout_at;

use super::{Answered, Asked, Failed, Flight, TIMEOUT, fail};
use crate::body::{AnswerBody, ReadUpTo, Upload, read_up_to};
use crate::protocol::grpc::{self, Code};
use crate::protocol::{self, Rpc, StreamErrors};
use crate::upstream::pool::Lease;

/// Judges an answer. A message that fits `answer_bytes` is held until its status is there. A stream is passed on from its first message on:
/// until then a status is what an attempt comes to.
pub(super) async fn receive(
    asked: &Asked<'_>,
    rpc: Rpc,
    response: Response<Incoming>,
    lease: Lease,
    flight: Flight,
    upload: Option<Upload>,
) -> Result<Answered, Failed> {
    let (parts, mut body) = response.into_parts();
    let headers = parts.headers;
    if parts.status != StatusCode::OK || !grpc::is_grpc(&headers) {
        return Err(fail(flight, foreign(asked, parts.status, &headers)));
    }
    if Code::of(&headers).is_some() {
        return judge(asked, flight, headers, Bytes::new(), None);
    }
    let read = async {
        if rpc == Rpc::StreamInfer {
            first(&mut body).await
        } else {
            read_up_to(&mut body, asked.state.shared.plan.limits.answer_bytes).await
        }
    };
    match timeout_at(asked.state.shared.clock.instant(asked.until.at), read).await {
        Ok(Ok(ReadUpTo::Whole(bytes, trailers))) => {
            lease.give_back();
            judge(asked, flight, headers, bytes, Some(trailers.unwrap_or_default()))
        }
        // Who has sent all of its request can be answered by somebody else. Whose fault it is the backend does not tell.
        Ok(Ok(ReadUpTo::Longer(start))) if rpc == Rpc::StreamInfer && upload.is_none() && tells_of_an_error(&start) => {
            let failed = Failed { outcome: Outcome::Cancelled, ..Failed::new(FailureKind::Server, "error_in_answer") };
            Err(fail(flight, failed))
        }
        Ok(Ok(ReadUpTo::Longer(start))) => {
            let relay = asked.relay(start, body, lease, flight, upload).of_grpc(rpc == Rpc::StreamInfer);
            Ok(Answered::relayed(StatusCode::OK, headers, relay, asked.reader))
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "a backend broke its answer off");
            let failed = Failed::new(FailureKind::Transport, "backend_closed");
            Err(fail(flight, failed.blamed_on(upload.as_ref())))
        }
        Err(_) => {
            let failed = Failed::new(FailureKind::Timeout, TIMEOUT);
            Err(fail(flight, failed.blamed_on(upload.as_ref()).late_by(asked.until)))
        }
    }
}

fn tells_of_an_error(start: &[u8]) -> bool {
    let mut errors = StreamErrors::default();
    errors.handle(start);
    errors.found()
}

/// The start of a stream, or its end where it has no message.
async fn first(body: &mut Incoming) -> Result<ReadUpTo, hyper::Error> {
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(start) if start.is_empty() => {}
            Ok(start) => return Ok(ReadUpTo::Longer(start)),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
        if body.is_end_stream() {
            break;
        }
    }
    Ok(ReadUpTo::Whole(Bytes::new(), trailers))
}

/// An answer that no backend gave.
pub(super) fn made(asked: &Asked<'_>, flight: Flight, headers: HeaderMap, body: Bytes) -> Result<Answered, Failed> {
    judge(asked, flight, headers, body, None)
}

/// An answer that is not gRPC: of a proxy in between, or of something else at this address.
fn foreign(asked: &Asked<'_>, status: StatusCode, headers: &HeaderMap) -> Failed {
    let now = asked.state.shared.clock.now();
    match protocol::classify(asked.protocol, status.as_u16(), headers, None, now) {
        outcome @ (Outcome::Throttled { .. } | Outcome::Failure { .. }) => Failed::refused(outcome),
        Outcome::Success | Outcome::Caller { .. } | Outcome::Cancelled => Failed::new(FailureKind::Server, "not_grpc"),
    }
}

/// Judges an answer that is held in whole; without trailers of its own its status is in its headers.
fn judge(
    asked: &Asked<'_>,
    mut flight: Flight,
    headers: HeaderMap,
    bytes: Bytes,
    trailers: Option<HeaderMap>,
) -> Result<Answered, Failed> {
    let bytes = asked.spoiled(&bytes).unwrap_or(bytes);
    let ended = asked.state.shared.clock.now();
    let told = trailers.as_ref().unwrap_or(&headers);
    let Some(code) = Code::of(told) else {
        return Err(fail(flight, Failed::new(FailureKind::Server, "no_grpc_status")));
    };
    let outcome = grpc::outcome(code, told, ended);
    let status = if let Outcome::Caller { status } = outcome { status } else { code.http_status() };
    let fault = protocol::key_fault(asked.protocol, status, &[]);
    let key = fault.filter(|_| asked.keyed);
    let outcome = match outcome {
        Outcome::Caller { .. } if key.is_some() => Outcome::failure(FailureKind::Server),
        outcome => outcome,
    };
    if outcome == Outcome::Success
        && let Some(reason) = contradiction(asked, &bytes)
    {
        return Err(fail(flight, Failed::new(FailureKind::Server, reason)));
    }
    flight.overloaded = code == Code::Unavailable;
    flight.finish_at(outcome, fault, ended);
    let (Outcome::Success | Outcome::Caller { .. }) = outcome else {
        return Err(Failed { key, ..Failed::refused(outcome) });
    };
    let confidence = asked.reader.filter(|_| outcome == Outcome::Success).and_then(|reader| reader.read(&headers, &[]));
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = match trailers {
        Some(trailers) => AnswerBody::message(bytes, trailers),
        None => AnswerBody::held(bytes),
    };
    Ok(Answered { status, headers, body, outcome, confidence, says: None, told: None })
}

/// What a success says against itself, in a word: no message, several, or another version of the model than was asked.
fn contradiction(asked: &Asked<'_>, body: &[u8]) -> Option<&'static str> {
    let rpc = asked.rpc?;
    if rpc != Rpc::StreamInfer && !grpc::is_one_message(body) {
        return Some("bad_answer");
    }
    if rpc != Rpc::Infer {
        return None;
    }
    let backend = &asked.state.shared.plan.backends[asked.backend];
    let version = backend.version.as_deref().filter(|_| backend.model.is_some())?;
    protocol::is_other_version_over_grpc(body, version).then_some("wrong_version")
}

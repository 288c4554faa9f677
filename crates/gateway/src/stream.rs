//! An answer that is passed on as it comes, and what is known once it ends.

mod tail;

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use mainstay_core::event::RequestFinished;
use mainstay_core::resilience::outcome::{FailureKind, Outcome};
use mainstay_core::time::Time;
use tokio::time::{Instant, Sleep};

use crate::attempt::Flight;
use crate::body::Upload;
use crate::chaos::{Cut, Met, Standing, StreamFault, StreamWork};
use crate::checks::Case;
use crate::counters::{Ended, Ending};
use crate::protocol::StreamErrors;
use crate::protocol::grpc::{self, Code};
use crate::until::Until;
use crate::upstream::pool::Lease;
use crate::worker::State;
use tail::{Said, Tail};

/// A backend's answer on its way to the caller.
///
/// The backend's permit is held until the answer ends; how it ends is what its breaker learns. Dropped before the end,
/// the caller is gone: the connection to the backend is closed, and nothing is held against it.
pub(crate) struct Relay {
    start: Option<Bytes>,
    rest: Incoming,
    lease: Option<Lease>,
    flight: Option<Flight>,
    ends: Until,
    timer: Option<Pin<Box<Sleep>>>,
    record: Option<Record>,
    /// Whether the first part has come.
    begun: bool,
    /// Parts that have come. A language model's server sends one for each token, or nearly so.
    parts: u32,
    /// What the backend's breaker learns where the answer ends well.
    verdict: Outcome,
    /// The request's body, where it may still be on its way.
    upload: Option<Upload>,
    /// What becomes of it on purpose.
    fault: Option<Box<StreamWork>>,
    /// Where gRPC is spoken: whether the status that ends it has gone on.
    grpc: Option<bool>,
    /// Of a stream that says itself whether it is whole.
    tail: Option<Box<Tail>>,
    /// Its end has gone on.
    told: bool,
    /// Errors among its messages, where they may be.
    errors: Option<StreamErrors>,
}

/// What is counted when the answer ends.
pub(crate) struct Record {
    pub(crate) state: Rc<State>,
    pub(crate) route: usize,
    pub(crate) began: Time,
    pub(crate) ended: Ended,
    /// What is told of it where it is kept.
    pub(crate) draft: Box<RequestFinished>,
    /// The order that the request met; its place is given back when the answer has ended.
    pub(crate) met: Option<Box<Met>>,
    /// Its checks.
    pub(crate) case: Option<Box<Case>>,
}

impl Record {
    /// Counts the request; `None`: it ended as it began.
    pub(crate) fn end(mut self, ending: Option<Ending>, parts: u32) {
        self.ended.at = self.state.shared.clock.now();
        self.ended.parts = parts;
        let whole = self.ended.at.since(self.began);
        // The model went on answering since the head came.
        let streamed = whole.saturating_sub(self.ended.duration);
        self.ended.inference = self.ended.inference.map(|took| took + streamed);
        self.ended.duration = whole;
        self.ended.ending = ending.unwrap_or(self.ended.ending);
        self.state.end(self.route, &self.ended);
        // Who left has not seen all of it, and nobody knows how much.
        if let Some(case) = self.case.take().filter(|_| self.ended.ending != Ending::Cancelled) {
            case.close(&self.state, self.ended);
        }
        let Record { state, route, ended, mut draft, met, .. } = self;
        if let Some(met) = &met {
            met.count(&state, &ended);
            if met.is_left_out(&state.shared.plan) {
                return;
            }
        }
        let kept = state.kept(route, &ended);
        if kept.any() {
            ended.tell(&mut draft);
            if ended.ending == Ending::BrokenOff && draft.reason.is_none() {
                draft.reason = Some("broken_off".into());
            }
            state.keep(*draft, &kept, ended.at);
        }
    }
}

/// Why a relayed answer broke off. The caller sees its connection (HTTP/1.1) or stream (HTTP/2) reset.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The backend's connection broke.
    Backend(hyper::Error),
    /// As if the backend's connection had broken.
    OnPurpose,
    /// The deadline passed.
    Deadline,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Backend(error) => write!(f, "the backend broke the answer off: {error}"),
            Broken::OnPurpose => f.write_str("the answer was broken off on purpose"),
            Broken::Deadline => f.write_str("the deadline passed during the answer"),
        }
    }
}

impl std::error::Error for Broken {}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("ends", &self.ends).finish_non_exhaustive()
    }
}

impl Relay {
    pub(crate) fn new(start: Bytes, rest: Incoming, lease: Lease, flight: Flight, ends: Until) -> Relay {
        Relay {
            start: Some(start).filter(|s| !s.is_empty()),
            rest,
            lease: Some(lease),
            flight: Some(flight),
            ends,
            timer: None,
            record: None,
            begun: false,
            parts: 0,
            verdict: Outcome::Success,
            upload: None,
            fault: None,
            grpc: None,
            tail: None,
            told: false,
            errors: None,
        }
    }

    /// The same for a stream of OpenAI's `/responses`: one that ends without saying so was cut, and its caller is told.
    pub(crate) fn of_responses(mut self) -> Relay {
        self.tail = Some(Box::default());
        self
    }

    /// The next events of a stream that says itself whether it is whole.
    fn poll_told(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            let Some(tail) = self.tail.as_mut().filter(|_| !self.told) else { return Poll::Ready(None) };
            let said = tail.said();
            let came = match self.start.take() {
                Some(start) => Poll::Ready(Some(Ok(Frame::data(start)))),
                None => self.poll_rest(cx),
            };
            let (kind, code, why) = match came {
                Poll::Ready(Some(Ok(frame))) => {
                    self.note_part();
                    let Ok(bytes) = frame.into_data() else { continue };
                    let on = self.tail.as_mut().map_or(Bytes::new(), |tail| tail.push(&bytes));
                    if on.is_empty() {
                        continue;
                    }
                    return Poll::Ready(Some(Ok(Frame::data(on))));
                }
                // Once it has said so, nothing takes that away.
                Poll::Ready(_) if said == Some(Said::Whole) => {
                    self.told = true;
                    self.end();
                    let rest = self.tail.as_mut().map_or(Bytes::new(), |tail| tail.rest());
                    return Poll::Ready((!rest.is_empty()).then(|| Ok(Frame::data(rest))));
                }
                Poll::Ready(_) if said == Some(Said::Failed) => {
                    self.told = true;
                    self.break_off(FailureKind::Server);
                    return Poll::Ready(None);
                }
                Poll::Ready(_) => (FailureKind::BrokenStream, "stream_cut", "the answer was cut off"),
                Poll::Pending => {
                    std::task::ready!(self.poll_deadline(cx));
                    (FailureKind::Timeout, "deadline", "the deadline passed during the answer")
                }
            };
            self.told = true;
            if let Some(record) = &mut self.record {
                record.draft.reason = Some(code.into());
            }
            self.break_off(kind);
            return Poll::Ready(Some(Ok(Frame::data(tail::error(code, why)))));
        }
    }

    /// The same over gRPC: how it ends stands in its trailers, and where the backend sends none the caller is told all the same.
    /// `infers`: its messages may be errors.
    pub(crate) fn of_grpc(mut self, infers: bool) -> Relay {
        (self.grpc, self.errors) = (Some(false), infers.then(StreamErrors::default));
        self
    }

    /// The next frame over gRPC.
    fn poll_grpc(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.grpc == Some(true) {
            return Poll::Ready(None);
        }
        if let Some(start) = self.start.take() {
            self.note_part();
            self.note_errors(&start);
            return Poll::Ready(Some(Ok(Frame::data(start))));
        }
        let (kind, code, why) = match self.poll_rest(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                match frame.trailers_ref() {
                    Some(trailers) => self.told(trailers),
                    None => self.note_part(),
                }
                if let Some(data) = frame.data_ref() {
                    self.note_errors(data);
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(Some(Err(error))) => {
                tracing::debug!(%error, "a stream broke off");
                (FailureKind::BrokenStream, Code::Unavailable, "the backend broke its answer off")
            }
            Poll::Ready(None) => {
                (FailureKind::BrokenStream, Code::Unavailable, "the backend's answer ended without a status")
            }
            Poll::Pending => {
                std::task::ready!(self.poll_deadline(cx));
                (FailureKind::Timeout, Code::DeadlineExceeded, "the deadline passed during the answer")
            }
        };
        self.grpc = Some(true);
        self.break_off(kind);
        Poll::Ready(Some(Ok(Frame::trailers(grpc::trailers(code, why)))))
    }

    fn note_errors(&mut self, data: &[u8]) {
        if let Some(errors) = &mut self.errors {
            errors.handle(data);
        }
    }

    /// The status came that ends it.
    fn told(&mut self, trailers: &HeaderMap) {
        self.grpc = Some(true);
        let code = Code::of(trailers).unwrap_or(Code::Unknown);
        let now = self.record.as_ref().map_or(Time::ZERO, |record| record.state.shared.clock.now());
        self.verdict = grpc::outcome(code, trailers, now);
        let erred = self.errors.as_ref().is_some_and(StreamErrors::found);
        if erred && self.verdict == Outcome::Success {
            // Whose fault it is the backend does not tell: no answer, and nobody's failure.
            self.verdict = Outcome::Cancelled;
        }
        let ending = match self.verdict {
            Outcome::Success => None,
            Outcome::Caller { .. } => Some(Ending::CallersFault),
            Outcome::Failure { .. } | Outcome::Throttled { .. } | Outcome::Cancelled => Some(Ending::BrokenOff),
        };
        if let Some(record) = &mut self.record {
            record.ended.code = code.http_status();
        }
        self.end_as(ending);
    }

    /// The same for an answer that is no success.
    pub(crate) fn judged(mut self, verdict: Outcome) -> Relay {
        self.verdict = verdict;
        self
    }

    /// The same for a request whose body is passed on as it comes.
    pub(crate) fn beside(mut self, upload: Option<Upload>) -> Relay {
        self.upload = upload;
        self
    }

    /// The same for an answer that a fault on purpose comes to, for as long as its order stands.
    pub(crate) fn disturbed(mut self, fault: Option<(StreamFault, Arc<Standing>)>, headers: &HeaderMap) -> Relay {
        if let Some((fault, standing)) = fault {
            let start = self.start.take().unwrap_or_default();
            self.fault = Some(Box::new(StreamWork::new(fault, standing, headers, start)));
        }
        self
    }

    /// Whether the backend's answer has ended, and nothing is done to it on purpose.
    fn has_ended(&self) -> bool {
        self.rest.is_end_stream() && self.fault.as_ref().is_none_or(|fault| fault.ends_with_the_rest())
    }

    /// The next frame that goes on.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut self.fault {
            None => Pin::new(&mut self.rest).poll_frame(cx).map_err(Broken::Backend),
            Some(fault) => fault.poll_frame(&mut self.rest, cx).map_err(|cut| match cut {
                Cut::Broke(error) => Broken::Backend(error),
                Cut::Fault => Broken::OnPurpose,
            }),
        }
    }

    /// When it must have ended.
    pub(crate) fn ends_by(&self) -> Option<Instant> {
        self.record.as_ref().map(|record| record.state.shared.clock.instant(self.ends.at))
    }

    /// Whether gRPC is spoken.
    pub(crate) const fn is_grpc(&self) -> bool {
        self.grpc.is_some()
    }

    /// Says what to count once the answer ends.
    pub(crate) fn record(&mut self, record: Record) {
        self.record = Some(record);
    }

    /// The answer has ended well.
    fn end(&mut self) {
        self.end_as(None);
    }

    fn end_as(&mut self, ending: Option<Ending>) {
        if let Some(flight) = self.flight.take() {
            flight.finish(self.verdict);
        }
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
        self.count(ending);
    }

    /// The answer broke off: by the backend, or because the caller's own body did.
    fn break_off(&mut self, kind: FailureKind) {
        let late = kind == FailureKind::Timeout;
        let fault = self.upload.as_ref().and_then(|upload| upload.fault(late));
        if let Some(flight) = self.flight.take() {
            flight.finish(match fault {
                Some(_) => Outcome::Cancelled,
                None if late => self.ends.late(),
                None => Outcome::failure(kind),
            });
        }
        self.lease = None;
        self.count(Some(if fault.is_some() { Ending::Cancelled } else { Ending::BrokenOff }));
    }

    /// Counts the request, once; `None`: it ended as it began.
    fn count(&mut self, ending: Option<Ending>) {
        if let Some(record) = self.record.take() {
            record.end(ending, self.parts);
        }
    }

    fn note_part(&mut self) {
        self.parts = self.parts.saturating_add(1);
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        if let Some(flight) = &mut self.flight {
            flight.first_part_came();
        }
        if let Some(record) = &mut self.record {
            record.ended.first_part = Some(record.state.shared.clock.now().since(record.began));
        }
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(record) = &self.record else { return Poll::Pending };
        let at = record.state.shared.clock.instant(self.ends.at);
        self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at))).as_mut().poll(cx)
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let me = self.get_mut();
        if me.grpc.is_some() {
            return me.poll_grpc(cx);
        }
        if me.tail.is_some() {
            return me.poll_told(cx);
        }
        if let Some(start) = me.start.take() {
            if me.has_ended() {
                me.end();
            }
            return Poll::Ready(Some(Ok(Frame::data(start))));
        }
        match me.poll_rest(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                me.note_part();
                if me.has_ended() {
                    me.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                me.break_off(FailureKind::BrokenStream);
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                me.end();
                Poll::Ready(None)
            }
            Poll::Pending => {
                std::task::ready!(me.poll_deadline(cx));
                me.break_off(FailureKind::Timeout);
                Poll::Ready(Some(Err(Broken::Deadline)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self.grpc {
            Some(ended) => ended,
            None if self.tail.is_some() => self.told,
            None => self.start.is_none() && self.has_ended(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        if self.grpc.is_some() || self.tail.is_some() {
            return SizeHint::default();
        }
        let first = self.start.as_ref().map_or(0, |b| b.len() as u64);
        self.rest.size_hint().exact().map_or_else(SizeHint::default, |n| SizeHint::with_exact(n + first))
    }
}

impl Drop for Relay {
    /// The flight reports the cancellation itself; the request is counted as the caller left it.
    fn drop(&mut self) {
        self.count(Some(Ending::Cancelled));
    }
}

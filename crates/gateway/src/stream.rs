//! An answer that is passed on as it comes, and what is known once it ends.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use mainstay_core::event::RequestFinished;
use mainstay_core::resilience::outcome::{FailureKind, Outcome};
use mainstay_core::time::Time;
use tokio::time::Sleep;

use crate::attempt::Flight;
use crate::body::Upload;
use crate::counters::{Ended, Ending};
use crate::upstream::pool::Lease;
use crate::worker::State;

/// A backend's answer on its way to the caller.
///
/// The backend's permit is held until the answer ends; how it ends is what its breaker learns. Dropped before the end,
/// the caller is gone: the connection to the backend is closed, and nothing is held against it.
pub(crate) struct Relay {
    start: Option<Bytes>,
    rest: Incoming,
    lease: Option<Lease>,
    flight: Option<Flight>,
    deadline: Time,
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
}

/// What is counted when the answer ends.
pub(crate) struct Record {
    pub(crate) state: Rc<State>,
    pub(crate) route: usize,
    pub(crate) began: Time,
    pub(crate) ended: Ended,
    /// What is told of it where it is kept.
    pub(crate) draft: Box<RequestFinished>,
}

/// Why a relayed answer broke off. The caller sees its connection (HTTP/1.1) or stream (HTTP/2) reset.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The backend's connection broke.
    Backend(hyper::Error),
    /// The deadline passed.
    Deadline,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Backend(error) => write!(f, "the backend broke the answer off: {error}"),
            Broken::Deadline => f.write_str("the deadline passed during the answer"),
        }
    }
}

impl std::error::Error for Broken {}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl Relay {
    pub(crate) fn new(start: Bytes, rest: Incoming, lease: Lease, flight: Flight, deadline: Time) -> Relay {
        Relay {
            start: Some(start).filter(|s| !s.is_empty()),
            rest,
            lease: Some(lease),
            flight: Some(flight),
            deadline,
            timer: None,
            record: None,
            begun: false,
            parts: 0,
            verdict: Outcome::Success,
            upload: None,
        }
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

    /// Says what to count once the answer ends.
    pub(crate) fn record(&mut self, record: Record) {
        self.record = Some(record);
    }

    /// The answer has ended well.
    fn end(&mut self) {
        if let Some(flight) = self.flight.take() {
            flight.finish(self.verdict);
        }
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
        self.count(None);
    }

    /// The answer broke off: by the backend, or because the caller's own body did.
    fn break_off(&mut self, kind: FailureKind) {
        let late = kind == FailureKind::Timeout;
        let fault = self.upload.as_ref().and_then(|upload| upload.fault(late));
        if let Some(flight) = self.flight.take() {
            flight.finish(if fault.is_some() { Outcome::Cancelled } else { Outcome::failure(kind) });
        }
        self.lease = None;
        self.count(Some(if fault.is_some() { Ending::Cancelled } else { Ending::BrokenOff }));
    }

    /// Counts the request, once; `None`: it ended as it began.
    fn count(&mut self, ending: Option<Ending>) {
        let Some(mut record) = self.record.take() else { return };
        record.ended.at = record.state.shared.clock.now();
        record.ended.parts = self.parts;
        let whole = record.ended.at.since(record.began);
        // The model went on answering since the head came.
        let streamed = whole.saturating_sub(record.ended.duration);
        record.ended.inference = record.ended.inference.map(|took| took + streamed);
        record.ended.duration = whole;
        record.ended.ending = ending.unwrap_or(record.ended.ending);
        record.state.end(record.route, &record.ended);
        let Record { state, route, ended, mut draft, .. } = record;
        let kept = state.kept(route, &ended);
        if kept.any() {
            (draft.duration, draft.inference, draft.first_token) = (ended.duration, ended.inference, ended.first_part);
            if ended.ending == Ending::BrokenOff {
                draft.reason = Some("broken_off".into());
            }
            state.keep(*draft, &kept, ended.at);
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
        let (Some(record), deadline) = (&self.record, self.deadline) else { return Poll::Pending };
        let at = record.state.shared.clock.instant(deadline);
        self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at))).as_mut().poll(cx)
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let me = self.get_mut();
        if let Some(start) = me.start.take() {
            if me.rest.is_end_stream() {
                me.end();
            }
            return Poll::Ready(Some(Ok(Frame::data(start))));
        }
        match Pin::new(&mut me.rest).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                me.note_part();
                if me.rest.is_end_stream() {
                    me.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                me.break_off(FailureKind::BrokenStream);
                Poll::Ready(Some(Err(Broken::Backend(error))))
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
        self.start.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
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

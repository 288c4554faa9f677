//! A language model's streamed answer on its way through: the core's machine decides, this reads, waits and passes on.
//!
//! Before the machine commits, [`Driver`] runs within an attempt, and a stream that fails is a failed attempt. Afterwards [`Streamed`] is the
//! body that the caller's connection reads, and who takes over is looked for by a future of its own.

mod body;
mod rescue;

use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame};
use hyper::body::Incoming;
use mainstay_core::llm::Dialect;
use mainstay_core::llm::answering::{Answering, Begun, Effect, End, Fault, Settings, broken};
use mainstay_core::llm::taxonomy::{self, Kind};
use mainstay_core::plan::OnRefusal;
use mainstay_core::resilience::keys;
use mainstay_core::resilience::outcome::{FailureKind, Outcome};
use mainstay_core::safety::Why;
use mainstay_core::time::Time;
use tokio::time::Sleep;

use crate::attempt::Flight;
use crate::chaos::{Standing, StreamFault, StreamWork};
use crate::protocol::{self, QUOTA_PAUSE};
use crate::shared::Shared;
use crate::until::Until;
use crate::upstream::pool::Lease;
use crate::worker::State;
pub(crate) use body::Streamed;
pub(crate) use rescue::{By, Plan, Rescued};

/// How long, and for how many bytes, the end of a body is waited for once its last event has come.
const REST_TIME: Duration = Duration::from_millis(100);
const REST_BYTES_MAX: usize = 16 << 10;

/// How a request wants its answer streamed.
#[derive(Clone, Debug)]
pub(crate) struct Streaming {
    pub(crate) settings: Settings,
    /// The stream is for somebody who reads it himself: it is handed over as soon as it is there.
    pub(crate) hands_over: bool,
    /// How long its caller hears nothing before it is shown that somebody is there.
    pub(crate) beat: Duration,
}

impl Streaming {
    /// Of an answer in this dialect under a route's bounds.
    pub(crate) fn of(shared: &Shared, route: usize, dialect: Dialect, request_id: &str) -> Streaming {
        let plan = &shared.plan.routes[route];
        let settings = Settings {
            others_on_filter: plan.on_content_refusal == OnRefusal::Next,
            hold_bytes: shared.plan.limits.answer_bytes,
            said_max: shared.routes[route].said_max,
            whole_max: if shared.routes[route].caches { shared.plan.limits.answer_bytes } else { 0 },
            request_id: request_id.to_owned(),
            created: shared.clock.now().as_millis() / 1000,
            ..Settings::new(dialect, plan.stream.clone())
        };
        Streaming { settings, hands_over: false, beat: BEAT }
    }
}

/// How long a caller that has the beginning of its answer hears nothing unless it asks for less, and the least that it can ask for.
pub(crate) const BEAT: Duration = Duration::from_secs(5);
pub(crate) const BEAT_MIN: Duration = Duration::from_millis(50);

/// A backend's stream.
pub(crate) struct Upstream {
    pub(crate) dialect: Dialect,
    /// When it was asked.
    pub(crate) asked: Time,
    body: Incoming,
    lease: Option<Lease>,
    flight: Option<Flight>,
    /// What becomes of it on purpose.
    fault: Option<Box<StreamWork>>,
    began: bool,
    /// What came of it, for whoever is to read it from its beginning: while it is kept, and while that is read.
    kept: Option<VecDeque<Bytes>>,
    replays: bool,
}

impl Upstream {
    pub(crate) fn new(dialect: Dialect, body: Incoming, lease: Lease, flight: Flight) -> Upstream {
        let asked = flight.began();
        let (lease, flight) = (Some(lease), Some(flight));
        Upstream { dialect, asked, body, lease, flight, fault: None, began: false, kept: None, replays: false }
    }

    /// Keeps what comes, no more than its answering holds.
    pub(crate) fn keep(&mut self) {
        self.kept = Some(VecDeque::new());
    }

    /// The same, to be read from its beginning.
    fn rewound(mut self) -> Upstream {
        self.replays = self.kept.is_some();
        self
    }

    /// The same for an answer that a fault on purpose comes to.
    pub(crate) fn disturbed(
        mut self,
        fault: Option<(StreamFault, Arc<Standing>)>,
        headers: &http::HeaderMap,
    ) -> Upstream {
        self.fault = fault.map(|(fault, order)| Box::new(StreamWork::new(fault, order, headers, Bytes::new())));
        self
    }

    /// The next bytes; an error: it broke off.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ()>>> {
        if self.replays {
            if let Some(bytes) = self.kept.as_mut().and_then(VecDeque::pop_front) {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            (self.replays, self.kept) = (false, None);
        }
        let came = match &mut self.fault {
            None => {
                Pin::new(&mut self.body).poll_frame(cx).map_err(|error| tracing::debug!(%error, "a stream broke off"))
            }
            Some(fault) => fault.poll_frame(&mut self.body, cx).map_err(drop),
        };
        if let (Some(kept), Poll::Ready(Some(Ok(frame)))) = (&mut self.kept, &came) {
            kept.extend(frame.data_ref().cloned());
        }
        came
    }

    fn note_first(&mut self) {
        if !std::mem::replace(&mut self.began, true)
            && let Some(flight) = &mut self.flight
        {
            flight.first_part_came();
        }
    }

    /// It was whole.
    fn succeed(mut self, cx: &mut Context<'_>) {
        if let Some(flight) = self.flight.take() {
            flight.finish(Outcome::Success);
        }
        if self.body.is_end_stream() {
            return self.give_back();
        }
        match self.poll(cx) {
            Poll::Ready(None) => self.give_back(),
            Poll::Ready(Some(Err(()))) => {}
            Poll::Ready(Some(Ok(_))) | Poll::Pending => drop(tokio::task::spawn_local(self.drain())),
        }
    }

    /// Reads what is left, which is hardly ever more than the end of the body in a packet of its own, so that the connection is used again.
    async fn drain(mut self) {
        let mut left = REST_BYTES_MAX;
        let end = std::future::poll_fn(|cx| {
            loop {
                match std::task::ready!(self.poll(cx)) {
                    None => return Poll::Ready(true),
                    Some(Ok(frame)) => match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                        Some(rest) => left = rest,
                        None => return Poll::Ready(false),
                    },
                    Some(Err(())) => return Poll::Ready(false),
                }
            }
        });
        if tokio::time::timeout(REST_TIME, end).await == Ok(true) {
            self.give_back();
        }
    }

    fn give_back(mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }

    fn fail(mut self, outcome: Outcome, key: Option<keys::Fault>) {
        if let Some(flight) = self.flight.take() {
            flight.finish_with(outcome, key);
        }
    }

    fn fail_by(self, fault: &Fault) {
        self.fail(outcome(fault), key_fault(fault));
    }
}

/// What a backend's machines learn of a stream that failed.
pub(crate) fn outcome(fault: &Fault) -> Outcome {
    let told = match fault {
        Fault::Told(told) => told,
        // The backend did what it does, and no less well than others.
        Fault::Filtered => return Outcome::Caller { status: 400 },
        Fault::FirstToken
        | Fault::Stall
        | Fault::Slow
        | Fault::Cut
        | Fault::Malformed
        | Fault::TooLong
        | Fault::Silent => return Outcome::failure(fault.kind()),
    };
    match taxonomy::of_stream(told) {
        Kind::Rate => Outcome::Throttled { retry_after: None },
        Kind::Context | Kind::Content | Kind::Caller => Outcome::Caller { status: 400 },
        Kind::Spend | Kind::Auth => Outcome::Failure { kind: FailureKind::Server, retry_after: Some(QUOTA_PAUSE) },
        Kind::Capacity | Kind::Silent | Kind::Cut | Kind::Malformed | Kind::Server => {
            Outcome::failure(FailureKind::Server)
        }
    }
}

/// What a stream that failed says about the key that the call bore.
pub(crate) fn key_fault(fault: &Fault) -> Option<keys::Fault> {
    let Fault::Told(told) = fault else { return None };
    protocol::key_fault_of_kind(taxonomy::of_stream(told))
}

/// The machine and the stream that it reads.
pub(crate) struct Driver {
    state: Rc<State>,
    answering: Answering,
    upstream: Option<Upstream>,
    /// Goes off at or before the time that is waited for.
    timer: Option<Pin<Box<Sleep>>>,
    /// When all of it is too late.
    until: Until,
    /// Since when the caller has enough to take, and nothing is read for it.
    unread: Option<Time>,
}

impl Driver {
    pub(crate) fn new(state: Rc<State>, settings: Settings, until: Until) -> Driver {
        Driver { state, answering: Answering::new(settings), upstream: None, timer: None, until, unread: None }
    }

    /// Reads this stream from now on.
    pub(crate) fn read(&mut self, upstream: Upstream, begun: Begun) {
        self.answering.handle_upstream(upstream.dialect, begun, upstream.asked);
        self.upstream = Some(upstream);
    }

    /// What the answer says, as far as it has come; an error: more than is kept for checks.
    pub(crate) fn said(&self) -> Result<String, Why> {
        self.answering.said().ok_or(Why::TooLong)
    }

    /// Another bound for all of it.
    pub(crate) const fn set_until(&mut self, until: Until) {
        self.until = until;
    }

    /// What comes next.
    pub(crate) fn poll_effect(&mut self, cx: &mut Context<'_>) -> Poll<Effect> {
        loop {
            if let Some(effect) = self.answering.poll_effect() {
                self.note(&effect, cx);
                return Poll::Ready(effect);
            }
            if self.answering.is_over() {
                return Poll::Pending;
            }
            let now = self.state.shared.clock.now();
            if let Some(since) = self.unread.take() {
                self.answering.handle_pause(now.since(since));
            }
            if now >= self.until.at {
                self.give_up(now);
                continue;
            }
            // What has come is read before the time is looked at.
            let came = match self.upstream.as_mut().map(|upstream| upstream.poll(cx)) {
                Some(Poll::Ready(came)) => came,
                Some(Poll::Pending) | None => {
                    std::task::ready!(self.poll_time(cx));
                    continue;
                }
            };
            let Some(upstream) = &mut self.upstream else { return Poll::Pending };
            match came {
                Some(Ok(frame)) => {
                    let Some(bytes) = frame.data_ref() else { continue };
                    self.answering.handle_bytes(bytes, now);
                    self.unread = Some(now);
                    // One that came in whole at once is over by now.
                    if self.answering.has_begun() || self.answering.is_over() {
                        upstream.note_first();
                    }
                }
                Some(Err(())) => self.answering.handle_end(End::Broken, now),
                None => self.answering.handle_end(End::Clean, now),
            }
        }
    }

    /// Ready when something was due, and done.
    fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let due = self.answering.poll_timeout().into_iter().fold(self.until.at, Time::min);
        let at = self.state.shared.clock.instant(due);
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        // One that goes off too early is set anew then: most are put off by the next token.
        if timer.deadline() > at {
            timer.as_mut().reset(at);
        }
        while timer.as_mut().poll(cx).is_ready() {
            let now = self.state.shared.clock.now();
            if now < due {
                timer.as_mut().reset(at);
                continue;
            }
            self.timer = None;
            if now >= self.until.at {
                self.give_up(now);
            } else {
                self.answering.handle_timeout(now);
            }
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// The deadline has passed.
    fn give_up(&mut self, now: Time) {
        if let Some(upstream) = self.upstream.take() {
            upstream.fail(self.until.late(), None);
        }
        let mut told = broken(&Fault::Slow);
        told.message = "the deadline passed during the answer; what came before is not all of it".into();
        told.code = "deadline".into();
        self.answering.handle_no_rescue(&told, now);
    }

    fn note(&mut self, effect: &Effect, cx: &mut Context<'_>) {
        match effect {
            Effect::Commit | Effect::Send(_) => {}
            Effect::Failed(fault) | Effect::Rescue(_, fault) => {
                if let Some(upstream) = self.upstream.take() {
                    upstream.fail_by(fault);
                }
            }
            Effect::Done(summary) => match (self.upstream.take(), &summary.fault) {
                (Some(upstream), None) if summary.complete => upstream.succeed(cx),
                (Some(upstream), Some(fault)) => upstream.fail_by(fault),
                (Some(upstream), None) => upstream.fail(Outcome::failure(FailureKind::BrokenStream), None),
                (None, _) => {}
            },
        }
    }
}

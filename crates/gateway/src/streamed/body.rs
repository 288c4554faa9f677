//! The body that a caller reads once its answer has begun.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, header};
use http_body::{Body, Frame, SizeHint};
use mainstay_core::llm::answering::{Begun, Effect, End, Fault, Rescue, Summary, broken};
use mainstay_core::llm::whole::Whole;
use mainstay_core::route::Level;
use mainstay_core::time::Time;
use tokio::time::{Instant, Sleep};

use mainstay_core::safety::Why;

use super::{By, Driver, Plan, Rescued, Upstream};
use crate::answers::RequestKey;
use crate::counters::Ending;
use crate::protocol;
use crate::stream::{Broken, Record};

/// A streamed answer whose beginning is on its way to the caller.
///
/// It ends with the end mark of its dialect or with an error event, whatever becomes of its backends. Dropped before that, the caller is
/// gone: the backend's connection is closed with it.
pub(crate) struct Streamed {
    driver: Driver,
    record: Option<Record>,
    /// How somebody else is asked to take over.
    plan: Option<Box<Plan>>,
    rescue: Option<Pin<Box<dyn Future<Output = Rescued>>>>,
    /// Why somebody else is asked.
    fault: Option<Fault>,
    over: bool,
    /// When the caller last heard anything, and what goes off when that is long ago.
    heard: Time,
    beat: Option<Pin<Box<Sleep>>>,
    beat_every: Duration,
    kept_as: Option<RequestKey>,
}

impl fmt::Debug for Streamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streamed").field("over", &self.over).finish_non_exhaustive()
    }
}

impl Streamed {
    pub(crate) fn new(driver: Driver, beat_every: Duration) -> Streamed {
        let heard = driver.state.shared.clock.now();
        let (record, plan, rescue, fault, beat) = (None, None, None, None, None);
        Streamed { driver, record, plan, rescue, fault, over: false, heard, beat, beat_every, kept_as: None }
    }

    /// Ready with a sign of life when the caller heard nothing for long. Before the commit there is none: it would be the head of an answer of
    /// which nobody knows the status yet.
    fn poll_beat(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        let clock = self.driver.state.shared.clock;
        let due = self.heard + self.beat_every;
        let timer = self.beat.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(clock.instant(due))));
        while timer.as_mut().poll(cx).is_ready() {
            let now = clock.now();
            if now >= due {
                self.heard = now;
                timer.as_mut().reset(clock.instant(now + self.beat_every));
                return Poll::Ready(self.driver.answering.heartbeat().into());
            }
            timer.as_mut().reset(clock.instant(due));
        }
        Poll::Pending
    }

    /// The stream, for somebody who reads it himself.
    pub(crate) fn into_upstream(mut self) -> Option<Upstream> {
        self.over = true;
        self.driver.upstream.take().map(Upstream::rewound)
    }

    /// What it says, as far as it has come.
    pub(crate) fn said(&self) -> Result<String, Why> {
        self.driver.said()
    }

    /// When it must have ended.
    pub(crate) fn ends_by(&self) -> Instant {
        self.driver.state.shared.clock.instant(self.driver.until.at)
    }

    /// The deadline passed while its caller read nothing: its backend is let go, and blamed for nothing. Who reads on after all is told so.
    pub(crate) fn give_up_unread(&mut self) {
        (self.driver.upstream, self.rescue, self.plan) = (None, None, None);
        self.leave();
    }

    /// It is counted as its caller left it.
    fn leave(&mut self) {
        let Some(mut record) = self.record.take() else { return };
        let (tokens, first) = self.driver.answering.shown();
        record.ended.first_part = first.map(|at| at.since(record.began));
        record.ended.usage = self.driver.answering.usage();
        record.end(Some(Ending::Cancelled), u32::try_from(tokens).unwrap_or(u32::MAX));
    }

    /// Says what to count once the answer ends, and who is asked when its backend fails.
    pub(crate) fn record(&mut self, record: Record, plan: Option<Box<Plan>>) {
        self.record = Some(record);
        self.plan = plan;
    }

    fn call_for(&mut self, rescue: Rescue, fault: Fault) {
        match &self.plan {
            Some(plan) => {
                self.rescue = Some(plan.start(rescue));
                self.fault = Some(fault);
            }
            None => self.give_up(&fault),
        }
    }

    fn give_up(&mut self, fault: &Fault) {
        let now = self.driver.state.shared.clock.now();
        self.driver.answering.handle_no_rescue(&broken(fault), now);
    }

    /// Counts the tokens of the backend that failed, under its own name.
    fn count_spent(&mut self) {
        let (Some(record), usage) = (&self.record, self.driver.answering.usage()) else { return };
        if let Some(operation) = record.ended.operation.filter(|_| usage.is_known()) {
            let speaker = (record.route, record.ended.model, operation);
            record.state.counters.borrow_mut().languages.entry(speaker).or_default().spend(usage);
        }
    }

    /// What is told of the answer from now on names who gives the end of it.
    fn answered_by(&mut self, at: usize) {
        self.count_spent();
        let (Some(plan), Some(record)) = (&mut self.plan, &mut self.record) else { return };
        plan.entry = at;
        let shared = Rc::clone(&record.state);
        let plan = &shared.shared.plan;
        let entry = &plan.routes[record.route].ladder[at];
        let backend = entry.answer.asked().map(|asked| asked.backend.0);
        (record.ended.model, record.ended.level) = (backend, Some(entry.level));
        let backend = backend.map(|at| &plan.backends[at]);
        let draft = &mut record.draft;
        draft.model = backend.and_then(|backend| backend.model.clone());
        draft.provider = backend.and_then(crate::pipeline::provider);
        draft.model_version = backend.and_then(|backend| backend.version.clone());
        draft.backend = Some(backend.map_or(entry.answer.kind(), |backend| &backend.name).to_owned());
    }

    fn take_over(&mut self, rescued: Rescued) {
        let fault = self.fault.take().unwrap_or(Fault::Cut);
        if let (Some(plan), Some(record)) = (&mut self.plan, &mut self.record) {
            (plan.attempts, record.draft.attempts) = (rescued.attempts, rescued.attempts);
        }
        match rescued.by {
            By::Upstream { upstream, begun, entry } => {
                self.answered_by(entry);
                self.driver.read(*upstream, begun);
            }
            By::Local { bytes, entry } => {
                self.answered_by(entry);
                let now = self.driver.state.shared.clock.now();
                let driver = &mut self.driver;
                driver.answering.handle_upstream(driver.answering.dialect(), Begun::Fresh, now);
                driver.answering.handle_bytes(&bytes, now);
                driver.answering.handle_end(End::Clean, now);
            }
            By::Nobody => self.give_up(&fault),
        }
    }

    /// Keeps the answer under this key once it has come in whole.
    pub(crate) fn keep_as(&mut self, key: RequestKey) {
        self.kept_as = Some(key);
    }

    /// The caller's next question is the same, or another's: it has been answered.
    fn keep(&self, record: &Record) {
        let (Some(key), Some(part)) = (self.kept_as, self.driver.answering.whole()) else { return };
        let mut whole = Whole::default();
        if whole.take(part.clone(), usize::MAX).is_err() {
            return;
        }
        let shared = &record.state.shared;
        let now = shared.clock.now();
        let dialect = self.driver.answering.dialect();
        let body = whole.write(dialect, &record.draft.request_id, now.as_millis() / 1000);
        let mut answer = http::Response::new(Bytes::from(body));
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(protocol::JSON));
        let protocol = shared.plan.routes[record.route].protocol;
        if let Err(why) = shared.answers.store(key, protocol, Level::FULL, &answer, now) {
            tracing::trace!(?why, "an answer was not kept");
        }
    }

    fn count(&mut self, summary: &Summary) {
        let Some(mut record) = self.record.take() else { return };
        self.keep(&record);
        if let Some(case) = &mut record.case {
            case.hear(self.driver.said());
        }
        let parts = u32::try_from(summary.tokens).unwrap_or(u32::MAX);
        record.ended.first_part = summary.first_token.map(|at| at.since(record.began));
        record.draft.finish_reason = summary.finish.as_ref().map(|finish| finish.openai().to_owned());
        record.ended.usage = summary.usage;
        if let Some(operation) = record.ended.operation.filter(|_| summary.malformed > 0) {
            let speaker = (record.route, record.ended.model, operation);
            record.state.counters.borrow_mut().languages.entry(speaker).or_default().pass_over(summary.malformed);
        }
        if let Some(fault) = summary.fault.as_ref().filter(|_| !summary.complete) {
            record.draft.reason = Some(fault.reason().into());
        }
        record.end((!summary.complete).then_some(Ending::BrokenOff), parts);
    }
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let me = self.get_mut();
        loop {
            if me.over {
                return Poll::Ready(None);
            }
            if let Some(rescue) = &mut me.rescue
                && let Poll::Ready(rescued) = rescue.as_mut().poll(cx)
            {
                me.rescue = None;
                me.take_over(rescued);
            }
            // While somebody is looked for, only the deadline can come to an end.
            let Poll::Ready(effect) = me.driver.poll_effect(cx) else {
                let beat = ready!(me.poll_beat(cx));
                return Poll::Ready(Some(Ok(Frame::data(beat))));
            };
            match effect {
                Effect::Commit => {}
                Effect::Send(bytes) => {
                    me.heard = me.driver.state.shared.clock.now();
                    return Poll::Ready(Some(Ok(Frame::data(bytes.into()))));
                }
                Effect::Rescue(rescue, fault) => me.call_for(rescue, fault),
                Effect::Failed(fault) => me.give_up(&fault),
                Effect::Done(summary) => {
                    (me.over, me.rescue) = (true, None);
                    me.count(&summary);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.over
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl Drop for Streamed {
    /// The flight reports the cancellation itself; the request is counted as the caller left it.
    fn drop(&mut self) {
        self.leave();
    }
}

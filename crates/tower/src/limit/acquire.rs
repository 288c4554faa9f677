//! Waiting for a permit.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use mainstay_core::resilience::queue::Key;
use tokio::sync::oneshot;
use tokio::time::Sleep;

use super::{Permit, Refused, SharedLimit, Why};

/// The future of [`SharedLimit::acquire`]. Dropping it gives up the place in the line, or the permit.
#[must_use = "a permit is not taken unless this is awaited"]
pub struct Acquire(State);

enum State {
    Known(Option<Result<Permit, Refused>>),
    Waiting(Waiting),
}

struct Waiting {
    limit: Arc<SharedLimit>,
    key: Key,
    queue_max: u32,
    answer: oneshot::Receiver<Result<Permit, Why>>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Acquire {
    pub(super) const fn known(result: Result<Permit, Refused>) -> Acquire {
        Acquire(State::Known(Some(result)))
    }

    pub(super) fn waiting(
        limit: Arc<SharedLimit>,
        key: Key,
        queue_max: u32,
        answer: oneshot::Receiver<Result<Permit, Why>>,
        wait: Duration,
    ) -> Acquire {
        let timer = Some(Box::pin(tokio::time::sleep(wait)));
        Acquire(State::Waiting(Waiting { limit, key, queue_max, answer, timer }))
    }
}

impl Future for Acquire {
    type Output = Result<Permit, Refused>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Known(result) => Poll::Ready(result.take().expect("a future is not polled after its end")),
            State::Waiting(waiting) => waiting.poll(cx),
        }
    }
}

impl Waiting {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Permit, Refused>> {
        if let Poll::Ready(answer) = Pin::new(&mut self.answer).poll(cx) {
            // The sender lives in the line and is never dropped unused.
            let answer = answer.unwrap_or(Err(Why::Evicted));
            return Poll::Ready(answer.map_err(|why| self.limit.refused(why, self.queue_max)));
        }
        let Some(timer) = &mut self.timer else { return Poll::Pending };
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.timer = None;
        if self.limit.give_up(self.key) {
            return Poll::Ready(Err(self.limit.refused(Why::Timeout, self.queue_max)));
        }
        // It has just been called or evicted: the answer is on its way.
        Poll::Pending
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.limit.give_up(self.key);
    }
}

impl fmt::Debug for Acquire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.0 {
            State::Known(_) => "known",
            State::Waiting(_) => "waiting",
        };
        f.debug_tuple("Acquire").field(&state).finish()
    }
}

//! One deadline around a service: an answer or an error by then, never later.
//!
//! The request carries its [`Deadline`]; the layer reads it, gives the inner service at most its own timeout of it, and
//! drops the call when it is over, which cancels it.
//!
//! ```
//! use mainstay_core::resilience::deadline::Deadline;
//! use mainstay_core::time::Time;
//! use mainstay_tower::clock::Clock;
//! use mainstay_tower::deadline::{DeadlineLayer, Error};
//! use std::time::Duration;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let clock = Clock::anchored(Time::from_secs(1_767_225_600));
//! let service = ServiceBuilder::new()
//!     .layer(DeadlineLayer::new(clock, Duration::from_secs(30), Duration::ZERO, |deadline: &Deadline| *deadline))
//!     .service(service_fn(|_: Deadline| std::future::pending::<Result<(), std::io::Error>>()));
//!
//! let deadline = Deadline::after(Duration::from_secs(2), clock.now());
//! assert!(matches!(service.oneshot(deadline).await, Err(Error::Over)));
//! assert!(deadline.is_over(clock.now()));
//! # }
//! ```

use crate::clock::Clock;
use mainstay_core::resilience::deadline::Deadline;
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Sleep;
use tower_layer::Layer;
use tower_service::Service;

/// Ends calls at their deadline. `D` finds the deadline of a request: `Fn(&Request) -> Deadline`.
#[derive(Clone, Debug)]
pub struct DeadlineLayer<D> {
    clock: Clock,
    timeout: Duration,
    reserve: Duration,
    deadline_of: D,
}

impl<D> DeadlineLayer<D> {
    /// Each call gets `timeout`, but ends `reserve` before the request's deadline at the latest.
    pub const fn new(clock: Clock, timeout: Duration, reserve: Duration, deadline_of: D) -> DeadlineLayer<D> {
        DeadlineLayer { clock, timeout, reserve, deadline_of }
    }
}

impl<S, D: Clone> Layer<S> for DeadlineLayer<D> {
    type Service = DeadlineService<S, D>;

    fn layer(&self, inner: S) -> DeadlineService<S, D> {
        DeadlineService { inner, layer: self.clone() }
    }
}

/// A service whose calls end at their deadline.
#[derive(Clone, Debug)]
pub struct DeadlineService<S, D> {
    inner: S,
    layer: DeadlineLayer<D>,
}

impl<S, D, Request> Service<Request> for DeadlineService<S, D>
where
    S: Service<Request>,
    D: Fn(&Request) -> Deadline,
{
    type Response = S::Response;
    type Error = Error<S::Error>;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Error::Inner)
    }

    /// # Panics
    /// Outside a tokio runtime with timers.
    fn call(&mut self, request: Request) -> Self::Future {
        let DeadlineLayer { clock, timeout, reserve, deadline_of } = &self.layer;
        let now = clock.now();
        let deadline = deadline_of(&request).child(*timeout, *reserve, now);
        // What cannot end in time is not begun.
        let answer = (!deadline.is_over(now)).then(|| self.inner.call(request));
        ResponseFuture { over: tokio::time::sleep_until(clock.instant(deadline.at)), answer }
    }
}

/// A call with a deadline failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error<E> {
    /// The deadline passed before the answer.
    #[error("the deadline is over")]
    Over,
    /// The service failed.
    #[error(transparent)]
    Inner(E),
}

pin_project! {
    /// A call with a deadline.
    pub struct ResponseFuture<F> {
        #[pin]
        over: Sleep,
        #[pin]
        answer: Option<F>,
    }
}

impl<F, Response, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response, E>>,
{
    type Output = Result<Response, Error<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(answer) = this.answer.as_mut().as_pin_mut() else { return Poll::Ready(Err(Error::Over)) };
        if let Poll::Ready(result) = answer.poll(cx) {
            return Poll::Ready(result.map_err(Error::Inner));
        }
        ready!(this.over.poll(cx));
        this.answer.set(None);
        Poll::Ready(Err(Error::Over))
    }
}

//! A second attempt beside one that is late. The first success wins; the other call is dropped, which cancels it.
//!
//! ```
//! use mainstay_core::resilience::hedge::{Capacity, Config};
//! use mainstay_core::resilience::retry::BudgetConfig;
//! use mainstay_core::time::Time;
//! use mainstay_tower::clock::Clock;
//! use mainstay_tower::hedge::{HedgeLayer, SharedHedge};
//! use mainstay_tower::retry::SharedRetryBudget;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let clock = Clock::anchored(Time::from_secs(1_767_225_600));
//! let hedge = SharedHedge::new(Config::default(), clock.now());
//! let budget = SharedRetryBudget::new(BudgetConfig::default(), clock.now());
//! let service = ServiceBuilder::new()
//!     .layer(HedgeLayer::new(hedge, budget, clock, || Capacity::Spare))
//!     .service(service_fn(|question: &str| {
//!         let answer = Ok::<_, std::io::Error>(question.len());
//!         async move { answer }
//!     }));
//!
//! assert_eq!(service.oneshot("question").await.unwrap(), 8);
//! # }
//! ```

use crate::clock::Clock;
use crate::retry::SharedRetryBudget;
use mainstay_core::resilience::hedge::{Capacity, Config, Hedge};
use mainstay_core::time::Time;
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Sleep;
use tower_layer::Layer;
use tower_service::Service;

/// A [`Hedge`] that many calls share.
#[derive(Clone, Debug)]
pub struct SharedHedge {
    hedge: Arc<Mutex<Hedge>>,
}

impl SharedHedge {
    /// Knows nothing yet.
    pub fn new(config: Config, now: Time) -> SharedHedge {
        SharedHedge { hedge: Arc::new(Mutex::new(Hedge::new(config, now))) }
    }

    /// A first attempt was sent: how long to wait before it is late; `None`: do not hedge it.
    pub fn call(&self, capacity: Capacity, now: Time) -> Option<Duration> {
        let mut hedge = self.lock();
        hedge.handle_call(now);
        hedge.delay(capacity, now)
    }

    /// A first attempt took so long to its first byte.
    pub fn latency(&self, latency: Duration, now: Time) {
        self.lock().handle_latency(latency, now);
    }

    /// A call is late: asks to send another one; spends the hedges' own budget and the retry budget if both grant it.
    pub fn late(&self, capacity: Capacity, budget: &SharedRetryBudget, now: Time) -> bool {
        budget.with(|budget| self.lock().handle_late_within(budget, capacity, now))
    }

    fn lock(&self) -> MutexGuard<'_, Hedge> {
        // No step of the machine panics halfway; a poisoned lock still holds a whole state.
        self.hedge.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hedges calls. Requests are cloned; `P` says whether the backend has capacity: `Fn() -> Capacity`.
#[derive(Clone, Debug)]
pub struct HedgeLayer<P> {
    hedge: SharedHedge,
    budget: SharedRetryBudget,
    clock: Clock,
    capacity: P,
}

impl<P> HedgeLayer<P> {
    /// Hedges calls within `budget`, which the retries share.
    pub const fn new(hedge: SharedHedge, budget: SharedRetryBudget, clock: Clock, capacity: P) -> HedgeLayer<P> {
        HedgeLayer { hedge, budget, clock, capacity }
    }
}

impl<S, P: Clone> Layer<S> for HedgeLayer<P> {
    type Service = HedgeService<S, P>;

    fn layer(&self, inner: S) -> HedgeService<S, P> {
        HedgeService { inner, layer: self.clone() }
    }
}

/// A service whose late calls are hedged.
#[derive(Clone, Debug)]
pub struct HedgeService<S, P> {
    inner: S,
    layer: HedgeLayer<P>,
}

impl<S, P, Request> Service<Request> for HedgeService<S, P>
where
    S: Service<Request> + Clone,
    P: Fn() -> Capacity + Clone,
    Request: Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, P, Request>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    /// # Panics
    /// Outside a tokio runtime with timers.
    fn call(&mut self, request: Request) -> Self::Future {
        let began = self.layer.clock.now();
        let late = self.layer.hedge.call((self.layer.capacity)(), began);
        let second = match late {
            None => Second::Never,
            Some(delay) => Second::Waiting { late: tokio::time::sleep(delay) },
        };
        let first = Some(self.inner.call(request.clone()));
        ResponseFuture { first, second, inner: self.inner.clone(), layer: self.layer.clone(), request, began }
    }
}

pin_project! {
    /// A call, and the one beside it.
    pub struct ResponseFuture<S, P, Request>
    where
        S: Service<Request>,
    {
        #[pin]
        first: Option<S::Future>,
        #[pin]
        second: Second<S::Future>,
        inner: S,
        layer: HedgeLayer<P>,
        request: Request,
        began: Time,
    }
}

pin_project! {
    #[project = SecondProjection]
    enum Second<F> {
        Never,
        Waiting { #[pin] late: Sleep },
        Readying,
        Calling { #[pin] answer: F },
    }
}

impl<S, P, Request> Future for ResponseFuture<S, P, Request>
where
    S: Service<Request>,
    P: Fn() -> Capacity,
    Request: Clone,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(first) = self.as_mut().project().first.as_pin_mut()
            && let Poll::Ready(result) = first.poll(cx)
        {
            let mut this = self.as_mut().project();
            this.first.set(None);
            let now = this.layer.clock.now();
            this.layer.hedge.latency(now.since(*this.began), now);
            // A first attempt that fails leaves the answer to the second, if there is one.
            if result.is_ok() || !matches!(*this.second, Second::Calling { .. }) {
                return Poll::Ready(result);
            }
        }
        self.poll_second(cx)
    }
}

impl<S, P, Request> ResponseFuture<S, P, Request>
where
    S: Service<Request>,
    P: Fn() -> Capacity,
    Request: Clone,
{
    fn poll_second(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<S::Response, S::Error>> {
        let mut this = self.project();
        loop {
            let next = match this.second.as_mut().project() {
                SecondProjection::Never => return Poll::Pending,
                SecondProjection::Waiting { late } => {
                    ready!(late.poll(cx));
                    let HedgeLayer { hedge, budget, clock, capacity } = &*this.layer;
                    if hedge.late(capacity(), budget, clock.now()) { Second::Readying } else { Second::Never }
                }
                SecondProjection::Readying => match ready!(this.inner.poll_ready(cx)) {
                    Ok(()) => Second::Calling { answer: this.inner.call(this.request.clone()) },
                    // The first attempt is still under way, and its answer counts.
                    Err(_) => Second::Never,
                },
                SecondProjection::Calling { answer } => match ready!(answer.poll(cx)) {
                    Err(_) if this.first.is_some() => Second::Never,
                    result => return Poll::Ready(result),
                },
            };
            this.second.set(next);
        }
    }
}

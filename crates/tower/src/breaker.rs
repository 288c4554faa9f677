//! A circuit breaker around a service.
//!
//! ```
//! use mainstay_core::resilience::breaker::Config;
//! use mainstay_core::resilience::outcome::{FailureKind, Outcome};
//! use mainstay_core::time::Time;
//! use mainstay_tower::breaker::{BreakerLayer, Error, SharedBreaker};
//! use mainstay_tower::clock::Clock;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let clock = Clock::anchored(Time::from_secs(1_767_225_600));
//! let breaker = SharedBreaker::new(Config::default(), 7, clock.now());
//! let classify = |result: &Result<&str, std::io::Error>| match result {
//!     Ok(_) => Outcome::Success,
//!     Err(_) => Outcome::failure(FailureKind::Transport),
//! };
//! let service = ServiceBuilder::new()
//!     .layer(BreakerLayer::new(breaker, clock, classify))
//!     .service(service_fn(|_: &str| async { Err(std::io::Error::other("refused")) }));
//!
//! for _ in 0..5 {
//!     assert!(matches!(service.clone().oneshot("hello").await, Err(Error::Inner(_))));
//! }
//! assert!(matches!(service.oneshot("hello").await, Err(Error::Rejected(_))));
//! # }
//! ```

mod shared;

pub use shared::{Guard, SharedBreaker};

use crate::clock::Clock;
use crate::shard;
use mainstay_core::resilience::breaker::Rejected;
use mainstay_core::resilience::outcome::Outcome;
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::time::Sleep;
use tower_layer::Layer;
use tower_service::Service;

/// Says how a call ended. Closures of the same shape are classifiers.
pub trait Classify<Response, Error> {
    /// What the result says about the backend.
    fn classify(&self, result: &Result<Response, Error>) -> Outcome;
}

impl<F, Response, Error> Classify<Response, Error> for F
where
    F: Fn(&Result<Response, Error>) -> Outcome,
{
    fn classify(&self, result: &Result<Response, Error>) -> Outcome {
        self(result)
    }
}

/// Tells requests apart: the failures of one request alone, however often it is tried, open no breaker.
pub trait RequestKey<Request> {
    /// The request's number, the same for each of its attempts.
    fn request_key(&self, request: &Request) -> u64;
}

/// Each call is a request of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct EachCall;

impl<Request> RequestKey<Request> for EachCall {
    fn request_key(&self, _: &Request) -> u64 {
        shard::unique()
    }
}

impl<F: Fn(&Request) -> u64, Request> RequestKey<Request> for F {
    fn request_key(&self, request: &Request) -> u64 {
        self(request)
    }
}

/// Puts a [`SharedBreaker`] in front of a service.
#[derive(Clone, Debug)]
pub struct BreakerLayer<C, K = EachCall> {
    breaker: Arc<SharedBreaker>,
    clock: Clock,
    classify: C,
    key: K,
}

impl<C> BreakerLayer<C> {
    /// A layer around `breaker`, where each call is a request of its own.
    pub const fn new(breaker: Arc<SharedBreaker>, clock: Clock, classify: C) -> BreakerLayer<C> {
        BreakerLayer { breaker, clock, classify, key: EachCall }
    }

    /// Tells the attempts of one request by `key`.
    pub fn request_key<K>(self, key: K) -> BreakerLayer<C, K> {
        BreakerLayer { breaker: self.breaker, clock: self.clock, classify: self.classify, key }
    }
}

impl<S, C: Clone, K: Clone> Layer<S> for BreakerLayer<C, K> {
    type Service = BreakerService<S, C, K>;

    fn layer(&self, inner: S) -> BreakerService<S, C, K> {
        BreakerService { inner, layer: self.clone() }
    }
}

/// A service behind a breaker.
#[derive(Clone, Debug)]
pub struct BreakerService<S, C, K = EachCall> {
    inner: S,
    layer: BreakerLayer<C, K>,
}

impl<S, C, K, Request> Service<Request> for BreakerService<S, C, K>
where
    S: Service<Request>,
    C: Classify<S::Response, S::Error> + Clone,
    K: RequestKey<Request>,
{
    type Response = S::Response;
    type Error = Error<S::Error>;
    type Future = ResponseFuture<S::Future, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Error::Inner)
    }

    /// # Panics
    /// Outside a tokio runtime with timers.
    fn call(&mut self, request: Request) -> Self::Future {
        let BreakerLayer { breaker, clock, classify, key } = &self.layer;
        match Guard::admit(breaker.clone(), key.request_key(&request), *clock) {
            Err(rejected) => ResponseFuture { state: State::Rejected { rejected } },
            Ok(guard) => {
                let slow = tokio::time::sleep(breaker.slow_after());
                let answer = self.inner.call(request);
                ResponseFuture {
                    state: State::Admitted { slow, answer, guard: Some(guard), classify: classify.clone() },
                }
            }
        }
    }
}

/// A call through a breaker failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error<E> {
    /// The breaker did not let it through.
    #[error(transparent)]
    Rejected(Rejected),
    /// The service failed.
    #[error(transparent)]
    Inner(E),
}

pin_project! {
    /// A call through a breaker.
    pub struct ResponseFuture<F, C> {
        #[pin]
        state: State<F, C>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, C> {
        Rejected {
            rejected: Rejected,
        },
        Admitted {
            #[pin]
            slow: Sleep,
            #[pin]
            answer: F,
            guard: Option<Guard<Arc<SharedBreaker>>>,
            classify: C,
        },
    }
}

impl<F, C, Response, E> Future for ResponseFuture<F, C>
where
    F: Future<Output = Result<Response, E>>,
    C: Classify<Response, E>,
{
    type Output = Result<Response, Error<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Rejected { rejected } => Poll::Ready(Err(Error::Rejected(*rejected))),
            StateProjection::Admitted { slow, answer, guard, classify } => {
                if let Poll::Ready(result) = answer.poll(cx) {
                    if let Some(guard) = guard.take() {
                        guard.finish(classify.classify(&result));
                    }
                    return Poll::Ready(result.map_err(Error::Inner));
                }
                if let Some(guard) = guard.as_mut().filter(|guard| !guard.is_slow()) {
                    ready!(slow.poll(cx));
                    guard.slow();
                }
                Poll::Pending
            }
        }
    }
}

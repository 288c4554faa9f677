//! The limit as a tower layer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use mainstay_core::resilience::limiter::Sample;
use mainstay_core::time::Time;
use tower_layer::Layer;
use tower_service::Service;

use super::{Ask, Refused, SharedLimit};
use crate::clock::Clock;

/// Limits a service by a [`SharedLimit`].
///
/// An `Ok` is an answer and its latency a sample (to the response's head; where that is the first token, so much the
/// better); an `Err` counts as dropped; a cancelled call counts for nothing.
#[derive(Clone, Debug)]
pub struct LimitLayer<F> {
    limit: Arc<SharedLimit>,
    clock: Clock,
    ask: F,
}

impl<F> LimitLayer<F> {
    /// `ask` says what a request asks of the limit.
    pub const fn new(limit: Arc<SharedLimit>, clock: Clock, ask: F) -> LimitLayer<F> {
        LimitLayer { limit, clock, ask }
    }
}

impl<S, F: Clone> Layer<S> for LimitLayer<F> {
    type Service = Limit<S, F>;

    fn layer(&self, inner: S) -> Limit<S, F> {
        Limit { inner, layer: self.clone() }
    }
}

/// The service of a [`LimitLayer`].
#[derive(Clone, Debug)]
pub struct Limit<S, F> {
    inner: S,
    layer: LimitLayer<F>,
}

/// Why a limited call gave no answer.
#[derive(Clone, PartialEq, Debug)]
pub enum LimitError<E> {
    /// There was no permit in time; the service was not called.
    Refused(Refused),
    /// The service's own error.
    Inner(E),
}

impl<S, F, Req> Service<Req> for Limit<S, F>
where
    S: Service<Req> + Clone + Send + 'static,
    S::Future: Send,
    F: Fn(&Req, Time) -> Ask,
    Req: Send + 'static,
{
    type Response = S::Response;
    type Error = LimitError<S::Error>;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(LimitError::Inner)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let clock = self.layer.clock;
        let now = clock.now();
        let permit = self.layer.limit.acquire((self.layer.ask)(&request, now), now);
        // The clone that is ready makes the call; the other one is asked for readiness next.
        let fresh = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, fresh);
        Box::pin(async move {
            let permit = permit.await.map_err(LimitError::Refused)?;
            let began = clock.now();
            let result = ready.call(request).await;
            let now = clock.now();
            let latency = now.since(began);
            permit.finish(Sample { latency, first_byte: Some(latency), dropped: result.is_err() }, now);
            result.map_err(LimitError::Inner)
        })
    }
}

impl<E: fmt::Display> fmt::Display for LimitError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LimitError::Refused(refused) => refused.fmt(f),
            LimitError::Inner(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for LimitError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LimitError::Refused(_) => None,
            LimitError::Inner(error) => error.source(),
        }
    }
}

//! Retries within a budget that all hops share.
//!
//! ```
//! use mainstay_core::resilience::deadline::Deadline;
//! use mainstay_core::resilience::outcome::{FailureKind, Outcome};
//! use mainstay_core::resilience::retry::{BudgetConfig, Policy};
//! use mainstay_core::time::Time;
//! use mainstay_tower::clock::Clock;
//! use mainstay_tower::retry::{RetryLayer, SharedRetryBudget};
//! use std::sync::atomic::{AtomicU32, Ordering};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let clock = Clock::anchored(Time::from_secs(1_767_225_600));
//! let budget = SharedRetryBudget::new(BudgetConfig::default(), clock.now());
//! let classify = |result: &Result<&str, std::io::Error>| match result {
//!     Ok(_) => Outcome::Success,
//!     Err(_) => Outcome::failure(FailureKind::Transport),
//! };
//! let attempts = AtomicU32::new(0);
//! let service = ServiceBuilder::new()
//!     .layer(RetryLayer::new(Policy::default(), budget, clock, 7, classify, |_: &&str| Deadline::NEVER))
//!     .service(service_fn(|_: &str| {
//!         let first = attempts.fetch_add(1, Ordering::Relaxed) == 0;
//!         async move { if first { Err(std::io::Error::other("refused")) } else { Ok("answer") } }
//!     }));
//!
//! assert_eq!(service.oneshot("question").await.unwrap(), "answer");
//! # }
//! ```

use crate::breaker::Classify;
use crate::clock::Clock;
use crate::shard;
use mainstay_core::resilience::deadline::Deadline;
use mainstay_core::resilience::outcome::Outcome;
use mainstay_core::resilience::retry::{BudgetConfig, Decision, Policy, Retry, RetryBudget, Stop};
use mainstay_core::time::Time;
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::time::Sleep;
use tower_layer::Layer;
use tower_service::Service;

/// A [`RetryBudget`] that all layers, levels and hedges of a service share.
#[derive(Clone, Debug)]
pub struct SharedRetryBudget {
    budget: Arc<Mutex<RetryBudget>>,
}

impl SharedRetryBudget {
    /// A full budget.
    pub fn new(config: BudgetConfig, now: Time) -> SharedRetryBudget {
        SharedRetryBudget { budget: Arc::new(Mutex::new(RetryBudget::new(config, now))) }
    }

    /// A request of this cost was admitted for the first time.
    pub fn admitted(&self, cost: f64, now: Time) {
        self.lock().handle_admitted(cost, now);
    }

    /// Asks for extra work of this cost, a hedge for instance; spends it if it is granted.
    pub fn spend(&self, cost: f64, now: Time) -> bool {
        self.lock().handle_retry(cost, now)
    }

    /// Whether a retry of this cost would be granted at this moment.
    pub fn allows(&self, cost: f64, now: Time) -> bool {
        self.lock().available(now) >= cost
    }

    /// An attempt of `retry` has ended: whether and when there is another one.
    pub fn decide(&self, retry: &mut Retry, outcome: Outcome, deadline: Deadline, now: Time) -> Decision {
        retry.handle_outcome(outcome, deadline, &mut self.lock(), now)
    }

    /// One step of the budget that no other comes in between of.
    pub(crate) fn with<T>(&self, step: impl FnOnce(&mut RetryBudget) -> T) -> T {
        step(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, RetryBudget> {
        // No step of the budget panics halfway; a poisoned lock still holds a whole state.
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Repeats calls. Requests are cloned for each attempt, and each counts as cost 1.
#[derive(Clone, Debug)]
pub struct RetryLayer<C, D> {
    policy: Policy,
    budget: SharedRetryBudget,
    clock: Clock,
    seed: u64,
    classify: C,
    deadline_of: D,
}

impl<C, D> RetryLayer<C, D> {
    /// Repeats calls by `policy` within `budget`; `deadline_of` finds the deadline of a request.
    pub const fn new(
        policy: Policy,
        budget: SharedRetryBudget,
        clock: Clock,
        seed: u64,
        classify: C,
        deadline_of: D,
    ) -> RetryLayer<C, D> {
        RetryLayer { policy, budget, clock, seed, classify, deadline_of }
    }
}

impl<S, C: Clone, D: Clone> Layer<S> for RetryLayer<C, D> {
    type Service = RetryService<S, C, D>;

    fn layer(&self, inner: S) -> RetryService<S, C, D> {
        RetryService { inner, layer: self.clone() }
    }
}

/// A service whose calls are repeated.
#[derive(Clone, Debug)]
pub struct RetryService<S, C, D> {
    inner: S,
    layer: RetryLayer<C, D>,
}

impl<S, C, D, Request> Service<Request> for RetryService<S, C, D>
where
    S: Service<Request> + Clone,
    C: Classify<S::Response, S::Error> + Clone,
    D: Fn(&Request) -> Deadline,
    Request: Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Request, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let RetryLayer { policy, budget, clock, seed, classify, deadline_of } = &self.layer;
        budget.admitted(1.0, clock.now());
        let attempts = Attempts {
            deadline: deadline_of(&request),
            retry: Retry::new(policy.clone(), 1.0, seed ^ shard::unique()),
            budget: budget.clone(),
            clock: *clock,
            classify: classify.clone(),
        };
        let step = Step::Calling { answer: self.inner.call(request.clone()) };
        // The service that was ready is used up by this call; a retry makes the clone ready.
        ResponseFuture { step, attempts, inner: self.inner.clone(), request, last: None }
    }
}

/// What decides about further attempts.
struct Attempts<C> {
    retry: Retry,
    deadline: Deadline,
    budget: SharedRetryBudget,
    clock: Clock,
    classify: C,
}

impl<C> Attempts<C> {
    /// The wait before the next attempt, if there is one.
    fn after<Response, E>(&mut self, result: &Result<Response, E>) -> Option<Sleep>
    where
        C: Classify<Response, E>,
    {
        let outcome = self.classify.classify(result);
        match self.budget.decide(&mut self.retry, outcome, self.deadline, self.clock.now()) {
            Decision::Retry { at } => Some(tokio::time::sleep_until(self.clock.instant(at))),
            Decision::Stop(Stop::Final | Stop::Attempts | Stop::Deadline | Stop::Budget) => None,
        }
    }
}

pin_project! {
    /// A call and its repetitions.
    pub struct ResponseFuture<S, Request, C>
    where
        S: Service<Request>,
    {
        #[pin]
        step: Step<S::Future>,
        attempts: Attempts<C>,
        inner: S,
        request: Request,
        last: Option<Result<S::Response, S::Error>>,
    }
}

pin_project! {
    #[project = StepProjection]
    enum Step<F> {
        Calling { #[pin] answer: F },
        Waiting { #[pin] wait: Sleep },
        Readying,
    }
}

impl<S, Request, C> Future for ResponseFuture<S, Request, C>
where
    S: Service<Request>,
    C: Classify<S::Response, S::Error>,
    Request: Clone,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.step.as_mut().project() {
                StepProjection::Calling { answer } => {
                    let result = ready!(answer.poll(cx));
                    match this.attempts.after(&result) {
                        None => return Poll::Ready(result),
                        Some(wait) => {
                            *this.last = Some(result);
                            Step::Waiting { wait }
                        }
                    }
                }
                StepProjection::Waiting { wait } => {
                    ready!(wait.poll(cx));
                    Step::Readying
                }
                StepProjection::Readying => match ready!(this.inner.poll_ready(cx)) {
                    Ok(()) => Step::Calling { answer: this.inner.call(this.request.clone()) },
                    Err(error) => return Poll::Ready(this.last.take().unwrap_or(Err(error))),
                },
            };
            this.step.set(next);
        }
    }
}

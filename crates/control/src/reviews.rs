//! What the admin API needs to show and decide requests that wait for a person.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use mainstay_core::answer::review::{Decision, Refused, Review};

/// The lines in which requests wait.
pub trait Reviews: Send + Sync + 'static {
    /// The names of the lines.
    fn queues(&self) -> Vec<String>;
    /// Requests with numbers above `after`, in order; `state` by its name.
    fn list(&self, queue: &str, state: Option<&str>, after: u64, limit: usize) -> Result<Vec<Review>, ReviewProblem>;
    /// Takes a request for a while; without a number, the oldest that waits.
    fn claim(&self, queue: &str, id: Option<u64>, by: &str, lease: Duration) -> Result<Review, ReviewProblem>;
    /// Decides about a request; durable when it is done. The decision's time is set by whoever keeps the line.
    fn decide<'a>(&'a self, queue: &'a str, id: u64, decision: Decision) -> Deciding<'a>;
}

/// The future of [`Reviews::decide`]. Dropped, it leaves the decision made or not made, and nothing between.
pub type Deciding<'a> = Pin<Box<dyn Future<Output = Result<Review, ReviewProblem>> + Send + 'a>>;

/// Why something was not done.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReviewProblem {
    /// There is no queue of this name.
    #[error("there is no queue `{0}`")]
    NoQueue(String),
    /// It cannot be done with this request.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It could not be written down; nothing changed.
    #[error("the queue's file cannot be written; nothing changed")]
    Unwritable,
}

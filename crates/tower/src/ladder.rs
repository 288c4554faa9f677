//! Several services behind each other under ONE deadline: the first that answers serves.
//!
//! The walk itself is [`mainstay_core::resilience::ladder::Walk`]: it starts at the current level, goes deeper as
//! attempts fail or hang, and keeps back time for the last local entry.
//!
//! ```
//! use mainstay_core::resilience::ladder::Entry;
//! use mainstay_core::route::Level;
//! use mainstay_core::time::Time;
//! use mainstay_tower::clock::Clock;
//! use mainstay_tower::ladder::Ladder;
//! use std::time::Duration;
//! use tower::{ServiceExt, service_fn};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let model = service_fn(|_: String| async { Err::<String, _>("the model is down") });
//! let rules = service_fn(|_: String| async { Ok::<_, std::convert::Infallible>("please try again".to_owned()) });
//!
//! let ladder = Ladder::new(Clock::anchored(Time::from_secs(1_800_000_000)), Duration::from_millis(500))
//!     .entry(Entry::remote(Level::FULL, 0), model)
//!     .entry(Entry::local(Level::STATIC), rules);
//! let answer = ladder.oneshot("hello".to_owned()).await.unwrap();
//! assert_eq!((answer.level, answer.attempts), (Level::STATIC, 2));
//! assert_eq!(answer.response, "please try again");
//! # });
//! ```

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use mainstay_core::resilience::ladder::{Entry, Step, Walk};
use mainstay_core::route::Level;
use mainstay_core::time::Time;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;
use tower_service::Service;

use crate::clock::Clock;

/// An error of any service.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Services by level. Clones share the current level.
pub struct Ladder<Req, Res> {
    entries: Arc<[Entry]>,
    services: Arc<[BoxCloneSyncService<Req, Res, BoxError>]>,
    level: Arc<AtomicU8>,
    clock: Clock,
    deadline: Duration,
}

/// What a ladder answered, and from where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer<Res> {
    /// The answer.
    pub response: Res,
    /// The level that served.
    pub level: Level,
    /// Index of the entry that served.
    pub entry: usize,
    /// Entries tried, the one that served included.
    pub attempts: u32,
}

/// No entry answered before the deadline.
#[derive(Debug)]
pub struct Exhausted {
    /// Entries tried.
    pub attempts: u32,
    /// What the last one that failed in time said.
    pub last: Option<BoxError>,
}

impl<Req, Res> Ladder<Req, Res> {
    /// A ladder without entries; each request has `deadline` for all of them together.
    pub fn new(clock: Clock, deadline: Duration) -> Ladder<Req, Res> {
        let level = Arc::new(AtomicU8::new(Level::FULL.number()));
        Ladder { entries: Arc::new([]), services: Arc::new([]), level, clock, deadline }
    }

    /// Adds an entry below the others.
    pub fn entry<S>(mut self, entry: Entry, service: S) -> Ladder<Req, Res>
    where
        Req: 'static,
        S: Service<Req, Response = Res> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
    {
        let service = BoxCloneSyncService::new(service.map_err(Into::into));
        self.entries = self.entries.iter().copied().chain([entry]).collect();
        self.services = self.services.iter().cloned().chain([service]).collect();
        self
    }

    /// Sets the level at which requests start, for all clones.
    pub fn set_level(&self, level: Level) {
        self.level.store(level.number(), Ordering::Relaxed);
    }

    /// The level at which requests start.
    pub fn level(&self) -> Level {
        Level::new(self.level.load(Ordering::Relaxed)).unwrap_or(Level::STATIC)
    }
}

impl<Req: Clone + Send + 'static, Res: 'static> Ladder<Req, Res> {
    async fn serve(self, request: Req) -> Result<Answer<Res>, Exhausted> {
        let began = self.clock.now();
        let deadline = began + self.deadline;
        let mut walk = Walk::new(&self.entries, self.level(), deadline, began);
        let mut failed = Exhausted { attempts: 0, last: None };
        loop {
            let now = self.clock.now();
            let (entry, timeout) = match walk.next(now) {
                Step::Remote { entry, timeout } => (entry, timeout),
                Step::Local { entry } => (entry, self.local_time(entry, walk.reserve(), deadline, now)),
                Step::Exhausted => return Err(failed),
            };
            failed.attempts += 1;
            let attempt = self.services[entry].clone().oneshot(request.clone());
            match tokio::time::timeout(timeout, attempt).await {
                Ok(Ok(response)) => {
                    let (level, attempts) = (self.entries[entry].level, failed.attempts);
                    return Ok(Answer { response, level, entry, attempts });
                }
                Ok(Err(error)) => failed.last = Some(error),
                Err(_hung) => {}
            }
        }
    }

    /// A local entry with others below it leaves them the reserve; the last one has all there is.
    fn local_time(&self, entry: usize, reserve: Duration, deadline: Time, now: Time) -> Duration {
        let left = deadline.since(now);
        if entry + 1 == self.entries.len() { left } else { left.saturating_sub(reserve) }
    }
}

impl<Req: Clone + Send + 'static, Res: 'static> Service<Req> for Ladder<Req, Res> {
    type Response = Answer<Res>;
    type Error = Exhausted;
    type Future = Pin<Box<dyn Future<Output = Result<Answer<Res>, Exhausted>> + Send>>;

    /// Always ready: an entry that is not ready is an attempt that fails or takes its time.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Exhausted>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        Box::pin(self.clone().serve(request))
    }
}

impl<Req, Res> Clone for Ladder<Req, Res> {
    fn clone(&self) -> Self {
        Ladder {
            entries: self.entries.clone(),
            services: self.services.clone(),
            level: self.level.clone(),
            clock: self.clock,
            deadline: self.deadline,
        }
    }
}

impl<Req, Res> fmt::Debug for Ladder<Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ladder").field("entries", &self.entries).field("level", &self.level()).finish_non_exhaustive()
    }
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "none of {} entries tried answered in time", self.attempts)
    }
}

impl std::error::Error for Exhausted {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.last.as_deref().map(|error| error as &(dyn std::error::Error + 'static))
    }
}

//! A check of answers as all workers see it.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mainstay_core::plan::{Check, CheckBy, Moderation};
use mainstay_core::resilience::breaker;
use mainstay_core::time::Time;
use mainstay_tower::breaker::SharedBreaker;
use tokio::sync::Semaphore;

use super::{Lasting, Shared};
use crate::StartError;
use crate::tls;
use crate::upstream::{Endpoint, Pool};
use crate::worker::State;

/// Answers that wait to be looked at afterwards, for each call that a server may have at once.
const WAITING_PER_PLACE: usize = 4;

/// A check, and the server that it asks.
pub(crate) struct CheckShared {
    pub(crate) name: String,
    /// `None`: it needs nobody else.
    pub(crate) server: Option<Arc<Server>>,
}

/// A server that judges texts.
pub(crate) struct Server {
    pub(crate) breaker: Arc<SharedBreaker>,
    /// Calls that may be made at once.
    pub(crate) places: Semaphore,
    /// Answers that were shown and wait for a place.
    waiting: AtomicUsize,
    endpoint: Endpoint,
    tls: Option<Arc<rustls::ClientConfig>>,
    config: Moderation,
}

impl CheckShared {
    /// The check with its running server, where that is configured alike, or with a new one.
    pub(crate) fn carry_over(
        check: &Check,
        lasting: &Lasting,
        old: Option<&Shared>,
        now: Time,
    ) -> Result<CheckShared, StartError> {
        let CheckBy::Moderation(config) = &check.by else {
            return Ok(CheckShared { name: check.name.clone(), server: None });
        };
        let running = old.and_then(|old| old.checks.iter().find(|running| running.name == check.name));
        let running = running.and_then(|running| running.server.clone()).filter(|server| server.config == *config);
        let server = match running {
            Some(server) => server,
            None => Arc::new(Server::new(config, lasting, now)?),
        };
        Ok(CheckShared { name: check.name.clone(), server: Some(server) })
    }

    /// A worker's pool to the server: the one it has, where the server is the same.
    pub(crate) fn pool(&self, old: Option<&State>) -> Option<Rc<Pool>> {
        let server = self.server.as_ref()?;
        let running = old.and_then(|state| {
            let is_it = |check: &CheckShared| check.server.as_ref().is_some_and(|of| Arc::ptr_eq(of, server));
            state.check_pools.get(state.shared.checks.iter().position(is_it)?).cloned().flatten()
        });
        let new = || Pool::new(server.endpoint.clone(), server.tls.clone(), server.config.timeout);
        Some(running.unwrap_or_else(new))
    }
}

impl Server {
    fn new(config: &Moderation, lasting: &Lasting, now: Time) -> Result<Server, StartError> {
        let endpoint = Endpoint::parse(&config.url, false)?;
        let tls = if endpoint.tls { Some(tls::client(None)?) } else { None };
        Ok(Server {
            breaker: SharedBreaker::new(breaker::Config::default(), lasting.seed, now),
            places: Semaphore::new(config.at_once),
            waiting: AtomicUsize::new(0),
            endpoint,
            tls,
            config: config.clone(),
        })
    }

    /// A place among the answers that wait; `None`: too many do.
    pub(crate) fn wait(self: &Arc<Self>) -> Option<Waiting> {
        let most = self.config.at_once * WAITING_PER_PLACE;
        let waiting = Waiting(Arc::clone(self));
        (self.waiting.fetch_add(1, Ordering::Relaxed) < most).then_some(waiting)
    }
}

/// A place among the answers that wait, until dropped.
pub(crate) struct Waiting(Arc<Server>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

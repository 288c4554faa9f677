//! A backend as all workers see it: its breaker, its limiter, its endpoints.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use mainstay_core::plan::Backend;
use mainstay_core::resilience::breaker::Ticket;
use mainstay_core::resilience::demand::Demand;
use mainstay_core::resilience::ejection::{self, Endpoints};
use mainstay_core::resilience::keys::Fault;
use mainstay_core::resilience::limiter;
use mainstay_core::resilience::outcome::Outcome;
use mainstay_core::rng::Rng;
use mainstay_core::status::{BackendStatus, EndpointStatus};
use mainstay_core::time::Time;
use mainstay_tower::breaker::SharedBreaker;
use mainstay_tower::limit::SharedLimit;

use super::{Lasting, Shared};
use crate::upstream::{Endpoint, Pool};
use crate::worker::State;
use crate::{StartError, tls};

/// A backend as all workers see it.
pub(crate) struct BackendShared {
    pub(crate) name: String,
    pub(crate) breaker: Arc<SharedBreaker>,
    pub(crate) limit: Arc<SharedLimit>,
    pub(crate) health: Health,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) demand: Demand,
    tls: Option<Arc<rustls::ClientConfig>>,
    config: Backend,
    /// Whether what failed last did so for its key's sake.
    by_key: AtomicBool,
    choice: Mutex<Endpoints>,
}

/// What the last health check said.
#[derive(Debug, Default)]
pub(crate) struct Health(AtomicU8);

impl BackendShared {
    /// The running backend of the same configuration, or a new one.
    pub(crate) fn carry_over(
        config: &Backend,
        lasting: &Lasting,
        old: Option<&Shared>,
        now: Time,
    ) -> Result<Arc<BackendShared>, StartError> {
        let same = |b: &&Arc<BackendShared>| b.config.name == config.name && b.runs_like(config);
        if let Some(running) = old.and_then(|o| o.backends.iter().find(same)) {
            if config.health.is_none() {
                running.health.forget();
            }
            return Ok(Arc::clone(running));
        }
        BackendShared::new(config, lasting, now).map(Arc::new)
    }

    fn new(config: &Backend, lasting: &Lasting, now: Time) -> Result<BackendShared, StartError> {
        let parsed = config.endpoints.iter().map(|url| Endpoint::parse(url, config.h2c));
        let endpoints: Vec<Endpoint> = parsed.collect::<Result<_, _>>()?;
        let encrypted = endpoints.iter().any(|e| e.tls);
        let tls = if encrypted { Some(tls::client(config.ca.as_deref())?) } else { None };
        Ok(BackendShared {
            name: config.name.clone(),
            breaker: SharedBreaker::new(config.breaker.clone(), lasting.seed, now),
            limit: SharedLimit::new(config.limit, now),
            health: Health::default(),
            demand: Demand::default(),
            choice: Mutex::new(Endpoints::new(ejection::Config::default(), endpoints.len())),
            endpoints,
            tls,
            config: config.clone(),
            by_key: AtomicBool::new(false),
        })
    }

    /// Whether `other` means the same connections and the same machines. Everything else is read from the plan.
    fn runs_like(&self, other: &Backend) -> bool {
        let mine = &self.config;
        mine.endpoints == other.endpoints
            && mine.protocol == other.protocol
            && mine.ca == other.ca
            && mine.h2c == other.h2c
            && mine.connect_timeout == other.connect_timeout
            && mine.limit == other.limit
            && mine.breaker == other.breaker
    }

    /// A worker's pools, one per endpoint: those it has, where the backend is the same.
    pub(crate) fn pools(self: &Arc<Self>, old: Option<&State>) -> Vec<Rc<Pool>> {
        let running = old.and_then(|state| {
            let at = state.shared.backends.iter().position(|b| Arc::ptr_eq(b, self))?;
            state.pools.get(at).cloned()
        });
        running.unwrap_or_else(|| {
            let timeout = self.config.connect_timeout;
            self.endpoints.iter().map(|e| Pool::new(e.clone(), self.tls.clone(), timeout)).collect()
        })
    }

    /// A pool of no worker's, for a health check: it speaks to the endpoint as requests do.
    pub(crate) fn fresh_pool(&self, endpoint: &Endpoint) -> Rc<Pool> {
        Pool::new(endpoint.clone(), self.tls.clone(), self.config.connect_timeout)
    }

    /// Chooses an endpoint and counts a call to it: the less loaded of two, never an ejected one.
    pub(crate) fn enter(&self, rng: &mut Rng, avoid: Option<usize>, now: Time) -> usize {
        match self.endpoints.len() {
            1 => 0,
            _ => self.choice.lock().expect("choosing does not panic").handle_pick_but(avoid, rng, now),
        }
    }

    /// A call to an endpoint ended.
    pub(crate) fn leave(&self, endpoint: usize, outcome: Outcome, now: Time) {
        if self.endpoints.len() > 1 {
            self.choice.lock().expect("choosing does not panic").handle_outcome(endpoint, outcome, now);
        }
    }

    /// What a fault of a caller's own credential says about the backend: nothing. Where it is not told from a server's own limit, that is heeded;
    /// a wish to be left alone is its caller's to heed.
    pub(crate) const fn without_callers_fault(&self, fault: Fault) -> Outcome {
        match fault {
            Fault::Limited if !self.config.protocol.is_of_language_models() => Outcome::Throttled { retry_after: None },
            Fault::Limited | Fault::Spent | Fault::Refused => Outcome::Cancelled,
        }
    }

    /// What became of the endpoints since the last call.
    pub(crate) fn endpoint_effects(&self, now: Time) -> Vec<ejection::Effect> {
        if self.endpoints.len() == 1 {
            return Vec::new();
        }
        let mut choice = self.choice.lock().expect("choosing does not panic");
        choice.handle_timeout(now);
        std::iter::from_fn(|| choice.poll_effect()).collect()
    }

    /// A call ended: what its breaker learns.
    pub(crate) fn learn(&self, ticket: Ticket, outcome: Outcome, fault: Option<Fault>, now: Time) {
        if outcome.is_failure() {
            self.by_key.store(fault.is_some(), Ordering::Relaxed);
        }
        self.breaker.report(ticket, outcome, now);
    }

    /// Whether what failed last did so for its key's sake.
    pub(crate) fn fails_by_its_key(&self) -> bool {
        self.by_key.load(Ordering::Relaxed)
    }

    /// Calls that are allowed at once; `None`: no limit.
    pub(crate) fn limit(&self) -> Option<u32> {
        match self.config.limit {
            limiter::Config::None => None,
            limiter::Config::Knee { .. }
            | limiter::Config::Ttft { .. }
            | limiter::Config::Latency { .. }
            | limiter::Config::Fixed { .. } => Some(self.limit.view().limit),
        }
    }

    /// What a person sees of it.
    pub(crate) fn status(&self, plan: &Backend, now: Time) -> BackendStatus {
        let view = self.breaker.state(now);
        let load = self.limit.view();
        let choice = self.choice.lock().expect("choosing does not panic");
        let single = self.endpoints.len() == 1;
        let endpoint = |(at, e): (usize, &Endpoint)| EndpointStatus {
            url: e.url.clone(),
            ejected: choice.is_ejected(at),
            in_flight: if single { load.in_flight } else { choice.in_flight(at) },
        };
        BackendStatus {
            name: self.name.clone(),
            protocol: self.config.protocol,
            version: plan.version.clone(),
            healthy: self.health.last(),
            breaker: view.phase.name(),
            retry_at: view.until,
            limit: self.limit(),
            in_flight: load.in_flight,
            waiting: load.waiting,
            endpoints: self.endpoints.iter().enumerate().map(endpoint).collect(),
        }
    }
}

impl Health {
    const WELL: u8 = 1;
    const ILL: u8 = 2;

    /// Notes a check's verdict; tells whether it differs from the last.
    pub(crate) fn note(&self, well: bool) -> bool {
        let verdict = if well { Self::WELL } else { Self::ILL };
        self.0.swap(verdict, Ordering::Relaxed) != verdict
    }

    /// Nobody asks any more: the last verdict would hold for ever.
    fn forget(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// The last verdict; `None` before the first.
    pub(crate) fn last(&self) -> Option<bool> {
        match self.0.load(Ordering::Relaxed) {
            Self::WELL => Some(true),
            Self::ILL => Some(false),
            _ => None,
        }
    }
}

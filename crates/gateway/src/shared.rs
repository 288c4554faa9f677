//! What all workers share under one config. A reload makes a new one and carries over what did not change.

mod backend;
mod checks;
mod features;
mod groups;
mod hedges;
mod keys;
mod orders;
mod route;

use std::iter;
use std::sync::{Arc, Mutex};

use mainstay_core::plan::Plan;
use mainstay_core::resilience::ladder::{Component, Seen};
use mainstay_core::time::Time;
use mainstay_tower::clock::Clock;

pub(crate) use backend::{BackendShared, Health};
pub(crate) use checks::{CheckShared, Server};
pub(crate) use features::FeatureShared;
pub(crate) use groups::{Group, InGroup};
pub(crate) use hedges::{Awaits, Hedges, Pace};
pub(crate) use keys::{KeyInUse, KeyRing};
pub use orders::BlockError;
pub(crate) use orders::Orders;
pub(crate) use route::{Around, RouteShared, written};

use crate::answers::files::{self, DataFile};
use crate::chaos::Injector;
use crate::counters::{Ledger, Totals};
use crate::events::EventSink;
use crate::identity::Clients;
use crate::kept::KeptRequests;
use crate::reviews::{self, ReviewLine};
use crate::routing::Routing;
use crate::tls;
use crate::watch::Observations;
use crate::{StartError, answers};

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) plan: Arc<Plan>,
    pub(crate) clock: Clock,
    pub(crate) seed: u64,
    /// How many threads serve.
    pub(crate) workers: usize,
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    pub(crate) clients: Clients,
    pub(crate) routing: Routing,
    /// By `BackendId`.
    pub(crate) backends: Vec<Arc<BackendShared>>,
    /// By `BackendId`.
    pub(crate) keys: Vec<Arc<KeyRing>>,
    pub(crate) groups: groups::Groups,
    /// By `FeatureSetId`.
    pub(crate) features: Vec<Arc<FeatureShared>>,
    /// By index into the plan's checks.
    pub(crate) checks: Vec<CheckShared>,
    /// By index into the plan's routes.
    pub(crate) routes: Vec<Arc<RouteShared>>,
    pub(crate) totals: Arc<Mutex<Totals>>,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    pub(crate) observations: Arc<Mutex<Observations>>,
    pub(crate) kept: Arc<KeptRequests>,
    pub(crate) answers: Arc<answers::AnswerCache>,
    pub(crate) flights: answers::Flights,
    /// Files that levels answer from.
    pub(crate) files: Vec<Arc<DataFile>>,
    /// Lines in which requests wait for a person.
    pub(crate) lines: Vec<Arc<ReviewLine>>,
    pub(crate) events: EventSink,
    pub(crate) injector: Arc<Injector>,
}

/// What outlives every config.
#[derive(Clone)]
pub(crate) struct Lasting {
    pub(crate) clock: Clock,
    pub(crate) seed: u64,
    pub(crate) workers: usize,
    pub(crate) totals: Arc<Mutex<Totals>>,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    pub(crate) observations: Arc<Mutex<Observations>>,
    pub(crate) kept: Arc<KeptRequests>,
    pub(crate) answers: Arc<answers::AnswerCache>,
    pub(crate) flights: answers::Flights,
    pub(crate) events: EventSink,
    pub(crate) injector: Arc<Injector>,
}

impl Shared {
    /// Makes `plan` ready to run. Breakers, limiters, queues and caches of what did not change since `old` live on.
    pub(crate) fn new(plan: Arc<Plan>, lasting: Lasting, old: Option<&Shared>) -> Result<Shared, StartError> {
        let now = lasting.clock.now();
        let backends =
            plan.backends.iter().map(|b| BackendShared::carry_over(b, &lasting, old, now)).collect::<Result<_, _>>()?;
        let keys = plan.backends.iter().map(|b| KeyRing::carry_over(b, old)).collect();
        let features =
            plan.features.iter().map(|f| FeatureShared::carry_over(f, &lasting, old, now)).collect::<Result<_, _>>()?;
        let checks =
            plan.checks.iter().map(|c| CheckShared::carry_over(c, &lasting, old, now)).collect::<Result<_, _>>()?;
        let files = files::files(&plan, old.map_or(&[], |old| &old.files), now);
        let lines = reviews::lines(&plan, old.map_or(&[], |old| &old.lines), lasting.clock)
            .map_err(|(file, error)| StartError::Queue(file, error))?;
        let around = Around { plan: &plan, files: &files, lines: &lines, seed: lasting.seed };
        let routes =
            (0..plan.routes.len()).map(|r| RouteShared::carry_over(r, &around, old, now)).collect::<Result<_, _>>()?;
        Ok(Shared {
            tls: plan.tls.as_ref().map(tls::server).transpose()?,
            clients: Clients::new(&plan)?,
            routing: Routing::new(&plan),
            backends,
            keys,
            groups: groups::Groups::new(&plan, lasting.seed, old.map(|old| &old.groups), now),
            features,
            checks,
            routes,
            plan,
            clock: lasting.clock,
            seed: lasting.seed,
            workers: lasting.workers,
            totals: lasting.totals,
            ledger: lasting.ledger,
            observations: lasting.observations,
            kept: lasting.kept,
            answers: lasting.answers,
            flights: lasting.flights,
            files,
            lines,
            events: lasting.events,
            injector: lasting.injector,
        })
    }

    /// How a component is: what its last check said, and what its breaker and that of its group let pass. Its room is the keeper's to judge.
    pub(crate) fn component(&self, component: Component, now: Time) -> Seen {
        let (health, own, group) = match component {
            Component::Backend(at) => {
                let at = at as usize;
                (&self.backends[at].health, &self.backends[at].breaker, self.groups.of(at))
            }
            Component::Features(at) => (&self.features[at as usize].health, &self.features[at as usize].breaker, None),
        };
        let breakers = iter::once(own).chain(group.map(|group| &group.breaker));
        breakers.filter(|breaker| !breaker.is_closed()).fold(Seen::checked(health.last()), |seen, breaker| {
            let state = breaker.state(now);
            seen.behind(state.phase, state.carries)
        })
    }

    /// What the next config is made with.
    pub(crate) fn lasting(&self) -> Lasting {
        Lasting {
            clock: self.clock,
            seed: self.seed,
            workers: self.workers,
            totals: Arc::clone(&self.totals),
            ledger: Arc::clone(&self.ledger),
            observations: Arc::clone(&self.observations),
            kept: Arc::clone(&self.kept),
            answers: Arc::clone(&self.answers),
            flights: self.flights.clone(),
            events: self.events.clone(),
            injector: Arc::clone(&self.injector),
        }
    }
}

//! The data plane as a whole: started, watched, reloaded, drained.

mod chaos;
mod metrics;
mod orders;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwap;
use mainstay_core::answer::review::{Decision, Review};
use mainstay_core::event::{Event, EventKind, RequestFinished};
use mainstay_core::metric::Family;
use mainstay_core::plan::Plan;
use mainstay_core::route::Level;
use mainstay_core::status::{EntryStatus, FeatureStatus, RouteStatus, Status};
use mainstay_core::time::Time;
use mainstay_tower::clock::Clock;
use tokio::sync::watch;

use crate::acceptor::{self, Crew};
use crate::answers::{AnswerCache, Flights, files};
use crate::chaos::Injector;
use crate::counters::{Summed, Totals};
use crate::events::EventSink;
use crate::keeper;
use crate::kept::KeptRequests;
use crate::reviews::{ReviewError, ReviewLine};
use crate::shared::{FeatureShared, Lasting, RouteShared, Shared};
use crate::tls::TlsError;
use crate::upstream::endpoint::BadEndpoint;
use crate::watch::Batch;
use crate::worker::{self, Command, Handle};

/// Bytes of answers that the `cache` levels may hold.
const ANSWER_CACHE_BYTES: u64 = 64 << 20;

/// A running data plane.
pub struct Gateway {
    current: Arc<ArcSwap<Shared>>,
    local_addr: SocketAddr,
    workers: Mutex<Vec<Handle>>,
    keeper: Mutex<Option<JoinHandle<()>>>,
    /// Looks at files; dropping the sender ends it.
    watcher: Mutex<Option<(std::sync::mpsc::Sender<()>, JoinHandle<()>)>>,
    stop: watch::Sender<bool>,
    draining: std::sync::atomic::AtomicBool,
    configs: watch::Sender<Arc<Shared>>,
}

/// Why a data plane cannot run a plan.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A thread or its runtime could not be made.
    #[error("start a worker thread")]
    Worker(#[from] std::io::Error),
    /// A certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A backend's URL cannot be used.
    #[error(transparent)]
    Endpoint(#[from] BadEndpoint),
    /// A queue's file cannot be opened.
    #[error("open the queue's file {0}")]
    Queue(String, #[source] std::io::Error),
    /// A secret has no value.
    #[error("{0} has no value")]
    Secret(String),
    /// Two clients show the same key.
    #[error("client `{0}` has the same key as another client")]
    SharedKey(String),
    /// A feature set cannot run.
    #[error("features `{0}`: {1}")]
    Features(String, String),
    /// A route cannot run.
    #[error("route `{0}`: {1}")]
    Route(String, String),
    /// The listen address is not changed by a reload.
    #[error("`listen` is {0} and changes only with a restart")]
    ListenChanged(SocketAddr),
}

/// There is no route of this name.
#[derive(Debug, thiserror::Error)]
#[error("there is no route `{0}`")]
pub struct UnknownRoute(pub String);

impl Gateway {
    /// Starts serving. The plan's secrets must have been resolved.
    pub fn start(plan: Arc<Plan>, clock: Clock, seed: u64, events: EventSink) -> Result<Gateway, StartError> {
        let address = plan.listen;
        let listener = acceptor::bind(address).map_err(|source| StartError::Listen { address, source })?;
        let local_addr = listener.local_addr()?;
        let workers =
            plan.limits.workers.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from)).max(1);
        let lasting = Lasting {
            clock,
            seed,
            workers,
            totals: Arc::default(),
            ledger: Arc::default(),
            observations: Arc::default(),
            kept: Arc::new(KeptRequests::new(plan.observability.reservoir)),
            answers: Arc::new(AnswerCache::new(ANSWER_CACHE_BYTES)),
            flights: Flights::default(),
            events,
            injector: Arc::new(Injector::new(Arc::clone(&plan))),
        };
        let shared = Arc::new(Shared::new(plan, lasting, None)?);
        let workers = (0..workers).map(|n| worker::start(n, Arc::clone(&shared))).collect::<Result<Vec<_>, _>>()?;
        let (stop, stopped) = watch::channel(false);
        let (configs, config) = watch::channel(Arc::clone(&shared));
        let current = Arc::new(ArcSwap::new(shared));
        let watcher = start_watcher(Arc::clone(&current), clock)?;
        let keeper = start_keeper(listener, Crew::new(&workers), Arc::clone(&current), config, stopped)?;
        Ok(Gateway {
            current,
            local_addr,
            workers: Mutex::new(workers),
            keeper: Mutex::new(Some(keeper)),
            watcher: Mutex::new(Some(watcher)),
            stop,
            draining: std::sync::atomic::AtomicBool::new(false),
            configs,
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The plan that it runs.
    pub fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.current.load().plan)
    }

    /// Runs another plan from the next request on. Requests under way end under the plan that they began with; breakers,
    /// limits, queues, caches and pins of what did not change live on. On an error nothing changes.
    pub fn reload(&self, plan: Arc<Plan>) -> Result<(), StartError> {
        let old = self.current.load_full();
        if plan.listen != old.plan.listen {
            return Err(StartError::ListenChanged(old.plan.listen));
        }
        let shared = Arc::new(Shared::new(plan, old.lasting(), Some(&old))?);
        shared.injector.reload(Arc::clone(&shared.plan));
        for worker in &*self.workers.lock().expect("handles are only read") {
            let _ = worker.commands.send(Command::Reload(Arc::clone(&shared)));
        }
        self.current.store(Arc::clone(&shared));
        let _ = self.configs.send(Arc::clone(&shared));
        shared.events.emit(Event { at: shared.clock.now(), kind: EventKind::ConfigReloaded {} });
        Ok(())
    }

    /// Holds a route at a level, until `until` or until [`Gateway::unpin`].
    pub fn pin(&self, route: &str, level: Level, until: Option<Time>, reason: &str) -> Result<(), UnknownRoute> {
        let shared = self.current.load();
        let found = find(&shared, route)?;
        let now = shared.clock.now();
        let kind = EventKind::LevelPinned {
            route: route.to_owned(),
            level,
            until,
            by: "admin".into(),
            reason: reason.to_owned(),
        };
        shared.events.emit(Event { at: now, kind });
        found.pin(level, until, reason, now).into_iter().for_each(|event| shared.events.emit(event));
        Ok(())
    }

    /// Gives a route's level back to health.
    pub fn unpin(&self, route: &str) -> Result<(), UnknownRoute> {
        let shared = self.current.load();
        let found = find(&shared, route)?;
        let now = shared.clock.now();
        let kind = EventKind::LevelReleased { route: route.to_owned(), reason: "admin".into() };
        shared.events.emit(Event { at: now, kind });
        found.unpin(now).into_iter().for_each(|event| shared.events.emit(event));
        Ok(())
    }

    /// Whether it takes requests.
    pub fn ready(&self) -> Result<(), String> {
        if self.is_draining() { Err("draining".to_owned()) } else { Ok(()) }
    }

    fn is_draining(&self) -> bool {
        self.draining.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// The data plane at this moment.
    pub fn status(&self) -> Status {
        let shared = self.current.load();
        let now = shared.clock.now();
        let totals = shared.totals.lock().expect("counting does not panic");
        let routes = shared.routes.iter().zip(&shared.plan.routes);
        Status {
            at: now,
            service: shared.plan.service.clone(),
            draining: self.is_draining(),
            routes: routes.map(|(route, plan)| route_status(route, plan, &totals, now)).collect(),
            backends: shared.backends.iter().zip(&shared.plan.backends).map(|(b, plan)| b.status(plan, now)).collect(),
            groups: shared.groups.status(&shared.backends, now),
            features: shared.features.iter().map(|f| feature_status(f, &totals, now)).collect(),
            files: shared.files.iter().map(|file| file.status()).collect(),
            reviews: shared.lines.iter().map(|line| line.status(now)).collect(),
        }
    }

    /// All metrics at this moment.
    pub fn metrics(&self) -> Vec<Family> {
        metrics::families(&self.current.load())
    }

    /// The names of the queues in which requests wait for a person.
    pub fn queues(&self) -> Vec<String> {
        self.current.load().lines.iter().map(|line| line.name.clone()).collect()
    }

    /// Requests that wait for a person in a queue, in order, with numbers above `after`; `state` by its name.
    pub fn reviews(
        &self,
        queue: &str,
        state: Option<&str>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Review>, ReviewError> {
        Ok(self.line(queue)?.list(state, after, limit))
    }

    /// Takes a request for a while, or the oldest that waits.
    pub fn claim(&self, queue: &str, id: Option<u64>, by: &str, lease: Duration) -> Result<Review, ReviewError> {
        self.line(queue)?.claim(id, by, lease)
    }

    /// Decides about a request; durable when this returns. `decision.at` is set here.
    pub async fn decide(&self, queue: &str, id: u64, decision: Decision) -> Result<Review, ReviewError> {
        self.line(queue)?.decide(id, decision).await
    }

    fn line(&self, queue: &str) -> Result<Arc<ReviewLine>, ReviewError> {
        let shared = self.current.load();
        let line = shared.lines.iter().find(|line| line.name == queue);
        line.cloned().ok_or_else(|| ReviewError::NoQueue(queue.to_owned()))
    }

    /// What objectives counted since this was last asked. Each event is told once, at most 200 ms after it happened; after
    /// [`Gateway::shutdown`] what is left.
    pub fn take_sums(&self) -> Summed {
        let shared = self.current.load();
        let now = shared.clock.now();
        let waiting = shared.lines.iter().map(|line| (line.name.clone(), now - line.size(now).oldest)).collect();
        Summed { waiting, ..shared.ledger.lock().expect("counting does not panic").take() }
    }

    /// What monitors and labels are to see since this was last asked, oldest first within a worker; at most 200 ms old.
    pub fn take_observed(&self) -> Vec<Batch> {
        self.current.load().observations.lock().expect("handing over does not panic").take()
    }

    /// Kept requests, the last first, at most `limit`; what must not leave was taken out of them.
    pub fn kept(&self, limit: usize) -> Vec<(Time, RequestFinished)> {
        self.current.load().kept.requests(limit)
    }

    /// Stops accepting, lets running requests end within the plan's `drain`, and returns when all threads have ended.
    pub fn shutdown(&self) {
        if self.draining.swap(true, std::sync::atomic::Ordering::Relaxed) {
            return;
        }
        let shared = self.current.load_full();
        shared.events.emit(Event { at: shared.clock.now(), kind: EventKind::Draining {} });
        let _ = self.stop.send(true);
        let workers = std::mem::take(&mut *self.workers.lock().expect("handles are only read"));
        for worker in &workers {
            let _ = worker.commands.send(Command::Drain(shared.plan.limits.drain));
        }
        for worker in workers {
            if worker.thread.join().is_err() {
                tracing::error!("a worker panicked");
            }
        }
        if let Some(keeper) = self.keeper.lock().expect("handles are only read").take() {
            let _ = keeper.join();
        }
        if let Some((stop, thread)) = self.watcher.lock().expect("handles are only read").take() {
            drop(stop);
            let _ = thread.join();
        }
        shared.events.emit(Event { at: shared.clock.now(), kind: EventKind::Stopped {} });
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// Starts the thread that looks at files.
fn start_watcher(
    current: Arc<ArcSwap<Shared>>,
    clock: Clock,
) -> std::io::Result<(std::sync::mpsc::Sender<()>, JoinHandle<()>)> {
    let (stop, stopped) = std::sync::mpsc::channel();
    let watch = move || files::watch(&current, clock, &stopped);
    Ok((stop, thread::Builder::new().name("files".to_owned()).spawn(watch)?))
}

/// Starts the thread that accepts connections and keeps the machines going.
fn start_keeper(
    listener: std::net::TcpListener,
    crew: Crew,
    current: Arc<ArcSwap<Shared>>,
    mut config: watch::Receiver<Arc<Shared>>,
    stopped: watch::Receiver<bool>,
) -> std::io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("keeper".to_owned()).spawn(move || {
        tokio::task::LocalSet::new().block_on(&runtime, async move {
            let limits = Arc::clone(&current);
            let max = move || limits.load().plan.limits.connections;
            let sending = crate::chaos::send(Arc::clone(&current.load().injector), crew.commands(), stopped.clone());
            let accepting = acceptor::accept(listener, crew, max, stopped.clone());
            let keeping = keeper::keep(current, stopped.clone());
            let checking = async move {
                loop {
                    let shared = Arc::clone(&config.borrow_and_update());
                    tokio::select! {
                        () = keeper::check_health(shared, stopped.clone()) => return,
                        changed = config.changed() => if changed.is_err() { return },
                    }
                }
            };
            let (accepted, (), (), ()) = tokio::join!(accepting, keeping, checking, sending);
            if let Err(error) = accepted {
                tracing::error!(%error, "no connections can be accepted");
            }
        });
    })
}

fn find<'a>(shared: &'a Shared, route: &str) -> Result<&'a Arc<RouteShared>, UnknownRoute> {
    shared.routes.iter().find(|r| r.name == route).ok_or_else(|| UnknownRoute(route.to_owned()))
}

fn route_status(route: &RouteShared, plan: &mainstay_core::plan::Route, totals: &Totals, now: Time) -> RouteStatus {
    let (level, reason, pin) = route.current();
    let name_of = |l: Level| plan.ladder.iter().find(|e| e.level == l).map(|e| e.name.clone());
    let (served, all_failed, shed) = totals.of_route(&route.name);
    RouteStatus {
        name: route.name.clone(),
        path: crate::shared::written(&plan.path),
        level,
        level_name: name_of(level).unwrap_or_else(|| level.name().to_owned()),
        reason,
        pin,
        served,
        all_failed,
        shed,
        raised: route.orders.raised(now),
        blocked: route.orders.blocked(now),
        entries: plan.ladder.iter().map(|entry| entry_status(&route.name, entry, totals)).collect(),
    }
}

fn entry_status(route: &str, entry: &mainstay_core::plan::Entry, totals: &Totals) -> EntryStatus {
    let kind = entry.answer.kind();
    let counted = totals.of_entry(route, entry.level, kind);
    EntryStatus {
        level: entry.level,
        name: entry.name.clone(),
        kind,
        quality_impact: entry.quality_impact.clone(),
        budget: entry.budget,
        answered: counted.answered,
        late: counted.late,
        failures: counted.failures,
    }
}

fn feature_status(features: &FeatureShared, totals: &Totals, now: Time) -> FeatureStatus {
    let (hits, misses, stale) = totals.of_features(&features.name);
    FeatureStatus {
        name: features.name.clone(),
        healthy: features.health.last(),
        breaker: features.breaker.state(now).phase.name(),
        cached: features.stage.cached_entities(),
        hits,
        misses,
        stale,
    }
}

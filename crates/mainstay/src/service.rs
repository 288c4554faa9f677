//! The composition root: a gateway, an admin API, and the events between them.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use mainstay_control::{Admin, Engine, Incidents, Registry, Site};
use mainstay_core::event::{Event, EventKind};
use mainstay_core::plan::Plan;
use mainstay_core::time::Time;
use mainstay_gateway::{EventSink, Gateway};
use mainstay_telemetry::Telemetry;
use mainstay_tower::clock::Clock;
use ring::rand::SecureRandom as _;

use crate::acting::Actors;
use crate::chaos::{self, Chaos};
use crate::engine::{self, Keeping};
use crate::exit::Stop;
use crate::gamedays::{self, Keeper};
use crate::plane::{Plane, Rests, telemetry_settings};
use crate::serving::Served;
use crate::source::Source;

/// Events that may wait to be logged; more than that are dropped and counted.
const EVENTS_MAX: usize = 8192;

/// A running gateway and an admin API that listens and waits to be served.
pub(crate) struct Service {
    /// The process's clock.
    pub(crate) clock: Clock,
    /// What the admin API and signals act on.
    pub(crate) plane: Arc<Plane>,
    gamedays: Mutex<Option<Keeper>>,
    chaos: Mutex<Option<Chaos>>,
    keeping: Mutex<Option<Keeping>>,
}

impl Service {
    /// Starts the gateway and opens the admin API's port. `on_event` runs on a thread of its own and sees every event
    /// in order. Must be called within a tokio runtime; the admin API is served by whoever polls it.
    pub(crate) async fn start(
        plan: Plan,
        source: Source,
        on_event: impl FnMut(&Event) + Send + 'static,
    ) -> Result<(Service, Admin), Stop> {
        let clock = wall_clock().map_err(Stop::unreachable)?;
        let (sink, events) = EventSink::channel(EVENTS_MAX);
        let seed = entropy();
        // Before anything else that this process sees.
        sink.emit(Event { at: clock.now(), kind: EventKind::Starting {} });
        let actors = Actors::default();
        let (mut keeping, plan, rests) = engine::start(plan, (clock, seed), sink.clone(), Arc::new(actors.clone()))?;
        let kept = (keeping.engine.clone(), keeping.incidents.clone(), actors);
        match Service::front((plan, rests), source, (clock, seed), (sink, events), kept, on_event).await {
            Ok((plane, admin, (chaos, gamedays))) => {
                let _ = keeping.source.set(Arc::clone(&plane));
                keeping.begin();
                let (gamedays, chaos) = (Mutex::new(Some(gamedays)), Mutex::new(Some(chaos)));
                Ok((Service { clock, plane, gamedays, chaos, keeping: Mutex::new(Some(keeping)) }, admin))
            }
            Err(stop) => {
                // The store is closed as on any other day; its connections come back by tasks of this runtime, which goes on.
                let _ = tokio::task::spawn_blocking(|| keeping.stop()).await;
                Err(stop)
            }
        }
    }

    /// The gateway and the admin API before an engine that runs. Must be called within a tokio runtime.
    async fn front(
        (plan, rests): (Plan, Rests),
        source: Source,
        (clock, seed): (Clock, u64),
        (sink, events): (EventSink, Receiver<Event>),
        (engine, incidents, actors): (Engine, Incidents, Actors),
        on_event: impl FnMut(&Event) + Send + 'static,
    ) -> Result<(Arc<Plane>, Admin, (Chaos, Keeper)), Stop> {
        let tokens = plan.admin.tokens.clone();
        let admin_address = plan.admin.listen;
        let service = plan.service.clone();
        let asked = Arc::new(OnceLock::<Weak<Plane>>::new());
        let metrics = metrics_of(Arc::clone(&asked), engine.clone());
        let telemetry = Telemetry::start(telemetry_settings(&plan), Arc::new(move || clock.now()), seed, metrics);
        let telemetry = Arc::new(telemetry.context("cannot start a thread").map_err(Stop::unreachable)?);
        let gateway = Gateway::start(Arc::new(plan), clock, seed, sink.clone()).context("cannot start the gateway");
        let (events_of_models, events_of_chaos, events_of_gamedays) = (sink.clone(), sink.clone(), sink.clone());
        let plane = Plane::new(
            gateway.map_err(Stop::unreachable)?,
            (clock, source),
            sink,
            (engine.clone(), incidents.clone(), Arc::clone(&telemetry)),
            rests,
        );
        let plane = Arc::new(plane);
        let _ = asked.set(Arc::downgrade(&plane));
        let served = Served { engine: engine.clone(), plane: Arc::clone(&plane), events: events_of_models, clock };
        let registry = Registry::open(Arc::clone(engine.store()), Arc::new(served)).await;
        let registry = registry.context("cannot read models and runs").map_err(Stop::unreachable)?;
        actors.set(&plane, &registry);
        let site = Site::new(Arc::clone(&plane) as _).with_reviews(Arc::clone(&plane) as _);
        let site = site.with_engine(engine.clone()).with_formats(Arc::clone(&plane) as _).with_registry(registry);
        let (chaos, experiments) = chaos::start(&plane, (engine.clone(), incidents.clone()), events_of_chaos, seed)
            .await
            .map_err(Stop::unreachable)?;
        plane.set_experiments(experiments.clone());
        let (keeper, gamedays) = gamedays::start(&plane, engine.clone(), experiments.clone(), events_of_gamedays)
            .await
            .map_err(Stop::unreachable)?;
        plane.set_gamedays(gamedays.clone());
        let site = site.with_incidents(incidents).with_experiments(experiments).with_gamedays(gamedays);
        let admin = Admin::bind(admin_address, &tokens, site)
            .await
            .with_context(|| format!("cannot open the admin API at {admin_address}"))
            .map_err(Stop::unreachable)?
            .with_key(key().map_err(Stop::unreachable)?);
        spawn_events(events, (engine, telemetry), on_event).map_err(Stop::unreachable)?;
        plane.emit(EventKind::Started { service, build: env!("CARGO_PKG_VERSION").into() });
        Ok((plane, admin, (chaos, keeper)))
    }

    /// Takes no new requests and finishes those that run, within the config's drain time.
    pub(crate) async fn stop(&self) {
        // Faults first: nobody is to meet one while the service drains.
        let gamedays = self.gamedays.lock().unwrap_or_else(PoisonError::into_inner).take();
        let chaos = self.chaos.lock().unwrap_or_else(PoisonError::into_inner).take();
        let stopped = || {
            drop(gamedays);
            drop(chaos);
        };
        let _ = tokio::task::spawn_blocking(stopped).await;
        let plane = Arc::clone(&self.plane);
        let drained = tokio::task::spawn_blocking(move || plane.gateway.shutdown()).await;
        if drained.is_err() {
            tracing::error!("the gateway panicked while it drained");
        }
        let keeping = self.keeping.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(keeping) = keeping
            && tokio::task::spawn_blocking(|| keeping.stop()).await.is_err()
        {
            tracing::error!("the engine could not be stopped");
        }
        // The last requests have ended: what was kept of them is sent.
        let plane = Arc::clone(&self.plane);
        let _ = tokio::task::spawn_blocking(move || plane.telemetry().stop()).await;
    }

    /// Where the data plane listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.plane.gateway.local_addr()
    }
}

/// All metrics of a plane, once there is one, and of its engine.
fn metrics_of(plane: Arc<OnceLock<Weak<Plane>>>, engine: Engine) -> mainstay_telemetry::Metrics {
    Box::new(move || {
        let plane = plane.get().and_then(Weak::upgrade);
        let mut families = plane.map(|plane| mainstay_control::DataPlane::metrics(&*plane)).unwrap_or_default();
        families.extend(engine.metrics());
        families
    })
}

/// A seed that differs from run to run, from the keys that the standard library draws for its hash maps.
fn entropy() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A key that nobody else has, for sessions of the dashboard.
fn key() -> anyhow::Result<[u8; 32]> {
    let mut key = [0; 32];
    ring::rand::SystemRandom::new().fill(&mut key).ok().context("the system has no random numbers")?;
    Ok(key)
}

/// Reads the system's time once; from then on the clock is monotonic.
fn wall_clock() -> anyhow::Result<Clock> {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).context("the system's time lies before 1970")?;
    Ok(Clock::anchored(Time::ZERO + since_epoch))
}

/// The thread ends when the last sender of events is gone.
fn spawn_events(
    events: Receiver<Event>,
    (engine, telemetry): (Engine, Arc<Telemetry>),
    mut on_event: impl FnMut(&Event) + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("events".to_owned()).spawn(move || {
        for event in events {
            on_event(&event);
            telemetry.send(&event);
            // Requests are told by a sample and counted by sums; the log is for what changed. What the desk and experiments tell is in
            // it already.
            let is_logged = matches!(
                event.kind,
                EventKind::RequestFinished(_)
                    | EventKind::IncidentOpened(_)
                    | EventKind::IncidentChanged(_)
                    | EventKind::IncidentNotified { .. }
                    | EventKind::ExperimentChanged(_)
                    | EventKind::ExperimentEnded { .. }
                    | EventKind::HaltChanged { .. }
            );
            if !is_logged && !engine.note(event) {
                tracing::debug!("an event was not stored");
            }
        }
    })
}

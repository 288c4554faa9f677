//! The engine's thread: the store, and what is counted in it.

use std::path::Path;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::{self, JoinHandle};

use anyhow::Context as _;
use mainstay_control::Engine;
use mainstay_control::engine::{Setup, Summed, Terms};
use mainstay_core::event::Event;
use mainstay_core::plan::{Plan, Retention};
use mainstay_gateway::EventSink;
use mainstay_store::{Options, Sqlite, Store};
use mainstay_tower::clock::Clock;
use tokio::sync::oneshot;

use crate::exit::Stop;
use crate::plane::Plane;

/// An engine that runs on a thread of its own.
pub(crate) struct Keeping {
    pub(crate) engine: Engine,
    /// Where sums come from, once there is one.
    pub(crate) source: Arc<OnceLock<Arc<Plane>>>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// Opens the store and restores what was counted. Whatever the engine has to tell goes to `events`.
pub(crate) fn start(plan: &Plan, clock: Clock, seed: u64, events: EventSink) -> Result<Keeping, Stop> {
    let mainstay_core::plan::Store::Sqlite(path) = plan.store.clone();
    let source = Arc::new(OnceLock::<Arc<Plane>>::new());
    let retention = plan.retention;
    let (stop, stopped) = oneshot::channel();
    let setup = Setup {
        terms: terms(plan),
        source: Box::new(summed(Arc::clone(&source))),
        on_event: Box::new(move |event: Event| events.emit(event)),
        clock: Arc::new(move || clock.now()),
        instance: format!("{}-{seed:016x}", clock.now().as_nanos()),
    };
    let (opened, ready) = mpsc::sync_channel(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Stop::unreachable)?;
    let spawned = thread::Builder::new().name("engine".to_owned()).spawn(move || {
        runtime.block_on(async {
            let restored = match open(&path, retention, clock).await {
                Ok(store) => Engine::restore(store, setup).await.context("cannot read the store"),
                Err(error) => Err(error),
            };
            match restored {
                Ok((engine, running)) => {
                    if opened.send(Ok(engine)).is_ok() {
                        running.until(async { drop(stopped.await) }).await;
                    }
                }
                Err(error) => drop(opened.send(Err(error))),
            }
        });
    });
    let thread = spawned.map_err(Stop::unreachable)?;
    let engine = ready.recv().context("the engine ended before it began").map_err(Stop::bug)?;
    Ok(Keeping { engine: engine.map_err(Stop::unreachable)?, source, stop, thread })
}

async fn open(path: &Path, retention: Retention, clock: Clock) -> anyhow::Result<Arc<dyn Store>> {
    let options = Options { retention, clock: Arc::new(move || clock.now()), ..Options::default() };
    let store = Sqlite::open(path, options).await.context("cannot use the store")?;
    Ok(Arc::new(store))
}

/// What the engine judges by.
pub(crate) fn terms(plan: &Plan) -> Terms {
    let model = |backend: &mainstay_core::plan::Backend| backend.model.clone();
    Terms {
        slos: plan.slos.clone(),
        policies: plan.policies.clone(),
        maintenance: plan.maintenance.clone(),
        routes: plan.routes.iter().map(|route| route.name.clone()).collect(),
        models: plan.backends.iter().filter_map(model).collect(),
    }
}

fn summed(source: Arc<OnceLock<Arc<Plane>>>) -> impl FnMut() -> Summed + Send {
    move || {
        let taken = source.get().map(|plane| plane.gateway.take_sums()).unwrap_or_default();
        Summed { counts: taken.counts, latencies: taken.latencies, waiting: taken.waiting }
    }
}

impl Keeping {
    /// Counts and stores what is left, and closes the store.
    pub(crate) fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the engine panicked");
        }
    }
}

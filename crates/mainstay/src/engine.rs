//! The engine's thread: the store, and what is counted in it.

use std::path::Path;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::{self, JoinHandle};

use anyhow::Context as _;
use mainstay_control::engine::{Measured, Running, Setup, Summed, Terms, imported};
use mainstay_control::{Acting, Engine, Incidents, RunningDesk};
use mainstay_core::event::Event;
use mainstay_core::plan::{Plan, Retention, Route};
use mainstay_core::quality::summary::Task;
use mainstay_core::registry::CHAMPION;
use mainstay_core::response::desk::Terms as DeskTerms;
use mainstay_core::response::reach::Reach;
use mainstay_gateway::EventSink;
use mainstay_store::{Options, Sqlite, Store};
use mainstay_tower::clock::Clock;
use tokio::sync::oneshot;

use crate::exit::Stop;
use crate::plane::{Plane, Rests};

/// An engine that runs on a thread of its own.
pub(crate) struct Keeping {
    pub(crate) engine: Engine,
    pub(crate) incidents: Incidents,
    begin: Option<oneshot::Sender<()>>,
    /// Where sums come from, once there is one.
    pub(crate) source: Arc<OnceLock<Arc<Plane>>>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// Opens the store and restores what was counted. Whatever the engine has to tell goes to `events`. The plan comes back with
/// what rests in the store.
pub(crate) fn start(
    plan: Plan,
    (clock, seed): (Clock, u64),
    events: EventSink,
    acting: Arc<dyn Acting>,
) -> Result<(Keeping, Plan, Rests), Stop> {
    let mainstay_core::plan::Store::Sqlite(path) = plan.store.clone();
    let source = Arc::new(OnceLock::<Arc<Plane>>::new());
    let summing = Arc::clone(&source);
    let (stop, stopped) = oneshot::channel();
    let (begin, begun) = oneshot::channel();
    let told = events.clone();
    let setup = move |plan: &Plan| Setup {
        terms: terms(plan),
        source: Box::new(summed(summing)),
        on_event: Box::new(move |event: Event| events.emit(event)),
        clock: Arc::new(move || clock.now()),
        instance: format!("{}-{seed:016x}", clock.now().as_nanos()),
    };
    let (opened, ready) = mpsc::sync_channel(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Stop::unreachable)?;
    let spawned = thread::Builder::new().name("engine".to_owned()).spawn(move || {
        runtime.block_on(async {
            let restored = restore(&path, plan, clock, setup).await;
            let (engine, running, plan, rests) = match restored {
                Ok(restored) => restored,
                Err(error) => return drop(opened.send(Err(error))),
            };
            let tell = Box::new(move |event| told.emit(event));
            let desk =
                Incidents::open(&engine, desk_terms(&plan), acting, tell, seed).await.context("cannot read the store");
            let (incidents, desk) = match desk {
                Ok(desk) => desk,
                Err(error) => return drop(opened.send(Err(error))),
            };
            if opened.send(Ok((engine, incidents, plan, rests))).is_ok() {
                run(running, desk, begun, stopped).await;
            }
        });
    });
    let thread = spawned.map_err(Stop::unreachable)?;
    let ready = ready.recv().context("the engine ended before it began").map_err(Stop::bug)?;
    let (engine, incidents, plan, rests) = ready.map_err(Stop::unreachable)?;
    Ok((Keeping { engine, incidents, begin: Some(begin), source, stop, thread }, plan, rests))
}

/// Runs the engine, and the desk from its begin on: it ends first, since it needs the store to the last.
async fn run(running: Running, desk: RunningDesk, begun: oneshot::Receiver<()>, stopped: oneshot::Receiver<()>) {
    let (end, ended) = oneshot::channel::<()>();
    let desk = tokio::spawn(async move {
        if begun.await.is_ok() {
            desk.until(async { drop(ended.await) }).await;
        }
    });
    let stop = async {
        drop(stopped.await);
        drop(end);
        if desk.await.is_err() {
            tracing::error!("the desk panicked");
        }
    };
    running.until(stop).await;
}

/// What the desk goes by.
pub(crate) fn desk_terms(plan: &Plan) -> DeskTerms {
    DeskTerms {
        service: plan.service.clone(),
        environment: plan.environment.name().to_owned(),
        incidents: plan.incidents.clone(),
        reach: Reach::of(plan),
    }
}

/// Opens the store, adds what rests there to the config's plan, and restores what was counted of all of them.
async fn restore(
    path: &Path,
    mut plan: Plan,
    clock: Clock,
    setup: impl FnOnce(&Plan) -> Setup,
) -> anyhow::Result<(Engine, Running, Plan, Rests)> {
    let store = open(path, plan.retention, clock).await?;
    let documents = imported::load(&*store).await.context("cannot read the store")?;
    let champions = store.pointers(None).await.context("cannot read the store")?;
    let champions = champions.into_iter().filter(|moved| moved.pointer == CHAMPION);
    let champions = champions.map(|moved| (moved.model, moved.version)).collect();
    let mut rests = Rests { documents, champions, ..Rests::default() };
    rests.add_to(&mut plan);
    let (engine, running) = Engine::restore(store, setup(&plan)).await.context("cannot read the store")?;
    Ok((engine, running, plan, rests))
}

async fn open(path: &Path, retention: Retention, clock: Clock) -> anyhow::Result<Arc<dyn Store>> {
    let options = Options { retention, clock: Arc::new(move || clock.now()), ..Options::default() };
    let store = Sqlite::open(path, options).await.context("cannot use the store")?;
    Ok(Arc::new(store))
}

/// A route whose predictions are measured: one that says where they are found.
fn measured(route: &Route) -> Option<Measured> {
    let prediction = route.prediction.as_ref()?;
    Some(Measured { route: route.name.clone(), task: Task::of(prediction.task.as_deref(), prediction.threshold) })
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
        drift: plan.drift.clone(),
        labels: plan.labels.clone(),
        measured: plan.routes.iter().filter_map(measured).collect(),
        backends: plan.backends.iter().map(|backend| backend.name.clone()).collect(),
        bounds: plan.incidents.bounds.clone(),
    }
}

fn summed(source: Arc<OnceLock<Arc<Plane>>>) -> impl FnMut() -> Summed + Send {
    move || {
        let taken = source.get().map(|plane| plane.gateway.take_sums()).unwrap_or_default();
        let observed = source.get().map(|plane| plane.gateway.take_observed()).unwrap_or_default();
        Summed {
            counts: taken.counts,
            latencies: taken.latencies,
            flags: taken.flags,
            waiting: taken.waiting,
            observed,
        }
    }
}

impl Keeping {
    /// Lets the desk begin: whoever acts for it is there.
    pub(crate) fn begin(&mut self) {
        if let Some(begin) = self.begin.take() {
            let _ = begin.send(());
        }
    }

    /// Counts and stores what is left, and closes the store.
    pub(crate) fn stop(self) {
        drop((self.begin, self.stop));
        if self.thread.join().is_err() {
            tracing::error!("the engine panicked");
        }
    }
}

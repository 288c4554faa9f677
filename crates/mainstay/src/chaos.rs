//! Experiments on a thread of their own: what injects for them is the gateway, as long as it is there.

use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};

use anyhow::Context as _;
use mainstay_control::chaos::Setup;
use mainstay_control::{Engine, Experiments, Incidents, Injecting};
use mainstay_core::chaos::arms::Beat;
use mainstay_core::chaos::experiment::Experiment;
use mainstay_core::chaos::order::Order;
use mainstay_gateway::EventSink;
use tokio::sync::oneshot;

use crate::plane::Plane;

/// The gateway of a plane that is not kept by whoever gives it orders.
struct Injector(Weak<Plane>);

impl Injector {
    fn plane(&self) -> Result<Arc<Plane>, String> {
        self.0.upgrade().ok_or_else(|| "the service has stopped".to_owned())
    }
}

impl Injecting for Injector {
    fn check(&self, experiment: &Experiment) -> Result<(), String> {
        self.plane()?.gateway.check_fault(experiment).map_err(|error| error.to_string())
    }

    fn inject(&self, order: Order) -> Result<(), String> {
        self.plane()?.gateway.inject(order).map_err(|error| error.to_string())
    }

    fn renew(&self, run: &str, generation: u64) -> Result<(), String> {
        self.plane()?.gateway.renew_fault(run, generation).map_err(|error| error.to_string())
    }

    fn withdraw(&self, run: &str, generation: u64) {
        if let Ok(plane) = self.plane() {
            plane.gateway.withdraw_fault(run, generation);
        }
    }

    fn halt(&self, halted: bool) {
        if let Ok(plane) = self.plane() {
            plane.gateway.halt_faults(halted);
        }
    }

    fn beats(&self) -> Vec<Beat> {
        self.plane().map(|plane| plane.gateway.take_beats()).unwrap_or_default()
    }
}

/// The thread that looks after experiments. Where this is dropped, faults are taken away, and it ends.
pub(crate) struct Chaos {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Restores what rests of experiments, and looks after them from then on. Who waits for it lets others go on: what rests is read over
/// connections that they may have to give back first.
pub(crate) async fn start(
    plane: &Arc<Plane>,
    (engine, incidents): (Engine, Incidents),
    events: EventSink,
    seed: u64,
) -> anyhow::Result<(Chaos, Experiments)> {
    let seen = Arc::downgrade(plane);
    let setup = Setup {
        plan: plane.gateway.plan(),
        injecting: Arc::new(Injector(Arc::downgrade(plane))),
        status: Box::new(move || seen.upgrade().map(|plane| plane.gateway.status())),
        on_event: Box::new(move |event| events.emit(event)),
        seed,
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let (opened, ready) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = thread::Builder::new().name("chaos".to_owned()).spawn(move || {
        runtime.block_on(async {
            match Experiments::open(&engine, incidents, setup).await {
                Ok((experiments, running)) => {
                    if opened.send(Ok(experiments)).is_ok() {
                        running.until(async { drop(stopped.await) }).await;
                    }
                }
                Err(error) => drop(opened.send(Err(error))),
            }
        });
    })?;
    let chaos = Chaos { stop: Some(stop), thread: Some(thread) };
    let experiments = ready.await.context("the thread of experiments ended before it began")?;
    Ok((chaos, experiments.context("cannot read experiments")?))
}

impl Drop for Chaos {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of experiments panicked: its faults end with their leases");
        }
    }
}

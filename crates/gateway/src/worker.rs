//! A worker: one thread, one runtime, its own connections on both sides.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mainstay_core::chaos::arms::Arms;
use mainstay_core::event::{Event, EventKind, RequestFinished};
use mainstay_core::observe::sample::{self, Kept, Sampler};
use mainstay_core::observed::Observed;
use mainstay_core::resilience::retry::RetryBudget;
use mainstay_core::rng::Rng;
use mainstay_core::route::Level;
use mainstay_core::safety::Flag;
use mainstay_core::time::Time;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::chaos::{Sending, Standing};
use crate::connection::{self, Drain};
use crate::counters::{Counters, Ended, Ending, Sums};
use crate::pipeline;
use crate::shared::Shared;
use crate::upstream::Pool;
use crate::watch::Thinning;

/// How often a worker settles its counters and closes idle connections.
const SETTLE_EVERY: Duration = Duration::from_millis(200);

/// What a worker is told.
pub(crate) enum Command {
    /// Serve this caller.
    Serve(std::net::TcpStream, SocketAddr),
    /// Send a request on top of the real ones.
    Send(Box<Sending>),
    /// Requests from here on run under this config.
    Reload(Arc<Shared>),
    /// Finish what runs, within the time given, and end.
    Drain(Duration),
}

/// The outside of a worker.
pub(crate) struct Handle {
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    /// Connections that it serves.
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) thread: JoinHandle<()>,
}

/// The inside of a worker.
pub(crate) struct Worker {
    state: RefCell<Rc<State>>,
    pub(crate) drain: Drain,
    connections: Arc<AtomicUsize>,
}

/// What a request needs, as of one config. A request keeps the one it began with.
pub(crate) struct State {
    pub(crate) shared: Arc<Shared>,
    /// By backend, then by endpoint.
    pub(crate) pools: Vec<Vec<Rc<Pool>>>,
    /// By feature set.
    pub(crate) feature_pools: Vec<Rc<Pool>>,
    /// By check; `None`: it asks nobody.
    pub(crate) check_pools: Vec<Option<Rc<Pool>>>,
    pub(crate) counters: RefCell<Counters>,
    sums: RefCell<Sums>,
    pub(crate) rng: RefCell<Rng>,
    /// By route: requests that the shared retry budget has not heard of yet.
    pub(crate) admitted: Vec<Cell<u32>>,
    /// By route: which requests monitors look at.
    thinning: Vec<Thinning>,
    observed: RefCell<Vec<Observed>>,
    flags: RefCell<Vec<Flag>>,
    sampler: RefCell<Sampler>,
    /// What was counted of orders since the last hand-over.
    arms: RefCell<Vec<(Arc<Standing>, Arms)>>,
}

/// Starts a worker's thread.
pub(crate) fn start(number: usize, shared: Arc<Shared>) -> std::io::Result<Handle> {
    let (commands, inbox) = mpsc::unbounded_channel();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    // A runtime that never leaves its thread is built there; what becomes of that is told here.
    let (tell, built) = std::sync::mpsc::sync_channel(1);
    let thread = thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let (runtime, told) = runtime.map_or_else(|error| (None, Err(error)), |runtime| (Some(runtime), Ok(())));
        let _ = tell.send(told);
        let Some(runtime) = runtime else { return };
        let seed = shared.seed ^ (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let state = State::new(shared, seed, None);
        let worker = Worker { state: RefCell::new(Rc::new(state)), drain: Drain::default(), connections: counted };
        runtime.block_on(Rc::new(worker).run(inbox));
    })?;
    built.recv().map_err(std::io::Error::other)??;
    Ok(Handle { commands, connections, thread })
}

impl Worker {
    /// The state that a request arriving at this moment runs under.
    pub(crate) fn state(&self) -> Rc<State> {
        Rc::clone(&self.state.borrow())
    }

    async fn run(self: Rc<Self>, mut inbox: mpsc::UnboundedReceiver<Command>) {
        let mut settle = tokio::time::interval(SETTLE_EVERY);
        settle.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let patience = loop {
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(Command::Serve(stream, peer)) => self.serve(stream, peer),
                    Some(Command::Send(sending)) => {
                        tokio::task::spawn_local(pipeline::again(self.state(), *sending));
                    }
                    Some(Command::Reload(shared)) => self.reload(shared),
                    Some(Command::Drain(patience)) => break patience,
                    None => break Duration::ZERO,
                },
                _ = settle.tick() => self.state().settle(),
            }
        };
        // What was dealt in this very moment has not been served: it is closed, and no longer waited for.
        inbox.close();
        while let Ok(command) = inbox.try_recv() {
            if let Command::Serve(stream, _) = command {
                drop((stream, Connected(Arc::clone(&self.connections))));
            }
        }
        self.finish(patience).await;
    }

    fn serve(self: &Rc<Self>, stream: std::net::TcpStream, peer: SocketAddr) {
        let worker = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let counted = Connected(Arc::clone(&worker.connections));
            match TcpStream::from_std(stream) {
                Ok(stream) => connection::serve(worker, stream, peer).await,
                Err(error) => tracing::warn!(%error, "a connection could not be registered"),
            }
            drop(counted);
        });
    }

    fn reload(&self, shared: Arc<Shared>) {
        let old = self.state();
        let seed = old.rng.borrow_mut().next_u64();
        *self.state.borrow_mut() = Rc::new(State::new(shared, seed, Some(&old)));
    }

    async fn finish(&self, patience: Duration) {
        self.drain.begin();
        let until = Instant::now() + patience;
        while self.connections.load(Ordering::Relaxed) > 0 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.state().settle();
    }
}

/// Counts a connection as served until dropped, however its task ends. The acceptor counted it in.
struct Connected(Arc<AtomicUsize>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl State {
    fn new(shared: Arc<Shared>, seed: u64, old: Option<&State>) -> State {
        let pools = shared.backends.iter().map(|b| b.pools(old)).collect();
        let feature_pools = shared.features.iter().map(|f| f.pool(old)).collect();
        let check_pools = shared.checks.iter().map(|check| check.pool(old)).collect();
        State {
            pools,
            feature_pools,
            check_pools,
            counters: RefCell::new(Counters::new(&shared.plan)),
            sums: RefCell::new(Sums::new(&shared.plan)),
            rng: RefCell::new(Rng::new(seed)),
            admitted: shared.routes.iter().map(|_| Cell::new(0)).collect(),
            thinning: shared.routes.iter().map(|_| Thinning::default()).collect(),
            observed: RefCell::default(),
            flags: RefCell::default(),
            sampler: RefCell::new(Sampler::new(shared.plan.observability.rules, shared.workers)),
            arms: RefCell::default(),
            shared,
        }
    }

    /// A route's retry budget, with this worker's admissions paid in.
    pub(crate) fn budget(&self, route: usize) -> std::sync::MutexGuard<'_, RetryBudget> {
        let mut budget = self.shared.routes[route].retries.lock().expect("counting does not panic");
        let admitted = self.admitted[route].take();
        if admitted > 0 {
            budget.handle_admitted(f64::from(admitted), self.shared.clock.now());
        }
        budget
    }

    /// When a caller that was turned away may come back: not all at once.
    pub(crate) fn retry_after(&self) -> Duration {
        Duration::from_secs_f64(self.rng.borrow_mut().between(0.5, 1.5))
    }

    /// Counts a request that ended.
    pub(crate) fn end(&self, route: usize, ended: &Ended) {
        self.counters.borrow_mut().end(route, ended);
        self.sums.borrow_mut().end(&self.shared.plan, route, ended);
    }

    /// It turned out, after a request was counted, whether its answer did harm: counted at this moment.
    pub(crate) fn judged(&self, route: usize, ended: &Ended) {
        let ended = Ended { at: self.shared.clock.now(), unjudged: false, ..*ended };
        self.sums.borrow_mut().judged(&self.shared.plan, route, &ended);
    }

    /// An answer was flagged.
    pub(crate) fn flag(&self, flag: Flag) {
        self.flags.borrow_mut().push(flag);
    }

    /// Counts something of an order's arms.
    pub(crate) fn count_arm(&self, standing: &Arc<Standing>, count: impl FnOnce(&mut Arms)) {
        let mut arms = self.arms.borrow_mut();
        let at = arms.iter().position(|(of, _)| Arc::ptr_eq(of, standing)).unwrap_or_else(|| {
            arms.push((Arc::clone(standing), Arms::default()));
            arms.len() - 1
        });
        count(&mut arms[at].1);
    }

    /// Which filters of the route's objectives hold for a request.
    pub(crate) fn filters(&self, route: usize, facts: &dyn mainstay_core::expr::Facts) -> u64 {
        self.sums.borrow().filters(&self.shared.plan, route, facts, &mut self.rng.borrow_mut())
    }

    /// Whether monitors look at a request of this route.
    pub(crate) fn is_watched(&self, route: usize) -> bool {
        let random = self.rng.borrow_mut().unit();
        self.thinning[route].takes(random, self.watch_rate(), SETTLE_EVERY)
    }

    /// What this worker may look at in a second, of each route.
    fn watch_rate(&self) -> f64 {
        self.shared.plan.drift.rate / self.shared.workers as f64
    }

    /// Why a request that ended is kept.
    pub(crate) fn kept(&self, route: usize, ended: &Ended) -> Kept {
        let random = {
            let mut rng = self.rng.borrow_mut();
            [rng.unit(), rng.unit(), rng.unit()]
        };
        let facts = sample::Ended {
            // What broke off after its head was an error, whatever the head said.
            code: if ended.ending == Ending::BrokenOff { 502 } else { ended.code },
            degraded: ended.level != Some(Level::FULL),
            duration: ended.duration,
            allowed: self.shared.routes[route].allowed,
            confidence: ended.confidence,
            raised: self.is_raised(route, ended.at),
        };
        self.sampler.borrow_mut().decide(&facts, random, self.shared.kept.threshold(), ended.at)
    }

    /// Whether every request of a route is kept that ends at this moment.
    pub(crate) fn is_raised(&self, route: usize, at: Time) -> bool {
        self.shared.routes[route].orders.is_raised(at)
    }

    /// Keeps a request, and tells of it.
    pub(crate) fn keep(&self, request: RequestFinished, kept: &Kept, at: Time) {
        let plan = &self.shared.plan.observability;
        if let Some(request) = self.shared.kept.keep(request, kept, plan, at) {
            self.shared.events.emit(Event { at, kind: EventKind::RequestFinished(Box::new(request)) });
        }
    }

    /// Will hand this over.
    pub(crate) fn observe(&self, observed: Observed) {
        self.observed.borrow_mut().push(observed);
    }

    /// Hands the counts over and closes connections that idled for too long.
    fn settle(&self) {
        self.hand_over();
        let rate = self.watch_rate();
        self.thinning.iter().for_each(|thinning| thinning.settle(rate, SETTLE_EVERY));
        self.pools
            .iter()
            .flatten()
            .chain(&self.feature_pools)
            .chain(self.check_pools.iter().flatten())
            .for_each(|pool| pool.sweep());
    }

    fn hand_over(&self) {
        let unpaid = |route: &usize| self.admitted[*route].get() > 0;
        (0..self.admitted.len()).filter(unpaid).for_each(|route| drop(self.budget(route)));
        let mut totals = self.shared.totals.lock().expect("counting does not panic");
        totals.absorb(&self.shared.plan, &mut self.counters.borrow_mut());
        drop(totals);
        let mut ledger = self.shared.ledger.lock().expect("counting does not panic");
        ledger.absorb(&self.shared.plan, &mut self.sums.borrow_mut());
        ledger.flag(&mut self.flags.borrow_mut());
        drop(ledger);
        self.arms.borrow_mut().drain(..).for_each(|(standing, counted)| standing.count(&counted));
        let mut observations = self.shared.observations.lock().expect("handing over does not panic");
        observations.absorb(&self.shared.plan, &mut self.observed.borrow_mut());
    }
}

impl Drop for State {
    /// The last request under an old config takes its counts along.
    fn drop(&mut self) {
        self.hand_over();
    }
}

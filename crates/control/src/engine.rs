//! The engine's shell: one loop that counts what happens towards objectives, and lets nothing acknowledged be lost.
//!
//! ```text
//! gateway --sums, at most 1 s old--> settle ---------> Store (exactly once, by source and number)
//! POST events, flags, ... ----------> ingest --commit-> Store (once per id)      |
//!                                        `--- then counted in memory: Budgets <--' restored from at the start
//! ```
//!
//! The store is the truth, memory is its image: what an item adds is counted in memory once its transaction is durable, what
//! the gateway summed up a moment before it is. A process that is killed loses sums of at most a second, and nothing that it
//! acknowledged.

mod budgets;
pub(crate) mod corrections;
mod external;
pub mod imported;
mod ingest;
pub(crate) mod maintenance;
mod metrics;
mod models;
pub(crate) mod quality;
mod run;
mod settle;
pub(crate) mod signals;
pub(crate) mod watching;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use mainstay_core::event::Event;
use mainstay_core::metric::Family;
use mainstay_core::observed::Observed;
use mainstay_core::plan::{Bound, Drift, Labels, Plan};
use mainstay_core::safety::Flag;
use mainstay_core::slo::correction::Maintenance;
use mainstay_core::slo::objective::Objective;
use mainstay_core::slo::policy::{Action, Policy, Refusal};
use mainstay_core::slo::series::Counts;
use mainstay_core::stats::LogHistogram;
use mainstay_core::time::Time;
use mainstay_store::{Store, StoreError};
use tokio::sync::{Notify, mpsc, oneshot};

pub(crate) use budgets::Budgets;
pub(crate) use ingest::{Entry, Taken};
pub use quality::Measured;
pub use run::Running;

use quality::Quality;
use run::Command;
pub(crate) use run::logged;
use watching::Watching;

/// Commands that may wait; further ones are turned away.
const COMMANDS_MAX: usize = 256;
/// Events that may wait to be stored; more than that are dropped and counted.
const EVENTS_MAX: usize = 8_192;

/// The engine, as the admin API sees it. Clones are the same engine.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    commands: mpsc::Sender<Command>,
    events: mpsc::Sender<Event>,
    budgets: Mutex<Budgets>,
    watching: Mutex<Watching>,
    quality: Mutex<Quality>,
    news: Mutex<News>,
    /// Rings when there are news.
    bell: Notify,
    clock: Clock,
}

/// What the loop has not looked at yet. It has a place of its own, so that no queue is ever too full for it.
#[derive(Default)]
struct News {
    /// The terms to judge by; later ones replace earlier ones.
    terms: Option<Terms>,
    /// Whether the registry of models is another.
    models: bool,
}

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Time + Send + Sync>;

/// What somebody else summed up since it was last asked.
#[derive(Debug, Default)]
pub struct Summed {
    /// Good and bad events of an objective, by its name, in the bucket of ten seconds that starts at the time.
    pub counts: Vec<(String, Time, Counts)>,
    /// Latencies of a route, by its name, in the bucket of ten seconds that starts at the time.
    pub latencies: Vec<(String, Time, LogHistogram)>,
    /// Answers that checks flagged.
    pub flags: Vec<Flag>,
    /// Queues, each with since when its oldest request waits for a person: the present where nobody does.
    pub waiting: Vec<(String, Time)>,
    /// What monitors and labels are to see, each batch with the plan that it came under.
    pub observed: Vec<(Arc<Plan>, Vec<Observed>)>,
}

/// Where sums come from: the gateway.
pub type Source = Box<dyn FnMut() -> Summed + Send>;

/// Hears what the engine has to tell, in its loop. Whoever hears it may [`Engine::note`] it.
pub type OnEvent = Box<dyn FnMut(Event) + Send>;

/// What the engine judges by: a part of the plan.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// The objectives.
    pub slos: Vec<Objective>,
    /// What spent budgets forbid.
    pub policies: Vec<Policy>,
    /// Maintenance that is left out of budgets.
    pub maintenance: Vec<Maintenance>,
    /// The routes' names.
    pub routes: Vec<String>,
    /// Models that backends serve, by name.
    pub models: Vec<String>,
    /// What monitors watch; their routes are places in `routes`.
    pub drift: Drift,
    /// The names of the backends, in the plan's order.
    pub backends: Vec<String>,
    /// How labels find their predictions.
    pub labels: Option<Labels>,
    /// Routes whose predictions are measured.
    pub measured: Vec<Measured>,
    /// Bounds of signals from outside, by their names.
    pub bounds: BTreeMap<String, Bound>,
}

/// What an engine needs besides its store.
pub struct Setup {
    /// What it judges by.
    pub terms: Terms,
    /// Where sums come from.
    pub source: Source,
    /// Hears of what has another status, such as a budget or a signal, and of alerts.
    pub on_event: OnEvent,
    /// The service's clock.
    pub clock: Clock,
    /// A name that no other start of this service has: the store tells repeated sums by it.
    pub instance: String,
}

/// Why the engine did not take something.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EngineError {
    /// Too much waits, here or in the store. Nothing was taken; try again in a moment.
    #[error("too much waits to be stored")]
    Busy,
    /// It has stopped.
    #[error("the engine has stopped")]
    Stopped,
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> EngineError {
        match error {
            StoreError::Busy => EngineError::Busy,
            StoreError::Closed => EngineError::Stopped,
            other => EngineError::Store(other),
        }
    }
}

impl Engine {
    /// Restores what the store knows. Nothing is counted before [`Running::until`] is polled.
    pub async fn restore(store: Arc<dyn Store>, setup: Setup) -> Result<(Engine, Running), StoreError> {
        let watching = Watching::restore(&setup.terms, &*store).await?;
        let quality = Quality::restore(&setup.terms, &*store, (setup.clock)()).await?;
        let budgets = Budgets::restore(setup.terms, &*store, (setup.clock)()).await?;
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let (events, log) = mpsc::channel(EVENTS_MAX);
        let inner = Inner {
            store,
            commands,
            events,
            budgets: Mutex::new(budgets),
            watching: Mutex::new(watching),
            quality: Mutex::new(quality),
            news: Mutex::default(),
            bell: Notify::new(),
            clock: setup.clock,
        };
        let engine = Engine(Arc::new(inner));
        let running = Running::new(engine.clone(), inbox, log, setup.source, setup.on_event, setup.instance);
        Ok((engine, running))
    }

    /// Appends an event to the log, at most a second later; `false` where it was dropped since too many wait.
    pub fn note(&self, event: Event) -> bool {
        self.0.events.try_send(event).is_ok()
    }

    /// Judges by other terms soon; objectives keep their history by their names. It is never too busy for them: they wait until
    /// they can be in force, or later ones replace them.
    pub fn set_terms(&self, terms: Terms) -> Result<(), EngineError> {
        self.tell(|news| news.terms = Some(terms))
    }

    /// Looks at the registry of models again, at once: a version was put there.
    pub fn models_changed(&self) -> Result<(), EngineError> {
        self.tell(|news| news.models = true)
    }

    /// Stores and counts entries; resolves once they are durable.
    pub(crate) async fn take(&self, entries: Vec<Entry>) -> Result<Vec<Taken>, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::Ingest(entries, reply))?;
        answer.await.unwrap_or(Err(EngineError::Stopped))
    }

    /// Whether an action may go ahead, by the budget policies of the objectives of a route (`None`: of all).
    pub fn allows(&self, action: Action, route: Option<&str>) -> Result<(), Refusal> {
        self.budgets().core.allows(action, route, self.now())
    }

    /// What rests.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    /// Budgets, the store and what was counted, for the page of metrics.
    pub fn metrics(&self) -> Vec<Family> {
        metrics::families(self)
    }

    pub(crate) fn clock(&self) -> Clock {
        Arc::clone(&self.0.clock)
    }

    pub(crate) fn now(&self) -> Time {
        (self.0.clock)()
    }

    /// The budgets at this moment. Never held across an await.
    pub(crate) fn budgets(&self) -> MutexGuard<'_, Budgets> {
        self.0.budgets.lock().expect("counting does not panic")
    }

    /// The monitors at this moment. Never held across an await.
    pub(crate) fn watching(&self) -> MutexGuard<'_, Watching> {
        self.0.watching.lock().expect("watching does not panic")
    }

    /// Quality at this moment. Never held across an await; taken after the budgets, where both are.
    pub(crate) fn quality(&self) -> MutexGuard<'_, Quality> {
        self.0.quality.lock().expect("measuring does not panic")
    }

    fn tell(&self, what: impl FnOnce(&mut News)) -> Result<(), EngineError> {
        if self.0.commands.is_closed() {
            return Err(EngineError::Stopped);
        }
        what(&mut self.news());
        self.0.bell.notify_one();
        Ok(())
    }

    fn news(&self) -> MutexGuard<'_, News> {
        self.0.news.lock().expect("nothing panics while it holds the news")
    }

    fn command(&self, command: Command) -> Result<(), EngineError> {
        self.0.commands.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => EngineError::Busy,
            mpsc::error::TrySendError::Closed(_) => EngineError::Stopped,
        })
    }
}

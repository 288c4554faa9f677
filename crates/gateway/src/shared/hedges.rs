//! When a route's calls are late, and how many of them may be made a second time: the core's machine, per entry.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use mainstay_core::plan::{Backend, Route};
use mainstay_core::resilience::hedge::{Capacity, Config, Hedge};
use mainstay_core::resilience::retry::RetryBudget;
use mainstay_core::time::Time;

/// The hedging of a route.
#[derive(Debug)]
pub(crate) struct Hedges {
    config: Config,
    /// By entry; `None`: nobody can be asked beside it.
    entries: Vec<Option<Arc<Machines>>>,
}

/// The machines of one entry: answers in whole and streams begin after different times.
#[derive(Debug)]
struct Machines {
    whole: Mutex<Hedge>,
    stream: Mutex<Hedge>,
}

/// What begins an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Awaits {
    /// Its head.
    Head,
    /// The first token of a language model's stream.
    Token,
}

/// One call, which is told when its answer begins.
#[derive(Debug)]
pub(crate) struct Pace {
    machines: Arc<Machines>,
    awaits: Awaits,
    begun: Cell<bool>,
}

impl Hedges {
    /// The running ones where the route hedges as before, or new ones; `None`: it does not.
    pub(crate) fn carry_over(
        route: &Route,
        backends: &[Backend],
        running: Option<&Arc<Hedges>>,
        now: Time,
    ) -> Option<Arc<Hedges>> {
        let config = route.hedge.as_ref()?;
        let hedged = || (0..route.ladder.len()).map(|at| route.beside(at, backends).next().is_some());
        let alike = |r: &&Arc<Hedges>| r.config == *config && r.entries.iter().map(Option::is_some).eq(hedged());
        if let Some(running) = running.filter(alike) {
            return Some(Arc::clone(running));
        }
        let entries = hedged().map(|is_hedged| is_hedged.then(|| Arc::new(Machines::new(config, now)))).collect();
        Some(Arc::new(Hedges { config: config.clone(), entries }))
    }

    /// A call of that entry; `None`: it is not hedged.
    pub(crate) fn pace(&self, entry: usize, awaits: Awaits) -> Option<Rc<Pace>> {
        let machines = Arc::clone(self.entries.get(entry)?.as_ref()?);
        Some(Rc::new(Pace { machines, awaits, begun: Cell::new(false) }))
    }
}

impl Machines {
    fn new(config: &Config, now: Time) -> Machines {
        let machine = || Mutex::new(Hedge::new(config.clone(), now));
        Machines { whole: machine(), stream: machine() }
    }
}

impl Pace {
    /// It is made: after which time it is late; `None`: that is not known yet.
    pub(crate) fn call(&self, now: Time) -> Option<Duration> {
        let mut hedge = self.lock();
        hedge.handle_call(now);
        hedge.delay(Capacity::Spare, now)
    }

    /// This of its answer came after so long.
    pub(crate) fn begins(&self, what: Awaits, elapsed: Duration, now: Time) {
        if what == self.awaits && !self.begun.replace(true) {
            self.lock().handle_latency(elapsed, now);
        }
    }

    /// The one beside it was sooner.
    pub(crate) fn lost(&self, elapsed: Duration, now: Time) {
        if !self.begun.get() {
            self.lock().handle_latency(elapsed, now);
        }
    }

    /// Whether its answer has begun.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.get()
    }

    /// Whether both budgets would allow a second one at this moment; neither is charged.
    pub(crate) fn may_be_late(&self, retries: &mut RetryBudget, now: Time) -> bool {
        self.lock().may_be_late_within(retries, Capacity::Spare, now)
    }

    /// It is late, and somebody has room for a second one: whether both budgets allow that.
    pub(crate) fn late(&self, retries: &mut RetryBudget, now: Time) -> bool {
        self.lock().handle_late_within(retries, Capacity::Spare, now)
    }

    fn lock(&self) -> MutexGuard<'_, Hedge> {
        let machine = match self.awaits {
            Awaits::Head => &self.machines.whole,
            Awaits::Token => &self.machines.stream,
        };
        machine.lock().expect("counting does not panic")
    }
}

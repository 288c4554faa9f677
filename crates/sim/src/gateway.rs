//! The gateway's machines, and a request on its way through them.

use std::time::Duration;

use mainstay_core::plan::{AnswerBy, Plan};
use mainstay_core::resilience::breaker::{self, Breaker, Phase, Ticket};
use mainstay_core::resilience::demand::Demand;
use mainstay_core::resilience::ejection::{self, Endpoints};
use mainstay_core::resilience::hedge::Hedge;
use mainstay_core::resilience::ladder::{self, Component, Effect, Entry, Ladder, Seen, Walk};
use mainstay_core::resilience::queue::Key;
use mainstay_core::resilience::retry::{BudgetConfig, Retry, RetryBudget};
use mainstay_core::route::{Class, Level};
use mainstay_core::time::Time;

use crate::anchors::{Anchor, Gate};
use crate::engine::Work;
use crate::groups::Groups;
use crate::store::{Store, Used};

/// A backend as the gateway sees it.
pub(crate) struct Backend {
    pub(crate) admission: Gate,
    pub(crate) breaker: Breaker,
    pub(crate) demand: Demand,
    /// Where it has several.
    pub(crate) endpoints: Option<Endpoints>,
    /// What the last health check said.
    pub(crate) health: Option<bool>,
    /// The limit that was last told.
    pub(crate) told_limit: u32,
}

/// A route as the gateway sees it, but for its entries.
pub(crate) struct Route {
    pub(crate) ladder: Ladder,
    pub(crate) retries: RetryBudget,
    /// By entry; `None`: nobody can be asked beside it, or the route does not hedge.
    pub(crate) hedges: Vec<Option<Hedge>>,
    /// By class: when the latest of those that had a place came.
    pub(crate) latest: [Time; Class::COUNT],
}

/// What ladders judge by.
pub(crate) struct Parts<'a> {
    pub(crate) backends: &'a [Option<Backend>],
    pub(crate) groups: &'a Groups,
    pub(crate) stores: &'a [Option<Store>],
}

/// Where a request is.
#[derive(Debug)]
pub(crate) enum At {
    /// Its slot is free, or it is being moved.
    Nowhere,
    /// In a backend's line.
    Line(Key),
    /// At a backend.
    Call {
        ticket: Ticket,
        /// What its backend's group learns of it.
        in_group: Option<Ticket>,
        endpoint: usize,
        began: Time,
        slow: bool,
        /// How much later its answer comes than the engine gives it.
        held: Duration,
        /// When an engine's first token was there.
        first: Option<Time>,
    },
    /// At a feature store, before the backend is asked.
    Store { ticket: Ticket },
    /// Before a retry.
    Pause,
}

/// A request on its way down.
pub(crate) struct Visit<'a> {
    /// Grows with each change of place: a timer of an earlier one does nothing.
    pub(crate) turn: u32,
    pub(crate) group: u32,
    pub(crate) route: u32,
    /// How often the caller came back.
    pub(crate) nth: u32,
    pub(crate) class: Class,
    pub(crate) began: Time,
    pub(crate) deadline: Time,
    pub(crate) key: u64,
    /// What it asks of an engine; nothing of servers.
    pub(crate) work: Work,
    pub(crate) walk: Walk<'a>,
    pub(crate) entry: usize,
    /// The backend of that entry.
    pub(crate) backend: usize,
    pub(crate) until: Time,
    pub(crate) retry: Retry,
    /// How long the call took that ended last.
    pub(crate) took: Duration,
    /// Until that call's first token, of a language model.
    pub(crate) first: Option<Duration>,
    /// The features that its backend was asked with.
    pub(crate) used: Option<Used>,
    /// Of a recorded request: the confidence of its answer.
    pub(crate) confidence: Option<f64>,
    pub(crate) avoid: Option<usize>,
    pub(crate) turned_away_by: Option<usize>,
    pub(crate) at: At,
    /// Whether the call at hand is the second one beside a late one.
    pub(crate) is_hedge: bool,
    /// The other call, while there are two.
    pub(crate) other: Option<Other>,
}

/// The other of two calls of one visit.
#[derive(Debug)]
pub(crate) struct Other {
    pub(crate) turn: u32,
    pub(crate) entry: usize,
    pub(crate) backend: usize,
    pub(crate) at: At,
    pub(crate) is_hedge: bool,
}

impl Visit<'_> {
    /// Whether a call of this turn is still wanted.
    pub(crate) fn is_of(&self, turn: u32) -> bool {
        self.turn == turn || self.other.as_ref().is_some_and(|other| other.turn == turn)
    }

    /// Makes the call of this turn the one at hand; `false`: it is wanted no more.
    pub(crate) fn turns_to(&mut self, turn: u32) -> bool {
        if self.turn != turn && self.is_of(turn) {
            self.swap();
        }
        self.turn == turn
    }

    /// Makes the other call the one at hand.
    pub(crate) fn swap(&mut self) {
        if let Some(other) = &mut self.other {
            std::mem::swap(&mut self.turn, &mut other.turn);
            std::mem::swap(&mut self.entry, &mut other.entry);
            std::mem::swap(&mut self.backend, &mut other.backend);
            std::mem::swap(&mut self.at, &mut other.at);
            std::mem::swap(&mut self.is_hedge, &mut other.is_hedge);
        }
    }
}

/// How an entry did, without an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tried {
    /// Its backend admits no more at this moment.
    Shed,
    /// It has no answer.
    Passed,
}

impl Backend {
    pub(crate) fn new(plan: &Plan, at: usize, anchor: Option<Anchor>, seed: u64, now: Time) -> Backend {
        let config = &plan.backends[at];
        let count = config.endpoints.len();
        let admission = Gate::new(config.limit, anchor, now);
        let mut breaker = Breaker::new(config.breaker.clone(), seed, now);
        if anchor.is_some() {
            breaker.handle_force(breaker::Mode::MetricsOnly, None, "a comparison of limits", now);
        }
        Backend {
            told_limit: admission.limit(),
            admission,
            breaker,
            demand: Demand::default(),
            endpoints: (count > 1).then(|| Endpoints::new(ejection::Config::default(), count)),
            health: None,
        }
    }

    /// Whether the best class is turned away. An anchor turns away whom it likes, and stays in charge.
    fn is_collapsed(&self, now: Time) -> bool {
        matches!(self.admission, Gate::Core(_)) && self.demand.is_collapsed(now)
    }

    /// Whether its breaker forbids calls.
    pub(crate) fn is_shut(&mut self, now: Time) -> bool {
        self.breaker.handle_timeout(now);
        matches!(self.breaker.phase(), Phase::Open | Phase::ForcedOpen)
    }
}

impl Route {
    pub(crate) fn new(plan: &Plan, at: usize, entries: &[Entry], now: Time) -> Route {
        let ladder = Ladder::new(entries.to_vec(), plan.routes[at].hysteresis, now);
        let retries = RetryBudget::new(BudgetConfig::default(), now);
        let route = &plan.routes[at];
        let beside = |entry| route.beside(entry, &plan.backends).next().is_some();
        let hedge = |entry| Some(Hedge::new(route.hedge.clone().filter(|_| beside(entry))?, now));
        let hedges = (0..route.ladder.len()).map(hedge).collect();
        Route { ladder, retries, hedges, latest: [Time::ZERO; Class::COUNT] }
    }

    /// The keeper's judgement: the changes of level with their reasons.
    pub(crate) fn judge(&mut self, entries: &[Entry], parts: &Parts<'_>, now: Time) -> Vec<Effect> {
        for component in entries.iter().flat_map(Entry::components) {
            let seen = Seen { collapsed: parts.is_collapsed(component, now), ..parts.seen(component) };
            self.ladder.handle_seen(component, seen, now);
        }
        self.ladder.handle_timeout(now);
        std::iter::from_fn(|| self.ladder.poll_effect()).collect()
    }

    /// A better entry that wants to be tried by a request.
    pub(crate) fn probe(&self, key: u64, entries: &[Entry], parts: &Parts<'_>) -> Option<usize> {
        let start = self.ladder.level();
        let best = entries.first().map_or(Level::FULL, |entry| entry.level);
        if start <= best || self.ladder.pin().is_some() {
            return None;
        }
        ladder::probe(entries, start, key, |component| {
            let seen = parts.seen(component);
            (seen.health, seen.phase)
        })
    }
}

impl Parts<'_> {
    /// How a component is, but for its room. What the world says nothing of is well.
    fn seen(&self, component: Component) -> Seen {
        let seen = |health, breaker: &Breaker| Seen::checked(health).behind(breaker.phase(), breaker.carries());
        match component {
            Component::Backend(at) => match &self.backends[at as usize] {
                Some(backend) => self.groups.before(at as usize, seen(backend.health, &backend.breaker)),
                None => Seen::checked(None),
            },
            Component::Features(at) => match self.stores.get(at as usize) {
                Some(Some(store)) => seen(store.health, &store.breaker),
                Some(None) | None => Seen::checked(None),
            },
        }
    }

    fn is_collapsed(&self, component: Component, now: Time) -> bool {
        match component {
            Component::Backend(at) => self.backends[at as usize].as_ref().is_some_and(|it| it.is_collapsed(now)),
            Component::Features(_) => false,
        }
    }
}

/// Whether a local entry answers here: files and caches are taken to have what is asked of them, but for answers to the
/// same request before.
pub(crate) const fn answers(answer: &AnswerBy) -> bool {
    match answer {
        AnswerBy::Backend { .. } | AnswerBy::Cache { .. } => false,
        AnswerBy::Rules { otherwise, .. } => otherwise.is_some(),
        AnswerBy::Table(_)
        | AnswerBy::Rank(_)
        | AnswerBy::Keywords(_)
        | AnswerBy::Velocity(_)
        | AnswerBy::Hold(_)
        | AnswerBy::Respond(_) => true,
    }
}

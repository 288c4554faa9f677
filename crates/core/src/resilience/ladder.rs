//! At which level a route answers: where its requests start on the ladder, and how one request walks down it.
//!
//! ```text
//!   health of components ──> required level ──hysteresis──> current level ──(a pin wins)──> where a Walk starts
//!
//!   down: `down` windows in a row bad  -> at once to the first entry all of whose components are well
//!   up:   well for `up`                -> one step to the next better level that is well, and again
//! ```
//!
//! Invariants:
//! - The required level is the level of the first entry *all* of whose components are well, so one dead component
//!   never hides another; without such an entry it is the last level.
//! - Between two steps up lies at least `up`; a component that was bad in the meantime starts the wait anew.
//! - A pin decides alone until it expires or is taken away; the machine goes on beneath it.
//! - Each change of the current level is an effect with its reason.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::resilience::breaker::Phase;
use crate::route::Level;
use crate::time::Time;

mod climb;
mod health;
mod seen;
mod walk;

pub use climb::Climb;
use health::Health;
pub use seen::Seen;
pub use walk::{Step, Walk, probe};

/// How slowly the current level follows health.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hysteresis {
    /// How often health is judged.
    pub window: Duration,
    /// Consecutive bad windows before the level goes down.
    pub down: u32,
    /// How long everything a better level needs must have been well before each single step up.
    pub up: Duration,
}

impl Default for Hysteresis {
    fn default() -> Hysteresis {
        Hysteresis { window: Duration::from_secs(5), down: 2, up: Duration::from_secs(30) }
    }
}

/// Something an entry needs, by its index in the plan.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Component {
    /// A backend.
    Backend(u32),
    /// A feature set's online store.
    Features(u32),
}

/// One entry of a route's ladder, as far as walking it needs to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its level.
    pub level: Level,
    /// The backend that answers; `None`: the answer is made locally.
    pub backend: Option<u32>,
    /// The feature set that is read online for it. An entry that reads cached features needs none.
    pub features: Option<u32>,
    /// The longest an attempt may take; for the last local entry the time that is kept back for it.
    pub timeout: Option<Duration>,
}

impl Entry {
    /// An entry that answers locally.
    pub const fn local(level: Level) -> Entry {
        Entry { level, backend: None, features: None, timeout: None }
    }

    /// An entry that a backend answers.
    pub const fn remote(level: Level, backend: u32) -> Entry {
        Entry { level, backend: Some(backend), features: None, timeout: None }
    }

    /// Whether the answer is made without a backend.
    pub const fn is_local(&self) -> bool {
        self.backend.is_none()
    }

    /// What it needs.
    pub fn components(&self) -> impl Iterator<Item = Component> + use<> {
        let features = self.features.map(Component::Features);
        self.backend.map(Component::Backend).into_iter().chain(features)
    }
}

/// What a ladder did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// The current level changed.
    LevelChanged {
        /// The level until then.
        from: Level,
        /// The level from then on.
        to: Level,
        /// What moved it.
        why: LevelReason,
        /// When.
        at: Time,
    },
}

/// What moved a level.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LevelReason {
    /// This component, and what better levels need besides, was bad for too long.
    Unhealthy(Component),
    /// What the better level needs has been well for long enough.
    Recovered,
    /// Somebody pinned it, and said why.
    Pinned(Arc<str>),
    /// The pin's time was over.
    PinExpired,
    /// The pin was taken away.
    Unpinned,
}

impl LevelReason {
    /// The word that events use.
    pub const fn word(&self) -> &'static str {
        match self {
            LevelReason::Unhealthy(Component::Backend(_)) => "backend_unhealthy",
            LevelReason::Unhealthy(Component::Features(_)) => "features_unhealthy",
            LevelReason::Recovered => "healthy",
            LevelReason::Pinned(_) => "pinned",
            LevelReason::PinExpired => "pin_expired",
            LevelReason::Unpinned => "unpinned",
        }
    }
}

/// A level that somebody set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pin {
    /// The level.
    pub level: Level,
    /// Until when; `None`: until it is taken away.
    pub until: Option<Time>,
    /// Why.
    pub reason: Arc<str>,
}

/// A route's current level.
///
/// ```
/// use mainstay_core::resilience::ladder::{Component, Entry, Hysteresis, Ladder};
/// use mainstay_core::route::Level;
/// use mainstay_core::time::Time;
///
/// let level = |n| Level::new(n).unwrap();
/// let entries = vec![Entry::remote(level(0), 0), Entry::remote(level(2), 1), Entry::local(level(4))];
/// let mut ladder = Ladder::new(entries, Hysteresis::default(), Time::ZERO);
///
/// ladder.handle_health(Component::Backend(0), false, Time::ZERO);
/// ladder.handle_timeout(Time::from_secs(5));
/// assert_eq!(ladder.level(), level(0)); // one bad window may be bad luck
/// ladder.handle_timeout(Time::from_secs(10));
/// assert_eq!(ladder.level(), level(2));
/// ```
#[derive(Clone, Debug)]
pub struct Ladder {
    entries: Vec<Entry>,
    hysteresis: Hysteresis,
    health: BTreeMap<Component, Health>,
    /// What health alone would have.
    automatic: Level,
    pin: Option<Pin>,
    /// Components that were half-open under a pin, and not tried since.
    untried: BTreeSet<Component>,
    /// The last step up.
    climbed: Option<Climb>,
    bad_windows: u32,
    moved: Time,
    window_ends: Time,
    served: [u64; Level::COUNT],
    all_failed: u64,
    effects: VecDeque<Effect>,
}

/// Effects that nobody fetched; the oldest are forgotten.
const EFFECTS: usize = 64;

impl Ladder {
    /// A ladder at its first level. Entries are in order of level; everything counts as well until reported.
    pub fn new(entries: Vec<Entry>, hysteresis: Hysteresis, now: Time) -> Ladder {
        let components = entries.iter().flat_map(Entry::components);
        Ladder {
            health: components.map(|component| (component, Health::new(now))).collect(),
            automatic: entries.first().map_or(Level::FULL, |entry| entry.level),
            window_ends: now + hysteresis.window,
            entries,
            hysteresis,
            pin: None,
            untried: BTreeSet::new(),
            climbed: None,
            bad_windows: 0,
            moved: now,
            served: [0; Level::COUNT],
            all_failed: 0,
            effects: VecDeque::new(),
        }
    }

    /// The same, where whoever was not tried under another ladder's pin was not tried here either. Both mean the same components.
    pub fn with_untried_of(self, other: &Ladder) -> Ladder {
        Ladder { untried: other.untried.clone(), ..self }
    }

    /// The current level: where requests start.
    pub fn level(&self) -> Level {
        self.pin.as_ref().map_or(self.automatic, |pin| pin.level)
    }

    /// The pin, if there is one.
    pub fn pin(&self) -> Option<&Pin> {
        self.pin.as_ref()
    }

    /// The last step up that parts which recovered brought about.
    pub const fn climbed(&self) -> Option<Climb> {
        self.climbed
    }

    /// The entries, in the order in which a request walks them.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Requests answered per level.
    pub const fn served(&self) -> [u64; Level::COUNT] {
        self.served
    }

    /// Requests that no level answered.
    pub const fn all_failed(&self) -> u64 {
        self.all_failed
    }

    /// The first level all of whose needs were last reported well.
    pub fn required(&self) -> Level {
        self.first_level(Health::is_well)
    }

    /// A component's health as last observed. Components that no entry needs are none of this route's business.
    pub fn handle_health(&mut self, component: Component, healthy: bool, now: Time) {
        if let Some(health) = self.health.get_mut(&component) {
            health.handle(healthy, now);
        }
    }

    /// A component as it is seen: it is well when it carries requests. Half-open only because a pin lets nobody try it, or let nobody until a
    /// moment ago, is not to be ill: when the pin ends, requests begin there as if it were well, and the breaker lets as many try as it means to.
    pub fn handle_seen(&mut self, component: Component, seen: Seen, now: Time) {
        if seen.phase != Phase::HalfOpen {
            self.untried.remove(&component);
        } else if self.pin.is_some() {
            self.untried.insert(component);
        }
        let carries = seen.carries || self.untried.contains(&component);
        self.handle_health(component, seen.health != Some(false) && carries && !seen.collapsed, now);
    }

    /// A request was answered at `level`.
    pub fn handle_served(&mut self, level: Level) {
        self.served[level.index()] += 1;
    }

    /// A request was answered by no level.
    pub fn handle_all_failed(&mut self) {
        self.all_failed += 1;
    }

    /// Sets the level until `until`, or until [`Ladder::handle_unpin`].
    pub fn handle_pin(&mut self, pin: Pin, now: Time) {
        let from = self.level();
        let why = LevelReason::Pinned(pin.reason.clone());
        self.pin = Some(pin);
        self.report(from, why, now);
    }

    /// Takes a pin away; without one nothing happens.
    pub fn handle_unpin(&mut self, now: Time) {
        let from = self.level();
        if self.pin.take().is_some() {
            self.report(from, LevelReason::Unpinned, now);
        }
    }

    /// Judges the window if it is over, and ends a pin whose time is.
    pub fn handle_timeout(&mut self, now: Time) {
        self.expire_pin(now);
        if now >= self.window_ends {
            self.judge(now);
            self.window_ends = now + self.hysteresis.window;
        }
    }

    /// When [`Ladder::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Time> {
        let pin_ends = self.pin.as_ref().and_then(|pin| pin.until).unwrap_or(Time::MAX);
        Some(self.window_ends.min(pin_ends))
    }

    /// The next thing that happened.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn expire_pin(&mut self, now: Time) {
        let from = self.level();
        if self.pin.take_if(|pin| pin.until.is_some_and(|until| until <= now)).is_some() {
            self.report(from, LevelReason::PinExpired, now);
        }
    }

    fn judge(&mut self, now: Time) {
        let window = self.hysteresis.window;
        for health in self.health.values_mut() {
            health.close_window(window, now);
        }
        let required = self.first_level(|health| !health.was_bad());
        if required > self.automatic {
            self.bad_windows += 1;
            if self.bad_windows >= self.hysteresis.down {
                let why = self.culprit(required);
                self.shift(required, why, now);
            }
        } else {
            self.bad_windows = 0;
            self.climb(now);
        }
    }

    /// One step up, to the nearest better level that has been well for long enough.
    fn climb(&mut self, now: Time) {
        let up = self.hysteresis.up;
        if now.since(self.moved) < up {
            return;
        }
        let well = |entry: &&Entry| entry.components().all(|c| self.health[&c].well_for(now) >= up);
        let better = self.entries.iter().filter(|entry| entry.level < self.automatic);
        if let Some(level) = better.filter(well).map(|entry| entry.level).max() {
            self.shift(level, LevelReason::Recovered, now);
        }
    }

    fn shift(&mut self, to: Level, why: LevelReason, now: Time) {
        let from = self.level();
        self.automatic = to;
        self.moved = now;
        self.bad_windows = 0;
        self.report(from, why, now);
    }

    fn report(&mut self, from: Level, why: LevelReason, at: Time) {
        let to = self.level();
        if from == to {
            return;
        }
        if why == LevelReason::Recovered && to < from {
            self.climbed = Some(Climb { at, from });
        }
        if self.effects.len() == EFFECTS {
            self.effects.pop_front();
        }
        self.effects.push_back(Effect::LevelChanged { from, to, why, at });
    }

    fn first_level(&self, is_well: impl Fn(&Health) -> bool) -> Level {
        let well = |entry: &&Entry| entry.components().all(|component| is_well(&self.health[&component]));
        let chosen = self.entries.iter().find(well).or(self.entries.last());
        chosen.map_or(Level::STATIC, |entry| entry.level)
    }

    /// What kept the last entry before `required` from answering.
    fn culprit(&self, required: Level) -> LevelReason {
        let above = self.entries.iter().rev().filter(|entry| entry.level < required);
        let bad = above.flat_map(Entry::components).find(|component| self.health[component].was_bad());
        bad.map_or(LevelReason::Recovered, LevelReason::Unhealthy)
    }
}

//! A feature store as one set sees it: its entities and their ages, what is wrong with it, and what the gateway knows of it.

use std::collections::VecDeque;
use std::time::Duration;

use mainstay_core::drill::{self, Hit, StoreTurn};
use mainstay_core::plan::FeatureSet;
use mainstay_core::resilience::breaker::Breaker;
use mainstay_core::resilience::features::{Ages, Given, Keeps, Known, Source};
use mainstay_core::rng::Rng;
use mainstay_core::time::Time;

use crate::servers::Normal;
use crate::upstream::ERROR;

/// The features with which a request is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Used {
    /// Index into the plan's sets.
    pub(crate) set: usize,
    /// When the oldest value was true.
    pub(crate) oldest: Option<Time>,
    pub(crate) stale: bool,
    pub(crate) cached: bool,
}

/// What becomes of a retrieval.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fetch {
    /// The store answers then.
    Answers(Time),
    /// It fails then: it is not there, or answers by an error.
    Fails(Time),
    /// It never answers.
    Hangs,
}

/// A feature store, and what the gateway has for it.
pub(crate) struct Store {
    model: drill::Store,
    ages: Ages,
    /// Whether every reference has a default.
    has_defaults: bool,
    pub(crate) breaker: Breaker,
    /// What the last health check said.
    pub(crate) health: Option<bool>,
    /// By entity: what is known of it.
    known: Vec<Option<Known>>,
    /// Entities of which something is known, the longest known first.
    order: VecDeque<u32>,
    room: usize,
    rng: Rng,
    normal: Normal,
    slow: f64,
    fail: f64,
    hangs: bool,
    down: bool,
}

impl Store {
    pub(crate) fn new(model: drill::Store, set: &FeatureSet, seed: u64, rng: Rng, now: Time) -> Store {
        Store {
            model,
            ages: Ages { stale: set.max_age, known: set.cache.max_age },
            has_defaults: set.refs.iter().all(|name| set.defaults.contains_key(name)),
            breaker: Breaker::new(set.breaker.clone(), seed, now),
            health: None,
            known: vec![None; model.entities as usize],
            order: VecDeque::new(),
            room: usize::try_from(set.cache.entries).unwrap_or(usize::MAX),
            rng,
            normal: Normal::default(),
            slow: 1.0,
            fail: 0.0,
            hangs: false,
            down: false,
        }
    }

    pub(crate) const fn turn(&mut self, turn: StoreTurn) {
        match turn {
            StoreTurn::Slow(times) => self.slow = times,
            StoreTurn::Fail(share) => self.fail = share,
            StoreTurn::Hang(hangs) => self.hangs = hangs,
            StoreTurn::Down(down) => self.down = down,
            StoreTurn::Age(age) => self.model.age = age,
        }
    }

    /// Whether a health check is answered.
    pub(crate) fn passes_check(&mut self) -> bool {
        !self.hangs && !self.down && self.rng.unit() >= self.fail
    }

    /// The entity that a request is about.
    pub(crate) fn entity(&self, key: u64) -> u32 {
        let mixed = key.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        (mixed % u64::from(self.model.entities)) as u32
    }

    /// A retrieval is made.
    pub(crate) fn fetch(&mut self, now: Time) -> Fetch {
        if self.hangs {
            return Fetch::Hangs;
        }
        if self.down || self.fail > 0.0 && self.rng.unit() < self.fail {
            return Fetch::Fails(now + ERROR);
        }
        let z = if self.model.spread == 0.0 { 0.0 } else { self.normal.draw(&mut self.rng) };
        let seconds = self.model.median_s() * (self.model.spread * z).exp() * self.slow;
        Fetch::Answers(now + Duration::from_nanos((seconds * 1e9) as u64))
    }

    /// The store has answered: what a request is answered with; `None`: a value is missing. Nothing is kept of what a fault on purpose
    /// came to: others would be answered with it.
    pub(crate) fn absorb(&mut self, set: usize, entity: u32, hit: Option<Hit>, now: Time) -> Option<Used> {
        let gaps = (self.model.gaps * f64::from(self.model.entities)).round() as u32;
        let value = |age| Given::Value { event: Some(now - age), outdated: false };
        let (given, has_defaults) = match hit {
            Some(Hit::Missing { defaults }) => (Given::Nothing, defaults),
            _ if entity < gaps => (Given::Nothing, self.has_defaults),
            Some(Hit::Older(by)) => (value(self.model.age + by), self.has_defaults),
            _ => (value(self.model.age), self.has_defaults),
        };
        let source = self.ages.online(given, self.known[entity as usize], now);
        if hit.is_none() {
            self.learn(given, entity, now);
        }
        used(set, source, has_defaults)
    }

    /// What a request is answered with where the store is not asked.
    pub(crate) fn recall(&self, set: usize, entity: u32, now: Time) -> Option<Used> {
        used(set, self.ages.cached(self.known[entity as usize], now), self.has_defaults)
    }

    fn learn(&mut self, given: Given, entity: u32, now: Time) {
        let before = self.known[entity as usize];
        let after = match (given.keeps(), given) {
            (Keeps::Given, Given::Value { event, .. }) => Some(Known { event, seen: now }),
            (Keeps::Known, _) => before,
            (Keeps::Given | Keeps::Nothing, _) => None,
        };
        self.known[entity as usize] = after;
        if before.is_none() && after.is_some() {
            self.order.push_back(entity);
            if self.order.len() > self.room
                && let Some(oldest) = self.order.pop_front()
            {
                self.known[oldest as usize] = None;
            }
        }
    }
}

fn used(set: usize, source: Source, has_defaults: bool) -> Option<Used> {
    match source {
        Source::Online { event, stale } => Some(Used { set, oldest: event, stale, cached: false }),
        Source::Cached { event, stale } => Some(Used { set, oldest: event, stale, cached: true }),
        Source::Absent { .. } => has_defaults.then_some(Used { set, oldest: None, stale: false, cached: false }),
    }
}

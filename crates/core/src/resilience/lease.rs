//! A rate that many gateways share: each holds a lease of a part of it, and spends without asking.
//!
//! ```text
//!   Holder (a gateway) ──Ask: demand, the grant it holds──> Allotment (at the store)
//!          <──Grant: a rate, for so long──
//! ```
//!
//! Messages may be late, come twice or not at all. Invariants:
//! - What the allotment has promised, and nobody has given back or outlived, is never more than the rate less the reserve.
//! - A holder counts a lease from when it asked, so that it ends it before the store does, whatever their clocks say.
//! - A grant that may not have arrived counts beside the one before, until the holder says which one it holds.
//! - A holder without a lease spends its part of the reserve, and nothing before it was told of one.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::Time;

/// How a rate is shared.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Config {
    /// What all together may spend per second.
    pub rate: f64,
    /// How long a grant holds.
    pub lease: Duration,
    /// How often a holder asks anew.
    pub renew: Duration,
    /// The share of the rate that is kept for holders without a lease.
    pub reserve: f64,
}

/// What a holder asks.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Ask {
    /// Who asks.
    pub holder: u32,
    /// The number of this ask: each is greater than the one before.
    pub number: u64,
    /// What it would spend per second.
    pub demand: f64,
    /// The number of the ask whose grant it holds; 0: none.
    pub holds: u64,
}

/// What it is given.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Grant {
    /// The ask that this answers.
    pub number: u64,
    /// What it may spend per second.
    pub rate: f64,
    /// What it may spend per second when the grant is over.
    pub safe: f64,
}

/// A grant that may be in use.
#[derive(Clone, Copy, Debug)]
struct Promise {
    number: u64,
    rate: f64,
    until: Time,
}

#[derive(Clone, Debug, Default)]
struct Known {
    demand: f64,
    promises: Vec<Promise>,
}

/// Most promises to one holder that are told apart; further asks change nothing until one is over.
const PROMISES_MAX: usize = 8;

/// The store's side: who has been promised what.
#[derive(Clone, Debug)]
pub struct Allotment {
    config: Config,
    holders: BTreeMap<u32, Known>,
}

impl Known {
    fn promised(&self) -> f64 {
        self.promises.iter().map(|promise| promise.rate).fold(0.0, f64::max)
    }
}

impl Allotment {
    /// Nobody has been promised anything.
    pub const fn new(config: Config) -> Allotment {
        Allotment { config, holders: BTreeMap::new() }
    }

    /// What may be in use at most, per second, the reserve aside.
    pub fn promised(&self) -> f64 {
        self.holders.values().map(Known::promised).sum()
    }

    /// A holder asks; `None`: an old ask, or too many of its grants are under way.
    pub fn handle_ask(&mut self, ask: Ask, now: Time) -> Option<Grant> {
        self.forget(now);
        let known = self.holders.entry(ask.holder).or_default();
        if known.promises.iter().any(|promise| promise.number >= ask.number) {
            return None;
        }
        known.demand = ask.demand.max(0.0);
        known.promises.retain(|promise| promise.number >= ask.holds);
        if known.promises.len() >= PROMISES_MAX {
            return None;
        }
        let own = known.promised();
        let free = self.config.rate * (1.0 - self.config.reserve) - (self.promised() - own);
        let rate = self.fair(ask.holder).min(free).max(0.0);
        let until = now + self.config.lease;
        let promise = Promise { number: ask.number, rate, until };
        let holders = self.holders.len().max(1) as f64;
        self.holders.entry(ask.holder).or_default().promises.push(promise);
        Some(Grant { number: ask.number, rate, safe: self.config.rate * self.config.reserve / holders })
    }

    /// Holders that were not heard of for a lease are gone.
    fn forget(&mut self, now: Time) {
        for known in self.holders.values_mut() {
            known.promises.retain(|promise| now < promise.until);
        }
        self.holders.retain(|_, known| !known.promises.is_empty());
    }

    /// The holder's part where the least demands are met first and what is left is shared evenly (max-min).
    fn fair(&self, holder: u32) -> f64 {
        let mut demands: Vec<f64> = self.holders.values().map(|known| known.demand).collect();
        demands.sort_by(f64::total_cmp);
        let mut left = self.config.rate * (1.0 - self.config.reserve);
        let mut level = f64::INFINITY;
        for (met, demand) in demands.iter().enumerate() {
            let even = left / (demands.len() - met) as f64;
            if *demand > even {
                level = even;
                break;
            }
            left -= demand;
        }
        // What nobody asks for is shared as well: demands grow sooner than they are told.
        let spare = if level.is_finite() { 0.0 } else { left / demands.len().max(1) as f64 };
        let demand = self.holders.get(&holder).map_or(0.0, |known| known.demand);
        demand.min(level) + spare
    }
}

/// How far back demand is averaged.
const DEMAND: Duration = Duration::from_secs(1);
/// What is saved up at most while nobody asks, in time.
const BURST: Duration = Duration::from_millis(250);

/// A gateway's side.
#[derive(Clone, Debug)]
pub struct Holder {
    config: Config,
    id: u32,
    /// The number of the last ask.
    asked: u64,
    /// When the asks were made that are not answered, newest last.
    open: Vec<(u64, Time)>,
    grant: Option<(Grant, Time)>,
    tokens: f64,
    filled: Time,
    next_ask: Time,
    seen: f64,
    demand: f64,
    counted: Time,
}

/// Most asks without an answer that are remembered.
const OPEN_MAX: usize = 16;

impl Holder {
    /// Holds nothing, and asks at once.
    pub const fn new(config: Config, id: u32, now: Time) -> Holder {
        Holder {
            config,
            id,
            asked: 0,
            open: Vec::new(),
            grant: None,
            tokens: 0.0,
            filled: now,
            next_ask: now,
            seen: 0.0,
            demand: 0.0,
            counted: now,
        }
    }

    /// What it may spend per second at this moment.
    pub fn rate(&self, now: Time) -> f64 {
        match &self.grant {
            Some((grant, asked)) if now.since(*asked) < self.config.lease => grant.rate,
            Some((grant, _)) => grant.safe,
            None => 0.0,
        }
    }

    /// How old what it goes by is; `None`: it was never told anything.
    pub fn staleness(&self, now: Time) -> Option<Duration> {
        self.grant.as_ref().map(|(_, asked)| now.since(*asked))
    }

    /// Something is to be spent: whether it may.
    pub fn handle_spend(&mut self, cost: f64, now: Time) -> bool {
        self.seen += cost;
        self.fill(now);
        let may = self.tokens >= cost;
        if may {
            self.tokens -= cost;
        }
        may
    }

    /// Asks if it is time to.
    pub fn handle_timeout(&mut self, now: Time) -> Option<Ask> {
        if now < self.next_ask {
            return None;
        }
        self.count(now);
        self.next_ask = now + self.config.renew;
        self.asked += 1;
        if self.open.len() >= OPEN_MAX {
            self.open.remove(0);
        }
        self.open.push((self.asked, now));
        let holds = self.grant.as_ref().map_or(0, |(grant, _)| grant.number);
        Some(Ask { holder: self.id, number: self.asked, demand: self.demand, holds })
    }

    /// When [`Holder::handle_timeout`] is due.
    pub const fn poll_timeout(&self) -> Time {
        self.next_ask
    }

    /// A grant came; one that is older than what is held, or was not asked for, changes nothing.
    pub fn handle_grant(&mut self, grant: Grant, now: Time) {
        let held = self.grant.as_ref().map_or(0, |(held, _)| held.number);
        let asked = self.open.iter().find(|(number, _)| *number == grant.number).map(|(_, at)| *at);
        let Some(asked) = asked.filter(|_| grant.number > held) else { return };
        self.fill(now);
        self.open.retain(|(number, _)| *number > grant.number);
        self.grant = Some((grant, asked));
    }

    fn fill(&mut self, now: Time) {
        let rate = self.rate(now);
        // One whole token always fits, or a small part would never buy anything.
        let most = (rate * BURST.as_secs_f64()).max(1.0);
        self.tokens = (self.tokens + rate * now.since(self.filled).as_secs_f64()).min(most);
        self.filled = now;
    }

    fn count(&mut self, now: Time) {
        let passed = now.since(self.counted).as_secs_f64();
        if passed > 0.0 {
            let share = 1.0 - (-passed / DEMAND.as_secs_f64()).exp();
            self.demand += (self.seen / passed - self.demand) * share;
            (self.seen, self.counted) = (0.0, now);
        }
    }
}

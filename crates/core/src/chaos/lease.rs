//! The dead-man lease of an injector: an order stands only as long as somebody keeps asking for it.
//!
//! ```text
//! order --> in force --renew--> in force --...--> lease ran out | hard stop | withdrawn | halted
//!              `-- a higher generation of the same run takes its place; what was ever taken back or left behind never returns
//! ```
//!
//! Times are of the injector's own clock, which only goes forward; steps of the wall clock do not matter.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::chaos::experiment::DURATION_MAX;
use crate::chaos::order::Order;
use crate::time::Time;

/// Most orders in force at once.
pub const ORDERS_MAX: usize = 4;
/// Longest time that an order stands without being renewed, whatever it asks for.
pub const TTL_MAX: Duration = Duration::from_mins(1);
/// Most runs whose generations are remembered. Beyond them new runs are refused: to forget one would let it come back.
pub const RUNS_MAX: usize = 65_536;

/// The orders that one injector stands under.
#[derive(Clone, Debug, Default)]
pub struct Leases {
    orders: Vec<Leased>,
    /// The highest generation that was seen of a run.
    seen: BTreeMap<String, u64>,
    /// What ran out and was not told yet.
    ended: Vec<Ended>,
    halted: bool,
    /// The latest time that it was told.
    now: Time,
}

#[derive(Clone, Debug)]
struct Leased {
    order: Order,
    since: Time,
    renewed: Time,
}

/// An order that ended by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// The run.
    pub run: String,
    /// The order's generation.
    pub generation: u64,
    /// Why.
    pub why: Why,
}

/// Why an order ended by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// It was not renewed in time.
    Lease,
    /// It stood as long as it may.
    HardStop,
}

impl Why {
    /// In a word.
    pub const fn name(self) -> &'static str {
        match self {
            Why::Lease => "lease",
            Why::HardStop => "hard_stop",
        }
    }
}

/// Why an order is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// All is halted.
    #[error("experiments are halted")]
    Halted,
    /// The run has had this generation or a later one.
    #[error("the order is not newer than what the run has had")]
    Fenced,
    /// The order is not in force: it ended, was taken back, or never was.
    #[error("the order is not in force, and does not come back")]
    Over,
    /// As many orders as there may be are in force.
    #[error("{ORDERS_MAX} orders are in force already")]
    TooMany,
    /// More runs than are remembered.
    #[error("{RUNS_MAX} runs were seen: restart the gateway")]
    TooManyRuns,
}

impl Leased {
    /// When it ends unless it is renewed, and why.
    fn ends(&self) -> (Time, Why) {
        let lease = self.renewed + self.order.ttl.min(TTL_MAX);
        let hard = self.since + self.order.hard_stop.min(DURATION_MAX);
        if hard <= lease { (hard, Why::HardStop) } else { (lease, Why::Lease) }
    }

    fn is(&self, run: &str, generation: u64) -> bool {
        self.order.run == run && self.order.generation == generation
    }
}

impl Leases {
    /// Takes an order, in the place of an earlier one of the same run.
    pub fn handle_order(&mut self, order: Order, now: Time) -> Result<(), Refused> {
        self.expire(now);
        if self.halted {
            return Err(Refused::Halted);
        }
        if self.seen.get(&order.run).is_some_and(|seen| order.generation <= *seen) {
            return Err(Refused::Fenced);
        }
        if !self.seen.contains_key(&order.run) && self.seen.len() >= RUNS_MAX {
            return Err(Refused::TooManyRuns);
        }
        let others = self.orders.iter().filter(|leased| leased.order.run != order.run).count();
        if others >= ORDERS_MAX {
            return Err(Refused::TooMany);
        }
        self.orders.retain(|leased| leased.order.run != order.run);
        self.seen.insert(order.run.clone(), order.generation);
        self.orders.push(Leased { order, since: self.now, renewed: self.now });
        Ok(())
    }

    /// Lets an order stand for another while.
    pub fn handle_renew(&mut self, run: &str, generation: u64, now: Time) -> Result<(), Refused> {
        self.expire(now);
        if self.halted {
            return Err(Refused::Halted);
        }
        let now = self.now;
        let leased = self.orders.iter_mut().find(|leased| leased.is(run, generation)).ok_or(Refused::Over)?;
        leased.renewed = now;
        Ok(())
    }

    /// Takes back a generation of a run, and those before it; the order may come later, and is refused then.
    pub fn handle_withdraw(&mut self, run: &str, generation: u64, now: Time) {
        self.expire(now);
        self.orders.retain(|leased| leased.order.run != run || leased.order.generation > generation);
        if let Some(seen) = self.seen.get_mut(run) {
            *seen = generation.max(*seen);
        } else if self.seen.len() < RUNS_MAX {
            self.seen.insert(run.to_owned(), generation);
        }
    }

    /// Drops all orders at once and takes none while it is halted. No order returns when it no longer is.
    pub fn handle_halt(&mut self, halted: bool) {
        self.halted = halted;
        if halted {
            self.orders.clear();
        }
    }

    /// Whether it is halted.
    pub fn is_halted(&self) -> bool {
        self.halted
    }

    /// The orders in force, and since when each is.
    pub fn in_force(&self, now: Time) -> impl Iterator<Item = (&Order, Time)> {
        let now = now.max(self.now);
        self.orders.iter().filter(move |leased| now < leased.ends().0).map(|leased| (&leased.order, leased.since))
    }

    /// When an order ends unless it is renewed.
    pub fn ends(&self, run: &str, generation: u64) -> Option<Time> {
        self.orders.iter().find(|leased| leased.is(run, generation)).map(|leased| leased.ends().0)
    }

    /// When the next order ends by itself.
    pub fn poll_timeout(&self) -> Option<Time> {
        let waiting = (!self.ended.is_empty()).then_some(self.now);
        waiting.or_else(|| self.orders.iter().map(|leased| leased.ends().0).min())
    }

    /// The orders that ended by themselves since this was last asked.
    pub fn handle_timeout(&mut self, now: Time) -> Vec<Ended> {
        self.expire(now);
        std::mem::take(&mut self.ended)
    }

    /// Drops what ran out. Time that goes backward stands still.
    fn expire(&mut self, now: Time) {
        self.now = self.now.max(now);
        let now = self.now;
        let ended = &mut self.ended;
        self.orders.retain(|leased| {
            let (at, why) = leased.ends();
            if now >= at {
                // Nobody who asks leaves more than a few untold.
                if ended.len() >= 4 * ORDERS_MAX {
                    ended.remove(0);
                }
                ended.push(Ended { run: leased.order.run.clone(), generation: leased.order.generation, why });
            }
            now < at
        });
    }
}

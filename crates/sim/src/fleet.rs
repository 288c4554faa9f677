//! A fleet of gateways that share a rate by leases, over a store that is far, slow, or loses what it is told.
//!
//! The machines are those of [`mainstay_core::resilience::lease`].

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use mainstay_core::resilience::lease::{Allotment, Ask, Config, Grant, Holder};
use mainstay_core::rng::Rng;
use mainstay_core::time::Time;

use crate::world::START;

/// Until then leases find their sizes; nothing is measured.
const WARM: Duration = Duration::from_secs(20);
/// One in so many spends looks how old what it goes by is.
const LOOKS: u64 = 16;

/// What is played.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Fleet {
    /// How many.
    pub gateways: u32,
    /// What they share, and how.
    pub config: Config,
    /// What all together would spend per second, in multiples of the rate. Every second gateway wants three times as much
    /// as the others.
    pub load: f64,
    /// The chance that a message is lost, each way.
    pub loss: f64,
    /// The mean time of a message, each way; exponential.
    pub delay: Duration,
    /// The store answers nobody from then on, for so long.
    pub gone: Option<(Duration, Duration)>,
    /// How long it lasts.
    pub length: Duration,
}

/// What came of it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Spent {
    /// What was spent as a share of what could have been: the lesser of the rate and what was wanted.
    pub used: f64,
    /// The most that was spent in a second, as a multiple of the rate.
    pub worst_second: f64,
    /// Jain's index of what gateways spent over their max-min part: 1 is fair, 1 / n is one who has all.
    pub fairness: f64,
    /// The mean age of what a spender went by, in seconds.
    pub staleness_s: f64,
    /// Its 99 % quantile.
    pub staleness_p99_s: f64,
    /// Spends that were asked for.
    pub asked: u64,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Spend(u32),
    Renew(u32),
    Ask(Ask),
    Grant(u32, Grant),
}

struct Entry(Time, u64, What);

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

struct World {
    fleet: Fleet,
    rng: Rng,
    heap: BinaryHeap<Reverse<Entry>>,
    added: u64,
    holders: Vec<Holder>,
    allotment: Allotment,
    spent: Vec<u64>,
    seconds: Vec<u64>,
    ages: Vec<f64>,
    asked: u64,
}

/// Plays a fleet. Equal seeds give equal answers.
pub fn fleet(fleet: &Fleet, seed: u64) -> Spent {
    let mut world = World::new(*fleet, seed);
    let end = START + fleet.length;
    while let Some(Reverse(Entry(now, _, what))) = world.heap.pop() {
        if now >= end {
            break;
        }
        world.handle(what, now);
    }
    world.close()
}

impl World {
    fn new(fleet: Fleet, seed: u64) -> World {
        let gateways = fleet.gateways.max(1);
        let measured = fleet.length.saturating_sub(WARM).as_secs() as usize;
        let mut world = World {
            fleet,
            rng: Rng::new(seed),
            heap: BinaryHeap::new(),
            added: 0,
            holders: Vec::new(),
            allotment: Allotment::new(fleet.config),
            spent: vec![0; gateways as usize],
            seconds: vec![0; measured.max(1)],
            ages: Vec::new(),
            asked: 0,
        };
        for id in 0..gateways {
            // They did not start at one moment.
            let starts = START + fleet.config.renew.mul_f64(world.rng.unit());
            world.holders.push(Holder::new(fleet.config, id, starts));
            world.add(starts, What::Renew(id));
            world.next_spend(id, starts);
        }
        world
    }

    fn add(&mut self, at: Time, what: What) {
        self.added += 1;
        self.heap.push(Reverse(Entry(at, self.added, what)));
    }

    /// What a gateway wants per second.
    fn wanted(&self, id: u32) -> f64 {
        let gateways = self.holders.len().max(self.spent.len()) as f64;
        let shares = (gateways / 2.0).floor().mul_add(3.0, (gateways / 2.0).ceil());
        let share = if id % 2 == 1 { 3.0 } else { 1.0 };
        self.fleet.load * self.fleet.config.rate * share / shares
    }

    fn next_spend(&mut self, id: u32, now: Time) {
        let wait = self.rng.exponential(1.0 / self.wanted(id));
        self.add(now + Duration::from_secs_f64(wait), What::Spend(id));
    }

    /// Sends a message, if it is not lost.
    fn send(&mut self, what: What, now: Time) {
        if self.rng.unit() >= self.fleet.loss {
            let delay = Duration::from_secs_f64(self.rng.exponential(self.fleet.delay.as_secs_f64()));
            self.add(now + delay, what);
        }
    }

    fn handle(&mut self, what: What, now: Time) {
        match what {
            What::Spend(id) => self.spend(id, now),
            What::Renew(id) => {
                if let Some(ask) = self.holders[id as usize].handle_timeout(now) {
                    self.send(What::Ask(ask), now);
                }
                self.add(self.holders[id as usize].poll_timeout(), What::Renew(id));
            }
            What::Ask(ask) => {
                let since = now.since(START);
                let is_gone = self.fleet.gone.is_some_and(|(from, length)| from <= since && since < from + length);
                if !is_gone && let Some(grant) = self.allotment.handle_ask(ask, now) {
                    self.send(What::Grant(ask.holder, grant), now);
                }
            }
            What::Grant(id, grant) => self.holders[id as usize].handle_grant(grant, now),
        }
    }

    fn spend(&mut self, id: u32, now: Time) {
        let holder = &mut self.holders[id as usize];
        let may = holder.handle_spend(1.0, now);
        let since = now.since(START);
        if since >= WARM {
            self.asked += 1;
            let second = since.saturating_sub(WARM).as_secs() as usize;
            if may {
                self.spent[id as usize] += 1;
                if let Some(spent) = self.seconds.get_mut(second) {
                    *spent += 1;
                }
            }
            if self.asked.is_multiple_of(LOOKS)
                && let Some(age) = holder.staleness(now)
            {
                self.ages.push(age.as_secs_f64());
            }
        }
        self.next_spend(id, now);
    }

    fn close(mut self) -> Spent {
        let seconds = self.seconds.len() as f64;
        let rate = self.fleet.config.rate;
        let could = rate.min(self.fleet.load * rate) * seconds;
        self.ages.sort_by(f64::total_cmp);
        let mean = self.ages.iter().sum::<f64>() / self.ages.len().max(1) as f64;
        let p99 = self.ages.get(self.ages.len().saturating_sub(1) * 99 / 100).copied().unwrap_or(0.0);
        Spent {
            used: self.spent.iter().sum::<u64>() as f64 / could,
            worst_second: self.seconds.iter().copied().max().unwrap_or(0) as f64 / rate,
            fairness: self.fairness(),
            staleness_s: mean,
            staleness_p99_s: p99,
            asked: self.asked,
        }
    }

    /// Over the max-min part: with two kinds of demand, an even part of the rate, or all that was wanted and the rest.
    fn fairness(&self) -> f64 {
        let gateways = self.spent.len() as f64;
        let even = self.fleet.config.rate / gateways;
        let part = |id: usize| {
            let (small, own) = (self.wanted(0), self.wanted(id as u32));
            let many = (gateways / 2.0).ceil();
            let rest =
                if small < even { (self.fleet.config.rate - small * many) / (gateways - many).max(1.0) } else { even };
            own.min(if id.is_multiple_of(2) { even } else { rest })
        };
        let ratios: Vec<f64> = self.spent.iter().enumerate().map(|(id, spent)| *spent as f64 / part(id)).collect();
        let (sum, squares) = ratios.iter().fold((0.0, 0.0), |(sum, squares), it| (sum + it, squares + it * it));
        if squares > 0.0 { sum * sum / (gateways * squares) } else { 1.0 }
    }
}

//! Faults on purpose: orders in force, whom they touch, and what is counted of them.
//!
//! ```text
//! control --inject, renew, withdraw, halt--> Injector (leases) --table of Standing--> request: Met (arm, dose, caps)
//!         <------------- beats ----------------'                                         `--> backend, features, stream
//! ```
//!
//! Orders live in memory only. With none in force a request pays one relaxed load. Expiry is looked at by every request, and by the
//! keeper where there is none.

mod assign;
mod backend;
mod check;
mod clock;
mod features;
mod load;
mod met;
mod mix;
mod parts;
mod sender;
mod standing;
mod stream;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use arc_swap::ArcSwap;
use mainstay_core::chaos::arms::Beat;
use mainstay_core::chaos::experiment::Experiment;
use mainstay_core::chaos::lease::{Leases, ORDERS_MAX, Refused};
use mainstay_core::chaos::order::Order;
use mainstay_core::plan::Plan;
use mainstay_core::time::Time;
use tokio::sync::watch;

pub(crate) use assign::Asking;
pub(crate) use backend::{CallFault, Made};
pub use check::InjectError;
pub(crate) use features::FeaturesFault;
use load::Load;
pub(crate) use met::{Met, StreamFault};
pub(crate) use mix::Recorded;
pub(crate) use sender::{Sending, send};
pub(crate) use standing::Standing;
pub(crate) use stream::{Cut, StreamWork};

/// Most orders that ended and are still told of: requests under way may yet end.
const PAST_MAX: usize = 4 * ORDERS_MAX;

/// What stands between experiments and requests: one for all workers and all configs of a gateway.
pub(crate) struct Injector {
    /// Whether any order may be in force: all that a request looks at where none is.
    armed: AtomicBool,
    table: ArcSwap<Vec<Arc<Standing>>>,
    orders: Mutex<Orders>,
    /// Counts changes of the table.
    changes: watch::Sender<u64>,
}

struct Orders {
    /// What orders are for. It is kept with them so that no reload comes between the look at it and the order.
    plan: Arc<Plan>,
    leases: Leases,
    past: VecDeque<Past>,
}

/// An order that ended.
struct Past {
    standing: Arc<Standing>,
    told: bool,
}

impl Injector {
    /// Without any order, for this plan.
    pub(crate) fn new(plan: Arc<Plan>) -> Injector {
        Injector {
            armed: AtomicBool::new(false),
            table: ArcSwap::default(),
            orders: Mutex::new(Orders { plan, leases: Leases::default(), past: VecDeque::new() }),
            changes: watch::Sender::new(0),
        }
    }

    /// Whether any order may be in force.
    #[inline]
    pub(crate) fn is_armed(&self) -> bool {
        self.armed.load(Ordering::Relaxed)
    }

    /// The orders in force.
    pub(crate) fn table(&self) -> Arc<Vec<Arc<Standing>>> {
        self.table.load_full()
    }

    /// Tells of every change of the table.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Whether an experiment's order would be taken.
    pub(crate) fn check(&self, experiment: &Experiment) -> Result<(), InjectError> {
        let orders = self.orders();
        if orders.leases.is_halted() {
            return Err(Refused::Halted.into());
        }
        check::experiment(&orders.plan, experiment)
    }

    /// Takes an order.
    pub(crate) fn inject(&self, order: Order) -> Result<(), InjectError> {
        let mut orders = self.orders();
        let target = check::order(&orders.plan, &order)?;
        orders.leases.handle_order(Order { target, ..order }, clock::now())?;
        self.publish(&mut orders);
        Ok(())
    }

    /// Lets an order stand for another while.
    pub(crate) fn renew(&self, run: &str, generation: u64) -> Result<(), InjectError> {
        let mut orders = self.orders();
        let renewed = orders.leases.handle_renew(run, generation, clock::now());
        self.publish(&mut orders);
        Ok(renewed?)
    }

    /// Takes an order back. What it delays at this moment goes on at once.
    pub(crate) fn withdraw(&self, run: &str, generation: u64) {
        let mut orders = self.orders();
        orders.leases.handle_withdraw(run, generation, clock::now());
        self.publish(&mut orders);
    }

    /// Ends all orders and takes none while it is halted.
    pub(crate) fn halt(&self, halted: bool) {
        let mut orders = self.orders();
        orders.leases.handle_halt(halted);
        self.publish(&mut orders);
    }

    /// Ends what ran out.
    pub(crate) fn settle(&self) {
        if !self.is_armed() {
            return;
        }
        let mut orders = self.orders();
        for ended in orders.leases.handle_timeout(clock::now()) {
            tracing::warn!(
                run = ended.run,
                generation = ended.generation,
                why = ended.why.name(),
                "a fault ended by itself"
            );
        }
        self.publish(&mut orders);
    }

    /// Goes by another plan; orders whose route or target is not what it was end.
    pub(crate) fn reload(&self, plan: Arc<Plan>) {
        let mut orders = self.orders();
        let now = clock::now();
        let old = std::mem::replace(&mut orders.plan, plan);
        let new = Arc::clone(&orders.plan);
        for standing in self.table.load().iter().filter(|standing| !check::is_same(&old, &new, &standing.order)) {
            orders.leases.handle_withdraw(&standing.order.run, standing.order.generation, now);
        }
        self.publish(&mut orders);
    }

    /// What is known of each order in force, and of those that ended as long as requests under them do.
    pub(crate) fn take_beats(&self, at: Time) -> Vec<Beat> {
        let mut orders = self.orders();
        let now = clock::now();
        let _ = orders.leases.handle_timeout(now);
        self.publish(&mut orders);
        let mut beats: Vec<Beat> = self.table.load().iter().map(|standing| standing.beat(at, now)).collect();
        for past in &mut orders.past {
            let beat = past.standing.beat(at, now);
            if !std::mem::replace(&mut past.told, true) || standing::says_anything(&beat) {
                beats.push(beat);
            }
        }
        beats
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().expect("keeping orders does not panic")
    }

    /// Shows workers the orders in force.
    fn publish(&self, orders: &mut Orders) {
        let Orders { leases, past, .. } = orders;
        let now = clock::now();
        let old = self.table.load_full();
        let mut changed = false;
        let table: Vec<Arc<Standing>> = leases
            .in_force(now)
            .map(|(order, since)| {
                let until = leases.ends(&order.run, order.generation).unwrap_or(Time::ZERO);
                let running = old.iter().find(|standing| standing.is(&order.run, order.generation));
                let standing = running.cloned().unwrap_or_else(|| {
                    changed = true;
                    let earlier = old.iter().find(|standing| standing.order.run == order.run);
                    let load = earlier.and_then(|standing| standing.load.clone());
                    let load = load.or_else(|| Load::of(order, now).map(Arc::new));
                    Arc::new(Standing::new(order.clone(), since, load))
                });
                standing.stand_until(until);
                standing
            })
            .collect();
        for standing in old.iter().filter(|old| !table.iter().any(|standing| Arc::ptr_eq(old, standing))) {
            changed = true;
            standing.end();
            past.push_back(Past { standing: Arc::clone(standing), told: false });
            while past.len() > PAST_MAX {
                past.pop_front();
            }
        }
        if changed {
            self.armed.store(!table.is_empty(), Ordering::Relaxed);
            self.table.store(Arc::new(table));
            self.changes.send_modify(|changes| *changes += 1);
        }
    }
}

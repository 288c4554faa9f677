//! An order in force, as all workers see it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use http::HeaderValue;
use mainstay_core::chaos::arms::{Arms, Beat};
use mainstay_core::chaos::order::Order;
use mainstay_core::time::Time;
use tokio::sync::watch;

use super::clock;
use super::load::Load;

/// An order in force.
pub(crate) struct Standing {
    /// The order, with its target by name where it has one.
    pub(crate) order: Order,
    /// Since when, by the injector's clock.
    since: Time,
    /// Until when, by the injector's clock; zero: it ended.
    until: AtomicU64,
    over: watch::Sender<bool>,
    /// What trusted callers are told.
    pub(crate) tag: HeaderValue,
    /// Requests that meet the fault at this moment.
    active: AtomicU32,
    /// Requests that met it.
    total: AtomicU64,
    spared: AtomicU64,
    /// Requests that the load generator sent, and those that it could not; taken by every beat.
    pub(crate) sent: [AtomicU64; 2],
    arms: Mutex<Arms>,
    /// What is sent on top of the real requests, where it asks for that: the same for all orders of a run.
    pub(super) load: Option<Arc<Load>>,
}

impl Standing {
    pub(super) fn new(order: Order, since: Time, load: Option<Arc<Load>>) -> Standing {
        Standing {
            load,
            tag: HeaderValue::from_str(&order.run).unwrap_or_else(|_| HeaderValue::from_static("unnamed")),
            order,
            since,
            until: AtomicU64::new(0),
            over: watch::Sender::new(false),
            active: AtomicU32::new(0),
            total: AtomicU64::new(0),
            spared: AtomicU64::new(0),
            sent: [const { AtomicU64::new(0) }; 2],
            arms: Mutex::default(),
        }
    }

    pub(super) fn is(&self, run: &str, generation: u64) -> bool {
        self.order.run == run && self.order.generation == generation
    }

    pub(super) fn stand_until(&self, until: Time) {
        self.until.store(until.as_nanos(), Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.until.store(0, Ordering::Relaxed);
        self.over.send_replace(true);
    }

    /// Until when it stands unless it is renewed.
    fn until(&self) -> Time {
        Time::from_nanos(self.until.load(Ordering::Relaxed))
    }

    /// For how long it has stood.
    pub(super) fn stood(&self, now: Time) -> std::time::Duration {
        now.since(self.since)
    }

    /// Whether it stands.
    pub(super) fn stands_at(&self, now: Time) -> bool {
        now < self.until()
    }

    /// Whether its fault is in force, in the block at hand too.
    pub(super) fn injects_at(&self, now: Time) -> bool {
        let in_block = self.order.blocks.is_none_or(|blocks| blocks.injects_at(self.stood(now)));
        self.order.injects && self.stands_at(now) && in_block
    }

    /// Whether its fault is in force at this moment.
    pub(crate) fn injects(&self) -> bool {
        self.injects_at(clock::now())
    }

    /// Returns once it has ended, whoever notices first.
    pub(crate) async fn over(self: Arc<Self>) {
        let mut over = self.over.subscribe();
        loop {
            let left = self.until().since(clock::now());
            if left.is_zero() {
                return;
            }
            // Renewed meanwhile, it is waited for again.
            let _ = tokio::time::timeout(left, over.wait_for(|over| *over)).await;
        }
    }

    /// A place among those that meet the fault; `None`: a cap is reached, and the request is spared.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Slot> {
        let caps = self.order.caps;
        let place = self.active.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |active| {
            (active < caps.concurrent).then_some(active + 1)
        });
        if place.is_ok() {
            let slot = Slot(Arc::clone(self));
            let total = self
                .total
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |total| (total < caps.total).then_some(total + 1));
            if total.is_ok() {
                return Some(slot);
            }
        }
        self.spared.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Adds what a worker counted.
    pub(crate) fn count(&self, counted: &Arms) {
        let mut arms = self.arms.lock().expect("counting does not panic");
        for (mine, theirs) in arms.iter_mut().zip(counted) {
            mine.add(theirs);
        }
    }

    /// What is known of it; counts since this was last asked.
    pub(super) fn beat(&self, at: Time, now: Time) -> Beat {
        let stands = self.stands_at(now);
        Beat {
            run: self.order.run.clone(),
            generation: self.order.generation,
            at,
            stands,
            injects: self.injects_at(now),
            arms: std::mem::take(&mut *self.arms.lock().expect("counting does not panic")),
            spared: self.spared.swap(0, Ordering::Relaxed),
            sent: [0, 1].map(|at| self.sent[at].swap(0, Ordering::Relaxed)),
            block: self.order.blocks.filter(|_| stands).and_then(|blocks| blocks.arm_at(self.stood(now))),
        }
    }
}

/// A request that meets a fault; gives its place back when dropped.
pub(super) struct Slot(Arc<Standing>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a beat tells more than that its order is over.
pub(super) fn says_anything(beat: &Beat) -> bool {
    beat.arms.iter().any(|arm| arm.requests > 0) || beat.spared > 0 || beat.sent.iter().any(|sent| *sent > 0)
}

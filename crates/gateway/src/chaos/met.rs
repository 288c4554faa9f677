//! What one request has of the order that it met.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use mainstay_core::chaos::arms::Counts;
use mainstay_core::chaos::fault::{Fault, Point};
use mainstay_core::chaos::order::Arm;
use mainstay_core::plan::Plan;
use mainstay_core::rng::Rng;
use mainstay_core::time::Time;

use super::assign::Asking;
use super::standing::{Slot, Standing};
use crate::counters::{Ended, Ending};
use crate::worker::State;

/// The order that a request met: decided once, when its way down begins. Each of its attempts at the target meets the fault.
pub(crate) struct Met {
    state: Rc<State>,
    /// When the request's head was there.
    began: Time,
    standing: Arc<Standing>,
    /// `None`: it counts for neither, as in a block's washout.
    arm: Option<Arm>,
    /// Its dose chose it.
    dosed: bool,
    touch: RefCell<Touch>,
    pub(super) rng: RefCell<Rng>,
    counted: Cell<bool>,
}

/// Whether the fault has come to a request.
enum Touch {
    NotYet,
    /// A cap was reached when it would have.
    Spared,
    Touched(#[expect(dead_code, reason = "gives its place back when dropped")] Slot),
    /// It is one of the requests that were sent on top of the real ones.
    Sent,
}

/// What becomes of a streamed answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StreamFault {
    /// It begins later.
    SlowFirst(Duration),
    /// After so many parts it stays open and says nothing.
    Stalled(u32),
    /// After so many parts it ends.
    Truncated(u32),
}

impl Met {
    pub(super) fn new(asking: &Asking<'_>, standing: Arc<Standing>, arm: Option<Arm>, dosed: bool, rng: Rng) -> Met {
        Met {
            state: Rc::clone(asking.state),
            began: asking.began,
            standing,
            arm,
            dosed,
            touch: RefCell::new(Touch::NotYet),
            rng: RefCell::new(rng),
            counted: Cell::new(false),
        }
    }

    /// What a request has that was sent on top of the real ones: it is in no arm.
    pub(crate) fn sent(state: &Rc<State>, began: Time, standing: Arc<Standing>) -> Met {
        Met {
            state: Rc::clone(state),
            began,
            standing,
            arm: None,
            dosed: true,
            touch: RefCell::new(Touch::Sent),
            rng: RefCell::new(Rng::new(0)),
            counted: Cell::new(false),
        }
    }

    /// Whether it was sent on top of the real ones.
    pub(crate) fn is_sent(&self) -> bool {
        matches!(*self.touch.borrow(), Touch::Sent)
    }

    /// The order.
    pub(crate) fn standing(&self) -> &Arc<Standing> {
        &self.standing
    }

    /// Whether the fault is to come to it, or came.
    pub(crate) fn is_dosed(&self) -> bool {
        self.dosed
    }

    /// Whether the fault came to it.
    pub(crate) fn is_touched(&self) -> bool {
        matches!(*self.touch.borrow(), Touch::Touched(_) | Touch::Sent)
    }

    /// Whether the fault came to it, and monitors, labels and samples are to leave it out.
    pub(crate) fn is_left_out(&self, plan: &Plan) -> bool {
        self.is_touched() && !plan.chaos.keep_touched
    }

    /// What it is told of, where it was touched.
    pub(crate) fn tag(&self) -> Option<&HeaderValue> {
        self.is_touched().then_some(&self.standing.tag)
    }

    /// The run, where it was touched.
    pub(crate) fn run(&self) -> Option<String> {
        self.is_touched().then(|| self.standing.order.run.clone())
    }

    /// The fault at a point and a target, where it is to come there.
    pub(crate) fn fault_at(&self, point: Point, target: &str) -> Option<&Fault> {
        let order = &self.standing.order;
        let there = order.fault.point() == point && order.target.as_deref() == Some(target);
        (self.dosed && there).then_some(&order.fault)
    }

    /// The fault comes to it now: false where a cap is reached, or the order has ended meanwhile. Once it came, it comes to each
    /// further attempt as well while the order stands.
    pub(crate) fn touch(&self, state: &State, route: usize) -> bool {
        if !self.dosed || !self.standing.injects() {
            return false;
        }
        let mut touch = self.touch.borrow_mut();
        match *touch {
            Touch::Touched(_) | Touch::Sent => return true,
            Touch::Spared => return false,
            Touch::NotYet => {}
        }
        let slot = self.standing.enter();
        let name = self.standing.order.fault.name();
        let at = usize::from(slot.is_none());
        state.counters.borrow_mut().routes[route].faults.entry(name).or_default()[at] += 1;
        *touch = slot.map_or(Touch::Spared, Touch::Touched);
        matches!(*touch, Touch::Touched(_))
    }

    /// What becomes of a streamed answer of a backend. Asking for it is meeting it.
    pub(crate) fn stream_fault(&self, state: &State, route: usize, backend: &str) -> Option<StreamFault> {
        let fault = self.fault_at(Point::Stream, backend)?;
        if !self.touch(state, route) {
            return None;
        }
        match fault {
            Fault::SlowFirstToken(delay) => Some(StreamFault::SlowFirst(delay.draw(&mut self.rng.borrow_mut()))),
            Fault::StalledStream(after) => Some(StreamFault::Stalled(after.parts)),
            Fault::TruncatedStream(after) => Some(StreamFault::Truncated(after.parts)),
            _ => None,
        }
    }

    /// Waits, no longer than the order stands.
    pub(crate) async fn pause(&self, delay: Duration) {
        let over = Arc::clone(&self.standing).over();
        let _ = tokio::time::timeout(delay, over).await;
    }

    /// Counts a request that ended, once.
    pub(crate) fn count(&self, state: &State, ended: &Ended) {
        self.note(state, ended.duration, |counts, touched| {
            if is_unanswered(ended) {
                counts.unanswered += 1;
            } else if let Some(level) = ended.level {
                counts.levels[level.index()] += 1;
                counts.injected_levels[level.index()] += u64::from(touched);
            }
        });
    }

    fn note(&self, state: &State, took: Duration, more: impl FnOnce(&mut Counts, bool)) {
        let Some(arm) = self.arm.filter(|_| !self.counted.replace(true)) else { return };
        let touched = self.is_touched();
        state.count_arm(&self.standing, |arms| {
            let counts = &mut arms[arm.index()];
            counts.requests += 1;
            counts.dosed += u64::from(self.dosed);
            counts.injected += u64::from(touched);
            counts.latency.record(took);
            more(counts, touched);
        });
    }
}

impl Drop for Met {
    /// Whose caller went away before there was an answer is a request of its arm as well: otherwise the arm that is slower on
    /// purpose would lose just those that it is too slow for.
    fn drop(&mut self) {
        let took = self.state.shared.clock.now().since(self.began);
        self.note(&self.state, took, |_, _| {});
    }
}

/// Whether nobody answered: 429, 5xx, a time-out, an answer that broke off. Who went away did not wait for an answer.
fn is_unanswered(ended: &Ended) -> bool {
    match ended.ending {
        Ending::Shed | Ending::BrokenOff => true,
        Ending::Answered => ended.code == 429 || ended.code >= 500,
        Ending::Cancelled | Ending::CallersFault => false,
    }
}

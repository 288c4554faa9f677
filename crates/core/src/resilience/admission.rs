//! A backend's limit and waiting line in one thread: the [`Limiter`] and the [`Queue`], and the order in which they are
//! asked. What many threads share (`mainstay-tower`'s `SharedLimit`) decides the same; a test there compares them.
//!
//! Invariants: no place is given while `in_flight >= limit`; nobody overtakes the line; an entry that waits is answered
//! once, by [`Admission::poll_answer`].

use std::collections::VecDeque;
use std::time::Duration;

use super::limiter::{Config, LimitChange, Limiter, Sample, Slice};
use super::queue::{Key, LoadReason, Popped, Pushed, Queue, Shed, Ticket, saturation};
use crate::route::Class;
use crate::time::Time;

/// How often what was counted is handed to the limiter while answers arrive.
const SETTLE: Duration = Duration::from_millis(10);

/// What a request asks of a backend's limit.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Ask {
    /// How much it matters.
    pub class: Class,
    /// Whose share of the line it takes: a small dense number.
    pub route: u32,
    /// Most requests of this route in the line.
    pub queue_max: u32,
    /// Who is turned away.
    pub shed: Shed,
    /// When waiting is no use any more.
    pub wait_until: Time,
}

/// What is answered at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// It has a place.
    Taken,
    /// It waits; [`Admission::poll_answer`] tells.
    Waits(Key),
    /// There is none in time.
    Refused(LoadReason),
}

/// A backend's limit and waiting line.
///
/// ```
/// use mainstay_core::resilience::admission::{Admission, Ask, Place};
/// use mainstay_core::resilience::limiter::{Config, Sample};
/// use mainstay_core::resilience::queue::Shed;
/// use mainstay_core::route::Class;
/// use mainstay_core::time::Time;
/// use std::time::Duration;
///
/// let now = Time::from_secs(1);
/// let mut gate = Admission::new(Config::Fixed { max: 1 }, now);
/// let wait_until = now + Duration::from_secs(1);
/// let ask = Ask { class: Class::BEST, route: 0, queue_max: 8, shed: Shed::Queue, wait_until };
/// assert_eq!(gate.handle_ask("a", ask, now), Place::Taken);
/// assert!(matches!(gate.handle_ask("b", ask, now), Place::Waits(_)));
/// gate.handle_end(Some(&Sample::answered(Duration::from_millis(5))), false, now);
/// assert_eq!(gate.poll_answer(), Some(("b", true)));
/// ```
#[derive(Debug)]
pub struct Admission<T> {
    limiter: Limiter,
    queue: Queue<T>,
    slice: Slice,
    in_flight: u32,
    begun: u32,
    limited: bool,
    settle_at: Time,
    answers: VecDeque<(T, bool)>,
    change: Option<LimitChange>,
}

impl<T> Admission<T> {
    /// A limit that has seen nothing.
    pub fn new(config: Config, now: Time) -> Admission<T> {
        Admission {
            limiter: Limiter::new(config, now),
            queue: Queue::new(),
            slice: Slice::new(),
            in_flight: 0,
            begun: 0,
            limited: false,
            settle_at: now + SETTLE,
            answers: VecDeque::new(),
            change: None,
        }
    }

    /// Calls that are allowed at once.
    pub const fn limit(&self) -> u32 {
        self.limiter.limit()
    }

    /// Calls in flight.
    pub const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Requests in the line.
    pub const fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// How loaded it is for a route with such a line, by name.
    pub fn load(&self, queue_max: u32) -> LoadReason {
        LoadReason::of(self.saturation(queue_max))
    }

    /// Asks for a place: at once where there is room and nobody waits, else in the line.
    pub fn handle_ask(&mut self, item: T, ask: Ask, now: Time) -> Place {
        if let Shed::Thresholds(_) = ask.shed
            && !ask.shed.admits(ask.class, self.saturation(ask.queue_max))
        {
            return Place::Refused(self.load(ask.queue_max));
        }
        let has_room = self.has_room();
        if has_room && self.queue.is_empty() {
            self.in_flight += 1;
            return Place::Taken;
        }
        // One that only found a line says nothing of the limit.
        self.limited |= !has_room;
        let ticket =
            Ticket { class: ask.class, route: ask.route, max: ask.queue_max as usize, wait_until: ask.wait_until };
        let place = match self.queue.push(item, ticket, now) {
            Pushed::Waits(key) => Place::Waits(key),
            Pushed::Evicted(key, worse) => {
                self.answers.push_back((worse, false));
                Place::Waits(key)
            }
            Pushed::Refused(_) => return Place::Refused(self.load(ask.queue_max)),
        };
        self.dispatch(now);
        place
    }

    /// Leaves the line; whether it was still in it.
    pub fn handle_give_up(&mut self, key: Key) -> bool {
        self.queue.remove(key).is_some()
    }

    /// An answer's first byte came `elapsed` after the call's start, and its end is far.
    pub fn handle_first_byte(&mut self, elapsed: Duration, now: Time) {
        self.begun += 1;
        self.slice.record_first_byte(elapsed, self.limiter.signal());
        self.settle_if_due(now);
    }

    /// A call has ended; without a sample nothing is learnt. `begun`: its first byte was told.
    pub fn handle_end(&mut self, sample: Option<&Sample>, begun: bool, now: Time) {
        let in_flight = self.in_flight;
        self.in_flight = in_flight.saturating_sub(1);
        self.begun -= u32::from(begun && self.begun > 0);
        if let Some(sample) = sample {
            self.slice.record(sample, in_flight, self.limiter.signal());
            self.settle_if_due(now);
        }
        self.dispatch(now);
    }

    /// Hands what was counted to the limiter. Answers do this every 10 ms by themselves; a timer should as well.
    pub fn handle_timeout(&mut self, now: Time) {
        self.settle(now);
        self.dispatch(now);
    }

    /// Whoever waited and is called (`true`) or turned away.
    pub fn poll_answer(&mut self) -> Option<(T, bool)> {
        self.answers.pop_front()
    }

    /// The last change of the limit that nobody fetched.
    pub fn poll_change(&mut self) -> Option<LimitChange> {
        self.change.take()
    }

    fn settle_if_due(&mut self, now: Time) {
        if now >= self.settle_at {
            self.settle(now);
        }
    }

    fn settle(&mut self, now: Time) {
        self.settle_at = now + SETTLE;
        self.slice.in_flight = self.in_flight;
        self.slice.begun = self.begun;
        self.slice.in_flight_max = self.slice.in_flight_max.max(self.in_flight);
        self.slice.limited = std::mem::take(&mut self.limited);
        if let Some(change) = self.limiter.handle_window(&self.slice, now) {
            self.change = Some(change);
        }
        self.slice.clear();
    }

    fn dispatch(&mut self, now: Time) {
        while self.has_room() {
            match self.queue.pop(now) {
                Some(Popped::Call(item)) => {
                    self.in_flight += 1;
                    self.answers.push_back((item, true));
                }
                Some(Popped::Expired(item)) => self.answers.push_back((item, false)),
                None => return,
            }
        }
    }

    const fn has_room(&self) -> bool {
        self.in_flight < self.limiter.limit()
    }

    fn saturation(&self, queue_max: u32) -> f64 {
        let waiting = u32::try_from(self.queue.len()).unwrap_or(u32::MAX);
        saturation(self.in_flight, waiting, self.limiter.limit(), queue_max)
    }
}

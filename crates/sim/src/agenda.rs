//! What happens next: a heap of events, and a line of timers.
//!
//! Most timers are set for the same time ahead and never fire. They come in order, so that a line holds them at no cost;
//! one that does not goes into the heap.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use mainstay_core::time::Time;

/// An event. Indices are small on purpose: an event is copied often.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Event {
    /// A group of users asks; the number is that of its rate, an old one counts no more.
    Arrival(u32, u32),
    /// A visit asks again after what it was told.
    Return(u32),
    /// A call that a fault on purpose held up is made.
    Late { visit: u32, turn: u32 },
    /// A call that a fault on purpose keeps from being made is over.
    Hit { visit: u32, turn: u32 },
    /// A server has finished a call.
    Served { backend: u32, call: u32 },
    /// The next request of a recording comes.
    Taped(u32),
    /// A call of a recording has ended well.
    Ends { visit: u32, turn: u32 },
    /// A backend answers a call by an error.
    Fails { visit: u32, turn: u32 },
    /// An engine's step has ended.
    Step(u32),
    /// A first token that was held back is there.
    First { visit: u32, turn: u32 },
    /// The rest of such an answer is; whether it lost its place on the way.
    Whole { visit: u32, turn: u32, preempted: bool },
    /// A call's time, or the time until it is slow, is over.
    Overdue { visit: u32, turn: u32 },
    /// A call that may be hedged is late.
    Hedge { visit: u32, turn: u32 },
    /// A visit has waited in the line as long as it could.
    Unadmitted { visit: u32, turn: u32 },
    /// A pause before a retry is over.
    Retry { visit: u32, turn: u32 },
    /// A feature store has answered.
    Fetched { visit: u32, turn: u32 },
    /// A feature store has failed.
    FetchFails { visit: u32, turn: u32 },
    /// A retrieval's time is over.
    FetchOver { visit: u32, turn: u32 },
    /// Machines are settled and ladders judged.
    Settle,
    /// A backend is asked whether it is well.
    Check(u32),
    /// A feature store is.
    CheckStore(u32),
    /// A deploy goes on with its next step.
    Deploy(u32, u32),
    /// Those who watch look at what happened.
    Look,
    /// The script's next happening.
    Script(u32),
    /// A span begins or ends.
    Span,
    /// Figures of a curve.
    Sample,
}

impl Event {
    /// Whether requests that are under way need it to end.
    pub(crate) const fn is_of_requests(self) -> bool {
        match self {
            Event::Late { .. }
            | Event::Hit { .. }
            | Event::Served { .. }
            | Event::Ends { .. }
            | Event::Fails { .. }
            | Event::Step(_)
            | Event::First { .. }
            | Event::Whole { .. }
            | Event::Overdue { .. }
            | Event::Hedge { .. }
            | Event::Unadmitted { .. }
            | Event::Retry { .. }
            | Event::Fetched { .. }
            | Event::FetchFails { .. }
            | Event::FetchOver { .. }
            | Event::Settle => true,
            Event::Arrival(..)
            | Event::Taped(_)
            | Event::Return(_)
            | Event::Check(_)
            | Event::CheckStore(_)
            | Event::Deploy(..)
            | Event::Look
            | Event::Script(_)
            | Event::Span
            | Event::Sample => false,
        }
    }
}

type Entry = (Time, u64, Event);

/// Events in order of time; those of one time in the order in which they were added.
#[derive(Default)]
pub(crate) struct Agenda {
    heap: BinaryHeap<Reverse<Entry>>,
    timers: VecDeque<Entry>,
    added: u64,
}

impl Agenda {
    pub(crate) fn add(&mut self, at: Time, event: Event) {
        self.added += 1;
        self.heap.push(Reverse((at, self.added, event)));
    }

    /// As [`Agenda::add`], for a timer that is likely to be later than all before it.
    pub(crate) fn add_timer(&mut self, at: Time, event: Event) {
        if self.timers.back().is_some_and(|(last, ..)| at < *last) {
            return self.add(at, event);
        }
        self.added += 1;
        self.timers.push_back((at, self.added, event));
    }

    pub(crate) fn next(&mut self) -> Option<(Time, Event)> {
        let timer = self.timers.front().map(|(at, order, _)| (*at, *order));
        let other = self.heap.peek().map(|Reverse((at, order, _))| (*at, *order));
        let entry = match (timer, other) {
            (Some(timer), Some(other)) if timer < other => self.timers.pop_front(),
            (Some(_), None) => self.timers.pop_front(),
            (_, Some(_)) => self.heap.pop().map(|Reverse(entry)| entry),
            (None, None) => None,
        };
        entry.map(|(at, _, event)| (at, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_order_of_time_then_of_adding() {
        let mut agenda = Agenda::default();
        let at = Time::from_millis;
        agenda.add_timer(at(5), Event::Check(0));
        agenda.add(at(5), Event::Check(1));
        agenda.add_timer(at(3), Event::Check(2));
        agenda.add_timer(at(5), Event::Check(3));
        agenda.add(at(4), Event::Check(4));
        let order: Vec<Event> = std::iter::from_fn(|| agenda.next()).map(|(_, event)| event).collect();
        assert_eq!(order, [2, 4, 0, 1, 3].map(Event::Check));
    }
}

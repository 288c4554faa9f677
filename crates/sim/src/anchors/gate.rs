//! A place at a backend: by the core's limit and line, or by an anchor.

use std::time::Duration;

use mainstay_core::resilience::admission::{Admission, Ask, Place};
use mainstay_core::resilience::limiter::{Config, LimitChange, MAX_LIMIT, Sample};
use mainstay_core::resilience::queue::{Key, LoadReason};
use mainstay_core::time::Time;

use super::{Anchor, Ended, Rule, is_let_in, mission};

/// What decides who has a place.
pub(crate) enum Gate {
    /// What production runs.
    Core(Box<Admission<u32>>),
    /// Something to compare with.
    Anchor(Box<Anchored>),
}

/// A limit without a line.
pub(crate) struct Anchored {
    rule: Rule,
    shedder: Option<mission::Shedder>,
    in_flight: u32,
    /// Of these, calls whose first byte came.
    begun: u32,
    limited: bool,
}

impl Gate {
    pub(crate) fn new(config: Config, anchor: Option<Anchor>, now: Time) -> Gate {
        match anchor {
            None => Gate::Core(Box::new(Admission::new(config, now))),
            Some(anchor) => {
                let (rule, shedder) = Rule::new(anchor, now);
                Gate::Anchor(Box::new(Anchored { rule, shedder, in_flight: 0, begun: 0, limited: false }))
            }
        }
    }

    pub(crate) fn limit(&self) -> u32 {
        match self {
            Gate::Core(admission) => admission.limit(),
            Gate::Anchor(anchored) => anchored.rule.limit().min(f64::from(MAX_LIMIT)) as u32,
        }
    }

    /// Requests in the line.
    pub(crate) fn waiting(&self) -> usize {
        match self {
            Gate::Core(admission) => admission.waiting(),
            Gate::Anchor(_) => 0,
        }
    }

    /// Whether one more call is let in.
    pub(crate) fn has_room(&self) -> bool {
        match self {
            Gate::Core(admission) => admission.in_flight() < admission.limit(),
            Gate::Anchor(anchored) => f64::from(anchored.in_flight) < anchored.rule.limit(),
        }
    }

    pub(crate) fn handle_ask(&mut self, item: u32, ask: Ask, now: Time) -> Place {
        match self {
            Gate::Core(admission) => admission.handle_ask(item, ask, now),
            Gate::Anchor(anchored) => anchored.ask(&ask, now),
        }
    }

    pub(crate) fn handle_give_up(&mut self, key: Key) -> bool {
        match self {
            Gate::Core(admission) => admission.handle_give_up(key),
            Gate::Anchor(_) => false,
        }
    }

    pub(crate) fn handle_first_byte(&mut self, elapsed: Duration, now: Time) {
        match self {
            Gate::Core(admission) => admission.handle_first_byte(elapsed, now),
            Gate::Anchor(anchored) => {
                anchored.begun += 1;
                if let Rule::Own(own) = &mut anchored.rule {
                    let signal = own.0.signal();
                    own.1.record_first_byte(elapsed, signal);
                }
            }
        }
    }

    pub(crate) fn handle_end(&mut self, sample: Option<&Sample>, begun: bool, now: Time) {
        match self {
            Gate::Core(admission) => admission.handle_end(sample, begun, now),
            Gate::Anchor(anchored) => {
                anchored.begun = anchored.begun.saturating_sub(u32::from(begun));
                anchored.end(sample, now);
            }
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Time) {
        match self {
            Gate::Core(admission) => admission.handle_timeout(now),
            Gate::Anchor(anchored) => anchored.tick(now),
        }
    }

    pub(crate) fn poll_answer(&mut self) -> Option<(u32, bool)> {
        match self {
            Gate::Core(admission) => admission.poll_answer(),
            Gate::Anchor(_) => None,
        }
    }

    pub(crate) fn poll_change(&mut self) -> Option<LimitChange> {
        match self {
            Gate::Core(admission) => admission.poll_change(),
            Gate::Anchor(_) => None,
        }
    }
}

impl Anchored {
    fn ask(&mut self, ask: &Ask, now: Time) -> Place {
        self.rule.tick(self.in_flight, now);
        let has_room = f64::from(self.in_flight) < self.rule.limit().floor();
        self.limited |= !has_room;
        if has_room && is_let_in(&mut self.shedder, ask.class, now) {
            self.in_flight += 1;
            return Place::Taken;
        }
        Place::Refused(LoadReason::Extreme)
    }

    fn end(&mut self, sample: Option<&Sample>, now: Time) {
        let in_flight = self.in_flight;
        self.in_flight = in_flight.saturating_sub(1);
        let Some(sample) = sample else { return };
        self.rule.ended(&Ended::of(sample, in_flight, now));
        if let Rule::Own(own) = &mut self.rule {
            let signal = own.0.signal();
            own.1.record(sample, in_flight, signal);
        }
    }

    fn tick(&mut self, now: Time) {
        self.rule.tick(self.in_flight, now);
        let Rule::Own(own) = &mut self.rule else { return };
        let (limiter, slice) = &mut **own;
        (slice.in_flight, slice.begun) = (self.in_flight, self.begun);
        slice.in_flight_max = slice.in_flight_max.max(self.in_flight);
        slice.limited = std::mem::take(&mut self.limited);
        limiter.handle_window(slice, now);
        slice.clear();
    }
}

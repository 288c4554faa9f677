//! A call under way, and what is told of it to whoever let it pass.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use mainstay_core::resilience::breaker::Ticket;
use mainstay_core::resilience::keys;
use mainstay_core::resilience::limiter::Sample;
use mainstay_core::resilience::outcome::Outcome;
use mainstay_core::rng::Rng;
use mainstay_core::time::Time;
use mainstay_tower::breaker::Guard;
use mainstay_tower::clock::Clock;
use mainstay_tower::limit::Permit;

use crate::shared::{Awaits, BackendShared, InGroup, KeyInUse, Pace, Shared};

/// A call under way: what it holds at its backend. Dropped without an outcome it was cancelled.
pub(crate) struct Flight {
    backend: Arc<BackendShared>,
    ticket: Option<Ticket>,
    /// What its backend's group learns of it.
    group: Option<InGroup>,
    permit: Option<Permit>,
    endpoint: usize,
    clock: Clock,
    began: Time,
    first_byte: Option<Duration>,
    /// The backend said that it has too much to do.
    pub(super) overloaded: bool,
    /// The key of ours that it bears.
    key: Option<KeyInUse>,
    /// It bears the caller's own credential: what is wrong with that is not the backend's doing.
    borrowed: bool,
    /// Who is told when its answer begins.
    pace: Option<Rc<Pace>>,
}

/// A call that asks to be let through to its backend.
pub(crate) struct Departing {
    pub(crate) backend: usize,
    /// The same for all attempts of its request.
    pub(crate) request: u64,
    /// Its place at the backend.
    pub(crate) permit: Permit,
    /// It bears the caller's own credential.
    pub(crate) borrowed: bool,
    /// The endpoint that it is not to go to, where there is another one.
    pub(crate) avoid: Option<usize>,
    /// The key that it is not to bear.
    pub(crate) avoid_key: Option<usize>,
}

impl Flight {
    /// Lets a call pass: there has to be a key for it, and its backend's group and breaker let it through. What one of them has given when
    /// another refuses is given back. `Err`: who refused, in one word.
    pub(crate) fn pass(shared: &Shared, call: Departing, rng: &mut Rng, began: Time) -> Result<Flight, &'static str> {
        let Departing { backend: at, request, permit, borrowed, avoid, avoid_key } = call;
        let (backend, clock) = (Arc::clone(&shared.backends[at]), shared.clock);
        let key = shared.keys[at].pick(avoid_key, began).map_err(|()| "keys_rest")?;
        let unused = || key.iter().for_each(KeyInUse::unused);
        let Ok(group) = shared.groups.admit(at, request, clock) else {
            unused();
            return Err("group_open");
        };
        let Ok(ticket) = backend.breaker.admit(request, began) else {
            unused();
            return Err("breaker_open");
        };
        let endpoint = backend.enter(rng, avoid, began);
        let (ticket, permit) = (Some(ticket), Some(permit));
        let (first_byte, overloaded, pace) = (None, false, None);
        Ok(Flight {
            backend,
            ticket,
            group,
            permit,
            endpoint,
            clock,
            began,
            first_byte,
            overloaded,
            key,
            borrowed,
            pace,
        })
    }

    /// The call is not made after all.
    pub(crate) fn unmade(mut self) {
        self.key.take().iter().for_each(KeyInUse::unused);
    }

    /// The same for a call that may be hedged.
    pub(crate) fn paced(mut self, pace: Rc<Pace>) -> Flight {
        self.pace = Some(pace);
        self
    }

    /// Where it goes.
    pub(crate) const fn endpoint(&self) -> usize {
        self.endpoint
    }

    /// The key of ours that it bears.
    pub(crate) const fn key(&self) -> Option<&KeyInUse> {
        self.key.as_ref()
    }

    /// When the call was made.
    pub(crate) const fn began(&self) -> Time {
        self.began
    }

    /// The call has ended.
    pub(crate) fn finish(self, outcome: Outcome) {
        let now = self.clock.now();
        self.finish_at(outcome, None, now);
    }

    /// The call has ended; `fault` is what is wrong with its key.
    pub(crate) fn finish_with(self, outcome: Outcome, fault: Option<keys::Fault>) {
        let now = self.clock.now();
        self.finish_at(outcome, fault, now);
    }

    pub(super) fn finish_at(mut self, outcome: Outcome, fault: Option<keys::Fault>, now: Time) {
        self.end(outcome, fault, now);
    }

    fn end(&mut self, outcome: Outcome, fault: Option<keys::Fault>, now: Time) {
        let Some(ticket) = self.ticket.take() else { return };
        let outcome = match (self.key.take(), fault) {
            (Some(key), fault) => key.report(outcome, fault, now),
            (None, Some(fault)) if self.borrowed => self.backend.without_callers_fault(fault),
            (None, _) => outcome,
        };
        if let Some(group) = self.group.take() {
            // What is wrong with a key is no other member's business.
            group.finish(if fault.is_some() { Outcome::Cancelled } else { outcome });
        }
        self.backend.learn(ticket, outcome, fault, now);
        self.backend.leave(self.endpoint, outcome, now);
        let Some(permit) = self.permit.take() else { return };
        let Some(dropped) = outcome.bears_on_limit(self.overloaded) else { return drop(permit) };
        permit.finish(Sample { latency: now.since(self.began), first_byte: self.first_byte, dropped }, now);
    }

    /// When the call becomes slow.
    pub(super) fn slow_at(&self) -> Time {
        self.began + self.backend.breaker.slow_after()
    }

    /// The call has become slow.
    pub(super) fn slow(&mut self) {
        if let Some(ticket) = &mut self.ticket {
            self.backend.breaker.slow(ticket, self.clock.now());
        }
        self.group.iter_mut().for_each(Guard::slow);
    }

    /// The answer's head came.
    pub(super) fn head_came(&mut self, status: StatusCode) {
        let now = self.clock.now();
        self.first_byte = Some(now.since(self.began));
        self.overloaded = matches!(status.as_u16(), 503 | 529);
        if let Some(pace) = self.pace.as_ref().filter(|_| status.is_success()) {
            pace.begins(Awaits::Head, now.since(self.began), now);
        }
        if let Some(ticket) = &mut self.ticket {
            self.backend.breaker.answer_began(ticket, now);
        }
        self.group.iter_mut().for_each(Guard::answer_began);
    }

    /// The first part of a relayed answer came: a limit on the time to first token learns of it before the end.
    pub(crate) fn first_part_came(&mut self) {
        let now = self.clock.now();
        if let Some(permit) = &mut self.permit {
            permit.first_byte(now.since(self.began), now);
        }
        if let Some(pace) = &self.pace {
            pace.begins(Awaits::Token, now.since(self.began), now);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.ticket.is_some() {
            self.end(Outcome::Cancelled, None, self.clock.now());
        }
    }
}

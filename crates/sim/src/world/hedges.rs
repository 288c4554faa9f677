//! A second call beside one that is late, as in the gateway's pipeline.

use std::time::Duration;

use mainstay_core::resilience::admission::{Ask, Place};
use mainstay_core::resilience::breaker::Phase;
use mainstay_core::resilience::hedge::{Capacity, LEFT_MIN};
use mainstay_core::resilience::outcome::Outcome;
use mainstay_core::resilience::permit::Mode;

use super::World;
use super::asking::pass;
use crate::agenda::Event;
use crate::gateway::{At, Backend, Other};
use crate::servers::Owner;

/// Tells turns of the two calls of a visit apart.
const OTHER: u32 = 1 << 31;

impl World<'_> {
    /// A first call is made: it may become late.
    pub(super) fn call_is_made(&mut self, index: u32) {
        let (now, visit) = (self.now, &mut self.visits[index as usize]);
        visit.is_hedge = false;
        let Some(hedge) = &mut self.routes[visit.route as usize].hedges[visit.entry] else { return };
        if visit.avoid.is_some() {
            return;
        }
        hedge.handle_call(now);
        let late_at = hedge.delay(Capacity::Spare, now).map(|delay| now + delay);
        if let Some(at) = late_at.filter(|at| *at + LEFT_MIN < visit.until) {
            self.agenda.add(at, Event::Hedge { visit: index, turn: visit.turn });
        }
    }

    /// The answer of the call at hand begins: it has won where there are two.
    pub(super) fn answer_begins(&mut self, index: u32, took: Duration) {
        let (now, visit) = (self.now, &self.visits[index as usize]);
        if let Some(hedge) = &mut self.routes[visit.route as usize].hedges[visit.entry] {
            hedge.handle_latency(took, now);
        }
        self.cancel_other(index);
    }

    pub(super) fn call_is_late(&mut self, index: u32, turn: u32) {
        let visit = &self.visits[index as usize];
        let waits = matches!(visit.at, At::Call { first: None, .. });
        if visit.turn != turn || !waits || visit.other.is_some() {
            return;
        }
        let plan = &self.drill.plan;
        let own = visit.backend;
        if !self.backends[own].as_ref().is_some_and(is_spare) {
            return;
        }
        let found = plan.routes[visit.route as usize].beside(visit.entry, &plan.backends).find_map(|entry| {
            let at = plan.routes[visit.route as usize].ladder[entry].answer.asked()?.backend.0;
            let backend = self.backends[at].as_ref().filter(|_| self.servers[at].is_some())?;
            let is_apart = self.in_groups.phase(at) == Phase::Closed;
            (is_apart && is_spare(backend) && backend.admission.has_room()).then_some((entry, at))
        });
        if let Some((entry, at)) = found {
            self.hedge(index, entry, at);
        }
    }

    fn hedge(&mut self, index: u32, entry: usize, at: usize) {
        let now = self.now;
        let visit = &mut self.visits[index as usize];
        let route = &mut self.routes[visit.route as usize];
        let Some(hedge) = &mut route.hedges[visit.entry] else { return };
        if !hedge.may_be_late_within(&mut route.retries, Capacity::Spare, now) {
            return;
        }
        let Some(backend) = self.backends[at].as_mut() else { return };
        let shed = self.drill.plan.routes[visit.route as usize].shed;
        let ask = Ask { class: visit.class, route: visit.route, queue_max: 0, shed, wait_until: now };
        let Place::Taken = backend.admission.handle_ask(index, ask, now) else { return };
        let Some((ticket, in_group)) = pass(backend, &mut self.in_groups, at, visit.key, now) else {
            backend.admission.handle_end(None, false, now);
            return self.stirred.push(at);
        };
        let avoid = match &visit.at {
            At::Call { endpoint, .. } if visit.backend == at => Some(*endpoint),
            _ => None,
        };
        let endpoint = match &mut backend.endpoints {
            Some(endpoints) => endpoints.handle_pick_but(avoid, &mut self.rng, now),
            None => 0,
        };
        // Paid for last: what cannot be sent costs nothing, and whoever gave it a place has it back.
        let is_elsewhere = avoid.is_none() || avoid != Some(endpoint) || backend.endpoints.is_none();
        if !is_elsewhere || !hedge.handle_late_within(&mut route.retries, Capacity::Spare, now) {
            backend.breaker.handle_outcome(ticket, Outcome::Cancelled, now);
            self.in_groups.ended(at, in_group, Outcome::Cancelled, now);
            if let Some(endpoints) = &mut backend.endpoints {
                endpoints.handle_outcome(endpoint, Outcome::Cancelled, now);
            }
            backend.admission.handle_end(None, false, now);
            return self.stirred.push(at);
        }
        let slow_at = now + backend.breaker.config().slow_after;
        let turn = visit.turn ^ OTHER;
        let call = At::Call { ticket, in_group, endpoint, began: now, slow: false, held: Duration::ZERO, first: None };
        visit.other = Some(Other { turn, entry, backend: at, at: call, is_hedge: true });
        self.active.iter().for_each(|span| {
            self.spans[*span].called();
            self.spans[*span].hedged();
        });
        self.make_call(at, Owner { visit: index, turn });
        let look = slow_at.min(self.patience(index, now, None));
        self.agenda.add_timer(look, Event::Overdue { visit: index, turn });
    }

    /// The call at hand was sooner than the other one.
    fn cancel_other(&mut self, index: u32) {
        let now = self.now;
        let visit = &mut self.visits[index as usize];
        let Some(Other { entry, backend: at, at: call, is_hedge, .. }) = visit.other.take() else { return };
        let At::Call { ticket, in_group, endpoint, began, first, .. } = call else { return };
        let hedge = &mut self.routes[visit.route as usize].hedges[entry];
        if let Some(hedge) = hedge.as_mut().filter(|_| !is_hedge && first.is_none()) {
            hedge.handle_latency(now.since(began), now);
        }
        let Some(backend) = &mut self.backends[at] else { return };
        backend.breaker.handle_outcome(ticket, Outcome::Cancelled, now);
        self.in_groups.ended(at, in_group, Outcome::Cancelled, now);
        if let Some(endpoints) = &mut backend.endpoints {
            endpoints.handle_outcome(endpoint, Outcome::Cancelled, now);
        }
        backend.admission.handle_end(None, first.is_some(), now);
        self.stirred.push(at);
    }
}

/// Whether nobody waits for a place at a backend, and its breaker is closed.
fn is_spare(backend: &Backend) -> bool {
    backend.breaker.gate().0 == Mode::Pass && backend.admission.waiting() == 0
}

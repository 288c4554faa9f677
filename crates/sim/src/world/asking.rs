//! A request asks for a place at a backend, in the gateway's order: permit (limit, line), breaker, endpoint, call.

use std::time::Duration;

use mainstay_core::resilience::admission::{Ask, Place};
use mainstay_core::resilience::breaker::Ticket;
use mainstay_core::resilience::outcome::Outcome;
use mainstay_core::time::Time;

use super::World;
use crate::agenda::Event;
use crate::gateway::{At, Backend, Tried};
use crate::groups::Groups;
use crate::servers::Owner;

impl World<'_> {
    /// Asks for a place at the backend; `None`: it is under way.
    pub(super) fn ask(&mut self, index: u32) -> Option<Tried> {
        let now = self.now;
        let visit = &mut self.visits[index as usize];
        let at = visit.backend;
        let backend = self.backends[at].as_mut()?;
        if backend.is_shut(now) || self.in_groups.is_shut(at, now) {
            return Some(Tried::Passed);
        }
        let plan = &self.drill.plan.routes[visit.route as usize];
        let wait = if visit.turned_away_by == Some(at) { Duration::ZERO } else { plan.queue.wait };
        let wait_until = visit.until.min(now + wait);
        let ask = Ask {
            class: visit.class,
            route: visit.route,
            queue_max: plan.queue.max as u32,
            shed: plan.shed,
            wait_until,
        };
        match backend.admission.handle_ask(index, ask, now) {
            Place::Taken => self.admitted(index),
            Place::Waits(key) => {
                visit.turn = visit.turn.wrapping_add(1);
                visit.at = At::Line(key);
                self.agenda.add_timer(wait_until, Event::Unadmitted { visit: index, turn: visit.turn });
                self.stirred.push(at);
                None
            }
            Place::Refused(_) => Some(self.refused(index)),
        }
    }

    fn refused(&mut self, index: u32) -> Tried {
        let visit = &mut self.visits[index as usize];
        if let Some(backend) = &self.backends[visit.backend] {
            backend.demand.note(visit.class, false);
        }
        visit.turned_away_by = Some(visit.backend);
        visit.turn = visit.turn.wrapping_add(1);
        visit.at = At::Nowhere;
        Tried::Shed
    }

    /// It has a place: the breaker, the endpoint, the call.
    fn admitted(&mut self, index: u32) -> Option<Tried> {
        let now = self.now;
        let visit = &mut self.visits[index as usize];
        let at = visit.backend;
        let backend = self.backends[at].as_mut().filter(|_| self.servers[at].is_some())?;
        visit.turn = visit.turn.wrapping_add(1);
        visit.at = At::Nowhere;
        backend.demand.note(visit.class, true);
        let latest = &mut self.routes[visit.route as usize].latest[visit.class.index()];
        *latest = visit.began.max(*latest);
        let Some((ticket, in_group)) = pass(backend, &mut self.in_groups, at, visit.key, now) else {
            backend.admission.handle_end(None, false, now);
            self.stirred.push(at);
            return Some(Tried::Passed);
        };
        let probes = backend.breaker.probes();
        if probes > 0 {
            self.active.iter().for_each(|span| self.spans[*span].probes(probes));
        }
        let endpoint = match &mut backend.endpoints {
            Some(endpoints) => endpoints.handle_pick_but(visit.avoid, &mut self.rng, now),
            None => 0,
        };
        visit.at = At::Call { ticket, in_group, endpoint, began: now, slow: false, held: Duration::ZERO, first: None };
        self.active.iter().for_each(|span| self.spans[*span].called());
        let slow_at = now + backend.breaker.config().slow_after;
        let owner = Owner { visit: index, turn: visit.turn };
        self.make_call(at, owner);
        let look = slow_at.min(self.patience(index, now, None));
        self.agenda.add_timer(look, Event::Overdue { visit: index, turn: owner.turn });
        self.call_is_made(index);
        None
    }

    /// Whoever was called from a line, or turned away by it, goes on.
    pub(super) fn answer_lines(&mut self) {
        while let Some(at) = self.stirred.pop() {
            while let Some((index, called)) = self.backends[at].as_mut().and_then(|it| it.admission.poll_answer()) {
                let tried = if called { self.admitted(index) } else { Some(self.refused(index)) };
                if let Some(tried) = tried {
                    self.goes_on(index, tried);
                }
            }
        }
    }

    pub(super) fn unadmitted(&mut self, index: u32, turn: u32) {
        let visit = &self.visits[index as usize];
        let (true, At::Line(key)) = (visit.turn == turn, &visit.at) else { return };
        let left = self.backends[visit.backend].as_mut().is_some_and(|it| it.admission.handle_give_up(*key));
        if left {
            let tried = self.refused(index);
            self.goes_on(index, tried);
        }
    }

    pub(super) fn again(&mut self, index: u32, turn: u32) {
        if self.visits[index as usize].turn == turn
            && let Some(tried) = self.ask(index)
        {
            self.goes_on(index, tried);
        }
    }
}

/// Lets a call pass its backend's breaker and that of its group; `None`: one of them does not.
pub(super) fn pass(
    backend: &mut Backend,
    groups: &mut Groups,
    at: usize,
    key: u64,
    now: Time,
) -> Option<(Ticket, Option<Ticket>)> {
    let in_group = groups.admit(at, key, now).ok()?;
    match backend.breaker.handle_admit(key, now) {
        Ok(ticket) => Some((ticket, in_group)),
        Err(_) => {
            groups.ended(at, in_group, Outcome::Cancelled, now);
            None
        }
    }
}

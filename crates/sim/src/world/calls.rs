//! Calls: how they are made, what becomes of them, and whether they are made again.

use mainstay_core::drill::{self, Model};
use mainstay_core::resilience::breaker::Ticket;
use mainstay_core::resilience::deadline::Deadline;
use mainstay_core::resilience::limiter::Sample;
use mainstay_core::resilience::outcome::{FailureKind, Outcome};
use mainstay_core::resilience::retry::Decision;
use mainstay_core::route::Level;
use mainstay_core::time::Time;

use super::World;
use crate::agenda::Event;
use crate::engine::Progress;
use crate::figures::Ending;
use crate::gateway::{At, Tried};
use crate::servers::Owner;
use crate::upstream::{Sent, Upstream};

impl World<'_> {
    /// A call is made, or meets what keeps it from being made at once.
    pub(super) fn make_call(&mut self, at: usize, owner: Owner) {
        let key = self.visits[owner.visit as usize].key;
        match self.hit_at(drill::Place::Backend(at), key) {
            None => match self.servers[at].as_mut().and_then(Upstream::stalls) {
                None => self.send(at, owner),
                Some(time) => {
                    self.agenda.add(self.now + time, Event::Late { visit: owner.visit, turn: owner.turn });
                }
            },
            Some(hit) => self.disturb(hit, at, owner),
        }
        self.begin_step(at);
    }

    /// A call is made.
    pub(super) fn send(&mut self, at: usize, owner: Owner) {
        let work = self.visits[owner.visit as usize].work;
        let Some(servers) = &mut self.servers[at] else { return };
        match servers.send(owner, work, self.now) {
            Sent::Until(call, end) => self.agenda.add(end, Event::Served { backend: at as u32, call }),
            Sent::Ends(end) => self.agenda.add(end, Event::Ends { visit: owner.visit, turn: owner.turn }),
            Sent::Fails(end) => self.agenda.add(end, Event::Fails { visit: owner.visit, turn: owner.turn }),
            Sent::Waits | Sent::Lost => {}
        }
    }

    /// When a call that began then is given up: of a language model's, the first token is waited for less long.
    pub(super) fn patience(&self, index: u32, began: Time, first: Option<Time>) -> Time {
        let visit = &self.visits[index as usize];
        let plan = &self.drill.plan.routes[visit.route as usize];
        if first.is_none() && plan.protocol.is_of_language_models() {
            let first_by = began + plan.stream.headers.min(plan.stream.first_token);
            return visit.until.min(first_by);
        }
        visit.until
    }

    /// The fault held the call up until now.
    pub(super) fn late(&mut self, index: u32, turn: u32) {
        let visit = &mut self.visits[index as usize];
        if visit.turns_to(turn) {
            let at = visit.backend;
            self.send(at, Owner { visit: index, turn });
            self.begin_step(at);
        }
    }

    /// A server has finished a call.
    pub(super) fn served(&mut self, at: usize, number: u32) {
        let Some(servers) = &mut self.servers[at] else { return };
        let visits = &self.visits;
        let is_wanted = |owner: &Owner| visits[owner.visit as usize].is_of(owner.turn);
        let Some((call, next)) = servers.end(number, self.now, is_wanted) else { return };
        if let Some((number, end)) = next {
            self.agenda.add(end, Event::Served { backend: at as u32, call: number });
        }
        if !call.void && self.visits[call.owner.visit as usize].turns_to(call.owner.turn) {
            let outcome = if call.fails { Outcome::failure(FailureKind::Server) } else { Outcome::Success };
            self.call_ended(call.owner.visit, outcome);
        }
    }

    /// A call of a recording has ended well.
    pub(super) fn ends(&mut self, index: u32, turn: u32) {
        if self.visits[index as usize].turns_to(turn) {
            self.call_ended(index, Outcome::Success);
        }
    }

    /// A backend answers a call by an error.
    pub(super) fn fails(&mut self, index: u32, turn: u32) {
        if self.visits[index as usize].turns_to(turn) {
            self.call_ended(index, Outcome::failure(FailureKind::Server));
        }
    }

    /// An engine's step has ended.
    pub(super) fn step_ended(&mut self, at: usize) {
        let mut progress = std::mem::take(&mut self.progress);
        if let Some(engine) = &mut self.servers[at] {
            engine.end_step(&mut progress);
        }
        for it in progress.drain(..) {
            match it {
                Progress::First(owner) => self.gives_first(at, owner),
                Progress::Done { owner, preempted } => self.gives_last(owner, preempted),
            }
        }
        self.progress = progress;
        self.begin_step(at);
    }

    pub(super) fn begin_step(&mut self, at: usize) {
        let visits = &self.visits;
        let is_wanted = |owner: &Owner| visits[owner.visit as usize].is_of(owner.turn);
        let end = self.servers[at].as_mut().and_then(|engine| engine.begin_step(self.now, is_wanted));
        if let Some(end) = end {
            self.agenda.add(end, Event::Step(at as u32));
        }
    }

    /// An engine has given an answer's first token, which may be held back on its way.
    fn gives_first(&mut self, at: usize, owner: Owner) {
        let visit = &mut self.visits[owner.visit as usize];
        let (true, At::Call { held, .. }) = (visit.turns_to(owner.turn), &mut visit.at) else { return };
        match self.servers[at].as_mut().and_then(Upstream::holds_back) {
            None => self.first_token(owner),
            Some(time) => {
                *held = time;
                self.agenda.add(self.now + time, Event::First { visit: owner.visit, turn: owner.turn });
            }
        }
    }

    /// An engine has given an answer's last token.
    fn gives_last(&mut self, owner: Owner, preempted: bool) {
        let visit = &mut self.visits[owner.visit as usize];
        let (true, At::Call { held, .. }) = (visit.turns_to(owner.turn), &visit.at) else { return };
        if held.is_zero() {
            return self.answer_is_whole(owner, preempted);
        }
        self.agenda.add(self.now + *held, Event::Whole { visit: owner.visit, turn: owner.turn, preempted });
    }

    pub(super) fn first_token(&mut self, owner: Owner) {
        let now = self.now;
        let visit = &mut self.visits[owner.visit as usize];
        let (true, At::Call { ticket, in_group, began, first, .. }) = (visit.turns_to(owner.turn), &mut visit.at)
        else {
            return;
        };
        *first = Some(now);
        let took = now.since(*began);
        ticket.answer_began();
        in_group.iter_mut().for_each(Ticket::answer_began);
        if let Some(backend) = &mut self.backends[visit.backend] {
            backend.admission.handle_first_byte(now.since(*began), now);
        }
        let waited = now.since(visit.began);
        self.active.iter().for_each(|span| self.spans[*span].first_token(waited));
        self.answer_begins(owner.visit, took);
    }

    pub(super) fn answer_is_whole(&mut self, owner: Owner, preempted: bool) {
        if self.visits[owner.visit as usize].turns_to(owner.turn) {
            self.active.iter().for_each(|span| self.spans[*span].generated(preempted));
            self.call_ended(owner.visit, Outcome::Success);
        }
    }

    /// Whether an answer was as callers were promised: of an engine, in time from the first token to the last.
    fn is_promise_kept(&self, index: u32, first: Option<Time>) -> bool {
        let visit = &self.visits[index as usize];
        match (&self.drill.models[visit.backend], first) {
            (Some(Model::Engine(engine)), Some(first)) => {
                let (waited, rest) = (first.since(visit.began), self.now.since(first));
                engine.promise.is_kept(visit.work.prompt, waited, visit.work.output, rest)
            }
            _ => true,
        }
    }

    /// A call is slow, or its time is over.
    pub(super) fn overdue(&mut self, index: u32, turn: u32) {
        let now = self.now;
        let visit = &mut self.visits[index as usize];
        if !visit.turns_to(turn) {
            return;
        }
        let at = visit.backend;
        let At::Call { ticket, in_group, began, slow, first, .. } = &mut visit.at else { return };
        let Some(backend) = &mut self.backends[at] else { return };
        if !*slow && now >= *began + backend.breaker.config().slow_after {
            *slow = true;
            backend.breaker.handle_slow(ticket, now);
            self.in_groups.slow(at, in_group, now);
        }
        let (began, first) = (*began, *first);
        let until = self.patience(index, began, first);
        if now < until {
            self.agenda.add_timer(until, Event::Overdue { visit: index, turn });
            return self.report_breaker(at);
        }
        let kind = if first.is_some() { FailureKind::BrokenStream } else { FailureKind::Timeout };
        self.call_ended(index, Outcome::failure(kind));
    }

    /// A backend is gone: calls to it break off.
    pub(super) fn calls_break(&mut self, at: usize) {
        for index in 0..self.visits.len() as u32 {
            let visit = &mut self.visits[index as usize];
            let of_other = visit.other.as_ref().is_some_and(|other| other.backend == at);
            let of_first = visit.backend == at && matches!(visit.at, At::Call { .. });
            if of_other && !of_first {
                visit.swap();
            }
            for _ in 0..u32::from(of_other) + u32::from(of_first) {
                self.call_ended(index, Outcome::failure(FailureKind::Transport));
            }
        }
    }

    pub(super) fn call_ended(&mut self, index: u32, outcome: Outcome) {
        let now = self.now;
        let visit = &mut self.visits[index as usize];
        let at = visit.backend;
        visit.turn = visit.turn.wrapping_add(1);
        let At::Call { ticket, in_group, endpoint, began, first, .. } = std::mem::replace(&mut visit.at, At::Nowhere)
        else {
            return;
        };
        visit.took = now.since(began);
        visit.first = first.map(|first| first.since(visit.began));
        let Some(backend) = &mut self.backends[at] else { return };
        // What is due is no doing of this result.
        backend.breaker.handle_timeout(now);
        let (generation, stale) = (backend.breaker.generation(), ticket.generation() != backend.breaker.generation());
        backend.breaker.handle_outcome(ticket, outcome, now);
        self.in_groups.ended(at, in_group, outcome, now);
        if stale {
            let moved = backend.breaker.generation() != generation;
            self.active.iter().for_each(|span| self.spans[*span].stale(moved));
        }
        if let Some(endpoints) = &mut backend.endpoints {
            endpoints.handle_outcome(endpoint, outcome, now);
        }
        let sample = outcome.bears_on_limit(false);
        let took = now.since(began);
        let sample = sample.map(|dropped| Sample { latency: now.since(began), first_byte: None, dropped });
        backend.admission.handle_end(sample.as_ref(), first.is_some(), now);
        self.stirred.push(at);
        if outcome == Outcome::Success && first.is_none() {
            self.answer_begins(index, took);
        }
        let visit = &mut self.visits[index as usize];
        if outcome == Outcome::Success {
            if visit.is_hedge {
                self.active.iter().for_each(|span| self.spans[*span].hedge_won());
            }
            self.active.iter().for_each(|span| self.spans[*span].call_went_well(now.since(began)));
            let level = self.drill.plan.routes[visit.route as usize].ladder[visit.entry].level;
            let good = level == Level::FULL && self.is_promise_kept(index, first);
            return self.finish(index, Ending::Answered { level, good });
        }
        visit.avoid = Some(endpoint);
        self.active.iter().for_each(|span| self.spans[*span].call_failed());
        self.report_breaker(at);
        let visit = &mut self.visits[index as usize];
        if visit.other.is_some() {
            // The answer is left to the other call.
            visit.swap();
            visit.other = None;
            return;
        }
        match self.retry_at(index, outcome) {
            Some(at) => {
                let visit = &mut self.visits[index as usize];
                visit.at = At::Pause;
                self.agenda.add(at, Event::Retry { visit: index, turn: visit.turn });
            }
            None => self.goes_on(index, Tried::Passed),
        }
    }

    /// When a failed call is made again.
    fn retry_at(&mut self, index: u32, outcome: Outcome) -> Option<Time> {
        let visit = &mut self.visits[index as usize];
        let route = visit.route as usize;
        // A language model that says nothing says nothing the next time either.
        let language = self.drill.plan.routes[route].protocol.is_of_language_models();
        if language && matches!(outcome, Outcome::Failure { kind: FailureKind::Timeout, .. }) {
            return None;
        }
        let budget = &mut self.routes[route].retries;
        match visit.retry.handle_outcome(outcome, Deadline { at: visit.until }, budget, self.now) {
            Decision::Retry { at } => Some(at),
            Decision::Stop(_) => None,
        }
    }
}

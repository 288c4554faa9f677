//! One request's way through the machines, in the gateway's order: permit (limit, line), breaker, endpoint, call; retries.

use std::time::Duration;

use mainstay_core::drill::{self, Disturbance, Hit, Model};
use mainstay_core::resilience::admission::{Ask, Place};
use mainstay_core::resilience::breaker::Ticket;
use mainstay_core::resilience::deadline::Deadline;
use mainstay_core::resilience::ladder::{Step, Walk};
use mainstay_core::resilience::limiter::Sample;
use mainstay_core::resilience::outcome::{FailureKind, Outcome};
use mainstay_core::resilience::retry::{Decision, Policy, Retry};
use mainstay_core::rng::Rng;
use mainstay_core::route::{Class, Level};
use mainstay_core::time::Time;

use super::fetching::Provided;
use super::{Returning, World};
use crate::agenda::Event;
use crate::engine::{Progress, Work};
use crate::figures::{Ended, Ending};
use crate::gateway::{At, Backend, Tried, Visit, answers};
use crate::groups::Groups;
use crate::servers::Owner;
use crate::tape::Done;
use crate::upstream::{ERROR, Sent, Upstream};

impl World<'_> {
    pub(super) fn arrival(&mut self, index: u32, turn: u32) {
        let group = &mut self.groups[index as usize];
        if group.turn != turn {
            return;
        }
        let class = group.class();
        self.next_arrival(index);
        self.begins(index, class, 0, None);
    }

    /// The next request of a recording; there is a group of users for each route.
    pub(super) fn taped(&mut self, index: u32) {
        if let Some(taped) = self.tape.and_then(|tape| tape.requests.get(index as usize)) {
            self.begins(taped.route as u32, taped.class, 0, taped.confidence);
        }
        self.next_taped(index + 1);
    }

    pub(super) fn comes_back(&mut self, index: u32) {
        let Returning { group, class, nth } = self.returning[index as usize];
        self.returned.push(index);
        self.begins(group, class, nth, None);
    }

    /// A request has come.
    fn begins(&mut self, group: u32, class: Class, nth: u32, confidence: Option<f64>) {
        let (now, entries) = (self.now, self.entries);
        let at = self.groups[group as usize].route;
        let plan = &self.drill.plan.routes[at];
        let route = &mut self.routes[at];
        route.retries.handle_admitted(1.0, now);
        let start = route.ladder.level();
        let deadline = now + plan.deadline;
        let key = self.rng.next_u64();
        let mut walk = Walk::new(&entries[at], start, deadline, now);
        if let Some(probe) = route.probe(key, &entries[at], &self.backends, &self.in_groups, &self.stores) {
            walk = walk.with_probe(probe);
        }
        self.requests += 1;
        self.curves.came();
        let work = match self.drill.first_model(at) {
            Some(Model::Engine(engine)) => Work::of(engine, key),
            Some(Model::Servers(_)) | None => Work { prompt: 0, output: 0 },
        };
        for span in &self.active {
            self.spans[*span].came(class, nth > 0, start, work.output);
            if start > Level::FULL {
                self.spans[*span].noticed(now);
            }
        }
        let visit = Visit {
            turn: 0,
            group,
            route: at as u32,
            nth,
            class,
            began: now,
            deadline,
            key,
            work,
            walk,
            entry: 0,
            backend: 0,
            until: now,
            retry: Retry::new(Policy::default(), 1.0, key),
            took: Duration::ZERO,
            first: None,
            used: None,
            confidence,
            avoid: None,
            turned_away_by: None,
            at: At::Nowhere,
            is_hedge: false,
            other: None,
        };
        let index = match self.free.pop() {
            Some(index) => {
                let slot = &mut self.visits[index as usize];
                // Turns of a slot go on: timers of the request before mean nothing to this one.
                *slot = Visit { turn: slot.turn.wrapping_add(1), ..visit };
                index
            }
            None => {
                self.visits.push(visit);
                (self.visits.len() - 1) as u32
            }
        };
        self.descend(index);
    }

    /// Goes down the ladder until something answers, or is asked.
    fn descend(&mut self, index: u32) {
        loop {
            let visit = &mut self.visits[index as usize];
            let plan = &self.drill.plan.routes[visit.route as usize];
            match visit.walk.next(self.now) {
                Step::Remote { entry, timeout } => {
                    let Some(asked) = plan.ladder[entry].answer.asked() else { continue };
                    let attempts = self.drill.plan.backends[asked.backend.0].attempts;
                    (visit.entry, visit.backend) = (entry, asked.backend.0);
                    (visit.until, visit.avoid, visit.used) = (self.now + timeout, None, None);
                    visit.retry = Retry::new(Policy { attempts, ..Policy::default() }, 1.0, visit.key);
                    match asked.features.map(|(set, mode)| self.provide(index, set.0, mode)) {
                        None | Some(Provided::Ready) => {}
                        Some(Provided::UnderWay) => return,
                        Some(Provided::Missing) => continue,
                    }
                    match self.ask(index) {
                        None => return,
                        Some(tried) if self.is_over(index, tried) => return,
                        Some(_) => {}
                    }
                }
                Step::Local { entry } => {
                    if answers(&plan.ladder[entry].answer) {
                        let level = plan.ladder[entry].level;
                        return self.finish(index, Ending::Answered { level, good: false });
                    }
                }
                Step::Exhausted => return self.finish(index, Ending::Failed),
            }
        }
    }

    /// An entry had no answer: the request ends here where its route sheds rather than degrades.
    fn is_over(&mut self, index: u32, tried: Tried) -> bool {
        let visit = &self.visits[index as usize];
        let (route, entry) = (visit.route as usize, visit.entry);
        let next = self.entries[route].get(entry + 1).map(|entry| entry.level);
        let sheds = tried == Tried::Shed && self.drill.plan.routes[route].sheds_before(next);
        if sheds {
            self.finish(index, Ending::Shed);
        }
        sheds
    }

    /// An entry that was under way had no answer.
    pub(super) fn goes_on(&mut self, index: u32, tried: Tried) {
        if !self.is_over(index, tried) {
            self.descend(index);
        }
    }

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
        visit.at = At::Call { ticket, in_group, endpoint, began: now, slow: false, first: None };
        self.active.iter().for_each(|span| self.spans[*span].called());
        let slow_at = now + backend.breaker.config().slow_after;
        let owner = Owner { visit: index, turn: visit.turn };
        self.make_call(at, owner);
        let look = slow_at.min(self.patience(index, now, None));
        self.agenda.add_timer(look, Event::Overdue { visit: index, turn: owner.turn });
        self.call_is_made(index);
        None
    }

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

    /// A call is made.
    fn send(&mut self, at: usize, owner: Owner) {
        let work = self.visits[owner.visit as usize].work;
        let Some(servers) = &mut self.servers[at] else { return };
        match servers.send(owner, work, self.now) {
            Sent::Until(call, end) => self.agenda.add(end, Event::Served { backend: at as u32, call }),
            Sent::Ends(end) => self.agenda.add(end, Event::Ends { visit: owner.visit, turn: owner.turn }),
            Sent::Fails(end) => self.agenda.add(end, Event::Fails { visit: owner.visit, turn: owner.turn }),
            Sent::Waits | Sent::Lost => {}
        }
    }

    /// What the fault on purpose does to a request's calls there.
    pub(super) fn hit_at(&self, place: drill::Place, key: u64) -> Option<Hit> {
        self.disturbed.filter(|(at, fault)| *at == place && is_hit(key, fault)).map(|(_, fault)| fault.hit)
    }

    /// A request meets the fault.
    pub(super) fn is_injected(&mut self) {
        self.active.iter().for_each(|span| self.spans[*span].injected());
    }

    /// A call meets a fault on purpose.
    fn disturb(&mut self, hit: Hit, at: usize, owner: Owner) {
        let (Owner { visit, turn }, now) = (owner, self.now);
        // The first call of a ladder's entry: a request counts once.
        if self.visits[visit as usize].avoid.is_none() {
            self.is_injected();
        }
        match hit {
            Hit::Ends(_) => self.agenda.add(now + ERROR, Event::Hit { visit, turn }),
            Hit::Later(delay) => self.agenda.add(now + delay.draw(&mut self.rng), Event::Late { visit, turn }),
            // Of what feature stores answer.
            Hit::Older(_) | Hit::Missing { .. } => self.send(at, owner),
        }
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

    /// The fault has answered in the backend's place.
    pub(super) fn hit(&mut self, index: u32, turn: u32) {
        if self.visits[index as usize].turns_to(turn) {
            let outcome = match self.disturbed {
                Some((_, Disturbance { hit: Hit::Ends(outcome), .. })) => outcome,
                _ => Outcome::failure(FailureKind::Server),
            };
            self.call_ended(index, outcome);
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
            self.call_ended(call.owner.visit, Outcome::Success);
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
                Progress::First(owner) => self.first_token(owner),
                Progress::Done { owner, preempted } => self.answer_is_whole(owner, preempted),
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

    fn first_token(&mut self, owner: Owner) {
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

    fn answer_is_whole(&mut self, owner: Owner, preempted: bool) {
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

    pub(super) fn again(&mut self, index: u32, turn: u32) {
        if self.visits[index as usize].turn == turn
            && let Some(tried) = self.ask(index)
        {
            self.goes_on(index, tried);
        }
    }

    /// The backend that answered at a level.
    pub(super) fn answered_by(&self, index: u32, level: Level) -> Option<usize> {
        let visit = &self.visits[index as usize];
        let entry = self.drill.plan.routes[visit.route as usize].ladder.get(visit.entry)?;
        // A walk ends at a local entry, or at the backend that it asked last.
        let asked = (entry.level == level && !visit.took.is_zero()).then(|| entry.answer.asked())??;
        Some(asked.backend.0)
    }

    fn done_of(&self, index: u32, ending: Ending) -> Done {
        let visit = &self.visits[index as usize];
        let (level, shed) = match ending {
            Ending::Answered { level, .. } => (Some(level), false),
            Ending::Shed => (None, true),
            Ending::Failed => (None, false),
        };
        let backend = level.and_then(|level| self.answered_by(index, level));
        Done {
            route: visit.route as usize,
            class: visit.class,
            confidence: visit.confidence,
            level,
            backend,
            shed,
            duration: self.now.since(visit.began),
            inference: backend.map(|_| visit.took),
        }
    }

    /// The request has ended.
    fn finish(&mut self, index: u32, ending: Ending) {
        let now = self.now;
        if self.tape.is_some() {
            let done = self.done_of(index, ending);
            self.done.push(done);
        }
        if self.watch.is_some() {
            self.watch_ended(index, ending);
        }
        let visit = &mut self.visits[index as usize];
        visit.turn = visit.turn.wrapping_add(1);
        visit.at = At::Nowhere;
        let (group, class, nth, began) = (visit.group, visit.class, visit.nth, visit.began);
        let route = &mut self.routes[visit.route as usize];
        let overtaken = route.latest[class.index() + 1..].iter().any(|latest| *latest > began);
        let arm = self.disturbed.map(|(_, fault)| is_of_arm(visit.key, &fault));
        let (tokens, used) = (visit.work.output, visit.used);
        let ended = Ended { class, began, deadline: visit.deadline, ending, overtaken, tokens, arm, used };
        self.active.iter().for_each(|span| self.spans[*span].ended(&ended, now));
        self.listening.iter().for_each(|span| self.spans[*span].one_that_came_ended(&ended, now));
        self.free.push(index);
        let told = match ending {
            Ending::Answered { good, .. } => {
                if good {
                    self.curves.good(class);
                }
                return;
            }
            Ending::Shed if !route.retries.handle_callers_retry(now) => return,
            Ending::Shed => Some(Duration::from_secs_f64(self.rng.between(0.5, 1.5))),
            Ending::Failed => None,
        };
        let callers = &mut self.groups[group as usize];
        if nth < callers.retries {
            let at = callers.comes_back(nth, told, now);
            let returning = Returning { group, class, nth: nth + 1 };
            let slot = match self.returned.pop() {
                Some(slot) => {
                    self.returning[slot as usize] = returning;
                    slot
                }
                None => {
                    self.returning.push(returning);
                    (self.returning.len() - 1) as u32
                }
            };
            self.agenda.add(at, Event::Return(slot));
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

/// Whether a request is of the experiment's arm.
fn is_of_arm(key: u64, fault: &Disturbance) -> bool {
    Rng::new(key).unit() < fault.cohort
}

/// Whether its calls meet the fault: decided once for all of them.
fn is_hit(key: u64, fault: &Disturbance) -> bool {
    let mut rng = Rng::new(key);
    rng.unit() < fault.cohort && rng.unit() < fault.dose
}

//! One request's way: it comes, goes down its route's ladder, and ends.

use std::time::Duration;

use mainstay_core::drill::Model;
use mainstay_core::resilience::ladder::{Step, Walk};
use mainstay_core::resilience::ramp;
use mainstay_core::resilience::retry::{Policy, Retry};
use mainstay_core::route::{Class, Level};

use super::faults::is_of_arm;
use super::fetching::Provided;
use super::{Returning, World};
use crate::agenda::Event;
use crate::engine::Work;
use crate::figures::{Ended, Ending};
use crate::gateway::{At, Parts, Tried, Visit, answers};
use crate::tape::Done;

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
        let parts = Parts { backends: &self.backends, groups: &self.in_groups, stores: &self.stores };
        if let Some(probe) = route.probe(key, &entries[at], &parts) {
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
                    if !self.takes_part(index) {
                        continue;
                    }
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

    /// Whether a request is among those that come to a backend which recovered a moment ago.
    fn takes_part(&mut self, index: u32) -> bool {
        let visit = &self.visits[index as usize];
        let (route, at) = (visit.route as usize, visit.backend);
        let level = self.drill.plan.routes[route].ladder[visit.entry].level;
        let back = self.routes[route].ladder.climbed().and_then(|climb| climb.back_at(level));
        let own = self.backends[at].as_ref().and_then(|backend| backend.breaker.recovered());
        let since = [back, own, self.in_groups.recovered(at)];
        ramp::takes_part(since, self.drill.plan.backends[at].ramp, || self.rng.unit(), self.now)
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
    pub(super) fn finish(&mut self, index: u32, ending: Ending) {
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

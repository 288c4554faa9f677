//! The features of a request: from their store, or from what the gateway knows, before its backend is asked.

use mainstay_core::drill::{Hit, Place};
use mainstay_core::plan::FeatureMode;
use mainstay_core::resilience::breaker;
use mainstay_core::resilience::outcome::{FailureKind, Outcome};

use super::World;
use crate::agenda::Event;
use crate::gateway::{At, Tried};
use crate::store::Fetch;
use crate::upstream::ERROR;

/// How a request stands that needs features.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Provided {
    /// It has them.
    Ready,
    /// Their store is asked.
    UnderWay,
    /// They are not to be had: the entry is skipped.
    Missing,
}

impl World<'_> {
    /// Gets the features that an entry's backend needs.
    pub(super) fn provide(&mut self, index: u32, set: usize, mode: FeatureMode) -> Provided {
        let now = self.now;
        let hit = self.hit_at(Place::Features(set), self.visits[index as usize].key);
        let visit = &mut self.visits[index as usize];
        let Some(Some(store)) = self.stores.get_mut(set) else { return Provided::Ready };
        if mode == FeatureMode::Cached {
            visit.used = store.recall(set, store.entity(visit.key), now);
            return if visit.used.is_some() { Provided::Ready } else { Provided::Missing };
        }
        store.breaker.handle_timeout(now);
        let Ok(ticket) = store.breaker.handle_admit(visit.key, now) else { return Provided::Missing };
        self.active.iter().for_each(|span| self.spans[*span].watched.retrieves());
        visit.turn = visit.turn.wrapping_add(1);
        visit.at = At::Store { ticket };
        let (turn, until) = (visit.turn, visit.until);
        let fetch = match hit {
            Some(Hit::Ends(_)) => Fetch::Fails(now + ERROR),
            Some(Hit::Later(delay)) => store.fetch(now + delay.draw(&mut self.rng)),
            _ => store.fetch(now),
        };
        match fetch {
            Fetch::Answers(at) => self.agenda.add(at, Event::Fetched { visit: index, turn }),
            Fetch::Fails(at) => self.agenda.add(at, Event::FetchFails { visit: index, turn }),
            Fetch::Hangs => {}
        }
        if hit.is_some() {
            self.is_injected();
        }
        let over = until.min(now + self.drill.plan.features[set].timeout);
        self.agenda.add(over, Event::FetchOver { visit: index, turn });
        Provided::UnderWay
    }

    /// The store has answered.
    pub(super) fn fetched(&mut self, index: u32, turn: u32) {
        if self.visits[index as usize].turn != turn {
            return;
        }
        let now = self.now;
        let Some(set) = self.fetch_ended(index, Outcome::Success) else { return };
        let hit = self.hit_at(Place::Features(set), self.visits[index as usize].key);
        let visit = &mut self.visits[index as usize];
        let Some(Some(store)) = self.stores.get_mut(set) else { return };
        visit.used = store.absorb(set, store.entity(visit.key), hit, now);
        let tried = if visit.used.is_some() { self.ask(index) } else { Some(Tried::Passed) };
        if let Some(tried) = tried {
            self.goes_on(index, tried);
        }
    }

    /// The store is not there, or answers by an error.
    pub(super) fn fetch_fails(&mut self, index: u32, turn: u32) {
        self.fetch_came_to_nothing(index, turn, FailureKind::Transport);
    }

    /// A retrieval has had its time.
    pub(super) fn fetch_over(&mut self, index: u32, turn: u32) {
        self.fetch_came_to_nothing(index, turn, FailureKind::Timeout);
    }

    fn fetch_came_to_nothing(&mut self, index: u32, turn: u32, kind: FailureKind) {
        if self.visits[index as usize].turn == turn && self.fetch_ended(index, Outcome::failure(kind)).is_some() {
            self.active.iter().for_each(|span| self.spans[*span].watched.retrieval_failed());
            self.goes_on(index, Tried::Passed);
        }
    }

    /// A retrieval has ended: the set that it was of.
    fn fetch_ended(&mut self, index: u32, outcome: Outcome) -> Option<usize> {
        let visit = &mut self.visits[index as usize];
        visit.turn = visit.turn.wrapping_add(1);
        let At::Store { ticket } = std::mem::replace(&mut visit.at, At::Nowhere) else { return None };
        let entry = &self.drill.plan.routes[visit.route as usize].ladder[visit.entry];
        let (set, _) = entry.answer.asked()?.features?;
        let store = self.stores.get_mut(set.0)?.as_mut()?;
        store.breaker.handle_timeout(self.now);
        store.breaker.handle_outcome(ticket, outcome, self.now);
        self.report_store(set.0);
        Some(set.0)
    }

    /// The keeper's tick.
    pub(super) fn settle_stores(&mut self) {
        for set in 0..self.stores.len() {
            if let Some(store) = &mut self.stores[set] {
                store.breaker.handle_timeout(self.now);
                self.report_store(set);
            }
        }
    }

    /// Tells what a store's breaker did.
    fn report_store(&mut self, set: usize) {
        let Some(Some(store)) = self.stores.get_mut(set) else { return };
        while let Some(effect) = store.breaker.poll_effect() {
            let breaker::Effect::Transition(change) = effect else { continue };
            let name = &self.drill.plan.features[set].name;
            let (from, to) = (change.from.name(), change.to.name());
            self.transcript.tell(change.at, format!("features {name}: breaker {from} -> {to} ({})", change.why.name()));
            if let Some(watch) = &mut self.watch {
                watch.breaker_changed(name, &change);
            }
            if change.to == breaker::Phase::Open {
                self.active.iter().for_each(|span| self.spans[*span].opened(change.at));
            }
        }
    }

    pub(super) fn check_store(&mut self, index: u32) {
        let at = index as usize;
        let (Some(Some(store)), Some(set)) = (self.stores.get_mut(at), self.drill.plan.features.get(at)) else {
            return;
        };
        let well = store.passes_check();
        if store.health.unwrap_or(true) != well {
            let word = if well { "passes" } else { "fails" };
            if !well {
                self.active.iter().for_each(|span| self.spans[*span].noticed(self.now));
            }
            self.transcript.tell(self.now, format!("features {}: the health check {word}", set.name));
            if let Some(watch) = &mut self.watch {
                watch.health_changed(&set.name, well, self.now);
            }
        }
        store.health = Some(well);
        if let Some(check) = &set.health {
            self.agenda.add(self.now + check.every, Event::CheckStore(index));
        }
    }
}

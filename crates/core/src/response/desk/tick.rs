//! What time alone brings.

use super::Desk;
use crate::incident::record::{ActionState, Incident};
use crate::time::Time;

impl Desk {
    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time) {
        let due = self.live.values().filter(|live| live.opens.is_some_and(|at| at <= now));
        let mut due: Vec<(Time, String)> = due.map(|live| (live.since, live.key.clone())).collect();
        due.sort();
        for (_, key) in due {
            // One that joined an incident which another of these opened is not loose any more.
            if let Some(live) = self.live.get_mut(&key).filter(|live| live.opens.is_some()) {
                live.opens = None;
                self.open_for(&key, now);
            }
        }
        for id in self.late(now) {
            self.give_up(&id, now);
        }
        let told = self.incidents.values().filter(|it| escalates_at(it).is_some_and(|at| at <= now));
        for id in told.map(|it| it.id.clone()).collect::<Vec<_>>() {
            self.escalate(&id, now);
        }
        self.expire(now);
        self.propose(now);
        self.forget(now);
    }

    /// When something is due next.
    pub fn poll_timeout(&self) -> Option<Time> {
        let quiet = self.terms.incidents.quiet;
        let opens = self.live.values().filter_map(|live| live.opens);
        let tries = self.looks_at();
        let of = self.incidents.values().flat_map(|it| {
            let proposes =
                it.quiet_since.filter(|_| it.status.is_open() && it.proposed.is_none()).map(|since| since + quiet);
            let expires =
                it.actions.iter().filter(|it| it.state == ActionState::Active).filter_map(|it| it.until).min();
            [escalates_at(it), proposes, expires].into_iter().flatten()
        });
        opens.chain(tries).chain(of).min()
    }

    /// Incidents that are over rest in the store alone.
    fn forget(&mut self, now: Time) {
        let active = |it: &Incident| it.actions.iter().any(|it| !is_over(it.state));
        let over = self.incidents.values().filter(|it| self.is_over(it, now) && !active(it));
        let over: Vec<String> = over.map(|it| it.id.clone()).collect();
        for id in over.iter().filter(|id| !self.changes.waits(id)) {
            self.incidents.remove(id);
            self.explained.remove(id);
        }
        self.forget_facts(now);
    }
}

fn escalates_at(incident: &Incident) -> Option<Time> {
    incident.escalation.as_ref().filter(|_| incident.status.is_open())?.next
}

const fn is_over(state: ActionState) -> bool {
    matches!(state, ActionState::Undone | ActionState::Expired | ActionState::Failed)
}

//! Faults on purpose: what they do to calls.

use mainstay_core::drill::{self, Disturbance, Hit};
use mainstay_core::resilience::outcome::{FailureKind, Outcome};
use mainstay_core::rng::Rng;

use super::World;
use crate::agenda::Event;
use crate::servers::Owner;
use crate::upstream::ERROR;

impl World<'_> {
    /// What the fault on purpose does to a request's calls there.
    pub(super) fn hit_at(&self, place: drill::Place, key: u64) -> Option<Hit> {
        self.disturbed.filter(|(at, fault)| *at == place && is_hit(key, fault)).map(|(_, fault)| fault.hit)
    }

    /// A request meets the fault.
    pub(super) fn is_injected(&mut self) {
        self.active.iter().for_each(|span| self.spans[*span].injected());
    }

    /// A call meets a fault on purpose.
    pub(super) fn disturb(&mut self, hit: Hit, at: usize, owner: Owner) {
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
}

/// Whether a request is of the experiment's arm.
pub(super) fn is_of_arm(key: u64, fault: &Disturbance) -> bool {
    Rng::new(key).unit() < fault.cohort
}

/// Whether its calls meet the fault: decided once for all of them.
fn is_hit(key: u64, fault: &Disturbance) -> bool {
    let mut rng = Rng::new(key);
    rng.unit() < fault.cohort && rng.unit() < fault.dose
}

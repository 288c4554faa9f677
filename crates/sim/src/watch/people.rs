//! People: what they do when a page reaches them, and when.

use std::time::Duration;

use mainstay_core::drill::{Law, Reaction};
use mainstay_core::incident::kind::Status;
use mainstay_core::incident::notice::Purpose;
use mainstay_core::incident::record::{Act, ActionState, Held, Incident};
use mainstay_core::response::delivery::Delivery;
use mainstay_core::response::desk::Asked;
use mainstay_core::response::fact::CHANGE;
use mainstay_core::time::Time;

use super::{News, Watch};

/// Something that somebody is going to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Deed {
    /// Index into the drill's people.
    who: usize,
    incident: String,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    /// To say that they have it.
    Acknowledge,
    /// To carry out what the runbook says.
    Mitigate,
    /// To take back what was done, and to say that it is over.
    Resolve,
}

impl Watch<'_> {
    /// A notice has arrived: whoever it is for reacts to a page.
    pub(super) fn hear(&mut self, delivery: &Delivery, now: Time) {
        if delivery.notice.purpose != Purpose::Page {
            return;
        }
        let name = delivery.notice.person.as_ref().unwrap_or(&delivery.channel);
        let Some(who) = self.drill.around.people.iter().position(|it| it.name == *name) else { return };
        let Reaction { name, acknowledges, misses, .. } = &self.drill.around.people[who];
        if *misses > 0.0 && self.rng.unit() < *misses {
            self.news.push(News::Line(format!("{name} does not notice the page of {}", delivery.notice.incident)));
            return;
        }
        let after = self.drawn(*acknowledges);
        self.promise(who, &delivery.notice.incident, What::Acknowledge, now + after);
    }

    /// What is proposed to be resolved is, by whoever has it.
    pub(super) fn may_resolve(&mut self, incident: &Incident) {
        let Some(proposed) = incident.proposed.filter(|_| incident.status.is_open()) else { return };
        let by = incident.acknowledged_by.as_ref();
        let Some(who) = self.drill.around.people.iter().position(|it| Some(&it.name) == by) else { return };
        let of = |deed: &Deed| deed.incident == incident.id && deed.what == What::Resolve;
        if !self.deeds.values().any(of) {
            let after = self.drawn(self.drill.around.people[who].acknowledges);
            self.promise(who, &incident.id, What::Resolve, proposed + after);
        }
    }

    /// Does what people are to do by now.
    pub(super) fn act(&mut self, now: Time) {
        while let Some(entry) = self.deeds.first_entry().filter(|entry| entry.key().0 <= now) {
            let deed = entry.remove();
            match deed.what {
                What::Acknowledge => self.acknowledges(&deed, now),
                What::Mitigate => self.mitigates(&deed, now),
                What::Resolve => self.resolves(&deed, now),
            }
        }
    }

    fn acknowledges(&mut self, deed: &Deed, now: Time) {
        let reaction = &self.drill.around.people[deed.who];
        let Some(incident) = self.desk.incidents().get(&deed.incident) else { return };
        if !incident.status.is_open() || incident.acknowledged_by.is_some() {
            return;
        }
        if self.asks(deed, Asked::Acknowledge, now) {
            self.news.push(News::Line(format!("{} has {}", reaction.name, deed.incident)));
            if let Some(law) = reaction.mitigates {
                let after = self.drawn(law);
                self.promise(deed.who, &deed.incident, What::Mitigate, now + after);
            }
        }
    }

    /// What the runbook says that mainstay itself can do: back to the version before where one came shortly before, and otherwise the first
    /// thing that the world has.
    fn mitigates(&mut self, deed: &Deed, now: Time) {
        let Some(incident) = self.desk.incidents().get(&deed.incident).filter(|it| it.status.is_open()) else { return };
        let goes_back = |act: &Act| matches!(act, Act::PreviousModel { model } if came_before(incident, model));
        let has_effect = |act: &Act| matches!(act, Act::PinLevel { .. } | Act::CachedFeatures { .. });
        let mut wanted = self.desk.proposals(incident);
        if wanted.iter().any(goes_back) {
            wanted.retain(goes_back);
        } else {
            wanted.retain(has_effect);
            // The same for each route that it touches.
            let first = wanted.first().map(Act::word);
            wanted.retain(|act| Some(act.word()) == first);
        }
        let name = &self.drill.around.people[deed.who].name;
        if wanted.is_empty() {
            self.news.push(News::Line(format!("{name} finds nothing in the runbook of {} to do here", incident.kind)));
        }
        for act in wanted {
            let told = mainstay_core::response::desk::told(&act);
            let done = self.asks(deed, Asked::Act { act, lasting: None }, now);
            let line = if done { format!("{name} acts: {told}") } else { format!("{name} cannot act: {told}") };
            self.news.push(News::Line(line));
        }
    }

    fn resolves(&mut self, deed: &Deed, now: Time) {
        let Some(incident) = self.desk.incidents().get(&deed.incident) else { return };
        // What came again is not over.
        if !incident.status.is_open() || incident.proposed.is_none() {
            return;
        }
        // What has no end stays: nobody goes back to the version that was left.
        let active = incident.actions.iter().filter(|it| it.state == ActionState::Active && it.until.is_some());
        for action in active.map(|it| it.id).collect::<Vec<_>>() {
            self.asks(deed, Asked::Undo(action), now);
        }
        let reason = "every signal is over".to_owned();
        self.asks(deed, Asked::Status { to: Status::Resolved, reason }, now);
    }

    fn asks(&mut self, deed: &Deed, asked: Asked, now: Time) -> bool {
        let name = &self.drill.around.people[deed.who].name;
        self.desk.handle_asked(&deed.incident, asked, name, now).is_ok()
    }

    fn drawn(&mut self, law: Law) -> Duration {
        let z = if law.spread == 0.0 { 0.0 } else { self.normal.draw(&mut self.rng) };
        law.at(z)
    }

    fn promise(&mut self, who: usize, incident: &str, what: What, at: Time) {
        self.promised += 1;
        self.deeds.insert((at, self.promised), Deed { who, incident: incident.to_owned(), what });
    }
}

/// Whether a version of the model came shortly before an incident.
fn came_before(incident: &Incident, model: &str) -> bool {
    let is = |held: &Held, label: &str, value: &str| held.labels.get(label).is_some_and(|it| it == value);
    incident.facts.iter().any(|held| held.fact == CHANGE && is(held, "what", "promoted") && is(held, "model", model))
}

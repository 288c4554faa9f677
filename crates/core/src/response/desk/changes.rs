//! What a shell must store before anybody hears of it, and what it must do then.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Desk;
use crate::event::{EventKind, IncidentNews};
use crate::incident::record::{Act, ActionState, Incident};
use crate::response::delivery::Delivery;

/// What changed since it was last asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    incidents: BTreeSet<String>,
    opened: BTreeSet<String>,
    deliveries: BTreeSet<String>,
    ended: Vec<Delivery>,
    memory: bool,
    events: Vec<EventKind>,
    audits: Vec<Audited>,
    doing: Vec<Doing>,
}

/// What goes into the audit log.
#[derive(Clone, PartialEq, Debug)]
pub struct Audited {
    /// Who.
    pub actor: String,
    /// By what.
    pub source: String,
    /// What, such as `incident.ack`.
    pub action: String,
    /// Which incident.
    pub subject: String,
    /// What was before.
    pub before: Option<Value>,
    /// What is after.
    pub after: Option<Value>,
    /// Why.
    pub reason: String,
}

/// Something that the shell must do, once it is stored that it must.
#[derive(Clone, PartialEq, Debug)]
pub struct Doing {
    /// The incident.
    pub incident: String,
    /// The action's id within it.
    pub action: u32,
    /// What.
    pub act: Act,
    /// What undoes it, where it is to be undone.
    pub undo: Option<Value>,
    /// Whether it is to be undone rather than done.
    pub back: bool,
    /// When it ends by itself.
    pub until: Option<crate::time::Time>,
}

/// What changed, ready to be stored.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// Incidents as they are now, and whether each is new.
    pub incidents: Vec<(Incident, bool)>,
    /// Deliveries as they are now.
    pub deliveries: Vec<Delivery>,
    /// Whether [`Desk::memory`] is another.
    pub memory: bool,
    /// What is to be told.
    pub events: Vec<EventKind>,
    /// What goes into the audit log.
    pub audits: Vec<Audited>,
    /// What is to be done afterwards.
    pub doing: Vec<Doing>,
}

impl Taken {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.incidents.is_empty()
            && self.deliveries.is_empty()
            && !self.memory
            && self.events.is_empty()
            && self.audits.is_empty()
            && self.doing.is_empty()
    }
}

impl Changes {
    pub(super) fn incident(&mut self, id: &str) {
        self.incidents.insert(id.to_owned());
    }

    pub(super) fn opened(&mut self, id: &str) {
        self.opened.insert(id.to_owned());
        self.incident(id);
        self.memory();
    }

    pub(super) fn delivery(&mut self, id: &str) {
        self.deliveries.insert(id.to_owned());
    }

    pub(super) fn ended(&mut self, delivery: Delivery) {
        self.deliveries.remove(&delivery.id);
        let (purpose, outcome) = (delivery.notice.purpose.as_str().into(), delivery.state.as_str().into());
        self.events.push(EventKind::IncidentNotified {
            incident: delivery.notice.incident.clone(),
            notice: delivery.id.clone(),
            channel: delivery.channel.clone(),
            purpose,
            outcome,
        });
        self.ended.push(delivery);
    }

    /// Whether an incident waits to be stored.
    pub(super) fn waits(&self, id: &str) -> bool {
        self.incidents.contains(id)
    }

    pub(super) fn memory(&mut self) {
        self.memory = true;
    }

    pub(super) fn audit(&mut self, audited: Audited) {
        self.audits.push(audited);
    }

    pub(super) fn doing(&mut self, doing: Doing) {
        self.doing.push(doing);
    }

    pub(super) fn news(&mut self, incident: &Incident, opened: bool, by: &str) {
        let news = IncidentNews {
            incident: incident.id.clone(),
            kind: incident.kind.clone(),
            severity: incident.severity.as_str().into(),
            status: incident.status.as_str().into(),
            title: incident.title.clone(),
            by: by.to_owned(),
        };
        self.events.push(if opened { EventKind::IncidentOpened(news) } else { EventKind::IncidentChanged(news) });
    }

    /// Does again what was being done when everything stopped, and what has no effect any more.
    pub(super) fn redo(&mut self, incident: &Incident) {
        for action in &incident.actions {
            let back = match action.state {
                // Whether the change of model was made is for the registry to say: see `restore`.
                _ if matches!(action.act, Act::PreviousModel { .. }) => continue,
                // What was stopped stays stopped.
                ActionState::Active if matches!(action.act, Act::StopExperiment { .. }) => continue,
                ActionState::Pending | ActionState::Active => false,
                ActionState::Undoing => true,
                ActionState::Undone | ActionState::Expired | ActionState::Failed => continue,
            };
            self.doing.push(Doing {
                incident: incident.id.clone(),
                action: action.id,
                act: action.act.clone(),
                undo: action.undo.clone(),
                back,
                until: action.until,
            });
        }
    }
}

impl Desk {
    /// What changed since this was last asked.
    pub fn take_changes(&mut self) -> Taken {
        let changes = std::mem::take(&mut self.changes);
        let is_new = |id: &String| changes.opened.contains(id);
        let of = changes.incidents.iter().filter_map(|id| Some((self.incidents.get(id)?.clone(), is_new(id))));
        let incidents = of.collect();
        let waiting = changes.deliveries.iter().filter_map(|id| self.deliveries.get(id).cloned());
        let deliveries = waiting.chain(changes.ended).collect();
        let Changes { memory, events, audits, doing, .. } = changes;
        Taken { incidents, deliveries, memory, events, audits, doing }
    }
}

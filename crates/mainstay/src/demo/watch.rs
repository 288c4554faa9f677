//! What the service itself reports about its levels, breakers and health while the demo runs.

use std::time::Duration;

use mainstay_core::event::{Event, EventKind};
use mainstay_core::time::Time;

/// One change of state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Change {
    /// Since the demo's start.
    pub(super) at: Duration,
    /// Such as `route tumour` or `breaker primary`.
    pub(super) subject: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) reason: String,
}

/// Whether the timeline shows an event.
pub(super) fn is_shown(event: &Event) -> bool {
    Change::from_event(event, event.at).is_some()
}

impl Change {
    /// The change that an event speaks of; `None` where it is none of state.
    pub(super) fn from_event(event: &Event, start: Time) -> Option<Change> {
        let change = |subject: String, from: String, to: String, reason: &str| {
            Some(Change { at: event.at.since(start), subject, from, to, reason: reason.to_owned() })
        };
        match &event.kind {
            EventKind::LevelChanged { route, from, to, reason } => {
                change(format!("route {route}"), format!("level {from}"), format!("level {to}"), reason)
            }
            EventKind::BreakerChanged { from, to, .. } if is_fruitless_probe(from, to) => None,
            EventKind::BreakerChanged { backend, from, to, reason } => {
                change(format!("breaker {backend}"), from.to_string(), to.to_string(), reason)
            }
            EventKind::GroupChanged { from, to, .. } if is_fruitless_probe(from, to) => None,
            EventKind::GroupChanged { group, from, to, reason, members: _ } => {
                change(format!("group {group}"), from.to_string(), to.to_string(), reason)
            }
            EventKind::HealthChanged { component, healthy, reason } => {
                let word = |healthy: bool| if healthy { "healthy" } else { "unhealthy" }.to_owned();
                change(format!("health {component}"), word(!healthy), word(*healthy), reason)
            }
            EventKind::SloStatusChanged { slo, from, to, .. } => {
                change(format!("budget {slo}"), from.to_string(), to.to_string(), "events")
            }
            EventKind::IncidentOpened(it) => {
                let from = if it.status == "detected" { "none" } else { "resolved" };
                change(it.incident.clone(), from.to_owned(), it.severity.to_string(), &it.kind)
            }
            EventKind::Starting {}
            | EventKind::Started { .. }
            | EventKind::SignalChanged { .. }
            | EventKind::IncidentChanged(_)
            | EventKind::IncidentNotified { .. }
            | EventKind::Draining {}
            | EventKind::Stopped {}
            | EventKind::ConfigReloaded {}
            | EventKind::ConfigRefused { .. }
            | EventKind::LevelPinned { .. }
            | EventKind::LevelReleased { .. }
            | EventKind::LimitChanged { .. }
            | EventKind::EndpointEjected { .. }
            | EventKind::EndpointReturned { .. }
            | EventKind::KeyRests { .. }
            | EventKind::KeyReturned { .. }
            | EventKind::SloAlertFired(_)
            | EventKind::SloAlertResolved(_)
            | EventKind::DriftStatusChanged(_)
            | EventKind::DriftAlarmRaised { .. }
            | EventKind::QualityStatusChanged(_)
            | EventKind::TrainingFailed(_)
            | EventKind::TrainingFinished(_)
            | EventKind::ModelPromoted(_)
            | EventKind::ModelPromotionFailed { .. }
            | EventKind::ExperimentChanged(_)
            | EventKind::ExperimentEnded { .. }
            | EventKind::HaltChanged { .. }
            | EventKind::GamedayChanged { .. }
            | EventKind::RequestFinished(_) => None,
        }
    }
}

/// A breaker that asks now and then, between open and half-open, has not changed its mind.
fn is_fruitless_probe(from: &str, to: &str) -> bool {
    matches!((from, to), ("open", "half_open") | ("half_open", "open"))
}

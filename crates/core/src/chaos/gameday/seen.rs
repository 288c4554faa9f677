//! What an event says about how a fault was met.

use crate::event::{Event, EventKind};

/// Actors of the desk that are no people.
const ENGINE: &str = "mainstay";

/// A step on the way from a fault to its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Sign {
    /// Something noticed.
    Detected(String),
    /// An incident was opened, with its id and type: that notices as well.
    Opened(String, String),
    /// Somebody was paged.
    Paged(String),
    /// Somebody took an incident.
    Acknowledged(String),
}

/// What an event says of a fault on a route.
pub(super) fn sign(event: &Event, route: &str) -> Option<Sign> {
    let detected = |text: String| Some(Sign::Detected(text));
    match &event.kind {
        EventKind::LevelChanged { route: of, from, to, reason } if of == route && to > from => {
            detected(format!("{of} answers at level {}: {}", to.number(), reason.replace('_', " ")))
        }
        EventKind::BreakerChanged { backend, to, .. } if &**to == "open" => {
            detected(format!("the breaker of {backend} is open"))
        }
        EventKind::GroupChanged { group, to, .. } if &**to == "open" => {
            detected(format!("the breaker of the group {group} is open"))
        }
        EventKind::HealthChanged { component, healthy: false, .. } => {
            detected(format!("{component} does not pass its health check"))
        }
        EventKind::EndpointEjected { backend, endpoint } => detected(format!("{endpoint} of {backend} is left out")),
        EventKind::SloAlertFired(alert) => detected(format!("an alert on {} fires", alert.slo)),
        EventKind::DriftAlarmRaised { name, .. } => detected(format!("an alarm on {name} went off")),
        EventKind::DriftStatusChanged(it) if matches!(&*it.to, "drift_detected" | "alert") => {
            detected(format!("{} drifted", it.name))
        }
        EventKind::SignalChanged { name, to, .. } if &**to == "beyond" => {
            detected(format!("{name} is beyond its bound"))
        }
        EventKind::IncidentOpened(news) => Some(Sign::Opened(news.incident.clone(), news.kind.clone())),
        EventKind::IncidentNotified { incident, channel, purpose, outcome, .. }
            if &**purpose == "page" && &**outcome == "delivered" =>
        {
            Some(Sign::Paged(format!("{incident} by {channel}")))
        }
        EventKind::IncidentChanged(news)
            if news.by != ENGINE && matches!(&*news.status, "investigating" | "mitigating") =>
        {
            Some(Sign::Acknowledged(format!("{} has {}", news.by, news.incident)))
        }
        _ => None,
    }
}

/// The type of an event, as its JSON has it.
pub(super) fn kind(event: &Event) -> String {
    let json = serde_json::to_value(&event.kind).ok();
    json.and_then(|it| Some(it.get("type")?.as_str()?.to_owned())).unwrap_or_default()
}

//! What somebody should hear of.

use std::time::Duration;

use crate::event::{Event, EventKind, SloAlert};
use crate::slo::budget::Status;
use crate::slo::burn::Severity;
use crate::time::Time;

/// Something to tell.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// A budget's status changed.
    StatusChanged {
        /// When.
        at: Time,
        /// The objective.
        objective: String,
        /// The status until then.
        from: Status,
        /// The status from then on.
        to: Status,
        /// The share of the budget that is left.
        remaining: f64,
        /// Where nothing is tolerated: the event that spent the budget.
        event: Option<String>,
    },
    /// An alert fires.
    AlertFired {
        /// When.
        at: Time,
        /// Which.
        alert: Alert,
    },
    /// An alert fires no more.
    AlertResolved {
        /// When.
        at: Time,
        /// Which.
        alert: Alert,
    },
}

/// An alert that fires.
#[derive(Clone, PartialEq, Debug)]
pub struct Alert {
    /// The objective.
    pub objective: String,
    /// What it asks for.
    pub severity: Severity,
    /// What made it fire.
    pub why: Why,
    /// The burn rate of the longer window when it was judged last, where there is one.
    pub burn: Option<f64>,
}

/// What made an alert fire.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Why {
    /// Both windows of a pair burn too fast.
    Burn {
        /// The longer window.
        long: Duration,
        /// The shorter window.
        short: Duration,
        /// The rate from which on it fires.
        factor: f64,
    },
    /// A rate of bad events above the objective, too slow or too sparse for any pair.
    Trickle,
    /// The rate of a safety objective is above its bound, by a test that may be looked at for ever.
    Rate,
    /// Something happened that is not tolerated.
    Harm,
}

impl Why {
    /// The name that the API uses.
    pub const fn name(&self) -> &'static str {
        match self {
            Why::Burn { .. } => "burn",
            Why::Trickle => "trickle",
            Why::Rate => "rate",
            Why::Harm => "harm",
        }
    }
}

impl From<Effect> for Event {
    fn from(effect: Effect) -> Event {
        match effect {
            Effect::StatusChanged { at, objective, from, to, remaining, event } => {
                let (from, to) = (from.name().into(), to.name().into());
                Event { at, kind: EventKind::SloStatusChanged { slo: objective, from, to, remaining, event } }
            }
            Effect::AlertFired { at, alert } => Event { at, kind: EventKind::SloAlertFired(alert.into()) },
            Effect::AlertResolved { at, alert } => Event { at, kind: EventKind::SloAlertResolved(alert.into()) },
        }
    }
}

impl From<Alert> for SloAlert {
    fn from(alert: Alert) -> SloAlert {
        let (long_s, short_s, factor) = match alert.why {
            Why::Burn { long, short, factor } => (Some(long.as_secs()), Some(short.as_secs()), Some(factor)),
            Why::Trickle | Why::Rate | Why::Harm => (None, None, None),
        };
        SloAlert {
            slo: alert.objective,
            severity: alert.severity.name().into(),
            why: alert.why.name().into(),
            long_s,
            short_s,
            factor,
            burn: alert.burn,
        }
    }
}

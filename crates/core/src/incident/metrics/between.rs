//! Times between two clocks of an incident, and between incidents.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::kind::Severity;
use super::super::record::Incident;
use super::spread::Spread;
use crate::time::Time;

/// A moment of an incident.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// When what is wrong began.
    Onset,
    /// When it was found.
    Detected,
    /// When somebody took it, first.
    Acknowledged,
    /// When its effect began to be ended, first.
    Mitigated,
    /// When it ended, last.
    Resolved,
    /// When the next one began.
    NextOnset,
}

impl Clock {
    /// When it was for an incident; an incident that was opened again has not ended.
    fn of(self, incident: &Incident) -> Option<Time> {
        match self {
            Clock::Onset => Some(incident.onset),
            Clock::Detected => Some(incident.detected),
            Clock::Acknowledged => incident.acknowledged,
            Clock::Mitigated => incident.mitigated,
            Clock::Resolved => incident.resolved.filter(|_| !incident.status.is_open()),
            Clock::NextOnset => None,
        }
    }
}

/// How long incidents took from one clock to another.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Elapsed {
    /// The clock at which it starts.
    pub from: Clock,
    /// The clock at which it ends.
    pub to: Clock,
    /// Incidents that have not come to the second clock: nothing is said of how long they will take.
    pub waiting: u64,
    /// Incidents whose second clock is before the first: left out.
    pub reversed: u64,
    /// Of all severities.
    pub overall: Spread,
    /// Of each severity; all are named.
    pub by_severity: BTreeMap<&'static str, Spread>,
}

impl Elapsed {
    pub(super) fn of(incidents: &[&Incident], from: Clock, to: Clock, seed: u64) -> Elapsed {
        let (mut waiting, mut reversed) = (0, 0);
        let mut all = Vec::new();
        for incident in incidents {
            let (Some(start), Some(end)) = (from.of(incident), to.of(incident)) else {
                waiting += 1;
                continue;
            };
            if end < start {
                reversed += 1;
            } else {
                all.push((incident.severity, end.since(start).as_secs_f64()));
            }
        }
        let of = |severity| all.iter().filter(|(own, _)| *own == severity).map(|(_, seconds)| *seconds).collect();
        Elapsed {
            from,
            to,
            waiting,
            reversed,
            by_severity: Severity::ALL.into_iter().map(|it| (it.as_str(), Spread::of(of(it), seed))).collect(),
            overall: Spread::of(all.iter().map(|(_, seconds)| *seconds).collect(), seed),
        }
    }
}

/// How long it was from one incident to the next.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Between {
    /// The clock at which it starts.
    pub from: Clock,
    /// The clock at which it ends.
    pub to: Clock,
    /// How these times lie; one fewer than incidents.
    #[serde(flatten)]
    pub spread: Spread,
}

impl Between {
    /// Of incidents in the order of their onsets.
    pub(super) fn of(incidents: &[&Incident], seed: u64) -> Between {
        let gaps = incidents.windows(2).map(|pair| pair[1].onset.since(pair[0].onset).as_secs_f64());
        Between { from: Clock::Onset, to: Clock::NextOnset, spread: Spread::of(gaps.collect(), seed) }
    }
}

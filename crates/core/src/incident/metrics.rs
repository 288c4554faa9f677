//! What incidents cost, counted: how many, how long between which two clocks, how often anew, and who was paged.
//!
//! A time is always told with both of its clocks, since names such as MTTR mean four different things. Formulas and sources stand in `docs/reviews.md`.

mod between;
mod repeats;
mod spread;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::kind::{Severity, Status};
use super::record::Incident;
use crate::event::written;
use crate::time::Time;

pub use between::{Between, Clock, Elapsed};
pub use repeats::{Items, Overdue, Repeat, Repeats, SameCause, overdue};
pub use spread::{DRAWS_MAX, ENOUGH, ITERATIONS, ITERATIONS_MIN, Likely, Spread};

/// Seconds of a week.
const WEEK_S: f64 = 7.0 * 24.0 * 3600.0;

/// Somebody was paged.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Paged {
    /// The incident's id.
    pub incident: String,
    /// Who.
    pub person: String,
    /// When.
    #[serde(with = "written")]
    pub at: Time,
    /// Whether it was night where they are.
    pub night: bool,
}

/// What incidents that were found in a window cost.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Metrics {
    /// The window's start; it is part of the window.
    #[serde(with = "written")]
    pub from: Time,
    /// The window's end; it is not.
    #[serde(with = "written")]
    pub until: Time,
    /// Incidents that were found in the window.
    pub total: u64,
    /// Those of them that were neither cancelled nor merged: all that follows but the numbers by type, severity and status is about them.
    pub counted: u64,
    /// How many of each type.
    pub by_type: BTreeMap<String, u64>,
    /// How many of each severity; all are named.
    pub by_severity: BTreeMap<&'static str, u64>,
    /// How many of each status; all are named.
    pub by_status: BTreeMap<&'static str, u64>,
    /// The mean of the time to resolve, in hours.
    pub mttr_hours: Option<f64>,
    /// From when it began to when it was found.
    pub time_to_detect: Elapsed,
    /// From when it was found to when somebody took it.
    pub time_to_acknowledge: Elapsed,
    /// From when it began to when its effect began to be ended.
    pub time_to_mitigate: Elapsed,
    /// From when it began to when it ended.
    pub time_to_resolve: Elapsed,
    /// From when one began to when the next began.
    pub time_between: Between,
    /// Who was paged in the window, by name.
    pub paging: Vec<Load>,
    /// What came more than once.
    pub repeats: Repeats,
    /// What is to be done after incidents, of whatever window.
    pub items: Items,
}

/// How often somebody was paged.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Load {
    /// Who.
    pub person: String,
    /// Pages.
    pub pages: u64,
    /// Pages in a week, on average over the window; absent where the window is empty.
    pub pages_per_week: Option<f64>,
    /// Pages that came at night.
    pub nights: u64,
    /// How many incidents they were about.
    pub incidents: u64,
}

/// Counts what the incidents that were found in `[from, until)` cost, and the pages of that time. Open items are those of all incidents given, overdue on
/// the day of `until` in UTC. The order of incidents and pages does not matter; `seed` decides the intervals.
pub fn measure(incidents: &[Incident], pages: &[Paged], from: Time, until: Time, seed: u64) -> Metrics {
    let within = |at: Time| from <= at && at < until;
    let mut found: Vec<&Incident> = incidents.iter().filter(|it| within(it.detected)).collect();
    found.sort_by(|a, b| (a.onset, a.detected, &a.id).cmp(&(b.onset, b.detected, &b.id)));
    let counted: Vec<&Incident> =
        found.iter().copied().filter(|it| !matches!(it.status, Status::Cancelled | Status::Merged)).collect();
    let mut by_type = BTreeMap::new();
    let mut by_severity: BTreeMap<_, u64> = Severity::ALL.into_iter().map(|it| (it.as_str(), 0)).collect();
    let mut by_status: BTreeMap<_, u64> = Status::ALL.into_iter().map(|it| (it.as_str(), 0)).collect();
    for incident in &found {
        *by_type.entry(incident.kind.clone()).or_default() += 1;
        *by_severity.entry(incident.severity.as_str()).or_default() += 1;
        *by_status.entry(incident.status.as_str()).or_default() += 1;
    }
    let elapsed = |start, end| Elapsed::of(&counted, start, end, seed);
    let time_to_resolve = elapsed(Clock::Onset, Clock::Resolved);
    Metrics {
        from,
        until,
        total: found.len() as u64,
        counted: counted.len() as u64,
        by_type,
        by_severity,
        by_status,
        mttr_hours: time_to_resolve.overall.mean_s.map(|mean| mean / 3600.0),
        time_to_detect: elapsed(Clock::Onset, Clock::Detected),
        time_to_acknowledge: elapsed(Clock::Detected, Clock::Acknowledged),
        time_to_mitigate: elapsed(Clock::Onset, Clock::Mitigated),
        time_to_resolve,
        time_between: Between::of(&counted, seed),
        paging: loads(pages.iter().filter(|page| within(page.at)), until.since(from).as_secs_f64()),
        repeats: Repeats::of(&counted),
        items: Items::of(incidents, until),
    }
}

fn loads<'a>(pages: impl Iterator<Item = &'a Paged>, seconds: f64) -> Vec<Load> {
    let mut by_person: BTreeMap<&str, Vec<&Paged>> = BTreeMap::new();
    for page in pages {
        by_person.entry(&page.person).or_default().push(page);
    }
    let load = |(person, pages): (&str, Vec<&Paged>)| Load {
        person: person.to_owned(),
        pages: pages.len() as u64,
        pages_per_week: (seconds > 0.0).then(|| pages.len() as f64 * WEEK_S / seconds),
        nights: pages.iter().filter(|page| page.night).count() as u64,
        incidents: pages.iter().map(|page| &page.incident).collect::<BTreeSet<_>>().len() as u64,
    };
    by_person.into_iter().map(load).collect()
}

#[cfg(test)]
mod tests;

//! What came more than once, and what was to be done about it and is not.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::super::record::Incident;
use crate::event::{format_time, parse_time};
use crate::time::Time;

/// Most incidents that are named of what came more than once; `times` counts all.
const NAMED_MAX: usize = 50;
const DAY: Duration = Duration::from_hours(24);

/// What came more than once.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Repeats {
    /// Types, the most frequent first.
    pub types: Vec<Repeat>,
    /// Types on the same route, the most frequent first.
    pub routes: Vec<Repeat>,
    /// Root causes that were written alike, the most frequent first.
    pub causes: Vec<SameCause>,
}

/// A type that came more than once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Repeat {
    /// The type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The route, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// How often.
    pub times: u64,
    /// The first of the incidents, by their onsets.
    pub incidents: Vec<String>,
}

/// A root cause that was written more than once, whatever its spaces and capital letters.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SameCause {
    /// The cause, as it was written first.
    pub cause: String,
    /// How often.
    pub times: u64,
    /// The first of the incidents, by their onsets.
    pub incidents: Vec<String>,
}

impl Repeats {
    /// Of incidents in the order of their onsets.
    pub(super) fn of(incidents: &[&Incident]) -> Repeats {
        let mut types: BTreeMap<(&str, Option<&str>), Vec<&Incident>> = BTreeMap::new();
        let mut routes = types.clone();
        let mut causes: BTreeMap<String, Vec<&Incident>> = BTreeMap::new();
        for &incident in incidents {
            types.entry((&incident.kind, None)).or_default().push(incident);
            let mut own: Vec<&str> = incident.routes.iter().map(String::as_str).collect();
            own.sort_unstable();
            own.dedup();
            for route in own {
                routes.entry((&incident.kind, Some(route))).or_default().push(incident);
            }
            let cause = alike(&incident.review.root_cause);
            if !cause.is_empty() {
                causes.entry(cause).or_default().push(incident);
            }
        }
        let repeat = |((kind, route), times, incidents): ((&str, Option<&str>), u64, Vec<String>)| Repeat {
            kind: kind.to_owned(),
            route: route.map(str::to_owned),
            times,
            incidents,
        };
        let causes = causes.into_values().map(|of| (of.first().map_or("", |it| it.review.root_cause.trim()), of));
        Repeats {
            types: frequent(types.into_iter()).into_iter().map(repeat).collect(),
            routes: frequent(routes.into_iter()).into_iter().map(repeat).collect(),
            causes: frequent(causes)
                .into_iter()
                .map(|(cause, times, incidents)| SameCause { cause: cause.to_owned(), times, incidents })
                .collect(),
        }
    }
}

/// What has more than one incident, the most frequent first, and where two are as frequent in the order given.
fn frequent<'a, K>(groups: impl Iterator<Item = (K, Vec<&'a Incident>)>) -> Vec<(K, u64, Vec<String>)> {
    let mut found: Vec<_> = groups
        .filter(|(_, of)| of.len() > 1)
        .map(|(key, of)| (key, of.len() as u64, of.iter().take(NAMED_MAX).map(|it| it.id.clone()).collect()))
        .collect();
    found.sort_by_key(|(_, times, _)| std::cmp::Reverse(*times));
    found
}

fn alike(cause: &str) -> String {
    cause.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// What is to be done after incidents.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Items {
    /// The day, in UTC, by which it is decided what is overdue.
    pub today: String,
    /// Items that are open.
    pub open: u64,
    /// Those of them without a day until which they are to be done.
    pub undated: u64,
    /// Those of them whose day is over, the oldest first.
    pub overdue: Vec<Overdue>,
}

/// Something that was to be done before today.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Overdue {
    /// The incident's id.
    pub incident: String,
    /// The item's number within it.
    pub item: u32,
    /// What is to be done.
    pub text: String,
    /// Who does it.
    pub owner: String,
    /// Until when it was to be done.
    pub due: String,
    /// How many days ago that was.
    pub days: u64,
}

impl Items {
    pub(super) fn of(incidents: &[Incident], today: Time) -> Items {
        let open = || incidents.iter().flat_map(|it| &it.review.items).filter(|item| item.state == "open");
        let dated = |due: &Option<String>| due.as_deref().is_some_and(|due| day(due).is_some());
        Items {
            today: format_time(today).chars().take_while(|it| *it != 'T').collect(),
            open: open().count() as u64,
            undated: open().filter(|item| !dated(&item.due)).count() as u64,
            overdue: overdue(incidents, today),
        }
    }
}

/// Open items whose day lies before the day of `today` in UTC, the oldest first.
pub fn overdue(incidents: &[Incident], today: Time) -> Vec<Overdue> {
    let days = |time: Time| time.since(Time::ZERO).as_secs() / DAY.as_secs();
    let mut found = Vec::new();
    for incident in incidents {
        for item in incident.review.items.iter().filter(|item| item.state == "open") {
            let Some(due) = item.due.as_deref() else { continue };
            let Some(late) = day(due).and_then(|due| days(today).checked_sub(days(due))).filter(|late| *late > 0)
            else {
                continue;
            };
            found.push(Overdue {
                incident: incident.id.clone(),
                item: item.id,
                text: item.text.clone(),
                owner: item.owner.clone(),
                due: due.to_owned(),
                days: late,
            });
        }
    }
    found.sort_by(|a, b| (&a.due, &a.incident, a.item, &a.text).cmp(&(&b.due, &b.incident, b.item, &b.text)));
    found
}

/// The start of a day that is written `YYYY-MM-DD`.
fn day(due: &str) -> Option<Time> {
    parse_time(&format!("{due}T00:00:00Z"))
}

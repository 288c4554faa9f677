//! Time that does not count: corrections after the fact, and maintenance that is known beforehand.

use std::time::Duration;

pub use jiff::civil::{Time as Clock, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use crate::time::Time;

use super::window::{self, Stretch, UnknownZone};

/// Most stretches that a recurring maintenance gives for one window.
const OCCURRENCES_MAX: usize = 1_000;

/// A stretch of time that is excluded from budgets.
#[derive(Clone, PartialEq, Debug)]
pub struct Correction {
    /// Its id.
    pub id: String,
    /// What is excluded.
    pub stretch: Stretch,
    /// The objectives that it is excluded from, by name; empty: all.
    pub objectives: Vec<String>,
    /// Why, for people.
    pub reason: String,
    /// Who says so.
    pub author: String,
}

/// Maintenance that comes again at a civil time of a zone.
///
/// ```
/// use std::time::Duration;
/// use mainstay_core::event::parse_time;
/// use mainstay_core::slo::correction::Maintenance;
/// use mainstay_core::slo::window::Stretch;
///
/// let sundays = Maintenance::new("weekly", &[jiff::civil::Weekday::Sunday], jiff::civil::time(2, 30, 0, 0), Duration::from_hours(1), "Europe/Berlin").unwrap();
/// let week = Stretch { from: parse_time("2026-03-23T00:00:00Z").unwrap(), to: parse_time("2026-03-30T00:00:00Z").unwrap() };
/// // On the night of the clock change there is no half past two: it begins when the clocks have jumped.
/// assert_eq!(sundays.within(week)[0].from, parse_time("2026-03-29T01:30:00Z").unwrap());
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Maintenance {
    /// Its name.
    pub name: String,
    days: Vec<Weekday>,
    from: Clock,
    length: Duration,
    zone: TimeZone,
    /// The objectives that it is excluded from, by name; empty: all.
    pub objectives: Vec<String>,
}

impl Maintenance {
    /// Maintenance on these days of the week (none: every day) from a time of day on. A time that the clocks skip is the time as
    /// much later; one that comes twice is the first.
    pub fn new(
        name: &str,
        days: &[Weekday],
        from: Clock,
        length: Duration,
        zone: &str,
    ) -> Result<Maintenance, UnknownZone> {
        let zone = window::zone(zone)?;
        Ok(Maintenance { name: name.to_owned(), days: days.to_vec(), from, length, zone, objectives: Vec::new() })
    }

    /// Days of the week; none: every day.
    pub fn days(&self) -> &[Weekday] {
        &self.days
    }

    /// When it begins, by the clock of its zone.
    pub const fn from(&self) -> Clock {
        self.from
    }

    /// How long it takes.
    pub const fn length(&self) -> Duration {
        self.length
    }

    /// The IANA name of its zone.
    pub fn zone_name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// The stretches that touch another, in order; at most 1,000.
    pub fn within(&self, stretch: Stretch) -> Vec<Stretch> {
        let civil = |at: Time| window::stamp(at).to_zoned(self.zone.clone()).date();
        let mut day = civil(stretch.from - self.length).saturating_sub(Span::new().days(1));
        let last = civil(stretch.to);
        let mut found = Vec::new();
        while day <= last && found.len() < OCCURRENCES_MAX {
            if self.days.is_empty() || self.days.contains(&day.weekday()) {
                let start = self.zone.to_zoned(day.to_datetime(self.from)).map_or(Timestamp::MAX, |at| at.timestamp());
                let from = window::time(start);
                let occurrence = Stretch { from, to: from + self.length };
                if occurrence.from < stretch.to && stretch.from < occurrence.to {
                    found.push(occurrence);
                }
            }
            let Ok(next) = day.tomorrow() else { break };
            day = next;
        }
        found
    }
}

/// What is cut out of a window for one objective: the parts of corrections and maintenance that lie within, merged so that
/// nothing is cut out twice.
pub fn excluded(
    objective: &str,
    corrections: &[Correction],
    maintenance: &[Maintenance],
    window: Stretch,
) -> Vec<Stretch> {
    let applies = |names: &[String]| names.is_empty() || names.iter().any(|name| name == objective);
    let once = corrections.iter().filter(|correction| applies(&correction.objectives)).map(|c| c.stretch);
    let again = maintenance.iter().filter(|m| applies(&m.objectives)).flat_map(|m| m.within(window));
    let clip = |stretch: Stretch| Stretch { from: stretch.from.max(window.from), to: stretch.to.min(window.to) };
    let mut cut: Vec<Stretch> = once.chain(again).map(clip).filter(|stretch| stretch.from < stretch.to).collect();
    cut.sort_by_key(|stretch| stretch.from);
    let mut merged: Vec<Stretch> = Vec::with_capacity(cut.len());
    for stretch in cut {
        match merged.last_mut() {
            Some(before) if stretch.from <= before.to => before.to = before.to.max(stretch.to),
            Some(_) | None => merged.push(stretch),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::parse_time;

    fn at(text: &str) -> Time {
        parse_time(text).unwrap()
    }

    #[test]
    fn overlapping_corrections_are_cut_out_once() {
        let correction = |from: u64, to: u64| Correction {
            id: String::new(),
            stretch: Stretch { from: Time::from_secs(from), to: Time::from_secs(to) },
            objectives: Vec::new(),
            reason: String::new(),
            author: String::new(),
        };
        let all = [correction(50, 200), correction(100, 300), correction(400, 500)];
        let cut = excluded("any", &all, &[], Stretch { from: Time::from_secs(90), to: Time::from_secs(450) });
        let seconds: Vec<_> = cut.iter().map(|s| (s.from.as_millis() / 1000, s.to.as_millis() / 1000)).collect();
        assert_eq!(seconds, [(90, 300), (400, 450)]);
    }

    #[test]
    fn maintenance_keeps_its_civil_time_over_a_clock_change() {
        let nightly =
            Maintenance::new("nightly", &[], jiff::civil::time(3, 0, 0, 0), Duration::from_hours(1), "Europe/Berlin")
                .unwrap();
        let days = nightly.within(Stretch { from: at("2026-10-24T00:00:00Z"), to: at("2026-10-26T12:00:00Z") });
        let starts: Vec<Time> = days.iter().map(|stretch| stretch.from).collect();
        assert_eq!(starts, [at("2026-10-24T01:00:00Z"), at("2026-10-25T02:00:00Z"), at("2026-10-26T02:00:00Z")]);
    }
}

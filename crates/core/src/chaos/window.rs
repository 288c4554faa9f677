//! When experiments may run, by the clock on the wall of a zone.
//!
//! A moment is judged by what the clocks of the zone show at it, and by nothing else. So where clocks are set forward a time that
//! they skip never is, and where they are set back both passes of the same hour are judged alike.

use std::time::Duration;

use jiff::Span;
use jiff::civil::{Date, DateTime, Time as TimeOfDay, Weekday};
use jiff::tz::TimeZone;

use super::experiment::Blast;
use super::refusal::Refusal;
use crate::slo::window;
use crate::time::Time;

/// How far ahead the end of a window is looked for: longer than any run.
const AHEAD: Duration = Duration::from_hours(8 * 24);

/// When nothing beyond a limited blast runs, unless a config says when it may.
static WORK: Weekly =
    Weekly { days: Vec::new(), from: TimeOfDay::constant(9, 0, 0, 0), to: Some(TimeOfDay::constant(18, 0, 0, 0)) };

/// When experiments may run.
#[derive(Clone, PartialEq, Debug)]
pub struct Windows {
    /// The zone whose clocks count.
    pub zone: TimeZone,
    /// When experiments beyond a limited blast may run; empty: whenever nothing else forbids it. `None`: not from 09:00 until 18:00.
    pub allow: Option<Vec<Weekly>>,
    /// When no experiment may run, whatever its blast.
    pub deny: Vec<Deny>,
    /// Days on which nothing beyond a limited blast runs.
    pub holidays: Vec<Date>,
}

/// A stretch of the week.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Weekly {
    /// The days on which it starts; none: every day.
    pub days: Vec<Weekday>,
    /// Its first moment.
    pub from: TimeOfDay,
    /// The moment after its last; not after `from`: on the next day. `None`: the end of the day.
    pub to: Option<TimeOfDay>,
}

/// A time in which no experiment may run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deny {
    /// When.
    pub when: DenyWhen,
    /// Why, for whoever is refused.
    pub reason: Option<String>,
}

/// When no experiment may run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DenyWhen {
    /// From the start of the first day to the end of the last.
    Days(Date, Date),
    /// Each week again.
    Weekly(Weekly),
}

impl Default for Windows {
    fn default() -> Windows {
        Windows { zone: TimeZone::UTC, allow: None, deny: Vec::new(), holidays: Vec::new() }
    }
}

impl Weekly {
    /// Whether it holds what a clock shows.
    fn holds(&self, shown: DateTime) -> bool {
        let starts_on = |day: Date| self.days.is_empty() || self.days.contains(&day.weekday());
        let (day, time) = (shown.date(), shown.time());
        let before = |day: Date| day.yesterday().is_ok_and(starts_on);
        match self.to {
            None => starts_on(day) && self.from <= time,
            Some(to) if to > self.from => starts_on(day) && self.from <= time && time < to,
            Some(to) => (starts_on(day) && self.from <= time) || (before(day) && time < to),
        }
    }
}

impl Deny {
    fn holds(&self, shown: DateTime) -> bool {
        match &self.when {
            DenyWhen::Days(first, last) => (*first..=*last).contains(&shown.date()),
            DenyWhen::Weekly(weekly) => weekly.holds(shown),
        }
    }
}

impl Windows {
    /// Whether an experiment may run from one moment until another; the refusal says when it could begin instead.
    pub fn check(&self, blast: Blast, from: Time, until: Time) -> Result<(), Refusal> {
        let (at, why) = match self.barred(blast, from) {
            Some(why) => (from, why),
            None => match self.first_barred(blast, from, until) {
                Some(found) => found,
                None => return Ok(()),
            },
        };
        let needs = until.since(from);
        let end = from + AHEAD;
        let fits =
            |at: &Time| self.barred(blast, *at).is_none() && self.first_barred(blast, *at, *at + needs).is_none();
        let next = self.changes(from, end).into_iter().find(fits);
        let next = next.map_or_else(
            || "nothing within the next week is long enough".to_owned(),
            |next| format!("it could begin at {}", self.shown(next)),
        );
        let minutes = needs.as_secs().div_ceil(60);
        let text = format!("at {} {why}, and it needs {minutes} min with its recovery: {next}", self.shown(at));
        Err(Refusal::new("window", text))
    }

    /// When what runs at a moment has to end: `at` itself where it may not run then. `None`: not within the next week.
    pub fn closes(&self, blast: Blast, at: Time) -> Option<Time> {
        if self.barred(blast, at).is_some() {
            return Some(at);
        }
        self.first_barred(blast, at, at + AHEAD).map(|(at, _)| at)
    }

    /// Why an experiment may not run at a moment; `None`: it may.
    fn barred(&self, blast: Blast, at: Time) -> Option<String> {
        let shown = self.zone.to_datetime(window::stamp(at));
        if let Some(deny) = self.deny.iter().find(|deny| deny.holds(shown)) {
            let why = deny.reason.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
            return Some(format!("no experiment may run{why}"));
        }
        if blast == Blast::Limited {
            return None;
        }
        if self.holidays.contains(&shown.date()) {
            return Some("it is a holiday, on which nothing beyond `blast: limited` runs".to_owned());
        }
        match &self.allow {
            None => WORK.holds(shown).then(|| "nothing beyond `blast: limited` runs from 09:00 until 18:00".to_owned()),
            Some(allow) if allow.is_empty() || allow.iter().any(|weekly| weekly.holds(shown)) => None,
            Some(_) => Some("nothing beyond `blast: limited` runs outside `chaos.allow`".to_owned()),
        }
    }

    /// The first moment after `from` and before `until` at which an experiment may not run, and why.
    fn first_barred(&self, blast: Blast, from: Time, until: Time) -> Option<(Time, String)> {
        self.changes(from, until).into_iter().find_map(|at| self.barred(blast, at).map(|why| (at, why)))
    }

    /// Every moment after `from` and before `until` at which it may begin to be otherwise, in order.
    fn changes(&self, from: Time, until: Time) -> Vec<Time> {
        let weekly = |weekly: &Weekly| [Some(weekly.from), weekly.to];
        let denied = self.deny.iter().filter_map(|deny| match &deny.when {
            DenyWhen::Weekly(it) => Some(weekly(it)),
            DenyWhen::Days(..) => None,
        });
        let allowed = self.allow.as_deref().unwrap_or(std::slice::from_ref(&WORK)).iter().map(weekly);
        let mut times: Vec<TimeOfDay> = denied.chain(allowed).flatten().flatten().collect();
        times.push(TimeOfDay::midnight());
        times.sort();
        times.dedup();
        let end = window::stamp(until);
        let transitions = self.zone.following(window::stamp(from)).map(|it| it.timestamp());
        let mut found: Vec<Time> = transitions.take_while(|at| *at < end).map(window::time).collect();
        let (first, last) = (self.zone.to_datetime(window::stamp(from)).date(), self.zone.to_datetime(end).date());
        for day in first.yesterday().unwrap_or(first).series(Span::new().days(1)).take_while(|day| *day <= last) {
            for time in &times {
                let shown = self.zone.to_ambiguous_timestamp(day.to_datetime(*time));
                found.extend([shown.earlier(), shown.later()].into_iter().flatten().map(window::time));
            }
        }
        found.retain(|at| from < *at && *at < until);
        found.sort();
        found.dedup();
        found
    }

    fn shown(&self, at: Time) -> String {
        window::stamp(at).to_zoned(self.zone.clone()).strftime("%F %H:%M %Z").to_string()
    }
}

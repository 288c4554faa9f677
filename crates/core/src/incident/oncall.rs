//! Who is on call: people, rotations in civil time, and exceptions from them.
//!
//! A hand-off is a time that a clock on the wall shows. Where the clocks skip it, it is as much later as they skip (02:30 becomes
//! 03:30); where they show it twice, it is the first time. Turns are counted from the layer's start by the same clock, so
//! nothing drifts and no turn leaves a gap or meets the next.

mod rotation;
mod week;

use jiff::civil::{DateTime, Time as TimeOfDay, Weekday};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::slo::window::Stretch;
use crate::time::Time;

/// Most stretches that are looked at for one answer: a year of hourly turns.
pub const SHIFTS_MAX: usize = 10_000;

/// Somebody who can be told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Person {
    /// The name.
    pub name: String,
    /// The channels that reach them, the first first; the others where one fails.
    pub channels: Vec<String>,
    /// Where mail reaches them, for channels that send mail.
    pub email: Option<String>,
}

/// How long a turn is, in civil time: a day is from one time of day to the same on the next, 23 hours or 25 where the clocks
/// change. Months from the 31st end on the last day of shorter ones. Zero counts as one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// So many hours of the civil clock.
    Hours(u32),
    /// So many days.
    Days(u32),
    /// So many weeks.
    Weeks(u32),
    /// So many months.
    Months(u32),
}

/// A stretch of the week in which a layer counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Only {
    /// The days on which it starts; none: never.
    pub days: Vec<Weekday>,
    /// When it starts.
    pub from: TimeOfDay,
    /// When it ends; not after `from`: on the next day.
    pub to: TimeOfDay,
}

/// People who take turns.
#[derive(Clone, PartialEq, Debug)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// The first hand-off, by the clock of the schedule's zone; the layer counts from then on.
    pub start: DateTime,
    /// When it ends; `None`: never.
    pub until: Option<DateTime>,
    /// How long a turn is.
    pub turn: Turn,
    /// Who takes turns, in order; at least one.
    pub people: Vec<String>,
    /// When it counts; empty: always.
    pub only: Vec<Only>,
}

/// Layers, of which the last that counts at a moment decides.
#[derive(Clone, PartialEq, Debug)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// The zone in whose civil time hand-offs are.
    pub zone: TimeZone,
    /// The layers; a later one goes before an earlier one.
    pub layers: Vec<Layer>,
}

/// An exception: somebody else, for a while. The one that was made last decides.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Override {
    /// Its id.
    pub id: String,
    /// The schedule.
    pub schedule: String,
    /// Who is on call instead.
    pub person: String,
    /// From.
    pub from: Time,
    /// Until.
    pub until: Time,
}

/// A stretch of time in which one person is on call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Shift {
    /// Who.
    pub person: String,
    /// The layer that says so; `None`: an override.
    pub layer: Option<String>,
    /// From.
    pub from: Time,
    /// Until.
    pub until: Time,
}

/// What decides at a moment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// The override at this place.
    Override(usize),
    /// The layer at this place, in its so-manieth turn.
    Layer(usize, i64),
}

impl Schedule {
    /// Who is on call at a moment, and for how long; `None`: nobody. The effort does not depend on how long ago the layers started.
    ///
    /// Overrides of other schedules do not count. A turn that is put together from more than 1,000 stretches of the week is told
    /// in part.
    ///
    /// ```
    /// use jiff::civil::date;
    /// use mainstay_core::event::parse_time;
    /// use mainstay_core::incident::oncall::{Layer, Schedule, Turn};
    /// use mainstay_core::slo::window::zone;
    ///
    /// let layer = Layer {
    ///     name: "night".to_owned(),
    ///     start: date(2026, 3, 27).at(2, 30, 0, 0),
    ///     until: None,
    ///     turn: Turn::Days(1),
    ///     people: vec!["ada".to_owned(), "bob".to_owned()],
    ///     only: Vec::new(),
    /// };
    /// let schedule = Schedule { name: "ml".to_owned(), zone: zone("Europe/Berlin").unwrap(), layers: vec![layer] };
    /// // On the 29th there is no 02:30: bob goes on until 03:30, and whoever is next has 23 hours.
    /// let shift = schedule.who(&[], parse_time("2026-03-29T01:00:00Z").unwrap()).unwrap();
    /// assert_eq!(shift.person, "bob");
    /// assert_eq!(shift.until, parse_time("2026-03-29T01:30:00Z").unwrap());
    /// ```
    pub fn who(&self, overrides: &[Override], at: Time) -> Option<Shift> {
        let (by, stretch) = self.decided(overrides, at);
        self.shift(overrides, by?, stretch)
    }

    /// Who is on call when, in order and without overlaps, cut to a stretch of time. A turn is one shift, or several where something
    /// else decides in between. At most [`SHIFTS_MAX`]: what is beyond is asked for from the end of the last.
    pub fn shifts(&self, overrides: &[Override], from: Time, until: Time) -> Vec<Shift> {
        let decided = self.sweep(overrides, from, until).into_iter();
        decided.filter_map(|(by, stretch)| self.shift(overrides, by?, stretch)).collect()
    }

    /// When nobody is on call, in order, cut to a stretch of time; found within the first [`SHIFTS_MAX`] shifts and gaps.
    pub fn gaps(&self, overrides: &[Override], from: Time, until: Time) -> Vec<Stretch> {
        let decided = self.sweep(overrides, from, until).into_iter();
        decided.filter(|(by, _)| by.is_none()).map(|(_, stretch)| stretch).collect()
    }

    /// What decides when, in order and without holes.
    fn sweep(&self, overrides: &[Override], from: Time, until: Time) -> Vec<(Option<By>, Stretch)> {
        let mut found: Vec<(Option<By>, Stretch)> = Vec::new();
        let mut at = from;
        for _ in 0..SHIFTS_MAX {
            if at >= until {
                break;
            }
            let (by, stretch) = self.decided(overrides, at);
            let to = stretch.to.min(until);
            match found.last_mut() {
                Some((before, stretch)) if *before == by => stretch.to = to,
                Some(_) | None => found.push((by, Stretch { from: at, to })),
            }
            at = to;
        }
        found
    }

    /// What decides at a moment, and the stretch around it in which it does.
    fn decided(&self, overrides: &[Override], at: Time) -> (Option<By>, Stretch) {
        let mut within = Stretch { from: Time::ZERO, to: Time::MAX };
        for (index, one) in overrides.iter().enumerate().rev() {
            let stretch = Stretch { from: one.from, to: one.until };
            if one.schedule != self.name || stretch.from >= stretch.to {
                continue;
            }
            if stretch.holds(at) {
                return (Some(By::Override(index)), both(within, stretch));
            }
            let (from, to) = if at < stretch.from { (Time::ZERO, stretch.from) } else { (stretch.to, Time::MAX) };
            within = both(within, Stretch { from, to });
        }
        for (index, layer) in self.layers.iter().enumerate().rev() {
            let (turn, stretch) = layer.turn_at(&self.zone, at);
            within = both(within, stretch);
            if let Some(turn) = turn {
                return (Some(By::Layer(index, turn)), within);
            }
        }
        (None, within)
    }

    fn shift(&self, overrides: &[Override], by: By, stretch: Stretch) -> Option<Shift> {
        let (person, layer) = match by {
            By::Override(index) => (&overrides.get(index)?.person, None),
            By::Layer(index, turn) => {
                let layer = self.layers.get(index)?;
                (layer.person(turn)?, Some(layer.name.clone()))
            }
        };
        Some(Shift { person: person.clone(), layer, from: stretch.from, until: stretch.to })
    }
}

/// The time that lies in both.
fn both(a: Stretch, b: Stretch) -> Stretch {
    Stretch { from: a.from.max(b.from), to: a.to.min(b.to) }
}

//! Who is on call: people, rotations in civil time, and exceptions from them.

use jiff::civil::{DateTime, Time as TimeOfDay, Weekday};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::time::Time;

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

/// How long a turn is, in civil time: a day is from one time of day to the same on the next, 23 hours or 25 where the clocks change.
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
    /// The days on which it starts.
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

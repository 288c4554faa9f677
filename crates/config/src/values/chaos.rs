//! Days, and times of day that may be the end of a day.

use jiff::civil::{Date, Time};
use schemars::{Schema, SchemaGenerator, json_schema};

use super::{parse, scalar, shortened, text_value};
use crate::code::Code;
use crate::finding::Finding;
use crate::read::{Kind, Reader};
use crate::tree::Node;

text_value! {
    /// A day.
    Day: Date = "a day such as `2026-12-24`", Code::CivilTime, day,
    { "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$" }
}
text_value! {
    /// A time of day at which something ends; `24:00`, or `None`, is the end of the day.
    ClockEnd: Option<Time> = "a time of day such as `18:00` or `24:00`", Code::Clock, clock_end,
    { "type": "string", "pattern": r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$" }
}
text_value! {
    /// A day, or a time of day.
    DayOrClock: Moment = "a day such as `2026-12-24`, or a time of day such as `18:00`", Code::Clock, moment,
    { "type": "string", "pattern": r"^([0-9]{4}-[0-9]{2}-[0-9]{2}|([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$" }
}

/// A day, or a time of day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Moment {
    /// A day.
    Day(Date),
    /// A time of each day; `None`: its end.
    Clock(Option<Time>),
}

fn day(words: &str) -> Result<Date, Option<String>> {
    let shape = words.len() == 10 && words.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if shape { words.parse().map_err(|_| None) } else { Err(None) }
}

fn clock_end(words: &str) -> Result<Option<Time>, Option<String>> {
    if words == "24:00" { Ok(None) } else { parse::clock(words).map(Some) }
}

fn moment(words: &str) -> Result<Moment, Option<String>> {
    match day(words) {
        Ok(day) => Ok(Moment::Day(day)),
        Err(_) => clock_end(words).map(Moment::Clock),
    }
}

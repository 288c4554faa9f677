//! Times and lengths by the clock on the wall, and who is told.

use jiff::civil::{Date, DateTime};
use mainstay_core::incident::escalation::Target;
use mainstay_core::incident::oncall::Turn;
use schemars::{Schema, SchemaGenerator, json_schema};

use super::{parse, scalar, shortened, text_value};
use crate::code::Code;
use crate::finding::Finding;
use crate::read::{Kind, Reader};
use crate::tree::Node;

/// Most units of a turn.
const UNITS_MAX: u32 = 1_000;

text_value! {
    /// A day and a time of day, in the zone that stands beside it.
    CivilTime: DateTime = "a day and a time such as `2026-01-05T09:00`", Code::CivilTime, civil_time,
    { "type": "string", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3]):[0-5][0-9]$" }
}
text_value! {
    /// How long a turn is.
    TurnLength: Turn = "the length of a turn such as `12h`, `1d`, `1w` or `1mo`", Code::Turn, turn,
    { "type": "string", "pattern": "^[0-9]+(h|d|w|mo)$" }
}
text_value! {
    /// Whom a step tells.
    Told: Target = "somebody to tell such as `schedule:ml`, `person:ada` or `channel:chat`", Code::UnknownWord, target,
    { "type": "string", "pattern": "^(schedule|person|channel):.+$" }
}

fn civil_time(words: &str) -> Result<DateTime, Option<String>> {
    let Some((day, clock)) = words.split_once(['T', ' ']) else {
        let whole = date(words).is_some();
        return Err(whole.then(|| format!("the time is missing: `{words}T09:00`?")));
    };
    let zoned = clock.len() > 5 && clock.ends_with(|c: char| c == 'Z' || c.is_ascii_digit());
    let clock =
        parse::clock(clock).map_err(|_| zoned.then(|| "hours and minutes, by the schedule's `zone`".to_owned()))?;
    date(day).map(|day| day.to_datetime(clock)).ok_or(None)
}

/// `YYYY-MM-DD`, and nothing else that a date can be written as.
fn date(words: &str) -> Option<Date> {
    let shape = words.len() == 10 && words.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if shape { words.parse().ok() } else { None }
}

fn turn(words: &str) -> Result<Turn, Option<String>> {
    let words = words.trim();
    let end = words.find(|c: char| !c.is_ascii_digit()).unwrap_or(words.len());
    let (number, unit) = words.split_at(end);
    let count: u32 = number.parse().map_err(|_| None)?;
    if !(1..=UNITS_MAX).contains(&count) {
        return Err(Some(format!("from 1 to {UNITS_MAX}")));
    }
    match unit.trim_start() {
        "h" => Ok(Turn::Hours(count)),
        "d" => Ok(Turn::Days(count)),
        "w" => Ok(Turn::Weeks(count)),
        "mo" => Ok(Turn::Months(count)),
        "hour" | "hours" => Err(Some(format!("did you mean `{count}h`?"))),
        "day" | "days" => Err(Some(format!("did you mean `{count}d`?"))),
        "week" | "weeks" => Err(Some(format!("did you mean `{count}w`?"))),
        "M" | "mon" | "month" | "months" => Err(Some(format!("did you mean `{count}mo`?"))),
        "m" => Err(Some(format!("`m` are minutes elsewhere; a month is `{count}mo`"))),
        "" => Err(Some(format!("a unit is missing: `{count}d` or `{count}w`?"))),
        _ => Err(Some("units are h, d, w, mo".to_owned())),
    }
}

fn target(words: &str) -> Result<Target, Option<String>> {
    match words.split_once(':') {
        Some(("schedule", name)) if !name.is_empty() => Ok(Target::Schedule(name.to_owned())),
        Some(("person", name)) if !name.is_empty() => Ok(Target::Person(name.to_owned())),
        Some(("channel", name)) if !name.is_empty() => Ok(Target::Channel(name.to_owned())),
        Some(_) => Err(None),
        None => Err(Some(format!("`schedule:{words}`, `person:{words}` or `channel:{words}`?"))),
    }
}

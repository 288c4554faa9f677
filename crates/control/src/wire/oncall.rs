//! Who is on call, and what nobody is paged for.

#![expect(clippy::struct_field_names, reason = "the names are those of the JSON")]

use mainstay_core::event::{format_time, parse_time};
use mainstay_core::incident::oncall::{self, Schedule};
use mainstay_core::response::desk;
use mainstay_core::time::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration;

/// `GET /api/v1/oncall`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct OnCall {
    /// The moment that it is about.
    pub(crate) at: String,
    /// By schedule.
    pub(crate) schedules: Vec<ScheduleNow>,
}

/// Who is on call by a schedule.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ScheduleNow {
    /// The schedule's name.
    name: String,
    /// The zone of its hand-offs.
    zone: String,
    /// Who is on call; null: nobody.
    now: Option<Shift>,
    /// Who is next, within two weeks; null: nobody.
    next: Option<Shift>,
}

/// Somebody's time.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Shift {
    /// Who.
    person: String,
    /// The layer that says so; absent: an exception does.
    #[serde(skip_serializing_if = "Option::is_none")]
    layer: Option<String>,
    /// From.
    from: String,
    /// Until.
    until: String,
}

impl Shift {
    fn of(shift: oncall::Shift) -> Shift {
        let oncall::Shift { person, layer, from, until } = shift;
        Shift { person, layer, from: format_time(from), until: format_time(until) }
    }
}

fn zone(schedule: &Schedule) -> String {
    schedule.zone.iana_name().unwrap_or("UTC").to_owned()
}

impl ScheduleNow {
    pub(crate) fn of(schedule: &Schedule, overrides: &[oncall::Override], at: Time) -> ScheduleNow {
        let now = schedule.who(overrides, at);
        let from = now.as_ref().map_or(at, |shift| shift.until);
        let horizon = std::time::Duration::from_hours(14 * 24);
        let next = schedule.shifts(overrides, from, from + horizon).into_iter().next();
        let next = next.and_then(|shift| schedule.who(overrides, shift.from));
        ScheduleNow {
            name: schedule.name.clone(),
            zone: zone(schedule),
            now: now.map(Shift::of),
            next: next.map(Shift::of),
        }
    }
}

/// `GET /api/v1/oncall/{schedule}`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Shifts {
    /// The schedule's name.
    schedule: String,
    /// The zone of its hand-offs.
    zone: String,
    /// Who is on call, one after the other.
    shifts: Vec<Shift>,
    /// When nobody is.
    gaps: Vec<Gap>,
}

/// A time in which nobody is on call.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Gap {
    /// From.
    from: String,
    /// Until.
    until: String,
}

impl Shifts {
    pub(crate) fn of(schedule: &Schedule, overrides: &[oncall::Override], from: Time, until: Time) -> Shifts {
        let gaps = schedule.gaps(overrides, from, until).into_iter();
        Shifts {
            schedule: schedule.name.clone(),
            zone: zone(schedule),
            shifts: schedule.shifts(overrides, from, until).into_iter().map(Shift::of).collect(),
            gaps: gaps.map(|gap| Gap { from: format_time(gap.from), until: format_time(gap.to) }).collect(),
        }
    }
}

/// At which moment.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AtQuery {
    pub(crate) at: Option<String>,
}

/// In which stretch of time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StretchQuery {
    pub(crate) from: Option<String>,
    pub(crate) until: Option<String>,
}

/// `GET /api/v1/overrides`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Overrides {
    /// In the order in which they were made.
    pub(crate) overrides: Vec<Override>,
}

/// An exception from who is on call.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Override {
    /// Its id.
    id: String,
    /// The schedule.
    schedule: String,
    /// Who is on call instead.
    person: String,
    /// From.
    from: String,
    /// Until.
    until: String,
}

impl Override {
    pub(crate) fn of(it: &oncall::Override) -> Override {
        Override {
            id: it.id.clone(),
            schedule: it.schedule.clone(),
            person: it.person.clone(),
            from: format_time(it.from),
            until: format_time(it.until),
        }
    }
}

/// The body of `POST /api/v1/overrides`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OverrideRequest {
    /// The schedule.
    pub(crate) schedule: String,
    /// Who is on call instead.
    pub(crate) person: String,
    /// From, as RFC 3339.
    pub(crate) from: String,
    /// Until, as RFC 3339.
    pub(crate) until: String,
}

/// `GET /api/v1/silences`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Silences {
    /// In the order in which they were made.
    pub(crate) silences: Vec<Silence>,
}

/// Something that nobody is paged for.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Silence {
    /// Its id.
    id: String,
    /// Incidents of this type; absent: of any.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    /// Incidents that touch this route; absent: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    /// This incident; absent: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    incident: Option<String>,
    /// From.
    from: String,
    /// Until.
    until: String,
    /// Whether it holds now.
    active: bool,
    /// Who made it.
    by: String,
    /// Why.
    reason: String,
}

impl Silence {
    pub(crate) fn of(it: &desk::Silence, now: Time) -> Silence {
        Silence {
            id: it.id.clone(),
            kind: it.kind.clone(),
            route: it.route.clone(),
            incident: it.incident.clone(),
            from: format_time(it.from),
            until: format_time(it.until),
            active: it.from <= now && now < it.until,
            by: it.by.clone(),
            reason: it.reason.clone(),
        }
    }
}

/// The body of `POST /api/v1/silences`; what is left out is any.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SilenceRequest {
    /// Incidents of this type.
    #[serde(default, rename = "type")]
    pub(crate) kind: Option<String>,
    /// Incidents that touch this route.
    #[serde(default)]
    pub(crate) route: Option<String>,
    /// This incident.
    #[serde(default)]
    pub(crate) incident: Option<String>,
    /// From, as RFC 3339. Default: now.
    #[serde(default)]
    from: Option<String>,
    /// Until, as RFC 3339; either this or `for`.
    #[serde(default)]
    until: Option<String>,
    /// How long, such as `1h`.
    #[serde(default, rename = "for")]
    lasting: Option<String>,
    /// Why, at most 500 characters.
    pub(crate) reason: String,
}

impl SilenceRequest {
    /// From when until when, or what is wrong with it.
    pub(crate) fn stretch(&self, now: Time) -> Result<(Time, Time), String> {
        let read = |text: &String| {
            parse_time(text).ok_or_else(|| format!("`{text}` is not a time such as 2026-03-01T12:00:00Z"))
        };
        let from = self.from.as_ref().map(read).transpose()?.unwrap_or(now);
        match (&self.until, &self.lasting) {
            (Some(until), None) => Ok((from, read(until)?)),
            (None, Some(text)) => {
                let lasting = duration(text).ok_or_else(|| format!("`for` {text} is not a duration such as 1h"))?;
                Ok((from, from + lasting))
            }
            _ => Err("say either `until` or `for`: every silence ends".to_owned()),
        }
    }
}

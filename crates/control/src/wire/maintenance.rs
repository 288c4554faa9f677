//! Maintenance that comes again.

use std::time::Duration;

use mainstay_core::slo::correction::{self, Clock, Weekday};
use mainstay_core::slo::window::written;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration;

/// Maintenance that takes longer leaves nothing to count.
const LENGTH_MAX: Duration = Duration::from_hours(24);
/// Longest reason, in characters.
const REASON_CHARS_MAX: usize = 500;
/// Longest name, in bytes.
const NAME_MAX: usize = 64;

/// `GET /api/v1/maintenance`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AllMaintenance {
    /// The config's, and what was added.
    pub(crate) maintenance: Vec<Maintenance>,
}

/// Maintenance that comes again.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Maintenance {
    /// Its name.
    name: String,
    /// `config` or `api`.
    source: &'static str,
    /// Days of the week; empty: every day.
    days: Vec<Day>,
    /// When it begins, by the clock of the zone.
    from: String,
    /// How long it takes.
    length: String,
    /// The time zone.
    zone: String,
    /// The objectives that it is for; empty: all.
    slos: Vec<String>,
    /// Why; empty: the config says no reason.
    reason: String,
    /// Who said so; empty: the config.
    author: String,
}

/// The body of `POST /api/v1/maintenance`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MaintenanceRequest {
    /// Its name; the same name replaces it.
    pub(crate) name: String,
    /// Days of the week; absent or empty: every day.
    #[serde(default)]
    days: Vec<Day>,
    /// When it begins, by the clock of the zone, such as `02:30`. A time that the clocks skip is as much later, one that comes
    /// twice is the first.
    from: String,
    /// How long it takes, such as `90m`; at most a day.
    length: String,
    /// The time zone, such as `Europe/Berlin`. Default: UTC.
    #[serde(default)]
    zone: Option<String>,
    /// The objectives that it is for; absent or empty: all.
    #[serde(default)]
    pub(crate) slos: Vec<String>,
    /// Why, at most 500 characters.
    reason: String,
}

/// A day of the week.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Day {
    const ALL: [(Day, Weekday); 7] = [
        (Day::Monday, Weekday::Monday),
        (Day::Tuesday, Weekday::Tuesday),
        (Day::Wednesday, Weekday::Wednesday),
        (Day::Thursday, Weekday::Thursday),
        (Day::Friday, Weekday::Friday),
        (Day::Saturday, Weekday::Saturday),
        (Day::Sunday, Weekday::Sunday),
    ];
}

impl MaintenanceRequest {
    /// The maintenance, or what is impossible about it.
    pub(crate) fn checked(&self) -> Result<correction::Maintenance, String> {
        if self.name.is_empty() || self.name.len() > NAME_MAX {
            return Err(format!("`name` has 1 to {NAME_MAX} bytes"));
        }
        if self.reason.is_empty() || self.reason.chars().count() > REASON_CHARS_MAX {
            return Err(format!("`reason` has 1 to {REASON_CHARS_MAX} characters"));
        }
        let from = Clock::strptime("%H:%M", &self.from);
        let from = from.map_err(|_| format!("`from` {} is not a time of day such as 02:30", self.from))?;
        let length = duration(&self.length).filter(|length| !length.is_zero() && *length <= LENGTH_MAX);
        let length = length
            .ok_or_else(|| format!("`length` {} is not a duration such as 90m, of at most a day", self.length))?;
        let weekday = |day: &Day| Day::ALL.iter().find(|(named, _)| named == day).map(|(_, weekday)| *weekday);
        let days: Vec<Weekday> = self.days.iter().filter_map(weekday).collect();
        let zone = self.zone.as_deref().unwrap_or("UTC");
        let mut made =
            correction::Maintenance::new(&self.name, &days, from, length, zone).map_err(|error| error.to_string())?;
        made.objectives.clone_from(&self.slos);
        Ok(made)
    }
}

impl Maintenance {
    pub(crate) fn of(made: &correction::Maintenance, said: Option<(&MaintenanceRequest, &str)>) -> Maintenance {
        let day = |weekday: &Weekday| Day::ALL.iter().find(|(_, named)| named == weekday).map(|(day, _)| *day);
        Maintenance {
            name: made.name.clone(),
            source: if said.is_some() { "api" } else { "config" },
            days: made.days().iter().filter_map(day).collect(),
            from: made.from().strftime("%H:%M").to_string(),
            length: written(made.length()),
            zone: made.zone_name().to_owned(),
            slos: made.objectives.clone(),
            reason: said.map_or_else(String::new, |(request, _)| request.reason.clone()),
            author: said.map_or_else(String::new, |(_, author)| author.to_owned()),
        }
    }
}

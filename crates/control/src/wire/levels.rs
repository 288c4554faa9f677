//! Levels and pins.

use std::time::Duration;

use mainstay_core::event::format_time;
use mainstay_core::route::Level;
use mainstay_core::status;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration;

/// A route held at a level.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Pin {
    /// The level, 0 to 4.
    level: u8,
    /// When it ends; null: when it is taken back.
    until: Option<String>,
    /// Why.
    reason: String,
}

/// `GET /api/v1/levels`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Levels {
    /// The routes, in the config's order.
    pub(crate) levels: Vec<RouteLevel>,
}

/// Where a route is.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RouteLevel {
    /// The route's name.
    pub(crate) route: String,
    /// The level at which requests start, 0 to 4.
    level: u8,
    /// That level's name on this route.
    name: String,
    /// Why it is there.
    reason: String,
    /// A manual pin, if one holds.
    pin: Option<Pin>,
}

/// The body of `PUT /api/v1/levels/{route}`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PinRequest {
    /// The level, 0 to 4.
    pub(crate) level: u8,
    /// How long, as `90s`, `30m`, `2h` or `1d`, at most 30 days; absent: until it is taken back.
    #[serde(rename = "for", default)]
    pub(crate) hold: Option<String>,
    /// Why, at most 500 characters.
    #[serde(default)]
    pub(crate) reason: String,
}

impl From<status::Pin> for Pin {
    fn from(from: status::Pin) -> Pin {
        Pin { level: from.level.number(), until: from.until.map(format_time), reason: from.reason }
    }
}

impl From<status::RouteStatus> for RouteLevel {
    fn from(from: status::RouteStatus) -> RouteLevel {
        RouteLevel {
            route: from.name,
            level: from.level.number(),
            name: from.level_name,
            reason: from.reason,
            pin: from.pin.map(Pin::from),
        }
    }
}

/// Longest pin.
const HOLD_MAX: Duration = Duration::from_hours(30 * 24);
/// Longest reason, in characters.
const REASON_CHARS_MAX: usize = 500;

impl PinRequest {
    /// The level and the time it holds, or what is impossible about them.
    pub(crate) fn checked(&self) -> Result<(Level, Option<Duration>), String> {
        let level = Level::try_from(self.level).map_err(str::to_owned)?;
        if self.reason.chars().count() > REASON_CHARS_MAX {
            return Err(format!("the reason has more than {REASON_CHARS_MAX} characters"));
        }
        let Some(text) = &self.hold else { return Ok((level, None)) };
        let hold = duration(text).ok_or("`for` is a number and one of ms, s, m, h and d, as in 30m")?;
        if hold.is_zero() || hold > HOLD_MAX {
            return Err("`for` is more than nothing and at most 30d".to_owned());
        }
        Ok((level, Some(hold)))
    }
}

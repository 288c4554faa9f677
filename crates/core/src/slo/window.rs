//! The time over which an objective is judged.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use crate::time::Time;

/// The time over which an objective is judged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Window {
    /// The last so long, at each moment.
    Rolling(Duration),
    /// From one turn of the calendar to the next.
    Calendar(Calendar),
}

/// A window of the calendar in a time zone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Calendar {
    period: Period,
    zone: TimeZone,
}

/// How long a calendar window is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From Monday to Monday.
    Week,
    /// From the first of a month to the next.
    Month,
    /// January, April, July, October.
    Quarter,
    /// From the first of January to the next.
    Year,
}

impl Period {
    /// The name that the config uses.
    pub const fn name(self) -> &'static str {
        match self {
            Period::Day => "day",
            Period::Week => "week",
            Period::Month => "month",
            Period::Quarter => "quarter",
            Period::Year => "year",
        }
    }
}

/// There is no such time zone in the IANA database that is built in.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("there is no time zone `{0}` (IANA names, such as Europe/Berlin)")]
pub struct UnknownZone(pub String);

/// A length of time as Prometheus writes it (`5m`, `1h30m`, `30d`), in whole seconds: metrics' `window` label, rules that
/// ask for it and people are shown the same words.
pub fn written(length: Duration) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let mut rest = length.as_secs().max(1);
    let mut out = String::new();
    for (each, unit) in units {
        let whole = rest / each;
        if whole > 0 {
            let _ = write!(out, "{whole}{unit}");
            rest %= each;
        }
    }
    out
}

/// The time zone of an IANA name, from the database that is built in: the machine's own is not read.
pub fn zone(name: &str) -> Result<TimeZone, UnknownZone> {
    let database = jiff::tz::TimeZoneDatabase::bundled();
    database.get(name).map_err(|_| UnknownZone(name.to_owned()))
}

/// A stretch of time: from `from` on, up to but not including `to`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stretch {
    /// Its first moment.
    pub from: Time,
    /// The moment after its last.
    pub to: Time,
}

impl Stretch {
    /// How long it is.
    pub const fn length(&self) -> Duration {
        self.to.since(self.from)
    }

    /// Whether a moment lies within.
    pub fn holds(&self, at: Time) -> bool {
        self.from <= at && at < self.to
    }
}

impl Calendar {
    /// A calendar window in the zone of an IANA name.
    pub fn new(period: Period, name: &str) -> Result<Calendar, UnknownZone> {
        Ok(Calendar { period, zone: zone(name)? })
    }

    /// How long it is.
    pub const fn period(&self) -> Period {
        self.period
    }

    /// The zone's IANA name.
    pub fn zone_name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// The window that holds `now`.
    ///
    /// It begins at midnight in the zone, or where a clock change leaves none, at the first moment of that day: a window that
    /// holds such a night is an hour longer or shorter than others, and there is neither gap nor overlap.
    pub fn around(&self, now: Time) -> Stretch {
        let today = stamp(now).to_zoned(self.zone.clone()).date();
        let first = self.first_day(today);
        let next = first.saturating_add(self.step());
        Stretch { from: self.start_of(first), to: self.start_of(next) }
    }

    fn first_day(&self, day: Date) -> Date {
        match self.period {
            Period::Day => day,
            Period::Week => {
                let back = i64::from(day.weekday().since(Weekday::Monday));
                day.saturating_sub(Span::new().days(back))
            }
            Period::Month => day.first_of_month(),
            Period::Quarter => Date::new(day.year(), (day.month() - 1) / 3 * 3 + 1, 1).unwrap_or(day),
            Period::Year => day.first_of_year(),
        }
    }

    fn step(&self) -> Span {
        match self.period {
            Period::Day => Span::new().days(1),
            Period::Week => Span::new().weeks(1),
            Period::Month => Span::new().months(1),
            Period::Quarter => Span::new().months(3),
            Period::Year => Span::new().years(1),
        }
    }

    fn start_of(&self, day: Date) -> Time {
        let start = day.to_zoned(self.zone.clone()).map(|midnight| midnight.timestamp());
        start.map_or(Time::ZERO, time)
    }
}

impl Window {
    /// The part of the window that has passed at `now`: of a rolling one all of it, of a calendar one what came before `now`.
    pub fn to_date(&self, now: Time) -> Stretch {
        match self {
            Window::Rolling(length) => Stretch { from: now - *length, to: now },
            Window::Calendar(calendar) => Stretch { from: calendar.around(now).from, to: now },
        }
    }

    /// The window's whole length at `now`.
    pub fn length(&self, now: Time) -> Duration {
        match self {
            Window::Rolling(length) => *length,
            Window::Calendar(calendar) => calendar.around(now).length(),
        }
    }

    /// The longest that it ever is, a change of clocks included.
    pub const fn longest(&self) -> Duration {
        const DAY: u64 = 24;
        match self {
            Window::Rolling(length) => *length,
            Window::Calendar(calendar) => match calendar.period {
                Period::Day => Duration::from_hours(DAY + 1),
                Period::Week => Duration::from_hours(7 * DAY + 1),
                Period::Month => Duration::from_hours(31 * DAY + 1),
                Period::Quarter => Duration::from_hours(92 * DAY + 1),
                Period::Year => Duration::from_hours(366 * DAY + 1),
            },
        }
    }
}

/// As jiff has it; what lies beyond its range is its last moment.
pub(crate) fn stamp(at: Time) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(at.as_nanos())).unwrap_or(Timestamp::MAX)
}

/// Before 1970 is 1970.
pub(crate) fn time(stamp: Timestamp) -> Time {
    Time::from_nanos(u64::try_from(stamp.as_nanosecond()).unwrap_or(if stamp.as_nanosecond() < 0 {
        0
    } else {
        u64::MAX
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Time {
        time(text.parse().unwrap())
    }

    fn around(period: Period, zone: &str, now: &str) -> (String, String) {
        let stretch = Calendar::new(period, zone).unwrap().around(at(now));
        (stamp(stretch.from).to_string(), stamp(stretch.to).to_string())
    }

    #[test]
    fn calendar_windows_follow_the_zone() {
        let month = around(Period::Month, "Europe/Berlin", "2026-10-31T23:30:00Z");
        assert_eq!(month, ("2026-10-31T23:00:00Z".to_owned(), "2026-11-30T23:00:00Z".to_owned()));
        let week = around(Period::Week, "America/New_York", "2026-11-25T02:00:00Z");
        assert_eq!(week, ("2026-11-23T05:00:00Z".to_owned(), "2026-11-30T05:00:00Z".to_owned()));
        let quarter = around(Period::Quarter, "UTC", "2026-11-25T02:00:00Z");
        assert_eq!(quarter, ("2026-10-01T00:00:00Z".to_owned(), "2027-01-01T00:00:00Z".to_owned()));
    }

    #[test]
    fn nights_of_clock_changes_are_an_hour_longer_or_shorter() {
        let berlin = Calendar::new(Period::Day, "Europe/Berlin").unwrap();
        assert_eq!(berlin.around(at("2026-03-29T12:00:00Z")).length(), Duration::from_hours(23));
        assert_eq!(berlin.around(at("2026-10-25T12:00:00Z")).length(), Duration::from_hours(25));
        // In Santiago the clock goes from 24:00 to 01:00: the day has no midnight and begins at one.
        let santiago = Calendar::new(Period::Day, "America/Santiago").unwrap();
        let day = santiago.around(at("2026-09-06T12:00:00Z"));
        assert_eq!(stamp(day.from).to_string(), "2026-09-06T04:00:00Z");
        assert_eq!(day.length(), Duration::from_hours(23));
    }

    #[test]
    fn successive_windows_neither_leave_a_gap_nor_overlap() {
        for name in [
            "Europe/Berlin",
            "America/Sao_Paulo",
            "Australia/Lord_Howe",
            "Pacific/Apia",
            "Africa/Casablanca",
            "Asia/Tehran",
        ] {
            for period in [Period::Day, Period::Week, Period::Month, Period::Quarter, Period::Year] {
                let calendar = Calendar::new(period, name).unwrap();
                let mut stretch = calendar.around(at("2010-12-20T00:00:00Z"));
                for _ in 0..500 {
                    let next = calendar.around(stretch.to);
                    assert_eq!(next.from, stretch.to, "{name} {period:?}");
                    assert!(next.length() <= Window::Calendar(calendar.clone()).longest(), "{name} {period:?}");
                    stretch = next;
                }
            }
        }
    }

    #[test]
    fn lengths_are_written_as_prometheus_reads_them() {
        for (seconds, as_written) in [(300, "5m"), (84, "1m24s"), (5_400, "1h30m"), (2_592_000, "30d"), (0, "1s")] {
            assert_eq!(written(Duration::from_secs(seconds)), as_written);
        }
    }

    #[test]
    fn an_unknown_zone_is_named() {
        assert_eq!(zone("Mars/Olympus"), Err(UnknownZone("Mars/Olympus".to_owned())));
    }
}

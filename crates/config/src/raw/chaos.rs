//! When experiments may run, who has to agree, and the config's own.

use mainstay_core::chaos::experiment::Blast;

use super::experiment::Document;
use super::policy::DayName;
use crate::read::{Flag, List, Text, choice, section};
use crate::values::{Clock, ClockEnd, Day, DayOrClock, Dur, Ratio};

section! {
    /// When experiments may run, who has to agree, and the config's own.
    Chaos = "`chaos`" {
        /// The time zone of days and times of day below. Default: UTC.
        zone: Text,
        /// When experiments beyond a limited blast may run. Default: on each day from 18:00 to 09:00.
        allow: List<Allowed>,
        /// When no experiment may run. Default: none.
        deny: List<Denied>,
        /// Days on which nothing beyond a limited blast runs. Default: none.
        holidays: List<Day>,
        /// From which blast on an approval is needed: limited, moderate, full or never. Default: moderate.
        approval: ApprovalFrom,
        /// How long an approval counts, at most 90d. Default: 7d.
        approval_for: Dur,
        /// How long a fault stands without being renewed, 2s to 60s. Default: 5s.
        lease: Dur,
        /// The share of the error budget that must be left on each objective of the route. Default: 20%.
        min_budget: Ratio,
        /// Whether touched requests stay in drift, labels and samples, with their mark. Default: false.
        keep_touched: Flag,
        /// Experiments besides those that mainstay has; one with the name of one of those stands in its place.
        experiments: List<Document>,
    }
}

section! {
    /// A stretch of the week.
    Allowed = "a stretch of the week" {
        /// The days on which it starts, such as mon. Default: every day.
        days: List<DayName>,
        /// When it starts, such as 18:00.
        from (required): Clock,
        /// When it ends, such as 09:00 or 24:00; where that is not after `from`, on the next day.
        to (required): ClockEnd,
    }
}

section! {
    /// A time in which no experiment may run: from a day to a day, or the same stretch of each week.
    Denied = "a time without experiments" {
        /// The first day, such as 2026-12-20, or when it starts, such as 12:00.
        from (required): DayOrClock,
        /// The last day, such as 2027-01-05, or when it ends, such as 24:00; where that is not after `from`, on the next day.
        to (required): DayOrClock,
        /// With times of day: the days on which it starts, such as fri. Default: every day.
        days: List<DayName>,
        /// Why; whoever is refused is told.
        reason: Text,
    }
}

choice! {
    /// From which blast on an approval is needed.
    ApprovalFrom = "a blast, or `never`" {
        "limited" => Some(Blast::Limited),
        "moderate" => Some(Blast::Moderate),
        "full" => Some(Blast::Full),
        "never" => None,
    } -> Option<Blast>
}

//! What a spent budget forbids, and time that does not count.

use jiff::civil::Weekday;
use mainstay_core::slo::policy::Action;

use crate::read::{List, Text, choice, section};
use crate::values::{Clock, Dur, Ratio};

section! {
    /// What is refused while little of a budget is left.
    Policy = "a budget policy" {
        /// The rules; all that hold apply.
        rules (required): List<Rule>,
    }
}

section! {
    /// One rule of a policy.
    Rule = "a rule" {
        /// It holds while less than this share of the budget is left, such as 25%; 0%: while nothing is left.
        below (required): Ratio,
        /// What it refuses: experiment, promotion, release.
        refuse (required): List<ActionName>,
    }
}

section! {
    /// Maintenance that comes again: it is left out of budgets.
    Maintenance = "a maintenance window" {
        /// Days of the week, such as sunday. Default: every day.
        days: List<DayName>,
        /// When it begins, by the clock of the zone, such as 02:30.
        from (required): Clock,
        /// How long it takes.
        length (required): Dur,
        /// The time zone. Default: UTC.
        zone: Text,
        /// The objectives that it is left out of. Default: all.
        objectives: List<Text>,
    }
}

choice! {
    /// Something that puts a budget at risk.
    ActionName = "an action" {
        "experiment" => Action::Experiment,
        "promotion" => Action::Promotion,
        "release" => Action::Release,
    } -> Action
}

impl DayName {
    /// Every day.
    pub(crate) const ALL: [Weekday; 7] = [
        Weekday::Monday,
        Weekday::Tuesday,
        Weekday::Wednesday,
        Weekday::Thursday,
        Weekday::Friday,
        Weekday::Saturday,
        Weekday::Sunday,
    ];
}

choice! {
    /// A day of the week.
    DayName = "a day of the week" {
        "mon" => Weekday::Monday,
        "tue" => Weekday::Tuesday,
        "wed" => Weekday::Wednesday,
        "thu" => Weekday::Thursday,
        "fri" => Weekday::Friday,
        "sat" => Weekday::Saturday,
        "sun" => Weekday::Sunday,
        "monday" => Weekday::Monday,
        "tuesday" => Weekday::Tuesday,
        "wednesday" => Weekday::Wednesday,
        "thursday" => Weekday::Thursday,
        "friday" => Weekday::Friday,
        "saturday" => Weekday::Saturday,
        "sunday" => Weekday::Sunday,
    } -> Weekday
}

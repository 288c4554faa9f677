//! Who is on call, and who is told after whom.

use crate::read::{List, Named, Text, section};
use crate::values::{CivilTime, Clock, Mailbox, Told, TurnLength, Wait, Whole};

use super::policy::DayName;

section! {
    /// Who is on call, and who is told after whom.
    OnCall = "`oncall`" {
        /// Who can be told, by name.
        people: Named<Person>,
        /// Who is on call when, by name.
        schedules: Named<Schedule>,
        /// Who is told after whom until somebody has it, by name.
        policies: Named<EscalationPolicy>,
    }
}

section! {
    /// Somebody who can be told.
    Person = "a person" {
        /// Channels that reach them, the first first; the others where one fails.
        channels (required): List<Text>,
        /// Where mail reaches them.
        email: Mailbox,
    }
}

section! {
    /// Who is on call when: of the layers that count at a moment the last one decides.
    Schedule = "a schedule" {
        /// The time zone in which hand-offs are. Default: UTC.
        zone: Text,
        /// The layers; a later one goes before an earlier one.
        layers (required): List<Layer>,
    }
}

section! {
    /// People who take turns.
    Layer = "a layer" {
        /// Its name.
        name (required): Text,
        /// The first hand-off, by the clock of the zone, such as 2026-01-05T09:00; all others follow from it.
        start (required): CivilTime,
        /// When it ends. Default: never.
        until: CivilTime,
        /// How long a turn is by the clock of the zone: 12h, 1d, 1w or 1mo.
        every (required): TurnLength,
        /// Who takes turns, in order.
        people (required): List<Text>,
        /// Stretches of the week in which it counts. Default: always.
        only: List<WeekStretch>,
    }
}

section! {
    /// A stretch of the week, by the clock of the zone.
    WeekStretch = "a stretch of the week" {
        /// The days on which it starts, such as mon. Default: every day.
        days: List<DayName>,
        /// When it starts, such as 09:00.
        from (required): Clock,
        /// When it ends, such as 17:00; where that is not after `from`, on the next day.
        to (required): Clock,
    }
}

section! {
    /// Who is told after whom until somebody has it.
    EscalationPolicy = "an escalation policy" {
        /// The steps.
        steps (required): List<EscalationStep>,
        /// How often all steps are gone through again where nobody answers. Default: 0.
        repeat: Whole<0, 100>,
    }
}

section! {
    /// A step of a policy.
    EscalationStep = "a step" {
        /// How long after the step before; of the first: after the incident was found. Default: 0s.
        after: Wait,
        /// Whom it tells, all at once: schedule:NAME, person:NAME or channel:NAME.
        tell (required): List<Told>,
    }
}

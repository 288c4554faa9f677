//! Turns by the clock on the wall: which one it is at a moment, found without going through those before.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Span};

use super::week::{Around, around};
use super::{Layer, Turn, both};
use crate::slo::window::{self, Stretch};
use crate::time::Time;

/// When the clocks of a zone show this, and whether they skip it. `None`: later than every time that occurs.
fn instant(zone: &TimeZone, civil: DateTime) -> Option<(Time, bool)> {
    let found = zone.to_ambiguous_timestamp(civil);
    let skipped = matches!(found.offset(), AmbiguousOffset::Gap { .. });
    let at = found.compatible().map(window::time).ok().filter(|at| *at < Time::MAX);
    at.map(|at| (at, skipped))
}

impl Turn {
    /// How long a turn is where each has as many seconds by the clock on the wall as the other; `None`: months.
    fn seconds(self) -> Option<i64> {
        let (count, each) = match self {
            Turn::Hours(count) => (count, 3_600),
            Turn::Days(count) => (count, 86_400),
            Turn::Weeks(count) => (count, 7 * 86_400),
            Turn::Months(_) => return None,
        };
        Some(i64::from(count.max(1)) * each)
    }

    /// So many turns after a civil time.
    fn after(self, start: DateTime, turns: i64) -> Option<DateTime> {
        match self {
            Turn::Months(count) => {
                let months = i64::from(count.max(1)).checked_mul(turns)?;
                start.checked_add(Span::new().try_months(months).ok()?).ok()
            }
            Turn::Hours(_) | Turn::Days(_) | Turn::Weeks(_) => {
                let seconds = self.seconds()?.checked_mul(turns)?;
                start.checked_add(SignedDuration::from_secs(seconds)).ok()
            }
        }
    }

    /// The turns from one civil time to another, at most one more than have ended.
    fn between(self, start: DateTime, civil: DateTime) -> i64 {
        let months = |civil: DateTime| i64::from(civil.year()) * 12 + i64::from(civil.month());
        match (self, self.seconds()) {
            (Turn::Months(count), _) => (months(civil) - months(start)).div_euclid(i64::from(count.max(1))),
            (_, seconds) => civil.duration_since(start).as_secs().div_euclid(seconds.unwrap_or(1)),
        }
    }
}

impl Layer {
    /// Whose turn it is.
    pub(super) fn person(&self, turn: i64) -> Option<&String> {
        let place = usize::try_from(turn).ok()?.checked_rem(self.people.len())?;
        self.people.get(place)
    }

    /// The turn that counts at a moment, if one does, and the stretch around it in which that stays so.
    pub(super) fn turn_at(&self, zone: &TimeZone, at: Time) -> (Option<i64>, Stretch) {
        let always = Stretch { from: Time::ZERO, to: Time::MAX };
        let (Some(start), false) = (self.starts(zone, 0), self.people.is_empty()) else { return (None, always) };
        let end = self.until.and_then(|until| instant(zone, until)).map_or(Time::MAX, |(end, _)| end);
        if end <= start {
            return (None, always);
        }
        // What is true before the start is what is true there, and likewise of the end.
        let near = at.clamp(start, end - Duration::from_nanos(1));
        let turn = self.turn(zone, near);
        let from = self.starts(zone, turn).unwrap_or(start);
        let to = self.starts(zone, turn.saturating_add(1)).unwrap_or(Time::MAX).min(end);
        match around(&self.only, zone, near, Stretch { from, to }) {
            Around::Counts(_) if at < start => (None, Stretch { from: Time::ZERO, to: start }),
            Around::Counts(_) if at >= end => (None, Stretch { from: end, to: Time::MAX }),
            Around::Counts(stretch) => (Some(turn), both(stretch, Stretch { from, to })),
            Around::Rests(rest) => {
                let from = if rest.from <= start { Time::ZERO } else { rest.from };
                let to = if rest.to >= end { Time::MAX } else { rest.to };
                (None, Stretch { from, to })
            }
        }
    }

    /// The last turn that has started.
    fn turn(&self, zone: &TimeZone, at: Time) -> i64 {
        let civil = zone.to_datetime(window::stamp(at));
        let mut turn = self.turn.between(self.start, civil).max(0);
        // Where clocks were changed, and where a month is too short, the clock on the wall is off by a few turns.
        while turn > 0 && self.starts(zone, turn).is_none_or(|start| start > at) {
            turn -= 1;
        }
        while self.starts(zone, turn + 1).is_some_and(|start| start <= at) {
            turn += 1;
        }
        turn
    }

    /// When a turn starts. One that the clocks skip together with the next starts no later than that: it has no time of its own.
    fn starts(&self, zone: &TimeZone, turn: i64) -> Option<Time> {
        let mut earliest: Option<Time> = None;
        for turn in turn.. {
            let Some((at, skipped)) = self.turn.after(self.start, turn).and_then(|civil| instant(zone, civil)) else {
                break;
            };
            earliest = Some(earliest.map_or(at, |earliest| earliest.min(at)));
            if !skipped {
                break;
            }
        }
        earliest
    }
}

//! The stretches of the week in which a layer counts.

use jiff::Span;
use jiff::tz::TimeZone;

use super::Only;
use crate::slo::window::{self, Stretch};
use crate::time::Time;

/// Most stretches that are joined on each side of a moment.
const JOINED_MAX: usize = 1_000;

/// A stretch that holds a moment starts so many days before at most: it may cross midnight, and a zone may skip a day.
const BACK: i64 = 3;

/// A week, and the days by which clocks can be off.
const WEEK: i64 = 10;

/// What is so around a moment.
pub(super) enum Around {
    /// The layer counts, from when until when.
    Counts(Stretch),
    /// It does not.
    Rests(Stretch),
}

/// Whether a layer counts at a moment and how long that stays so; where it counts, beyond the ends of `turn` is not looked.
pub(super) fn around(only: &[Only], zone: &TimeZone, at: Time, turn: Stretch) -> Around {
    if only.is_empty() {
        return Around::Counts(Stretch { from: Time::ZERO, to: Time::MAX });
    }
    let held = starting(only, zone, at, BACK, 0).into_iter().find(|stretch| stretch.holds(at));
    match held {
        Some(held) => Around::Counts(joined(only, zone, held, turn)),
        None => Around::Rests(rest(only, zone, at)),
    }
}

/// A stretch with those that touch it.
fn joined(only: &[Only], zone: &TimeZone, held: Stretch, turn: Stretch) -> Stretch {
    let Stretch { mut from, mut to } = held;
    for _ in 0..JOINED_MAX {
        let later = starting(only, zone, to, BACK, 0).into_iter().filter(|next| next.from <= to).map(|next| next.to);
        match later.max().filter(|later| *later > to && to < turn.to) {
            Some(later) => to = later,
            None => break,
        }
    }
    for _ in 0..JOINED_MAX {
        let earlier = starting(only, zone, from, BACK, 0).into_iter().filter(|before| before.to >= from);
        match earlier.map(|before| before.from).min().filter(|earlier| *earlier < from && from > turn.from) {
            Some(earlier) => from = earlier,
            None => break,
        }
    }
    Stretch { from, to }
}

/// From the end of the stretch before until the start of the next; where there is none nearby, as far as was looked.
fn rest(only: &[Only], zone: &TimeZone, at: Time) -> Stretch {
    let sure = std::time::Duration::from_hours(7 * 24);
    let near = starting(only, zone, at, WEEK, WEEK);
    let before = near.iter().map(|stretch| stretch.to).filter(|to| *to <= at).max();
    let next = near.iter().map(|stretch| stretch.from).filter(|from| *from > at).min();
    Stretch { from: before.unwrap_or(at - sure), to: next.unwrap_or(at + sure) }
}

/// The stretches that start on the civil days around a moment.
fn starting(only: &[Only], zone: &TimeZone, at: Time, back: i64, ahead: i64) -> Vec<Stretch> {
    let today = zone.to_datetime(window::stamp(at)).date();
    let instant = |civil| zone.to_ambiguous_timestamp(civil).compatible().map_or(Time::MAX, window::time);
    let days = (-back..=ahead).filter_map(|days| today.checked_add(Span::new().days(days)).ok());
    let mut found = Vec::new();
    for day in days {
        for one in only.iter().filter(|one| one.days.contains(&day.weekday())) {
            let last = if one.to > one.from { day } else { day.saturating_add(Span::new().days(1)) };
            let stretch = Stretch { from: instant(day.to_datetime(one.from)), to: instant(last.to_datetime(one.to)) };
            if stretch.from < stretch.to {
                found.push(stretch);
            }
        }
    }
    found
}

//! Budgets that are counted in slices of time.
//!
//! Events fill slices; a slice that has ended is judged, and counts as one good or bad slice. What comes late changes its
//! slice, and the verdict with it, for as long as the slice is remembered.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::stats::Interval;
use crate::time::Time;

use super::objective::{Budgeting, Direction, EmptySlice};
use super::series::Counts;

/// Most slices that are remembered for what comes late; an older one keeps its verdict.
pub const REMEMBERED: usize = 4_096;

/// A slice's share in millionths: how [`Budgeting::RatioTimeSlices`] counts in whole numbers.
pub const PARTS: u64 = 1_000_000;

/// What a slice counted as, and counts as from then on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    /// The slice's start.
    pub at: Time,
    /// What it counted as.
    pub before: Counts,
    /// What it counts as.
    pub after: Counts,
}

/// The slices of one objective.
#[derive(Clone, PartialEq, Debug)]
pub struct Slices {
    width: u64,
    budgeting: Budgeting,
    remembered: BTreeMap<u64, Slice>,
    /// The first slice that was not judged.
    next: Option<u64>,
    /// Of slices before this one a restart left the verdicts alone.
    known_from: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Slice {
    counts: Counts,
    verdict: Option<Counts>,
}

impl Slices {
    /// Slices of a budgeting that has them.
    pub fn new(budgeting: Budgeting) -> Option<Slices> {
        let width = match budgeting {
            Budgeting::Occurrences => return None,
            Budgeting::TimeSlices { slice, .. } | Budgeting::RatioTimeSlices { slice } => slice,
        };
        let width = u64::try_from(width.as_nanos()).unwrap_or(u64::MAX).max(1);
        Some(Slices { width, budgeting, remembered: BTreeMap::new(), next: None, known_from: 0 })
    }

    /// How long a slice is.
    pub const fn width(&self) -> Duration {
        Duration::from_nanos(self.width)
    }

    /// Counts events of a moment. A slice that was judged is judged again.
    pub fn record(&mut self, at: Time, counts: Counts) -> Option<Change> {
        let number = at.as_nanos() / self.width;
        self.next.get_or_insert(number);
        let judged = self.next.is_some_and(|next| number < next);
        if judged && !self.remembered.contains_key(&number) && self.is_forgotten(number) {
            return None;
        }
        let slice = self.remembered.entry(number).or_default();
        slice.counts.add(counts);
        let change = judged.then(|| self.judge(number));
        self.forget();
        change.flatten()
    }

    /// Sets what a slice counts as: of a metric that others have measured.
    pub fn set(&mut self, at: Time, verdict: Counts) -> Option<Change> {
        let number = at.as_nanos() / self.width;
        self.next.get_or_insert(number);
        let slice = self.remembered.entry(number).or_default();
        let before = slice.verdict.replace(verdict).unwrap_or_default();
        self.forget();
        (before != verdict).then(|| Change { at: self.start(number), before, after: verdict })
    }

    /// Puts events back that rest in a bucket of `grain`. One that does not lie within one slice is lost for it, and with it the
    /// memory of the slices up to there: they keep their verdicts.
    pub fn refill(&mut self, grain: Duration, start: Time, counts: Counts) {
        let grain = u64::try_from(grain.as_nanos()).unwrap_or(u64::MAX).max(1);
        if self.width.is_multiple_of(grain) {
            self.remembered.entry(start.as_nanos() / self.width).or_default().counts.add(counts);
            self.forget();
        } else {
            let end = start.as_nanos().saturating_add(grain);
            self.known_from = self.known_from.max(end.div_ceil(self.width));
        }
    }

    /// The first slice that was not judged: what a restart must keep.
    pub fn next(&self) -> Option<Time> {
        self.next.map(|number| self.start(number))
    }

    /// Goes on after a restart: slices before `next` were judged, and count as `counted` says of their start, where that is known.
    /// Answers with those that count otherwise by what is there of them.
    pub fn resume(&mut self, next: Option<Time>, counted: impl Fn(Time) -> Option<Counts>) -> Vec<Change> {
        self.remembered = self.remembered.split_off(&self.known_from);
        let first = self.remembered.keys().next().copied();
        self.next = next.map(|next| next.as_nanos() / self.width).or(first);
        let judged = self.remembered.range(..self.next.unwrap_or(0)).map(|(number, _)| *number).collect::<Vec<u64>>();
        let mut changes = Vec::new();
        for number in judged {
            let start = self.start(number);
            let Some(slice) = self.remembered.get_mut(&number) else { continue };
            slice.verdict = Some(counted(start).unwrap_or_else(|| verdict(self.budgeting, slice.counts)));
            changes.extend(self.judge(number));
        }
        changes
    }

    /// Slices that others have measured, and what they count as.
    pub fn measured(&self) -> impl Iterator<Item = (Time, Counts)> + '_ {
        self.remembered.iter().filter_map(|(number, slice)| Some((self.start(*number), slice.verdict?)))
    }

    /// Puts back what [`Slices::measured`] gave.
    pub fn remember(&mut self, start: Time, counted: Counts) {
        let number = start.as_nanos() / self.width;
        self.next = Some(self.next.map_or(number, |next| next.min(number)));
        self.remembered.entry(number).or_default().verdict = Some(counted);
        self.forget();
    }

    /// Judges the slices that have ended at `now`, empty ones too; at most [`REMEMBERED`] at a time.
    pub fn settle(&mut self, now: Time) -> Vec<Change> {
        let current = now.as_nanos() / self.width;
        let Some(next) = self.next else { return Vec::new() };
        let first = next.max(current.saturating_sub(REMEMBERED as u64)).max(self.known_from);
        let changes = (first..current).filter_map(|number| self.judge(number)).collect();
        self.next = Some(next.max(current));
        self.forget();
        changes
    }

    /// Slices that have begun and were not judged: of those that the clock judges, the ones with events; of those that others
    /// measure (a `delay` until labels have matured), all that are younger than that.
    pub fn pending(&self, delay: Option<Duration>, now: Time) -> usize {
        let Some(next) = self.next else { return 0 };
        let Some(delay) = delay else { return self.remembered.range(next..).count() };
        let first = (now - delay).as_nanos() / self.width;
        let current = now.as_nanos() / self.width;
        let measured = self.remembered.range(first..=current).filter(|(_, slice)| slice.verdict.is_some()).count();
        usize::try_from(current - first + 1).unwrap_or(usize::MAX).saturating_sub(measured)
    }

    fn judge(&mut self, number: u64) -> Option<Change> {
        let counts = self.remembered.get(&number).map(|slice| slice.counts).unwrap_or_default();
        let after = verdict(self.budgeting, counts);
        let before = match self.remembered.get_mut(&number) {
            Some(slice) => slice.verdict.replace(after).unwrap_or_default(),
            None if after == Counts::default() => Counts::default(),
            None => {
                self.remembered.insert(number, Slice { counts, verdict: Some(after) });
                Counts::default()
            }
        };
        (before != after).then(|| Change { at: self.start(number), before, after })
    }

    fn start(&self, number: u64) -> Time {
        Time::from_nanos(number * self.width)
    }

    fn is_forgotten(&self, number: u64) -> bool {
        number < self.known_from
            || self.remembered.len() >= REMEMBERED
                && self.remembered.keys().next().is_some_and(|oldest| number < *oldest)
    }

    fn forget(&mut self) {
        while self.remembered.len() > REMEMBERED {
            self.remembered.pop_first();
        }
    }
}

/// What a slice with so many events counts as.
fn verdict(budgeting: Budgeting, counts: Counts) -> Counts {
    match budgeting {
        Budgeting::Occurrences => counts,
        Budgeting::TimeSlices { good_from, empty, events_least, .. } => {
            if counts.total() < events_least.max(1) {
                return match empty {
                    EmptySlice::Ignored => Counts::default(),
                    EmptySlice::Good => Counts::GOOD,
                    EmptySlice::Bad => Counts::BAD,
                };
            }
            let share = counts.good as f64 / counts.total() as f64;
            if share >= good_from { Counts::GOOD } else { Counts::BAD }
        }
        Budgeting::RatioTimeSlices { .. } => counts.bad_share().map_or(Counts::default(), |share| {
            let bad = (share * PARTS as f64).round() as u64;
            Counts { good: PARTS - bad, bad }
        }),
    }
}

/// What a slice of a quality objective counts as: bad where even the favourable end of the metric's interval misses the target;
/// nothing where fewer labels than `least` have matured.
pub fn quality_verdict(metric: Interval, direction: Direction, target: f64, labels: u64, least: u64) -> Counts {
    if labels < least.max(1) || metric.low.is_nan() || metric.high.is_nan() {
        return Counts::default();
    }
    let misses = match direction {
        Direction::HigherIsBetter => metric.high < target,
        Direction::LowerIsBetter => metric.low > target,
    };
    if misses { Counts::BAD } else { Counts::GOOD }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTES: Budgeting = Budgeting::TimeSlices {
        slice: Duration::from_mins(1),
        good_from: 0.9,
        empty: EmptySlice::Ignored,
        events_least: 10,
    };

    fn at(seconds: u64) -> Time {
        Time::from_secs(seconds)
    }

    fn sum(changes: &[Change]) -> (i64, i64) {
        changes.iter().fold((0, 0), |(good, bad), change| {
            let step = |before: u64, after: u64| after as i64 - before as i64;
            (good + step(change.before.good, change.after.good), bad + step(change.before.bad, change.after.bad))
        })
    }

    #[test]
    fn a_slice_weighs_the_same_whatever_its_traffic() {
        let mut slices = Slices::new(MINUTES).unwrap();
        slices.record(at(60), Counts { good: 9_999, bad: 1 });
        slices.record(at(120), Counts { good: 5, bad: 5 });
        slices.record(at(180), Counts { good: 1, bad: 1 });
        assert_eq!(slices.settle(at(119)).len(), 0);
        assert_eq!(sum(&slices.settle(at(240))), (1, 1), "the last has too few events to count");
        assert_eq!(sum(&slices.settle(at(240))), (0, 0), "each is judged once");
    }

    #[test]
    fn what_comes_late_changes_the_verdict() {
        let mut slices = Slices::new(MINUTES).unwrap();
        slices.record(at(60), Counts { good: 10, bad: 0 });
        assert_eq!(sum(&slices.settle(at(120))), (1, 0));
        let change = slices.record(at(90), Counts { good: 0, bad: 5 }).unwrap();
        assert_eq!((change.at, change.before, change.after), (at(60), Counts::GOOD, Counts::BAD));
        assert_eq!(slices.record(at(90), Counts::BAD), None);
    }

    #[test]
    fn empty_slices_count_as_configured() {
        for (empty, expected) in [(EmptySlice::Ignored, (1, 0)), (EmptySlice::Good, (5, 0)), (EmptySlice::Bad, (1, 4))]
        {
            let budgeting =
                Budgeting::TimeSlices { slice: Duration::from_mins(1), good_from: 0.9, empty, events_least: 1 };
            let mut slices = Slices::new(budgeting).unwrap();
            slices.record(at(60), Counts::GOOD);
            assert_eq!(sum(&slices.settle(at(360))), expected);
        }
    }

    #[test]
    fn ratios_are_averaged_over_slices() {
        let mut slices = Slices::new(Budgeting::RatioTimeSlices { slice: Duration::from_mins(1) }).unwrap();
        slices.record(at(0), Counts { good: 1_000_000, bad: 0 });
        slices.record(at(60), Counts { good: 1, bad: 1 });
        let (good, bad) = sum(&slices.settle(at(120)));
        assert_eq!(bad as f64 / (good + bad) as f64, 0.25);
    }

    #[test]
    fn the_bound_decides_quality_not_the_estimate() {
        let judge =
            |low, high, labels| quality_verdict(Interval { low, high }, Direction::HigherIsBetter, 0.9, labels, 30);
        assert_eq!(judge(0.80, 0.95, 100), Counts::GOOD);
        assert_eq!(judge(0.80, 0.89, 100), Counts::BAD);
        assert_eq!(judge(0.10, 0.20, 29), Counts::default());
        let error = quality_verdict(Interval { low: 1.2, high: 1.4 }, Direction::LowerIsBetter, 1.0, 50, 30);
        assert_eq!(error, Counts::BAD);
    }
}

//! Good and bad events in buckets of time, of bounded memory.
//!
//! Three rings count everything, each at its own grain: 10 s for the last hour, 1 min for the last day, 1 h for as long as
//! the longest window. A look-back is answered by the finest ring that reaches as far: exactly, from the start of the bucket
//! that holds its far edge.

use std::time::Duration;

use crate::time::Time;

use super::window::Stretch;

/// The finest grain, at which counts are summed up at their source.
pub const GRAIN: Duration = Duration::from_secs(10);

/// The bucket of [`GRAIN`] that holds a moment: its start.
pub const fn bucket_of(at: Time) -> Time {
    let grain = GRAIN.as_nanos() as u64;
    Time::from_nanos(at.as_nanos() / grain * grain)
}

/// Events counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Good ones.
    pub good: u64,
    /// Bad ones.
    pub bad: u64,
}

impl Counts {
    /// One good event.
    pub const GOOD: Counts = Counts { good: 1, bad: 0 };
    /// One bad event.
    pub const BAD: Counts = Counts { good: 0, bad: 1 };

    /// All of them.
    pub const fn total(self) -> u64 {
        self.good.saturating_add(self.bad)
    }

    /// The share of bad ones; `None` without events.
    pub fn bad_share(self) -> Option<f64> {
        (self.total() > 0).then(|| self.bad as f64 / self.total() as f64)
    }

    /// Adds others.
    pub fn add(&mut self, other: Counts) {
        self.good = self.good.saturating_add(other.good);
        self.bad = self.bad.saturating_add(other.bad);
    }

    /// Takes others away; what is not there cannot be.
    pub fn subtract(&mut self, other: Counts) {
        self.good = self.good.saturating_sub(other.good);
        self.bad = self.bad.saturating_sub(other.bad);
    }
}

/// What became of counts that were offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recorded {
    /// They count in every window that reaches back to them.
    Counted,
    /// They are older than the longest window: they count nowhere.
    TooOld,
}

/// The buckets of one objective.
///
/// ```
/// use std::time::Duration;
/// use mainstay_core::slo::series::{Counts, Series};
/// use mainstay_core::time::Time;
///
/// let mut series = Series::new(Duration::from_hours(30 * 24));
/// let now = Time::from_secs(1_800_000_000);
/// series.record(now, Counts { good: 98, bad: 2 });
/// series.record(now - Duration::from_hours(2), Counts::BAD);
/// assert_eq!(series.last(Duration::from_hours(1), now), Counts { good: 98, bad: 2 });
/// assert_eq!(series.last(Duration::from_hours(24), now).bad, 3);
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Series {
    rings: [Ring; 3],
}

/// Buckets of the fine ring: an hour of 10 s.
const FINE: usize = 360;
/// Buckets of the middle ring: a day of 1 min.
const MIDDLE: usize = 1_440;
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

impl Series {
    /// An empty series that answers windows of up to `longest`.
    pub fn new(longest: Duration) -> Series {
        let hours = longest.as_secs().div_ceil(HOUR.as_secs()).max(24);
        Series {
            // One more than a window's length in buckets: both of its edges may lie within one.
            rings: [Ring::new(GRAIN, FINE + 1), Ring::new(MINUTE, MIDDLE + 1), Ring::new(HOUR, hours as usize + 1)],
        }
    }

    /// Counts events of a moment, in any order.
    pub fn record(&mut self, at: Time, counts: Counts) -> Recorded {
        let mut recorded = Recorded::TooOld;
        for ring in &mut self.rings {
            if ring.add(at, counts) {
                recorded = Recorded::Counted;
            }
        }
        recorded
    }

    /// Takes events of a moment away that were counted before.
    pub fn take_back(&mut self, at: Time, counts: Counts) {
        for ring in &mut self.rings {
            if let Some(bucket) = ring.bucket(at) {
                bucket.subtract(counts);
            }
        }
    }

    /// The events of the last `length` up to `now`, from the start of the bucket that holds the far edge.
    pub fn last(&self, length: Duration, now: Time) -> Counts {
        self.within(Stretch { from: now - length, to: now })
    }

    /// The events from the bucket that holds `stretch.from` up to the bucket that holds `stretch.to`, both included.
    pub fn within(&self, stretch: Stretch) -> Counts {
        self.ring_for(stretch).sum(stretch)
    }

    /// What the bucket of a moment holds, the longest that is at most so long: what was rolled up is in the longer ones alone.
    /// `None` where it was given up.
    pub fn at(&self, at: Time, longest: Duration) -> Option<Counts> {
        let longest = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        let ring = self.rings.iter().rfind(|ring| ring.grain <= longest)?;
        let there = ring.buckets.is_empty() || ring.reaches(at);
        there.then(|| ring.sum(Stretch { from: at, to: at }))
    }

    /// The start of the earliest bucket that is counted for a look-back of `stretch`.
    pub fn edge(&self, stretch: Stretch) -> Time {
        let grain = self.ring_for(stretch).grain;
        Time::from_nanos(stretch.from.as_nanos() / grain * grain)
    }

    fn ring_for(&self, stretch: Stretch) -> &Ring {
        self.rings.iter().find(|ring| ring.covers(stretch)).unwrap_or(&self.rings[2])
    }

    /// The buckets of a ring that hold anything, oldest first: start and counts. 0 is the finest ring, 2 the coarsest.
    pub fn buckets(&self, ring: usize) -> impl Iterator<Item = (Time, Counts)> + '_ {
        self.rings[ring.min(2)].held()
    }

    /// Puts counts back that are known at one ring's grain only, as [`Series::buckets`] gave them: that ring and the coarser ones
    /// get them. This is how a restart restores what was counted.
    pub fn restore(&mut self, ring: usize, start: Time, counts: Counts) {
        for ring in &mut self.rings[ring.min(2)..] {
            ring.add(start, counts);
        }
    }

    /// Takes away from a bucket that [`Series::restore`] put back, and from those of the coarser rings.
    pub fn restore_less(&mut self, ring: usize, start: Time, counts: Counts) {
        for ring in &mut self.rings[ring.min(2)..] {
            if let Some(bucket) = ring.bucket(start) {
                bucket.subtract(counts);
            }
        }
    }

    /// Puts a bucket of one ring back as it was, that ring alone: of a series that takes another's place.
    pub(crate) fn replace(&mut self, ring: usize, start: Time, counts: Counts) {
        self.rings[ring.min(2)].add(start, counts);
    }

    /// The events of a stretch that is cut out of a window: of a bucket that lies only partly within, its share by time. The
    /// window's outermost buckets count in it as a whole, and are cut out as a whole where the stretch reaches its edge.
    pub fn excluded(&self, stretch: Stretch, window: Stretch) -> Counts {
        let reaching = self.rings.iter().find(|ring| ring.reaches(stretch.from)).unwrap_or(&self.rings[2]);
        reaching.share_of(stretch, window)
    }
}

/// The last so many buckets of one grain.
#[derive(Clone, PartialEq, Debug)]
struct Ring {
    /// Nanoseconds per bucket.
    grain: u64,
    buckets: Vec<Counts>,
    /// The number of the newest bucket: its start divided by the grain.
    newest: u64,
    length: usize,
}

impl Ring {
    fn new(grain: Duration, length: usize) -> Ring {
        Ring { grain: u64::try_from(grain.as_nanos()).unwrap_or(u64::MAX), buckets: Vec::new(), newest: 0, length }
    }

    fn oldest(&self) -> u64 {
        (self.newest + 1).saturating_sub(self.length as u64)
    }

    /// Whether a window that ends at the stretch's end may be answered: no bucket of it was given up, or ever will be while
    /// time goes on.
    fn covers(&self, stretch: Stretch) -> bool {
        let buckets = stretch.to.as_nanos() / self.grain - stretch.from.as_nanos() / self.grain + 1;
        buckets <= self.length as u64 && stretch.from.as_nanos() / self.grain >= self.oldest()
    }

    /// Whether no bucket from this moment on was given up.
    fn reaches(&self, from: Time) -> bool {
        !self.buckets.is_empty() && from.as_nanos() / self.grain >= self.oldest()
    }

    fn share_of(&self, stretch: Stretch, window: Stretch) -> Counts {
        let mut sum = Counts::default();
        let edge = Time::from_nanos(window.from.as_nanos() / self.grain * self.grain);
        let from = if stretch.from <= window.from { edge } else { stretch.from };
        let to = if stretch.to >= window.to { Time::from_nanos(u64::MAX) } else { stretch.to };
        let share = |start: Time| {
            // Of the newest bucket only what has passed by now can hold events.
            let passed = window.to.max(start + Duration::from_nanos(1));
            let end = Time::from_nanos(start.as_nanos().saturating_add(self.grain)).min(passed);
            to.min(end).since(from.max(start)).as_nanos() as f64 / end.since(start).as_nanos() as f64
        };
        for (start, counts) in self.held().filter(|(start, _)| *start <= window.to) {
            let share = share(start);
            if share > 0.0 {
                let part = |count: u64| (count as f64 * share).round() as u64;
                sum.add(Counts { good: part(counts.good), bad: part(counts.bad) });
            }
        }
        sum
    }

    fn add(&mut self, at: Time, counts: Counts) -> bool {
        let Some(bucket) = self.bucket(at) else { return false };
        bucket.add(counts);
        true
    }

    /// The bucket of a moment; newer ones are made, older ones than are kept do not exist.
    fn bucket(&mut self, at: Time) -> Option<&mut Counts> {
        let number = at.as_nanos() / self.grain;
        if self.buckets.is_empty() {
            self.buckets = vec![Counts::default(); self.length];
            self.newest = number;
        }
        if number > self.newest {
            let gone = (number - self.newest).min(self.length as u64);
            for fresh in (number + 1 - gone)..=number {
                let slot = self.slot(fresh);
                self.buckets[slot] = Counts::default();
            }
            self.newest = number;
        }
        let slot = self.slot(number);
        (number >= self.oldest()).then(|| &mut self.buckets[slot])
    }

    fn slot(&self, number: u64) -> usize {
        (number % self.length as u64) as usize
    }

    fn sum(&self, stretch: Stretch) -> Counts {
        let mut sum = Counts::default();
        if self.buckets.is_empty() || stretch.to < stretch.from {
            return sum;
        }
        let first = (stretch.from.as_nanos() / self.grain).max(self.oldest());
        let last = (stretch.to.as_nanos() / self.grain).min(self.newest);
        for number in first..=last {
            sum.add(self.buckets[self.slot(number)]);
        }
        sum
    }

    fn held(&self) -> impl Iterator<Item = (Time, Counts)> + '_ {
        (self.oldest()..=self.newest)
            .filter(|_| !self.buckets.is_empty())
            .map(|number| (Time::from_nanos(number * self.grain), self.buckets[self.slot(number)]))
            .filter(|(_, counts)| counts.total() > 0)
    }
}

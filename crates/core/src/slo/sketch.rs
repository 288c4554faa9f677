//! Real percentiles, beside what an objective counts: one sketch per route and hour, whatever the number of objectives.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::stats::LogHistogram;
use crate::time::Time;

use super::window::Stretch;

const HOUR: u64 = 3_600_000_000_000;

/// Latencies by the hour. A percentile is off by at most 6 % of its value ([`LogHistogram`]), and any hours can be merged.
#[derive(Clone, PartialEq, Debug)]
pub struct Sketches {
    hours: BTreeMap<u64, Box<LogHistogram>>,
    kept: usize,
    changed: BTreeSet<u64>,
}

impl Sketches {
    /// Sketches that reach back `longest`: 1.3 KB an hour.
    pub fn new(longest: Duration) -> Sketches {
        Sketches {
            hours: BTreeMap::new(),
            kept: longest.as_secs().div_ceil(3_600) as usize + 1,
            changed: BTreeSet::new(),
        }
    }

    /// Adds latencies of a moment; those older than are kept are lost.
    pub fn merge(&mut self, at: Time, latencies: &LogHistogram) {
        self.changed.insert(at.as_nanos() / HOUR);
        self.put_back(at, latencies);
    }

    /// Adds latencies of a moment that rest already.
    pub fn put_back(&mut self, at: Time, latencies: &LogHistogram) {
        self.hours.entry(at.as_nanos() / HOUR).or_default().merge(latencies);
        while self.hours.len() > self.kept {
            self.hours.pop_first();
        }
    }

    /// Adds the latencies of the hours that a stretch touches to `whole`.
    pub fn merge_into(&self, whole: &mut LogHistogram, stretch: Stretch) {
        let (first, last) = (stretch.from.as_nanos() / HOUR, stretch.to.as_nanos() / HOUR);
        if first <= last {
            self.hours.range(first..=last).for_each(|(_, hour)| whole.merge(hour));
        }
    }

    /// The percentile `q` within `[0, 1]` over the hours that a stretch touches; `None` without latencies.
    pub fn quantile(&self, q: f64, stretch: Stretch) -> Option<Duration> {
        let mut whole = LogHistogram::new();
        self.merge_into(&mut whole, stretch);
        whole.quantile(q)
    }

    /// The hours that changed since this was last asked: start and sketch, oldest first.
    pub fn take_changed(&mut self) -> impl Iterator<Item = (Time, &LogHistogram)> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        changed.filter_map(|hour| Some((Time::from_nanos(hour * HOUR), &**self.hours.get(&hour)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_merge_and_old_ones_go() {
        let mut sketches = Sketches::new(Duration::from_hours(2));
        let at = |hour: u64| Time::from_secs(hour * 3_600 + 60);
        for (hour, ms) in [(0, 900), (10, 10), (11, 20), (12, 30)] {
            let mut latencies = LogHistogram::new();
            latencies.record_n(Duration::from_millis(ms), 100);
            sketches.merge(at(hour), &latencies);
        }
        let median = sketches.quantile(0.5, Stretch { from: at(10), to: at(12) }).unwrap().as_secs_f64();
        assert!((median / 0.020 - 1.0).abs() < 0.06, "{median}");
        let changed: Vec<(Time, LogHistogram)> = sketches.take_changed().map(|(hour, it)| (hour, it.clone())).collect();
        assert_eq!(changed.len(), 3, "the first of four is too old");
        assert_eq!(sketches.take_changed().count(), 0);
        let mut restored = Sketches::new(Duration::from_hours(2));
        for (hour, sketch) in &changed {
            restored.put_back(*hour, &LogHistogram::from_bytes(&sketch.to_bytes()).unwrap());
        }
        assert_eq!(restored, sketches);
        assert_eq!(LogHistogram::from_bytes(&[1, 2, 3]), None);
        assert_eq!(LogHistogram::from_bytes(&[255, 255, 0, 0, 0, 1]), None);
        assert_eq!(sketches.quantile(0.5, Stretch { from: at(0), to: at(1) }), None);
    }
}

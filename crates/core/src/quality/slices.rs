//! Summaries by route and slice of prediction time: labels that come late change the slice of their prediction.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::summary::{Label, Summary, Task, Unreadable};
use crate::observed::Value;
use crate::time::Time;

/// The length of a slice.
pub const SLICE: Duration = Duration::from_mins(10);
/// Most slices; the oldest gives way.
const SLICES_MAX: usize = 50_000;

/// A slice of a route.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slice {
    /// What is kept of it.
    pub summary: Summary,
    /// Grows with each change.
    pub revision: u64,
}

/// All slices.
#[derive(Clone, Debug, Default)]
pub struct Slices {
    all: BTreeMap<(String, Time), Slice>,
    /// Those that changed since they were last taken.
    changed: BTreeSet<(String, Time)>,
    revision: u64,
    dropped: u64,
}

/// The slice that a moment lies in.
pub fn slice_of(at: Time) -> Time {
    let width = SLICE.as_nanos() as u64;
    Time::from_nanos(at.as_nanos() / width * width)
}

impl Slices {
    /// Puts a slice back that rested.
    pub fn restore(&mut self, route: &str, start: Time, summary: Summary) {
        let key = (route.to_owned(), start);
        self.make_room(&key);
        self.all.insert(key, Slice { summary, revision: 0 });
    }

    /// Slices that gave way to others.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn make_room(&mut self, key: &(String, Time)) {
        if self.all.len() < SLICES_MAX || self.all.contains_key(key) {
            return;
        }
        if let Some(oldest) = self.all.keys().min_by_key(|(_, start)| *start).cloned() {
            self.all.remove(&oldest);
            self.changed.remove(&oldest);
            self.dropped += 1;
        }
    }

    /// A prediction was made, and is remembered.
    pub fn predict(&mut self, route: &str, task: Task, at: Time, said: Option<&Value>) {
        self.slice(route, at).predict(task, said);
    }

    /// A label of a prediction came.
    pub fn add(
        &mut self,
        route: &str,
        task: Task,
        at: Time,
        said: Option<&Value>,
        label: &Label,
    ) -> Result<(), Unreadable> {
        // What cannot be read must not make a slice.
        Summary::default().add(task, said, label)?;
        self.slice(route, at).add(task, said, label)
    }

    /// A label that was added holds no more.
    pub fn take_back(&mut self, route: &str, task: Task, at: Time, said: Option<&Value>, label: &Label) {
        self.slice(route, at).take_back(task, said, label);
    }

    fn slice(&mut self, route: &str, at: Time) -> &mut Summary {
        let key = (route.to_owned(), slice_of(at));
        self.make_room(&key);
        self.revision += 1;
        let slice = self.all.entry(key.clone()).or_default();
        slice.revision = self.revision;
        self.changed.insert(key);
        &mut slice.summary
    }

    /// Slices that changed since this was last asked, each once.
    pub fn take_changed(&mut self) -> Vec<(String, Time, Summary)> {
        let changed = std::mem::take(&mut self.changed);
        let slice = |(route, start)| {
            let key = (route, start);
            let summary = self.all.get(&key)?.summary.clone();
            Some((key.0, key.1, summary))
        };
        changed.into_iter().filter_map(slice).collect()
    }

    /// Slices of a route that begin at `from` or later.
    pub fn of(&self, route: &str, from: Time) -> impl Iterator<Item = (Time, &Slice)> {
        let range = (route.to_owned(), from)..=(route.to_owned(), Time::MAX);
        self.all.range(range).map(|((_, start), slice)| (*start, slice))
    }

    /// All slices of a route that begin at `from` or later, together.
    pub fn together(&self, route: &str, from: Time) -> Summary {
        self.of(route, from).fold(Summary::default(), |mut all, (_, slice)| {
            all.merge(&slice.summary);
            all
        })
    }

    /// Forgets slices that began before `since`; their keys.
    pub fn forget(&mut self, since: Time) -> Vec<(String, Time)> {
        let old: Vec<_> = self.all.keys().filter(|(_, start)| *start < since).cloned().collect();
        for key in &old {
            self.all.remove(key);
        }
        old
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_label_changes_the_slice_of_its_prediction() {
        let task = Task::Binary { threshold: 0.5 };
        let (mut slices, at) = (Slices::default(), Time::from_secs(1_000_000));
        let label = |truth: f64| Label { truth: Value::Number(truth), weight: 1.0, age: Duration::from_hours(5) };
        let said = Value::Number(0.9);
        for n in 0..40_u64 {
            slices.predict("score", task, at + Duration::from_secs(n * 60), Some(&said));
        }
        assert_eq!(slices.take_changed().len(), 5);
        assert!(slices.take_changed().is_empty());
        slices.add("score", task, at, Some(&said), &label(1.0)).unwrap();
        slices.add("score", task, at, Some(&said), &label(0.0)).unwrap();
        slices.take_back("score", task, at, Some(&said), &label(0.0));
        let changed = slices.take_changed();
        assert_eq!((changed.len(), changed[0].1, changed[0].2.labelled), (1, slice_of(at), 1));
        assert_eq!(slices.together("score", Time::ZERO).metric(task, "precision").unwrap().value, 1.0);
        assert_eq!(slices.together("other", Time::ZERO).predicted, 0);
        let unreadable = Label { truth: Value::word("?"), ..label(1.0) };
        assert!(slices.add("new", task, at, Some(&said), &unreadable).is_err());
        assert!(slices.take_changed().is_empty());
        assert_eq!(slices.forget(at + Duration::from_hours(1)).len(), 5);
    }

    #[test]
    fn the_oldest_slice_gives_way_and_is_counted() {
        let (mut slices, start) = (Slices::default(), |n: usize| Time::from_secs(n as u64 * SLICE.as_secs()));
        (1..=SLICES_MAX + 2).for_each(|n| slices.restore("score", start(n), Summary::default()));
        assert_eq!((slices.of("score", Time::ZERO).count(), slices.dropped()), (SLICES_MAX, 2));
        let task = Task::Binary { threshold: 0.5 };
        slices.predict("other", task, start(SLICES_MAX), None);
        slices.predict("other", task, start(SLICES_MAX), None);
        assert_eq!(
            (slices.of("score", Time::ZERO).next().map(|(start, _)| start), slices.dropped()),
            (Some(start(4)), 3)
        );
    }
}

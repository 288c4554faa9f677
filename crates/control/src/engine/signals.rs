//! Signals from outside: sums of the last day, by name, arm and segment.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_core::quality::Estimate;
use mainstay_core::quality::feedback;
use mainstay_core::stats::proportion::Pair;
use mainstay_core::time::Time;
use mainstay_store::change::Change;
use mainstay_store::item::{Item, ItemQuery, Kind, State};
use mainstay_store::{Store, StoreError};
use serde::{Deserialize, Serialize};

/// Hours that are summed up.
const HOURS: u64 = 24;
/// Most keys of an hour; what comes beyond is left out and counted.
const KEYS_MAX: usize = 5_000;
/// What an hour is kept under, before its number; the number of the last signal that is in all of them is under [`AFTER`].
const SIGNALS: &str = "signals/";
const AFTER: &str = "signals/after";
/// The arm for which the model does not choose.
const HOLDOUT: &str = "holdout";

/// What a signal is summed up under: name, arm, segment.
type Key = (String, String, String);

/// Sums of one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sums {
    pub(crate) count: u64,
    pub(crate) sum: f64,
    squares: f64,
}

impl Sums {
    pub(crate) fn add(&mut self, other: &Sums) {
        self.count += other.count;
        self.sum += other.sum;
        self.squares += other.squares;
    }

    /// The mean, with its interval.
    pub(crate) fn mean(&self) -> Option<Estimate> {
        let n = self.count as f64;
        Estimate::of_moments(self.sum / n, self.squares - self.sum * self.sum / n, n)
    }
}

/// Signals by hour.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signals {
    hours: BTreeMap<u64, BTreeMap<Key, Sums>>,
    /// Hours that are not at rest as they are.
    changed: BTreeSet<u64>,
    /// The number of the last signal that was taken in.
    after: u64,
    pub(crate) left_out: u64,
}

#[derive(Deserialize)]
struct Signal {
    name: String,
    value: f64,
    #[serde(default)]
    arm: Option<String>,
    #[serde(default)]
    segment: Option<String>,
}

impl Signals {
    pub(super) async fn restore(store: &dyn Store, now: Time) -> Result<Signals, StoreError> {
        let mut signals = Signals::default();
        for state in store.states(SIGNALS).await? {
            if state.key == AFTER {
                signals.after = std::str::from_utf8(&state.data).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
                continue;
            }
            let hour = state.key.strip_prefix(SIGNALS).and_then(|hour| hour.parse().ok());
            match (hour, serde_json::from_slice::<Vec<(Key, Sums)>>(&state.data)) {
                (Some(hour), Ok(sums)) => drop(signals.hours.insert(hour, sums.into_iter().collect())),
                _ => tracing::warn!(key = state.key, "an hour of signals cannot be read, and is left out"),
            }
        }
        // What came after hours were last stored.
        loop {
            let query = ItemQuery { kind: Some(Kind::Signal), after: signals.after, ..ItemQuery::default() };
            let page = store.items(query).await?;
            if page.is_empty() {
                break;
            }
            for stored in &page {
                signals.take(&stored.item, stored.seq);
            }
        }
        // What is too old is taken from the store by the next maintenance.
        drop(signals.forget(now));
        Ok(signals)
    }

    /// Takes a signal in; its name and value.
    pub(crate) fn take(&mut self, item: &Item, seq: u64) -> Option<(String, f64)> {
        self.after = self.after.max(seq);
        let signal = serde_json::from_str::<Signal>(&item.body).ok()?;
        let number = item.at.as_millis() / 3_600_000;
        self.changed.insert(number);
        let hour = self.hours.entry(number).or_default();
        let key = (signal.name, signal.arm.unwrap_or_default(), signal.segment.unwrap_or_default());
        if hour.len() >= KEYS_MAX && !hour.contains_key(&key) {
            self.left_out += 1;
            return None;
        }
        let one = Sums { count: 1, sum: signal.value, squares: signal.value * signal.value };
        let name = key.0.clone();
        hour.entry(key).or_default().add(&one);
        Some((name, signal.value))
    }

    /// Forgets hours that are too old; what of them must no longer rest.
    pub(super) fn forget(&mut self, now: Time) -> Vec<Change> {
        let first = (now.as_millis() / 3_600_000).saturating_sub(HOURS);
        let kept = self.hours.split_off(&first);
        let gone = std::mem::replace(&mut self.hours, kept);
        self.changed.retain(|hour| *hour >= first);
        gone.into_keys().map(|hour| Change::ForgetState(format!("{SIGNALS}{hour}"))).collect()
    }

    /// Hours that changed, as they are to rest, all of them in one transaction.
    pub(super) fn rest(&mut self) -> Vec<State> {
        let changed = std::mem::take(&mut self.changed);
        if changed.is_empty() {
            return Vec::new();
        }
        let hour = |hour: u64| {
            let sums: Vec<(&Key, &Sums)> = self.hours.get(&hour)?.iter().collect();
            let data = serde_json::to_vec(&sums).expect("finite numbers and strings become JSON");
            Some(State { key: format!("{SIGNALS}{hour}"), data })
        };
        let after = State { key: AFTER.to_owned(), data: self.after.to_string().into_bytes() };
        changed.into_iter().filter_map(hour).chain([after]).collect()
    }

    /// Sums of the last day by key.
    fn all(&self) -> BTreeMap<&Key, Sums> {
        let mut all: BTreeMap<&Key, Sums> = BTreeMap::new();
        for (key, sums) in self.hours.values().flatten() {
            all.entry(key).or_default().add(sums);
        }
        all
    }

    /// Sums by name, and for each by arm and by segment.
    pub(crate) fn by_name(&self) -> BTreeMap<String, [BTreeMap<String, Sums>; 2]> {
        let mut names: BTreeMap<String, [BTreeMap<String, Sums>; 2]> = BTreeMap::new();
        for ((name, arm, segment), sums) in self.all() {
            let [arms, segments] = names.entry(name.clone()).or_default();
            arms.entry(arm.clone()).or_default().add(&sums);
            segments.entry(segment.clone()).or_default().add(&sums);
        }
        names
    }

    /// The measures of a feedback loop, as far as signals tell: `label_caused` (0 or 1), `exposure` (the segment is the item), `score` (the
    /// same), and `click_through` (0 or 1) of the arm `holdout` and of others.
    pub(crate) fn feedback(&self) -> BTreeMap<&'static str, Estimate> {
        let all = self.all();
        let of = |wanted: &'static str| all.iter().filter(move |((name, ..), _)| name == wanted);
        let mut measures = BTreeMap::new();
        let mut note = |name: &'static str, estimate: Option<Estimate>| {
            if let Some(estimate) = estimate {
                measures.insert(name, estimate);
            }
        };
        let caused = of("label_caused").fold(Sums::default(), |mut all, (_, sums)| {
            all.add(sums);
            all
        });
        let n = caused.count as f64;
        note("caused_label_share", Estimate::share(caused.sum.clamp(0.0, n), n, n));
        let mut items: BTreeMap<&str, (f64, Sums)> = BTreeMap::new();
        for ((_, _, item), sums) in of("exposure") {
            items.entry(item).or_default().0 += sums.sum;
        }
        for ((_, _, item), sums) in of("score") {
            items.entry(item).or_default().1.add(sums);
        }
        let exposures: Vec<f64> = items.values().map(|(exposure, _)| *exposure).filter(|e| *e > 0.0).collect();
        note("exposure_gini", feedback::gini(&exposures));
        let scored = items.values().filter(|(_, score)| score.count > 0);
        let pairs: Vec<(f64, f64)> = scored.map(|(exposure, s)| (*exposure, s.sum / s.count as f64)).collect();
        note("exposure_score_correlation", feedback::exposure_follows_score(&pairs));
        let (mut model, mut holdout) = (Sums::default(), Sums::default());
        for ((_, arm, _), sums) in of("click_through") {
            if arm == HOLDOUT { &mut holdout } else { &mut model }.add(sums);
        }
        if model.count > 0 && holdout.count > 0 {
            let hits = |sums: &Sums| (sums.sum.max(0.0).round() as u64, sums.count);
            let pair = Pair { first: hits(&model), second: hits(&holdout) };
            note("click_through_against_holdout", feedback::against_holdout(&pair));
        }
        measures
    }
}

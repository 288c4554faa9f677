//! Signals from outside: sums of the last day, by name, arm and segment, and which are beyond their bounds.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mainstay_core::event::Event;
use mainstay_core::plan::Bound;
use mainstay_core::quality::Estimate;
use mainstay_core::quality::feedback;
use mainstay_core::response::bound::{
    CLICK_THROUGH_AGAINST_HOLDOUT, EXPOSURE_GINI, EXPOSURE_SCORE_CORRELATION, LABEL_CAUSED, Watch,
};
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
/// What an hour is kept under, before its number; the number of the last signal that is in all of them is under [`AFTER`], what is beyond its
/// bound under [`BEYOND`].
const SIGNALS: &str = "signals/";
const AFTER: &str = "signals/after";
const BEYOND: &str = "signals/beyond";
/// How often signals are compared with their bounds, where they changed.
const JUDGE_EVERY: Duration = Duration::from_secs(5);
/// Fewer values than that which are all the same say nothing of the next one.
const ALIKE_LEAST: u64 = 30;
/// By less than this share of their squares, values differ by rounding only.
const ROUNDING: f64 = 1e-12;
/// The share of labels that the model's own output brought about, among other measures.
const LABEL_CAUSED_SHARE: &str = "caused_label_share";
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

    /// The mean, with its interval: of zeros and ones it is a share, and Wilson's; otherwise Student's.
    pub(crate) fn mean(&self) -> Option<Estimate> {
        let n = self.count as f64;
        // Only zeros and ones are their own squares.
        if self.squares == self.sum && self.sum <= n {
            return Estimate::share(self.sum, n, n);
        }
        let squares = self.squares - self.sum * self.sum / n;
        let tells = self.count >= ALIKE_LEAST || squares > self.squares * ROUNDING;
        Estimate::of_moments(self.sum / n, if tells && squares.is_finite() { squares } else { f64::INFINITY }, n)
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
    watch: Watch,
    /// Whether signals or bounds changed since they were compared.
    is_news: bool,
    judged_at: Time,
    /// Whether what is beyond its bound is not at rest as it is.
    moved: bool,
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
        let mut signals = Signals { is_news: true, ..Signals::default() };
        for state in store.states(SIGNALS).await? {
            if state.key == AFTER {
                signals.after = std::str::from_utf8(&state.data).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
                continue;
            }
            if state.key == BEYOND {
                match serde_json::from_slice(&state.data) {
                    Ok(beyond) => signals.watch.restore(beyond),
                    Err(error) => tracing::warn!(%error, "what is beyond its bound cannot be read, and is told anew"),
                }
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
        self.is_news = true;
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
        self.is_news |= !gone.is_empty();
        gone.into_keys().map(|hour| Change::ForgetState(format!("{SIGNALS}{hour}"))).collect()
    }

    /// Goes by these bounds from now on.
    pub(super) fn set_bounds(&mut self, bounds: &BTreeMap<String, Bound>) {
        self.watch.set_bounds(bounds);
        self.is_news = true;
    }

    /// Compares what changed with its bounds; what is to be told. Whoever tells it makes it [`Signals::rest`].
    pub(super) fn judge(&mut self, now: Time) -> Vec<Event> {
        if !self.is_news || now < self.judged_at + JUDGE_EVERY {
            return Vec::new();
        }
        (self.is_news, self.judged_at) = (false, now);
        let measures = self.feedback();
        let mut sums: BTreeMap<&str, Sums> = BTreeMap::new();
        for ((name, arm, _), own) in self.hours.values().flatten() {
            if arm != HOLDOUT {
                sums.entry(name).or_default().add(own);
            }
        }
        let estimate = |name: &str| {
            let measure = if name == LABEL_CAUSED { LABEL_CAUSED_SHARE } else { name };
            measures.get(measure).copied().or_else(|| sums.get(name)?.mean())
        };
        let news = self.watch.judge(estimate);
        self.moved |= !news.is_empty();
        news.into_iter().map(|kind| Event { at: now, kind }).collect()
    }

    /// What changed, as it is to rest, all of it in one transaction.
    pub(super) fn rest(&mut self) -> Vec<State> {
        let mut states = Vec::new();
        if std::mem::take(&mut self.moved) {
            let data = serde_json::to_vec(self.watch.beyond()).expect("finite numbers and strings become JSON");
            states.push(State { key: BEYOND.to_owned(), data });
        }
        let changed = std::mem::take(&mut self.changed);
        if changed.is_empty() {
            return states;
        }
        let hour = |hour: u64| {
            let sums: Vec<(&Key, &Sums)> = self.hours.get(&hour)?.iter().collect();
            let data = serde_json::to_vec(&sums).expect("finite numbers and strings become JSON");
            Some(State { key: format!("{SIGNALS}{hour}"), data })
        };
        states.extend(changed.into_iter().filter_map(hour));
        states.push(State { key: AFTER.to_owned(), data: self.after.to_string().into_bytes() });
        states
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
        let caused = of(LABEL_CAUSED).fold(Sums::default(), |mut all, (_, sums)| {
            all.add(sums);
            all
        });
        let n = caused.count as f64;
        note(LABEL_CAUSED_SHARE, Estimate::share(caused.sum.clamp(0.0, n), n, n));
        let mut items: BTreeMap<&str, (f64, Sums)> = BTreeMap::new();
        for ((_, _, item), sums) in of("exposure") {
            items.entry(item).or_default().0 += sums.sum;
        }
        for ((_, _, item), sums) in of("score") {
            items.entry(item).or_default().1.add(sums);
        }
        let exposures: Vec<f64> = items.values().map(|(exposure, _)| *exposure).filter(|e| *e > 0.0).collect();
        note(EXPOSURE_GINI, feedback::gini(&exposures));
        let scored = items.values().filter(|(_, score)| score.count > 0);
        let pairs: Vec<(f64, f64)> = scored.map(|(exposure, s)| (*exposure, s.sum / s.count as f64)).collect();
        note(EXPOSURE_SCORE_CORRELATION, feedback::exposure_follows_score(&pairs));
        let (mut model, mut holdout) = (Sums::default(), Sums::default());
        for ((_, arm, _), sums) in of("click_through") {
            if arm == HOLDOUT { &mut holdout } else { &mut model }.add(sums);
        }
        if model.count > 0 && holdout.count > 0 {
            let hits = |sums: &Sums| (sums.sum.max(0.0).round() as u64, sums.count);
            let pair = Pair { first: hits(&model), second: hits(&holdout) };
            note(CLICK_THROUGH_AGAINST_HOLDOUT, feedback::against_holdout(&pair));
        }
        measures
    }
}

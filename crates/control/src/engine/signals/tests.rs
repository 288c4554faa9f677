use std::future::{Future, pending};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use mainstay_core::event::EventKind;
use mainstay_core::stats::{Interval, Z_95, wilson};
use mainstay_store::{Options, Sqlite};
use proptest::prelude::*;

use super::*;
use crate::engine::{Engine, Entry, Setup, Summed, Taken, Terms};
use crate::ingest::Meaning;

/// In the middle of an hour.
const NOW: Time = Time::from_secs(1_772_366_400 + 1_800);

fn signal(id: &str, name: &str, value: f64, arm: &str, segment: &str, at: Time) -> Item {
    let body =
        serde_json::json!({ "id": id, "name": name, "value": value, "arm": arm, "segment": segment }).to_string();
    let (client, id) = (String::new(), id.to_owned());
    Item { kind: Kind::Signal, client, id, about: None, at, body, deltas: Vec::new() }
}

fn sums(values: &[f64]) -> Sums {
    values.iter().fold(Sums::default(), |mut all, value| {
        all.add(&Sums { count: 1, sum: *value, squares: value * value });
        all
    })
}

fn bounds(of: &[(&str, Bound)]) -> BTreeMap<String, Bound> {
    of.iter().map(|(name, bound)| ((*name).to_owned(), *bound)).collect()
}

/// Name, whether it is beyond, and its value.
fn told(events: &[Event]) -> Vec<(&str, bool, f64)> {
    let read = |event| match event {
        &Event { kind: EventKind::SignalChanged { ref name, ref to, value, .. }, .. } => {
            (name.as_str(), to == "beyond", value)
        }
        other => panic!("{other:?}"),
    };
    events.iter().map(read).collect()
}

/// Signals in memory.
struct Bench {
    signals: Signals,
    now: Time,
    seq: u64,
}

impl Bench {
    fn new(of: &[(&str, Bound)]) -> Bench {
        let mut signals = Signals::default();
        signals.set_bounds(&bounds(of));
        Bench { signals, now: NOW, seq: 0 }
    }

    fn post(&mut self, name: &str, (value, times): (f64, u64), arm: &str, segment: &str) {
        for _ in 0..times {
            self.seq += 1;
            let item = signal(&self.seq.to_string(), name, value, arm, segment, self.now);
            self.signals.take(&item, self.seq);
        }
    }

    fn judge(&mut self) -> Vec<(String, bool, f64)> {
        self.now = self.now + JUDGE_EVERY;
        let events = self.signals.judge(self.now);
        told(&events).into_iter().map(|(name, beyond, value)| (name.to_owned(), beyond, value)).collect()
    }
}

#[test]
fn all_arms_but_the_holdout_and_all_segments_count() {
    let mut bench = Bench::new(&[("complaints", Bound::Above(0.65))]);
    bench.post("complaints", (0.0, 1_000), HOLDOUT, "a");
    for (arm, segment) in [("", "a"), ("model", "b"), ("other", "")] {
        assert_eq!(bench.judge(), []);
        bench.post("complaints", (1.0, 3), arm, segment);
    }
    // Nine of nine: from 0.70 on by Wilson; three of three from 0.44, six of six from 0.61.
    assert_eq!(bench.judge(), [("complaints".to_owned(), true, 1.0)]);
    bench.post("complaints", (0.0, 4), "model", "b");
    assert_eq!(bench.judge(), [], "9 of 13 are 0.69");
    bench.post("complaints", (0.0, 1), "model", "c");
    assert_eq!(bench.judge(), [("complaints".to_owned(), false, 9.0 / 14.0)]);
}

#[test]
fn few_values_are_never_beyond() {
    let mut bench = Bench::new(&[
        ("clicks", Bound::Below(0.008)),
        ("stars", Bound::Below(3.5)),
        ("one", Bound::Above(0.02)),
        ("huge", Bound::Above(0.0)),
    ]);
    bench.post("clicks", (0.0, 400), "", "");
    bench.post("stars", (2.0, ALIKE_LEAST - 1), "", "");
    bench.post("one", (7.0, 1), "", "");
    bench.post("huge", (1e200, 100), "", "");
    assert_eq!(bench.judge(), []);
    bench.post("clicks", (0.0, 100), "", "");
    bench.post("stars", (2.0, 1), "", "");
    assert_eq!(bench.judge(), [("clicks".to_owned(), true, 0.0), ("stars".to_owned(), true, 2.0)]);
}

#[test]
fn measures_of_feedback_loops_are_compared_as_they_are() {
    let mut bench = Bench::new(&[]);
    bench.post(LABEL_CAUSED, (1.0, 80), "", "");
    bench.post(LABEL_CAUSED, (0.0, 20), HOLDOUT, "");
    for item in 0..50 {
        let (exposure, score) = (f64::from(1 + item), f64::from(item));
        bench.post("exposure", (exposure, 1), "", &item.to_string());
        bench.post("score", (score, 1), "", &item.to_string());
    }
    bench.post("exposure", (1e9, 1), "", "top");
    bench.post("click_through", (0.0, 500), "model", "");
    bench.post("click_through", (1.0, 100), HOLDOUT, "");
    bench.post("click_through", (0.0, 400), HOLDOUT, "");
    let measures = bench.signals.feedback();
    assert_eq!(measures[LABEL_CAUSED_SHARE].value, 0.8);
    let seen = bench.judge();
    let beyond: Vec<&str> = seen.iter().filter(|(_, beyond, _)| *beyond).map(|(name, ..)| name.as_str()).collect();
    // What is shown of one item has no certain spread by leaving one out: its interval reaches below the bound.
    assert_eq!(beyond, [CLICK_THROUGH_AGAINST_HOLDOUT, EXPOSURE_SCORE_CORRELATION, LABEL_CAUSED]);
    for (name, _, value) in &seen {
        let measure = if name == LABEL_CAUSED { LABEL_CAUSED_SHARE } else { name };
        assert_eq!(*value, measures[measure].value, "{name}");
    }
}

#[test]
fn nothing_is_compared_anew_without_news_or_too_often() {
    let mut bench = Bench::new(&[("x", Bound::Above(0.5))]);
    assert_eq!(bench.judge(), []);
    bench.post("x", (1.0, 100), "", "");
    assert!(bench.signals.judge(bench.now + JUDGE_EVERY - Duration::from_millis(1)).is_empty());
    assert_eq!(bench.judge().len(), 1);
    assert!(!bench.signals.is_news);
    // A day later the hour is forgotten: that is news, but not of anything that is back.
    bench.now = bench.now + Duration::from_hours(HOURS + 1);
    assert_eq!(bench.judge(), []);
    assert_eq!(bench.signals.forget(bench.now).len(), 1);
    assert!(bench.signals.is_news);
    assert_eq!(bench.judge(), []);
    bench.post("x", (0.0, 1), "", "");
    assert_eq!(bench.judge(), [("x".to_owned(), false, 0.0)]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mean_has_the_interval_of_what_it_is_of(
        bits in prop::collection::vec(prop::bool::ANY, 1..60),
        numbers in prop::collection::vec(-10.0..10.0_f64, 2..60),
        (one, times) in (1.5..10.0_f64, 1..60_usize),
    ) {
        let hits = bits.iter().filter(|bit| **bit).count() as u64;
        let of_bits = sums(&bits.iter().map(|bit| f64::from(u8::from(*bit))).collect::<Vec<_>>()).mean().unwrap();
        let wanted = wilson(hits, bits.len() as u64, Z_95);
        prop_assert!((of_bits.interval.low - wanted.low).abs() < 1e-12, "{of_bits:?} {wanted:?}");
        prop_assert!((of_bits.interval.high - wanted.high).abs() < 1e-12, "{of_bits:?} {wanted:?}");

        let (seen, wanted) = (sums(&numbers).mean().unwrap(), Estimate::mean(&numbers).unwrap());
        prop_assert!((seen.value - wanted.value).abs() < 1e-9);
        prop_assert!((seen.interval.low - wanted.interval.low).abs() < 1e-6, "{seen:?} {wanted:?}");

        let alike = sums(&vec![one; times]).mean().unwrap();
        let unbounded = alike.interval == Interval { low: f64::NEG_INFINITY, high: f64::INFINITY };
        prop_assert_eq!(unbounded, (times as u64) < ALIKE_LEAST);
    }
}

/// A folder that is gone when it is dropped.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let folder = std::env::temp_dir().join(format!("mainstay-signals-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&folder));
        std::fs::create_dir_all(&folder).unwrap();
        Place(folder)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// One life of a process.
struct Life {
    engine: Engine,
    now: Arc<AtomicU64>,
    heard: Arc<Mutex<Vec<Event>>>,
    seq: AtomicU64,
}

impl Life {
    async fn post(&self, name: &str, value: f64, times: u64) {
        let entry = |_| {
            let at = Time::from_nanos(self.now.load(Ordering::SeqCst));
            let id = format!("{name}/{}/{}", at.as_nanos(), self.seq.fetch_add(1, Ordering::SeqCst));
            Entry { item: signal(&id, name, value, "", "", at), meaning: Meaning::Nothing }
        };
        let taken = self.engine.take((0..times).map(entry).collect()).await.unwrap();
        assert!(taken.iter().all(|taken| *taken == Taken::New));
        self.now.fetch_add(JUDGE_EVERY.as_nanos() as u64, Ordering::SeqCst);
    }

    /// Waits until so much was heard, and that rests.
    async fn heard(&self, count: usize) -> Vec<Event> {
        loop {
            let heard = self.heard.lock().unwrap().clone();
            let rests = self.engine.store().states(BEYOND).await.unwrap();
            let names = rests.first().map_or_else(BTreeSet::new, |state| {
                let beyond: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&state.data).unwrap();
                beyond.into_keys().collect()
            });
            let of_memory: BTreeSet<String> = self.engine.quality().signals.watch.beyond().keys().cloned().collect();
            if heard.len() >= count && names == of_memory {
                return heard;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Lives until the scenario is over, then ends as it should or is killed. What it heard.
async fn live<F: Future<Output = ()>>(
    place: &Place,
    now: &Arc<AtomicU64>,
    of: &[(&str, Bound)],
    kill: bool,
    scenario: impl FnOnce(Arc<Life>) -> F,
) -> Vec<Event> {
    let store = Sqlite::open(&place.0.join("store.db"), Options::default()).await.unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    let (heard, clock) = (Arc::new(Mutex::new(Vec::new())), Arc::clone(now));
    let hearing = Arc::clone(&heard);
    let setup = Setup {
        terms: Terms { bounds: bounds(of), ..Terms::default() },
        source: Box::new(Summed::default),
        on_event: Box::new(move |event| hearing.lock().unwrap().push(event)),
        clock: Arc::new(move || Time::from_nanos(clock.load(Ordering::SeqCst))),
        instance: format!("life-{}", now.fetch_add(1_000_000_000, Ordering::SeqCst)),
    };
    let (engine, running) = Engine::restore(Arc::clone(&store), setup).await.unwrap();
    let (now, seq) = (Arc::clone(now), AtomicU64::new(0));
    let life = Arc::new(Life { engine, now, heard: Arc::clone(&heard), seq });
    if kill {
        tokio::select! {
            () = running.until(pending()) => {}
            () = scenario(life) => {}
        }
        store.close().await.unwrap();
    } else {
        running.until(scenario(life)).await;
    }
    heard.lock().unwrap().clone()
}

#[tokio::test]
async fn an_engine_tells_once_what_went_beyond_and_what_came_back_whatever_happens_between() {
    for kill in [false, true] {
        let place = Place::new(if kill { "killed" } else { "ended" });
        let now = Arc::new(AtomicU64::new(NOW.as_nanos()));
        let both = [("a", Bound::Above(0.5)), ("b", Bound::Above(0.5))];
        let heard = live(&place, &now, &both, kill, async |life| {
            life.post("a", 1.0, 100).await;
            life.heard(1).await;
        })
        .await;
        assert_eq!(told(&heard), [("a", true, 1.0)]);

        // That `b` is heard of shows that `a` was compared again, and is no news.
        let heard = live(&place, &now, &both, kill, async |life| {
            life.post("b", 1.0, 50).await;
            life.heard(1).await;
        })
        .await;
        assert_eq!(told(&heard), [("b", true, 1.0)]);

        // What came back was told of before; a bound that is gone while nobody ran is told of now.
        let heard = live(&place, &now, &both[..1], kill, async |life| {
            life.heard(1).await;
            life.post("a", 0.0, 100).await;
            life.heard(2).await;
        })
        .await;
        assert_eq!(told(&heard), [("b", false, 1.0), ("a", false, 0.5)]);

        let heard = live(&place, &now, &[("c", Bound::Above(0.5)), both[0]], kill, async |life| {
            life.post("c", 1.0, 50).await;
            life.heard(1).await;
            let terms =
                Terms { bounds: bounds(&[("a", Bound::Above(0.1)), ("c", Bound::Above(1.0))]), ..Terms::default() };
            life.engine.set_terms(terms).unwrap();
            life.now.fetch_add(JUDGE_EVERY.as_nanos() as u64, Ordering::SeqCst);
            life.heard(3).await;
        })
        .await;
        assert_eq!(told(&heard), [("c", true, 1.0), ("c", false, 1.0), ("a", true, 0.5)]);
    }
}

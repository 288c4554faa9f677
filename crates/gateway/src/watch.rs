//! What monitors and labels get to see of requests: values are picked here and judged elsewhere.
//!
//! Monitors look at a random part of a route's requests, so that their cost has a bound however many requests there are; what is
//! remembered for labels is chosen by the request's id, so that whoever gets the label can tell. Nothing here waits: batches are
//! handed over each time that counters are, and what nobody takes is dropped and counted.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::observed::{EMBEDDING_MAX, Observed, Value};
use mainstay_core::plan::{Plan, ValueKind, ValueSource};

use crate::features::Retrieved;
use crate::json::{self, Pointer, PointerError};
use crate::protocol::{Predicted, PredictionReader};

/// Most observations that wait to be taken.
const WAITING_MAX: usize = 100_000;
/// Requests of a route that monitors may look at, between two settlements, beyond the average.
const BURST: f64 = 50.0;

/// What is looked at in a route's requests; made once per route.
#[derive(Debug)]
pub(crate) struct Watch {
    looks: Vec<Look>,
    pub(crate) prediction: Option<PredictionReader>,
    /// The share of predictions that is remembered for labels.
    pub(crate) share: Option<f64>,
}

#[derive(Debug)]
struct Look {
    monitor: u32,
    place: Place,
    kind: ValueKind,
}

#[derive(Debug)]
enum Place {
    Request(Pointer),
    Answer(Pointer),
    Feature(String),
    Prediction,
    Confidence,
}

/// A request and its answer, as far as they are held.
pub(crate) struct Seen<'a> {
    pub(crate) request: &'a [u8],
    /// Empty where the answer is not held.
    pub(crate) answer: &'a [u8],
    pub(crate) features: &'a [Option<Retrieved>],
    pub(crate) prediction: Option<&'a Value>,
    pub(crate) confidence: Option<f64>,
}

impl Watch {
    /// Compiles what the plan wants to see of a route.
    pub(crate) fn new(plan: &Plan, route: usize) -> Result<Watch, PointerError> {
        let monitors = plan.drift.monitors.iter().enumerate().filter(|(_, monitor)| monitor.route == route);
        let looks = monitors.map(|(at, monitor)| {
            let place = match &monitor.source {
                ValueSource::Request(text) => Place::Request(Pointer::parse(text)?),
                ValueSource::Answer(text) => Place::Answer(Pointer::parse(text)?),
                ValueSource::Feature(name) => Place::Feature(name.clone()),
                ValueSource::Prediction => Place::Prediction,
                ValueSource::Confidence => Place::Confidence,
            };
            Ok(Look { monitor: at as u32, place, kind: monitor.kind })
        });
        let prediction = plan.routes[route].prediction.as_ref().map(PredictionReader::new).transpose()?;
        let share = plan.labels.as_ref().filter(|_| prediction.is_some()).map(|labels| labels.share);
        Ok(Watch { looks: looks.collect::<Result<_, _>>()?, prediction, share })
    }

    /// Whether monitors look at requests.
    pub(crate) fn has_monitors(&self) -> bool {
        !self.looks.is_empty()
    }

    /// Whether an answer's body is read.
    pub(crate) fn reads_answers(&self) -> bool {
        let in_answer = |look: &Look| matches!(look.place, Place::Answer(_) | Place::Prediction);
        self.share.is_some() || self.looks.iter().any(in_answer)
    }

    /// What the monitors look at. A value that is not there is missing; one that was not asked for is left out.
    pub(crate) fn values(&self, seen: &Seen<'_>) -> Vec<(u32, Value)> {
        let value = |look: &Look| {
            let value = match &look.place {
                Place::Request(pointer) => at(seen.request, pointer, look.kind),
                Place::Answer(_) if seen.answer.is_empty() => return None,
                Place::Answer(pointer) => at(seen.answer, pointer, look.kind),
                Place::Feature(name) => feature(seen.features, name, look.kind)?,
                Place::Prediction => seen.prediction?.clone(),
                Place::Confidence => Value::Number(seen.confidence?),
            };
            Some((look.monitor, of_kind(value, look.kind)))
        };
        self.looks.iter().filter_map(value).collect()
    }

    /// What an answer predicts.
    pub(crate) fn predicted(&self, answer: &[u8]) -> Option<Value> {
        Some(match self.prediction.as_ref()?.read(answer)? {
            Predicted::Number(number) => Value::Number(number),
            Predicted::Label(label) => Value::word(&label),
            Predicted::Decision(decision) => Value::Number(f64::from(u8::from(decision))),
        })
    }
}

fn at(body: &[u8], pointer: &Pointer, kind: ValueKind) -> Value {
    let Ok(Some(raw)) = json::find(body, pointer) else { return Value::Missing };
    if kind == ValueKind::Embedding {
        let mut values = Vec::new();
        let mut all = true;
        let read = json::fold_numbers(raw, |number| {
            all &= values.len() < EMBEDDING_MAX;
            if all {
                values.push(number as f32);
            }
        });
        return read.filter(|()| all && !values.is_empty()).map_or(Value::Missing, |()| Value::Vector(values.into()));
    }
    if let Some(number) = json::number(raw) {
        Value::Number(number)
    } else if let Some(flag) = json::boolean(raw) {
        Value::Number(f64::from(u8::from(flag)))
    } else {
        json::string(raw).map_or(Value::Missing, |word| Value::word(&word))
    }
}

/// A feature of the first entity, from whichever set was asked for it.
fn feature(sets: &[Option<Retrieved>], name: &str, kind: ValueKind) -> Option<Value> {
    let set = sets.iter().flatten().find(|set| set.refs().iter().any(|own| own == name))?;
    Some(match set.get(name) {
        Some(serde_json::Value::Bool(flag)) => Value::Number(f64::from(u8::from(*flag))),
        Some(serde_json::Value::Number(number)) => number.as_f64().map_or(Value::Missing, Value::Number),
        Some(serde_json::Value::String(word)) => Value::word(word),
        Some(serde_json::Value::Array(values)) if kind == ValueKind::Embedding => {
            let numbers = values.iter().take(EMBEDDING_MAX).map(|value| Some(value.as_f64()? as f32));
            numbers.collect::<Option<Vec<f32>>>().map_or(Value::Missing, |numbers| Value::Vector(numbers.into()))
        }
        None | Some(serde_json::Value::Null | serde_json::Value::Object(_) | serde_json::Value::Array(_)) => {
            Value::Missing
        }
    })
}

/// A number among categories is its own name; a word among numbers is missing.
fn of_kind(value: Value, kind: ValueKind) -> Value {
    match (kind, value) {
        (ValueKind::Category, Value::Number(number)) => Value::word(&number.to_string()),
        (ValueKind::Category, Value::Vector(_))
        | (ValueKind::Number, Value::Word(_) | Value::Vector(_))
        | (ValueKind::Embedding, Value::Number(_) | Value::Word(_)) => Value::Missing,
        (_, value) => value,
    }
}

/// Which of a route's requests monitors look at: each with the same chance, which follows the traffic.
#[derive(Debug)]
pub(crate) struct Thinning {
    seen: Cell<u32>,
    taken: Cell<u32>,
    chance: Cell<f64>,
    /// Requests between two settlements, smoothed.
    usual: Cell<f64>,
}

impl Default for Thinning {
    fn default() -> Thinning {
        Thinning { seen: Cell::new(0), taken: Cell::new(0), chance: Cell::new(1.0), usual: Cell::new(0.0) }
    }
}

impl Thinning {
    /// Whether a request is looked at; `at_random` lies within [0, 1).
    pub(crate) fn takes(&self, at_random: f64, rate: f64, every: Duration) -> bool {
        self.seen.set(self.seen.get().saturating_add(1));
        let takes = at_random < self.chance.get() && f64::from(self.taken.get()) < rate * every.as_secs_f64() + BURST;
        self.taken.set(self.taken.get() + u32::from(takes));
        takes
    }

    /// Time to think about the chance again; `rate` is what this worker may take in a second.
    pub(crate) fn settle(&self, rate: f64, every: Duration) {
        const SMOOTH: f64 = 0.3;
        let seen = f64::from(self.seen.take());
        self.taken.set(0);
        let usual =
            if self.usual.get() == 0.0 { seen } else { SMOOTH.mul_add(seen - self.usual.get(), self.usual.get()) };
        self.usual.set(usual);
        self.chance.set((rate * every.as_secs_f64() / usual.max(1e-9)).min(1.0));
    }
}

/// What was observed and waits to be taken.
#[derive(Debug, Default)]
pub(crate) struct Observations {
    batches: Vec<Batch>,
    held: usize,
    pub(crate) dropped: u64,
}

/// Observations under one plan.
pub type Batch = (Arc<Plan>, Vec<Observed>);

impl Observations {
    /// Takes a worker's observations over.
    pub(crate) fn absorb(&mut self, plan: &Arc<Plan>, observed: &mut Vec<Observed>) {
        if observed.is_empty() {
            return;
        }
        let room = WAITING_MAX.saturating_sub(self.held);
        if observed.len() > room {
            self.dropped += (observed.len() - room) as u64;
            observed.truncate(room);
        }
        self.held += observed.len();
        match self.batches.last_mut().filter(|(last, _)| Arc::ptr_eq(last, plan)) {
            Some((_, batch)) => batch.append(observed),
            None => self.batches.push((Arc::clone(plan), std::mem::take(observed))),
        }
    }

    /// All of it.
    pub(crate) fn take(&mut self) -> Vec<Batch> {
        self.held = 0;
        std::mem::take(&mut self.batches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chance_follows_the_traffic() {
        let every = Duration::from_millis(200);
        let thinning = Thinning::default();
        let mut rng = mainstay_core::rng::Rng::new(7);
        for _ in 0..50 {
            for _ in 0..4_000 {
                thinning.takes(rng.unit(), 100.0, every);
            }
            thinning.settle(100.0, every);
        }
        let taken = (0..4_000).filter(|_| thinning.takes(rng.unit(), 100.0, every)).count();
        assert!((10..=32).contains(&taken), "20 of 4,000 are asked for, not {taken}");
        // Without traffic for a while everything is looked at again.
        (0..200).for_each(|_| thinning.settle(100.0, every));
        assert!(thinning.takes(0.999, 100.0, every));
    }

    #[test]
    fn values_are_picked_by_their_kind() {
        let body = br#"{"a": 1.5, "b": "x", "c": [1, 2, 3], "d": null, "e": true, "f": [1, "x"]}"#;
        let find = |path: &str, kind| of_kind(at(body, &Pointer::parse(path).unwrap(), kind), kind);
        assert_eq!(find("/a", ValueKind::Number), Value::Number(1.5));
        assert_eq!(find("/a", ValueKind::Category), Value::word("1.5"));
        assert_eq!(find("/b", ValueKind::Category), Value::word("x"));
        assert_eq!(find("/e", ValueKind::Number), Value::Number(1.0));
        assert_eq!(find("/c", ValueKind::Embedding), Value::Vector([1.0, 2.0, 3.0].into()));
        let nothing = [("/b", ValueKind::Number), ("/c", ValueKind::Number), ("/d", ValueKind::Category)];
        let more = [("/f", ValueKind::Embedding), ("/z", ValueKind::Number)];
        for (path, kind) in nothing.into_iter().chain(more) {
            assert_eq!(find(path, kind), Value::Missing, "{path} {kind:?}");
        }
    }
}

//! What values should be like: the artefact that a window of them is compared with, of fixed size, kept beside a model's version.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bins::Bins;
use super::sample::Moments;
use super::sketch::Sketch;
use crate::observed::{EMBEDDING_MAX, Value};
use crate::rng::Rng;
use crate::time::Time;

/// The version of the JSON that this build writes, and the newest that it reads.
pub const VERSION: u32 = 1;
/// Quantile bins of numbers.
pub const BINS: usize = 256;
/// Categories that are told apart; the rest is counted together.
pub const CATEGORIES_MAX: usize = 200;
/// Vectors that are kept of an embedding.
pub const VECTORS: usize = 256;
/// Hours of a week.
pub const HOURS: usize = 168;
/// Numbers from whose sample bins are made while a reference is learned.
const SAMPLE: usize = 20_000;
/// An hour of the week with so many values speaks for itself alone.
const ENOUGH: f64 = 100.0;

/// What values should be like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// [`VERSION`].
    pub version: u32,
    /// What is watched.
    pub name: String,
    /// The model that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// That model's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_version: Option<String>,
    /// Values that were missing.
    pub missing: u64,
    /// The values.
    pub values: Values,
}

/// Values of a kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Values {
    /// Numbers.
    Number(Numbers),
    /// Words.
    Category(Categories),
    /// Vectors.
    Embedding(Vectors),
}

/// Numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Numbers {
    /// Deciles, with atoms.
    pub deciles: Bins,
    /// Counts over finer bins, among whose edges are those of the deciles.
    pub sketch: Sketch,
    /// By hour of the week, from Monday at midnight UTC on: counts over the deciles, and moments. Empty where hours are not compared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<Hour>,
}

/// Numbers of an hour of the week.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hour {
    /// By decile.
    pub counts: Vec<u64>,
    /// Mean and deviation.
    pub moments: Moments,
}

/// Words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Categories {
    /// The most frequent, with their counts.
    pub counts: BTreeMap<String, u64>,
    /// All others together.
    #[serde(default)]
    pub others: u64,
}

/// Vectors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Vectors {
    /// How many there were.
    pub count: u64,
    /// A uniform sample of them.
    pub sample: Vec<Vec<f32>>,
}

/// Why JSON is no reference.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// It is not JSON of the shape.
    #[error(transparent)]
    Shape(#[from] serde_json::Error),
    /// Of a later version.
    #[error("version {0} is not known here")]
    Version(u32),
    /// Its parts do not belong together.
    #[error("{0}")]
    Unsound(&'static str),
}

impl Reference {
    /// Reads what serde writes; whatever is not sound is refused.
    pub fn from_json(text: &str) -> Result<Reference, ReferenceError> {
        let reference: Reference = serde_json::from_str(text)?;
        if reference.version != VERSION {
            return Err(ReferenceError::Version(reference.version));
        }
        reference.values.check().map_err(ReferenceError::Unsound)?;
        Ok(reference)
    }

    /// Values that are not missing.
    pub fn count(&self) -> u64 {
        self.values.count()
    }

    /// The share of values that were missing.
    pub fn missing_rate(&self) -> f64 {
        self.missing as f64 / (self.missing + self.count()).max(1) as f64
    }
}

impl Values {
    /// The name of their kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Values::Number(_) => "number",
            Values::Category(_) => "category",
            Values::Embedding(_) => "embedding",
        }
    }

    fn count(&self) -> u64 {
        match self {
            Values::Number(numbers) => numbers.sketch.moments().count,
            Values::Category(words) => words.counts.values().sum::<u64>() + words.others,
            Values::Embedding(vectors) => vectors.count,
        }
    }

    fn check(&self) -> Result<(), &'static str> {
        match self {
            Values::Number(numbers) => {
                let there = |edge: f64| numbers.sketch.edges().contains(&edge);
                let Bins { atoms, edges } = &numbers.deciles;
                let all =
                    atoms.iter().chain(edges).all(|edge| there(*edge)) && atoms.iter().all(|a| there(a.next_up()));
                if !all || !edges.is_sorted_by(|a, b| a < b) || !atoms.is_sorted_by(|a, b| a < b) {
                    return Err("the deciles must be among the sketch's edges");
                }
                let hours = &numbers.hours;
                if !hours.is_empty() && hours.len() != HOURS {
                    return Err("there are 168 hours in a week");
                }
                let fits = |hour: &Hour| {
                    let all = hour.counts.iter().try_fold(0_u64, |all, count| all.checked_add(*count));
                    hour.counts.len() == numbers.deciles.len()
                        && all == Some(hour.moments.count)
                        && hour.moments.are_sound()
                };
                if hours.iter().all(fits) { Ok(()) } else { Err("an hour's counts do not belong to the deciles") }
            }
            Values::Category(words) => {
                let all = words.counts.values().try_fold(words.others, |all, count| all.checked_add(*count));
                match all {
                    _ if words.counts.len() > CATEGORIES_MAX => Err("more than 200 categories"),
                    None => Err("the counts are too large"),
                    Some(_) => Ok(()),
                }
            }
            Values::Embedding(vectors) => {
                let length = vectors.sample.first().map_or(0, Vec::len);
                let alike = vectors.sample.iter().all(|v| v.len() == length && v.iter().all(|value| value.is_finite()));
                if vectors.sample.len() > VECTORS || length > EMBEDDING_MAX || !alike {
                    return Err("an embedding's sample holds at most 256 finite vectors of one length");
                }
                Ok(())
            }
        }
    }
}

/// The hour of the week of a moment, from Monday at midnight UTC on.
pub fn hour_of_week(at: Time) -> usize {
    // The first of January 1970 was a Thursday.
    let hours = at.as_nanos() / 3_600_000_000_000 + 72;
    (hours % HOURS as u64) as usize
}

impl Numbers {
    /// Counts over the deciles that values of this hour of the week should have, in values of the whole; `None` where hours are not
    /// compared. An hour of `n` values, fewer than 100, is drawn to the whole: its own share is
    /// `n / 100`.
    pub fn expected(&self, hour: usize) -> Option<Vec<f64>> {
        let own = self.hours.get(hour)?;
        let all = self.sketch.moments().count as f64;
        let weight = (own.moments.count as f64 / ENOUGH).min(1.0);
        let whole = self.sketch.coarse(&self.deciles);
        let parts = whole.iter().zip(&own.counts);
        let share = |count: u64, of: f64| if of > 0.0 { count as f64 / of } else { 0.0 };
        let mixed =
            parts.map(|(w, h)| all * ((1.0 - weight) * share(*w, all) + weight * share(*h, own.moments.count as f64)));
        Some(mixed.collect())
    }
}

/// Gathers a reference from values that go by: of bounded size however many there are.
#[derive(Clone, Debug)]
pub struct Builder {
    missing: u64,
    gathered: Gathered,
    rng: Rng,
}

#[derive(Clone, Debug)]
enum Gathered {
    /// The first numbers, from which bins are made; after that the bins.
    Numbers {
        first: Vec<(f64, usize)>,
        binned: Option<Box<Numbers>>,
        hours: bool,
    },
    Words {
        counts: BTreeMap<String, u64>,
        others: u64,
    },
    Vectors(Vectors),
}

impl Builder {
    /// For numbers; with `hours`, each hour of the week is kept apart as well.
    pub fn numbers(hours: bool, seed: u64) -> Builder {
        let gathered = Gathered::Numbers { first: Vec::new(), binned: None, hours };
        Builder { missing: 0, gathered, rng: Rng::new(seed) }
    }

    /// For words.
    pub fn categories(seed: u64) -> Builder {
        let gathered = Gathered::Words { counts: BTreeMap::new(), others: 0 };
        Builder { missing: 0, gathered, rng: Rng::new(seed) }
    }

    /// For vectors.
    pub fn embedding(seed: u64) -> Builder {
        Builder { missing: 0, gathered: Gathered::Vectors(Vectors::default()), rng: Rng::new(seed) }
    }

    /// Takes a value in. One of another kind, or no finite number, is missing.
    pub fn push(&mut self, value: &Value, at: Time) {
        match (&mut self.gathered, value) {
            (Gathered::Numbers { first, binned, hours }, Value::Number(number)) if number.is_finite() => {
                let hour = hour_of_week(at);
                match binned {
                    Some(numbers) => numbers.count(*number, hour),
                    None => {
                        first.push((*number, hour));
                        if first.len() >= SAMPLE {
                            *binned = Some(Box::new(bin(std::mem::take(first), *hours)));
                        }
                    }
                }
            }
            (Gathered::Words { counts, others }, Value::Word(word)) => {
                if let Some(count) = counts.get_mut(&**word) {
                    *count += 1;
                } else if counts.len() < 10 * CATEGORIES_MAX {
                    counts.insert(word.to_string(), 1);
                } else {
                    *others += 1;
                }
            }
            (Gathered::Vectors(vectors), Value::Vector(vector)) => {
                if vectors.sample.first().is_some_and(|first| first.len() != vector.len()) {
                    self.missing += 1;
                    return;
                }
                vectors.count += 1;
                keep(&mut vectors.sample, vectors.count, vector, &mut self.rng);
            }
            _ => self.missing += 1,
        }
    }

    /// Values so far that are not missing.
    pub fn count(&self) -> u64 {
        match &self.gathered {
            Gathered::Numbers { first, binned, .. } => {
                binned.as_ref().map_or(first.len() as u64, |numbers| numbers.sketch.moments().count)
            }
            Gathered::Words { counts, others } => counts.values().sum::<u64>() + others,
            Gathered::Vectors(vectors) => vectors.count,
        }
    }

    /// The reference; `None` where there was no value.
    pub fn finish(self, name: &str, model: Option<&str>, model_version: Option<&str>) -> Option<Reference> {
        if self.count() == 0 {
            return None;
        }
        let values = match self.gathered {
            Gathered::Numbers { binned: Some(numbers), .. } => Values::Number(*numbers),
            Gathered::Numbers { first, hours, .. } => Values::Number(bin(first, hours)),
            Gathered::Words { counts, others } => Values::Category(top(counts, others)),
            Gathered::Vectors(vectors) => Values::Embedding(vectors),
        };
        let (model, model_version) = (model.map(str::to_owned), model_version.map(str::to_owned));
        Some(Reference { version: VERSION, name: name.to_owned(), model, model_version, missing: self.missing, values })
    }
}

/// Each vector that came by is kept with the same chance (Vitter's algorithm R).
pub(super) fn keep(sample: &mut Vec<Vec<f32>>, count: u64, vector: &[f32], rng: &mut Rng) {
    if sample.len() < VECTORS {
        sample.push(vector.to_vec());
    } else if let Some(slot) = sample.get_mut(rng.below(count) as usize) {
        slot.copy_from_slice(vector);
    }
}

fn bin(first: Vec<(f64, usize)>, hours: bool) -> Numbers {
    let mut sorted: Vec<f64> = first.iter().map(|(number, _)| *number).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let deciles = Bins::of(&sorted, 10, true);
    let hour = Hour { counts: vec![0; deciles.len()], moments: Moments::default() };
    let hours = if hours { vec![hour; HOURS] } else { Vec::new() };
    let mut numbers = Numbers { sketch: Sketch::with_bins(&sorted, BINS), deciles, hours };
    for (number, hour) in first {
        numbers.count(number, hour);
    }
    numbers
}

impl Numbers {
    fn count(&mut self, number: f64, hour: usize) {
        self.sketch.push(number);
        if let Some(hour) = self.hours.get_mut(hour) {
            hour.counts[self.deciles.index(number)] += 1;
            hour.moments.push(number);
        }
    }
}

fn top(counts: BTreeMap<String, u64>, others: u64) -> Categories {
    let mut all: Vec<(String, u64)> = counts.into_iter().collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let rest = all.split_off(all.len().min(CATEGORIES_MAX));
    let others = others + rest.iter().map(|(_, count)| count).sum::<u64>();
    Categories { counts: all.into_iter().collect(), others }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(values: impl IntoIterator<Item = f64>) -> Reference {
        let mut builder = Builder::numbers(true, 1);
        for (at, value) in values.into_iter().enumerate() {
            builder.push(&Value::Number(value), Time::from_secs(at as u64 * 60));
        }
        builder.finish("amount", Some("fraud"), Some("3")).unwrap()
    }

    #[test]
    fn a_reference_is_read_back_and_counts_what_it_saw() {
        let reference = numbers((0..50_000).map(|n| f64::from(n % 1_000) / 7.0).chain([f64::NAN]));
        assert_eq!((reference.count(), reference.missing), (50_000, 1));
        let text = serde_json::to_string(&reference).unwrap();
        assert!(text.len() < 100_000, "of fixed size: {}", text.len());
        assert_eq!(Reference::from_json(&text).unwrap(), reference);
        let Values::Number(numbers) = &reference.values else { panic!("numbers") };
        let by_hour: u64 = numbers.hours.iter().map(|hour| hour.moments.count).sum();
        assert_eq!(by_hour, 50_000);
        let expected: f64 = numbers.expected(5).unwrap().iter().sum();
        assert!((expected - 50_000.0).abs() < 1e-6, "{expected}");
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let whole = serde_json::to_value(numbers((0..500).map(f64::from))).unwrap();
        assert!(Reference::from_json(&whole.to_string()).is_ok());
        for (pointer, value) in [
            ("/version", serde_json::json!(2)),
            ("/values/kind", serde_json::json!("text")),
            ("/values/sketch/counts/0", serde_json::json!(7_000)),
            ("/values/sketch/edges/0", serde_json::json!(1e9)),
            ("/values/sketch/moments/mean", serde_json::json!("x")),
            ("/values/deciles/edges/0", serde_json::json!(0.123)),
            ("/values/hours", serde_json::json!([])),
            ("/values/hours/3/counts", serde_json::json!([1])),
        ] {
            let mut damaged = whole.clone();
            *damaged.pointer_mut(pointer).unwrap() = value;
            let read = Reference::from_json(&damaged.to_string());
            assert_eq!(read.is_ok(), pointer == "/values/hours", "{pointer}: {read:?}");
        }
        for text in ["", "{}", "[1]", "{\"version\":1}"] {
            assert!(Reference::from_json(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_most_frequent_words_are_kept() {
        let mut builder = Builder::categories(1);
        for n in 0..10_000_u32 {
            let word = if n % 2 == 0 { "often".to_owned() } else { format!("rare-{}", n % 3_001) };
            builder.push(&Value::word(&word), Time::ZERO);
        }
        builder.push(&Value::Number(1.0), Time::ZERO);
        let reference = builder.finish("country", None, None).unwrap();
        let Values::Category(words) = &reference.values else { panic!("words") };
        assert_eq!(
            (words.counts["often"], words.counts.len(), reference.count(), reference.missing),
            (5_000, 200, 10_000, 1)
        );
        assert_eq!(Reference::from_json(&serde_json::to_string(&reference).unwrap()).unwrap(), reference);
    }

    #[test]
    fn the_week_begins_on_monday() {
        // 2026-11-23 is a Monday.
        let monday = crate::event::parse_time("2026-11-23T00:59:59Z").unwrap();
        assert_eq!(hour_of_week(monday), 0);
        assert_eq!(hour_of_week(crate::event::parse_time("2026-11-22T23:00:00Z").unwrap()), 167);
    }
}

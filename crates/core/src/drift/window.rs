//! What came by since a window began, counted over a reference's bins; and what it comes to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bins::Bins;
use super::embedding;
use super::figures::Figures;
use super::reference::{Numbers, Reference, Values, Vectors, hour_of_week, keep};
use super::sample::{Moments, mean_shift_z, welch};
use super::shares::{FLOOR, shares};
use super::sketch::Sketch;
use super::verdict::{Method, Score};
use crate::observed::Value;
use crate::rng::Rng;
use crate::stats::binomial;
use crate::stats::proportion::Pair;
use crate::time::Time;

/// Requests that are remembered of each bin.
const EXAMPLES: usize = 3;
/// New words that are named.
const NEW_WORDS_MAX: usize = 20;
/// Backends that are told apart; requests of others belong to no segment.
pub const BACKENDS_MAX: usize = 16;
/// Classes and backends.
const SEGMENTS: usize = 4 + BACKENDS_MAX;
/// A rate that moved by less than this moved by nothing that matters.
const RATE_LIMIT: f64 = 0.01;
/// Squared discrepancy of embeddings from which on it matters, as Evidently has it.
const MMD_LIMIT: f64 = 0.015;
/// Shuffles of a permutation test.
const SHUFFLES: usize = 199;

/// What a value belongs to.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The request's id.
    pub request_id: &'a str,
    /// Its class, 0 to 3.
    pub class: usize,
    /// The backend whose model answered.
    pub backend: Option<usize>,
    /// When.
    pub at: Time,
}

/// The places of a reference's bins: what a window needs to count fast.
#[derive(Clone, Debug)]
pub struct Places {
    /// By bin of the sketch: its decile.
    decile: Vec<u16>,
    /// By category: its place.
    word: BTreeMap<Box<str>, usize>,
    bins: usize,
}

impl Places {
    /// Those of a reference.
    pub fn new(reference: &Reference) -> Places {
        match &reference.values {
            Values::Number(numbers) => {
                let edges = numbers.sketch.edges();
                let start = |bin: usize| if bin == 0 { f64::NEG_INFINITY } else { edges[bin - 1] };
                let decile = (0..=edges.len()).map(|bin| numbers.deciles.index(start(bin)) as u16).collect();
                Places { decile, word: BTreeMap::new(), bins: numbers.deciles.len() }
            }
            Values::Category(words) => {
                let word = words.counts.keys().enumerate().map(|(at, word)| (word.as_str().into(), at)).collect();
                // The others, or what is new, come last.
                Places { decile: Vec::new(), word, bins: words.counts.len() + 1 }
            }
            Values::Embedding(_) => Places { decile: Vec::new(), word: BTreeMap::new(), bins: 0 },
        }
    }
}

/// What came by since a window began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// When the first value came.
    pub from: Option<Time>,
    /// When the last one came.
    pub to: Time,
    /// Values that were missing.
    pub missing: u64,
    /// Numbers outside the reference's range, or words that it does not know.
    pub outside: u64,
    counted: Counted,
    /// Values by hour of the week, where hours are compared.
    hours: BTreeMap<usize, u64>,
    /// By bin: ids of requests, each with the same chance.
    examples: Vec<Vec<Box<str>>>,
    segments: Vec<Segment>,
    new_words: BTreeMap<Box<str>, u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Counted {
    Numbers(Sketch),
    Words(Vec<u64>),
    Vectors(Vectors),
}

/// Values of a class or a backend.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// How many.
    pub count: u64,
    /// Of numbers, their sum.
    pub sum: f64,
    /// By decile or category.
    pub bins: Vec<u32>,
}

/// A rate that is compared with the reference's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// `missing`, `out_of_range` or `new_category`.
    pub name: &'static str,
    /// In the reference; of what is outside of it by definition, what a further value is expected to be.
    pub reference: f64,
    /// In the window.
    pub current: f64,
    /// The chance of as much without drift.
    pub p_value: f64,
    /// Whether it drifted.
    pub drifted: bool,
}

/// A figure of embeddings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Apart {
    /// One less the cosine of the centroids.
    pub centroid_cosine: f64,
    /// The squared maximum mean discrepancy, without bias.
    pub mmd2: f64,
    /// Its chance without drift, by shuffling.
    pub p_value: f64,
    /// Whether it drifted.
    pub drifted: bool,
}

/// What a window came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Values that are not missing.
    pub count: u64,
    /// By method.
    pub scores: Vec<Score>,
    /// By rate.
    pub rates: Vec<Rate>,
    /// Of embeddings.
    pub apart: Option<Apart>,
}

impl Window {
    /// An empty one over a reference's bins.
    pub fn new(reference: &Reference, places: &Places) -> Window {
        let counted = match &reference.values {
            Values::Number(numbers) => Counted::Numbers(numbers.sketch.empty()),
            Values::Category(_) => Counted::Words(vec![0; places.bins]),
            Values::Embedding(_) => Counted::Vectors(Vectors::default()),
        };
        let segment = Segment { bins: vec![0; places.bins], ..Segment::default() };
        Window {
            from: None,
            to: Time::ZERO,
            missing: 0,
            outside: 0,
            counted,
            hours: BTreeMap::new(),
            examples: vec![Vec::new(); places.bins],
            segments: vec![segment; SEGMENTS],
            new_words: BTreeMap::new(),
        }
    }

    /// Whether it was made over these bins: what was read from a store may not be.
    pub fn fits(&self, reference: &Reference, places: &Places) -> bool {
        let counted = match (&self.counted, &reference.values) {
            (Counted::Numbers(sketch), Values::Number(numbers)) => sketch.edges() == numbers.sketch.edges(),
            (Counted::Words(counts), Values::Category(_)) => counts.len() == places.bins,
            (Counted::Vectors(_), Values::Embedding(_)) => true,
            _ => false,
        };
        let segments = self.segments.len() == SEGMENTS && self.segments.iter().all(|s| s.bins.len() == places.bins);
        counted && segments && self.examples.len() == places.bins
    }

    /// Takes a value in; its bin among deciles or categories, where it is in one.
    pub fn handle(
        &mut self,
        value: &Value,
        about: &About<'_>,
        (reference, places): (&Reference, &Places),
        rng: &mut Rng,
    ) -> Option<usize> {
        self.from.get_or_insert(about.at);
        self.to = self.to.max(about.at);
        let (bin, number) = match (&mut self.counted, value, &reference.values) {
            (Counted::Numbers(sketch), Value::Number(number), Values::Number(numbers)) if number.is_finite() => {
                let range = numbers.sketch.moments();
                self.outside += u64::from(*number < range.low || *number > range.high);
                if !numbers.hours.is_empty() {
                    *self.hours.entry(hour_of_week(about.at)).or_default() += 1;
                }
                (usize::from(places.decile[sketch.push(*number)]), *number)
            }
            (Counted::Words(counts), Value::Word(word), Values::Category(words)) => {
                let place = places.word.get(&**word).copied();
                if place.is_none() && words.others == 0 {
                    self.outside += 1;
                    note_new(&mut self.new_words, word);
                }
                let bin = place.unwrap_or(places.bins - 1);
                counts[bin] += 1;
                (bin, 0.0)
            }
            (Counted::Vectors(vectors), Value::Vector(vector), Values::Embedding(known)) => {
                if known.sample.first().is_none_or(|first| first.len() != vector.len()) {
                    self.missing += 1;
                    return None;
                }
                vectors.count += 1;
                keep(&mut vectors.sample, vectors.count, vector, rng);
                return None;
            }
            _ => {
                self.missing += 1;
                return None;
            }
        };
        self.note(bin, number, about, rng);
        Some(bin)
    }

    fn note(&mut self, bin: usize, number: f64, about: &About<'_>, rng: &mut Rng) {
        let backend = about.backend.filter(|backend| *backend < BACKENDS_MAX).map(|backend| 4 + backend);
        for segment in [Some(about.class.min(3)), backend].into_iter().flatten() {
            let segment = &mut self.segments[segment];
            segment.count += 1;
            segment.sum += number;
            segment.bins[bin] += 1;
        }
        let count = u64::from(self.segments[..4].iter().map(|class| class.bins[bin]).sum::<u32>());
        let examples = &mut self.examples[bin];
        if examples.len() < EXAMPLES {
            examples.push(about.request_id.into());
        } else if let Some(slot) = examples.get_mut(rng.below(count) as usize) {
            *slot = about.request_id.into();
        }
    }

    /// Values that are not missing.
    pub fn count(&self) -> u64 {
        match &self.counted {
            Counted::Numbers(sketch) => sketch.moments().count,
            Counted::Words(counts) => counts.iter().sum(),
            Counted::Vectors(vectors) => vectors.count,
        }
    }

    /// All values.
    pub fn total(&self) -> u64 {
        self.count() + self.missing
    }

    /// Of numbers: how many, their mean and spread.
    pub fn moments(&self) -> Option<&Moments> {
        match &self.counted {
            Counted::Numbers(sketch) => Some(sketch.moments()),
            Counted::Words(_) | Counted::Vectors(_) => None,
        }
    }

    /// What it comes to beside its reference; nothing is corrected for how much is asked, and nothing judged.
    pub fn outcome(&self, reference: &Reference, rng: &mut Rng) -> Outcome {
        let mut outcome = Outcome { count: self.count(), ..Outcome::default() };
        if outcome.count == 0 || reference.count() == 0 {
            return outcome;
        }
        match (&self.counted, &reference.values) {
            (Counted::Numbers(sketch), Values::Number(numbers)) => outcome.scores = self.of_numbers(sketch, numbers),
            (Counted::Words(counts), Values::Category(words)) => {
                let known: Vec<u64> = words.counts.values().copied().chain([words.others]).collect();
                let (plain, n) = ((known.clone(), counts.clone()), reference.count());
                let mut figures = Figures {
                    n,
                    m: outcome.count,
                    atoms: plain.clone(),
                    plain,
                    ks: f64::NAN,
                    wasserstein: f64::NAN,
                    ..Figures::default()
                };
                figures.pool();
                let asked = LIVE.into_iter().filter(|method| !method.needs_numbers());
                outcome.scores = asked.map(|method| figures.score(method)).collect();
            }
            (Counted::Vectors(now), Values::Embedding(then)) => outcome.apart = apart(then, now, rng),
            _ => {}
        }
        outcome.rates = self.rates(reference);
        outcome
    }

    fn of_numbers(&self, sketch: &Sketch, numbers: &Numbers) -> Vec<Score> {
        let plain = Bins { atoms: Vec::new(), edges: numbers.deciles.edges.clone() };
        let (now, m) = (sketch.coarse(&numbers.deciles), sketch.moments().count);
        let mut figures = Figures {
            n: numbers.sketch.moments().count,
            m,
            moments: Some((*numbers.sketch.moments(), *sketch.moments())),
            plain: (numbers.sketch.coarse(&plain), sketch.coarse(&plain)),
            atoms: (numbers.sketch.coarse(&numbers.deciles), now.clone()),
            ks: numbers.sketch.kolmogorov(sketch).value,
            wasserstein: numbers.sketch.wasserstein(sketch).value,
            binned: true,
            ..Figures::default()
        };
        let mut seasonal = false;
        if let Some((expected, moments)) = self.expected(numbers) {
            seasonal = true;
            figures.n = expected.iter().sum();
            figures.plain = (expected.clone(), now.clone());
            figures.atoms = (expected, now);
            figures.moments = Some((moments, *sketch.moments()));
        }
        figures.pool();
        // Of an hour of the week no more is known than its deciles and its moments.
        let whole_law = [Method::Ks, Method::WassersteinNormalised];
        let asked = LIVE.into_iter().filter(|method| !seasonal || !whole_law.contains(method));
        let (a, b) = figures.moments.unwrap_or_default();
        let of = |method| match method {
            // Without a test of its own it would cry at a single huge value.
            Method::MeanShiftZ => {
                let p_value = welch(&a, &b).map(|(_, p_value)| p_value);
                let z = mean_shift_z(&a, &b);
                Score { method, value: z, effect: z, limit: 2.0, p_value, drifted: false }
            }
            other => figures.score(other),
        };
        asked.map(of).collect()
    }

    /// Counts over the deciles, and moments, that values of these hours should have.
    fn expected(&self, numbers: &Numbers) -> Option<(Vec<u64>, Moments)> {
        let all: u64 = self.hours.values().sum();
        // What is known of hours is as much as their own values say, not as much as the whole does.
        let own: u64 = self.hours.keys().filter_map(|hour| numbers.hours.get(*hour)).map(|h| h.moments.count).sum();
        let (n, whole_n) = (own.max(1) as f64, numbers.sketch.moments().count.max(1) as f64);
        let (mut counts, mut mean, mut square) = (vec![0.0; numbers.deciles.len()], 0.0, 0.0);
        let whole = *numbers.sketch.moments();
        for (hour, seen) in &self.hours {
            let weight = *seen as f64 / all as f64;
            let expected = numbers.expected(*hour)?;
            counts.iter_mut().zip(expected).for_each(|(sum, count)| *sum += weight * count * n / whole_n);
            let own = &numbers.hours.get(*hour)?.moments;
            let moments = if own.count < 30 { whole } else { *own };
            mean += weight * moments.mean;
            square += weight * (moments.deviation().powi(2) + moments.mean * moments.mean);
        }
        if all == 0 {
            return None;
        }
        let counts = counts.into_iter().map(|count| count.round() as u64).collect();
        let variance = (square - mean * mean).max(0.0);
        Some((counts, Moments { count: n as u64, mean, squares: variance * n, low: whole.low, high: whole.high }))
    }

    fn rates(&self, reference: &Reference) -> Vec<Rate> {
        let (total, count, known) = (self.total(), self.count(), reference.count());
        let rate = |hits: u64, of: u64| hits as f64 / of.max(1) as f64;
        let before = reference.missing + known;
        let test = Pair { first: (self.missing, total), second: (reference.missing, before) }.test();
        let missing = Rate {
            name: "missing",
            reference: reference.missing_rate(),
            current: rate(self.missing, total),
            p_value: test.map_or(1.0, |(_, p_value)| p_value),
            drifted: false,
        };
        let Some((name, hits)) = expected_outside(reference) else { return vec![missing] };
        let bound = binomial::upper(hits, known, 0.99);
        let outside = Rate {
            name,
            reference: rate(hits, known),
            current: rate(self.outside, count),
            p_value: binomial::at_least(self.outside, count, bound),
            drifted: false,
        };
        vec![missing, outside]
    }

    /// What moved: bin by bin, the most first.
    pub fn contributions(&self, reference: &Reference) -> Vec<Contribution> {
        let (labels, before, now) = match (&self.counted, &reference.values) {
            (Counted::Numbers(sketch), Values::Number(numbers)) => {
                let before = self.expected(numbers).map_or_else(|| numbers.sketch.coarse(&numbers.deciles), |(e, _)| e);
                (numbers.deciles.labels(), before, sketch.coarse(&numbers.deciles))
            }
            (Counted::Words(counts), Values::Category(words)) => {
                let last = if words.others == 0 { "(new)" } else { "(others)" };
                let labels = words.counts.keys().cloned().chain([last.to_owned()]).collect();
                (labels, words.counts.values().copied().chain([words.others]).collect(), counts.clone())
            }
            _ => return Vec::new(),
        };
        let (p, q) = (shares(&before), shares(&now));
        if p.is_empty() || q.is_empty() {
            return Vec::new();
        }
        let term = |p: f64, q: f64| (q.max(FLOOR) - p.max(FLOOR)) * (q.max(FLOOR) / p.max(FLOOR)).ln();
        let bins = labels.into_iter().zip(p.iter().zip(&q)).zip(&self.examples);
        let mut all: Vec<Contribution> = bins
            .map(|((bin, (p, q)), examples)| Contribution {
                bin,
                reference: *p,
                current: *q,
                psi: term(*p, *q),
                examples: examples.iter().map(ToString::to_string).collect(),
            })
            .collect();
        all.sort_by(|a, b| b.psi.total_cmp(&a.psi));
        all
    }

    /// Values by class, then by backend.
    pub fn segments(&self) -> (&[Segment], &[Segment]) {
        self.segments.split_at(4)
    }

    /// Words that the reference does not know, with their counts; the first of them.
    pub fn new_words(&self) -> impl Iterator<Item = (&str, u64)> {
        self.new_words.iter().map(|(word, count)| (&**word, *count))
    }
}

/// Methods that windows are compared by.
const LIVE: [Method; 10] = [
    Method::MeanShiftZ,
    Method::MeanShiftT,
    Method::Psi,
    Method::Ks,
    Method::JensenShannon,
    Method::WassersteinNormalised,
    Method::ChiSquare,
    Method::CramersV,
    Method::LInfinity,
    Method::Hellinger,
];

/// A bin and how much it moved.
#[derive(Clone, Debug, PartialEq)]
pub struct Contribution {
    /// The bin, in words.
    pub bin: String,
    /// Its share in the reference.
    pub reference: f64,
    /// Its share in the window.
    pub current: f64,
    /// Its term of the stability index.
    pub psi: f64,
    /// Some requests whose values are in it.
    pub examples: Vec<String>,
}

fn note_new(words: &mut BTreeMap<Box<str>, u64>, word: &str) {
    if let Some(count) = words.get_mut(word) {
        *count += 1;
    } else if words.len() < NEW_WORDS_MAX {
        words.insert(word.into(), 1);
    }
}

/// What a further value is expected to be outside of a reference: of `n` values, two are the ends of the range; of categories, those
/// that were seen once say how many were not seen at all (Good 1953). `None` where nothing is outside.
pub fn expected_outside(reference: &Reference) -> Option<(&'static str, u64)> {
    match &reference.values {
        Values::Number(_) => Some(("out_of_range", 2.min(reference.count()))),
        Values::Category(words) if words.others == 0 => {
            let once = words.counts.values().filter(|count| **count == 1).count() as u64;
            Some(("new_category", once))
        }
        Values::Category(_) | Values::Embedding(_) => None,
    }
}

/// The samples of two embeddings, compared; `None` where one is too small.
fn apart(then: &Vectors, now: &Vectors, rng: &mut Rng) -> Option<Apart> {
    let wide = |vectors: &Vectors| -> Vec<Vec<f64>> {
        vectors.sample.iter().map(|vector| vector.iter().map(|value| f64::from(*value)).collect()).collect()
    };
    let (reference, current) = (wide(then), wide(now));
    let seen = embedding::compare(&reference, &current).ok()?;
    let p_value = embedding::shuffled(&reference, &current, seen.median, SHUFFLES, rng);
    Some(Apart { centroid_cosine: seen.centroid_cosine, mmd2: seen.mmd2, p_value, drifted: false })
}

impl Outcome {
    /// All chances without drift, in a fixed order: what is to be corrected together.
    pub fn p_values(&self) -> Vec<f64> {
        let scores = self.scores.iter().filter_map(|score| score.p_value);
        let rates = self.rates.iter().map(|rate| rate.p_value);
        scores.chain(rates).chain(self.apart.map(|apart| apart.p_value)).collect()
    }

    /// Says what drifted: large enough, and by its corrected chance no accident.
    pub fn judge(&mut self, corrected: &mut impl Iterator<Item = f64>, alpha: f64) {
        for score in &mut self.scores {
            let p_value = score.p_value.and_then(|_| corrected.next());
            // Without a test nothing is claimed of live traffic.
            score.drifted = score.effect >= score.limit && p_value.is_some_and(|p| p < alpha);
        }
        for rate in &mut self.rates {
            let p_value = corrected.next().unwrap_or(1.0);
            rate.drifted = (rate.current - rate.reference).abs() >= RATE_LIMIT && p_value < alpha;
        }
        if let Some(apart) = &mut self.apart {
            let p_value = corrected.next().unwrap_or(1.0);
            apart.drifted = apart.mmd2 >= MMD_LIMIT && p_value < alpha;
        }
    }
}

//! An order of items: by BM25, by a number, by a time, or none.
//!
//! BM25 as in Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), with Lucene's
//! idf, which is never negative:
//!
//! ```text
//! score(d, q) = sum over terms t of q:  idf(t) * tf * (k1 + 1) / (tf + k1 * (1 - b + b * |d| / avg|d|))
//! idf(t)      = ln(1 + (N - n_t + 0.5) / (n_t + 0.5))
//! ```
//!
//! `tf` is how often `t` is in `d`, `|d|` the number of words of `d`, `N` the number of items, `n_t` how many of them have
//! `t`. Terms are words in lower case ([`words`]); a term that is written twice in the query counts once.

use std::collections::BTreeMap;

use serde_json::Value;

use super::text::{words, words_by};
use crate::event::parse_time;

/// Most items of a request that are put in order.
pub const MAX_ITEMS: usize = 1000;
/// Most distinct terms of a query that count; further ones are left out.
pub const MAX_TERMS: usize = 32;

/// What decides an order.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum By {
    /// How well an item's text fits the query.
    Bm25(Bm25),
    /// A number, the largest first.
    Popularity,
    /// A time, the latest first.
    Recency,
    /// The items stay as they are.
    Unranked,
}

impl By {
    /// The name that the config uses.
    pub const fn name(self) -> &'static str {
        match self {
            By::Bm25(_) => "bm25",
            By::Popularity => "popularity",
            By::Recency => "recency",
            By::Unranked => "none",
        }
    }
}

/// The two constants of BM25.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Bm25 {
    /// How soon a repeated term counts no more.
    pub k1: f64,
    /// How much longer texts are held back, from 0 to 1.
    pub b: f64,
}

impl Default for Bm25 {
    fn default() -> Bm25 {
        Bm25 { k1: 1.2, b: 0.75 }
    }
}

/// The distinct terms of a query, in order.
pub fn terms(query: &str) -> Vec<String> {
    let mut terms: Vec<String> = Vec::new();
    words(query, |word| {
        if terms.len() < MAX_TERMS && !terms.iter().any(|term| term == word) {
            terms.push(word.to_owned());
        }
    });
    terms
}

impl Bm25 {
    /// The scores of some texts for a query, in their order. Each text may come in several parts.
    ///
    /// ```
    /// use mainstay_core::answer::rank::{Bm25, order};
    ///
    /// let items = [vec!["red shoes"], vec!["blue shoes"], vec!["blue suede shoes", "blue"]];
    /// let scores = Bm25::default().scores("blue shoes", &items);
    /// assert_eq!(order(&scores), [2, 1, 0]);
    /// ```
    pub fn scores<P: AsRef<[S]>, S: AsRef<str>>(&self, query: &str, items: &[P]) -> Vec<f64> {
        let mut counts = Counts::new(query, items.len());
        for item in items {
            counts.begin();
            for part in item.as_ref() {
                counts.add(part.as_ref());
            }
        }
        counts.scores(*self)
    }

    /// What a term counts by how often it is in a text of a length.
    fn weight(&self, tf: u32, length: u32, average: f64) -> f64 {
        let tf = f64::from(tf);
        if tf == 0.0 {
            return 0.0;
        }
        tf * (self.k1 + 1.0) / (tf + self.k1 * (1.0 - self.b + self.b * f64::from(length) / average))
    }
}

/// What BM25 needs of some texts for one query: how long each is, and how often it has each of the query's terms.
/// Other words are counted, not kept.
#[derive(Clone, Debug)]
pub struct Counts {
    terms: Vec<String>,
    /// Which words cannot be terms, by their [`mark`].
    marks: [bool; 256],
    /// By text and term.
    found: Vec<u32>,
    /// By text.
    lengths: Vec<u32>,
    /// Where words are put in lower case.
    buffer: String,
}

impl Counts {
    /// Of no text yet, with room for some.
    pub fn new(query: &str, texts: usize) -> Counts {
        let terms = terms(query);
        let mut marks = [false; 256];
        for term in &terms {
            marks[mark(term)] = true;
        }
        let found = Vec::with_capacity(terms.len() * texts);
        Counts { terms, marks, found, lengths: Vec::with_capacity(texts), buffer: String::with_capacity(32) }
    }

    /// Begins the next text, which has no word yet.
    pub fn begin(&mut self) {
        self.lengths.push(0);
        self.found.resize(self.terms.len() * self.lengths.len(), 0);
    }

    /// Adds a part to the text that was begun last; without one it counts for nothing.
    pub fn add(&mut self, part: &str) {
        let Some(length) = self.lengths.last_mut() else { return };
        let first = self.found.len() - self.terms.len();
        let (terms, marks, counted) = (&self.terms, &self.marks, &mut self.found[first..]);
        words_by(part, &mut self.buffer, |word| {
            *length += 1;
            if marks[mark(word)]
                && let Some(term) = terms.iter().position(|term| term == word)
            {
                counted[term] += 1;
            }
        });
    }

    /// The scores of the texts, in their order.
    pub fn scores(&self, bm25: Bm25) -> Vec<f64> {
        let (texts, terms) = (self.lengths.len(), self.terms.len());
        let average = average(self.lengths.iter().map(|length| u64::from(*length)).sum(), texts);
        let having = |term: usize| self.found.iter().skip(term).step_by(terms).filter(|n| **n > 0).count();
        let idfs: Vec<f64> = (0..terms).map(|term| idf(texts, having(term))).collect();
        let score = |text: usize| {
            let counted = &self.found[text * terms..(text + 1) * terms];
            counted.iter().zip(&idfs).map(|(tf, idf)| idf * bm25.weight(*tf, self.lengths[text], average)).sum()
        };
        (0..texts).map(score).collect()
    }
}

/// Tells most words apart by a glance.
fn mark(word: &str) -> usize {
    let first = word.as_bytes().first().copied().unwrap_or_default();
    usize::from(first.wrapping_add((word.len() as u8).wrapping_mul(37)))
}

fn average(words: u64, items: usize) -> f64 {
    (words as f64 / items.max(1) as f64).max(1.0)
}

fn idf(items: usize, having: usize) -> f64 {
    let (items, having) = (items as f64, having as f64);
    (1.0 + (items - having + 0.5) / (having + 0.5)).ln()
}

/// An index of many texts, both ways: in which of them a term is and how often, and which terms a text has.
#[derive(Clone, Debug, Default)]
pub struct Index {
    terms: BTreeMap<Box<str>, u32>,
    /// By term: texts and counts, in the order of the texts.
    postings: Vec<Vec<(u32, u32)>>,
    /// Terms and counts of all texts, one text after the other, each in the order of the terms.
    texts: Vec<(u32, u32)>,
    /// Where each text ends among these.
    ends: Vec<usize>,
    lengths: Vec<u32>,
    words: u64,
}

impl Index {
    /// Adds a text, in parts; the first has the number 0.
    pub fn add(&mut self, parts: &[&str]) {
        let number = self.lengths.len() as u32;
        let start = self.texts.len();
        for part in parts {
            words(part, |word| {
                let next = self.terms.len() as u32;
                let term = match self.terms.get(word) {
                    Some(term) => *term,
                    None => *self.terms.entry(word.into()).or_insert(next),
                };
                self.texts.push((term, 1));
            });
        }
        let length = (self.texts.len() - start) as u32;
        self.postings.resize(self.terms.len(), Vec::new());
        self.texts[start..].sort_unstable();
        let mut end = start;
        for at in start..self.texts.len() {
            let (term, _) = self.texts[at];
            if end > start && self.texts[end - 1].0 == term {
                self.texts[end - 1].1 += 1;
            } else {
                self.texts[end] = (term, 1);
                end += 1;
            }
        }
        self.texts.truncate(end);
        for (term, count) in &self.texts[start..] {
            self.postings[*term as usize].push((number, *count));
        }
        self.ends.push(end);
        self.lengths.push(length);
        self.words += u64::from(length);
    }

    /// How many texts it has.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// How many words its texts have together.
    pub const fn words(&self) -> u64 {
        self.words
    }

    /// The scores of some of its texts for a query; a text that it does not have scores 0.
    pub fn scores_of(&self, bm25: Bm25, query: &str, texts: &[Option<u32>]) -> Vec<f64> {
        let (terms, average) = (self.terms_of(query), self.average());
        let score = |text: u32| -> f64 {
            let counts = self.counts(text);
            let length = self.length(text);
            let of_term = |(term, idf): &(u32, f64)| {
                let at = counts.binary_search_by_key(term, |(term, _)| *term).ok()?;
                Some(idf * bm25.weight(counts[at].1, length, average))
            };
            terms.iter().filter_map(of_term).sum()
        };
        texts.iter().map(|text| text.map_or(0.0, score)).collect()
    }

    /// The best texts for a query that have any of its terms, the best first, at most `top`, with their scores. As many
    /// steps as the query's terms occur.
    pub fn best(&self, bm25: Bm25, query: &str, top: usize) -> Vec<(u32, f64)> {
        let mut scores: BTreeMap<u32, f64> = BTreeMap::new();
        for (term, idf) in self.terms_of(query) {
            for (text, count) in &self.postings[term as usize] {
                *scores.entry(*text).or_default() += idf * bm25.weight(*count, self.length(*text), self.average());
            }
        }
        let mut best: Vec<(u32, f64)> = scores.into_iter().collect();
        best.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        best.truncate(top);
        best
    }

    /// The terms of a query that any text has, and their idf.
    fn terms_of(&self, query: &str) -> Vec<(u32, f64)> {
        let found = terms(query).into_iter().filter_map(|term| self.terms.get(&*term).copied());
        found.map(|term| (term, idf(self.len(), self.postings[term as usize].len()))).collect()
    }

    /// Terms and counts of a text.
    fn counts(&self, text: u32) -> &[(u32, u32)] {
        let text = text as usize;
        let Some(end) = self.ends.get(text) else { return &[] };
        let start = text.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.texts[start..*end]
    }

    fn length(&self, text: u32) -> u32 {
        self.lengths.get(text as usize).copied().unwrap_or_default()
    }

    fn average(&self) -> f64 {
        average(self.words, self.len())
    }
}

/// The order of items by their scores: indices, the best first; of equal ones the earlier first. What is not a number
/// comes last.
pub fn order(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    let key = |at: usize| if scores[at].is_nan() { f64::NEG_INFINITY } else { scores[at] };
    order.sort_by(|a, b| key(*b).total_cmp(&key(*a)));
    order
}

/// Scores that keep items as they are: they fall from 1 towards 0.
pub fn as_they_are(items: usize) -> Vec<f64> {
    (0..items).map(|at| (items - at) as f64 / items as f64).collect()
}

/// A popularity: a number, or a text that is one.
pub fn popularity(value: &Value) -> Option<f64> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
    number.filter(|number| number.is_finite())
}

/// A time in seconds since 1970: such a number, or text as of RFC 3339, or a date.
pub fn time(value: &Value) -> Option<f64> {
    let text = match value.as_str() {
        Some(text) => text.trim(),
        None => return value.as_f64(),
    };
    let seconds = |text: &str| Some(parse_time(text)?.as_millis() as f64 / 1000.0);
    seconds(text)
        .or_else(|| seconds(&format!("{text}T00:00:00Z")))
        .or_else(|| text.parse().ok())
        .filter(|s| s.is_finite())
}

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

use super::text::words;
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
    words(query, &mut |word| {
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
        let terms = terms(query);
        let mut counts = vec![0u32; terms.len() * items.len()];
        let mut lengths = vec![0u32; items.len()];
        for (at, item) in items.iter().enumerate() {
            let counted = &mut counts[at * terms.len()..(at + 1) * terms.len()];
            for part in item.as_ref() {
                words(part.as_ref(), &mut |word| {
                    lengths[at] += 1;
                    if let Some(term) = terms.iter().position(|term| term == word) {
                        counted[term] += 1;
                    }
                });
            }
        }
        let average = average(lengths.iter().map(|length| u64::from(*length)).sum(), items.len());
        let idfs: Vec<f64> = (0..terms.len())
            .map(|term| idf(items.len(), counts.iter().skip(term).step_by(terms.len()).filter(|n| **n > 0).count()))
            .collect();
        let score = |at: usize| {
            let counted = &counts[at * terms.len()..(at + 1) * terms.len()];
            counted.iter().zip(&idfs).map(|(tf, idf)| idf * self.weight(*tf, lengths[at], average)).sum()
        };
        (0..items.len()).map(score).collect()
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

fn average(words: u64, items: usize) -> f64 {
    (words as f64 / items.max(1) as f64).max(1.0)
}

fn idf(items: usize, having: usize) -> f64 {
    let (items, having) = (items as f64, having as f64);
    (1.0 + (items - having + 0.5) / (having + 0.5)).ln()
}

/// An inverted index of many texts: for each term, in which of them it is and how often.
#[derive(Clone, Debug, Default)]
pub struct Index {
    postings: BTreeMap<Box<str>, Vec<(u32, u32)>>,
    lengths: Vec<u32>,
    words: u64,
}

impl Index {
    /// Adds a text, in parts; the first has the number 0.
    pub fn add(&mut self, parts: &[&str]) {
        let number = self.lengths.len() as u32;
        let mut length = 0;
        for part in parts {
            words(part, &mut |word| {
                length += 1;
                match self.postings.get_mut(word) {
                    Some(list) => match list.last_mut() {
                        Some((last, count)) if *last == number => *count += 1,
                        Some(_) | None => list.push((number, 1)),
                    },
                    None => drop(self.postings.insert(word.into(), vec![(number, 1)])),
                }
            });
        }
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
        let mut scores = vec![0.0; texts.len()];
        for (idf, postings) in self.terms_of(query) {
            for (score, text) in scores.iter_mut().zip(texts) {
                let Some(text) = text else { continue };
                if let Ok(at) = postings.binary_search_by_key(text, |(text, _)| *text) {
                    *score += idf * bm25.weight(postings[at].1, self.length(*text), self.average());
                }
            }
        }
        scores
    }

    /// The best texts for a query that have any of its terms, the best first, at most `top`, with their scores. As many
    /// steps as the query's terms occur.
    pub fn best(&self, bm25: Bm25, query: &str, top: usize) -> Vec<(u32, f64)> {
        let mut scores: BTreeMap<u32, f64> = BTreeMap::new();
        for (idf, postings) in self.terms_of(query) {
            for (text, count) in postings {
                *scores.entry(*text).or_default() += idf * bm25.weight(*count, self.length(*text), self.average());
            }
        }
        let mut best: Vec<(u32, f64)> = scores.into_iter().collect();
        best.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        best.truncate(top);
        best
    }

    fn terms_of(&self, query: &str) -> Vec<(f64, &[(u32, u32)])> {
        let found = terms(query).into_iter().filter_map(|term| self.postings.get(&*term));
        found.map(|postings| (idf(self.len(), postings.len()), &postings[..])).collect()
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

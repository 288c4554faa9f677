//! What is gathered of a column while a file goes by: a bounded part of its numbers, its categories, and what is neither.

use std::collections::BTreeMap;

use mainstay_core::rng::Rng;

/// Categories that are told apart; what comes after them is counted together.
pub(super) const CATEGORIES_MAX: usize = 1_000;

/// Categories beyond [`CATEGORIES_MAX`], and numbers in a column of words, by their own names.
pub(super) const OTHERS: &str = "(others)";
pub(super) const NUMBERS: &str = "(numbers)";

/// One value of a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Missing,
    Number(f64),
    Word(&'a str),
}

impl<'a> Cell<'a> {
    /// A field of text: empty is missing, what parses is a number.
    pub(super) fn of(text: &'a str) -> Cell<'a> {
        let trimmed = text.trim();
        if trimmed.is_empty() || ["null", "na", "n/a", "none"].iter().any(|word| trimmed.eq_ignore_ascii_case(word)) {
            return Cell::Missing;
        }
        trimmed.parse().map_or(Cell::Word(trimmed), Cell::Number)
    }
}

/// A column of a file as far as it is kept.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// All finite numbers where there are at most as many as are kept; else a uniform sample of them.
    pub(super) numbers: Vec<f64>,
    /// How many finite numbers there were.
    pub(super) finite: u64,
    pub(super) infinite: u64,
    pub(super) missing: u64,
    pub(super) words: BTreeMap<String, u64>,
    kept: usize,
    rng: Rng,
}

impl Column {
    /// Keeps at most so many numbers.
    pub(super) fn new(kept: usize) -> Column {
        Column {
            numbers: Vec::new(),
            finite: 0,
            infinite: 0,
            missing: 0,
            words: BTreeMap::new(),
            kept,
            rng: Rng::new(0x006d_6169_6e73_7461),
        }
    }

    pub(super) fn push(&mut self, cell: Cell<'_>) {
        match cell {
            Cell::Missing => self.missing += 1,
            Cell::Number(value) if value.is_nan() => self.missing += 1,
            Cell::Number(value) if value.is_infinite() => self.infinite += 1,
            Cell::Number(value) => self.number(value),
            Cell::Word(word) => self.word(word),
        }
    }

    /// Each number that came by is kept with the same chance (Vitter's algorithm R).
    fn number(&mut self, value: f64) {
        self.finite += 1;
        if self.numbers.len() < self.kept {
            self.numbers.push(value);
        } else if let Some(slot) = self.numbers.get_mut((self.rng.unit() * self.finite as f64) as usize) {
            *slot = value;
        }
    }

    fn word(&mut self, word: &str) {
        if let Some(count) = self.words.get_mut(word) {
            *count += 1;
        } else {
            let name = if self.words.len() < CATEGORIES_MAX { word } else { OTHERS };
            *self.words.entry(name.to_owned()).or_default() += 1;
        }
    }

    /// Whether every finite number is there.
    pub(super) fn is_whole(&self) -> bool {
        self.finite == self.numbers.len() as u64
    }

    pub(super) fn words_total(&self) -> u64 {
        self.words.values().sum()
    }

    /// Whether there are at least as many numbers as words; a column without either is of numbers.
    pub(super) fn is_numeric(&self) -> bool {
        self.finite + self.infinite >= self.words_total()
    }

    /// Counts by category; numbers among words are one.
    pub(super) fn categories(&self) -> BTreeMap<String, u64> {
        let mut categories = self.words.clone();
        let numbers = self.finite + self.infinite;
        if numbers > 0 {
            *categories.entry(NUMBERS.to_owned()).or_default() += numbers;
        }
        categories
    }

    /// The share of all values that is missing.
    pub(super) fn missing_rate(&self) -> f64 {
        let all = self.missing + self.finite + self.infinite + self.words_total();
        if all == 0 { 0.0 } else { self.missing as f64 / all as f64 }
    }
}

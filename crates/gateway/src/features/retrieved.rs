//! Features of one request, with an account of where they came from.

use std::sync::Arc;

use mainstay_core::time::Time;
use serde_json::Value;

/// Features of one request: a table of rows (entities) and columns (references).
#[derive(Clone, PartialEq, Debug)]
pub struct Retrieved {
    refs: Arc<[String]>,
    rows: usize,
    values: Vec<Option<Value>>,
    /// Values in use that are older than the set's `max_age`, or that the store calls too old.
    pub stale: usize,
    /// The oldest of the times at which values in use were true, as far as that is known.
    pub oldest: Option<Time>,
    /// Values that came from the cache.
    pub hits: usize,
    /// Values that were looked for in the cache and are not there, or too old there.
    pub misses: usize,
    /// Values that are defaults.
    pub defaulted: usize,
    /// Values that nothing has.
    pub missing: usize,
}

impl Retrieved {
    /// How many entities there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The references, in the order of the columns.
    pub fn refs(&self) -> &[String] {
        &self.refs
    }

    /// All values, row by row.
    pub fn values(&self) -> &[Option<Value>] {
        &self.values
    }

    /// A feature of the first entity, which is the one that rules look at.
    pub fn get(&self, reference: &str) -> Option<&Value> {
        let column = self.refs.iter().position(|name| name == reference)?;
        self.values.get(column)?.as_ref()
    }

    /// A row, reference by reference.
    pub fn row(&self, row: usize) -> impl Iterator<Item = (&str, Option<&Value>)> {
        let start = (row * self.refs.len()).min(self.values.len());
        self.refs.iter().map(String::as_str).zip(self.values[start..].iter().map(Option::as_ref))
    }

    /// The references that at least one entity has no value for: an entry that needs them is skipped.
    pub fn missing_refs(&self) -> Vec<&str> {
        let lacks = |column: usize| self.values.iter().skip(column).step_by(self.refs.len()).any(Option::is_none);
        let columns = self.refs.iter().enumerate().filter(|(column, _)| lacks(*column));
        columns.map(|(_, name)| name.as_str()).collect()
    }
}

/// Builds a [`Retrieved`], value by value in the order of rows, then columns.
pub(super) struct Gather(Retrieved);

impl Gather {
    pub(super) fn new(refs: Arc<[String]>, rows: usize) -> Gather {
        let values = Vec::with_capacity(refs.len() * rows);
        Gather(Retrieved { refs, rows, values, stale: 0, oldest: None, hits: 0, misses: 0, defaulted: 0, missing: 0 })
    }

    pub(super) fn online(&mut self, value: Value, event: Option<Time>, is_stale: bool) {
        self.0.stale += usize::from(is_stale);
        self.0.oldest = self.0.oldest.into_iter().chain(event).min();
        self.0.values.push(Some(value));
    }

    pub(super) fn cached(&mut self, value: Value, event: Option<Time>, is_stale: bool) {
        self.0.hits += 1;
        self.online(value, event, is_stale);
    }

    /// Counts a look into the cache that found nothing; what fills the hole is said by `fill_in`.
    pub(super) fn miss(&mut self) {
        self.0.misses += 1;
    }

    pub(super) fn fill_in(&mut self, default: Option<&Value>) {
        match default {
            Some(_) => self.0.defaulted += 1,
            None => self.0.missing += 1,
        }
        self.0.values.push(default.cloned());
    }

    pub(super) fn finish(self) -> Retrieved {
        self.0
    }
}

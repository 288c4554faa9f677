//! The last known good values, by entity.

use std::sync::Arc;

use mainstay_core::plan::FeatureCache;
use mainstay_core::resilience::features::{self, Keeps};
use mainstay_core::time::Time;
use serde_json::Value;

use super::feast::Cell;

/// A value that the store once gave.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) value: Value,
    /// When it came to be, if the store said so.
    pub(super) event: Option<Time>,
    /// When the store gave it.
    pub(super) seen: Time,
}

impl Known {
    /// What decides whether it counts.
    pub(super) const fn times(&self) -> features::Known {
        features::Known { event: self.event, seen: self.seen }
    }
}

/// One value per feature reference.
type Row = Arc<[Option<Known>]>;

/// Bounded in entities; ages are judged by the reader.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    rows: moka::sync::Cache<Box<str>, Row>,
}

impl Cache {
    pub(super) fn new(plan: &FeatureCache) -> Cache {
        Cache { rows: moka::sync::Cache::new(plan.entries) }
    }

    pub(super) fn entities(&self) -> u64 {
        self.rows.entry_count()
    }

    pub(super) fn get(&self, entity: &str) -> Option<Row> {
        self.rows.get(entity)
    }

    /// Keeps what the store gave, and what was known where it gave nothing. An explicit null is a fact as well: it
    /// erases what was known.
    pub(super) fn learn(&self, entity: Box<str>, known: Option<&[Option<Known>]>, cells: &[Cell], now: Time) {
        let merged = |(at, cell): (usize, &Cell)| match (cell.given().keeps(), &cell.value) {
            (Keeps::Given, Some(value)) => Some(Known { value: value.clone(), event: cell.event, seen: now }),
            (Keeps::Known, _) => known?.get(at)?.clone(),
            (Keeps::Given | Keeps::Nothing, _) => None,
        };
        let row: Row = cells.iter().enumerate().map(merged).collect();
        if row.iter().any(Option::is_some) {
            self.rows.insert(entity, row);
        } else {
            self.rows.invalidate(&entity);
        }
    }
}

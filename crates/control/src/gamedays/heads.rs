//! What lists show of game days. It is at hand for all of them: a record holds its whole scenario and may be large, and no list reads it.

use std::collections::BTreeMap;

use mainstay_core::chaos::gameday::record::{Mode, Phase, Record};
use mainstay_core::time::Time;

use super::at_rest::number;

/// A game day in a list.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) id: String,
    pub(crate) scenario: String,
    pub(crate) title: String,
    pub(crate) mode: Mode,
    pub(crate) phase: Phase,
    pub(crate) passed: Option<bool>,
    pub(crate) started: Time,
    pub(crate) ended: Option<Time>,
    pub(crate) by: String,
    /// Findings that it opened or saw again.
    pub(crate) findings: Vec<String>,
}

impl Head {
    fn of(record: &Record) -> Head {
        Head {
            id: record.id.clone(),
            scenario: record.scenario.name.clone(),
            title: record.scenario.title.clone(),
            mode: record.mode,
            phase: record.phase,
            passed: record.passed,
            started: record.started,
            ended: record.ended,
            by: record.by.clone(),
            findings: record.opened.iter().chain(&record.again).cloned().collect(),
        }
    }
}

/// Those of all game days, by year and number.
#[derive(Debug, Default)]
pub(super) struct Heads(BTreeMap<(u64, u64), Head>);

impl Heads {
    pub(super) fn of<'a>(records: impl Iterator<Item = &'a Record>) -> Heads {
        Heads(records.map(|record| (number(&record.id), Head::of(record))).collect())
    }

    /// A game day as it rests.
    pub(super) fn see(&mut self, record: &Record) {
        self.0.insert(number(&record.id), Head::of(record));
    }

    /// The last first.
    pub(super) fn all(&self) -> Vec<Head> {
        self.0.values().rev().cloned().collect()
    }

    /// The greatest number of a year.
    pub(super) fn last_of(&self, year: u64) -> u64 {
        self.0.range((year, 0)..=(year, u64::MAX)).next_back().map_or(0, |((_, number), _)| *number)
    }
}

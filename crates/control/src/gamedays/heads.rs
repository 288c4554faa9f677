//! What lists show of game days. It rests beside each of them: a record holds its whole scenario and may be large, and no list reads it.

use mainstay_core::chaos::gameday::record::{Mode, Phase, Record};
use mainstay_core::event::written;
use mainstay_core::time::Time;
use mainstay_store::change::Change;
use mainstay_store::record::Document;
use mainstay_store::{Store, StoreError};
use serde::{Deserialize, Serialize};

use super::at_rest::{DAY, number};
use crate::incidents::at_rest::{put, read};

/// The kind of documents.
const HEAD: &str = "gameday_head";
/// How many are read at once where all are looked at.
const AT_ONCE: usize = 500;
/// How many game days are read at once, which are larger.
const DAYS_AT_ONCE: usize = 50;

/// A game day in a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) id: String,
    pub(crate) scenario: String,
    pub(crate) title: String,
    pub(crate) mode: Mode,
    pub(crate) phase: Phase,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) passed: Option<bool>,
    #[serde(with = "written")]
    pub(crate) started: Time,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "written::optional")]
    pub(crate) ended: Option<Time>,
    pub(crate) by: String,
    /// Findings that it opened or saw again.
    #[serde(default)]
    pub(crate) findings: Vec<String>,
}

/// A page of a list.
#[derive(Debug)]
pub(crate) struct Listed {
    /// The last first.
    pub(crate) heads: Vec<Head>,
    /// How many come before them.
    pub(crate) skipped: usize,
    /// How many there are in all.
    pub(crate) total: usize,
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

/// The head of a game day as it is now.
pub(super) fn rest(record: &Record) -> Change {
    put(HEAD, &key(&record.id), &Head::of(record))
}

/// Heads rest in the order of years and numbers, of which there may be more than four digits.
fn key(id: &str) -> String {
    let (year, number) = number(id);
    format!("{year:04}-{number:010}")
}

/// A page of all game days, the last first: that after the first `skip`, or the last one.
pub(super) async fn page(store: &dyn Store, skip: usize, limit: usize) -> Result<Listed, StoreError> {
    let (mut documents, total) = store.documents_page(HEAD, skip, limit).await?;
    let mut skipped = skip;
    if documents.is_empty() && total > 0 {
        skipped = (total - 1) / limit.max(1) * limit;
        documents = store.documents_page(HEAD, skipped, limit).await?.0;
    }
    Ok(Listed { heads: documents.iter().filter_map(read).collect(), skipped, total })
}

/// The greatest number of a year.
pub(super) async fn last_of(store: &dyn Store, year: u64) -> Result<u64, StoreError> {
    let last = store.documents_before(HEAD, &format!("{:04}", year + 1), 1).await?;
    let last = last.first().and_then(|document| document.id.split_once('-'));
    let of_year = last.filter(|(of, _)| of.parse() == Ok(year));
    Ok(of_year.and_then(|(_, number)| number.parse().ok()).unwrap_or(0))
}

/// The ids of game days that go on.
pub(super) async fn running(store: &dyn Store) -> Result<Vec<String>, StoreError> {
    let (mut found, mut before) = (Vec::new(), String::new());
    loop {
        let page = store.documents_before(HEAD, &before, AT_ONCE).await?;
        let Some(last) = page.last() else { return Ok(found) };
        before.clone_from(&last.id);
        let heads = page.iter().filter_map(read::<Head>);
        found.extend(heads.filter(|head| head.phase == Phase::Running).map(|head| head.id));
    }
}

/// Gives each game day a head that has none: earlier versions wrote none.
pub(super) async fn mend(store: &dyn Store, now: Time) -> Result<(), StoreError> {
    let lacks = async |day: &Document| Ok::<_, StoreError>(store.document(HEAD, &key(&day.id)).await?.is_none());
    match store.documents_before(DAY, "", 1).await?.first() {
        Some(newest) if lacks(newest).await? => {}
        Some(_) | None => return Ok(()),
    }
    let mut before = String::new();
    loop {
        let page = store.documents_before(DAY, &before, DAYS_AT_ONCE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        before.clone_from(&last.id);
        let mut changes = Vec::new();
        for day in &page {
            if lacks(day).await? {
                changes.extend(read(day).map(|record: Record| rest(&record)));
            }
        }
        if !changes.is_empty() {
            store.change(changes, now).await?;
        }
    }
}

//! Game days and findings, as documents of the store.

use mainstay_core::chaos::gameday::record::{Finding, Record};
use mainstay_core::event::format_time;
use mainstay_core::time::Time;
use mainstay_store::change::Change;
use mainstay_store::record::Expect;
use mainstay_store::{Store, StoreError};

use super::heads;
use crate::incidents::at_rest::{document, documents, put, read};

/// Kinds of documents.
pub(super) const DAY: &str = "gameday";
const FINDING: &str = "gameday_finding";

pub(super) async fn findings(store: &dyn Store) -> Result<Vec<Finding>, StoreError> {
    documents(store, FINDING, "").await
}

pub(super) async fn day(store: &dyn Store, id: &str) -> Result<Option<Record>, StoreError> {
    // An id that no document can have is one that no game day has.
    match store.document(DAY, id).await {
        Ok(document) => Ok(document.and_then(|document| read(&document))),
        Err(StoreError::TooLarge { .. } | StoreError::Invalid(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A game day as it is now, and what lists show of it; `is_new` where no other may have its id.
pub(super) fn rest_day(record: &Record, is_new: bool) -> Vec<Change> {
    let expect = if is_new { Expect::Absent } else { Expect::Any };
    vec![document(DAY, &record.id, expect, record), heads::rest(record)]
}

pub(super) fn rest_finding(finding: &Finding) -> Change {
    put(FINDING, &finding.id, finding)
}

/// Adds changes to those that wait; of a document the last counts.
pub(super) fn owe(owed: &mut Vec<Change>, changes: impl IntoIterator<Item = Change>) {
    let key = |change: &Change| match change {
        Change::Document { kind, id, .. } => Some((kind.clone(), id.clone())),
        _ => None,
    };
    for change in changes {
        let new = key(&change);
        owed.retain(|it| key(it) != new);
        owed.push(change);
    }
}

/// The id of the so-manieth game day of a year.
pub(super) fn id(now: Time, number: u64) -> String {
    format!("GD-{}-{number:04}", year(now))
}

/// The year and the number of an id.
pub(super) fn number(id: &str) -> (u64, u64) {
    let mut parts = id.split('-').skip(1).map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// The year of a moment, as ids have it.
pub(super) fn year(now: Time) -> u64 {
    let digits: String = format_time(now).chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

//! Intervals that budgets leave out, at rest.

use mainstay_core::event::{format_time, parse_time};
use mainstay_core::slo::correction::Correction;
use mainstay_core::slo::window::Stretch;
use mainstay_store::change::Change;
use mainstay_store::record::Expect;
use mainstay_store::{Store, StoreError};
use serde::{Deserialize, Serialize};

/// What corrections are among the store's documents.
const CORRECTION: &str = "correction";

/// A correction as it rests.
#[derive(Serialize, Deserialize)]
struct AtRest {
    from: String,
    to: String,
    objectives: Vec<String>,
    reason: String,
    author: String,
}

/// What makes a correction rest; one with the same id is replaced.
pub(crate) fn change(correction: &Correction) -> Change {
    let at_rest = AtRest {
        from: format_time(correction.stretch.from),
        to: format_time(correction.stretch.to),
        objectives: correction.objectives.clone(),
        reason: correction.reason.clone(),
        author: correction.author.clone(),
    };
    let body = serde_json::to_string(&at_rest).expect("strings become JSON");
    Change::Document { kind: CORRECTION.to_owned(), id: correction.id.clone(), expect: Expect::Any, body }
}

/// What takes a correction back.
pub(crate) fn end(id: &str) -> Change {
    Change::DeleteDocument { kind: CORRECTION.to_owned(), id: id.to_owned(), expect: Expect::Any }
}

/// All that rest, in the order of their ids.
pub(super) async fn load(store: &dyn Store) -> Result<Vec<Correction>, StoreError> {
    let mut corrections = Vec::new();
    let mut after = String::new();
    loop {
        let page = store.documents(CORRECTION, &after).await?;
        let Some(last) = page.last() else { return Ok(corrections) };
        after.clone_from(&last.id);
        corrections.extend(page.into_iter().filter_map(|document| read(document.id, &document.body)));
    }
}

fn read(id: String, body: &str) -> Option<Correction> {
    let AtRest { from, to, objectives, reason, author } = serde_json::from_str(body).ok()?;
    let stretch = Stretch { from: parse_time(&from)?, to: parse_time(&to)? };
    Some(Correction { id, stretch, objectives, reason, author })
}

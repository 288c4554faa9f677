//! Objectives that came as documents, at rest: as they were written, so that they are judged anew beside each config.

use mainstay_store::change::Change;
use mainstay_store::record::Expect;
use mainstay_store::{Store, StoreError};

/// What they are among the store's documents. There is one: an import takes the place of the one before.
const IMPORTED: (&str, &str) = ("slos", "imported");

/// What makes documents rest.
pub(crate) fn change(documents: &str) -> Change {
    let (kind, id) = (IMPORTED.0.to_owned(), IMPORTED.1.to_owned());
    let body = serde_json::Value::from(documents).to_string();
    Change::Document { kind, id, expect: Expect::Any, body }
}

/// The documents that rest; empty where none was ever imported.
pub async fn load(store: &dyn Store) -> Result<String, StoreError> {
    let document = store.document(IMPORTED.0, IMPORTED.1).await?;
    Ok(document.and_then(|document| serde_json::from_str(&document.body).ok()).unwrap_or_default())
}

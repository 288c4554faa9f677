//! Maintenance that was added to the config's, at rest.

use mainstay_core::slo::correction::Maintenance;
use mainstay_store::change::Change;
use mainstay_store::record::Expect;
use mainstay_store::{Store, StoreError};
use serde::{Deserialize, Serialize};

use crate::wire::MaintenanceRequest;

/// What it is among the store's documents.
const MAINTENANCE: &str = "maintenance";

/// Maintenance as it was asked for, and by whom.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Added {
    pub(crate) request: MaintenanceRequest,
    pub(crate) author: String,
}

impl Added {
    /// What it means; `None` where this version does not understand what an earlier one took.
    pub(crate) fn made(&self) -> Option<Maintenance> {
        self.request.checked().ok()
    }
}

/// What makes maintenance rest; one with the same name is replaced.
pub(crate) fn change(added: &Added) -> Change {
    let body = serde_json::to_string(added).expect("strings become JSON");
    Change::Document { kind: MAINTENANCE.to_owned(), id: added.request.name.clone(), expect: Expect::Any, body }
}

/// What takes maintenance away.
pub(crate) fn end(name: &str) -> Change {
    Change::DeleteDocument { kind: MAINTENANCE.to_owned(), id: name.to_owned(), expect: Expect::Any }
}

/// All that rests, in the order of names.
pub(super) async fn load(store: &dyn Store) -> Result<Vec<Added>, StoreError> {
    let mut all = Vec::new();
    let mut after = String::new();
    loop {
        let page = store.documents(MAINTENANCE, &after).await?;
        let Some(last) = page.last() else { return Ok(all) };
        after.clone_from(&last.id);
        all.extend(page.iter().filter_map(|document| serde_json::from_str(&document.body).ok()));
    }
}

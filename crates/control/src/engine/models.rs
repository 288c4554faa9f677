//! Which models are served, and how old what they know is: what the registry says.

use std::collections::BTreeMap;

use mainstay_core::registry::CHAMPION;
use mainstay_core::time::Time;
use mainstay_store::registry::Version;
use mainstay_store::{Store, StoreError};

/// The newest event that the served version of each model learned from, or where that is not told when it was made: its champion, or else the latest. Of models that `backends` name those; where
/// none of them is registered, all.
pub(super) async fn served(store: &dyn Store, backends: &[String]) -> Result<BTreeMap<String, Time>, StoreError> {
    let versions = store.versions(None).await?;
    let champions = store.pointers(None).await?;
    let mut served: BTreeMap<String, &Version> = BTreeMap::new();
    for version in &versions {
        let champion = champions.iter().find(|moved| moved.model == version.model && moved.pointer == CHAMPION);
        if champion.is_some_and(|moved| moved.version != version.version) {
            continue;
        }
        let latest = served.entry(version.model.clone()).or_insert(version);
        if version.created >= latest.created {
            *latest = version;
        }
    }
    let any_known = backends.iter().any(|name| served.contains_key(name));
    served.retain(|model, _| !any_known || backends.contains(model));
    Ok(served
        .into_iter()
        .map(|(model, version)| (model, version.data_max_event_time.unwrap_or(version.created)))
        .collect())
}

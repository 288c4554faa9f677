//! Feature sets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mainstay_core::plan::{FeatureCache, FeatureSet, FeatureSetId, Into};

use super::{FeatureFacts, check_distinct, check_name, empty, entries, no_such, value, value_or};
use crate::code::Code;
use crate::finding::Finding;
use crate::raw::features as raw;
use crate::read::{Entry, Reader};
use crate::span::At;
use crate::suggest::listed;

const TIMEOUT: Duration = Duration::from_millis(50);
const CACHE_ENTRIES: u64 = 100_000;
const CACHE_MAX_AGE: Duration = Duration::from_hours(24);
const DATATYPE: &str = "FP64";

/// What ladders must know, whether the set is right or not.
pub(super) fn facts(id: FeatureSetId, entry: &Entry<raw::FeatureSet>) -> FeatureFacts {
    let raw = entry.value.as_ref().map(|raw| &raw.value);
    let into_tensor = raw.and_then(|raw| raw.into.as_ref()).map(|into| match into.value {
        raw::IntoWord::Tensor(_) => true,
        raw::IntoWord::Pointer(_) => false,
    });
    let refs = raw.and_then(|raw| raw.refs.as_ref()).map_or(&[][..], |refs| &refs.value);
    FeatureFacts { id, refs: refs.iter().map(|at| at.value.clone()).collect(), into_tensor }
}

pub(super) fn sets(raw: Option<&At<Vec<Entry<raw::FeatureSet>>>>, reader: &mut Reader<'_>) -> Option<Vec<FeatureSet>> {
    let lowered: Vec<Option<FeatureSet>> = entries(raw).iter().map(|entry| set(entry, reader)).collect();
    lowered.into_iter().collect()
}

fn set(entry: &Entry<raw::FeatureSet>, reader: &mut Reader<'_>) -> Option<FeatureSet> {
    check_name(&entry.name, "a feature set", reader);
    let raw = &entry.value.as_ref()?.value;
    let refs = refs(raw, reader);
    let entity = entity(raw, reader);
    let defaults = defaults(raw, reader);
    let breaker = super::backend::breaker(raw.breaker.as_ref(), reader);
    let store = &raw.store.as_ref()?.value;
    Some(FeatureSet {
        name: entry.name.value.clone(),
        url: store.url.as_ref()?.value.clone(),
        timeout: value_or(store.timeout.as_ref(), TIMEOUT),
        refs: refs?,
        entity: entity?,
        into: raw.into.as_ref().and_then(into),
        max_age: value(raw.max_age.clone()),
        cache: cache(raw.cache.as_ref()),
        defaults,
        health: store.health.as_ref().and_then(super::backend::health),
        breaker,
    })
}

fn refs(raw: &raw::FeatureSet, reader: &mut Reader<'_>) -> Option<Vec<String>> {
    let refs = raw.refs.as_ref()?;
    if refs.value.is_empty() {
        empty(refs.span, "`refs`", reader);
    }
    check_distinct(&refs.value, "feature", reader);
    for reference in &refs.value {
        let parts: Vec<&str> = reference.value.split(':').collect();
        if parts.len() != 2 || parts.iter().any(|part| part.is_empty()) {
            let finding = Finding::new(Code::Name, reference.span, "this is not a feature reference")
                .help("write `view:feature`, as in `account:tx_count_24h`");
            reader.report(finding);
        }
    }
    Some(refs.value.iter().map(|reference| reference.value.clone()).collect())
}

fn entity(raw: &raw::FeatureSet, reader: &mut Reader<'_>) -> Option<Vec<(String, String)>> {
    let entity = raw.entity.as_ref()?;
    if entity.value.is_empty() {
        empty(entity.span, "`entity`", reader);
    }
    entity.value.iter().map(|entry| Some((entry.name.value.clone(), entry.value.as_ref()?.value.clone()))).collect()
}

/// A default is for a feature of the set, and a feature without one may cost a level.
fn defaults(raw: &raw::FeatureSet, reader: &mut Reader<'_>) -> BTreeMap<String, serde_json::Value> {
    let written = entries(raw.defaults.as_ref());
    let refs: Vec<&str> = raw.refs.iter().flat_map(|refs| &refs.value).map(|at| at.value.as_str()).collect();
    for entry in written.iter().filter(|entry| raw.refs.is_some() && !refs.contains(&entry.name.value.as_str())) {
        no_such(&entry.name, "feature among `refs` called", &refs, reader);
    }
    let bare: BTreeSet<&str> =
        refs.iter().copied().filter(|name| !written.iter().any(|entry| entry.name.value == **name)).collect();
    if let Some(at) = raw.refs.as_ref().filter(|_| !bare.is_empty()) {
        let message = format!(
            "a level is skipped where one of these is missing: {}",
            listed(&bare.into_iter().collect::<Vec<_>>())
        );
        let help = "give `defaults:` for features that the model can do without";
        reader.report(Finding::new(Code::NoDefault, at.span, message).label("no default").help(help));
    }
    written.iter().filter_map(|entry| Some((entry.name.value.clone(), entry.value.as_ref()?.value.clone()))).collect()
}

fn into(raw: &At<raw::IntoWord>) -> Option<Into> {
    match &raw.value {
        raw::IntoWord::Pointer(pointer) => Some(Into::Pointer(pointer.clone())),
        raw::IntoWord::Tensor(tensor) => Some(Into::Tensor {
            input: tensor.input.as_ref()?.value.clone(),
            datatype: value_or(tensor.datatype.as_ref(), DATATYPE).to_owned(),
        }),
    }
}

fn cache(raw: Option<&At<raw::Cache>>) -> FeatureCache {
    let raw = raw.map(|raw| &raw.value);
    FeatureCache {
        entries: value_or(raw.and_then(|raw| raw.entries.as_ref()), CACHE_ENTRIES),
        max_age: value_or(raw.and_then(|raw| raw.max_age.as_ref()), CACHE_MAX_AGE),
    }
}

//! What is said about a version, beyond what the store has columns for.

use std::collections::BTreeMap;

use mainstay_core::event::parse_time;
use mainstay_core::registry::Gates;
use mainstay_core::time::Time;
use mainstay_store::registry::Version;
use serde::{Deserialize, Serialize};

use crate::wire;

/// A version, as it was registered.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) digest: String,
    pub(crate) created: Option<Time>,
    pub(crate) data_max_event_time: Option<Time>,
    pub(crate) gates: Gates,
    pub(crate) artifact: Option<String>,
    pub(crate) lineage: wire::Lineage,
    pub(crate) gate_results: Vec<wire::GateResult>,
    pub(crate) metrics: BTreeMap<String, f64>,
}

/// The JSON at rest.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct AtRest {
    gates: String,
    artifact: Option<String>,
    lineage: wire::Lineage,
    gate_results: Vec<wire::GateResult>,
    metrics: BTreeMap<String, f64>,
}

impl Entry {
    /// From what was sent; its times were checked.
    pub(crate) fn new(new: wire::NewVersion) -> Entry {
        Entry {
            digest: new.digest,
            created: new.created.as_deref().and_then(parse_time),
            data_max_event_time: new.data_max_event_time.as_deref().and_then(parse_time),
            gates: new.gates.into(),
            artifact: new.artifact,
            lineage: new.lineage,
            gate_results: new.gate_results,
            metrics: new.metrics,
        }
    }

    /// From the store.
    pub(crate) fn read(version: &Version) -> Entry {
        let rest: AtRest = serde_json::from_str(&version.lineage).unwrap_or_default();
        Entry {
            digest: version.digest.clone(),
            created: Some(version.created),
            data_max_event_time: version.data_max_event_time,
            gates: Gates::from_word(&rest.gates).unwrap_or(Gates::NotRun),
            artifact: rest.artifact,
            lineage: rest.lineage,
            gate_results: rest.gate_results,
            metrics: rest.metrics,
        }
    }

    /// For the store.
    pub(crate) fn to_json(&self) -> String {
        let rest = AtRest {
            gates: self.gates.as_str().to_owned(),
            artifact: self.artifact.clone(),
            lineage: self.lineage.clone(),
            gate_results: self.gate_results.clone(),
            metrics: self.metrics.clone(),
        };
        serde_json::to_string(&rest).expect("strings and finite numbers are JSON")
    }

    /// Where it stands before anybody promotes it.
    pub(crate) fn stage(&self) -> &'static str {
        match self.gates {
            Gates::Passed | Gates::NotRun => "candidate",
            Gates::Failed => "rejected",
        }
    }
}

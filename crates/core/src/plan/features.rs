//! Features from a feature store.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::resilience::breaker;

use super::Health;

/// A set of features from a feature store.
#[derive(Clone, PartialEq, Debug)]
pub struct FeatureSet {
    /// Its name.
    pub name: String,
    /// The store's base URL.
    pub url: String,
    /// How long a retrieval may take.
    pub timeout: Duration,
    /// Feast feature references, `view:feature`.
    pub refs: Vec<String>,
    /// Entity keys and the JSON pointers that find their values in the request.
    pub entity: Vec<(String, String)>,
    /// Where the values go in the model's request; `None`: only rules see them.
    pub into: Option<Into>,
    /// Older values are stale.
    pub max_age: Option<Duration>,
    /// The last-known-good cache.
    pub cache: FeatureCache,
    /// Values for features that are missing.
    pub defaults: BTreeMap<String, Value>,
    /// The store's health check.
    pub health: Option<Health>,
    /// When the store is left alone.
    pub breaker: breaker::Config,
}

/// Where feature values go in the model's request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Into {
    /// Open Inference Protocol: a tensor `[rows, refs]` in the order of `refs`.
    Tensor {
        /// The input's name.
        input: String,
        /// Its datatype, such as `FP64`.
        datatype: String,
    },
    /// Plain JSON: a JSON pointer that gets `{ref: value}`.
    Pointer(String),
}

/// Bounds of the last-known-good cache.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FeatureCache {
    /// Most entities held.
    pub entries: u64,
    /// Older entries are not used.
    pub max_age: Duration,
}

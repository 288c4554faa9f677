//! What is kept of single requests, what is taken out of them, and where they go.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::Secret;
use crate::observe::redact::Redaction;
use crate::observe::sample::Rules;

/// What is kept of single requests.
#[derive(Clone, Debug)]
pub struct Observability {
    /// Which are kept.
    pub rules: Rules,
    /// How many the uniform reservoir holds.
    pub reservoir: usize,
    /// What is taken out of them.
    pub redaction: Redaction,
    /// The key of pseudonyms.
    pub key: Option<Secret>,
    /// Files that they go to.
    pub files: Option<Files>,
    /// A collector of OpenTelemetry that they go to.
    pub otlp: Option<Otlp>,
}

impl Default for Observability {
    fn default() -> Observability {
        Observability {
            rules: Rules::default(),
            reservoir: 10_000,
            redaction: Redaction::default(),
            key: None,
            files: None,
            otlp: None,
        }
    }
}

/// Files that kept requests go to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Files {
    /// The folder.
    pub dir: PathBuf,
    /// Their format.
    pub format: Format,
    /// A file ends with so many bytes.
    pub max_bytes: u64,
    /// Or when it is so old.
    pub max_age: Duration,
    /// So many are kept.
    pub keep: usize,
}

/// Formats of files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// A line of JSON each.
    Jsonl,
    /// Parquet, in folders by day and model.
    Parquet,
}

/// A collector of OpenTelemetry, over HTTP.
#[derive(Clone, Debug)]
pub struct Otlp {
    /// Its base URL.
    pub endpoint: String,
    /// Headers that it wants to see.
    pub headers: BTreeMap<String, Secret>,
    /// Whether it gets a span of each kept request.
    pub traces: bool,
    /// Whether it gets a log record of each kept request.
    pub logs: bool,
    /// How often it gets metrics; `None`: never.
    pub metrics: Option<Duration>,
    /// How long it may take.
    pub timeout: Duration,
}

//! Models, their versions, and changes of champion.

use std::collections::BTreeMap;
use std::fmt;

use mainstay_core::event::{format_time, parse_time};
use mainstay_core::registry::{self, Outcome};
use mainstay_core::time::Time;
use mainstay_store::registry as rest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::registry::Entry;

/// Longest digest, name or text, in bytes.
const TEXT_MAX: usize = 1024;
/// Most metrics and most gates of one version.
const ENTRIES_MAX: usize = 200;

/// The body of `PUT /api/v1/models/{name}/versions/{v}`. The same version may be told again with the same digest.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewVersion {
    /// What its files hash to, such as `sha256:…`; it never changes.
    pub(crate) digest: String,
    /// Where its files are: a path or a URL.
    #[serde(default)]
    pub(crate) artifact: Option<String>,
    /// When it was made (RFC 3339); absent: now.
    #[serde(default)]
    pub(crate) created: Option<String>,
    /// The latest event that it learned from (RFC 3339): what freshness is measured by.
    #[serde(default)]
    pub(crate) data_max_event_time: Option<String>,
    /// What its gates said about exactly these files.
    #[serde(default)]
    pub(crate) gates: Gates,
    /// Each gate.
    #[serde(default)]
    pub(crate) gate_results: Vec<GateResult>,
    /// Numbers from its evaluation.
    #[serde(default)]
    pub(crate) metrics: BTreeMap<String, f64>,
    /// Where it comes from.
    #[serde(default)]
    pub(crate) lineage: Lineage,
}

/// What the gates of a version said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Gates {
    /// All passed.
    Passed,
    /// At least one did not.
    Failed,
    /// None was run.
    #[default]
    NotRun,
}

/// One gate.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct GateResult {
    /// The gate, as it was written.
    pub(crate) gate: String,
    /// Whether it passed.
    pub(crate) passed: bool,
    /// What it saw.
    #[serde(default)]
    pub(crate) detail: String,
}

/// Where a version comes from. Digests say exactly what went in.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Lineage {
    /// The training run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<String>,
    /// Its checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) checkpoint: Option<String>,
    /// The step of the checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) step: Option<u64>,
    /// The version that it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<String>,
    /// Digest of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<String>,
    /// Digest of the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    /// Digest of the config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) config: Option<String>,
}

/// `GET /api/v1/models`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Models {
    /// By name.
    pub(crate) models: Vec<Model>,
}

/// A model.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Model {
    /// Its name.
    pub(crate) name: String,
    /// The version that is served.
    pub(crate) champion: Option<String>,
    /// When it became champion.
    promoted_at: Option<String>,
    /// The age of what the champion learned from, in seconds.
    data_age_s: Option<f64>,
    /// Its versions, the latest made first.
    pub(crate) versions: Vec<Version>,
}

/// A version.
#[derive(Debug, Serialize, JsonSchema)]
#[expect(clippy::struct_field_names, reason = "the names are those of the JSON")]
pub(crate) struct Version {
    /// Its name.
    pub(crate) version: String,
    /// `candidate`, `rejected`, `champion` or `archived`.
    stage: String,
    /// What its files hash to.
    digest: String,
    /// Where its files are.
    artifact: Option<String>,
    /// When it was made.
    created: String,
    /// The latest event that it learned from.
    data_max_event_time: Option<String>,
    /// What its gates said.
    gates: Gates,
    /// Each gate.
    gate_results: Vec<GateResult>,
    /// Numbers from its evaluation.
    metrics: BTreeMap<String, f64>,
    /// Where it comes from.
    lineage: Lineage,
}

/// The body of `POST /api/v1/models/{name}/promote`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PromoteRequest {
    /// The version.
    pub(crate) version: String,
    /// The champion that the asker knows of; "" is none, absent is any. Another one refuses the promotion.
    #[serde(default)]
    pub(crate) expect: Option<String>,
    /// Pass over gates and the budget's policy. It needs a reason, which is kept.
    #[serde(default)]
    pub(crate) force: bool,
    /// Why, at most 500 characters.
    #[serde(default)]
    pub(crate) reason: String,
}

/// The body of `POST /api/v1/models/{name}/rollback`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RollbackRequest {
    /// An earlier champion; absent: the one before.
    #[serde(default)]
    pub(crate) to: Option<String>,
    /// The champion that the asker knows of; absent: any.
    #[serde(default)]
    pub(crate) expect: Option<String>,
    /// Why, at most 500 characters.
    #[serde(default)]
    pub(crate) reason: String,
}

/// A change of champion, as it ended.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Promotion {
    /// The model.
    model: String,
    /// The version that was to be champion.
    version: String,
    /// The champion before.
    previous: Option<String>,
    /// The champion, read back from the registry after everything.
    champion: Option<String>,
    /// `promoted`, `failed` (nothing was changed), `rolled_back`, or `rollback_failed`.
    pub(crate) outcome: String,
    /// Why it did not end well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// What went wrong on the way back.
    #[serde(skip_serializing_if = "Option::is_none")]
    rollback: Option<String>,
}

impl NewVersion {
    /// What is impossible about it, if anything is.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.digest.trim().is_empty() || self.digest.len() > TEXT_MAX {
            return Err(format!("`digest` says what the files hash to, in 1 to {TEXT_MAX} bytes"));
        }
        let times = [("created", &self.created), ("data_max_event_time", &self.data_max_event_time)];
        if let Some((name, _)) =
            times.iter().find(|(_, time)| time.as_deref().is_some_and(|it| parse_time(it).is_none()))
        {
            return Err(format!("`{name}` is a time of RFC 3339, such as 2026-03-01T12:00:00Z"));
        }
        if self.metrics.len() > ENTRIES_MAX || self.gate_results.len() > ENTRIES_MAX {
            return Err(format!("at most {ENTRIES_MAX} metrics and as many gates are kept"));
        }
        let failed = self.gate_results.iter().any(|result| !result.passed);
        match self.gates {
            Gates::Passed if failed => Err("`gates` says passed and `gate_results` holds one that did not".to_owned()),
            Gates::Passed | Gates::Failed | Gates::NotRun => Ok(()),
        }
    }
}

impl From<Gates> for registry::Gates {
    fn from(gates: Gates) -> registry::Gates {
        match gates {
            Gates::Passed => registry::Gates::Passed,
            Gates::Failed => registry::Gates::Failed,
            Gates::NotRun => registry::Gates::NotRun,
        }
    }
}

impl From<registry::Gates> for Gates {
    fn from(gates: registry::Gates) -> Gates {
        match gates {
            registry::Gates::Passed => Gates::Passed,
            registry::Gates::Failed => Gates::Failed,
            registry::Gates::NotRun => Gates::NotRun,
        }
    }
}

/// A model with its versions as they rest, the newest first: each is read in full when it is told of.
pub(crate) struct Shelved {
    pub(crate) name: String,
    pub(crate) versions: Vec<rest::Version>,
    /// The last move of the champion's pointer, if it points to a version.
    champion: Option<rest::Moved>,
}

/// Models by name, from all their versions and from where their champions stand.
pub(crate) fn shelved(versions: Vec<rest::Version>, champions: &[rest::Moved]) -> Vec<Shelved> {
    let mut by_name: BTreeMap<String, Vec<rest::Version>> = BTreeMap::new();
    for version in versions {
        by_name.entry(version.model.clone()).or_default().push(version);
    }
    let one = |(name, mut versions): (String, Vec<rest::Version>)| {
        versions.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| b.version.cmp(&a.version)));
        let champion = champions.iter().find(|moved| moved.model == name && !moved.version.is_empty()).cloned();
        Shelved { name, versions, champion }
    };
    by_name.into_iter().map(one).collect()
}

impl Shelved {
    /// The version that is served.
    pub(crate) fn champion(&self) -> Option<&str> {
        self.champion.as_ref().map(|moved| moved.version.as_str())
    }

    /// As it is told, with some of its versions.
    pub(crate) fn told(&self, some: &[rest::Version], now: Time) -> Model {
        let champion = self.champion.as_ref().map(|moved| moved.version.clone());
        let data = self
            .versions
            .iter()
            .find(|it| Some(&it.version) == champion.as_ref())
            .and_then(|it| it.data_max_event_time);
        Model {
            promoted_at: self.champion.as_ref().map(|moved| format_time(moved.at)),
            data_age_s: data.map(|data| now.since(data).as_secs_f64()),
            versions: some.iter().map(|version| self.version(version)).collect(),
            champion,
            name: self.name.clone(),
        }
    }

    fn version(&self, version: &rest::Version) -> Version {
        let entry = Entry::read(version);
        // The last move alone is at hand: what was served before that shows in the audit log.
        let stage = match &self.champion {
            Some(moved) if moved.version == version.version => "champion",
            Some(moved) if moved.previous.as_ref() == Some(&version.version) => "archived",
            Some(_) | None => entry.stage(),
        };
        Version::new(version, entry, stage)
    }
}

impl Version {
    fn new(version: &rest::Version, entry: Entry, stage: &str) -> Version {
        Version {
            version: version.version.clone(),
            stage: stage.to_owned(),
            digest: entry.digest,
            artifact: entry.artifact,
            created: format_time(version.created),
            data_max_event_time: entry.data_max_event_time.map(format_time),
            gates: entry.gates.into(),
            gate_results: entry.gate_results,
            metrics: entry.metrics,
            lineage: entry.lineage,
        }
    }
}

impl Promotion {
    /// What became of a change; `stands` was read after everything.
    pub(crate) fn new(
        model: &str,
        version: &str,
        previous: Option<String>,
        stands: Option<String>,
        outcome: &Outcome,
    ) -> Promotion {
        let (reason, rollback) = match outcome.clone() {
            Outcome::Promoted => (None, None),
            Outcome::Failed { reason } => (Some(reason), None),
            Outcome::RolledBack { reason, server } => (Some(reason), server),
            Outcome::RollbackFailed { reason, because } => (Some(reason), Some(because)),
        };
        Promotion {
            model: model.to_owned(),
            version: version.to_owned(),
            previous,
            champion: stands.filter(|stands| !stands.is_empty()),
            outcome: outcome.as_str().to_owned(),
            reason,
            rollback,
        }
    }
}

impl fmt::Display for Promotion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Promotion { version, champion, outcome, reason, rollback, .. } = self;
        let outcome = outcome.replace('_', " ");
        let champion = champion.as_deref().map_or_else(|| "nothing".to_owned(), |champion| format!("`{champion}`"));
        write!(f, "version `{version}`: {outcome}; the champion was read back and is {champion}")?;
        if let Some(reason) = reason {
            write!(f, "; {reason}")?;
        }
        rollback.as_deref().map_or(Ok(()), |rollback| write!(f, "; on the way back: {rollback}"))
    }
}

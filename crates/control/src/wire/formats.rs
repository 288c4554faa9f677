//! Objectives in the forms of others.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data_plane::Finding;
use crate::formats;

/// The parameters of `POST /api/v1/slos/import`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImportQuery {
    #[serde(default)]
    pub(crate) dry_run: bool,
}

/// The parameters of `GET /api/v1/slos/export`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportQuery {
    #[serde(default)]
    pub(crate) format: ExportForm,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ExportForm {
    #[default]
    Openslo,
    Prometheus,
    Grafana,
}

/// What documents became.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Imported {
    /// Whether they are in force.
    applied: bool,
    /// The objectives' names.
    objectives: Vec<String>,
    /// The same as items of a config's `slos:`.
    items: String,
    /// What is worth knowing about them.
    findings: Vec<Finding>,
}

impl Imported {
    pub(crate) fn of(imported: formats::Imported, applied: bool) -> Imported {
        let formats::Imported { objectives, items, findings } = imported;
        Imported { applied, objectives, items, findings }
    }
}

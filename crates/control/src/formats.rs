//! What the admin API needs to take objectives in, and to give them out.

use crate::data_plane::Finding;

/// Knows the forms in which others write objectives.
pub trait Formats: Send + Sync + 'static {
    /// The objectives in force, in a form.
    fn export(&self, form: Form) -> String;
    /// What OpenSLO documents become beside the config in force. Changes nothing.
    fn check(&self, documents: &str) -> Result<Imported, Vec<Finding>>;
    /// Puts documents in force, in place of those that were before. Documents that are refused change nothing.
    fn apply(&self, documents: &str) -> Result<Imported, Vec<Finding>>;
}

/// A form of objectives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// OpenSLO v1 documents.
    OpenSlo,
    /// Recording and alerting rules of Prometheus.
    Prometheus,
    /// A dashboard of Grafana.
    Grafana,
}

/// What documents became.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Imported {
    /// The objectives' names.
    pub objectives: Vec<String>,
    /// The same as items of a config's `slos:`.
    pub items: String,
    /// What is worth knowing about them.
    pub findings: Vec<Finding>,
}

//! What somebody is told, whatever the channel.

use serde::{Deserialize, Serialize};

use super::kind::{Severity, Status};
use crate::event::written;
use crate::time::Time;

/// Why somebody is told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Somebody must look at it now.
    Page,
    /// So that it is known.
    Notify,
    /// Somebody has it: what was sent before can rest.
    Acknowledged,
    /// It has ended: what was sent before is over.
    Resolved,
    /// A notice reached nobody.
    Undelivered,
}

impl Purpose {
    /// The word at rest.
    pub const fn as_str(self) -> &'static str {
        match self {
            Purpose::Page => "page",
            Purpose::Notify => "notify",
            Purpose::Acknowledged => "acknowledged",
            Purpose::Resolved => "resolved",
            Purpose::Undelivered => "undelivered",
        }
    }
}

/// What somebody is told. All text is as it came: a channel makes it harmless in its own form.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Notice {
    /// Why.
    pub purpose: Purpose,
    /// The incident's id.
    pub incident: String,
    /// The service's name.
    pub service: String,
    /// Where it runs: `production`, `staging` or `demo`.
    pub environment: String,
    /// The incident's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// How bad it is.
    pub severity: Severity,
    /// Where it stands.
    pub status: Status,
    /// What it is, in a line.
    pub title: String,
    /// What is known, in a few lines.
    pub summary: String,
    /// The signals that fired, a line each.
    pub signals: Vec<String>,
    /// What to do first, a line each.
    pub actions: Vec<String>,
    /// The route that it is about, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Who is told, where it is a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// Where mail reaches them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// When it was found.
    #[serde(with = "written")]
    pub detected: Time,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "written::optional")]
    pub resolved: Option<Time>,
    /// Where more is to be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

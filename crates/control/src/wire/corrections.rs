//! Corrections of budgets.

use std::time::Duration;

use mainstay_core::event::{format_time, parse_time};
use mainstay_core::slo::correction;
use mainstay_core::slo::window::Stretch;
use mainstay_core::time::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest interval that is left out, and the farthest that one may lie ahead.
const LENGTH_MAX: Duration = Duration::from_hours(31 * 24);
/// Longest reason, in characters.
const REASON_CHARS_MAX: usize = 500;
/// Longest id, in bytes.
const ID_MAX: usize = 128;

/// `GET /api/v1/corrections`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Corrections {
    /// The corrections, by id.
    pub(crate) corrections: Vec<Correction>,
}

/// An interval that budgets leave out.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Correction {
    /// Its id.
    id: String,
    /// Its first moment.
    from: String,
    /// The moment after its last.
    to: String,
    /// The objectives that it is for; empty: all.
    slos: Vec<String>,
    /// Why.
    reason: String,
    /// Who said so.
    author: String,
}

/// The body of `POST /api/v1/corrections`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CorrectionRequest {
    /// Its id; the same id replaces it.
    id: String,
    /// Its first moment, in RFC 3339. Of a bucket that is cut, its share by time is left out.
    from: String,
    /// The moment after its last.
    to: String,
    /// The objectives that it is for; absent or empty: all.
    #[serde(default)]
    slos: Vec<String>,
    /// Why, at most 500 characters.
    reason: String,
}

impl CorrectionRequest {
    /// The correction, or what is impossible about it.
    pub(crate) fn checked(self, author: &str, now: Time) -> Result<correction::Correction, String> {
        let time = |text: &str| parse_time(text).ok_or_else(|| format!("`{text}` is not a time of RFC 3339"));
        let (from, to) = (time(&self.from)?, time(&self.to)?);
        if to <= from || to.since(from) > LENGTH_MAX {
            return Err("`to` lies after `from`, at most 31 days".to_owned());
        }
        if from > now + LENGTH_MAX {
            return Err("`from` lies at most 31 days ahead".to_owned());
        }
        if self.id.is_empty() || self.id.len() > ID_MAX {
            return Err(format!("`id` has 1 to {ID_MAX} bytes"));
        }
        if self.reason.is_empty() || self.reason.chars().count() > REASON_CHARS_MAX {
            return Err(format!("`reason` has 1 to {REASON_CHARS_MAX} characters"));
        }
        Ok(correction::Correction {
            id: self.id,
            stretch: Stretch { from, to },
            objectives: self.slos,
            reason: self.reason,
            author: author.to_owned(),
        })
    }
}

impl From<&correction::Correction> for Correction {
    fn from(from: &correction::Correction) -> Correction {
        Correction {
            id: from.id.clone(),
            from: format_time(from.stretch.from),
            to: format_time(from.stretch.to),
            slos: from.objectives.clone(),
            reason: from.reason.clone(),
            author: from.author.clone(),
        }
    }
}

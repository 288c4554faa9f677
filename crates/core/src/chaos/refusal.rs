//! Why an experiment may not run.

use std::fmt;

use serde::Serialize;

/// Why something may not be done, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Refusal {
    /// A word that stays the same, such as `halted`.
    pub code: &'static str,
    /// What is in the way, and what to do.
    pub text: String,
}

impl Refusal {
    pub(super) fn new(code: &'static str, text: impl Into<String>) -> Refusal {
        Refusal { code, text: text.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.text)
    }
}

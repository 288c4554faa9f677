//! What is told of an incident afterwards: one content, as Markdown, as a page of its own, and as JSON.
//!
//! ```text
//! Review --> content (sections of lines, lists, tables, plots; text made harmless and clipped)
//!              |--> markdown   escaped, so that every text shows as it is
//!              '--> html       one file: no scripts, nothing from elsewhere, plots as SVG
//!        --> json
//! ```
//!
//! Titles, labels and notes came from outside: none of them can become markup, a mention or a control sequence. What nobody has written yet is said
//! to be missing.

pub(crate) mod content;
pub(crate) mod html;
mod json;
pub(crate) mod markdown;
pub(crate) mod text;

use mainstay_core::incident::record::Incident;
use mainstay_core::time::Time;
use serde::Serialize;
use serde_json::Value;

pub use crate::plot::Plot;

/// Most plots of a review.
pub const PLOTS_MAX: usize = 12;
/// Most rows of a list or a table that has no bound of its own; those beyond are counted.
pub const ROWS_MAX: usize = 200;

/// All that a review is made of.
#[derive(Clone, Debug)]
pub struct Review<'a> {
    /// The incident.
    pub incident: &'a Incident,
    /// The service's name.
    pub service: String,
    /// The name of its type for people.
    pub type_title: String,
    /// What its type makes people ask.
    pub questions: Vec<String>,
    /// What could prevent its type.
    pub prevention: Vec<String>,
    /// What it cost, by objective.
    pub impact: Vec<Impact>,
    /// What was measured meanwhile.
    pub plots: Vec<Plot>,
    /// When this was put together.
    pub prepared: Time,
}

/// What an objective lost between the incident's onset and its end.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Impact {
    /// The objective.
    pub slo: String,
    /// Its category.
    pub category: String,
    /// Budget lost, in minutes, where it is one of time.
    pub budget_minutes: Option<f64>,
    /// Bad events.
    pub bad: u64,
    /// All events.
    pub total: u64,
    /// The share of the objective's whole budget that was lost; 1 is all of it.
    pub budget_share: f64,
}

impl Review<'_> {
    /// The review as CommonMark with tables; plots are a line of blocks and some of their values.
    pub fn markdown(&self) -> String {
        markdown::write(self)
    }

    /// The review as a page that needs nothing else.
    pub fn html(&self) -> String {
        html::write(self)
    }

    /// The review as JSON.
    pub fn json(&self) -> Value {
        json::write(self)
    }

    /// When it ended; an incident that was opened again has not.
    fn resolved(&self) -> Option<Time> {
        self.incident.resolved.filter(|_| !self.incident.status.is_open())
    }

    /// The incident's own clocks, in the order in which they go, as far as they are known.
    fn clocks(&self) -> Vec<(Time, &'static str)> {
        let it = self.incident;
        let clocks = [
            (Some(it.onset), "onset"),
            (Some(it.detected), "detected"),
            (it.acknowledged, "acknowledged"),
            (it.mitigated, "mitigated"),
            (self.resolved(), "resolved"),
        ];
        clocks.into_iter().filter_map(|(at, name)| Some((at?, name))).collect()
    }
}

#[cfg(test)]
mod tests;

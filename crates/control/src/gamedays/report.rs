//! What came of a game day: one content, as Markdown, as a page of its own, and as JSON.

mod content;
pub(crate) mod figures;

use mainstay_core::chaos::gameday::record::{Finding, Record};
use mainstay_core::chaos::record::Run;
use mainstay_core::event::format_time;
use mainstay_core::time::Time;
use serde_json::{Value, json};

use crate::review::{html, markdown};

/// Grows when an older reader would misread what is written.
const VERSION: u32 = 1;

/// All that a report is made of.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) record: Record,
    /// The runs of its steps, as far as they are known.
    pub(crate) runs: Vec<Run>,
    /// Findings that it opened, saw again or closed.
    pub(crate) findings: Vec<Finding>,
    /// The service's name.
    pub(crate) service: String,
    /// When this was put together.
    pub(crate) prepared: Time,
}

impl Report {
    /// As CommonMark with tables.
    pub(crate) fn markdown(&self) -> String {
        markdown::page(&content::title(self), &content::sections(self))
    }

    /// As a page that needs nothing else.
    pub(crate) fn html(&self) -> String {
        html::page(&content::title(self), &content::sections(self))
    }

    /// As JSON.
    pub(crate) fn json(&self) -> Value {
        let figures = |run: &Run| -> Vec<Value> {
            let line = |(at, value): &(Time, f64)| json!({ "at": format_time(*at), "value": finite(*value) });
            let plots = figures::of(run, &[]);
            let told = plots.iter().map(|it| {
                json!({ "title": it.title, "unit": it.unit, "points": it.points.iter().map(line).collect::<Vec<_>>() })
            });
            told.collect()
        };
        let runs: Vec<Value> = self
            .runs
            .iter()
            .map(|run| {
                json!({
                    "id": run.id,
                    "experiment": run.experiment,
                    "injected": run.injected.map(format_time),
                    "withdrawn": run.withdrawn.map(format_time),
                    "recovered": run.recovered.map(format_time),
                    "ended": run.ended.map(format_time),
                    "stopped": run.stopped,
                    "assessment": run.assessment,
                    "figures": figures(run),
                })
            })
            .collect();
        json!({
            "version": VERSION,
            "prepared": format_time(self.prepared),
            "service": self.service,
            "gameday": self.record,
            "runs": runs,
            "findings": self.findings,
        })
    }

    fn run(&self, id: Option<&str>) -> Option<&Run> {
        self.runs.iter().find(|it| Some(it.id.as_str()) == id)
    }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests;

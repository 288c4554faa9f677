//! The summary: one set of facts, as a table and as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use mainstay_core::route::{Class, Level};
use serde_json::{Value, json};

use super::budgets::Sample;
use super::criteria::{Criterion, percent};
use super::incidents::Handled;
use super::script::PHASES;
use super::tally::{Cell, Tally, ratio};
use super::watch::Change;
use crate::table::Table;
use crate::words::array;

/// The type of the incident that is shown in full.
const WHOLE: &str = "serving_latency";

/// Everything that the demo has to say at its end.
pub(super) struct Report {
    pub(super) tally: Tally,
    pub(super) criteria: Vec<Criterion>,
    pub(super) budgets: Vec<Sample>,
    pub(super) changes: Vec<Change>,
    pub(super) incidents: Vec<Handled>,
    /// The record of the game day.
    pub(super) game_day: Value,
    /// How the primary model came about.
    pub(super) training: Value,
    pub(super) duration: Duration,
    pub(super) models: Models,
}

/// How good the models are on rows that they never saw.
#[derive(Clone, Copy, Debug)]
pub(super) struct Models {
    pub(super) primary_accuracy: f64,
    pub(super) small_accuracy: f64,
}

impl Models {
    /// The primary model's accuracy, for people.
    pub(super) fn primary(&self) -> String {
        percent(Some(self.primary_accuracy))
    }

    /// The simpler model's accuracy, for people.
    pub(super) fn small(&self) -> String {
        percent(Some(self.small_accuracy))
    }
}

impl Report {
    /// Whether every criterion held.
    pub(super) fn passed(&self) -> bool {
        self.criteria.iter().all(|criterion| criterion.held)
    }

    /// For people.
    pub(super) fn human(&self) -> String {
        let mut text = String::new();
        let parts = [
            self.requests(),
            self.levels(),
            self.budgets(),
            self.timeline(),
            self.game_day(),
            self.incidents(),
            self.verdict(),
        ];
        for part in parts {
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{part}");
        }
        text
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        json!({
            "schema": 1,
            "passed": self.passed(),
            "criteria": self.criteria.iter().map(criterion_json).collect::<Vec<_>>(),
            "duration_seconds": self.duration.as_secs_f64(),
            "models": {
                "primary": { "held_out_accuracy": self.models.primary_accuracy },
                "small": { "held_out_accuracy": self.models.small_accuracy },
            },
            "phases": PHASES.iter().enumerate().map(|(index, _)| self.phase_json(index)).collect::<Vec<_>>(),
            "levels": (0..Level::COUNT).map(|level| self.level_json(level)).collect::<Vec<_>>(),
            "slos": self.budgets.iter().map(Sample::json).collect::<Vec<_>>(),
            "timeline": self.changes.iter().map(change_json).collect::<Vec<_>>(),
            "incidents": self.incidents.iter().map(Handled::json).collect::<Vec<_>>(),
            "game_day": self.game_day,
            "training": self.training,
        })
    }

    fn game_day(&self) -> String {
        let mut table = Table::new(&["game day", "criterion", "held", "measured"]);
        for step in array(&self.game_day["steps"]).iter().chain([&self.game_day]) {
            let name = step["name"].as_str().unwrap_or("the day");
            for outcome in array(&step["results"]) {
                table.row(vec![
                    name.to_owned(),
                    outcome["name"].as_str().unwrap_or_default().to_owned(),
                    if outcome["held"] == true { "yes" } else { "NO" }.to_owned(),
                    outcome["measured"].as_str().map_or_else(|| outcome["measured"].to_string(), str::to_owned),
                ]);
            }
        }
        table.to_string()
    }

    fn incidents(&self) -> String {
        let mut table = Table::new(&["incident", "type", "severity", "status", "paged", "title"]);
        for it in &self.incidents {
            let paged = it.paged.map_or_else(|| "-".to_owned(), |after| format!("{:.1} s after", after.as_secs_f64()));
            table.row(vec![
                it.id.clone(),
                it.kind.clone(),
                it.severity.clone(),
                it.status.clone(),
                paged,
                it.title.clone(),
            ]);
        }
        let whole = self.incidents.iter().find(|it| it.kind == WHOLE).map(Handled::human).unwrap_or_default();
        format!("incidents\n{table}\n{whole}")
    }

    fn requests(&self) -> String {
        let mut table =
            Table::new(&["phase", "class", "sent", "level 0", "1", "2", "3", "4", "unanswered", "p50 ms", "p99 ms"]);
        for (index, phase) in PHASES.iter().enumerate() {
            for class in classes() {
                let name = if class == Class::BEST { phase.name } else { "" };
                table.row(cell_row(name, &class.to_string(), self.tally.cell(index, class)));
            }
        }
        table.rule();
        for class in classes() {
            table.row(cell_row(
                if class == Class::BEST { "all" } else { "" },
                &class.to_string(),
                &self.tally.class(class),
            ));
        }
        table.row(cell_row("", "all", &self.tally.total()));
        table.to_string()
    }

    fn levels(&self) -> String {
        let mut table = Table::new(&["answered at", "answers", "predictions", "right"]);
        let total = self.tally.total();
        for level in levels() {
            let judged = self.tally.right[level.index()];
            table.row(vec![
                format!("{level} {}", level.name()),
                total.by_level[level.index()].to_string(),
                judged.judged.to_string(),
                percent(ratio(judged.right, judged.judged)),
            ]);
        }
        format!(
            "{table}\non rows never seen in training, the primary model is right for {} and the simpler one for {}\n",
            self.models.primary(),
            self.models.small()
        )
    }

    fn budgets(&self) -> String {
        let mut table = Table::new(&["after phase", "budget of", "status", "left", "bad", "burn", "spent by"]);
        let mut before = None;
        for sample in &self.budgets {
            let is_first = before.replace(sample.phase) != Some(sample.phase);
            table.row(sample.row(if is_first { PHASES[sample.phase].name } else { "" }));
        }
        table.to_string()
    }

    fn timeline(&self) -> String {
        let mut table = Table::new(&["at s", "what", "from", "to", "why"]);
        for change in &self.changes {
            table.row(vec![
                format!("{:.1}", change.at.as_secs_f64()),
                change.subject.clone(),
                change.from.clone(),
                change.to.clone(),
                change.reason.clone(),
            ]);
        }
        table.to_string()
    }

    fn verdict(&self) -> String {
        let mut table = Table::new(&["held", "criterion", "measured"]);
        for criterion in &self.criteria {
            let held = if criterion.held { "yes" } else { "NO" };
            table.row(vec![held.to_owned(), criterion.name.to_owned(), criterion.measured.clone()]);
        }
        let kept = self.criteria.iter().filter(|criterion| criterion.held).count();
        format!(
            "{table}\n{} ({kept} of {} criteria held)",
            if self.passed() { "passed" } else { "FAILED" },
            self.criteria.len()
        )
    }

    fn phase_json(&self, index: usize) -> Value {
        let classes: Vec<Value> = classes()
            .map(|class| {
                let mut cell = cell_json(self.tally.cell(index, class));
                cell["class"] = class.number().into();
                cell
            })
            .collect();
        json!({
            "name": PHASES[index].name,
            "seconds": self.duration.as_secs_f64() * PHASES[index].share,
            "classes": classes,
        })
    }

    fn level_json(&self, level: usize) -> Value {
        let judged = self.tally.right[level];
        json!({
            "level": level, "answers": self.tally.total().by_level[level],
            "judged": judged.judged, "right": judged.right,
        })
    }
}

fn classes() -> impl Iterator<Item = Class> {
    (0..Class::COUNT as u8).filter_map(Class::new)
}

fn levels() -> impl Iterator<Item = Level> {
    (0..Level::COUNT as u8).filter_map(Level::new)
}

fn cell_row(phase: &str, class: &str, cell: &Cell) -> Vec<String> {
    let mut row = vec![phase.to_owned(), class.to_owned(), cell.sent().to_string()];
    row.extend(cell.by_level.iter().map(|count| if *count == 0 { "-".to_owned() } else { count.to_string() }));
    row.push(cell.unanswered().to_string());
    row.extend([0.5, 0.99].map(|q| cell.latency(q).map_or_else(|| "-".to_owned(), |d| format!("{:.1}", millis(d)))));
    row
}

fn cell_json(cell: &Cell) -> Value {
    json!({
        "sent": cell.sent(),
        "by_level": cell.by_level,
        "unanswered": {
            "total": cell.unanswered(), "shed": cell.shed, "errors": cell.errors, "timeouts": cell.timeouts,
            "transport": cell.transport,
        },
        "p50_ms": cell.latency(0.5).map(millis),
        "p99_ms": cell.latency(0.99).map(millis),
    })
}

fn criterion_json(criterion: &Criterion) -> Value {
    json!({ "name": criterion.name, "held": criterion.held, "measured": criterion.measured })
}

fn change_json(change: &Change) -> Value {
    json!({
        "at_seconds": change.at.as_secs_f64(), "subject": change.subject, "from": change.from, "to": change.to,
        "reason": change.reason,
    })
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

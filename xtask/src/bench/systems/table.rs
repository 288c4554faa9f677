//! The tables: what a user loses at each level.

use std::fmt::Write as _;
use std::time::Duration;

use super::field::Answered;
use super::quality::{Figure, Unit};
use super::script::{Step, System};

/// What was measured at one level.
pub(super) struct Row {
    pub(super) level: usize,
    pub(super) quality: Vec<Figure>,
    pub(super) answers: Vec<Answered>,
}

impl Row {
    /// Answers that came from the level itself and not from a deeper one.
    pub(super) fn at_level(&self) -> usize {
        self.answers.iter().filter(|answer| answer.level == self.level).count()
    }

    /// The latency that the share `q` of the answers did not exceed.
    fn latency(&self, q: f64) -> Duration {
        let mut sorted: Vec<Duration> = self.answers.iter().map(|answer| answer.latency).collect();
        sorted.sort_unstable();
        let rank = (q * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// In one line, while the bench runs.
    pub(super) fn line(&self) -> String {
        let figures: Vec<String> =
            self.quality.iter().map(|figure| format!("{} {}", figure.name, figure.text())).collect();
        let (all, own) = (self.answers.len(), self.at_level());
        format!(
            "{own} of {all} answers, p50 {}, p99 {}, {}",
            millis(self.latency(0.5)),
            millis(self.latency(0.99)),
            figures.join(", ")
        )
    }
}

impl Figure {
    fn text(&self) -> String {
        match self.unit {
            Unit::Plain => format!("{:.3}", self.value),
            Unit::Percent => format!("{:.1} %", 100.0 * self.value),
        }
    }

    /// What it is beyond level 0, which has itself.
    fn difference(&self, first: &Figure) -> String {
        match self.unit {
            Unit::Plain => format!("{:+.3}", self.value - first.value),
            Unit::Percent => format!("{:+.1}", 100.0 * (self.value - first.value)),
        }
    }
}

/// One system's table.
pub(super) fn markdown(system: &System, rows: &[Row]) -> String {
    let mut out = format!("## {}\n\n| level | reached when | answer | answers from it | p50 | p99 |", system.name);
    let names: Vec<&str> =
        rows.first().map_or_else(Vec::new, |row| row.quality.iter().map(|figure| figure.name).collect());
    // Writing into a string cannot fail.
    let _ = writeln!(out, " {} (against level 0) |", names.join(" (against level 0) | "));
    let _ = writeln!(out, "|---|---|---|---|---|---|{}", "---|".repeat(names.len()));
    for row in rows {
        let step: Step = system.steps[row.level];
        let share = 100.0 * row.at_level() as f64 / row.answers.len().max(1) as f64;
        let _ = write!(
            out,
            "| {} | {} | {} | {share:.0} % | {} | {} |",
            row.level,
            step.tell(),
            system.answers[row.level],
            millis(row.latency(0.5)),
            millis(row.latency(0.99))
        );
        for (figure, first) in row.quality.iter().zip(&rows[0].quality) {
            let difference = if row.level == 0 { String::new() } else { format!(" ({})", figure.difference(first)) };
            let _ = write!(out, " {}{difference} |", figure.text());
        }
        out.push('\n');
    }
    out
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

/// The page of the docs.
pub(super) fn page(tables: &[String], build: &str) -> String {
    format!(
        "{HEAD}\nMeasured with a {build} build on {} cores, one request at a time, models and gateway on one machine.\n\n{}",
        crate::shell::cores(),
        tables.join("\n")
    )
}

const HEAD: &str = "\
# What a user loses at each level

Written by `cargo xtask bench systems --write`: for each of the five kinds of system (`examples/systems`) it starts the
services and the gateway, breaks one thing after another until the last level answers, and repairs them in turn. At each level
the same judged requests are asked. The worlds behind them are simulated, so that the right answers are known; the models are
learnt from them. The figures say how levels compare, not how good such models are in general. Where a level hands some requests
on to a deeper one, the row holds the answers of both.

Each level keeps what was broken before it. Latency is that of the whole request at the client; the models are small and are
not slowed down, so a level without a model saves less time here than it does beside a real one. A p99 of some hundred requests
is set by whatever else the machine does meanwhile.
";

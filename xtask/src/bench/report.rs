//! The figures of each run, their medians over quiet runs, and both as a Markdown table and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

/// A run during which others used more of the machine than this share is set aside where the target has quieter ones.
const QUIET: f64 = 0.10;

/// What ratios are taken to.
const BASE: &str = "envoy-full";

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Latency {
    pub(super) p50: u64,
    pub(super) p99: u64,
    pub(super) p999: u64,
}

impl Latency {
    /// Nearest-rank percentiles of sorted microseconds; zero of none.
    pub(super) fn of_sorted(micros: &[u32]) -> Self {
        let rank = |share: f64| ((micros.len() as f64 * share).ceil() as usize).saturating_sub(1);
        let at = |share: f64| micros.get(rank(share)).copied().map_or(0, u64::from);
        Self { p50: at(0.50), p99: at(0.99), p999: at(0.999) }
    }
}

/// How the load was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mode {
    /// That many connections, each as fast as it gets answers.
    Closed { connections: u32 },
    /// That many requests/s.
    Open { rate: u32 },
}

impl Mode {
    fn name(self) -> String {
        match self {
            Self::Closed { connections } => format!("{connections} connections"),
            Self::Open { rate } => format!("{rate}/s"),
        }
    }
}

/// One run of one target.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) target: &'static str,
    pub(super) mode: Mode,
    pub(super) round: u32,
    pub(super) requests: u64,
    pub(super) per_second: f64,
    pub(super) latency: Latency,
    pub(super) failed: u64,
    /// CPU seconds per 100,000 requests: of the target's processes, the upstream, and the load generator.
    pub(super) cpu_100k: f64,
    pub(super) upstream_cpu_100k: f64,
    pub(super) load_cpu_100k: f64,
    pub(super) resident_mb: f64,
    /// Share of all cores that everything else on the machine used.
    pub(super) foreign: f64,
    /// `x-mainstay-level` of an answer after the run: a fallback must not be measured for the model.
    pub(super) level: Option<u8>,
}

impl Run {
    pub(super) fn line(&self) -> String {
        let Self { target, round, per_second, cpu_100k, failed, .. } = self;
        let Latency { p50, p99, .. } = self.latency;
        let (mode, foreign, level) = (self.mode.name(), self.foreign * 100.0, level(self.level));
        format!(
            "{target:<13} {mode:>15} round {round} {per_second:>8.0}/s p50 {p50:>6} us p99 {p99:>6} us {cpu_100k:>6.2} CPU s/100k \
             failed {failed} level {level} foreign {foreign:.0} %"
        )
    }

    fn json(&self) -> Value {
        json!({
            "target": self.target, "mode": self.mode.name(), "round": self.round, "requests": self.requests,
            "per_second": self.per_second, "p50_us": self.latency.p50, "p99_us": self.latency.p99,
            "p999_us": self.latency.p999, "failed": self.failed, "cpu_seconds_per_100k": self.cpu_100k,
            "upstream_cpu_seconds_per_100k": self.upstream_cpu_100k, "load_cpu_seconds_per_100k": self.load_cpu_100k,
            "resident_mb": self.resident_mb, "foreign_share": self.foreign, "level": self.level,
        })
    }
}

/// Medians of one target in one mode.
struct Row {
    target: &'static str,
    mode: Mode,
    quiet: usize,
    all: usize,
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
    cpu_100k: f64,
    resident_mb: f64,
    foreign: f64,
    failed: u64,
    level: Option<u8>,
}

impl Row {
    fn of(target: &'static str, mode: Mode, runs: &[&Run]) -> Self {
        let quiet: Vec<&Run> = runs.iter().copied().filter(|run| run.foreign < QUIET).collect();
        let kept = if quiet.is_empty() { runs } else { &quiet };
        let middle = |of: fn(&Run) -> f64| median(kept.iter().map(|run| of(run)).collect());
        Self {
            target,
            mode,
            quiet: quiet.len(),
            all: runs.len(),
            per_second: middle(|run| run.per_second),
            p50_us: middle(|run| run.latency.p50 as f64),
            p99_us: middle(|run| run.latency.p99 as f64),
            cpu_100k: middle(|run| run.cpu_100k),
            resident_mb: middle(|run| run.resident_mb),
            foreign: middle(|run| run.foreign),
            failed: runs.iter().map(|run| run.failed).sum(),
            level: runs.iter().filter_map(|run| run.level).max(),
        }
    }

    fn json(&self, base: Option<&Row>) -> Value {
        let to_base = |of: fn(&Row) -> f64| base.map(|base| of(self) / of(base)).filter(|ratio| ratio.is_finite());
        json!({
            "target": self.target, "mode": self.mode.name(), "runs_quiet": self.quiet, "runs": self.all,
            "per_second": self.per_second, "p50_us": self.p50_us, "p99_us": self.p99_us, "cpu_seconds_per_100k": self.cpu_100k,
            "resident_mb": self.resident_mb, "foreign_share": self.foreign, "failed": self.failed, "level": self.level,
            "ratio_to": BASE, "per_second_ratio": to_base(|row| row.per_second), "p50_ratio": to_base(|row| row.p50_us),
            "p99_ratio": to_base(|row| row.p99_us), "cpu_ratio": to_base(|row| row.cpu_100k),
        })
    }

    fn markdown(&self, base: Option<&Row>) -> String {
        let to_base = |of: fn(&Row) -> f64| {
            let ratio = base.map(|base| of(self) / of(base)).filter(|ratio| ratio.is_finite());
            ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
        };
        format!(
            "| {} | {} | {}/{} | {:.0} | {} | {:.2} | {} | {:.2} | {} | {:.2} | {} | {:.0} | {:.0} % | {} | {} |",
            self.target,
            self.mode.name(),
            self.quiet,
            self.all,
            self.per_second,
            to_base(|row| row.per_second),
            self.p50_us / 1e3,
            to_base(|row| row.p50_us),
            self.p99_us / 1e3,
            to_base(|row| row.p99_us),
            self.cpu_100k,
            to_base(|row| row.cpu_100k),
            self.resident_mb,
            self.foreign * 100.0,
            self.failed,
            level(self.level),
        )
    }
}

const HEAD: &str = "\
| target | load | runs (quiet/all) | req/s | x | p50 ms | x | p99 ms | x | CPU s/100k | x | RSS MB | foreign | failed | level |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
";

/// A Markdown table of medians, each also as a ratio to `envoy-full`, and the same with every run as JSON.
pub(super) fn report(runs: &[Run], settings: &Value) -> (String, Value) {
    let rows = rows(runs);
    let base = |row: &Row| rows.iter().find(|other| other.target == BASE && other.mode == row.mode);
    let mut table = String::from(HEAD);
    for row in &rows {
        // Writing to a String cannot fail.
        writeln!(table, "{}", row.markdown(base(row))).ok();
    }
    let medians: Vec<_> = rows.iter().map(|row| row.json(base(row))).collect();
    let every: Vec<_> = runs.iter().map(Run::json).collect();
    (table, json!({ "settings": settings, "medians": medians, "runs": every }))
}

/// By mode, then in the order in which the targets were first measured.
fn rows(runs: &[Run]) -> Vec<Row> {
    let mut groups: BTreeMap<(Mode, usize), Vec<&Run>> = BTreeMap::new();
    for run in runs {
        let first = runs.iter().position(|other| other.target == run.target).unwrap_or_default();
        groups.entry((run.mode, first)).or_default().push(run);
    }
    groups.iter().map(|((mode, _), runs)| Row::of(runs[0].target, *mode, runs)).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

fn level(level: Option<u8>) -> String {
    level.map_or_else(|| "-".to_owned(), |level| level.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(target: &'static str, per_second: f64, foreign: f64) -> Run {
        Run {
            target,
            mode: Mode::Closed { connections: 32 },
            round: 0,
            requests: 1,
            per_second,
            latency: Latency { p50: 100, p99: 200, p999: 300 },
            failed: 0,
            cpu_100k: 1.0,
            upstream_cpu_100k: 0.0,
            load_cpu_100k: 0.0,
            resident_mb: 1.0,
            foreign,
            level: None,
        }
    }

    #[test]
    fn noisy_runs_are_set_aside_and_ratios_are_to_the_base() {
        let runs = [run("a", 50.0, 0.9), run("a", 200.0, 0.0), run(BASE, 90.0, 0.5), run(BASE, 110.0, 0.5)];
        let (table, json) = report(&runs, &Value::Null);
        assert_eq!(json["medians"][0]["per_second"], 200.0);
        assert_eq!(json["medians"][0]["per_second_ratio"], 2.0);
        assert_eq!(json["medians"][1]["per_second"], 100.0);
        assert!(table.contains("| a | 32 connections | 1/2 | 200 | 2.00 |"), "{table}");
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let micros: Vec<u32> = (1..=1000).collect();
        assert_eq!(Latency::of_sorted(&micros), Latency { p50: 500, p99: 990, p999: 999 });
        assert_eq!(Latency::of_sorted(&[]), Latency { p50: 0, p99: 0, p999: 0 });
    }
}

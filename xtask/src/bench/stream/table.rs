//! The figures of each run, their medians over quiet runs, and what was asked.

use super::Args;
use crate::bench::verdict;

/// A run during which others used more of the machine than this share is set aside where there are quieter ones.
pub(super) const QUIET: f64 = 0.10;
/// Milliseconds that a token's way may grow by, at the 99th percentile.
const ADDED_MS: f64 = 1.0;
/// Of TensorZero's CPU for a whole answer.
const WHOLE: f64 = 0.15;

/// One run of streams.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    pub(super) target: &'static str,
    pub(super) round: u32,
    /// Streams that were open all the time, and those that ended or did not begin.
    pub(super) begun: u32,
    pub(super) lost: u32,
    pub(super) tokens_per_second: f64,
    /// CPU microseconds of the gateway for each token.
    pub(super) cpu_us: f64,
    /// At the end, with all streams open.
    pub(super) resident_mb: f64,
    /// For each stream, more than before the first of them.
    pub(super) grown_kb: f64,
    /// From the request to the first token, median.
    pub(super) first_ms: f64,
    /// From sent by the upstream to read by the caller: median and 99th percentile.
    pub(super) delay_ms: [f64; 2],
    /// By how much the pause before a token grew on its way, 99th percentile.
    pub(super) gap_grown_ms: f64,
    pub(super) foreign: f64,
}

/// One run of whole answers.
#[derive(Clone, Debug)]
pub(super) struct Wholes {
    pub(super) target: &'static str,
    pub(super) round: u32,
    pub(super) per_second: f64,
    pub(super) cpu_us: f64,
    pub(super) took_ms: [f64; 2],
    pub(super) failed: u32,
    pub(super) foreign: f64,
}

impl Streams {
    pub(super) fn line(&self) -> String {
        let Self { target, round, begun, lost, tokens_per_second, cpu_us, resident_mb, gap_grown_ms, .. } = self;
        let ([p50, p99], foreign) = (self.delay_ms, self.foreign * 100.0);
        format!(
            "{target:<11} streams round {round} open {begun} lost {lost} {tokens_per_second:>6.0} tokens/s {cpu_us:>7.1} CPU us/token \
             {resident_mb:>6.1} MiB delay p50 {p50:.2} p99 {p99:.2} ms, pauses grew by {gap_grown_ms:.2} ms at p99, foreign {foreign:.0} %"
        )
    }
}

impl Wholes {
    pub(super) fn line(&self) -> String {
        let Self { target, round, per_second, cpu_us, failed, .. } = self;
        let ([p50, p99], foreign) = (self.took_ms, self.foreign * 100.0);
        format!(
            "{target:<11} whole   round {round} {per_second:>6.0}/s {cpu_us:>7.1} CPU us/request p50 {p50:.2} p99 {p99:.2} ms failed {failed} \
             foreign {foreign:.0} %"
        )
    }
}

/// Prints both tables and what was asked; true when all of that is held.
pub(super) fn print(args: &Args, streams: &[Streams], wholes: &[Wholes]) -> bool {
    println!(
        "\n{} streams, 5 tokens a second each, {} s; medians of {} rounds\n",
        args.streams, args.secs, args.rounds
    );
    println!(
        "| | tokens/s | CPU us/token | MiB with all open | KiB/stream | first token ms | delay p50 ms | delay p99 ms | pauses grow, p99 ms | foreign % |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for target in targets(streams.iter().map(|run| run.target)) {
        let of = |value: fn(&Streams) -> f64| median(streams, target, value);
        println!(
            "| {target} | {:.0} | {:.1} | {:.1} | {:.1} | {:.0} | {:.2} | {:.2} | {:.2} | {:.0} |",
            of(|run| run.tokens_per_second),
            of(|run| run.cpu_us),
            of(|run| run.resident_mb),
            of(|run| run.grown_kb),
            of(|run| run.first_ms),
            of(|run| run.delay_ms[0]),
            of(|run| run.delay_ms[1]),
            of(|run| run.gap_grown_ms),
            of(|run| run.foreign * 100.0),
        );
    }
    println!("\n{} connections, whole answers\n", args.conns);
    println!("| | requests/s | CPU us/request | p50 ms | p99 ms | foreign % |\n|---|---|---|---|---|---|");
    for target in targets(wholes.iter().map(|run| run.target)) {
        let of = |value: fn(&Wholes) -> f64| median(wholes, target, value);
        println!(
            "| {target} | {:.0} | {:.1} | {:.2} | {:.2} | {:.0} |",
            of(|run| run.per_second),
            of(|run| run.cpu_us),
            of(|run| run.took_ms[0]),
            of(|run| run.took_ms[1]),
            of(|run| run.foreign * 100.0),
        );
    }
    asked(args, streams, wholes)
}

fn asked(args: &Args, streams: &[Streams], wholes: &[Wholes]) -> bool {
    let whole = |streams: &[Streams]| {
        let ours: Vec<&Streams> = streams.iter().filter(|run| run.target == "mainstay").collect();
        (!ours.is_empty()).then(|| ours.iter().all(|run| (run.begun, run.lost) == (args.streams, 0)))
    };
    let more = |value: fn(&Streams) -> f64| {
        let [ours, direct] = ["mainstay", "direct"].map(|name| median(streams, name, value));
        (!ours.is_nan() && !direct.is_nan()).then_some(ours - direct)
    };
    let [ours, theirs] = ["mainstay", "tensorzero"].map(|name| median(wholes, name, |run| run.cpu_us));
    let share = (!ours.is_nan() && !theirs.is_nan()).then_some(ours / theirs);
    println!("\n| asked of mainstay | measured | |\n|---|---|---|");
    let mut holds = true;
    let mut line = |what: &str, shown: Option<(String, bool)>| match shown {
        Some((shown, held)) => {
            holds &= held;
            println!("| {what} | {shown} | {} |", verdict(held));
        }
        None => println!("| {what} | not measured | - |"),
    };
    let busy =
        ["mainstay", "direct"].iter().any(|name| !streams.iter().any(|run| run.target == *name && run.foreign < QUIET));
    // A percentile of milliseconds says nothing where others had the cores.
    let in_time = |added: f64| {
        let noise = if busy { ", on a machine that was busy" } else { "" };
        (format!("{added:.2} ms{noise}"), added <= ADDED_MS && !busy)
    };
    line("every stream stays open", whole(streams).map(|all| (all.to_string(), all)));
    line("p99 of a token's delay, more than direct: <= 1 ms", more(|run| run.delay_ms[1]).map(in_time));
    line("p99 of how much a pause grows, more than direct: <= 1 ms", more(|run| run.gap_grown_ms).map(in_time));
    line("CPU of a whole answer, of TensorZero's: <= 0.15", share.map(|share| (format!("{share:.3}"), share <= WHOLE)));
    holds
}

/// Each once, in the order in which they come.
fn targets(names: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    let mut all = Vec::new();
    for name in names {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all
}

trait Figures {
    fn target(&self) -> &'static str;
    fn foreign(&self) -> f64;
}

impl Figures for Streams {
    fn target(&self) -> &'static str {
        self.target
    }

    fn foreign(&self) -> f64 {
        self.foreign
    }
}

impl Figures for Wholes {
    fn target(&self) -> &'static str {
        self.target
    }

    fn foreign(&self) -> f64 {
        self.foreign
    }
}

/// Over the quiet runs of a target, or over all of them where none was quiet; not a number where it has none.
fn median<R: Figures>(runs: &[R], target: &str, value: impl Fn(&R) -> f64) -> f64 {
    let own: Vec<&R> = runs.iter().filter(|run| run.target() == target).collect();
    let quiet: Vec<&R> = own.iter().copied().filter(|run| run.foreign() < QUIET).collect();
    let mut values: Vec<f64> = (if quiet.is_empty() { own } else { quiet }).into_iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_of_quiet_runs_where_there_are_any() {
        let run = |target, cpu_us, foreign| Wholes {
            target,
            round: 0,
            per_second: 1.0,
            cpu_us,
            took_ms: [0.0; 2],
            failed: 0,
            foreign,
        };
        let runs =
            [run("a", 1.0, 0.5), run("a", 2.0, 0.01), run("a", 3.0, 0.02), run("a", 9.0, 0.0), run("b", 5.0, 0.9)];
        let of = |name| median(&runs, name, |run| run.cpu_us);
        assert!((of("a") - 3.0).abs() < f64::EPSILON && (of("b") - 5.0).abs() < f64::EPSILON && of("c").is_nan());
    }
}

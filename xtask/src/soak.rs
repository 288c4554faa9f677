//! Long repetitions of what the suite does briefly, and what takes long by itself: run before a release, or over night.

mod release;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::tally::Tally;
use crate::{bench, fuzz, peers, shell, suite};

/// How long.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Runs only the parts whose name contains this text: static, clone, breaker, drills, store, experiments, objectives, wall, fuzz, demos,
    /// interleavings.
    #[arg(long)]
    only: Option<String>,
    /// Rounds of random inputs for the fuzz targets, each with a seed of its own.
    #[arg(long, default_value_t = 10)]
    fuzz_rounds: u64,
    /// Random inputs for each target in each round.
    #[arg(long, default_value_t = 500_000)]
    fuzz_runs: u32,
    /// Times that the demonstration runs from start to end.
    #[arg(long, default_value_t = 10)]
    demos: u32,
    /// Seeds of the breaker's virtual days.
    #[arg(long, default_value_t = 3)]
    breaker_seeds: u32,
    /// Times that the store, and then the whole service, is killed in the middle of its writes.
    #[arg(long, default_value_t = 100)]
    store_crashes: u32,
    /// Times that a service is killed in the middle of an experiment.
    #[arg(long, default_value_t = 50)]
    experiment_crashes: u32,
    /// Rounds of each of the wall's faults of load: overload, a brown-out, keys, slow streams, callers that leave.
    #[arg(long, default_value_t = 100)]
    wall_rounds: u32,
    /// Months of service at exactly the objective, in virtual time, whose false pages are counted.
    #[arg(long, default_value_t = 120)]
    slo_months: u32,
    /// Stops before the next part once this many minutes have passed.
    #[arg(long, default_value_t = 240)]
    minutes: u64,
}

type Part<'a> = (&'static str, Box<dyn Fn() -> Result<Tally> + 'a>);

/// Every part; true when everything passed.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let end = Instant::now() + Duration::from_secs(args.minutes * 60);
    let parts: [Part<'_>; 11] = [
        ("static", Box::new(|| Ok(told("the static binary, alone", release::static_binary)))),
        ("clone", Box::new(|| Ok(told("README's first command in an empty clone", release::first_command)))),
        ("breaker", Box::new(|| breaker_days(args.breaker_seeds))),
        ("drills", Box::new(long_drills)),
        ("store", Box::new(|| store_crashes(args.store_crashes))),
        ("experiments", Box::new(|| experiment_crashes(args.experiment_crashes))),
        ("objectives", Box::new(|| slo_months(args.slo_months))),
        ("wall", Box::new(|| wall(args.wall_rounds))),
        ("fuzz", Box::new(|| fuzzers(args, end))),
        ("demos", Box::new(|| demos(args.demos, end))),
        ("interleavings", Box::new(|| interleavings(end))),
    ];
    let wanted = |name: &str| args.only.as_deref().is_none_or(|part| name.contains(part));
    let mut tally = Tally::default();
    for (_, part) in parts.iter().filter(|(name, _)| wanted(name)) {
        tally = sum(tally, part()?);
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    Ok(tally.failed == 0 && tally.passed > 0)
}

fn fuzzers(args: &Args, end: Instant) -> Result<Tally> {
    let first = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
    let mut tally = Tally::default();
    for round in (0..args.fuzz_rounds).take_while(|_| Instant::now() < end) {
        println!("\n== fuzz, round {round}, seed {}", first + round);
        tally = sum(tally, fuzz::mutate(args.fuzz_runs, first + round, &["--release"])?);
    }
    Ok(tally)
}

/// README.md's `demo --once`.
fn demos(times: u32, end: Instant) -> Result<Tally> {
    let mut tally = Tally::default();
    for n in (0..times).take_while(|_| Instant::now() < end) {
        println!("\n== demo {n}");
        let arguments =
            ["run", "--release", "--quiet", "--package", "mainstay", "--", "demo", "--once", "--format", "json"];
        tally = sum(tally, Tally::one(shell::watch(&mut shell::cargo(&arguments))?.success));
    }
    Ok(tally)
}

fn interleavings(end: Instant) -> Result<Tally> {
    if Instant::now() >= end {
        return Ok(Tally::default());
    }
    println!("\n== interleavings without a bound");
    suite::interleavings(None)
}

/// A part that is one test, with what was wrong with it.
fn told(name: &str, part: fn() -> Result<()>) -> Tally {
    println!("\n== {name}");
    let done = part();
    if let Err(error) = &done {
        println!("FAILED: {error:#}");
    }
    Tally::one(done.is_ok())
}

/// Whole days of up to 10,000 calls/s through a breaker.
fn breaker_days(seeds: u32) -> Result<Tally> {
    println!("\n== breaker, whole days");
    let seeds = seeds.to_string();
    let days = ["run", "--release", "--quiet", "--package", "mainstay-core", "--example", "breaker_soak", "--", &seeds];
    Ok(Tally::one(shell::watch(&mut shell::cargo(&days))?.success))
}

/// Drills of `docs/drills/long`: hours of virtual time.
fn long_drills() -> Result<Tally> {
    println!("\n== drills, in full length");
    let test = ["test", "--release", "--package", "mainstay-sim", "--test", "drills", "--", "--nocapture"];
    let mut command = shell::cargo(&test);
    command.env("MAINSTAY_LONG_DRILLS", "1");
    let ended = shell::watch(&mut command)?;
    println!("\n== drills, in two processes");
    let same = Tally::one(bench::sim::repeats()?);
    Ok(sum(Tally::of_cargo(&ended.stdout).unless(ended.success), same))
}

/// `kill -9` of the store and of the service in the middle of writes, with a seed of its own that the test prints.
fn store_crashes(rounds: u32) -> Result<Tally> {
    println!("\n== store, kill -9");
    let test = ["test", "--package", "mainstay-store", "--test", "crash", "--", "--nocapture"];
    let mut command = shell::cargo(&test);
    command.env("MAINSTAY_CRASH_ROUNDS", rounds.to_string());
    let ended = shell::watch(&mut command)?;
    let store = Tally::of_cargo(&ended.stdout).unless(ended.success);
    println!("\n== service, kill -9");
    let mut command = shell::cargo(&["test", "--package", "mainstay", "--test", "durability", "--", "--nocapture"]);
    command.env("MAINSTAY_CRASH_ROUNDS", rounds.to_string());
    let ended = shell::watch(&mut command)?;
    let service = Tally::of_cargo(&ended.stdout).unless(ended.success);
    println!("\n== incidents, kill -9");
    let test = ["test", "--package", "mainstay", "--test", "incidents", "kill", "--", "--nocapture"];
    let mut command = shell::cargo(&test);
    command.env("MAINSTAY_CRASH_ROUNDS", rounds.to_string());
    let ended = shell::watch(&mut command)?;
    Ok([store, service, Tally::of_cargo(&ended.stdout).unless(ended.success)].into_iter().sum())
}

/// `kill -9` of a service that runs an experiment.
fn experiment_crashes(rounds: u32) -> Result<Tally> {
    println!("\n== experiments, kill -9");
    let test = ["test", "--package", "mainstay", "--test", "chaos", "kill", "--", "--nocapture"];
    let mut command = shell::cargo(&test);
    command.env("MAINSTAY_CRASH_ROUNDS", rounds.to_string());
    let ended = shell::watch(&mut command)?;
    Ok(Tally::of_cargo(&ended.stdout).unless(ended.success))
}

/// Months of traffic at exactly the objective, from a request a minute to ten a second.
fn slo_months(months: u32) -> Result<Tally> {
    println!("\n== false pages at exactly the objective");
    let test = ["test", "--release", "--package", "mainstay-core", "--test", "slo_alerts", "--", "--nocapture"];
    let mut command = shell::cargo(&test);
    command.env("MAINSTAY_SLO_MONTHS", months.to_string());
    let ended = shell::watch(&mut command)?;
    Ok(Tally::of_cargo(&ended.stdout).unless(ended.success))
}

/// Faults of language models that take many requests to see; prints how the figures of the rounds are distributed.
fn wall(rounds: u32) -> Result<Tally> {
    println!("\n== language models under load, {rounds} rounds");
    peers::rounds("openai", "test_wall_beyond.py", rounds)
}

fn sum(a: Tally, b: Tally) -> Tally {
    [a, b].into_iter().sum()
}

//! `cargo xtask test`: every part in order, each with its time and result; a part that cannot run has failed.

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::tally::Tally;
use crate::{demo, fuzz, peers, shell, tidy};

/// Random inputs for each fuzz target: a smoke test of some seconds.
const FUZZ_RUNS: u32 = 20_000;

/// Times that loom takes a thread off its core against its will. Few races need more than two; the soak has no bound,
/// which takes hours.
const PREEMPTIONS: u32 = 4;

/// What to leave out.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Runs only the steps whose name contains this text; the last lines name what was left out.
    #[arg(long)]
    only: Option<String>,
}

struct Done {
    name: &'static str,
    took: Duration,
    tally: Tally,
}

/// What goes on beside the steps.
#[derive(Default)]
struct Beside {
    environments: Option<JoinHandle<Result<()>>>,
    demo: Option<JoinHandle<Result<()>>>,
}

/// All steps in order; true when every test of every step passed.
pub(crate) fn run(args: &Args) -> bool {
    let start = Instant::now();
    let wanted = |name: &str| args.only.as_deref().is_none_or(|part| name.contains(part));
    // The peers take minutes to install, mostly waiting for the network: that goes on while cargo builds.
    let environments = wanted("peers").then(|| thread::spawn(peers::install));
    let mut beside = Beside { environments, demo: None };
    let (mut done, mut left_out) = (Vec::new(), Vec::new());
    for (name, step) in STEPS {
        if wanted(name) {
            done.push(timed(name, || step(&mut beside)));
        } else {
            left_out.push(name);
        }
        // It takes more than two minutes, mostly of waiting, of a binary that is built from then on.
        if name == "tests" && wanted("demo") {
            beside.demo = Some(thread::spawn(demo::of_development));
        }
    }
    closing(&done, &left_out, start.elapsed())
}

type Step = fn(&mut Beside) -> Result<Tally>;

const STEPS: [(&str, Step); 9] = [
    ("format", |_| one(&["fmt", "--all", "--check"])),
    ("lints", |_| one(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])),
    ("tests", |_| cargo_tests(&["test", "--workspace", "--no-fail-fast"])),
    ("documentation", |_| documentation()),
    ("interleavings", |_| interleavings(Some(PREEMPTIONS))),
    ("tidy", |_| Ok(Tally::one(tidy::run()?))),
    ("demo", |beside| Ok(Tally::one(waited(beside.demo.take())?.is_some()))),
    ("peers", |beside| waited(beside.environments.take()).and_then(|_| peers::test(None))),
    ("fuzz", |_| fuzz::smoke(FUZZ_RUNS)),
];

fn timed(name: &'static str, step: impl FnOnce() -> Result<Tally>) -> Done {
    println!("\n== {name}");
    let start = Instant::now();
    let tally = step().unwrap_or_else(|error| {
        println!("cannot run: {error:#}");
        Tally::one(false)
    });
    let done = Done { name, took: start.elapsed(), tally };
    println!("== {}", line(&done));
    done
}

fn one(arguments: &[&str]) -> Result<Tally> {
    Ok(Tally::one(shell::watch(&mut shell::cargo(arguments))?.success))
}

fn cargo_tests(arguments: &[&str]) -> Result<Tally> {
    let ended = shell::watch(&mut shell::cargo(arguments))?;
    Ok(Tally::of_cargo(&ended.stdout).unless(ended.success))
}

/// Broken links and bad examples in the documentation are errors.
fn documentation() -> Result<Tally> {
    let mut command = shell::cargo(&["doc", "--workspace", "--no-deps", "--quiet"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    Ok(Tally::one(shell::watch(&mut command)?.success))
}

/// The tests that loom runs through every interleaving of threads: millions of them, so with optimisation. They need `cfg(loom)` in every crate, so they have a
/// target directory of their own; the rest of the suite would be built again otherwise.
pub(crate) fn interleavings(preemptions: Option<u32>) -> Result<Tally> {
    let tests = loom_tests()?;
    if tests.is_empty() {
        return Err(anyhow!("no file crates/*/tests/loom_*.rs is there"));
    }
    let run = |(package, test): &(String, String)| -> Result<Tally> {
        let mut command = shell::cargo(&["test", "--release", "--package", package, "--test", test]);
        command.env("RUSTFLAGS", "--cfg loom").env("CARGO_TARGET_DIR", shell::target().join("loom"));
        if let Some(most) = preemptions {
            command.env("LOOM_MAX_PREEMPTIONS", most.to_string());
        }
        let ended = shell::watch(&mut command)?;
        Ok(Tally::of_cargo(&ended.stdout).unless(ended.success))
    };
    tests.iter().map(run).collect::<Result<Vec<_>>>().map(|tallies| tallies.into_iter().sum())
}

/// Package and name of every `crates/*/tests/loom_*.rs`.
fn loom_tests() -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for directory in std::fs::read_dir(shell::root().join("crates"))? {
        let directory = directory?.path();
        let Ok(files) = std::fs::read_dir(directory.join("tests")) else { continue };
        for file in files {
            let path = file?.path();
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if stem.starts_with("loom_") {
                let package = tidy::manifest::Manifest::read(&directory.join("Cargo.toml"))?.name().to_owned();
                found.push((package, stem));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// What became of something that goes on beside the steps; `None` where nothing does.
fn waited(thread: Option<JoinHandle<Result<()>>>) -> Result<Option<()>> {
    thread.map(|it| it.join().map_err(|_| anyhow!("a thread beside the steps panicked"))?).transpose()
}

fn closing(done: &[Done], left_out: &[&str], took: Duration) -> bool {
    println!("\nRan in {}:", minutes(took));
    for step in done {
        println!("  {}", line(step));
    }
    for name in left_out {
        println!("  {name:<14} left out");
    }
    let all: Tally = done.iter().map(|step| step.tally).sum();
    println!("{} passed, {} failed", all.passed, all.failed);
    all.failed == 0
}

fn line(step: &Done) -> String {
    let Tally { passed, failed } = step.tally;
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    format!("{:<14} {verdict:<6} {passed:>5} passed {failed:>3} failed {:>9}", step.name, minutes(step.took))
}

fn minutes(time: Duration) -> String {
    format!("{}m {:04.1}s", time.as_secs() / 60, time.as_secs_f64() % 60.0)
}

//! The proxies side by side: all are up at once, and the rounds take turns, so that what disturbs the machine disturbs all.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::closed::{self, Load};
use super::install::{self, Programs};
use super::open;
use super::processes::{Look, cpu_seconds, resident_mb, tree};
use super::report::{Mode, Run, report};
use super::target::{Running, TARGETS, Target};
use crate::shell;

const WARM_SECONDS: u64 = 2;

/// How long, how often, what.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rounds; each measures every target at every load once.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Seconds of each run.
    #[arg(long, default_value_t = 6)]
    secs: u64,
    /// Connections of the closed loop, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "32,128")]
    conns: Vec<u32>,
    /// Requests/s of the open loop, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "4000,12000")]
    open_loop: Vec<u32>,
    /// Only these targets, separated by commas.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Seconds to wait for a quiet machine before each run.
    #[arg(long, default_value_t = 20)]
    patience: u64,
    /// A mainstay binary to measure; otherwise a release build is made.
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// Measures, prints the table, and writes `target/bench/gateway.json`.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let chosen: Vec<&Target> = TARGETS.iter().filter(|target| args.takes(target.name)).collect();
    ensure!(!chosen.is_empty(), "no such target: {}", TARGETS.map(|target| target.name).join(", "));
    let need_mainstay = chosen.iter().any(|target| target.name.starts_with("mainstay"));
    let programs = install::programs(args.binary.as_deref(), need_mainstay)?;
    let home = shell::target().join("bench");
    fs::create_dir_all(home.join("run"))?;
    let field = Field::start(&chosen, &programs, &home)?;
    let runs = field.measure(args)?;
    drop(field);

    let settings =
        json!({ "rounds": args.rounds, "seconds": args.secs, "cores": shell::cores(), "threads_per_proxy": 2 });
    let (table, json) = report(&runs, &settings);
    let file = home.join("gateway.json");
    fs::write(&file, format!("{json:#}\n")).with_context(|| format!("cannot write {}", file.display()))?;
    println!("\n{table}\n{}", file.display());
    Ok(true)
}

impl Args {
    fn takes(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    fn modes(&self) -> Vec<Mode> {
        let closed = self.conns.iter().map(|&connections| Mode::Closed { connections });
        closed.chain(self.open_loop.iter().map(|&rate| Mode::Open { rate })).collect()
    }
}

/// The upstream and every target, running.
struct Field<'a> {
    // Dropped in this order: the proxies before what they stand in front of.
    targets: Vec<(&'a Target, Option<Running>)>,
    upstream: Running,
}

impl<'a> Field<'a> {
    fn start(chosen: &[&'a Target], programs: &Programs, home: &Path) -> Result<Self> {
        let upstream = Running::upstream(programs, home)?;
        let start = |target: &&'a Target| Ok((*target, Running::target(target, programs, home)?));
        Ok(Self { targets: chosen.iter().map(start).collect::<Result<_>>()?, upstream })
    }

    fn measure(&self, args: &Args) -> Result<Vec<Run>> {
        for (target, _) in &self.targets {
            closed::run(target.port, Target::path(), &target.script(), 32, WARM_SECONDS)?;
        }
        let mut runs = Vec::new();
        for round in 0..args.rounds {
            for mode in args.modes() {
                for (target, running) in &self.targets {
                    self.settle(Duration::from_secs(args.patience));
                    let run = self.once(target, running.as_ref(), mode, round, args.secs)?;
                    println!("{}", run.line());
                    runs.push(run);
                }
            }
        }
        Ok(runs)
    }

    fn once(&self, target: &Target, running: Option<&Running>, mode: Mode, round: u32, seconds: u64) -> Result<Run> {
        let own = running.map_or_else(Vec::new, Running::tree);
        let (upstream, this) = (self.upstream.tree(), [std::process::id()]);
        let everyone = self.everyone();
        let before = (cpu_seconds(&own), cpu_seconds(&upstream), cpu_seconds(&this));
        let look = Look::now(&everyone);
        let load = match mode {
            Mode::Closed { connections } => {
                closed::run(target.port, Target::path(), &target.script(), connections, seconds)
            }
            Mode::Open { rate } => open::run(target.port, &target.request(), rate, seconds),
        };
        let (foreign, _) = look.foreign_since(&everyone);
        let Load { requests, seconds, latency, failed } = load.with_context(|| target.name.to_owned())?;
        let per_100k = |used: f64| used / requests.max(1) as f64 * 1e5;
        Ok(Run {
            target: target.name,
            mode,
            round,
            requests,
            per_second: requests as f64 / seconds,
            latency,
            failed,
            cpu_100k: per_100k(cpu_seconds(&own) - before.0),
            upstream_cpu_100k: per_100k(cpu_seconds(&upstream) - before.1),
            load_cpu_100k: per_100k(cpu_seconds(&this) - before.2),
            resident_mb: resident_mb(&own),
            foreign,
            level: target.probe()?.level,
        })
    }

    /// Waits for a quiet machine, but not for ever: noisy runs are marked in the report.
    fn settle(&self, patience: Duration) {
        let (start, everyone) = (Instant::now(), self.everyone());
        while start.elapsed() < patience {
            let look = Look::now(&everyone);
            thread::sleep(Duration::from_millis(400));
            if look.foreign_since(&everyone).0 < 0.10 {
                break;
            }
        }
    }

    /// All processes of the bench. This one has reaped the load generators, so their CPU is in its own.
    fn everyone(&self) -> Vec<u32> {
        let targets = self.targets.iter().filter_map(|(_, running)| running.as_ref());
        let trees = targets.chain([&self.upstream]).flat_map(Running::tree);
        trees.chain(tree(std::process::id())).collect::<std::collections::BTreeSet<_>>().into_iter().collect()
    }
}

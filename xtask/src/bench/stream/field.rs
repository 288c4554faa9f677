//! Who takes part: how each is started and asked, and what one run of it shows.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Args;
use super::table::{Streams, Wholes};
use crate::bench::processes::{Look, cpu_seconds, resident_mb, tree};
use crate::bench::target::{self, Running};
use crate::{peers, shell};

const WALL_PORT: u16 = 9011;
const MAINSTAY_PORT: u16 = 9151;
const LITELLM_PORT: u16 = 9153;
/// Python takes its time to import everything.
const START_LIMIT: Duration = Duration::from_mins(2);
/// Between two tokens of a stream: the models' names in `xtask/bench/conf/stream` say five a second.
const PAUSE_MS: u64 = 200;
/// Longest time in which all streams have to begin; what has not by then is measured as it is. A stream has tokens for eighty seconds.
const BEGIN_S: u64 = 40;
const SLOW: &str = "slow,rate=5,tokens=400,stamp";

/// One way to the upstream.
pub(super) struct Target {
    name: &'static str,
    address: String,
    /// Path and model of streams, and of whole answers.
    stream: (&'static str, &'static str),
    whole: (&'static str, &'static str),
    running: Option<Running>,
    /// Before the first stream.
    idle_mb: f64,
}

/// Everybody, running.
pub(super) struct Field {
    // Dropped in this order: the gateways before what they stand in front of.
    targets: Vec<Target>,
    wall: Running,
    generator: PathBuf,
}

fn conf(name: &str) -> PathBuf {
    target::conf("stream").join(name)
}

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn listening(name: &str, port: u16, command: Command, home: &Path) -> Result<Running> {
    Running::listening(name, port, command, home, START_LIMIT)
}

fn wall(binary: &Path, home: &Path) -> Result<Running> {
    let mut command = Command::new(binary);
    command.args(["wall", "--listen", &local(WALL_PORT)]);
    listening("wall", WALL_PORT, command, home)
}

const CHAT: &str = "/v1/chat/completions";

fn direct() -> Target {
    Target {
        name: "direct",
        address: local(WALL_PORT),
        stream: (CHAT, SLOW),
        whole: (CHAT, "healthy"),
        running: None,
        idle_mb: 0.0,
    }
}

fn mainstay(binary: &Path, home: &Path) -> Result<Target> {
    let mut command = Command::new(binary);
    command.args(["serve", "--config"]).arg(conf("mainstay.yaml"));
    let running = Some(listening("mainstay-stream", MAINSTAY_PORT, command, home)?);
    let whole = ("/whole/v1/chat/completions", "whole");
    Ok(Target { name: "mainstay", address: local(MAINSTAY_PORT), stream: (CHAT, "slow"), whole, running, ..direct() })
}

/// Its Python package chooses the port.
fn tensorzero(home: &Path) -> Result<Target> {
    let mut command = Command::new(peers::environment("tensorzero")?.join("bin/python"));
    command.arg(shell::root().join("xtask/bench/stream/tensorzero_.py")).arg(conf("tensorzero.toml"));
    let told = |log: &Path| {
        let said = fs::read_to_string(log).ok()?;
        let url = said.lines().find_map(|line| line.strip_prefix("listens http://"))?;
        Some(url.split('/').next()?.to_owned())
    };
    let (running, address) = Running::until("tensorzero", command, home, START_LIMIT, told)?;
    let path = "/openai/v1/chat/completions";
    let (stream, whole) = ((path, "tensorzero::model_name::slow"), (path, "tensorzero::model_name::whole"));
    Ok(Target { name: "tensorzero", address, stream, whole, running: Some(running), ..direct() })
}

fn litellm(home: &Path) -> Result<Target> {
    let mut command = Command::new(peers::environment("litellm")?.join("bin/litellm"));
    command.arg("--config").arg(conf("litellm.yaml"));
    command.args(["--host", "127.0.0.1", "--port", &LITELLM_PORT.to_string(), "--num_workers", "1"]);
    command.env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
    let running = Some(listening("litellm", LITELLM_PORT, command, home)?);
    let (stream, whole) = ((CHAT, "slow"), (CHAT, "whole"));
    Ok(Target { name: "litellm", address: local(LITELLM_PORT), stream, whole, running, ..direct() })
}

impl Field {
    pub(super) fn start(binary: &Path, generator: PathBuf, home: &Path, takes: impl Fn(&str) -> bool) -> Result<Self> {
        let mut field = Self { targets: Vec::new(), wall: wall(binary, home)?, generator };
        let starts: [(&str, &dyn Fn() -> Result<Target>); 4] = [
            ("direct", &|| Ok(direct())),
            ("mainstay", &|| mainstay(binary, home)),
            ("tensorzero", &|| tensorzero(home)),
            ("litellm", &|| litellm(home)),
        ];
        for (_, start) in starts.into_iter().filter(|(name, _)| takes(name)) {
            let mut target = start()?;
            // One answer warms it up; who cannot give that cannot be measured.
            let one = field.generate(&target, &target.whole_arguments(1, 1), &mut |_| {})?;
            let answered = one["requests"].as_u64().unwrap_or_default();
            ensure!(
                answered > 0 && one["failed"] == 0,
                "{} does not answer, see its log in {}",
                target.name,
                home.display()
            );
            target.idle_mb = resident_mb(&target.pids());
            field.targets.push(target);
        }
        ensure!(!field.targets.is_empty(), "no such target: direct, mainstay, tensorzero, litellm");
        Ok(field)
    }

    /// Does it with everybody in turn, each time on a quiet machine, or after so many seconds of waiting for one.
    pub(super) fn each(&self, patience: u64, mut run: impl FnMut(&Target) -> Result<()>) -> Result<()> {
        self.targets.iter().try_for_each(|target| {
            Self::settle(Duration::from_secs(patience));
            run(target).with_context(|| target.name.to_owned())
        })
    }

    pub(super) fn streams(&self, target: &Target, round: u32, args: &Args) -> Result<Streams> {
        let (path, model) = target.stream;
        let numbers = [u64::from(args.streams), PAUSE_MS, BEGIN_S, args.secs].map(|number| number.to_string());
        let fixed = ["stream", &target.address, path, &body(model, true)].map(str::to_owned);
        let used = self.used(target, &[fixed.to_vec(), numbers.to_vec()].concat())?;
        let tokens = used.figure("tokens")?;
        Ok(Streams {
            target: target.name,
            round,
            begun: used.figure("begun")? as u32,
            lost: used.figure("lost")? as u32,
            tokens_per_second: tokens / used.figure("seconds")?,
            cpu_us: used.cpu / tokens * 1e6,
            resident_mb: used.resident_mb,
            grown_kb: (used.resident_mb - target.idle_mb) * 1024.0 / f64::from(args.streams),
            first_ms: used.figure("first_p50_us")? / 1e3,
            delay_ms: [used.figure("delay_p50_us")? / 1e3, used.figure("delay_p99_us")? / 1e3],
            gap_grown_ms: used.figure("grown_p99_us")? / 1e3,
            foreign: used.foreign,
        })
    }

    pub(super) fn wholes(&self, target: &Target, round: u32, args: &Args) -> Result<Wholes> {
        let used = self.used(target, &target.whole_arguments(args.conns, args.secs))?;
        let requests = used.figure("requests")?;
        Ok(Wholes {
            target: target.name,
            round,
            per_second: requests / used.figure("seconds")?,
            cpu_us: used.cpu / requests * 1e6,
            took_ms: [used.figure("p50_us")? / 1e3, used.figure("p99_us")? / 1e3],
            failed: used.figure("failed")? as u32,
            foreign: used.foreign,
        })
    }

    /// What a run of the generator shows, and what the target used between its two marks.
    fn used(&self, target: &Target, arguments: &[String]) -> Result<Used> {
        let (pids, needed) = (target.pids(), self.needed(target));
        let mut marks: Vec<(f64, f64)> = Vec::new();
        let look = Look::now(&needed);
        let told = self.generate(target, arguments, &mut |_| marks.push((cpu_seconds(&pids), resident_mb(&pids))))?;
        let (foreign, _) = look.foreign_since(&needed);
        let [(before, _), (after, resident_mb)] = marks[..] else {
            anyhow::bail!("the load generator did not begin and end: {told}");
        };
        Ok(Used { told, cpu: after - before, resident_mb, foreign })
    }

    fn generate(&self, target: &Target, arguments: &[String], mark: &mut dyn FnMut(&str)) -> Result<Value> {
        let mut child = Command::new(&self.generator).args(arguments).stdout(Stdio::piped()).spawn()?;
        let said = BufReader::new(child.stdout.take().context("standard output is piped")?);
        let mut told = Value::Null;
        for line in said.lines() {
            match line?.as_str() {
                line @ ("begin" | "end") => mark(line),
                line => told = serde_json::from_str(line).with_context(|| line.to_owned())?,
            }
        }
        ensure!(child.wait()?.success(), "the load generator failed at {}", target.name);
        Ok(told)
    }

    /// Waits for a quiet machine, but not for ever: how noisy it was stands in the report. Whoever is still busy with what it was asked
    /// before is no less noise than a stranger.
    fn settle(patience: Duration) {
        let start = Instant::now();
        while start.elapsed() < patience {
            let look = Look::now(&[]);
            thread::sleep(Duration::from_millis(500));
            if look.foreign_since(&[]).0 < super::table::QUIET {
                break;
            }
        }
    }

    /// The processes that a run needs; the generators that ended are in this one's own time.
    fn needed(&self, target: &Target) -> Vec<u32> {
        let trees = target.running.iter().chain([&self.wall]).flat_map(Running::tree);
        trees.chain(tree(std::process::id())).collect::<std::collections::BTreeSet<_>>().into_iter().collect()
    }
}

struct Used {
    told: Value,
    /// Seconds of CPU of the target.
    cpu: f64,
    resident_mb: f64,
    /// Share of all cores that everything else on the machine used, the other gateways among it.
    foreign: f64,
}

impl Used {
    fn figure(&self, name: &str) -> Result<f64> {
        self.told[name].as_f64().with_context(|| format!("no {name} in {}", self.told))
    }
}

impl Target {
    /// The gateway's own process alone: none of the three has helpers that do its work.
    fn pids(&self) -> Vec<u32> {
        self.running.iter().map(Running::pid).collect()
    }

    fn whole_arguments(&self, connections: u32, seconds: u64) -> Vec<String> {
        let (path, model) = self.whole;
        let (connections, seconds) = (connections.to_string(), seconds.to_string());
        ["whole", &self.address, path, &body(model, false), &connections, &seconds].map(str::to_owned).to_vec()
    }
}

fn body(model: &str, stream: bool) -> String {
    json!({ "model": model, "stream": stream, "messages": [{ "role": "user", "content": "hello" }] }).to_string()
}

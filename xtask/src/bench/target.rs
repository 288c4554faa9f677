//! The proxies that are compared: how each is started, where it listens, what it is asked.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::http::{Answer, Connection, request};
use super::install::Programs;
use super::processes;
use crate::shell;

pub(super) const UPSTREAM_PORT: u16 = 9001;

const UPSTREAM: &str = "127.0.0.1:9001";
const PATH: &str = "/v2/models/m/infer";
const START_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// One proxy.
pub(super) struct Target {
    pub(super) name: &'static str,
    pub(super) port: u16,
    /// The features that its route needs are fetched for this entity; the peers get the plain request.
    with_entity: bool,
    /// Asked once before anything is measured.
    warm: Option<&'static str>,
}

const fn target(name: &'static str, port: u16) -> Target {
    Target { name, port, with_entity: false, warm: None }
}

/// In the order of the report; the ratios are to `envoy-full`.
pub(super) const TARGETS: [Target; 8] = [
    target("direct", UPSTREAM_PORT),
    target("haproxy", 9102),
    target("envoy-full", 9104),
    target("hyper-legacy", 9131),
    target("hyper-direct", 9134),
    target("mainstay-a", 9141),
    Target { with_entity: true, warm: Some("/v2/models/warm/infer"), ..target("mainstay-b", 9143) },
    Target { with_entity: true, ..target("mainstay-c", 9145) },
];

impl Target {
    pub(super) fn path() -> &'static str {
        PATH
    }

    /// wrk's script with this target's request.
    pub(super) fn script(&self) -> PathBuf {
        conf(if self.with_entity { "infer_features.lua" } else { "infer.lua" })
    }

    /// The same request as in the script.
    pub(super) fn request(&self) -> Vec<u8> {
        request(PATH, self.body())
    }

    fn body(&self) -> &'static str {
        if self.with_entity {
            r#"{"parameters":{"account_id":7},"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[5.1,3.5,1.4,0.2]}]}"#
        } else {
            r#"{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[5.1,3.5,1.4,0.2]}]}"#
        }
    }

    /// One request and its answer; the first after a start fills what the target caches.
    pub(super) fn probe(&self) -> Result<Answer> {
        Connection::open(self.port)?.exchange(&self.request())
    }

    fn command(&self, programs: &Programs) -> Option<Command> {
        let threads = "2";
        let with = |program: &Path, arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(arguments);
            command
        };
        let file = |name: &str| conf(name).to_string_lossy().into_owned();
        let address = format!("127.0.0.1:{}", self.port);
        Some(match self.name {
            "haproxy" => with(&haproxy(), &["-db", "-f", &file("haproxy.cfg")]),
            "envoy-full" => with(
                &programs.envoy,
                &["-c", &file("envoy_full.yaml"), "--concurrency", threads, "--disable-hot-restart", "-l", "error"],
            ),
            "hyper-legacy" => with(&programs.proto_hyper, &["legacy", &address, UPSTREAM, threads]),
            "hyper-direct" => with(&programs.proto_hyper, &["direct", &address, UPSTREAM, threads]),
            "mainstay-a" => with(&programs.mainstay, &["serve", "--config", &file("mainstay_a.yaml")]),
            "mainstay-b" => with(&programs.mainstay, &["serve", "--config", &file("mainstay_b.yaml")]),
            "mainstay-c" => with(&programs.mainstay, &["serve", "--config", &file("mainstay_c.yaml")]),
            _ => return None,
        })
    }
}

fn haproxy() -> PathBuf {
    let daemon = PathBuf::from("/usr/sbin/haproxy");
    if daemon.is_file() { daemon } else { PathBuf::from("haproxy") }
}

/// A file of `xtask/bench/conf`.
pub(super) fn conf(name: &str) -> PathBuf {
    shell::root().join("xtask/bench/conf").join(name)
}

/// A process of the bench; ends with this value.
pub(super) struct Running {
    child: Child,
}

impl Running {
    /// The upstream that all targets share.
    pub(super) fn upstream(programs: &Programs, home: &Path) -> Result<Self> {
        let mut command = Command::new(&programs.upstream);
        command.env("UPSTREAM_ADDR", UPSTREAM);
        Self::start("upstream", UPSTREAM_PORT, command, home)
    }

    /// A target that answers 200; `None` for the upstream itself, which runs already.
    pub(super) fn target(target: &Target, programs: &Programs, home: &Path) -> Result<Option<Self>> {
        let running = match target.command(programs) {
            Some(command) => Some(Self::start(target.name, target.port, command, home)?),
            None => None,
        };
        if let Some(path) = target.warm {
            let warmed = Connection::open(target.port)?.exchange(&request(path, target.body()))?;
            ensure!(warmed.status == 200, "{} answered {} to the request that warms it", target.name, warmed.status);
        }
        let answer = target.probe()?;
        ensure!(answer.status == 200, "{} answered {}, see its log in {}", target.name, answer.status, home.display());
        Ok(running)
    }

    pub(super) fn tree(&self) -> Vec<u32> {
        processes::tree(self.child.id())
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn start(name: &str, port: u16, command: Command, home: &Path) -> Result<Self> {
        Self::listening(name, port, command, home, START_LIMIT)
    }

    /// Starts a process, and waits until it listens on a port that nobody had before.
    pub(super) fn listening(name: &str, port: u16, command: Command, home: &Path, limit: Duration) -> Result<Self> {
        ensure!(Connection::open(port).is_err(), "something else listens on port {port}");
        let (running, ()) = Self::until(name, command, home, limit, |_| Connection::open(port).is_ok().then_some(()))?;
        Ok(running)
    }

    /// Starts a process whose output goes to `NAME.log` in `home`, and waits until `ready` finds in that file, or elsewhere, what it needs.
    pub(super) fn until<T>(
        name: &str,
        mut command: Command,
        home: &Path,
        limit: Duration,
        ready: impl Fn(&Path) -> Option<T>,
    ) -> Result<(Self, T)> {
        let path = home.join(format!("{name}.log"));
        let log = File::create(&path)?;
        command.current_dir(home).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let mut running = Self { child };
        let start = Instant::now();
        loop {
            if let Some(found) = ready(&path) {
                return Ok((running, found));
            }
            if let Some(status) = running.child.try_wait()? {
                bail!("{name} ended with {status}, see {}", path.display());
            }
            ensure!(start.elapsed() < limit, "{name} is not ready, see {}", path.display());
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Running {
    /// Asks first, so that a store is closed; then insists. A process that is gone already needs neither.
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).output().ok();
        let start = Instant::now();
        while start.elapsed() < STOP_LIMIT {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

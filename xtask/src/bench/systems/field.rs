//! A system that runs: its services, its gateway, and the means to break and to repair them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::Judged;
use super::script::{Step, System};
use crate::bench::http::{Connection, request, send};
use crate::shell;

/// Until a service listens: the models are learnt at its start.
const START_LIMIT: Duration = Duration::from_mins(1);

/// Until a ladder has moved: some health checks, and the breakers' and the ladder's patience.
const MOVE_LIMIT: Duration = Duration::from_secs(40);

const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Answers in a row from the level that is waited for: it has settled there.
const SETTLED: usize = 5;

/// Older than any `max_age`.
const AGED: Duration = Duration::from_hours(400 * 24);

/// The patience of the examples' configs, and that of the bench: everything is as sure, in less time.
const HASTE: [(&str, &str); 3] = [
    ("hysteresis: { window: 5s, down: 2, up: 30s }", "hysteresis: { window: 500ms, down: 2, up: 1s }"),
    ("every: 2s, timeout: 1s", "every: 250ms, timeout: 1s"),
    ("open: 5s, open_max: 30s", "open: 1s, open_max: 1s"),
];

/// What is run.
pub(super) struct Programs {
    pub(super) mainstay: PathBuf,
    pub(super) services: PathBuf,
}

impl Programs {
    /// The folder of the target directory that they come from: debug or release.
    pub(super) fn build(&self) -> String {
        let folder = self.mainstay.parent().and_then(Path::file_name);
        folder.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }
}

/// One answer, as a client sees it.
pub(super) struct Answered {
    pub(super) level: usize,
    pub(super) latency: Duration,
    pub(super) body: Value,
}

/// The running system.
pub(super) struct Field<'a> {
    system: &'a System,
    programs: &'a Programs,
    folder: PathBuf,
    ports: BTreeMap<u16, u16>,
    services: BTreeMap<&'static str, Process>,
    connection: Connection,
    gateway: Process,
}

impl<'a> Field<'a> {
    /// Starts everything on free ports, in a folder of its own below the target directory.
    pub(super) fn open(system: &'a System, programs: &'a Programs) -> Result<Field<'a>> {
        let folder = shell::target().join("bench/systems").join(system.name);
        fresh_copy(&shell::root().join("examples/systems").join(system.name), &folder)?;
        let ports = ports(system)?;
        rewrite(&folder.join("mainstay.yaml"), &ports)?;
        let mut services = BTreeMap::new();
        for &(name, port) in system.services {
            services.insert(name, start(system, programs, &folder, name, ports[&port])?);
        }
        let gateway = start_gateway(programs, &ports, &folder)?;
        let connection = Connection::open(ports[&GATEWAY])?;
        Ok(Field { system, programs, folder, ports, services, connection, gateway })
    }

    /// A gateway that has counted no request yet, under the same outage.
    pub(super) fn forget_counts(&mut self, level: usize) -> Result<()> {
        self.gateway.end();
        self.gateway = start_gateway(self.programs, &self.ports, &self.folder)?;
        self.connection = Connection::open(self.ports[&GATEWAY])?;
        self.system.pin_before(level + 1).map_or(Ok(()), |pin| self.pin(pin))
    }

    /// Breaks one more thing.
    pub(super) fn suffer(&mut self, step: &Step) -> Result<()> {
        match *step {
            Step::Nothing => {}
            Step::Kill(service) => drop(self.services.remove(service)),
            Step::KillBoth(one, other) => drop((self.services.remove(one), self.services.remove(other))),
            Step::Stale(file) => self.date(file, SystemTime::now() - AGED)?,
            Step::LongPrompts(service, most) => {
                self.stage(service, &format!("{{\"prompt_tokens_max\": {most}}}"))?;
            }
            Step::Pin(level) => self.pin(level)?,
        }
        Ok(())
    }

    /// Repairs it.
    pub(super) fn recover(&mut self, step: &Step) -> Result<()> {
        match *step {
            Step::Nothing => {}
            Step::Kill(service) => self.revive(service)?,
            Step::KillBoth(one, other) => {
                self.revive(one)?;
                self.revive(other)?;
            }
            Step::Stale(file) => self.date(file, SystemTime::now())?,
            Step::LongPrompts(service, _) => {
                // A service that was killed since has forgotten it.
                self.stage(service, "{}")?;
            }
            Step::Pin(level) => match self.system.pin_before(level) {
                Some(before) => self.pin(before)?,
                None => self.admin("DELETE", "")?,
            },
        }
        Ok(())
    }

    /// Asks until answers come from `level`. Deeper ones that a level hands requests on to do not count against it.
    pub(super) fn wait_for(&mut self, level: usize, judged: &[Judged]) -> Result<()> {
        let start = Instant::now();
        let (mut settled, mut seen) = (0, [0; 5]);
        for judged in judged.iter().cycle() {
            let answer = self.ask(judged)?;
            seen[answer.level.min(4)] += 1;
            if answer.level < level {
                settled = 0;
            } else if answer.level == level {
                settled += 1;
            }
            if settled >= SETTLED {
                return Ok(());
            }
            ensure!(start.elapsed() < MOVE_LIMIT, "level {level} did not come; answers by level: {seen:?}");
            thread::sleep(LOOK_EVERY);
        }
        bail!("there are no judged requests")
    }

    /// One answer to each request.
    pub(super) fn ask_all(&mut self, judged: &[Judged]) -> Result<Vec<Answered>> {
        judged.iter().map(|judged| self.ask(judged)).collect()
    }

    fn ask(&mut self, judged: &Judged) -> Result<Answered> {
        let bytes = request(self.system.path, &judged.body);
        let start = Instant::now();
        let (answer, body) = self.connection.exchange_whole(&bytes)?;
        let latency = start.elapsed();
        ensure!(answer.status == 200, "answered {}: {}", answer.status, String::from_utf8_lossy(&body));
        let level = usize::from(answer.level.context("an answer without a level")?);
        Ok(Answered { level, latency, body: serde_json::from_slice(&body)? })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join("data").join(name)
    }

    fn date(&self, name: &str, time: SystemTime) -> Result<()> {
        let path = self.file(name);
        let file =
            File::options().write(true).open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        Ok(file.set_modified(time)?)
    }

    fn revive(&mut self, service: &'static str) -> Result<()> {
        let port = self.port_of(service)?;
        let process = start(self.system, self.programs, &self.folder, service, port)?;
        self.services.insert(service, process);
        // What was staged at an earlier step is staged again.
        for step in self.system.steps {
            if let Step::LongPrompts(staged, _) = step
                && staged == service
            {
                self.suffer(&step)?;
            }
        }
        Ok(())
    }

    fn port_of(&self, service: &str) -> Result<u16> {
        let usual =
            self.system.services.iter().find(|(name, _)| *name == service).context("a service of the script")?;
        Ok(self.ports[&usual.1])
    }

    fn stage(&self, service: &str, outage: &str) -> Result<()> {
        let answer = Connection::open(self.port_of(service)?)?.exchange(&send("PUT", "/outage", outage))?;
        ensure!(answer.status == 200, "{service} answered {} to its outage", answer.status);
        Ok(())
    }

    fn pin(&self, level: usize) -> Result<()> {
        self.admin("PUT", &format!("{{\"level\": {level}, \"reason\": \"bench\"}}"))
    }

    fn admin(&self, method: &str, body: &str) -> Result<()> {
        let path = format!("/api/v1/levels/{}", self.system.route);
        let (answer, body) = Connection::open(self.ports[&ADMIN])?.exchange_whole(&send_to_admin(
            method,
            &path,
            body,
            self.ports[&ADMIN],
        ))?;
        ensure!(answer.status < 300, "{method} {path} answered {}: {}", answer.status, String::from_utf8_lossy(&body));
        Ok(())
    }
}

const GATEWAY: u16 = 8080;
const ADMIN: u16 = 8090;

/// The admin API checks to whom a request is addressed.
fn send_to_admin(method: &str, path: &str, body: &str, port: u16) -> Vec<u8> {
    let text = String::from_utf8(send(method, path, body)).unwrap_or_default();
    text.replacen("host: bench", &format!("host: 127.0.0.1:{port}"), 1).into_bytes()
}

fn fresh_copy(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir_all(to.join("data"))?;
    for below in [Path::new("mainstay.yaml"), Path::new("data")] {
        let source = from.join(below);
        if source.is_dir() {
            for file in fs::read_dir(&source)? {
                let file = file?;
                fs::write(to.join(below).join(file.file_name()), fs::read(file.path())?)?;
            }
        } else {
            fs::write(to.join(below), fs::read(&source)?)?;
        }
    }
    Ok(())
}

/// A free port for each that the config names.
fn ports(system: &System) -> Result<BTreeMap<u16, u16>> {
    let named = system.services.iter().map(|(_, port)| *port).chain([GATEWAY, ADMIN]);
    // All are held before any is let go, so that they differ.
    let held: Vec<(u16, TcpListener)> =
        named.map(|named| Ok((named, TcpListener::bind(("127.0.0.1", 0))?))).collect::<Result<_>>()?;
    held.iter().map(|(named, listener)| Ok((*named, listener.local_addr()?.port()))).collect()
}

fn rewrite(config: &Path, ports: &BTreeMap<u16, u16>) -> Result<()> {
    let mut text = fs::read_to_string(config)?;
    for (named, free) in ports {
        ensure!(text.contains(&format!(":{named}")), "{} does not name port {named}", config.display());
        text = text.replace(&format!("127.0.0.1:{named}"), &format!("127.0.0.1:{free}"));
    }
    for (patient, hasty) in HASTE {
        ensure!(text.contains(patient), "{} lacks `{patient}`", config.display());
        text = text.replace(patient, hasty);
    }
    Ok(fs::write(config, text)?)
}

fn start_gateway(programs: &Programs, ports: &BTreeMap<u16, u16>, folder: &Path) -> Result<Process> {
    let mut command = Command::new(fs::canonicalize(&programs.mainstay)?);
    command.args(["serve", "--log", "warn"]);
    Process::start(command, "gateway", &[ports[&GATEWAY], ports[&ADMIN]], folder)
}

fn start(system: &System, programs: &Programs, folder: &Path, name: &str, port: u16) -> Result<Process> {
    let mut command = Command::new(fs::canonicalize(&programs.services)?);
    command.args(["serve", system.name, name, "--port", &port.to_string()]);
    Process::start(command, name, &[port], folder)
}

/// A process that is killed when dropped: an outage gives no notice.
struct Process(Child);

impl Process {
    fn start(mut command: Command, name: &str, ports: &[u16], folder: &Path) -> Result<Process> {
        let log = File::options().append(true).create(true).open(folder.join(format!("{name}.log")))?;
        command.current_dir(folder).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut process = Process(command.spawn().with_context(|| format!("cannot start {name}"))?);
        let start = Instant::now();
        while ports.iter().any(|port| Connection::open(*port).is_err()) {
            if let Some(status) = process.0.try_wait()? {
                bail!("{name} ended with {status}, see its log in {}", folder.display());
            }
            ensure!(start.elapsed() < START_LIMIT, "{name} does not listen on the ports {ports:?}");
            thread::sleep(LOOK_EVERY);
        }
        Ok(process)
    }
}

impl Process {
    fn end(&mut self) {
        // One that has ended already needs neither.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

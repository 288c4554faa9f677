//! Processes: spawn, limits, the whole tree ended, a worker that outlived its supervisor.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use rustix::process::{Pid, Signal, WaitOptions};
use serde::{Deserialize, Serialize};

use crate::limits;

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ended {
    /// Its code.
    pub code: Option<i32>,
    /// Its signal.
    pub signal: Option<i32>,
}

/// A process by number and start, since numbers come again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// Its number.
    pub pid: i32,
    /// Its start, in ticks since the machine's.
    pub start: u64,
}

impl Identity {
    /// Of a process that runs.
    pub fn of(pid: i32) -> Option<Identity> {
        let stat = stat(pid)?;
        stat.is_alive().then_some(Identity { pid, start: stat.start })
    }

    /// Whether it runs.
    pub fn is_alive(self) -> bool {
        Identity::of(self.pid) == Some(self)
    }
}

/// The first process of an attempt.
#[derive(Debug)]
pub enum Worker {
    /// Started by this supervisor.
    Own(Child),
    /// Started by one that is gone. How it ends cannot be known.
    Found(Identity),
}

impl Worker {
    /// Its process.
    pub fn pid(&self) -> i32 {
        match self {
            Worker::Own(child) => child.id() as i32,
            Worker::Found(identity) => identity.pid,
        }
    }

    /// How it ended; `None`: it has not.
    pub fn poll(&mut self) -> io::Result<Option<Ended>> {
        match self {
            Worker::Own(child) => {
                let status = child.try_wait()?;
                Ok(status.map(|status| Ended { code: status.code(), signal: status.signal() }))
            }
            Worker::Found(identity) => Ok((!identity.is_alive()).then(Ended::default)),
        }
    }
}

/// What this process started itself, and has not heard the end of: no orphan that came to it. Held while one starts.
static STARTED: Mutex<Vec<Identity>> = Mutex::new(Vec::new());

fn started() -> MutexGuard<'static, Vec<Identity>> {
    STARTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a process of this supervisor's own.
pub fn start(command: &mut Command) -> io::Result<Child> {
    let mut started = started();
    let child = command.spawn()?;
    started.retain(|identity| stat(identity.pid).is_some_and(|stat| stat.start == identity.start));
    let pid = child.id() as i32;
    started.extend(stat(pid).map(|stat| Identity { pid, start: stat.start }));
    Ok(child)
}

/// Starts a command in a process group of its own; its output goes into a file, which outlives the supervisor.
pub(crate) fn spawn(command: &[String], log: &Path, environment: &[(&str, String)], held: bool) -> io::Result<Child> {
    let behind = if held { limits::held(command) } else { command.to_vec() };
    let (program, arguments) = behind.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let out = OpenOptions::new().create(true).append(true).open(log)?;
    let err = out.try_clone()?;
    let environment = environment.iter().map(|(name, value)| (format!("MAINSTAY_{name}"), value));
    let mut command = Command::new(program);
    command.args(arguments).envs(environment).stdin(limits::input(held)).stdout(out).stderr(err).process_group(0);
    start(&mut command)
}

/// Whoever loses its parent becomes this process's child, so that none escapes. What is its child by then is none of a run.
pub fn adopt_orphans() -> io::Result<()> {
    static BEFORE: Once = Once::new();
    BEFORE.call_once(|| {
        let own = std::process::id() as i32;
        let children = processes().filter_map(|pid| Some((pid, stat(pid)?))).filter(|(_, stat)| stat.parent == own);
        started().extend(children.map(|(pid, stat)| Identity { pid, start: stat.start }));
    });
    rustix::process::set_child_subreaper(Pid::from_raw(1)).map_err(io::Error::from)
}

/// Every process of a run but this one: it has the run's id in its environment, or lost its parent to this process and
/// left its session, or descends from such a one.
pub fn tree(run: &str) -> Vec<i32> {
    find(run, true)
}

/// The processes that have `run` in their environment, and with `strays` those that hide; and what descends from them.
fn find(run: &str, strays: bool) -> Vec<i32> {
    let own = std::process::id() as i32;
    let started = started();
    let all: Vec<(i32, Stat)> = processes().filter_map(|pid| Some((pid, stat(pid)?))).collect();
    let group = all.iter().find(|(pid, _)| *pid == own).map(|(_, stat)| stat.group);
    let is_of_run = |pid: i32, stat: &Stat| match run_of(pid) {
        Some(marked) => marked == run.as_bytes(),
        // It cleared its environment.
        None => {
            let is_own = || started.contains(&Identity { pid, start: stat.start });
            strays && stat.parent == own && Some(stat.group) != group && stat.is_alive() && !is_own()
        }
    };
    let mut found: Vec<i32> =
        all.iter().filter(|(pid, stat)| *pid != own && is_of_run(*pid, stat)).map(|(pid, _)| *pid).collect();
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        let children = all.iter().filter(|(pid, stat)| stat.parent == parent && *pid != own && !found.contains(pid));
        let children: Vec<i32> = children.map(|(pid, _)| *pid).collect();
        found.extend(children);
        at += 1;
    }
    found
}

/// Takes note of children that ended, which lost their parent to this process; the worker's end is for others to hear.
pub(crate) fn reap(worker: i32) {
    let own = std::process::id() as i32;
    let Some(group) = stat(own).map(|stat| stat.group) else { return };
    let started = started();
    for pid in processes().filter(|pid| *pid != worker) {
        let ended = stat(pid).filter(|stat| stat.parent == own && stat.group != group && stat.state == 'Z');
        if ended.is_some_and(|stat| !started.contains(&Identity { pid, start: stat.start })) {
            let _ = rustix::process::waitpid(Pid::from_raw(pid), WaitOptions::NOHANG);
        }
    }
}

/// Whether a process belongs to a run. One that is gone cannot be asked; its line is taken.
pub fn belongs(pid: i32, run: &str) -> bool {
    Identity::of(pid).is_none() || tree(run).contains(&pid)
}

/// Memory of the processes, in bytes: what each has to itself and its share of the rest where that can be read.
pub fn memory(pids: &[i32]) -> u64 {
    pids.iter().map(|pid| proportional(*pid).or_else(|| resident(*pid)).unwrap_or(0)).sum()
}

/// Asks all of a group to end.
pub fn signal_group(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // Gone already is as good.
        let _ = rustix::process::kill_process_group(pid, signal);
    }
}

/// Ends these processes.
pub(crate) fn end(pids: &[i32]) {
    for pid in pids.iter().filter_map(|pid| Pid::from_raw(*pid)) {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

/// Rounds of killing; each finds what the ones before left. Only what forks faster than it is killed needs so many.
const ROUNDS: u32 = 200;

/// Ends every process of a run. False where some are left.
pub fn end_tree(run: &str, group: i32) -> bool {
    end_found(group, || tree(run))
}

/// Ends every process that has `run` in its environment, and what descends from it; a run beside it is left alone.
pub(crate) fn end_marked(run: &str, group: i32) -> bool {
    end_found(group, || find(run, false))
}

fn end_found(group: i32, find: impl Fn() -> Vec<i32>) -> bool {
    signal_group(group, Signal::KILL);
    for _ in 0..ROUNDS {
        let left = find();
        if left.is_empty() {
            return true;
        }
        for (number, pid) in left.into_iter().filter_map(|number| Some((number, Pid::from_raw(number)?))) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            // How the worker itself ended is for whoever started it to hear.
            if number != group {
                let _ = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG);
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    false
}

fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The run in a process's environment, where it is alive and has one.
fn run_of(pid: i32) -> Option<Vec<u8>> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let run = environment.split(|byte| *byte == 0).find_map(|variable| variable.strip_prefix(b"MAINSTAY_RUN_ID="))?;
    Identity::of(pid).map(|_| run.to_vec())
}

/// What `/proc/PID/stat` says.
#[derive(Clone, Copy, Debug)]
struct Stat {
    state: char,
    parent: i32,
    group: i32,
    start: u64,
}

impl Stat {
    const fn is_alive(&self) -> bool {
        self.state != 'Z' && self.state != 'X'
    }
}

/// The name at its beginning may hold anything, also brackets.
fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text[text.rfind(')')? + 1..].split_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    Some(Stat { state, parent, group, start: fields.nth(16)?.parse().ok()? })
}

fn proportional(pid: i32) -> Option<u64> {
    kilobytes(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?, "Pss:")
}

fn resident(pid: i32) -> Option<u64> {
    kilobytes(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmRSS:")
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|count| count * 1024)
}

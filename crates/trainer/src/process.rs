//! Processes: spawn, limits, the whole tree ended, a worker that outlived its supervisor.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Resource, Rlimit, Signal, WaitOptions};
use serde::{Deserialize, Serialize};

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
        let (state, _, start) = stat(pid)?;
        (state != 'Z' && state != 'X').then_some(Identity { pid, start })
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

/// Starts a command in a process group of its own; its output goes into a file, which outlives the supervisor.
pub fn spawn(command: &[String], log: &Path, environment: &[(&str, String)]) -> io::Result<Child> {
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let out = OpenOptions::new().create(true).append(true).open(log)?;
    let err = out.try_clone()?;
    let environment = environment.iter().map(|(name, value)| (format!("MAINSTAY_{name}"), value));
    let mut command = Command::new(program);
    command.args(arguments).envs(environment).stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
    command.spawn()
}

/// Whoever loses its parent becomes this process's child, so that none escapes.
pub fn adopt_orphans() -> io::Result<()> {
    rustix::process::set_child_subreaper(Pid::from_raw(1)).map_err(io::Error::from)
}

/// Limits a process and what it starts from now.
pub fn limit(pid: i32, resource: Resource, most: u64) -> io::Result<()> {
    let limit = Rlimit { current: Some(most), maximum: Some(most) };
    rustix::process::prlimit(Pid::from_raw(pid), resource, limit).map(drop).map_err(io::Error::from)
}

/// Every process of a run but this one: it has the run's id in its environment, or descends from one that has.
pub fn tree(run: &str) -> Vec<i32> {
    let own = std::process::id() as i32;
    let marker = format!("MAINSTAY_RUN_ID={run}");
    let all: Vec<(i32, i32)> = processes().filter_map(|pid| Some((pid, stat(pid)?.1))).collect();
    let mut found: Vec<i32> =
        all.iter().map(|(pid, _)| *pid).filter(|pid| *pid != own && is_marked(*pid, &marker)).collect();
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        let children = all.iter().filter(|(pid, of)| *of == parent && *pid != own && !found.contains(pid));
        let children: Vec<i32> = children.map(|(pid, _)| *pid).collect();
        found.extend(children);
        at += 1;
    }
    found
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

/// Rounds of killing; each finds what the ones before left. Only what forks faster than it is killed needs so many.
const ROUNDS: u32 = 200;

/// Ends every process of a run. False where some are left.
pub fn end_tree(run: &str, group: i32) -> bool {
    signal_group(group, Signal::KILL);
    for _ in 0..ROUNDS {
        let left = tree(run);
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

fn is_marked(pid: i32, marker: &str) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| variable == marker.as_bytes()) && Identity::of(pid).is_some()
}

/// State, parent, start. The name in between may hold anything, also brackets.
fn stat(pid: i32) -> Option<(char, i32, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text[text.rfind(')')? + 1..].split_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    Some((state, parent, fields.nth(17)?.parse().ok()?))
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

//! Limits of a run: what enforces them, and whether it does.
//!
//! | limit | enforced by |
//! |---|---|
//! | memory | `cgroup2`, else `cgroup1`, else `poll`: the whole tree is looked at five times a second |
//! | cpu, files | `rlimit` of each process |
//! | wall | `supervisor` |

pub(crate) mod cgroup;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Stdio};

use mainstay_core::training::allowance;
use rustix::process::{Resource, Rlimit};

use crate::options::{Error, Options};
use cgroup::Group;

/// Seconds between the signal that CPU time is used up and the kill.
const CPU_GRACE_S: u64 = 5;
/// Waits for a line, so that limits are in force before the command is, and becomes the command.
const GATE: &str = r#"read -r go || exit 125; exec "$@" < /dev/null"#;

/// What enforces the limits of a run.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    /// By limit.
    pub(crate) enforced_by: BTreeMap<&'static str, &'static str>,
    group: Option<Group>,
}

impl Limits {
    /// Finds what can enforce the limits that are asked for. `before` is the group of an attempt that goes on.
    pub(crate) fn find(
        options: &Options,
        name: &str,
        before: Option<Group>,
        say: &mut dyn FnMut(&str),
    ) -> Result<Limits, Error> {
        let mut limits = Limits { group: before, ..Limits::default() };
        if let Some(most) = options.memory {
            let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
            let root = options.guards.cgroups.as_deref().unwrap_or(Path::new(cgroup::ROOT));
            let made = limits.group.take().map_or_else(|| Group::make(root, &own, name, most), Ok);
            let by = match made {
                Ok(group) => limits.group.insert(group).as_str(),
                Err(why) => {
                    say(&format!(
                        "memory is limited by looking every 200 ms, which a process may exceed for that long: {why}"
                    ));
                    poll(options, say)?
                }
            };
            limits.enforced_by.insert("memory", by);
        }
        for (limit, most) in [("cpu", options.cpu), ("files", options.files)] {
            if most.is_some() {
                limits.enforced_by.insert(limit, "rlimit");
            }
        }
        if options.allowance() != (allowance::Settings { grace: options.grace, ..allowance::Settings::default() }) {
            limits.enforced_by.insert("wall", "supervisor");
        }
        Ok(limits)
    }

    /// The run's group.
    pub(crate) const fn group(&self) -> Option<&Group> {
        self.group.as_ref()
    }

    /// Whether a process must be held until its limits are in force.
    pub(crate) fn hold(&self, options: &Options) -> bool {
        self.group.is_some() || options.cpu.is_some() || options.files.is_some()
    }

    /// Puts the limits in force for a process that is held.
    pub(crate) fn enforce(&mut self, pid: i32, options: &Options, say: &mut dyn FnMut(&str)) -> Result<(), Error> {
        if let Some(group) = &self.group
            && let Err(source) = group.enter(pid)
        {
            cannot(options, "memory", source, say)?;
            self.enforced_by.insert("memory", "none");
        }
        let cpu = options.cpu.map(|most| (most, most.saturating_add(CPU_GRACE_S)));
        let files = options.files.map(|most| (most, most));
        for (limit, resource, most) in [("cpu", Resource::Cpu, cpu), ("files", Resource::Nofile, files)] {
            let Some((soft, hard)) = most else { continue };
            let pid = rustix::process::Pid::from_raw(pid);
            // A limit that is lower already stays: it is in force as well.
            let before = rustix::process::getrlimit(resource).maximum;
            let lower = |most: u64| before.map_or(most, |before| most.min(before));
            let wanted = Rlimit { current: Some(lower(soft)), maximum: Some(lower(hard)) };
            if let Err(error) = rustix::process::prlimit(pid, resource, wanted) {
                cannot(options, limit, error.into(), say)?;
                self.enforced_by.insert(limit, "none");
            }
        }
        Ok(())
    }
}

fn poll(options: &Options, say: &mut dyn FnMut(&str)) -> Result<&'static str, Error> {
    if crate::process::memory(&[std::process::id() as i32]) > 0 {
        return Ok("poll");
    }
    cannot(options, "memory", std::io::Error::other("/proc cannot be read"), say).map(|()| "none")
}

fn cannot(
    options: &Options,
    limit: &'static str,
    source: std::io::Error,
    say: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    if !options.guards.best_effort {
        return Err(Error::Limit { limit, source });
    }
    say(&format!("warning: the limit of {limit} is NOT enforced: {source}"));
    Ok(())
}

/// The command behind a gate that [`release`] opens.
pub(crate) fn held(command: &[String]) -> Vec<String> {
    let gate = ["sh", "-c", GATE, "mainstay"].map(str::to_owned);
    gate.into_iter().chain(command.iter().cloned()).collect()
}

/// How the input of a process begins: held, or nothing to read.
pub(crate) fn input(held: bool) -> Stdio {
    if held { Stdio::piped() } else { Stdio::null() }
}

/// Lets a process go that was held.
pub(crate) fn release(child: &mut Child) -> std::io::Result<()> {
    match child.stdin.take() {
        Some(mut gate) => gate.write_all(b"go\n"),
        None => Ok(()),
    }
}

/// Processes that the kernel killed for want of memory, outside of the run's own group: in the supervisor's group, else
/// on the whole machine.
pub(crate) fn oom_kills_around() -> u64 {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let machine = || {
        let text = fs::read_to_string("/proc/vmstat").unwrap_or_default();
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok())
    };
    Group::own(Path::new(cgroup::ROOT), &own).and_then(|group| group.oom_kills()).or_else(machine).unwrap_or(0)
}

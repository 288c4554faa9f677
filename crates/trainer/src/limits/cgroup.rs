//! A control group for one run: version 2 where memory is delegated, else version 1.
//!
//! Files are named as in the kernel's `cgroup-v2.rst` and `cgroup-v1/memory.rst`. All paths lie below a root that is
//! given, so that the choice can be tried on a plain directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::process;

/// Where a system mounts its groups.
pub(crate) const ROOT: &str = "/sys/fs/cgroup";
/// Rounds of killing what is in a group; each finds what the ones before left.
const ROUNDS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(5);

/// Which interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Version {
    /// Version 1, the memory controller.
    V1,
    /// The unified hierarchy.
    V2,
}

/// A group.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Group {
    path: PathBuf,
    version: Version,
}

impl Group {
    /// Makes a group with a limit of memory; else why none can be made.
    pub(crate) fn make(root: &Path, own: &str, name: &str, memory: u64) -> Result<Group, String> {
        let mut why = Vec::new();
        for above in candidates(root, own) {
            let group = Group { path: above.path.join(name), version: above.version };
            match group.set_up(memory) {
                Ok(()) => return Ok(group),
                Err(error) => {
                    group.remove();
                    why.push(format!("{}: {error}", group.path.display()));
                }
            }
        }
        if why.is_empty() {
            return Err("no control group is delegated".to_owned());
        }
        Err(why.join("; "))
    }

    /// The group that a process is in, where memory is counted.
    pub(crate) fn own(root: &Path, own: &str) -> Option<Group> {
        let is_counted = |group: &Group| group.oom_kills().is_some();
        candidates_of(root, own, Version::V2).into_iter().chain(candidates_of(root, own, Version::V1)).find(is_counted)
    }

    /// The word in `enforced_by`.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self.version {
            Version::V1 => "cgroup1",
            Version::V2 => "cgroup2",
        }
    }

    /// Takes a process in; what it starts from then on is in as well.
    pub(crate) fn enter(&self, pid: i32) -> io::Result<()> {
        self.write("cgroup.procs", &pid.to_string())
    }

    /// Processes in it that the kernel killed because there was no memory left; `None`: not counted.
    pub(crate) fn oom_kills(&self) -> Option<u64> {
        let text = self.read(match self.version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        })?;
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
    }

    /// The most memory that it had, in bytes.
    pub(crate) fn peak(&self) -> Option<u64> {
        let names = match self.version {
            Version::V1 => ["memory.max_usage_in_bytes", "memory.usage_in_bytes"],
            Version::V2 => ["memory.peak", "memory.current"],
        };
        names.into_iter().find_map(|name| self.read(name)?.trim().parse().ok())
    }

    /// Its processes.
    pub(crate) fn pids(&self) -> Vec<i32> {
        self.read("cgroup.procs").unwrap_or_default().lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Ends all that is in it, and removes it. One that is not empty then stays.
    pub(crate) fn end(&self) {
        if self.version == Version::V2 && self.path.join("cgroup.kill").exists() {
            let _ = self.write("cgroup.kill", "1");
        }
        for _ in 0..ROUNDS {
            let left = self.pids();
            if left.is_empty() {
                break;
            }
            process::end(&left);
            std::thread::sleep(PAUSE);
        }
        self.remove();
    }

    fn remove(&self) {
        for _ in 0..ROUNDS {
            match fs::remove_dir(&self.path) {
                // What was killed a moment ago is counted until it is gone.
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => std::thread::sleep(PAUSE),
                Ok(()) | Err(_) => return,
            }
        }
    }

    fn set_up(&self, memory: u64) -> io::Result<()> {
        match fs::create_dir(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let (limit, swap) = match self.version {
            Version::V1 => ("memory.limit_in_bytes", ("memory.memsw.limit_in_bytes", memory)),
            Version::V2 => ("memory.max", ("memory.swap.max", 0)),
        };
        self.write(limit, &memory.to_string())?;
        let in_force = self.read(limit).and_then(|text| text.trim().parse::<u64>().ok());
        if in_force.is_none_or(|most| most > memory || most == 0) {
            return Err(io::Error::other(format!("{limit} reads {in_force:?} after {memory} was written")));
        }
        // What is swapped out is used memory, too. A kernel without these counts no swap.
        let _ = self.write(swap.0, &swap.1.to_string());
        if self.version == Version::V2 {
            let _ = self.write("memory.oom.group", "1");
        }
        Ok(())
    }

    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path.join(name)).ok()
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        fs::write(self.path.join(name), text)
    }
}

/// Groups below which one with a limit of memory may be made, the best first. In version 2 a group that holds processes
/// cannot hand memory on to groups below it: the one above it, which does, is asked for a sibling.
fn candidates(root: &Path, own: &str) -> Vec<Group> {
    let hands_on = |group: &Group| {
        let control = group.read("cgroup.subtree_control").unwrap_or_default();
        control.split_whitespace().any(|name| name == "memory")
    };
    let mut found: Vec<Group> = candidates_of(root, own, Version::V2).into_iter().filter(hands_on).collect();
    found.extend(candidates_of(root, own, Version::V1));
    found
}

fn candidates_of(root: &Path, own: &str, version: Version) -> Vec<Group> {
    // `number:controllers:path`; version 2 has no controllers.
    let mut lines = own.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        Some((fields.next()?, fields.next()?.trim_start_matches('/')))
    });
    let paths = match version {
        Version::V2 => {
            let is_unified = |mount: &PathBuf| mount.join("cgroup.controllers").exists();
            let mount = [root.to_owned(), root.join("unified")].into_iter().find(is_unified);
            let own = lines.find(|(controllers, _)| controllers.is_empty());
            mount.zip(own).map(|(mount, (_, own))| {
                let own = mount.join(own);
                let above = own.parent().filter(|above| above.starts_with(&mount)).map(Path::to_owned);
                std::iter::once(own).chain(above).collect::<Vec<_>>()
            })
        }
        Version::V1 => lines.find(|(controllers, _)| controllers.split(',').any(|name| name == "memory")).map(
            |(controllers, own)| {
                let mounts = [root.join(controllers), root.join("memory")];
                // In a container the group's path may lie outside of what is mounted.
                mounts.into_iter().flat_map(|mount| [mount.join(own), mount]).collect()
            },
        ),
    };
    let mut found: Vec<Group> = Vec::new();
    for path in paths.unwrap_or_default() {
        if path.is_dir() && !found.iter().any(|group| group.path == path) {
            found.push(Group { path, version });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn version_2_is_taken_where_memory_is_handed_on() {
        let root = tree(&[
            ("cgroup.controllers", "cpu memory"),
            ("user/cgroup.subtree_control", "cpu memory\n"),
            ("user/job.scope/cgroup.subtree_control", ""),
        ]);
        let group = Group::make(root.path(), "0::/user/job.scope\n", "run-1", 1 << 20).unwrap();
        assert_eq!((group.path.clone(), group.as_str()), (root.path().join("user/run-1"), "cgroup2"));
        assert_eq!(group.read("memory.max").unwrap(), "1048576");
        assert_eq!(group.read("memory.swap.max").unwrap(), "0");
        assert_eq!(group.read("memory.oom.group").unwrap(), "1");
        // Greater than any number that the kernel gives: nobody is ended by this test.
        group.enter(1 << 29).unwrap();
        assert_eq!(group.pids(), [1 << 29]);
        fs::write(group.path.join("memory.events"), "low 0\noom 3\noom_kill 2\n").unwrap();
        fs::write(group.path.join("memory.peak"), "12345\n").unwrap();
        assert_eq!((group.oom_kills(), group.peak()), (Some(2), Some(12345)));
        fs::write(group.path.join("cgroup.kill"), "0").unwrap();
        fs::write(group.path.join("cgroup.procs"), "").unwrap();
        group.end();
        assert_eq!(group.read("cgroup.kill").unwrap(), "1");
    }

    #[test]
    fn version_1_is_taken_where_version_2_has_no_memory() {
        let root = tree(&[
            ("unified/cgroup.controllers", "hugetlb"),
            ("unified/cgroup.subtree_control", ""),
            ("memory/job/memory.limit_in_bytes", "9223372036854771712"),
        ]);
        let own = "4:memory:/job\n3:cpuset:/\n0::/\n";
        let group = Group::make(root.path(), own, "run-1", 4096).unwrap();
        assert_eq!((group.path.clone(), group.as_str()), (root.path().join("memory/job/run-1"), "cgroup1"));
        fs::write(group.path.join("memory.oom_control"), "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n").unwrap();
        assert_eq!(group.oom_kills(), Some(4));
    }

    #[test]
    fn controllers_that_share_a_mount_and_paths_outside_of_it_are_found() {
        let root = tree(&[("cpu,memory/memory.limit_in_bytes", "1")]);
        let group = Group::make(root.path(), "4:cpu,memory:/docker/abc\n", "run-1", 4096).unwrap();
        assert_eq!(group.path, root.path().join("cpu,memory/run-1"));
    }

    #[test]
    fn where_nothing_is_delegated_it_says_why() {
        let root = tree(&[("cgroup.controllers", "cpu memory"), ("cgroup.subtree_control", "cpu")]);
        assert_eq!(Group::make(root.path(), "0::/\n", "run-1", 1).unwrap_err(), "no control group is delegated");
        // A file where the group would be: it cannot be made, and the reason names it.
        let root = tree(&[("memory/run-1", "")]);
        let why = Group::make(root.path(), "4:memory:/\n", "run-1", 1).unwrap_err();
        assert!(why.contains("memory/run-1"), "{why}");
    }
}

//! What processes use, read from `/proc`.

use std::fs;
use std::sync::OnceLock;
use std::time::Instant;

use crate::shell;

/// A process and all its descendants.
pub(super) fn tree(root: u32) -> Vec<u32> {
    let (mut found, mut waiting) = (Vec::new(), vec![root]);
    while let Some(pid) = waiting.pop() {
        found.push(pid);
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for thread in threads.flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            waiting.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    found
}

/// User and system CPU seconds of these processes and of children they have reaped.
pub(super) fn cpu_seconds(pids: &[u32]) -> f64 {
    pids.iter().filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/stat")).ok()).map(|stat| of_stat(&stat)).sum()
}

/// A process name may hold spaces and parentheses: the fields count from the last one.
fn of_stat(stat: &str) -> f64 {
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks: f64 = fields.skip(11).take(4).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    ticks / ticks_per_second()
}

/// Resident memory in MB.
pub(super) fn resident_mb(pids: &[u32]) -> f64 {
    let status = pids.iter().filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok());
    let kilobytes = status.filter_map(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:").map(str::to_owned))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    });
    kilobytes.fold(0.0, |sum, each| sum + each) / 1024.0
}

/// CPU seconds of all children of this process that ended, and of theirs.
pub(crate) fn of_children() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(13).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / ticks_per_second()
}

fn ticks_per_second() -> f64 {
    static TICKS: OnceLock<f64> = OnceLock::new();
    let read = || shell::quiet(std::process::Command::new("getconf").arg("CLK_TCK")).ok()?.trim().parse().ok();
    *TICKS.get_or_init(|| read().unwrap_or(100.0))
}

/// A look at the clock and at the CPU used so far, by the whole machine and by some processes.
pub(super) struct Look {
    at: Instant,
    machine: f64,
    pub(super) own: f64,
}

impl Look {
    pub(super) fn now(own: &[u32]) -> Self {
        Self { at: Instant::now(), machine: machine_seconds(), own: cpu_seconds(own) }
    }

    /// The share of all cores that others used since then, and the seconds that passed.
    pub(super) fn foreign_since(&self, own: &[u32]) -> (f64, f64) {
        let later = Self::now(own);
        let seconds = (later.at - self.at).as_secs_f64();
        let foreign = (later.machine - self.machine) - (later.own - self.own);
        // Ticks are coarse: what is left may be a little below nothing.
        ((foreign / seconds / shell::cores() as f64).max(0.0), seconds)
    }
}

/// CPU seconds spent by the machine, but for idling and waiting.
fn machine_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = stat.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = first.split_whitespace().skip(1).filter_map(|ticks| ticks.parse().ok()).collect();
    [0, 1, 2, 5, 6].into_iter().filter_map(|field| ticks.get(field)).sum::<f64>() / ticks_per_second()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_spaces_do_not_shift_the_fields() {
        let fields = "S 1 1 1 0 -1 0 0 0 0 0 100 50 25 25 20 0";
        let spaced = of_stat(&format!("7 (gunicorn: (x) y) {fields}"));
        assert!((spaced - of_stat(&format!("7 (a) {fields}"))).abs() < f64::EPSILON);
        assert!((spaced * ticks_per_second() - 200.0).abs() < 1e-9);
    }

    #[test]
    fn this_process_is_in_its_own_tree_and_uses_memory() {
        let own = tree(std::process::id());
        assert_eq!(own[0], std::process::id());
        assert!(resident_mb(&own) > 1.0);
    }
}

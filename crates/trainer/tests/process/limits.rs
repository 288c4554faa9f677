//! Limits: what enforces them, and that it does.

use std::fs;
use std::path::Path;

use mainstay_core::training::State;
use mainstay_trainer::{Error, Guards, Options};

use crate::support::{options, run};

/// Uses some 200 MB.
const HOG: &str = "step 1; head -c 200000000 /dev/zero | tail -c 200000000 | (sleep 60; cat) > /dev/null";

fn hog(root: &Path, guards: Guards) -> Options {
    Options { memory: Some(60 << 20), guards, ..options(root, HOG) }
}

/// The group of version 1 that this process is in, where it may make groups.
pub(crate) fn own_group() -> Option<std::path::PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.split_once(":memory:/"))?.1;
    let group = Path::new("/sys/fs/cgroup/memory").join(path);
    let probe = group.join(format!("mainstay-probe-{}", std::process::id()));
    fs::create_dir(&probe).ok()?;
    fs::remove_dir(&probe).ok()?;
    Some(group)
}

#[test]
fn a_memory_hog_is_ended_by_its_control_group_and_classed_oom() {
    let place = tempfile::tempdir().unwrap();
    let options = hog(place.path(), Guards::default());
    let summary = run(&options);
    assert_eq!((summary.state, summary.attempts), (State::Failed, 2), "twice at the same size");
    assert!(summary.reason.unwrap().starts_with("oom"));
    if let Some(group) = own_group() {
        assert_eq!(summary.enforced_by["memory"], "cgroup1");
        let left = group.join(format!("mainstay-{:016x}", options.seed));
        assert!(!left.exists(), "the group is removed");
    } else {
        println!("no control group of version 1 is delegated here: enforced by {:?}", summary.enforced_by);
    }
}

#[test]
fn without_control_groups_the_whole_tree_is_looked_at() {
    let place = tempfile::tempdir().unwrap();
    let nowhere = Some(place.path().join("none"));
    let summary = run(&hog(&place.path().join("run"), Guards { cgroups: nowhere, ..Guards::default() }));
    assert!(summary.reason.unwrap().starts_with("oom"));
    assert_eq!(summary.enforced_by["memory"], "poll");
}

#[test]
fn a_limit_that_cannot_be_enforced_is_an_error_unless_a_warning_was_asked_for() {
    let place = tempfile::tempdir().unwrap();
    for best_effort in [false, true] {
        let root = place.path().join(format!("run-{best_effort}"));
        let cgroups = place.path().join(format!("cgroups-{best_effort}"));
        let guards = Guards { best_effort, cgroups: Some(cgroups.clone()), ..Guards::default() };
        let options = Options { memory: Some(1 << 30), guards, ..options(&root, "exit 0") };
        // A group that lets nobody in: a directory stands where processes would be written.
        let name = format!("memory/mainstay-{:016x}/cgroup.procs", options.seed);
        fs::create_dir_all(cgroups.join(name)).unwrap();
        let mut said = String::new();
        let went = mainstay_trainer::run(&options, &mut |line| said.extend([line, "\n"]));
        if best_effort {
            let summary = went.unwrap();
            assert_eq!((summary.state, summary.enforced_by["memory"]), (State::Succeeded, "none"));
            assert!(said.contains("memory is NOT enforced"), "{said}");
        } else {
            assert!(matches!(went, Err(Error::Limit { limit: "memory", .. })), "{went:?}");
        }
    }
}

#[test]
fn cpu_and_files_are_limited_before_the_command_begins() {
    let place = tempfile::tempdir().unwrap();
    let script = r#"[ "$(ulimit -n)" = 77 ] && [ "$(ulimit -S -t)" = 9 ] || exit 2"#;
    let summary = run(&Options { cpu: Some(9), files: Some(77), ..options(place.path(), script) });
    assert_eq!(summary.state, State::Succeeded);
    assert_eq!((summary.enforced_by["cpu"], summary.enforced_by["files"]), ("rlimit", "rlimit"));
}

#[test]
fn a_command_that_uses_up_its_cpu_time_is_ended() {
    let place = tempfile::tempdir().unwrap();
    let mut options = Options { cpu: Some(1), ..options(place.path(), "step 1; while :; do :; done") };
    options.policy.retries = 0;
    let summary = run(&options);
    assert_eq!((summary.state, summary.attempts), (State::Failed, 1));
}

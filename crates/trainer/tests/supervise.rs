//! Runs of small shell scripts under the supervisor, and what becomes of them.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use mainstay_core::time::Time;
use mainstay_core::training::State;
use mainstay_core::training::gate::Gate;
use mainstay_core::training::{policy, progress};
use mainstay_trainer::{Error, Guards, Options, Summary};

#[expect(clippy::disallowed_methods, reason = "the binary's part, in a test")]
fn now() -> Time {
    static START: OnceLock<Instant> = OnceLock::new();
    Time::from_secs(1_000_000) + START.get_or_init(Instant::now).elapsed()
}

/// Tells things on stdout, and saves a step into a checkpoint.
const HELPERS: &str = r#"
tell() { echo "mstp/1 $1"; }
save() {
  d="$MAINSTAY_CKPT_DIR/.tmp-$MAINSTAY_ATTEMPT-$1"; mkdir -p "$d"; echo "weights of $1" > "$d/weights"
  tell "{\"type\":\"ckpt_ready\",\"step\":$1,\"tmp\":\"$d\",\"cursor\":{\"at\":$1},\"metrics\":{\"accuracy\":${2:-0.9}}}"
}
step() { tell "{\"type\":\"progress\",\"step\":$1,\"total\":${2:-10}}"; }
saved() { while [ ! -e "$MAINSTAY_CKPT_DIR/$(printf 'step-%010d-a%d' "$1" "$MAINSTAY_ATTEMPT")/STATE.json" ]; do sleep 0.01; done; }
at="${MAINSTAY_RESUME_STEP:-0}"
"#;

fn options(directory: &Path, script: &str) -> Options {
    let quick = Duration::from_millis(5);
    Options {
        name: "test".to_owned(),
        directory: directory.to_owned(),
        command: vec!["sh".to_owned(), "-c".to_owned(), format!("{HELPERS}\n{script}")],
        seed: now().as_nanos(),
        every: None,
        validate_every: 10,
        policy: policy::Settings { backoff: quick, backoff_max: quick, ..policy::Settings::default() },
        progress: progress::Settings { floor: Duration::from_secs(20), ..progress::Settings::default() },
        timeout: None,
        grace: Duration::from_secs(2),
        memory: None,
        cpu: None,
        files: None,
        keep: 3,
        gates: Vec::new(),
        rollback: false,
        guards: Guards::default(),
        now,
    }
}

fn run(options: &Options) -> Summary {
    mainstay_trainer::run(options, &mut |line| eprintln!("  | {line}")).expect("the run can be supervised")
}

fn latest(directory: &Path) -> String {
    fs::read_to_string(directory.join("latest")).expect("there is a pointer")
}

#[test]
fn a_crash_goes_on_from_the_last_checkpoint() {
    let place = tempfile::tempdir().unwrap();
    let script = r#"while [ $at -lt 10 ]; do at=$((at+1)); step $at; save $at; saved $at
        [ $at = 4 ] && [ $MAINSTAY_ATTEMPT = 1 ] && kill -9 $$; done; tell '{"type":"done","step":10}'"#;
    let summary = run(&options(place.path(), script));
    assert_eq!((summary.state, summary.attempts, summary.step), (State::Succeeded, 2, Some(10)));
    assert_eq!(latest(place.path()), "step-0000000010-a2");
    let sum: f64 = summary.seconds.values().sum();
    assert!((sum - summary.wall_s).abs() < 1e-6, "{summary:?}");
    let checkpoints = fs::read_dir(place.path()).unwrap().flatten();
    let kept = checkpoints.filter(|entry| entry.file_name().to_string_lossy().starts_with("step-")).count();
    assert_eq!(kept, 3);
}

/// Damages the newest of three checkpoints; the run must go on from the one before, and keep the broken one.
fn damaged(damage: impl Fn(&Path)) {
    let place = tempfile::tempdir().expect("a directory");
    run(&options(
        place.path(),
        r#"for s in 1 2 3; do step $s 3; save $s; saved $s; done; tell '{"type":"done","step":3}'"#,
    ));
    let newest = place.path().join("step-0000000003-a1");
    damage(&newest);
    let script = r#"[ "$MAINSTAY_RESUME_STEP" = 2 ] || exit 2; tell '{"type":"done","step":3}'"#;
    assert_eq!(run(&options(place.path(), script)).state, State::Succeeded);
    assert!(!newest.exists());
    assert_eq!(latest(place.path()), "step-0000000002-a1");
}

#[test]
fn a_newest_checkpoint_that_is_damaged_is_passed_over() {
    damaged(|path| fs::write(path.join("weights"), "weights of 4\n").unwrap());
    damaged(|path| fs::write(path.join("weights"), "weig").unwrap());
    damaged(|path| fs::write(path.join("weights"), "").unwrap());
    damaged(|path| fs::remove_file(path.join("weights")).unwrap());
    damaged(|path| fs::write(path.join("MANIFEST.json"), "{\"v\":1,").unwrap());
    damaged(|path| fs::remove_dir_all(path).unwrap());
}

#[test]
fn a_wrong_command_is_not_tried_again_and_a_crash_loop_stops() {
    let place = tempfile::tempdir().unwrap();
    let summary = run(&options(place.path(), "echo 'ModuleNotFoundError: no torch' >&2; exit 1"));
    assert_eq!((summary.state, summary.attempts), (State::Failed, 1));
    let place = tempfile::tempdir().unwrap();
    let summary = run(&options(place.path(), "step 1; exit 1"));
    assert_eq!((summary.state, summary.attempts), (State::Failed, 4));
}

#[test]
fn fifty_preemptions_with_progress_complete() {
    let place = tempfile::tempdir().unwrap();
    let script = r#"at=$((at+1)); step $at 51; save $at; saved $at; [ $at -lt 51 ] && exit 143
        tell '{"type":"done","step":51}'"#;
    let summary = run(&options(place.path(), script));
    assert_eq!((summary.state, summary.attempts), (State::Succeeded, 51));
}

#[test]
fn a_heartbeat_is_no_progress_and_nothing_is_left_of_the_tree() {
    let place = tempfile::tempdir().unwrap();
    let script = r#"step 1; setsid sh -c 'while :; do echo x >> "$MAINSTAY_CKPT_DIR/beat"; sleep 0.05; done' &
        while :; do tell '{"type":"heartbeat"}'; sleep 0.05; done"#;
    let quick = Duration::from_millis(300);
    let mut options = options(place.path(), script);
    options.progress = progress::Settings { floor: quick, ceiling: quick, ..options.progress };
    options.policy.retries = 0;
    let summary = run(&options);
    assert_eq!(summary.state, State::Failed);
    assert!(summary.reason.unwrap().starts_with("hang"), "a hang");
    assert!(summary.seconds["hang"] >= 0.3);
    assert_eq!(mainstay_trainer::process::tree(&summary.run), Vec::<i32>::new());
}

#[test]
fn a_stopped_worker_is_a_hang() {
    let place = tempfile::tempdir().unwrap();
    let quick = Duration::from_millis(300);
    let mut options = options(place.path(), "step 1; kill -STOP $$");
    options.progress = progress::Settings { floor: quick, ceiling: quick, ..options.progress };
    options.policy.retries = 0;
    assert!(run(&options).reason.unwrap().starts_with("hang"));
}

#[test]
fn too_much_memory_is_classed_oom() {
    let place = tempfile::tempdir().unwrap();
    let mut options =
        options(place.path(), "step 1; head -c 200000000 /dev/zero | tail -c 200000000 | (sleep 30; cat) > /dev/null");
    options.memory = Some(60 << 20);
    let summary = run(&options);
    assert_eq!((summary.state, summary.attempts), (State::Failed, 2), "twice at the same size");
    assert!(summary.reason.unwrap().starts_with("oom"));
    assert!(["cgroup1", "cgroup2", "poll"].contains(&summary.enforced_by["memory"]));
}

#[test]
fn losses_that_are_no_numbers_go_back_and_skip() {
    let place = tempfile::tempdir().unwrap();
    let script = r#"if [ -n "$MAINSTAY_SKIP_FILE" ]; then grep -q '\[\[3,3\]\]' "$MAINSTAY_SKIP_FILE" || exit 2
        tell '{"type":"done","step":3}'; exit 0; fi
        for s in 1 2; do step $s 3; save $s; saved $s; done; tell '{"type":"metric","step":3,"loss":"nan"}'; sleep 30"#;
    let summary = run(&options(place.path(), script));
    assert_eq!((summary.state, summary.attempts), (State::Succeeded, 2));
}

#[test]
fn a_failed_gate_leaves_the_champion_and_goes_back() {
    let place = tempfile::tempdir().unwrap();
    let train = |accuracy: &str, total: u32| {
        let script = format!(
            r#"at=$((at+1)); step $at {total}; save $at {accuracy}; saved $at; tell "{{\"type\":\"done\",\"step\":$at}}""#
        );
        let gate = Gate::parse("metrics.accuracy >= 0.8 && metrics.accuracy >= champion.accuracy - 0.05").unwrap();
        run(&Options { gates: vec![gate], rollback: true, ..options(place.path(), &script) })
    };
    assert_eq!(train("0.95", 1).state, State::Succeeded);
    let summary = train("0.85", 2);
    assert_eq!((summary.state, summary.rollback, summary.attempts), (State::ValidationFailed, "rolled_back", 2));
    assert_eq!(latest(place.path()), "step-0000000001-a1");
    assert_eq!(fs::read_to_string(place.path().join("champion")).unwrap(), "step-0000000001-a1");
}

#[test]
fn a_champion_that_cannot_be_read_lets_nothing_pass() {
    let place = tempfile::tempdir().unwrap();
    let train = |total: u32| {
        let script = format!(
            r#"at=$((at+1)); step $at {total}; save $at 0.9; saved $at; tell "{{\"type\":\"done\",\"step\":$at}}""#
        );
        let gate = Gate::parse("metrics.accuracy >= champion.accuracy").unwrap();
        run(&Options { gates: vec![gate], ..options(place.path(), &script) })
    };
    assert_eq!(train(1).state, State::Succeeded);
    fs::write(place.path().join("champion"), "step-0000000009-a9").unwrap();
    assert_eq!(train(2).state, State::ValidationFailed);
}

#[test]
fn what_is_saved_after_the_numbers_exploded_is_not_gone_on_from() {
    let place = tempfile::tempdir().unwrap();
    let script = r#"
        if [ "$MAINSTAY_ATTEMPT" -gt 1 ]; then echo "$at" > "$MAINSTAY_CKPT_DIR/resumed"; tell '{"type":"done","step":5}'; exit 0; fi
        for s in 1 2; do step $s 5; save $s; saved $s; done
        tell '{"type":"metric","step":3,"loss":"nan"}'; step 4 5; save 4; sleep 30"#;
    let summary = run(&options(place.path(), script));
    assert_eq!((summary.state, summary.attempts), (State::Succeeded, 2));
    assert_eq!(fs::read_to_string(place.path().join("resumed")).unwrap().trim(), "2");
}

#[test]
fn a_command_that_says_nothing_is_not_a_hang() {
    let place = tempfile::tempdir().unwrap();
    let mut options = options(place.path(), "sleep 3");
    options.progress = progress::Settings {
        floor: Duration::from_millis(200),
        ceiling: Duration::from_millis(500),
        ..progress::Settings::default()
    };
    let summary = run(&options);
    assert_eq!((summary.state, summary.attempts), (State::Succeeded, 1));
}

#[test]
fn only_the_directory_of_a_checkpoint_becomes_one() {
    let place = tempfile::tempdir().unwrap();
    let script = r#"
        step 1 2; mkdir -p "$MAINSTAY_CKPT_DIR/mine"; echo x > "$MAINSTAY_CKPT_DIR/mine/x"
        for d in .mainstay mine; do tell "{\"type\":\"ckpt_ready\",\"step\":1,\"tmp\":\"$MAINSTAY_CKPT_DIR/$d\"}"; done
        step 2 2; tell '{"type":"done","step":2}'"#;
    let summary = run(&options(place.path(), script));
    assert_eq!(summary.state, State::Succeeded);
    assert!(place.path().join("mine/x").exists() && place.path().join(".mainstay").is_dir());
}

#[test]
fn garbage_is_counted_and_the_run_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let script = r#"step 5; step 4; echo 'mstp/1 nonsense'; tell '{"type":"progress","step":-1}'; tell '{"type":"later"}'
        step 10; tell '{"type":"done","step":10}'"#;
    let summary = run(&options(place.path(), script));
    assert_eq!(summary.state, State::Succeeded);
    assert_eq!(
        summary.ignored.iter().map(|(why, n)| (why.as_str(), *n)).collect::<Vec<_>>(),
        [("bad_field", 1), ("not_json", 1), ("out_of_order", 1)]
    );
}

#[test]
fn two_supervisors_on_one_directory_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let _first = mainstay_trainer::place::Place::open(place.path()).unwrap();
    let second = mainstay_trainer::run(&options(place.path(), "true"), &mut |_| {});
    let by = std::process::id().to_string();
    assert!(matches!(&second, Err(Error::Locked { by: said, .. }) if *said == by), "{second:?}");
}

#[test]
fn code_0_before_the_last_step_is_no_success_and_time_is_over_all_attempts() {
    let place = tempfile::tempdir().unwrap();
    let summary = run(&options(place.path(), "step 5"));
    assert!(summary.reason.unwrap().starts_with("incomplete"));
    let place = tempfile::tempdir().unwrap();
    let mut options = options(place.path(), "step 1; sleep 30");
    options.timeout = Some(Duration::from_millis(500));
    assert_eq!(run(&options).state, State::TimedOut);
}

//! Commits, gates and layouts of libraries, through runs of small shell scripts.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use mainstay_core::time::Time;
use mainstay_core::training::State;
use mainstay_core::training::gate::Gate;
use mainstay_core::training::{policy, progress};
use mainstay_trainer::checkpoint::{self, Manifest};
use mainstay_trainer::{Guards, Options, Summary};
use serde_json::Value;

#[expect(clippy::disallowed_methods, reason = "the binary's part, in a test")]
fn now() -> Time {
    static START: OnceLock<Instant> = OnceLock::new();
    Time::from_secs(1_000_000) + START.get_or_init(Instant::now).elapsed()
}

const HELPERS: &str = r#"
tell() { echo "mstp/1 $1"; }
save() {
  d="$MAINSTAY_CKPT_DIR/.tmp-$MAINSTAY_ATTEMPT-$1"; mkdir -p "$d"; echo "weights of $1 ${2:-}" > "$d/weights"
  tell "{\"type\":\"ckpt_ready\",\"step\":$1,\"tmp\":\"$d\",\"metrics\":{\"accuracy\":0.9}}"
}
step() { tell "{\"type\":\"progress\",\"step\":$1,\"total\":${2:-10}}"; }
saved() { while [ ! -e "$MAINSTAY_CKPT_DIR/$(printf 'step-%010d-a%d' "$1" "$MAINSTAY_ATTEMPT")/STATE.json" ]; do sleep 0.01; done; }
"#;

fn options(directory: &Path, script: &str, gates: &[&str]) -> Options {
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
        gates: gates.iter().map(|gate| Gate::parse(gate).expect("works")).collect(),
        rollback: false,
        guards: Guards::default(),
        now,
    }
}

fn run(options: &Options) -> (Summary, String) {
    let mut said = String::new();
    let summary = loop {
        match mainstay_trainer::run(options, &mut |line| said.extend([line, "\n"])) {
            // A process that another test is about to start has all open files until it becomes its program: the lock of a
            // run that ended too.
            Err(mainstay_trainer::Error::Locked { .. }) => std::thread::yield_now(),
            ended => break ended.expect("works"),
        }
    };
    (summary, said)
}

fn journal(directory: &Path) -> Vec<Value> {
    let text = fs::read_to_string(directory.join("journal.jsonl")).expect("works");
    text.lines().map(|line| serde_json::from_str(line).expect("works")).collect()
}

fn manifest(step: u64) -> Manifest {
    let text = format!(r#"{{"v":1,"run":"r","attempt":1,"step":{step},"files":[]}}"#);
    serde_json::from_str(&text).expect("works")
}

/// A directory with a checkpoint's files that are not committed yet.
fn written(root: &Path, step: u64, weights: &str) -> std::path::PathBuf {
    let temporary = root.join(format!(".tmp-1-{step}"));
    fs::create_dir_all(temporary.join("deep/deeper")).expect("works");
    fs::write(temporary.join("deep/deeper/weights"), weights).expect("works");
    temporary
}

#[test]
fn what_is_committed_is_read_from_the_disk_and_a_link_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().canonicalize().unwrap();
    let made = checkpoint::commit(&root, &written(&root, 5, "five"), manifest(5)).unwrap();
    assert_eq!((made.id.as_str(), made.bytes), ("step-0000000005-a1", 4));
    let before = checkpoint::digest_of(&root.join(&made.id)).unwrap();
    fs::write(root.join(&made.id).join("deep/deeper/weights"), "fivE").unwrap();
    assert!(checkpoint::verify(&root.join(&made.id)).is_err(), "as long as before, and not the same");
    fs::remove_file(root.join(&made.id).join("deep/deeper/weights")).unwrap();
    fs::write(root.join("elsewhere"), "five").unwrap();
    symlink(root.join("elsewhere"), root.join(&made.id).join("deep/deeper/weights")).unwrap();
    assert!(checkpoint::verify(&root.join(&made.id)).is_err(), "a link is not the file");

    let temporary = written(&root, 6, "six");
    symlink("/etc/hostname", temporary.join("deep/link")).unwrap();
    let error = checkpoint::commit(&root, &temporary, manifest(6)).unwrap_err();
    assert!(error.to_string().contains("deep/link is a link"), "{error}");
    fs::remove_file(temporary.join("deep/link")).unwrap();
    let six = checkpoint::commit(&root, &temporary, manifest(6)).unwrap();
    assert_ne!(checkpoint::digest_of(&root.join(six.id)).unwrap(), before);
}

#[test]
fn the_same_step_again_takes_the_place_of_the_one_before() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().canonicalize().unwrap();
    let with_parent = |parent: &str| Manifest { parent: Some(parent.to_owned()), ..manifest(5) };
    let first = checkpoint::commit(&root, &written(&root, 5, "once"), with_parent("step-0000000004-a1")).unwrap();
    let second = checkpoint::commit(&root, &written(&root, 5, "again"), with_parent(&first.id)).unwrap();
    assert_eq!(second.parent.as_deref(), Some("step-0000000004-a1"), "not its own parent");
    assert_eq!(fs::read_to_string(root.join(&second.id).join("deep/deeper/weights")).unwrap(), "again");
    assert_eq!(fs::read_dir(&root).unwrap().count(), 1, "nothing is left of the one before");
    // A crash between the two moves of a file system that cannot swap.
    fs::rename(root.join(&second.id), root.join(format!("replaced-{}", second.id))).unwrap();
    let (all, broken) = checkpoint::scan(&root).unwrap();
    assert_eq!((all.len(), broken.len()), (1, 0));
    assert!(checkpoint::verify(&root.join(&second.id)).is_ok());
}

#[test]
fn a_pointer_that_a_crash_left_behind_does_not_lose_the_newest() {
    let place = tempfile::tempdir().unwrap();
    let script = r#"for s in 1 2 3; do step $s 3; save $s; saved $s; done; tell '{"type":"done","step":3}'"#;
    run(&options(place.path(), script, &[]));
    fs::write(place.path().join("latest"), "step-0000000002-a1").unwrap();
    let (summary, _) = run(&options(place.path(), r#"[ "$MAINSTAY_RESUME_STEP" = 3 ] || exit 2"#, &[]));
    assert_eq!(summary.state, State::Succeeded);
}

#[test]
fn a_gate_that_takes_too_long_ends_with_all_that_it_started_and_hangs_nobody() {
    let place = tempfile::tempdir().unwrap();
    let beat = place.path().join("beat");
    let gate = format!("cmd:setsid sh -c 'while :; do echo x >> {}; sleep 0.02; done' & sleep 60", beat.display());
    let script = r#"step 1 2; save 1; saved 1; for s in $(seq 40); do step 2 2; sleep 0.01; done; tell '{"type":"done","step":2}'"#;
    let mut options = options(place.path(), script, &[&gate]);
    options.guards.gate_timeout = Duration::from_millis(300);
    options.validate_every = 1;
    let (summary, said) = run(&options);
    assert_eq!(summary.state, State::ValidationFailed);
    assert!(said.contains("did not end within"), "{said}");
    let size = fs::metadata(&beat).unwrap().len();
    let left = fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
        fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default().contains(&*beat.to_string_lossy())
    });
    assert_eq!(left.count(), 0);
    assert_eq!(fs::metadata(&beat).unwrap().len(), size, "nobody writes");
}

#[test]
fn while_gates_are_asked_the_script_is_heard() {
    let place = tempfile::tempdir().unwrap();
    let script = r#"
        [ "$MAINSTAY_ATTEMPT" = 2 ] && { touch "$MAINSTAY_CKPT_DIR/second"; tell '{"type":"done","step":2}'; exit 0; }
        step 1 2; save 1; saved 1; step 2 2; tell '{"type":"metric","step":2,"loss":"nan"}'; sleep 60"#;
    // The gate passes only once the second attempt runs.
    let second = place.path().join("second");
    let gate = format!("cmd:until [ -e {} ]; do sleep 0.02; done", second.display());
    let mut options = options(place.path(), script, &[&gate]);
    options.validate_every = 1;
    options.guards.gate_timeout = Duration::from_secs(20);
    let (summary, said) = run(&options);
    assert_eq!((summary.state, summary.attempts), (State::Succeeded, 2), "{said}");
}

#[test]
fn gates_see_the_very_checkpoint_and_short_runs_are_gated_too() {
    let place = tempfile::tempdir().unwrap();
    let script = r#"step 1 1; save 1; tell '{"type":"done","step":1}'"#;
    let (summary, _) =
        run(&options(place.path(), script, &["cmd:grep -q 'weights of 1' $MAINSTAY_CHECKPOINT/weights"]));
    assert_eq!(summary.state, State::Succeeded);
    let gate = journal(place.path()).into_iter().find(|line| line["what"] == "gate").unwrap();
    let digest = checkpoint::digest_of(&place.path().join("step-0000000001-a1")).unwrap();
    assert_eq!(gate["manifest"], digest.as_str());
    // A gate that changes what it is asked about: what is handed on would not be what was asked about.
    let (summary, _) = run(&options(
        place.path(),
        r#"step 2 2; save 2; tell '{"type":"done","step":2}'"#,
        &["cmd:echo >> $MAINSTAY_CHECKPOINT/MANIFEST.json"],
    ));
    assert_eq!(summary.state, State::Failed);
    assert_eq!(fs::read_to_string(place.path().join("champion")).unwrap(), "step-0000000001-a1");
}

#[test]
fn numbers_of_an_evaluation_of_the_same_step_count_for_gates() {
    let place = tempfile::tempdir().unwrap();
    let script = r#"step 1 1; tell '{"type":"eval","step":1,"n":5000,"metrics":{"recall":0.8}}'
        save 1; tell '{"type":"done","step":1}'"#;
    let gates = ["metrics.recall >= 0.8 && metrics.n == 5000", "not-worse:recall within 0.01"];
    assert_eq!(run(&options(place.path(), script, &gates)).0.state, State::Succeeded);
    let worse = script
        .replace("0.8}", "0.7}")
        .replace("step 1 1", "step 2 2")
        .replace("\"step\":1", "\"step\":2")
        .replace("save 1", "save 2");
    let (summary, said) = run(&options(place.path(), &worse, &["not-worse:recall within 0.01"]));
    assert_eq!(summary.state, State::ValidationFailed, "{said}");
    assert!(said.contains("worse by less than"), "{said}");
}

#[test]
fn a_spike_goes_back_to_before_its_margin() {
    let place = tempfile::tempdir().unwrap();
    let script = r#"
        if [ "$MAINSTAY_ATTEMPT" -gt 1 ]; then echo "$MAINSTAY_RESUME_STEP" > "$MAINSTAY_CKPT_DIR/resumed"; tell '{"type":"done","step":70}'; exit 0; fi
        for s in $(seq 59); do tell "{\"type\":\"metric\",\"step\":$s,\"loss\":1.0}"; done
        for s in 50 58; do step $s 70; save $s; saved $s; done
        for s in $(seq 60 64); do tell "{\"type\":\"metric\",\"step\":$s,\"loss\":100.0}"; done; sleep 60"#;
    let (summary, said) = run(&options(place.path(), script, &[]));
    assert_eq!((summary.state, summary.attempts), (State::Succeeded, 2), "{said}");
    let resumed = fs::read_to_string(place.path().join("resumed")).unwrap();
    assert_eq!(resumed.trim(), "50", "58 is within five steps of 60");
}

#[test]
fn checkpoints_of_a_library_are_taken_over_and_gone_on_from() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("out");
    fs::create_dir(&out).unwrap();
    let script = r#"
        out="$1"; shift
        [ $# = 0 ] && at=0 || at=$(cat "$2/step")
        echo "began at $at with $*" >> "$out/log"
        while [ "$at" -lt 4 ]; do
            at=$((at+1)); d="$out/checkpoint-$at"; rm -rf "$d"; mkdir "$d"; echo $at > "$d/step"
            echo "{\"log_history\":[{\"step\":$at,\"eval_accuracy\":0.9}]}" > "$d/trainer_state.json"
            [ "$at" = 2 ] && [ "$MAINSTAY_ATTEMPT" = 1 ] && { mkdir "$out/checkpoint-3"; echo 3 > "$out/checkpoint-3/step"; kill -9 $$; }
        done; exit 0"#;
    let mut options = options(&place.path().join("run"), "", &["metrics.eval_accuracy >= 0.9"]);
    let words = ["sh", "-c", script, "sh", &out.to_string_lossy(), "--resume", "{resume}"].map(str::to_owned);
    options.command = words.to_vec();
    options.guards.adopt = Some(out.clone());
    let (summary, said) = run(&options);
    assert_eq!((summary.state, summary.attempts), (State::Succeeded, 2), "{said}");
    let log = fs::read_to_string(out.join("log")).unwrap();
    let began: Vec<&str> = log.lines().collect();
    assert_eq!(began[0], "began at 0 with ");
    // The third was cut off by the kill: what it lacks comes last.
    assert!(began[1].starts_with("began at 2 with --resume ") && began[1].ends_with("step-0000000002-a1/checkpoint-2"));
    assert_eq!(fs::read_to_string(place.path().join("run/champion")).unwrap(), "step-0000000004-a2");
    // Another run begins where the library's own directory ends.
    options.directory = place.path().join("other");
    run(&options);
    let log = fs::read_to_string(out.join("log")).unwrap();
    assert!(log.lines().last().unwrap().starts_with("began at 4 with --resume "), "{log}");
}

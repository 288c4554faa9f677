//! Nothing of a run is left at its end.

use std::fs;
use std::path::Path;

use mainstay_core::training::State;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{Supervisor, options, run, status, until};

/// Without the run's variables, in a session of its own, and its parent is dead.
const ESCAPED: &str = r#"step 1 1; DIR="$MAINSTAY_CKPT_DIR"
    ( setsid env -i sh -c 'echo $$ > "$0/escaped"; while :; do sleep 0.05; done' "$DIR" & )
    while [ ! -s "$DIR/escaped" ]; do sleep 0.01; done"#;

fn escaped_is_gone(root: &Path) {
    let pid = fs::read_to_string(root.join("escaped")).expect("it ran");
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "it lives: {stat}");
}

#[test]
fn a_process_that_hid_from_its_run_is_gone_at_the_end_of_an_attempt() {
    let place = tempfile::tempdir().unwrap();
    let script = format!("{ESCAPED}; tell '{{\"type\":\"done\",\"step\":1}}'");
    assert_eq!(run(&options(place.path(), &script)).state, State::Succeeded);
    escaped_is_gone(place.path());
}

#[test]
fn it_is_gone_as_well_where_the_attempt_crashed() {
    let place = tempfile::tempdir().unwrap();
    let script = format!("{ESCAPED}; kill -9 $$");
    let mut options = options(place.path(), &script);
    options.policy.retries = 0;
    assert_eq!(run(&options).state, State::Failed);
    escaped_is_gone(place.path());
}

#[test]
fn what_hid_and_lost_its_parent_without_a_supervisor_is_ended_by_its_control_group() {
    if crate::limits::own_group().is_none() {
        println!("no control group is delegated here");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    let script = r#"step 1 1; while [ ! -e "$MAINSTAY_CKPT_DIR/go" ]; do sleep 0.01; done
        ( setsid env -i sh -c 'echo $$ > "$0/escaped"; while :; do sleep 0.05; done' "$MAINSTAY_CKPT_DIR" & )
        while [ ! -s "$MAINSTAY_CKPT_DIR/escaped" ]; do sleep 0.01; done; tell '{"type":"done","step":1}'; : > "$MAINSTAY_CKPT_DIR/over""#;
    for _ in 0..2 {
        let supervisor = Supervisor::start(root, script, json!({ "memory": 1 << 30 }));
        until("it is supervised", || status(root)["step"] == 1);
        fs::remove_file(root.join("status.json")).unwrap();
        supervisor.kill();
    }
    fs::write(root.join("go"), "").unwrap();
    until("the script is over", || root.join("over").exists());
    let summary = Supervisor::start(root, script, json!({ "memory": 1 << 30 })).end(root);
    assert_eq!((&summary["state"], &summary["attempts"]), (&"succeeded".into(), &1.into()), "{summary}");
    escaped_is_gone(root);
}

/// As `torchrun` does: the first process only starts the one that trains, in a session of its own.
#[test]
fn a_trainer_that_outlived_its_launcher_and_its_supervisor_is_gone_before_the_next_attempt() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    let script = r#"W="$MAINSTAY_CKPT_DIR/writer"
        if [ -s "$W" ]; then grep -q ') [^ZX]' "/proc/$(cat "$W")/stat" 2>/dev/null && exit 2; tell '{"type":"done","step":1}'; exit 0; fi
        step 1 1; setsid sh -c 'echo $$ > "$0"; while :; do echo x >> "$0.log"; sleep 0.02; done' "$W" & wait"#;
    let supervisor = Supervisor::start(root, script, json!({}));
    until("it trains", || root.join("writer.log").exists() && status(root)["step"] == 1);
    let record: Value = serde_json::from_slice(&fs::read(root.join(".mainstay/run.json")).unwrap()).unwrap();
    supervisor.kill();
    let launcher = record["worker"]["pid"].as_i64().and_then(|pid| Pid::from_raw(pid as i32)).unwrap();
    kill_process(launcher, Signal::KILL).unwrap();
    let summary = Supervisor::start(root, script, json!({})).end(root);
    assert_eq!((&summary["state"], &summary["attempts"]), (&"succeeded".into(), &2.into()), "{summary}");
}

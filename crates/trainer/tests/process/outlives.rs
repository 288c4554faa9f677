//! Supervisors that are killed, and what the next one makes of it.

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Supervisor, count, status, until};

fn has_heard_step_1(root: &Path) -> bool {
    status(root)["step"] == 1
}

#[test]
fn budgets_seed_and_the_ledger_survive_a_supervisor_that_is_killed() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    let script = r#"echo "$MAINSTAY_SEED" >> "$MAINSTAY_CKPT_DIR/seeds"; step 1; exit 1"#;
    for failures in 1..=3 {
        let supervisor = Supervisor::start(root, script, json!({ "backoff": 3600 }));
        until("an attempt failed", || count(root, "attempt_failed") == failures);
        supervisor.kill();
    }
    let summary = Supervisor::start(root, script, json!({ "backoff": 3600 })).end(root);
    assert_eq!((&summary["state"], &summary["attempts"]), (&"failed".into(), &4.into()), "{summary}");
    assert!(summary["reason"].as_str().unwrap().contains("4 attempts failed"), "{summary}");
    let seconds = summary["seconds"].as_object().unwrap();
    let sum: f64 = seconds.values().map(|spent| spent.as_f64().unwrap()).sum();
    assert!((sum - summary["wall_s"].as_f64().unwrap()).abs() < 1e-6, "{summary}");
    assert!(seconds["away"].as_f64().unwrap() > 0.0, "{summary}");
    assert_eq!(count(root, "attempt_started"), 4);
    let seeds = fs::read_to_string(root.join("seeds")).unwrap();
    assert!(seeds.lines().all(|seed| Some(seed) == seeds.lines().next()), "one seed for all attempts: {seeds}");
}

#[test]
fn what_is_left_out_is_left_out_after_a_supervisor_was_killed_too() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    let script = r#"case $MAINSTAY_ATTEMPT in
        1) step 1 2; tell '{"type":"metric","step":2,"loss":"nan"}'; sleep 3600;;
        2) while [ ! -e "$MAINSTAY_CKPT_DIR/go" ]; do sleep 0.01; done; exit 1;;
        *) grep -q '\[\[2,2\]\]' "$MAINSTAY_SKIP_FILE" || exit 2; tell '{"type":"done","step":2}';;
        esac"#;
    let supervisor = Supervisor::start(root, script, json!({}));
    until("the second attempt runs", || count(root, "attempt_started") == 2);
    supervisor.kill();
    fs::write(root.join("go"), "").unwrap();
    let summary = Supervisor::start(root, script, json!({})).end(root);
    assert_eq!((&summary["state"], &summary["attempts"]), (&"succeeded".into(), &3.into()), "{summary}");
}

/// Waits for a file, says that a checkpoint is there and that it is done, and ends: all without a supervisor.
const ALONE: &str = r#"step 1; while [ ! -e "$MAINSTAY_CKPT_DIR/go" ]; do sleep 0.01; done
    step 2 2; save 2; tell '{"type":"done","step":2}'; touch "$MAINSTAY_CKPT_DIR/over""#;

#[test]
fn what_is_said_while_nobody_supervises_is_not_lost() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    let supervisor = Supervisor::start(root, ALONE, json!({}));
    until("the first step was heard", || has_heard_step_1(root));
    supervisor.kill();
    fs::write(root.join("go"), "").unwrap();
    until("the script said all", || root.join("over").exists());
    let summary = Supervisor::start(root, ALONE, json!({})).end(root);
    assert_eq!((&summary["state"], &summary["attempts"]), (&"succeeded".into(), &1.into()), "{summary}");
    assert_eq!(summary["latest"], "step-0000000002-a1");
    assert_eq!(summary["ignored"], serde_json::json!({}), "nothing was taken twice");
    assert_eq!(count(root, "committed"), 1);
}

#[test]
fn what_is_said_again_is_committed_once_also_where_it_was_let_go_since() {
    let place = tempfile::tempdir().unwrap();
    let script = r#"for s in 1 2 3 4 5 6; do step $s 6; save $s; saved $s; done
        for s in 1 5 6; do
          tell "{\"type\":\"ckpt_ready\",\"step\":$s,\"tmp\":\"$MAINSTAY_CKPT_DIR/.tmp-$MAINSTAY_ATTEMPT-$s\"}"; done
        tell '{"type":"done","step":6}'"#;
    let summary = crate::support::run(&crate::support::options(place.path(), script));
    assert_eq!((summary.attempts, summary.checkpoints), (1, 6));
    assert_eq!(count(place.path(), "commit_failed"), 0);
}

#[test]
fn a_supervisor_that_is_killed_leaves_no_second_writer() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    let script = r#"step 1 1; echo $$ >> "$MAINSTAY_CKPT_DIR/writers"
        while [ ! -e "$MAINSTAY_CKPT_DIR/go" ]; do sleep 0.01; done; tell '{"type":"done","step":1}'"#;
    for _ in 0..3 {
        let supervisor = Supervisor::start(root, script, json!({}));
        until("it is supervised", || has_heard_step_1(root));
        fs::remove_file(root.join("status.json")).unwrap();
        supervisor.kill();
    }
    let last = Supervisor::start(root, script, json!({}));
    fs::write(root.join("go"), "").unwrap();
    assert_eq!(last.end(root)["attempts"], 1);
    assert_eq!(fs::read_to_string(root.join("writers")).unwrap().lines().count(), 1);
}

#[test]
fn a_second_supervisor_is_refused_and_told_who_holds_the_directory() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    let script =
        r#"step 1 1; while [ ! -e "$MAINSTAY_CKPT_DIR/go" ]; do sleep 0.01; done; tell '{"type":"done","step":1}'"#;
    let first = Supervisor::start(root, script, json!({}));
    until("it is supervised", || has_heard_step_1(root));
    let second = mainstay_trainer::run(&crate::support::options(root, "exit 0"), &mut |_| {});
    let error = second.unwrap_err().to_string();
    assert!(error.ends_with(&format!("is supervised already, by process {}", first.pid())), "{error}");
    fs::write(root.join("go"), "").unwrap();
    assert_eq!(first.end(root)["attempts"], 1);
}

#[test]
fn a_crash_loop_without_progress_stops_whatever_is_left_of_the_budgets() {
    let place = tempfile::tempdir().unwrap();
    let mut options = crate::support::options(place.path(), "step 1; exit 1");
    (options.policy.retries, options.policy.without_progress) = (100, 5);
    let summary = crate::support::run(&options);
    assert_eq!(summary.attempts, 5);
    assert!(summary.reason.unwrap().contains("no_progress"));
}

#[test]
fn a_request_to_end_during_a_pause_starts_no_further_attempt() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    let script = "step 1; exit 1";
    let supervisor = Supervisor::start(root, script, json!({ "backoff": 3600 }));
    until("it waits", || status(root)["state"] == "waiting");
    supervisor.signal(Signal::TERM);
    let summary = supervisor.end(root);
    assert_eq!((&summary["state"], &summary["attempts"]), (&"preempted".into(), &1.into()), "{summary}");
    assert_eq!(count(root, "attempt_started"), 1);
}

#[test]
fn time_is_up_over_all_attempts_and_time_away_does_not_count() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    let script = "step 1; sleep 3600";
    let summary = Supervisor::start(root, script, json!({ "timeout": 0.5 })).end(root);
    assert_eq!((&summary["state"], &summary["attempts"]), (&"timed_out".into(), &1.into()), "{summary}");
    let summary = Supervisor::start(root, script, json!({ "timeout": 0.5 })).end(root);
    assert_eq!((&summary["state"], &summary["attempts"]), (&"timed_out".into(), &1.into()), "no further attempt");
    let longer = Supervisor::start(root, script, json!({ "timeout": 3600 }));
    until("more time is another attempt", || count(root, "attempt_started") == 2);
    longer.signal(Signal::TERM);
    assert_eq!(longer.end(root)["state"], "preempted");
}

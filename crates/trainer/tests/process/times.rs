//! Time: of an attempt, of a phase, of the clock; and how often to save.

use std::fs;
use std::time::Duration;

use mainstay_core::training::State;
use mainstay_core::training::interval::Interval;
use mainstay_trainer::{Guards, Options};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Supervisor, now, options, run, socket_options, status, told, until};

fn short_attempts() -> Guards {
    Guards { attempt_timeout: Some(Duration::from_millis(700)), ..Guards::default() }
}

#[test]
fn an_attempt_whose_time_is_up_is_followed_by_another_from_its_checkpoint() {
    let place = tempfile::tempdir().unwrap();
    let script =
        r#"at=$((at+1)); step $at 3; save $at; saved $at; [ $at = 3 ] || sleep 3600; tell '{"type":"done","step":3}'"#;
    let summary = run(&Options { guards: short_attempts(), ..options(place.path(), script) });
    assert_eq!((summary.state, summary.attempts), (State::Succeeded, 3));
    assert_eq!(summary.mtbf_s, None, "time that is up is no failure");
}

#[test]
fn attempts_that_never_get_further_in_time_end_the_run_so_that_it_can_go_on() {
    let place = tempfile::tempdir().unwrap();
    let script = r#"step 1 2; [ -e "$MAINSTAY_CKPT_DIR/go" ] || sleep 3600; tell '{"type":"done","step":2}'"#;
    let mut options = Options { guards: short_attempts(), ..options(place.path(), script) };
    options.policy.retries = 1;
    let summary = run(&options);
    assert_eq!((summary.state, summary.attempts), (State::TimedOut, 2));
    fs::write(place.path().join("go"), "").unwrap();
    let again = run(&options);
    assert_eq!((again.state, again.attempts, again.run), (State::Succeeded, 3, summary.run));
}

#[test]
fn a_phase_that_takes_longer_than_its_budget_is_ended() {
    let place = tempfile::tempdir().unwrap();
    let script = r#"step 1; tell '{"type":"phase","name":"eval","budget_s":0.3}'; sleep 3600"#;
    let mut options = options(place.path(), script);
    options.policy.retries = 0;
    let summary = run(&options);
    assert_eq!((summary.state, summary.attempts), (State::TimedOut, 1));
    let journal = fs::read_to_string(place.path().join("journal.jsonl")).unwrap();
    assert!(journal.contains(r#""phase":"eval""#), "{journal}");
}

#[test]
fn a_deadline_leaves_room_for_the_grace_and_is_told() {
    let place = tempfile::tempdir().unwrap();
    let script = r#"step 1; echo "$MAINSTAY_DEADLINE_UNIX $MAINSTAY_GRACE_S" > "$MAINSTAY_CKPT_DIR/said"; sleep 3600"#;
    let deadline = now() + Duration::from_secs(3);
    let guards = Guards { deadline: Some(deadline), ..Guards::default() };
    let options = Options { guards, now, ..options(place.path(), script) };
    let summary = run(&options);
    assert_eq!((summary.state, summary.attempts), (State::TimedOut, 1));
    assert_eq!(summary.enforced_by["wall"], "supervisor");
    let said = fs::read_to_string(place.path().join("said")).unwrap();
    let numbers: Vec<f64> = said.split_whitespace().map(|number| number.parse().unwrap()).collect();
    assert!((numbers[0] - (deadline - options.grace).as_secs_f64()).abs() < 1e-3, "{said}");
    assert_eq!(numbers[1], 2.0);
    assert_eq!(run(&options).attempts, 1, "after the deadline nothing is started");
}

#[test]
fn a_script_is_asked_to_save_before_its_time_is_up_and_hears_that_it_did() {
    let place = tempfile::tempdir().unwrap();
    let says = [json!({ "type": "hello", "v": 1, "pid": 1, "attempt": 1 }), json!({ "type": "progress", "step": 7 })];
    let timeout = Some(Duration::from_secs(2));
    let summary = run(&Options { timeout, ..socket_options(place.path(), &says) });
    assert_eq!((summary.state, summary.latest.as_deref()), (State::TimedOut, Some("step-0000000007-a1")));
    let told = told(place.path());
    let types: Vec<&str> = told.iter().filter_map(|message| message["type"].as_str()).collect();
    assert_eq!(types, ["welcome", "save_now", "ckpt_committed", "save_now", "stop"], "{told:?}");
    assert!(told[1]["deadline"].is_f64() && told[1]["reason"] == "timed_out", "{told:?}");
}

fn saves(blocking_s: f64) -> Vec<Value> {
    vec![
        json!({ "type": "hello", "v": 1, "pid": 1, "attempt": 1, "until_set": true }),
        json!({ "type": "progress", "step": 7, "total": 7 }),
        json!({ "type": "ckpt_ready", "step": 7, "tmp": "$TMP", "blocking_s": blocking_s }),
        json!({ "type": "done", "step": 7 }),
    ]
}

#[test]
fn what_saves_cost_decides_how_often_to_save() {
    let place = tempfile::tempdir().unwrap();
    let guards = Guards { interval: Interval::Auto, ..Guards::default() };
    let summary = run(&Options { guards, ..socket_options(place.path(), &saves(1.0)) });
    assert_eq!(summary.state, State::Succeeded);
    let told = told(place.path());
    assert_eq!(told[0]["ckpt_interval_s"], 300.0, "nothing is measured yet");
    let set = told.iter().find(|message| message["type"] == "set").unwrap();
    let every = set["ckpt_interval_s"].as_f64().unwrap();
    assert!((415.0..416.0).contains(&every), "Daly for a second and a day: {every}");
    assert_eq!(summary.checkpoint_interval_s, Some(every));
}

#[test]
fn a_save_that_would_not_fit_into_the_grace_is_said_before_it_matters() {
    let place = tempfile::tempdir().unwrap();
    let guards = Guards { interval: Interval::Auto, ..Guards::default() };
    let summary = run(&Options { guards, ..socket_options(place.path(), &saves(99.0)) });
    assert_eq!(summary.state, State::Succeeded);
    assert!(summary.warnings.iter().any(|warning| warning.contains("--grace")), "{summary:?}");
}

#[test]
fn an_interval_that_somebody_decided_is_told() {
    let place = tempfile::tempdir().unwrap();
    let script = r#"[ "$MAINSTAY_CKPT_INTERVAL_S" = 7 ] || exit 2"#;
    let guards = Guards { interval: Interval::Fixed(Duration::from_secs(7)), ..Guards::default() };
    assert_eq!(run(&Options { guards, ..options(place.path(), script) }).state, State::Succeeded);
}

#[test]
fn a_second_request_to_end_does_not_wait_for_the_script() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    let script = "trap 'step 2' TERM; step 1; while :; do sleep 0.05; done";
    let supervisor = Supervisor::start(root, script, json!({ "grace": 3600 }));
    until("it runs", || status(root)["step"] == 1);
    supervisor.signal(Signal::TERM);
    until("the script was asked and stays", || status(root)["step"] == 2 && status(root)["state"] == "stopping");
    supervisor.signal(Signal::INT);
    let summary = supervisor.end(root);
    assert_eq!((&summary["state"], &summary["attempts"]), (&"preempted".into(), &1.into()), "{summary}");
}

//! Ranks, and who may speak at all.

use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use mainstay_core::training::{State, progress};
use serde_json::json;

use crate::support::{Supervisor, options, run, socket_options, until};

#[test]
fn a_rank_that_is_connected_and_silent_is_a_hang_though_the_first_one_moves() {
    let place = tempfile::tempdir().unwrap();
    let hello = json!({ "type": "hello", "v": 1, "pid": 1, "rank": 3, "world": 4, "attempt": 1, "mute": true });
    let quick = Duration::from_millis(500);
    let speaks = socket_options(place.path(), &[hello]);
    let mute = speaks.command.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let script = format!("{mute} & at=0; while :; do at=$((at+1)); step $at 100000; sleep 0.02; done");
    let mut options = options(place.path(), &script);
    options.progress = progress::Settings { floor: quick, ceiling: quick, ..options.progress };
    options.policy.retries = 0;
    let summary = run(&options);
    assert!(summary.reason.unwrap().starts_with("hang"));
    assert_eq!(summary.world, Some(4));
    let journal = fs::read_to_string(place.path().join("journal.jsonl")).unwrap();
    assert!(journal.contains(r#""of":"rank 3""#), "{journal}");
}

#[test]
fn what_other_ranks_say_moves_no_step_and_ends_nothing() {
    let place = tempfile::tempdir().unwrap();
    let script = r#"step 1 2
        for line in '{"type":"progress","step":900}' '{"type":"done","step":2}' '{"type":"metric","step":1,"loss":"nan"}'; do
          echo "$line" >> "$MAINSTAY_EVENTS_DIR/5-77.jsonl"; done
        sleep 0.3; step 2 2; tell '{"type":"done","step":2}'"#;
    let summary = run(&options(place.path(), script));
    assert_eq!((summary.state, summary.step, summary.attempts), (State::Succeeded, Some(2), 1));
}

#[test]
fn a_process_of_somebody_else_is_not_heard() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    let script =
        r#"step 1 9; while [ ! -e "$MAINSTAY_CKPT_DIR/go" ]; do sleep 0.01; done; tell '{"type":"done","step":9}'"#;
    let supervisor = Supervisor::start(root, script, json!({}));
    let mut stranger = None;
    until("the socket is there", || {
        stranger = UnixStream::connect(root.join(".mainstay/socket")).ok();
        stranger.is_some()
    });
    // This test started the supervisor and is no process of its run.
    let _ = stranger.unwrap().write_all(b"{\"type\":\"progress\",\"step\":8}\n{\"type\":\"done\",\"step\":9}\n");
    until("it is counted", || crate::support::status(root)["ignored"]["wrong_process"] == 1);
    assert_eq!(crate::support::status(root)["step"], 1);
    fs::write(root.join("go"), "").unwrap();
    assert_eq!(supervisor.end(root)["state"], "succeeded");
}

#[test]
fn twenty_attempts_leave_no_thread_and_no_file_open() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    let hello = json!({ "type": "hello", "v": 1, "pid": 1, "until_welcome": true });
    fs::write(root.join("says.jsonl"), format!("{hello}\n")).unwrap();
    let script = r#"for n in 1 2 3; do "$SCRIPT" --exact support::script --nocapture > /dev/null; done; step 1
        case $MAINSTAY_ATTEMPT in
        2|22) touch "$MAINSTAY_CKPT_DIR/at-$MAINSTAY_ATTEMPT"; while [ ! -e "$MAINSTAY_CKPT_DIR/go-$MAINSTAY_ATTEMPT" ]; do sleep 0.01; done;;
        23) tell '{"type":"done","step":10}'; exit 0;;
        esac; exit 143"#;
    let supervisor = Supervisor::start(root, script, json!({}));
    let mut held = Vec::new();
    for attempt in [2, 22] {
        until("the attempt runs", || root.join(format!("at-{attempt}")).exists());
        // Scripts that ended are noticed a moment later: on a busy machine the first count has some of them. What is leaked stays, once
        // for each of twenty attempts.
        let mut last = supervisor.holds();
        until("it settles", || {
            let now: (usize, usize) = supervisor.holds();
            let no_more = |first: &(usize, usize)| now.0 <= first.0 && now.1 <= first.1;
            let settled = now == last && held.first().is_none_or(no_more);
            last = now;
            settled
        });
        held.push(last);
        fs::write(root.join(format!("go-{attempt}")), "").unwrap();
    }
    assert!(held[1].0 <= held[0].0 && held[1].1 <= held[0].1, "(files, threads): {held:?}");
    assert_eq!(supervisor.end(root)["attempts"], 23);
}

#[test]
fn a_line_that_is_too_long_is_counted_and_the_next_one_is_heard() {
    let place = tempfile::tempdir().unwrap();
    let script = r#"step 1 2; long() { printf '{"type":"'; head -c 70000 /dev/zero | tr '\0' x; echo '"}'; }
        long >> "$MAINSTAY_EVENTS_DIR/0-77.jsonl"; echo '{"type":"progress","step":2,"total":2}' >> "$MAINSTAY_EVENTS_DIR/0-77.jsonl"
        printf 'mstp/1 '; long; sleep 0.3; tell '{"type":"done","step":2}'"#;
    let summary = run(&options(place.path(), script));
    assert_eq!((summary.state, summary.step), (State::Succeeded, Some(2)));
    assert_eq!(summary.ignored.get("too_long"), Some(&2), "{summary:?}");
}

//! What is told of a run while it runs.

use std::fs;

use serde_json::json;

use crate::support::{Supervisor, status, until};

#[test]
fn percent_never_goes_back_and_what_was_lost_is_said() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    let script = r#"if [ $MAINSTAY_ATTEMPT = 1 ]; then step 60 100; tell '{"type":"metric","step":60,"loss":"nan"}'; sleep 60; fi
        step 5 100; while [ ! -e "$MAINSTAY_CKPT_DIR/go" ]; do sleep 0.01; done
        step 100 100; tell '{"type":"done","step":100}'"#;
    let supervisor = Supervisor::start(root, script, json!({}));
    until("it began again", || status(root)["attempts"] == 2 && status(root)["step"] == 5);
    let told = status(root);
    assert_eq!((&told["progress_percent"], &told["lost_steps"]), (&60.into(), &60.into()), "{told}");
    let measured = fs::read_to_string(root.join("metrics.prom")).unwrap();
    for line in ["# TYPE mainstay_training_step gauge", "# TYPE mainstay_training_lost_steps counter"] {
        assert!(measured.lines().any(|found| found == line), "{line}: {measured}");
    }
    let labels = format!("name=\"test\",run=\"{}\"", told["run"].as_str().unwrap());
    for (name, value) in
        [("step", "5.0"), ("progress_ratio", "0.6"), ("lost_steps_total", "60"), ("active_runs", "1.0")]
    {
        let line = format!("mainstay_training_{name}{{{labels}}} {value}");
        assert!(measured.lines().any(|found| found == line), "{line}: {measured}");
    }
    assert!(measured.ends_with("# EOF\n"));
    fs::write(root.join("go"), "").unwrap();
    let summary = supervisor.end(root);
    assert_eq!(summary["progress_percent"], 100, "{summary}");
    let measured = fs::read_to_string(root.join("metrics.prom")).unwrap();
    assert!(measured.contains("mainstay_training_last_success_timestamp_seconds{"), "{measured}");
}

#[test]
fn what_is_left_is_guessed_from_the_pace() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    let script = r#"at=0; while [ ! -e "$MAINSTAY_CKPT_DIR/go" ]; do at=$((at+1)); step $at 1000000; sleep 0.05; done
        tell '{"type":"done","step":1000000}'"#;
    let supervisor = Supervisor::start(root, script, json!({}));
    until("there is a guess", || status(root)["estimated_remaining_seconds"].is_u64());
    let told = status(root);
    let (rate, left) =
        (told["steps_per_second"].as_f64().unwrap(), told["estimated_remaining_seconds"].as_f64().unwrap());
    assert!(rate > 0.0 && left * rate > 900_000.0, "restarts make it longer than the pace alone: {told}");
    fs::write(root.join("go"), "").unwrap();
    assert_eq!(supervisor.end(root)["state"], "succeeded");
}

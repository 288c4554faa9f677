//! From the start to the verdict, with real traffic.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::bed::{Bed, experiment, until};

/// The phases of a run's journal, in order.
pub(crate) fn phases(run: &Value) -> Vec<String> {
    let lines = run["journal"].as_array().unwrap().iter().filter(|line| line["what"] == "phase");
    lines.map(|line| line["text"].as_str().unwrap().split(',').next().unwrap().to_owned()).collect()
}

#[test]
fn an_experiment_runs_to_its_verdict() {
    let bed = Bed::new("run", "demo", "slos: [{ availability: { name: availability, target: 99% } }]\n");
    let traffic = bed.traffic();
    // Nothing begins before it is known how much of the budget is left.
    until("requests to be counted", || {
        let slos = bed.get("/api/v1/slos");
        (slos["slos"][0]["good"].as_u64().unwrap() > 100).then_some(())
    });
    let asked = experiment("late", json!({ "duration": "8s" }));
    let would = || bed.admin("POST", "/api/v1/experiments", &json!({ "experiment": asked, "dry_run": true }));
    let (status, dry) = until("the traffic to be known", || Some(would()).filter(|it| it.1["detectable"].is_f64()));
    assert_eq!((status, &dry["refusals"], &dry["run"]), (200, &json!([]), &Value::Null), "{dry:#}");
    assert!(dry["detectable"].as_f64().unwrap() < 0.5, "{dry:#}");
    assert_eq!(bed.get("/api/v1/experiments")["runs"], json!([]), "a question starts nothing");
    let id = bed.start(&json!({ "experiment": asked }));
    assert!(id.starts_with("EXP-") && id.ends_with("-0001"), "{id}");
    bed.phase(&id, "injecting");
    let running = bed.get("/api/v1/status");
    assert_eq!(running["experiments"][0]["id"], id.as_str(), "{running:#}");
    let (_, page) = bed.admin("GET", "/metrics", &Value::Null);
    assert_eq!(page, Value::Null, "a page of metrics is no JSON");
    bed.meets();
    let run = bed.phase(&id, "ended");
    assert_eq!(phases(&run), ["lead_in", "injecting", "recovering"], "{:#}", run["journal"]);
    let what: Vec<&str> = run["journal"].as_array().unwrap().iter().map(|it| it["what"].as_str().unwrap()).collect();
    for needed in ["inject", "withdraw", "quiet", "end"] {
        assert!(what.contains(&needed), "no {needed}: {what:?}");
    }
    assert_eq!(run["stopped"], Value::Null, "{:#}", run["stopped"]);
    assert_eq!(run["plan"], dry["plan"]);
    let assessment = &run["assessment"];
    let verdict = assessment["verdict"].as_str().unwrap();
    // Late answers within the margin: worse than the control, or too few to tell.
    assert!(["tolerated", "degraded", "inconclusive"].contains(&verdict), "{assessment:#}");
    let counted = |key: &str| {
        let slices = run["slices"].as_array().unwrap().iter();
        slices.filter(|it| it["phase"] == "injecting").map(|it| it[key][1].as_u64().unwrap_or(0)).sum::<u64>()
    };
    let injected: u64 = run["slices"].as_array().unwrap().iter().map(|it| it["injected"].as_u64().unwrap()).sum();
    assert!(injected > 20 && injected <= counted("requests"), "{injected} of {}", counted("requests"));
    assert_eq!(assessment["dose"]["injected"], injected, "{assessment:#}");
    bed.spared();
    assert!(traffic.sent.load(Ordering::Relaxed) > 200);
    // What was told is in the log, and in the list.
    let events = bed.get("/api/v1/events?limit=1000");
    let told: Vec<String> = events["events"].as_array().unwrap().iter().map(|it| it["event"].to_string()).collect();
    let of = |word: &str| told.iter().filter(|it| it.contains(word) && it.contains(&id)).count();
    assert_eq!((of("experiment.ended"), of("\"injecting\"")), (1, 1), "{told:#?}");
    let runs = bed.get(&format!("/api/v1/experiments?verdict={verdict}&route=score&experiment=late"));
    assert_eq!(runs["runs"][0]["id"], id.as_str(), "{runs:#}");
    assert_eq!(bed.get("/api/v1/experiments?status=running")["runs"], json!([]));
    // The next one has the next number.
    let next = bed.start(&json!({ "experiment": asked }));
    assert!(next.ends_with("-0002"), "{next}");
    let (status, stopped) =
        bed.admin("POST", &format!("/api/v1/experiments/{next}/stop"), &json!({ "reason": "seen enough" }));
    assert_eq!(status, 200, "{stopped:#}");
    assert_eq!(stopped["run"]["stopped"]["reason"], "asked");
    let over = bed.phase(&next, "ended");
    assert_eq!(over["assessment"]["verdict"], "aborted", "{:#}", over["assessment"]);
    for path in ["stop", "hold"] {
        let (status, answer) = bed.admin("POST", &format!("/api/v1/experiments/{next}/{path}"), &json!({}));
        assert_eq!(status, 409, "{path}: {answer:#}");
    }
}

#[test]
fn a_service_that_does_not_become_well_again_is_an_incident() {
    let bed = Bed::new("unwell", "demo", "");
    let _traffic = bed.traffic();
    // All would have to be well for half of the recovery: longer than the breaker and two windows of the ladder take to find out.
    let id = bed.start(&json!({ "experiment": experiment("late", json!({ "recovery": "12s" })) }));
    bed.phase(&id, "injecting");
    bed.meets();
    // Something else breaks at the moment at which the fault goes.
    bed.fails.store(true, Ordering::Relaxed);
    bed.admin("POST", &format!("/api/v1/experiments/{id}/stop"), &json!({ "reason": "seen enough" }));
    let run = bed.phase(&id, "ended");
    assert_eq!(run["assessment"]["verdict"], "not_recovered", "{:#}", run["assessment"]);
    assert_eq!(run["recovered"], Value::Null);
    let of_run = |incident: &Value| incident.to_string().contains(&id);
    until("the incident", || {
        let all = bed.get("/api/v1/incidents?limit=100");
        all["incidents"]
            .as_array()
            .unwrap()
            .iter()
            .any(|it| {
                let id = it["id"].as_str().unwrap();
                it["type"] == "not_recovered" || of_run(&bed.get(&format!("/api/v1/incidents/{id}")))
            })
            .then_some(())
    });
}

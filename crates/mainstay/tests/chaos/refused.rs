//! What is wrong is refused with the reason, and starts nothing.

use serde_json::{Value, json};

use crate::bed::{Bed, experiment};

/// The codes of a refusal, which must be one.
fn codes(bed: &Bed, asked: &Value) -> Vec<String> {
    let (status, answer) = bed.admin("POST", "/api/v1/experiments", asked);
    assert_eq!(status, 422, "{asked}: {answer:#}");
    let refusals = answer["refusals"].as_array().unwrap_or_else(|| panic!("{answer:#}"));
    for it in refusals {
        assert!(it["text"].as_str().is_some_and(|text| text.len() > 10), "{it}");
    }
    refusals.iter().map(|it| it["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_points_nowhere_or_goes_too_far_is_refused() {
    let bed = Bed::new("refused", "demo", "");
    for (change, code) in [
        (json!({ "target": "nobody" }), "astray"),
        (json!({ "route": "nowhere" }), "astray"),
        (json!({ "target": "model", "fault": { "feature_latency": { "fixed": "1s" } } }), "astray"),
        (json!({ "blast": "limited" }), "caps"),
        (json!({ "blast": "moderate" }), "caps"),
        (json!({ "dose": "0%" }), "definition"),
        (json!({ "name": "a b" }), "definition"),
        (json!({ "fault": { "malformed_answer": { "how": "broken" } } }), "definition"),
    ] {
        let asked = json!({ "experiment": experiment("wrong", change) });
        let codes = codes(&bed, &asked);
        assert!(codes.iter().any(|it| it == code), "{asked}: {codes:?}");
        let dry = json!({ "experiment": asked["experiment"], "dry_run": true });
        let (status, answer) = bed.admin("POST", "/api/v1/experiments", &dry);
        let told: Vec<&str> =
            answer["refusals"].as_array().unwrap().iter().map(|it| it["code"].as_str().unwrap()).collect();
        assert_eq!((status, told), (200, codes.iter().map(String::as_str).collect()), "a dry run says the same");
    }
    let wrong_hold = json!({ "experiment": experiment("late", json!({})), "hold_s": 0 });
    assert_eq!(codes(&bed, &wrong_hold), ["definition"]);
    for (body, expected) in [
        (json!({}), 422),
        (json!({ "name": "no-such" }), 404),
        (json!({ "name": "x", "experiment": experiment("x", json!({})) }), 422),
        (json!({ "experiment": { "name": "x" } }), 422),
        (json!({ "experiment": experiment("x", json!({ "surprise": 1 })) }), 422),
        (json!({ "experiment": experiment("x", json!({ "duration": "5 minutes" })) }), 422),
        (json!([]), 422),
    ] {
        let (status, answer) = bed.admin("POST", "/api/v1/experiments", &body);
        assert_eq!(status, expected, "{body}: {answer:#}");
    }
    for path in ["", "/stop", "/hold"] {
        let method = if path.is_empty() { "GET" } else { "POST" };
        let (status, answer) = bed.admin(method, &format!("/api/v1/experiments/EXP-2026-9999{path}"), &json!({}));
        assert_eq!(status, 404, "{path}: {answer:#}");
    }
    assert_eq!(bed.get("/api/v1/experiments")["runs"], json!([]), "nothing of it was started");
}

#[test]
fn one_runs_at_a_time() {
    let bed = Bed::new("busy", "demo", "");
    let _traffic = bed.traffic();
    let id = bed.start(&json!({ "experiment": experiment("late", json!({})) }));
    for route in ["score", "other"] {
        let asked = json!({ "experiment": experiment("second", json!({ "route": route })) });
        assert!(codes(&bed, &asked).contains(&"busy".to_owned()), "{route}");
    }
    let (status, _) = bed.admin("POST", &format!("/api/v1/experiments/{id}/stop"), &json!({}));
    assert_eq!(status, 200);
    bed.phase(&id, "ended");
}

#[test]
fn outside_of_its_window_nothing_runs() {
    let closed = "  deny: [{ from: 2000-01-01, to: 2100-01-01, reason: the long freeze }]\n";
    let bed = Bed::new("window", "production", closed);
    let limited = json!({ "blast": "limited", "cohort": { "share": "5%" } });
    let asked = json!({ "experiment": experiment("late", limited) });
    let (_, answer) = bed.admin("POST", "/api/v1/experiments", &asked);
    assert!(answer.to_string().contains("the long freeze"), "{answer:#}");
    assert!(codes(&bed, &asked).iter().any(|it| it == "window" || it == "denied"), "{answer:#}");
}

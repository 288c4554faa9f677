use expect_test::expect_file;
use mainstay_core::event::parse_time;
use mainstay_core::stats::LogHistogram;
use serde_json::json;

use super::*;

fn at(clock: &str) -> String {
    format!("2026-03-02T{clock}Z")
}

fn latency(milliseconds: u64) -> String {
    let mut histogram = LogHistogram::new();
    for _ in 0..50 {
        histogram.record(std::time::Duration::from_millis(milliseconds));
    }
    mainstay_core::chaos::record::write_latency(&histogram)
}

fn slice(clock: &str, phase: &str, unanswered: u64, late: u64) -> Value {
    json!({
        "at": at(clock), "seconds": 10, "phase": phase, "requests": [100, 100], "injected": if late > 20 { 60 } else { 0 },
        "unanswered": [0, unanswered], "levels": [[100, 0, 0, 0, 0], [100 - unanswered, 0, 0, 0, 0]],
        "injected_levels": [0, 0, 0, 0, 0], "latency": [latency(20), latency(late)], "spared": 0, "sent": [0, 0],
    })
}

fn record() -> Record {
    let facts = json!({
        "detected_s": 12.5, "detected_by": "breaker.changed", "paged_s": 20.0, "mitigated_s": 20.0, "recovered_s": 4.0,
        "requests": 412, "unanswered": 3, "unanswered_share": 0.00728, "requests_class": [10, 2, 0, 400],
        "unanswered_class": [0, 1, 0, 2], "unanswered_share_class": [0.0, 0.5, null, 0.005], "p99_s": 0.4, "control_p99_s": 0.02,
        "max_level": 0, "levels": [260, 0, 0, 0, 0], "breaker_opened": true, "incident_opened": true,
        "incident_types": ["serving_latency"], "verdict": "violated", "injected": 180,
    });
    let outcome = |name: &str, holds: &str, held: Option<bool>, measured: &str| json!({ "name": name, "holds": holds, "held": held, "measured": measured });
    serde_json::from_value(json!({
        "id": "GD-2026-0007",
        "scenario": {
            "name": "outage", "title": "Slow <script>alert(1)</script> | and gone", "purpose": "Who notices?",
            "participants": [{ "role": "incident_commander", "name": "Ada" }, { "role": "safety_officer", "name": "Bob" }],
            "steps": [
                { "experiment": "late", "expect": ["Retries hide it", "Nobody is paged *twice*"],
                  "criteria": [{ "name": "seen", "holds": "detected_s < 60" }, { "name": "premium is answered", "holds": "unanswered_class[1] == 0" }] },
                { "experiment": "gone", "criteria": [{ "name": "seen", "holds": "detected_s < 60" }] },
            ],
            "criteria": [{ "name": "class 0", "holds": "unanswered_class[0] == 0" }],
        },
        "mode": "live", "by": "Ada", "phase": "ended", "started": at("09:00:00"), "ended": at("09:21:00"),
        "steps": [
            { "name": "late", "run": "EXP-2026-0003", "started": at("09:00:00"), "ended": at("09:01:10"), "facts": facts,
              "results": [outcome("seen", "detected_s < 60", Some(true), "detected_s = 12.5"),
                          outcome("premium is answered", "unanswered_class[1] == 0", Some(false), "unanswered_class = [0, 1, 0, 2]")] },
            { "name": "gone", "refused": ["incident AI-1 is open on `score`: resolve it first"], "started": at("09:01:10"), "ended": at("09:21:00"),
              "results": [outcome("seen", "detected_s < 60", None, "the experiment did not start")] },
        ],
        "results": [outcome("class 0", "unanswered_class[0] == 0", None, "not all experiments ran")],
        "timeline": [
            { "at": at("09:00:00"), "what": "begin", "text": "Ada began it" },
            { "at": at("09:01:10"), "what": "verdict", "text": "late: violated: worse by more than the margin" },
            { "at": at("09:00:20"), "what": "inject", "text": "EXP-2026-0003: model_latency on score" },
            { "at": at("09:00:32.5"), "what": "detect", "text": "the breaker of primary is open" },
            { "at": at("09:21:00"), "what": "end", "text": "1 of 4 criteria held" },
        ],
        "answers": [{ "at": at("09:30:00"), "by": "Bob", "step": "late", "question": "Who takes it?", "text": "Whoever sees it.\n@all" }],
        "opened": ["GD-2026-0007-F1"], "closed": ["GD-2026-0003-F1"],
    }))
    .unwrap()
}

fn run() -> Run {
    let slices = [
        slice("09:00:00", "lead_in", 0, 20),
        slice("09:00:20", "injecting", 40, 400),
        slice("09:00:30", "injecting", 30, 400),
        slice("09:00:40", "injecting", 0, 400),
        slice("09:00:50", "recovering", 0, 20),
    ];
    serde_json::from_value(json!({
        "id": "EXP-2026-0003",
        "experiment": { "name": "late", "hypothesis": "The deadline holds", "route": "score", "duration": "30s",
                        "fault": { "model_latency": { "fixed": "400ms" } }, "blast": "full", "cohort": { "share": "50%" } },
        "plan": "abc", "design": "concurrent", "seed": 1, "generation": 2, "by": "Ada", "gameday": "GD-2026-0007",
        "phase": "ended", "started": at("09:00:00"), "injected": at("09:00:20"), "withdrawn": at("09:00:50"),
        "quiet": at("09:00:51"), "recovered": at("09:00:54"), "ended": at("09:00:55"), "journal": [], "slices": slices,
        "assessment": {
            "verdict": "violated", "reason": "worse by more than the margin",
            "errors": { "control": 0.0, "experiment": 0.233, "effect": 0.233, "low": 0.19, "high": 0.28, "margin": 0.01 },
            "p99": { "control": 0.02, "experiment": 0.4, "effect": 20.0, "low": 18.0, "high": 22.0, "margin": 3.0 },
            "dose": null, "assignment": null,
            "checks": [{ "name": "error rate below 1 %", "held": false, "measured": "23.3 %" }, { "name": "a fallback was used", "held": null, "measured": "" }],
            "recommendations": ["Give level 0 a timeout below the deadline."],
        },
    }))
    .unwrap()
}

fn findings() -> Vec<Finding> {
    let finding = |id: &str, closed: Value, retest: Value| {
        json!({
            "id": id, "scenario": "outage", "step": "late", "criterion": "premium is answered", "holds": "unanswered_class[1] == 0",
            "measured": "unanswered_class = [0, 1, 0, 2]", "opened": at("09:01:10"), "gameday": "GD-2026-0007", "last": "GD-2026-0007",
            "times": 2, "closed": closed, "retest": retest,
        })
    };
    let open = finding("GD-2026-0007-F1", Value::Null, Value::Null);
    let closed = finding("GD-2026-0003-F1", json!(at("09:01:10")), json!("GD-2026-0007"));
    serde_json::from_value(json!([open, closed])).unwrap()
}

fn report() -> Report {
    Report {
        record: record(),
        runs: vec![run()],
        findings: findings(),
        service: "payments".to_owned(),
        prepared: parse_time(&at("10:00:00")).unwrap(),
    }
}

#[test]
fn a_report_is_the_same_in_each_form() {
    let report = report();
    expect_file!["golden/full.md"].assert_eq(&report.markdown());
    expect_file!["golden/full.html"].assert_eq(&report.html());
    expect_file!["golden/full.json"].assert_eq(&format!("{:#}\n", report.json()));
}

#[test]
fn what_people_wrote_becomes_no_markup() {
    let report = report();
    assert!(!report.html().contains("<script") && report.html().contains("&lt;script&gt;"));
    let markdown = report.markdown();
    assert!(!markdown.contains("<script>alert(1)</script> | and") && markdown.contains("`@all`"), "{markdown}");
    assert!(markdown.contains(r"Nobody is paged \*twice\*"));
}

#[test]
fn a_figure_has_both_arms_and_its_moments() {
    let report = report();
    let run = &report.runs[0];
    let marks = figures::marks_of(&report.record, run);
    let names: Vec<&str> = marks.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["injected", "detected", "paged", "mitigated", "withdrawn", "recovered"]);
    let plots = figures::of(run, &marks);
    assert_eq!(plots.len(), 8);
    let of = |title: &str| plots.iter().find(|it| it.title == title).unwrap();
    let values = |title: &str| of(title).points.iter().map(|(_, value)| *value).collect::<Vec<_>>();
    assert_eq!(values("Unanswered, experiment"), [0.0, 40.0, 30.0, 0.0, 0.0]);
    assert_eq!(values("Offered, control"), [10.0; 5]);
    assert_eq!(of("Unanswered, experiment").bound, Some(1.0));
    assert!(values("p99 latency, experiment")[1] > 300.0 && values("p99 latency, control")[1] < 30.0);
}

#[test]
fn what_is_not_over_or_was_only_talked_through_is_a_report_as_well() {
    let mut report = report();
    report.record.phase = mainstay_core::chaos::gameday::record::Phase::Running;
    (report.record.ended, report.runs) = (None, Vec::new());
    report.record.steps.truncate(1);
    assert!(report.markdown().contains("it goes on") && report.markdown().contains("It was not begun."));
    let scenario = report.record.scenario.clone();
    report.record = Record::tabletop("GD-2026-0008".to_owned(), scenario, "Ada".to_owned(), report.prepared);
    let markdown = report.markdown();
    assert!(markdown.contains("talked through") && !markdown.contains("## Criteria"), "{markdown}");
    assert!(report.html().contains("talked through"));
}

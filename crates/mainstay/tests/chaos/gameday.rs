//! Game days from their begin to the re-test of what they found, with real traffic. The commands of docs/gamedays.md that run one are run here.

use std::process::Command;

use serde_json::{Value, json};

use crate::bed::{Bed, experiment, until};

const PATH: &str = "/api/v1/gamedays";

/// A scenario whose first step is as late as told.
fn scenario(late: &str, steps: usize, duration: &str) -> Value {
    let of = |name: &str, late: &str| {
        let fault = json!({ "model_latency": { "fixed": late } });
        experiment(name, json!({ "duration": duration, "fault": fault }))
    };
    let mut all = vec![
        json!({
            "experiment": of("late", late),
            "criteria": [
                { "name": "it stays fast", "holds": "p99_s < 0.25" },
                { "name": "everybody is answered", "holds": "unanswered_class[3] == 0 && requests > 50" },
            ],
        }),
        json!({
            "name": "again", "pause": "1s",
            "experiment": of("later", "30ms"),
            "criteria": [
                { "name": "both ran", "holds": "experiment.late.injected > 0 && injected > 0" },
                { "name": "it is told", "holds": "count(\"experiment.changed\") >= 1 && max_level == 0" },
            ],
        }),
    ];
    all.truncate(steps);
    json!({
        "name": "late-answers", "title": "Late <b>answers</b>", "steps": all,
        "criteria": [{ "name": "nobody is left", "holds": "unanswered == 0 && mitigated_s == 0.0 && recovered_s != null" }],
    })
}

fn start(bed: &Bed, scenario: &Value) -> String {
    let (status, record) = bed.admin("POST", PATH, &json!({ "scenario": scenario }));
    assert_eq!(status, 201, "{record:#}");
    record["id"].as_str().unwrap().to_owned()
}

fn ended(bed: &Bed, id: &str) -> Value {
    // Two runs take longer than one thing that happens by itself may.
    let over = || {
        let record = bed.get(&format!("{PATH}/{id}"));
        (record["phase"] != "running").then_some(record)
    };
    for _ in 0..4 {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| until("the game day's end", over)));
        if let Ok(record) = done {
            return record;
        }
    }
    panic!("{id} does not end: {:#}", bed.get(&format!("{PATH}/{id}")));
}

fn held(outcomes: &Value) -> Vec<(String, Value)> {
    let all = outcomes.as_array().unwrap().iter();
    all.map(|it| (it["name"].as_str().unwrap().to_owned(), it["held"].clone())).collect()
}

fn named(name: &str, held: bool) -> (String, Value) {
    (name.to_owned(), json!(held))
}

fn mainstay(bed: &Bed, arguments: &[&str]) -> (Option<i32>, String) {
    let url = format!("http://{}", bed.server.admin);
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
    let done = command.current_dir(&bed.place.0).args(arguments).args(["--url", &url]).output().unwrap();
    (done.status.code(), String::from_utf8(done.stdout).unwrap() + &String::from_utf8(done.stderr).unwrap())
}

#[test]
fn what_did_not_hold_stays_a_finding_until_its_re_test() {
    let bed = Bed::new("gameday", "demo", "");
    let traffic = bed.traffic();
    let id = start(&bed, &scenario("400ms", 2, "6s"));
    assert!(id.starts_with("GD-") && id.ends_with("-0001"), "{id}");
    let (status, busy) = bed.admin("POST", PATH, &json!({ "scenario": scenario("400ms", 1, "6s") }));
    assert_eq!(status, 409, "{busy:#}");
    let record = ended(&bed, &id);
    let first = &record["steps"][0];
    assert_eq!(
        held(&first["results"]),
        [named("it stays fast", false), named("everybody is answered", true)],
        "{record:#}"
    );
    assert_eq!(
        held(&record["steps"][1]["results"]),
        [named("both ran", true), named("it is told", true)],
        "{record:#}"
    );
    assert_eq!(held(&record["results"]), [named("nobody is left", true)], "{record:#}");
    assert_eq!((&record["phase"], &record["passed"]), (&json!("ended"), &json!(false)));
    let open = bed.get(&format!("{PATH}/findings?state=open"));
    assert_eq!(open["findings"].as_array().unwrap().len(), 1, "{open:#}");
    let finding = open["findings"][0].clone();
    assert_eq!((&finding["step"], &finding["criterion"]), (&json!("late"), &json!("it stays fast")));
    // The run is one as any other, and belongs to the day.
    let run = bed.run(first["run"].as_str().unwrap());
    assert_eq!(run["gameday"], id.as_str());

    // The report, in each form, also by the command.
    let (code, markdown) = mainstay(&bed, &["gameday", "report", &id]);
    assert_eq!(code, Some(0), "{markdown}");
    assert!(markdown.contains(finding["id"].as_str().unwrap()) && markdown.contains("open since"), "{markdown}");
    let (code, _) = mainstay(&bed, &["gameday", "report", &id, "--as", "html", "--out", "report.html"]);
    assert_eq!(code, Some(0));
    let page = std::fs::read_to_string(bed.place.0.join("report.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("injected") && !page.contains("<b>answers"), "{page}");
    let report = bed.get(&format!("{PATH}/{id}/report?format=json"));
    assert_eq!(report["runs"].as_array().unwrap().len(), 2);

    // What was found is mended: the same criterion holds, by the command this time.
    std::fs::write(bed.place.0.join("day.yaml"), scenario("20ms", 1, "6s").to_string()).unwrap();
    let (code, told) = mainstay(&bed, &["gameday", "run", "day.yaml", "--yes"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("inject") && told.contains("it stays fast"), "{told}");
    let closed = bed.get(&format!("{PATH}/findings"))["findings"][0].clone();
    let again = bed.get(PATH)["gamedays"][0].clone();
    assert_eq!((&closed["id"], &closed["retest"]), (&finding["id"], &again["id"]), "{closed:#}");
    assert_eq!(again["passed"], true);
    let page = bed.page("/metrics");
    for line in [
        "mainstay_gamedays_total{result=\"failed\"} 1",
        "mainstay_gamedays_total{result=\"passed\"} 1",
        "mainstay_gameday_findings_open 0.0",
    ] {
        assert!(page.lines().any(|it| it == line), "no {line}: {page}");
    }
    assert!(!page.contains("mainstay_gameday_active{"), "{page}");
    drop(traffic);
}

#[test]
fn a_day_that_is_stopped_or_cut_off_leaves_no_fault_and_a_report() {
    let mut bed = Bed::new("gameday-stopped", "demo", "");
    let traffic = bed.traffic();
    let id = start(&bed, &scenario("400ms", 2, "1h"));
    bed.meets();
    let (status, record) = bed.admin("POST", &format!("{PATH}/{id}/stop"), &json!({ "reason": "seen enough" }));
    assert_eq!((status, &record["phase"]), (200, &json!("aborted")), "{record:#}");
    bed.spared();
    let run = bed.phase(record["steps"][0]["run"].as_str().unwrap(), "ended");
    assert_eq!(run["stopped"]["reason"], "asked", "{:#}", run["stopped"]);
    let (status, over) = bed.admin("POST", &format!("{PATH}/{id}/stop"), &json!({ "reason": "again" }));
    assert_eq!(status, 409, "{over:#}");

    let id = start(&bed, &scenario("400ms", 2, "1h"));
    bed.meets();
    drop(traffic);
    bed.server.end("KILL");
    bed.restart();
    let record = bed.get(&format!("{PATH}/{id}"));
    assert_eq!((&record["phase"], &record["stopped"]["reason"]), (&json!("aborted"), &json!("restart")), "{record:#}");
    let report = bed.get(&format!("{PATH}/{id}/report?format=json"));
    assert_eq!(report["runs"][0]["id"], record["steps"][0]["run"], "{report:#}");
    assert_eq!(bed.get(&format!("{PATH}/findings"))["findings"], json!([]));
    bed.spared();
}

#[test]
fn a_table_has_the_configs_people_and_runbooks_and_its_answers_are_kept() {
    let bed = Bed::new(
        "gameday-table",
        "demo",
        "notify: { pager: { webhook: { url: 'http://127.0.0.1:9/x' } } }
oncall:
  people: { ada: { channels: [pager] } }
  policies: { ml: { steps: [{ after: 0s, tell: ['person:ada'] }] } }
incidents: { escalation: ml }
",
    );
    let text = "---\nname: table\n---\n# A table\nRead this.\n\n## Late\nWho sees it?\n\n```yaml\nexperiment: score-primary-model-failure\n```\n";
    std::fs::write(bed.place.0.join("table.md"), text).unwrap();
    let (code, guide) = mainstay(&bed, &["gameday", "tabletop", "table.md"]);
    assert_eq!(code, Some(0), "{guide}");
    for part in ["Read this.", "Who sees it?", "ada by pager", "backend model", "Runbook: ", "the running service"] {
        assert!(guide.contains(part), "no `{part}`: {guide}");
    }
    let said = ["gameday", "tabletop", "table.md", "--answer", "score-primary-model-failure=Nobody, at night"];
    let (code, id) = mainstay(&bed, &said);
    assert_eq!(code, Some(0), "{id}");
    let record = bed.get(&format!("{PATH}/{}", id.trim()));
    assert_eq!(record["answers"][0]["text"], "Nobody, at night", "{record:#}");
    let (code, wrong) = mainstay(&bed, &["gameday", "tabletop", "table.md", "--answer", "other=x"]);
    assert_eq!(code, Some(2), "{wrong}");
    std::fs::write(bed.place.0.join("bad.md"), text.replace("experiment:", "experimnt:")).unwrap();
    let (code, wrong) = mainstay(&bed, &["gameday", "run", "bad.md", "--yes"]);
    assert_eq!(code, Some(2), "{wrong}");
    assert!(wrong.contains("bad.md:11") && wrong.contains("did you mean `experiment`?"), "{wrong}");
    let (status, answer) = bed.admin("POST", PATH, &json!({ "name": "table" }));
    assert_eq!(status, 404, "{answer:#}");
    let unknown = json!({ "name": "x", "steps": [{ "experiment": "nothing" }] });
    let (status, answer) = bed.admin("POST", PATH, &json!({ "scenario": unknown }));
    assert_eq!(status, 422, "{answer:#}");
}

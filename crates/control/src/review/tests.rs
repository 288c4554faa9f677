use expect_test::expect_file;
use mainstay_core::event::parse_time;
use pulldown_cmark::{Event, Options, Parser};
use serde_json::json;

use super::*;

fn at(text: &str) -> Time {
    parse_time(text).unwrap()
}

fn full_incident() -> Value {
    let time = |clock: &str| format!("2026-03-01T{clock}Z");
    json!({
        "id": "AI-20260301-0001", "type": "model_degradation", "kind_chosen": true,
        "title": "Precision of fraud fell", "severity": "sev2", "status": "post_mortem",
        "onset": time("12:00:00"), "detected": time("12:08:30"), "acknowledged": time("12:10:00"), "acknowledged_by": "ana",
        "mitigated": time("12:31:00"), "resolved": time("13:20:00"), "closed": "2026-03-03T09:00:00Z", "reopened": 1,
        "routes": ["score"], "places": ["backend:primary", "model:fraud"],
        "facts": [
            {"key": "quality:precision", "fact": "slo_burn", "labels": {"slo": "quality", "window": "1h"}, "text": "quality burns 14 times too fast",
             "since": time("12:08:30"), "until": time("13:15:00"), "times": 1},
            {"key": "drift:amount", "fact": "drift", "labels": {"column": "amount"}, "text": "amount drifted (PSI 0.41)",
             "since": time("12:05:00"), "times": 3}
        ],
        "more_facts": 4,
        "ranking": [
            {"type": "model_degradation", "title": "Model degradation", "score": 2.2, "probability": 0.871,
             "fired": [{"name": "quality_burn", "text": "The quality objective burns", "weight": 1.9, "evidence": ["quality:precision"]},
                       {"name": "feature_drift", "text": "A feature drifted", "weight": 0.8, "evidence": ["drift:amount"]}],
             "silent": [{"name": "canary_worse", "text": "The new version is worse than the old one", "weight": -0.5}]},
            {"type": "feature_pipeline", "title": "Feature pipeline failure", "score": -1.1, "probability": 0.129, "fired": [], "silent": []}
        ],
        "timeline": [
            {"at": time("12:08:30"), "actor": "mainstay", "source": "engine", "what": "signal", "text": "quality_burn fired",
             "evidence": {"burn": 14.2, "slo": "quality"}},
            {"at": time("12:08:31"), "actor": "mainstay", "source": "engine", "what": "page", "text": "paged ana by pager"},
            {"at": time("12:10:00.5"), "actor": "ana", "source": "api", "what": "note", "text": "see https://grafana.example/d/1 | cc @bo"},
            {"at": time("13:20:00"), "actor": "ana", "source": "api", "what": "status", "text": "mitigating -> resolved"}
        ],
        "timeline_dropped": 2,
        "told": [{"channel": "ops"}, {"channel": "pager", "person": "ana"}],
        "actions": [
            {"id": 1, "action": "previous_model", "model": "fraud", "state": "active", "by": "ana", "at": time("12:30:00"), "taken": time("12:31:00"),
             "undo": {"to": "v3"}},
            {"id": 2, "action": "pin_level", "route": "score", "level": 2, "state": "expired", "by": "rule", "at": time("12:09:00"),
             "taken": time("12:09:01"), "until": time("12:39:01"), "ended": time("12:39:01")},
            {"id": 3, "action": "block_pattern", "route": "score", "pattern": "test_", "state": "failed", "by": "ana", "at": time("12:12:00"),
             "error": "the route has no such filter"}
        ],
        "review": {
            "root_cause": "The upstream feed changed the unit of amount.\n\nNobody had told the model's owners.",
            "contributing": ["The feed has no schema check."],
            "went_well": ["The pin held recall."],
            "could_improve": ["Drift of one column does not page."],
            "lucky": ["It was Sunday: a third of the traffic."],
            "detection": [],
            "prevention": ["A contract test with the feed."],
            "items": [
                {"id": 1, "text": "Check the schema at ingestion", "owner": "bo", "due": "2026-03-15", "purpose": "prevent", "state": "open"},
                {"id": 2, "text": "Page on drift of amount", "owner": "", "purpose": "detect", "state": "done"}
            ]
        }
    })
}

fn bare_incident() -> Value {
    json!({
        "id": "AI-20260301-0002", "type": "latency_regression", "title": "Slow answers", "severity": "sev3", "status": "detected",
        "onset": "2026-03-01T12:00:00Z", "detected": "2026-03-01T12:02:00Z"
    })
}

fn full(incident: &Incident) -> Review<'_> {
    let start = at("2026-03-01T11:40:00Z");
    let minute = |n: u64| start + std::time::Duration::from_mins(n);
    let precision = (0..120).map(|n| (minute(n), if (25..75).contains(&n) { 0.86 + 0.0005 * n as f64 } else { 0.93 }));
    let requests = (0..120).step_by(5).map(|n| (minute(n), if n == 60 { f64::NAN } else { 400.0 + 3.0 * n as f64 }));
    Review {
        incident,
        service: "fraud".into(),
        type_title: "Model degradation".into(),
        questions: vec![
            "Did the input change before the output did?".into(),
            "When was the model last trained?".into(),
        ],
        prevention: vec!["Gate promotions on a fresh holdout.".into()],
        impact: vec![
            Impact {
                slo: "quality".into(),
                category: "quality".into(),
                budget_minutes: Some(72.0),
                bad: 8,
                total: 8,
                budget_share: 0.333,
            },
            Impact {
                slo: "availability".into(),
                category: "availability".into(),
                budget_minutes: None,
                bad: 1_204,
                total: 1_931_002,
                budget_share: 0.0207,
            },
        ],
        plots: vec![
            Plot {
                title: "precision of score".into(),
                unit: String::new(),
                points: precision.collect(),
                marks: vec![
                    (at("2026-03-01T12:09:01Z"), "level 2".into()),
                    (at("2026-03-01T12:31:00Z"), "previous model".into()),
                ],
                bound: Some(0.874),
            },
            Plot {
                title: "requests".into(),
                unit: "per second".into(),
                points: requests.collect(),
                marks: Vec::new(),
                bound: None,
            },
        ],
        prepared: at("2026-03-03T09:30:00Z"),
    }
}

fn bare(incident: &Incident) -> Review<'_> {
    Review {
        incident,
        service: "fraud".into(),
        type_title: "Latency regression".into(),
        questions: Vec::new(),
        prevention: Vec::new(),
        impact: Vec::new(),
        plots: Vec::new(),
        prepared: at("2026-03-01T12:30:00Z"),
    }
}

#[test]
fn a_full_review_and_a_bare_one() {
    let incident: Incident = serde_json::from_value(full_incident()).unwrap();
    let review = full(&incident);
    expect_file!["golden/full.md"].assert_eq(&review.markdown());
    expect_file!["golden/full.html"].assert_eq(&(review.html() + "\n"));
    expect_file!["golden/full.json"].assert_eq(&format!("{:#}\n", review.json()));

    let incident: Incident = serde_json::from_value(bare_incident()).unwrap();
    let review = bare(&incident);
    expect_file!["golden/bare.md"].assert_eq(&review.markdown());
    expect_file!["golden/bare.html"].assert_eq(&(review.html() + "\n"));
    expect_file!["golden/bare.json"].assert_eq(&format!("{:#}\n", review.json()));
}

#[test]
fn an_incident_that_was_opened_again_has_not_ended() {
    let mut value = full_incident();
    value["status"] = json!("investigating");
    let incident: Incident = serde_json::from_value(value).unwrap();
    let review = full(&incident);
    assert!(review.markdown().contains("**Ended:** not yet"));
    assert_eq!(review.json()["durations"]["onset_to_resolved_s"], Value::Null);
    assert!(!review.html().contains(">resolved</text>"));
}

#[test]
fn what_would_go_on_for_ever_is_cut_and_counted() {
    let mut incident: Incident = serde_json::from_value(bare_incident()).unwrap();
    incident.review.contributing = vec!["c".repeat(100_000); ROWS_MAX + 7];
    incident.title = "t".repeat(100_000);
    let mut review = bare(&incident);
    review.plots =
        vec![
            Plot { title: "p".into(), unit: String::new(), points: Vec::new(), marks: Vec::new(), bound: None };
            PLOTS_MAX + 3
        ];
    for text in [review.markdown(), review.html()] {
        assert!(text.contains("And 7 more.") && text.contains("And 3 more."));
        assert!(text.len() < 2_000_000, "{}", text.len());
    }
    assert_eq!(review.json()["plots"].as_array().unwrap().len(), PLOTS_MAX);
}

/// Fields that hold times and fixed words; all others come from outside.
const OWN: [&str; 18] = [
    "severity",
    "status",
    "onset",
    "detected",
    "acknowledged",
    "mitigated",
    "resolved",
    "closed",
    "at",
    "since",
    "until",
    "taken",
    "ended",
    "action",
    "state",
    "quiet_since",
    "proposed",
    "next",
];

/// The same with `text` wherever text comes from outside.
fn filled(value: &Value, text: &str) -> Value {
    match value {
        Value::String(_) => json!(text),
        Value::Array(all) => all.iter().map(|it| filled(it, text)).collect(),
        Value::Object(all) => {
            let own = |name: &str| OWN.contains(&name);
            all.iter().map(|(name, it)| (name.clone(), if own(name) { it.clone() } else { filled(it, text) })).collect()
        }
        other => other.clone(),
    }
}

fn with(text: &str, check: impl FnOnce(Review)) {
    let mut incident: Incident = serde_json::from_value(filled(&full_incident(), text)).unwrap();
    for fact in &mut incident.facts {
        fact.labels = [(text.to_owned(), text.to_owned())].into();
    }
    let mut review = full(&incident);
    review.service = text.into();
    review.type_title = text.into();
    review.questions = vec![text.into()];
    review.prevention = vec![text.into()];
    for impact in &mut review.impact {
        (impact.slo, impact.category) = (text.into(), text.into());
    }
    for plot in &mut review.plots {
        (plot.title, plot.unit) = (text.into(), text.into());
        plot.marks = vec![(at("2026-03-01T12:09:01Z"), text.into())];
    }
    check(review);
}

const HOSTILE: [&str; 8] = [
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "\" onmouseover=\"alert(1)\" style='position:fixed' </title></style></svg>",
    "](javascript:alert(1)) ![x](http://evil.example/p.png) [a]: b <http://a>",
    "@everyone @org/team #1 GH-1 www.evil.example :skull: `@x` a|b\\|c",
    "\u{1b}[31mred\u{1b}]8;;http://evil\u{7}link\u{202e}gnp.exe\u{2066}\u{200b}\u{0}\u{9b}2J",
    "\n\n# Root cause\n\n- [x] nothing happened\n\n```\n---\n===\n> 1. a\n| a | b |\n|---|---|\n",
    "&lt;b&gt; &#64;x &amp; <!-- --> <![CDATA[ ]]> <?php ?> {{ x }} {% y %} {#id} $\\alpha$",
    "**a** __b__ ~~c~~ *d* _e_ ==f== ^g^ [^1] [[h]] \\",
];

/// As long as a hostile text, of letters alone.
fn harmless(text: &str) -> String {
    "h".repeat(text.chars().count().max(90))
}

/// Tells the first place where two documents part.
fn same(seen: &[String], wanted: &[String], text: &str) {
    let parts = seen.iter().zip(wanted).position(|(a, b)| a != b);
    assert_eq!(parts.map(|at| (&seen[at.saturating_sub(5)..=at], &wanted[at])), None, "{text}");
    assert_eq!(seen.len(), wanted.len(), "{text}");
}

#[test]
fn no_text_becomes_markup_in_the_page() {
    /// The names of tags and of their attributes.
    fn tags(page: &str) -> Vec<String> {
        let all = page.split('<').skip(1).map(|rest| rest.split('>').next().unwrap());
        all.map(|tag| tag.split('"').step_by(2).collect::<String>()).collect()
    }
    for text in HOSTILE {
        let (mut seen, mut wanted) = (String::new(), String::new());
        let long = text.to_owned() + &"h".repeat(90);
        with(&long, |review| seen = review.html());
        with(&harmless(&long), |review| wanted = review.html());
        // A text of several lines is several paragraphs, as it is meant to be.
        let paragraphs =
            |tags: Vec<String>| tags.into_iter().filter(|tag| tag != "p" && tag != "/p").collect::<Vec<_>>();
        same(&paragraphs(tags(&seen)), &paragraphs(tags(&wanted)), text);
        for hidden in ['\u{1b}', '\u{0}', '\u{7}', '\u{9b}', '\u{202e}', '\u{2066}', '\u{200b}'] {
            assert!(!seen.contains(hidden), "{hidden:?}");
        }
    }
}

#[test]
fn no_text_becomes_markup_in_the_markdown() {
    /// The elements, with all text as one.
    fn elements(document: &str) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for event in Parser::new_ext(document, Options::all() - Options::ENABLE_SMART_PUNCTUATION) {
            all.push(match event {
                Event::Text(_) | Event::Code(_) => "text".to_owned(),
                other => format!("{other:?}"),
            });
        }
        all.dedup();
        all
    }
    for text in HOSTILE {
        let (mut seen, mut wanted) = (String::new(), String::new());
        with(text, |review| seen = review.markdown());
        with(&harmless(text), |review| wanted = review.markdown());
        let paragraphs = |document: &str| {
            let mut all = elements(document);
            all.retain(|it| it != "Start(Paragraph)" && it != "End(Paragraph)");
            all.dedup();
            all
        };
        same(&paragraphs(&seen), &paragraphs(&wanted), text);
        for hidden in ['\u{1b}', '\u{0}', '\u{7}', '\u{9b}', '\u{202e}', '\u{2066}', '\u{200b}'] {
            assert!(!seen.contains(hidden), "{hidden:?}");
        }
        // Outside of code, no at sign stands before a name.
        let mut outside = String::new();
        for event in Parser::new_ext(&seen, Options::ENABLE_TABLES) {
            if let Event::Text(it) = event {
                outside += &it;
            }
        }
        for name in ["@everyone", "@org", "@x", "http://", "www.e"] {
            assert!(!outside.contains(name), "{name} in {text}");
        }
    }
}

use std::collections::BTreeMap;

use serde_json::json;

use super::criterion::{Compiled, STEP_FACTS, Said, Within};
use super::facts::{Facts, Tally, measure};
use super::machine::{AGAIN, Effect, Gameday, SETTLE};
use super::record::{Finding, Phase};
use super::*;
use crate::chaos::experiment::Design;
use crate::chaos::record::{Phase as RunPhase, Run, Slice, Stopped};
use crate::chaos::verdict::{Assessment, Verdict};
use crate::event::{Event, EventKind, IncidentNews};
use crate::route::Level;
use crate::stats::LogHistogram;
use crate::time::Time;

fn experiment(name: &str) -> Experiment {
    serde_json::from_value(json!({
        "name": name, "hypothesis": "the ladder answers", "route": "score", "duration": "1m",
        "fault": { "feature_error": {} },
    }))
    .unwrap()
}

fn scenario(steps: &[(&str, &[(&str, &str)])], day: &[(&str, &str)]) -> Scenario {
    let criteria = |all: &[(&str, &str)]| {
        all.iter().map(|(name, holds)| Criterion { name: (*name).to_owned(), holds: (*holds).to_owned() }).collect()
    };
    Scenario {
        name: "outage".to_owned(),
        title: String::new(),
        purpose: String::new(),
        participants: Vec::new(),
        steps: steps
            .iter()
            .map(|(name, of)| Step {
                name: None,
                experiment: Wanted::Named((*name).to_owned()),
                expect: Vec::new(),
                questions: Vec::new(),
                criteria: criteria(of),
                pause: Duration::ZERO,
                wait: Duration::from_secs(20),
                notes: String::new(),
            })
            .collect(),
        criteria: criteria(day),
        notes: String::new(),
    }
}

fn at(seconds: u64) -> Time {
    Time::from_secs(1_000 + seconds)
}

fn digits(milliseconds: u64) -> String {
    let mut histogram = LogHistogram::new();
    histogram.record(Duration::from_millis(milliseconds));
    crate::chaos::record::write_latency(&histogram)
}

fn slice(start: u64, phase: RunPhase, unanswered: u64) -> Slice {
    Slice {
        at: at(start),
        seconds: 10,
        phase,
        requests: [100, 100],
        injected: 50,
        unanswered: [0, unanswered],
        levels: [[100, 0, 0, 0, 0], [40, 0, 60 - unanswered, 0, 0]],
        injected_levels: [0, 0, 50 - unanswered, 0, 0],
        latency: [digits(10), digits(200)],
        spared: 0,
        sent: [0, 0],
    }
}

/// A run that began at 0, injected at 10, withdrew at 40, was well at 45 and ended at 50.
fn run(id: &str, name: &str, bad: &[u64]) -> Run {
    let slices = (0..3).map(|n| slice(10 + 10 * n, RunPhase::Injecting, bad.get(n as usize).copied().unwrap_or(0)));
    Run {
        id: id.to_owned(),
        experiment: experiment(name),
        plan: "hash".to_owned(),
        design: Design::Concurrent,
        seed: 1,
        generation: 2,
        by: "ada".to_owned(),
        gameday: None,
        hold_s: None,
        phase: RunPhase::Ended,
        started: at(0),
        injected: Some(at(10)),
        withdrawn: Some(at(40)),
        quiet: Some(at(41)),
        recovered: Some(at(45)),
        ended: Some(at(50)),
        stopped: None,
        journal: Vec::new(),
        slices: slices.collect(),
        assessment: Some(Assessment {
            verdict: Verdict::Tolerated,
            reason: "no worse".to_owned(),
            errors: None,
            p99: None,
            dose: None,
            assignment: None,
            checks: Vec::new(),
            recommendations: Vec::new(),
        }),
    }
}

fn news(id: &str, status: &'static str, by: &str) -> IncidentNews {
    IncidentNews {
        incident: id.to_owned(),
        kind: "feature_store".to_owned(),
        severity: "sev2".into(),
        status: status.into(),
        title: "t".to_owned(),
        by: by.to_owned(),
    }
}

fn events() -> Vec<Event> {
    let page = |outcome: &'static str| EventKind::IncidentNotified {
        incident: "AI-1".to_owned(),
        notice: "AI-1-1".to_owned(),
        channel: "pager".to_owned(),
        purpose: "page".into(),
        outcome: outcome.into(),
    };
    let level = |route: &str, from: u8, to: u8| EventKind::LevelChanged {
        route: route.to_owned(),
        from: Level::new(from).unwrap(),
        to: Level::new(to).unwrap(),
        reason: "features_unhealthy".into(),
    };
    let breaker = |to: &'static str| EventKind::BreakerChanged {
        backend: "account".to_owned(),
        from: "closed".into(),
        to: to.into(),
        reason: "consecutive_failures".into(),
    };
    [
        (9, breaker("open")),
        (11, level("other", 0, 2)),
        (12, level("score", 2, 0)),
        (14, breaker("closed")),
        (15, breaker("open")),
        (16, level("score", 0, 2)),
        (20, EventKind::IncidentOpened(news("AI-1", "detected", "mainstay"))),
        (21, page("dead")),
        (22, page("delivered")),
        (23, EventKind::IncidentChanged(news("AI-1", "investigating", "mainstay"))),
        (30, EventKind::IncidentChanged(news("AI-1", "investigating", "ada"))),
        (51, EventKind::IncidentOpened(news("AI-2", "detected", "mainstay"))),
    ]
    .map(|(second, kind)| Event { at: at(second), kind })
    .to_vec()
}

#[test]
fn times_are_counted_from_the_injection_and_signs_outside_of_the_run_do_not_count() {
    let tally = Tally { requests: [10, 20, 0, 5], unanswered: [0, 1, 0, 0] };
    let facts = measure(&run("EXP-1", "slow", &[30, 20]), &events(), Some(&tally));
    assert_eq!((facts.detected_s, facts.detected_by.as_deref()), (Some(5.0), Some("breaker.changed")));
    assert_eq!((facts.paged_s, facts.acknowledged_s), (Some(12.0), Some(20.0)));
    assert_eq!((facts.mitigated_s, facts.recovered_s), (Some(20.0), Some(5.0)));
    assert_eq!(facts.incident_types, ["feature_store"]);
    assert!(facts.breaker_opened && facts.incident_opened);
    assert_eq!((facts.unanswered, facts.unanswered_share), (Some(1), Some(1.0 / 35.0)));
    assert_eq!(facts.unanswered_share_class.unwrap(), [Some(0.0), Some(0.05), None, Some(0.0)]);
    assert_eq!((facts.max_level, facts.levels), (Some(2), [120, 0, 130, 0, 0]));
    assert!(facts.p99_s.unwrap() > 0.15 && facts.control_p99_s.unwrap() < 0.02);
    assert_eq!(facts.events["incident.opened"], 1);
}

#[test]
fn what_was_never_well_again_is_not_mitigated_and_what_was_always_well_is_at_once() {
    assert_eq!(measure(&run("EXP-1", "slow", &[30, 20, 30]), &[], None).mitigated_s, None);
    assert_eq!(measure(&run("EXP-1", "slow", &[]), &[], None).mitigated_s, Some(0.0));
    // One more of a hundred is within the margin of 1 %.
    assert_eq!(measure(&run("EXP-1", "slow", &[1, 1, 1]), &[], None).mitigated_s, Some(0.0));
    let mut stopped = run("EXP-1", "slow", &[]);
    (stopped.injected, stopped.slices) = (None, Vec::new());
    let facts = measure(&stopped, &events(), None);
    assert_eq!((facts.detected_s, facts.mitigated_s, facts.unanswered), (None, None, None));
}

fn ask(text: &str, facts: &Facts) -> Said {
    let other = Facts { verdict: Some("violated".to_owned()), ..Facts::default() };
    Compiled::new(text, &["slow", "store-slow"], Within::Step).unwrap().ask(&facts.document(&[("store-slow", &other)]))
}

#[test]
fn criteria_hold_or_do_not_and_what_is_missing_never_holds() {
    let facts = Facts {
        detected_s: Some(4.0),
        p99_s: Some(0.25),
        unanswered_class: Some([0, 3, 0, 0]),
        max_level: Some(2),
        levels: [1, 0, 2, 0, 0],
        incident_types: vec!["feature_store".to_owned()],
        verdict: Some("tolerated".to_owned()),
        events: BTreeMap::from([("breaker.changed".to_owned(), 2)]),
        ..Facts::default()
    };
    for (text, held) in [
        ("detected_s < 5", true),
        ("detected_s <= 4.0 && p99_s < 1", true),
        ("detected_s > 5", false),
        ("unanswered_class[0] == 0", true),
        ("unanswered_class[1] <= 2", false),
        ("unanswered_class[9] == 0", false),
        ("max_level <= 2 && levels[2] > 0", true),
        ("verdict in ['tolerated', 'degraded']", true),
        (r#""feature_store" in incident_types"#, true),
        ("incident_types.exists(t, t.startsWith('feature'))", true),
        ("size(incident_types) == 1", true),
        ("paged_s < 60", false),
        ("paged_s > 60", false),
        ("!(paged_s < 60)", false),
        ("paged_s <= 1e9 || paged_s >= 0", false),
        ("paged_s == null || paged_s < 60", true),
        ("unanswered == 0", false),
        (r#"count("breaker.changed") == 2"#, true),
        (r#"count( 'incident.opened' ) == 0 && count("breaker.changed") > 0"#, true),
        (r#"experiment.store_slow.verdict == "violated""#, true),
        (r#"experiment["store-slow"].verdict == "violated""#, true),
        // Named, and not there yet.
        (r#"experiment.slow.verdict == "violated""#, false),
        (r#"experiment.slow.verdict != "violated""#, false),
        ("'paged_s' == 'paged_s'", true),
    ] {
        assert_eq!(ask(text, &facts).held, held, "{text}: {}", ask(text, &facts).measured);
    }
    assert_eq!(ask("paged_s < 60", &facts).measured, "paged_s = null; not measured");
    assert_eq!(ask("detected_s < 5 && p99_s < 1", &facts).measured, "detected_s = 4; p99_s = 0.25");
    assert_eq!(ask("count('breaker.changed') > 5", &facts).measured, "events.breaker.changed = 2");
}

#[test]
fn what_a_criterion_cannot_know_is_refused_where_it_stands() {
    let wrong = |text: &str, within: Within| Compiled::new(text, &["store-slow"], within).unwrap_err();
    for (text, offset, says) in [
        ("detected < 5", 0, "unknown fact `detected`"),
        ("detected_s < 5 && pagedd_s < 1", 18, "unknown fact `pagedd_s`"),
        ("header(\"x\") == \"1\"", 0, "unknown fact `header`"),
        ("request.x == 1", 0, "unknown fact `request`"),
        ("true && route == 'x'", 8, "unknown fact `route`"),
        ("count(1) == 1", 0, "`count` takes"),
        ("count('x') == 1", 0, "`count` takes"),
        ("experiment.other.verdict == 'x'", 0, "one of `store_slow`"),
        ("experiment.store_slow.colour == 'x'", 0, "not by `colour`"),
        ("experiment == 1", 0, "one of `store_slow`"),
        ("detected_s + 1.0", 0, "neither true nor false"),
        ("detected_s <", 0, ""),
        ("verdicts == []", 0, "unknown fact `verdicts`"),
    ] {
        let error = wrong(text, Within::Step);
        assert!(error.message.contains(says), "{text}: {error}");
        assert!(says.is_empty() || says.starts_with("neither") || error.offset == offset, "{text}: {}", error.offset);
        assert!(error.offset <= text.len());
    }
    assert!(wrong("verdict == 'tolerated'", Within::Day).message.contains("unknown fact `verdict`"));
    assert!(Compiled::new("verdicts.all(v, v == 'tolerated')", &[], Within::Day).is_ok());
    assert!(wrong(&format!("{}true", "(".repeat(200)), Within::Step).message.contains("nested"));
}

#[test]
fn each_fact_that_is_told_of_is_one() {
    let document = Facts::default().document(&[]);
    for (name, about) in STEP_FACTS {
        assert!(document.get(*name).is_some(), "{name}");
        assert!(about.len() > 10);
        assert!(Compiled::new(&format!("{name} != null"), &[], Within::Step).is_ok(), "{name}");
    }
}

#[test]
fn a_scenario_is_checked() {
    assert!(scenario(&[("slow", &[("a", "detected_s < 5")])], &[]).check().is_empty());
    let wrong = |scenario: Scenario| scenario.check().join("\n");
    assert!(wrong(scenario(&[], &[])).contains("1 to 20 steps"));
    assert!(wrong(scenario(&[("slow", &[]), ("slow", &[])], &[])).contains("two steps are called `slow`"));
    assert!(wrong(scenario(&[("slow", &[("a", "true"), ("a", "true")])], &[])).contains("two criteria"));
    assert!(wrong(scenario(&[("slow", &[("a", "detected <")])], &[])).contains("criterion `a`"));
    let mut inline = scenario(&[("slow", &[])], &[]);
    inline.steps[0].experiment = Wanted::Inline(Box::new(Experiment { dose: 0.0, ..experiment("slow") }));
    assert!(wrong(inline).contains("`dose`"));
}

#[test]
fn what_is_written_is_what_is_read() {
    let mut scenario = scenario(&[("slow", &[("a", "detected_s < 5")])], &[("b", "unanswered == 0")]);
    scenario.steps[0].pause = Duration::from_secs(30);
    let inline = Step {
        name: Some("again".to_owned()),
        experiment: Wanted::Inline(Box::new(experiment("x"))),
        ..scenario.steps[0].clone()
    };
    scenario.steps.push(inline);
    let written = serde_json::to_string(&scenario).unwrap();
    assert_eq!(serde_json::from_str::<Scenario>(&written).unwrap(), scenario);
    let unknown = written.replace("\"criteria\"", "\"criterias\"");
    assert!(serde_json::from_str::<Scenario>(&unknown).unwrap_err().to_string().contains("criterias"));
}

/// Drives a day; what it did is collected.
struct Driven {
    day: Gameday,
    now: Time,
    started: Vec<String>,
    stopped: Vec<String>,
    findings: BTreeMap<String, Finding>,
    rests: usize,
}

impl Driven {
    fn new(id: &str, scenario: Scenario, findings: Vec<Finding>) -> Driven {
        let day = Gameday::new(id.to_owned(), scenario, "ada".to_owned(), findings, at(0)).unwrap();
        let mut driven =
            Driven { day, now: at(0), started: vec![], stopped: vec![], findings: BTreeMap::new(), rests: 0 };
        driven.effects();
        driven
    }

    fn effects(&mut self) {
        for effect in self.day.take_effects() {
            match effect {
                Effect::Start(wanted) => self.started.push(wanted.name().to_owned()),
                Effect::Stop { run, .. } => self.stopped.push(run),
                Effect::RestFinding(finding) => drop(self.findings.insert(finding.id.clone(), finding)),
                Effect::Rest(_) => self.rests += 1,
                Effect::Tell(kind) => assert!(matches!(kind, EventKind::GamedayChanged { .. })),
            }
        }
    }

    fn wait(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.day.handle_timeout(self.now);
        self.effects();
    }

    /// A step whose run goes its course.
    fn step(&mut self, run: &Run, events: &[Event]) {
        self.day.handle_started(run.id.clone(), self.now);
        self.day.handle_tally(Tally { requests: [100, 100, 0, 0], unanswered: [0, 7, 0, 0] });
        let before = Run {
            phase: RunPhase::Injecting,
            ended: None,
            withdrawn: None,
            recovered: None,
            assessment: None,
            ..run.clone()
        };
        self.day.handle_run(&before, self.now);
        for event in events {
            self.day.handle_event(event, self.now);
        }
        self.day.handle_tally(Tally { requests: [200, 150, 0, 0], unanswered: [0, 8, 0, 0] });
        self.day.handle_run(run, self.now);
        self.effects();
        self.wait(SETTLE);
    }
}

const TWO: [(&str, &[(&str, &str)]); 2] = [
    ("one", &[("seen", "detected_s <= 5"), ("told", "paged_s < 1")]),
    ("two", &[("kept", "unanswered_class[1] <= 1")]),
];

#[test]
fn steps_come_in_order_and_a_criterion_that_does_not_hold_becomes_a_finding() {
    let mut it =
        Driven::new("GD-1", scenario(&TWO, &[("all", "unanswered == 2 && verdicts.all(v, v == 'tolerated')")]), vec![]);
    assert_eq!(it.started, ["one"]);
    it.step(&run("EXP-1", "one", &[]), &events());
    assert_eq!(it.started, ["one", "two"]);
    it.step(&run("EXP-2", "two", &[]), &[]);
    let record = it.day.record();
    assert!(it.day.is_over() && record.phase == Phase::Ended);
    let held: Vec<_> = record.outcomes().map(|(step, it)| (step, it.name.as_str(), it.held)).collect();
    let expected = [
        (Some("one"), "seen", Some(true)),
        (Some("one"), "told", Some(false)),
        (Some("two"), "kept", Some(true)),
        (None, "all", Some(true)),
    ];
    assert_eq!(held, expected, "{record:#?}");
    assert_eq!(record.passed, Some(false));
    assert_eq!(record.opened, ["GD-1-F1"]);
    let finding = &it.findings["GD-1-F1"];
    assert_eq!((finding.step.as_deref(), finding.criterion.as_str(), finding.closed), (Some("one"), "told", None));
    assert_eq!(record.facts.as_ref().unwrap().detected_s, None, "the second was not detected");
    let told: Vec<&str> = record.timeline.iter().map(|line| &*line.what).collect();
    for what in ["inject", "detect", "incident", "page", "acknowledge", "withdraw", "recover", "verdict", "end"] {
        assert!(told.contains(&what), "{what}: {told:?}");
    }

    // The same again: still open. Then it holds: closed, by its re-test.
    let mut again = Driven::new("GD-2", scenario(&TWO[..1], &[]), vec![finding.clone()]);
    again.step(&run("EXP-3", "one", &[]), &events());
    assert_eq!((again.findings["GD-1-F1"].times, again.findings["GD-1-F1"].closed), (2, None));
    assert_eq!((again.day.record().again.len(), again.day.record().opened.len()), (1, 0));
    let better: [(&str, &[(&str, &str)]); 1] = [("one", &[("told", "paged_s < 60")])];
    let mut last = Driven::new("GD-3", scenario(&better, &[]), vec![again.findings["GD-1-F1"].clone()]);
    last.step(&run("EXP-4", "one", &[]), &events());
    let closed = &last.findings["GD-1-F1"];
    assert_eq!((closed.retest.as_deref(), closed.closed), (Some("GD-3"), Some(last.now)));
    assert_eq!((last.day.record().passed, last.day.record().closed.len()), (Some(true), 1));
}

#[test]
fn an_experiment_that_may_not_start_yet_is_tried_again_and_then_left_out() {
    let mut it = Driven::new("GD-1", scenario(&TWO, &[("all", "requests > 0")]), vec![]);
    for tries in 1..5 {
        it.day.handle_refused(&["an incident is open".to_owned()], true, it.now);
        it.effects();
        assert_eq!(it.day.record().now, "waiting");
        assert_eq!(it.started.len(), tries);
        it.wait(AGAIN);
    }
    it.day.handle_refused(&["an incident is open".to_owned()], true, it.now);
    it.effects();
    assert_eq!(it.started.last().unwrap(), "two", "the wait is over: the next step");
    it.day.handle_refused(&["there is no such experiment".to_owned()], false, it.now);
    it.effects();
    let record = it.day.record();
    assert_eq!((record.phase, record.passed), (Phase::Ended, None));
    assert!(record.outcomes().all(|(_, it)| it.held.is_none()) && it.findings.is_empty());
    assert_eq!(record.steps[0].refused, ["an incident is open"]);
}

#[test]
fn a_day_that_is_stopped_or_halted_stops_its_run_and_judges_nothing_more() {
    let halt = Event {
        at: at(20),
        kind: EventKind::HaltChanged { halted: true, by: "bob".to_owned(), reason: "no".to_owned() },
    };
    for halted in [true, false] {
        let mut it = Driven::new("GD-1", scenario(&TWO, &[]), vec![]);
        it.day.handle_started("EXP-1".to_owned(), it.now);
        if halted {
            it.day.handle_event(&halt, at(20));
        } else {
            it.day.handle_stop("bob", "enough", at(20));
        }
        it.effects();
        assert_eq!(it.stopped, ["EXP-1"]);
        let record = it.day.record();
        assert_eq!((record.phase, record.passed, it.day.is_over()), (Phase::Aborted, None, true));
        assert_eq!(record.stopped.as_ref().unwrap().by, "bob");
        it.wait(SETTLE);
        assert_eq!(it.started, ["one"]);
        assert!(it.findings.is_empty());
    }
    // Stopped while the run was being started.
    let mut it = Driven::new("GD-1", scenario(&TWO, &[]), vec![]);
    it.day.handle_stop("bob", "enough", at(1));
    it.day.handle_started("EXP-1".to_owned(), at(2));
    it.effects();
    assert_eq!(it.stopped, ["EXP-1"]);
    // A halt of yesterday, read from the log, is none of today.
    let mut it = Driven::new("GD-1", scenario(&TWO, &[]), vec![]);
    let earlier = Event { at: Time::from_secs(1), ..halt };
    it.day.handle_event(&earlier, at(1));
    assert!(!it.day.is_over());
}

#[test]
fn a_run_that_somebody_stopped_ends_the_day_and_one_that_a_guard_stopped_does_not() {
    for (reason, over) in [("asked", true), ("halt", true), ("burn_rate", false)] {
        let mut it = Driven::new("GD-1", scenario(&TWO, &[]), vec![]);
        let stopped = Stopped { at: at(20), reason: reason.into(), text: "t".to_owned(), by: "bob".to_owned() };
        it.step(&Run { stopped: Some(stopped), ..run("EXP-1", "one", &[]) }, &[]);
        assert_eq!(it.day.is_over(), over, "{reason}");
    }
}

#[test]
fn a_pause_is_kept() {
    let mut paused = scenario(&TWO[..1], &[]);
    paused.steps[0].pause = Duration::from_secs(30);
    let mut it = Driven::new("GD-1", paused, vec![]);
    assert!(it.started.is_empty());
    it.wait(Duration::from_secs(29));
    assert!(it.started.is_empty());
    assert_eq!(it.day.poll_timeout(), Some(at(30)));
    it.wait(Duration::from_secs(1));
    assert_eq!(it.started, ["one"]);
}

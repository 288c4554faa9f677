//! Every reason for which an experiment may not begin.

use std::time::Duration;

use mainstay_core::chaos::gates::{BudgetOf, Checked, Rigour, Terms, Traffic};
use mainstay_core::chaos::run::Start;
use mainstay_core::chaos::window::{Deny, DenyWhen};

use super::bench::{Bench, START, budget, experiment, incident, start_of, terms};

fn checked(bench: &Bench, start: &Start) -> Checked {
    bench.runner.check(start, &bench.situation, bench.now)
}

fn codes(bench: &Bench, start: &Start) -> Vec<&'static str> {
    checked(bench, start).refusals.iter().map(|refusal| refusal.code).collect()
}

fn plain() -> Start {
    start_of(experiment(""))
}

#[test]
fn what_passes_every_gate_is_started_and_what_does_not_is_not() {
    let mut bench = Bench::new();
    assert_eq!(checked(&bench, &plain()), Checked::default());
    bench.situation.degraded = vec![("answers".to_owned(), 2)];
    let refusals = bench.runner.handle_start(plain(), &bench.situation, bench.now).unwrap_err();
    assert_eq!(refusals, checked(&bench, &plain()).refusals);
    assert!(bench.runner.take_effects().is_empty() && bench.runner.runs().next().is_none());
}

#[test]
fn every_reason_is_told_at_once() {
    let mut bench = Bench::new();
    bench.inject(experiment(""));
    bench.runner.handle_halt(true, "bob", "outage", bench.now).unwrap();
    bench.perform();
    bench.now = START + Duration::from_hours(15);
    bench.situation.budgets = vec![
        BudgetOf { remaining: Some(0.1), ..budget(20.0) },
        BudgetOf { remaining: Some(0.0), status: "exhausted".to_owned(), ..budget(0.0) },
        BudgetOf { remaining: None, ..budget(0.0) },
    ];
    bench.situation.incidents = vec![incident("AI-1", "bad_data", &["answers"], START)];
    bench.situation.degraded = vec![("answers".to_owned(), 1)];
    bench.situation.traffic = vec![Traffic { route: "answers".to_owned(), rate: 0.01, unanswered: 0.0 }];
    let wrong = start_of(experiment(r#", "blast": "moderate", "cohort": {"share": "40%"}, "dose": "0%""#));
    let expected = [
        "halted",
        "definition",
        "caps",
        "window",
        "approval_missing",
        "busy",
        "budget",
        "budget_exhausted",
        "budget_unknown",
        "burning",
        "incident",
        "degraded",
        "traffic",
    ];
    assert_eq!(codes(&bench, &wrong), expected);
    assert!(checked(&bench, &wrong).refusals.iter().all(|refusal| refusal.text.len() > 20));
}

#[test]
fn one_experiment_runs_at_a_time_until_it_is_over() {
    let mut bench = Bench::new();
    bench.start(experiment(""));
    let mut elsewhere = plain();
    elsewhere.experiment.route = "elsewhere".to_owned();
    assert_eq!(codes(&bench, &elsewhere), ["busy"]);
    bench.until(|bench| bench.runner.runs().next().is_none());
    assert!(codes(&bench, &elsewhere).is_empty());
}

#[test]
fn the_whole_of_it_with_its_recovery_is_in_its_window() {
    let mut bench = Bench::with(Terms { rigour: Rigour::Staging, ..terms(Rigour::Staging) });
    bench.runner.handle_approve(("slow", "hash"), "bob", None, bench.now).unwrap();
    let moderate = start_of(experiment(r#", "blast": "moderate""#));
    // Sixteen minutes.
    bench.now = START + Duration::from_mins(13 * 60 - 16);
    assert!(codes(&bench, &moderate).is_empty());
    bench.now = bench.now + Duration::from_nanos(1);
    assert_eq!(codes(&bench, &moderate), ["window"]);
    assert!(codes(&bench, &plain()).is_empty());
}

#[test]
fn an_approval_is_of_one_plan_by_somebody_else_and_for_a_while() {
    let mut bench = Bench::new();
    let moderate = Start { plan: "one".to_owned(), ..start_of(experiment(r#", "blast": "moderate""#)) };
    let edited = Start { plan: "two".to_owned(), ..moderate.clone() };
    assert_eq!(codes(&bench, &moderate), ["approval_missing"]);
    bench.runner.handle_approve(("slow", "one"), "ann", None, bench.now).unwrap();
    assert_eq!(codes(&bench, &moderate), ["own_approval"]);
    assert!(codes(&bench, &Start { by: "eve".to_owned(), ..moderate.clone() }).is_empty());
    assert!(codes(&bench, &Start { by: String::new(), ..moderate.clone() }).is_empty(), "nobody is known");
    let approval = bench.runner.handle_approve(("slow", "one"), "bob", None, bench.now).unwrap();
    assert_eq!(approval.until, START + Duration::from_hours(7 * 24));
    assert!(codes(&bench, &moderate).is_empty());
    assert_eq!(codes(&bench, &edited), ["approval_other_plan"]);
    bench.perform();
    bench.restart(true);
    assert!(codes(&bench, &moderate).is_empty(), "it outlives the process");
    bench.now = START + Duration::from_hours(7 * 24) - Duration::from_nanos(1);
    assert!(codes(&bench, &moderate).is_empty());
    bench.now = START + Duration::from_hours(7 * 24);
    assert_eq!(codes(&bench, &moderate), ["approval_expired"]);
    let refused = bench.runner.handle_approve(("slow", "one"), "bob", Some(bench.now), bench.now);
    assert_eq!(refused.unwrap_err().code, "invalid");
    // Elsewhere the same person may do both.
    let mut bench = Bench::with(terms(Rigour::Staging));
    bench.runner.handle_approve(("slow", "one"), "ann", None, bench.now).unwrap();
    assert!(codes(&bench, &moderate).is_empty());
}

#[test]
fn a_demo_has_neither_windows_nor_approvals_nor_budgets_and_all_the_rest() {
    let mut demo = terms(Rigour::Demo);
    let today = jiff::civil::Date::constant(2026, 11, 24);
    demo.safety.windows.deny = vec![Deny { when: DenyWhen::Days(today, today), reason: None }];
    let mut bench = Bench::with(demo);
    let full = start_of(experiment(r#", "blast": "full", "cohort": {"share": "100%"}"#));
    assert!(codes(&bench, &full).is_empty());
    bench.situation.budgets[0].remaining = None;
    assert!(codes(&bench, &full).is_empty());
    assert_eq!(
        checked(&bench, &full).warnings.iter().map(|it| it.code).collect::<Vec<_>>(),
        ["budget_unknown"],
        "but it is told"
    );
    bench.situation.incidents.push(incident("AI-2", "bad_data", &[], START));
    assert_eq!(codes(&bench, &full), ["incident"]);
}

#[test]
fn budgets_that_are_not_known_to_be_enough_are_refused() {
    let mut bench = Bench::new();
    let mut with = |budget: BudgetOf| {
        bench.situation.budgets = vec![budget];
        codes(&bench, &plain())
    };
    assert!(with(BudgetOf { remaining: Some(0.2), ..budget(0.0) }).is_empty());
    assert_eq!(with(BudgetOf { remaining: Some(0.199), ..budget(0.0) }), ["budget"]);
    assert_eq!(with(BudgetOf { remaining: Some(-0.5), ..budget(0.0) }), ["budget_exhausted"]);
    assert_eq!(with(BudgetOf { remaining: Some(f64::NAN), ..budget(0.0) }), ["budget_unknown"]);
    assert_eq!(with(BudgetOf { status: "no_data".to_owned(), ..budget(0.0) }), ["budget_unknown"]);
    assert_eq!(with(BudgetOf { status: "a new word".to_owned(), ..budget(0.0) }), ["budget_unknown"]);
    assert_eq!(with(BudgetOf { route: None, remaining: None, ..budget(0.0) }), ["budget_unknown"]);
    assert!(with(BudgetOf { route: Some("other".to_owned()), remaining: None, ..budget(99.0) }).is_empty());
    assert_eq!(with(budget(14.5)), ["burning"]);
    bench.situation.budgets.clear();
    assert!(codes(&bench, &plain()).is_empty(), "a route without objectives has none to lose");
}

#[test]
fn incidents_elsewhere_do_not_matter_and_those_everywhere_do() {
    let mut bench = Bench::new();
    bench.situation.incidents = vec![incident("AI-1", "bad_data", &["other"], START)];
    bench.situation.degraded = vec![("answers".to_owned(), 0), ("other".to_owned(), 3)];
    assert!(codes(&bench, &plain()).is_empty());
    bench.situation.incidents.push(incident("AI-2", "bad_data", &[], START));
    assert_eq!(codes(&bench, &plain()), ["incident"]);
}

#[test]
fn traffic_that_cannot_decide_is_refused_and_little_is_told_of() {
    let mut bench = Bench::new();
    let mut with = |rate: f64, unanswered: f64, start: &Start| {
        bench.situation.traffic = vec![Traffic { route: "answers".to_owned(), rate, unanswered }];
        let checked = checked(&bench, start);
        let codes = |refusals: &[_]| {
            refusals.iter().map(|it: &mainstay_core::chaos::refusal::Refusal| it.code).collect::<Vec<_>>()
        };
        (codes(&checked.refusals), codes(&checked.warnings), checked.detectable)
    };
    // 30 requests of each arm for each one a second, and one in a hundred to be told.
    let (refusals, warnings, least) = with(1.0, 0.0, &plain());
    assert_eq!((refusals, warnings), (vec!["traffic"], vec![]));
    assert!(least.unwrap() > 0.01);
    let (refusals, warnings, least) = with(30.0, 0.0, &plain());
    assert_eq!((refusals, warnings), (vec![], vec!["traffic"]));
    assert!(least.unwrap() < 0.01);
    assert_eq!(with(40.0, 0.0, &plain()).1, Vec::<&str>::new());
    assert_eq!(with(40.0, 0.05, &plain()).0, ["traffic"], "where many fail anyway, more of them are seen later");
    let capped = start_of(experiment(r#", "caps": {"total": 100}"#));
    assert_eq!(with(40.0, 0.0, &capped).1, ["caps"]);
    let part = start_of(experiment(r#", "cohort": {"clients": ["shop"]}"#));
    assert_eq!(with(0.001, 0.0, &part), (vec![], vec![], None), "how large the part is, is not known");
    assert_eq!(with(f64::NAN, 0.0, &plain()), (vec![], vec![], None));
}

/// With its run and its journal a plan has to fit where it rests: one that does not would stop everything else from resting.
#[test]
fn plans_that_would_not_rest_are_refused() {
    let bench = Bench::with(terms(Rigour::Demo));
    let long = format!(r#", "cohort": {{"headers": {{"x-a": "{}"}}}}"#, "a".repeat(64 << 10));
    assert_eq!(codes(&bench, &start_of(experiment(&long))), ["definition"]);
    let fits = format!(r#", "cohort": {{"headers": {{"x-a": "{}"}}}}"#, "a".repeat(32 << 10));
    assert!(codes(&bench, &start_of(experiment(&fits))).is_empty());
    assert_eq!(codes(&bench, &Start { gameday: Some("g".repeat(201)), ..plain() }), ["definition"]);
}

#[test]
fn arms_in_blocks_need_the_time_for_them() {
    let bench = Bench::with(terms(Rigour::Demo));
    let full = |duration: &str| {
        let mut start = start_of(experiment(r#", "blast": "full", "cohort": {"share": "100%"}"#));
        start.experiment.duration = mainstay_core::chaos::written::parse_duration(duration).unwrap();
        start
    };
    assert_eq!(codes(&bench, &full("17s")), ["definition"]);
    assert!(codes(&bench, &full("18s")).is_empty());
    for hold in [Duration::from_secs(1), Duration::from_hours(2)] {
        assert_eq!(codes(&bench, &Start { hold: Some(hold), ..plain() }), ["definition"]);
    }
}

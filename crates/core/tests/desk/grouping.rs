//! What belongs to one onset is one incident.

use mainstay_core::event::EventKind;
use mainstay_core::incident::kind::{Severity, Status};
use mainstay_core::incident::record::FACTS_MAX;
use mainstay_core::response::desk::{Asked, Desk, New, OPEN_MAX};
use mainstay_core::response::fact::Change;

use crate::{Play, alert, at, breaker, burn, desk, drift, level, outside, run, terms};

#[test]
fn a_thousand_alerts_of_one_cause_are_one_incident_and_one_page() {
    let mut desk = desk();
    for n in 0..1_000_u64 {
        let labels = [("alertname", "HighLatency"), ("route", "score"), ("severity", "critical")];
        let labels: Vec<_> = labels.into_iter().chain([("instance", "i")]).collect();
        let second = n * 60 / 1_000;
        desk.pass(second);
        desk.handle_fact(outside(&format!("HighLatency-{n}"), "HighLatency", &labels), at(second), at(second));
    }
    let it = desk.only();
    assert_eq!((it.facts.len(), it.more_facts), (FACTS_MAX, 1_000 - FACTS_MAX as u64));
    assert_eq!(desk.waiting(), ["notify team", "page pager ada"]);
}

#[test]
fn two_causes_at_once_are_two_incidents() {
    let mut desk = desk();
    desk.hear(0, burn("latency", "page"));
    desk.hear(0, burn("chat_latency", "page"));
    desk.hear(1, run(true));
    let kinds: Vec<_> = desk.incidents().values().map(|it| (it.kind.as_str(), it.routes.clone())).collect();
    let expected = [
        ("serving_latency", vec!["score".to_owned()]),
        ("serving_latency", vec!["chat".to_owned()]),
        ("training_failure", vec!["score".to_owned()]),
    ];
    assert_eq!(kinds, expected);
    let mut desk = crate::desk();
    desk.handle_fact(outside("a", "DiskFull", &[("alertname", "DiskFull")]), at(0), at(0));
    desk.handle_fact(outside("b", "CertExpires", &[("alertname", "CertExpires")]), at(0), at(0));
    assert_eq!(desk.incidents().len(), 2);
}

#[test]
fn what_one_type_explains_joins_whatever_comes_first() {
    let events = [
        breaker("primary", "open"),
        level("score", 2, "backend_unhealthy"),
        burn("latency", "page"),
        burn("availability", "page"),
    ];
    for first in 0..events.len() {
        let mut desk = desk();
        let order = events.iter().cycle().skip(first).take(events.len());
        for (second, kind) in order.enumerate() {
            desk.hear(second as u64, kind.clone());
        }
        desk.pass(40);
        assert_eq!(desk.only().facts.len(), 4, "from {first}");
        assert_eq!(desk.only().kind, "serving_latency");
        assert_eq!(desk.only().onset, at(0), "it began with the first of them");
    }
}

#[test]
fn what_has_another_explanation_does_not_join() {
    let mut desk = desk();
    desk.hear(0, burn("latency", "page"));
    desk.hear(1, EventKind::SloAlertFired(alert("safety", "page", "harm")));
    desk.hear(2, drift("amount", "alert", "missing"));
    desk.pass(60);
    let kinds: Vec<_> = desk.incidents().values().map(|it| it.kind.as_str()).collect();
    assert_eq!(kinds, ["serving_latency", "safety_violation", "data_quality"]);
}

#[test]
fn what_comes_and_goes_opens_nothing_before_it_lasted() {
    let mut desk = desk();
    for n in 0..10 {
        desk.hear(n * 40, breaker("primary", "open"));
        desk.hear(n * 40 + 20, breaker("primary", "closed"));
    }
    assert!(desk.incidents().is_empty());
    desk.hear(1_000, breaker("primary", "open"));
    desk.pass(1_029);
    assert!(desk.incidents().is_empty());
    // A probe that is tried in between is no recovery.
    desk.hear(1_029, breaker("primary", "half_open"));
    desk.pass(1_030);
    assert_eq!(desk.only().detected, at(1_030));
    assert_eq!(desk.only().onset, at(1_000));
}

#[test]
fn what_comes_again_is_the_same_incident_and_pages_no_more() {
    let mut desk = desk();
    desk.hear(0, burn("latency", "page"));
    desk.deliver(0);
    desk.handle_asked(&desk.only().id.clone(), Asked::Acknowledge, "ada", at(5)).unwrap();
    desk.deliver(5);
    for n in 1..50 {
        desk.hear(n * 20, EventKind::SloAlertResolved(alert("latency", "page", "burn")));
        desk.hear(n * 20 + 10, burn("latency", "page"));
    }
    assert_eq!(desk.only().facts[0].times, 50);
    assert!(desk.waiting().is_empty(), "{:?}", desk.waiting());
    assert!(desk.only().timeline.len() < 80, "flapping does not flood the timeline: {}", desk.only().timeline.len());
}

#[test]
fn a_new_onset_after_a_while_is_another_incident() {
    let mut desk = desk();
    desk.hear(0, burn("latency", "page"));
    desk.hear(10, EventKind::SloAlertResolved(alert("latency", "page", "burn")));
    // The fact that was in it comes back to it while it is open; another one does not, after so long.
    desk.hear(2_000, breaker("primary", "open"));
    desk.pass(2_100);
    assert_eq!(desk.incidents().len(), 2);
}

#[test]
fn a_resolved_incident_is_opened_again_within_its_time_and_pages_again() {
    let mut desk = desk();
    desk.hear(0, burn("latency", "page"));
    desk.deliver(0);
    let id = desk.only().id.clone();
    desk.handle_asked(&id, Asked::Acknowledge, "ada", at(5)).unwrap();
    desk.hear(10, EventKind::SloAlertResolved(alert("latency", "page", "burn")));
    desk.handle_asked(&id, Asked::Status { to: Status::Resolved, reason: String::new() }, "ada", at(20)).unwrap();
    desk.deliver(20);
    desk.hear(60, burn("latency", "page"));
    let it = desk.only();
    assert_eq!((it.status, it.reopened, it.resolved), (Status::Investigating, 1, None));
    assert_eq!(desk.waiting(), ["notify team", "page pager ada"]);
    // After its time it is another one.
    desk.deliver(60);
    desk.hear(70, EventKind::SloAlertResolved(alert("latency", "page", "burn")));
    desk.handle_asked(&id, Asked::Status { to: Status::Resolved, reason: String::new() }, "ada", at(80)).unwrap();
    desk.deliver(80);
    desk.hear(80 + 1_801, burn("latency", "page"));
    let open: Vec<_> = desk.incidents().values().filter(|it| it.status.is_open()).collect();
    assert_eq!(open.len(), 1);
    assert_ne!(open[0].id, id);
}

#[test]
fn a_flood_of_causes_has_a_bound_and_loses_none() {
    let mut terms = terms();
    terms.incidents.notify.clear();
    let mut desk = Desk::new(terms, 1);
    for n in 0..OPEN_MAX + 50 {
        desk.handle_fact(outside(&format!("a{n}"), &format!("a{n}"), &[("alertname", "a")]), at(0), at(0));
    }
    assert_eq!(desk.incidents().len(), OPEN_MAX);
    let facts: usize = desk.incidents().values().map(|it| it.facts.len()).sum();
    assert_eq!(facts, OPEN_MAX + 50);
}

#[test]
fn it_becomes_worse_by_itself_and_never_better() {
    let mut desk = desk();
    desk.hear(0, burn("latency", "ticket"));
    assert_eq!(desk.only().severity, Severity::Sev3);
    assert_eq!(desk.waiting(), ["notify team"]);
    desk.hear(10, burn("latency", "page"));
    assert_eq!(desk.only().severity, Severity::Sev2);
    assert_eq!(desk.waiting(), ["notify team", "page pager ada"]);
    desk.handle_fact(Change::Ended("slo_burn/latency/page/burn/3600".to_owned()), at(20), at(20));
    assert_eq!(desk.only().severity, Severity::Sev2);
}

#[test]
fn what_comes_back_worse_is_judged_anew() {
    let mut desk = desk();
    desk.hear(0, level("score", 2, "backend_unhealthy"));
    desk.pass(40);
    assert_eq!(desk.only().severity, Severity::Sev3);
    desk.deliver(40);
    desk.hear(50, level("score", 0, "healthy"));
    desk.hear(60, level("score", 4, "backend_unhealthy"));
    assert_eq!(desk.only().severity, Severity::Sev2);
    assert_eq!(desk.waiting(), ["page pager ada"]);
}

#[test]
fn what_has_no_room_counts_all_the_same() {
    let mut desk = desk();
    let labels = |severity| [("alertname", "Slow"), ("route", "score"), ("severity", severity)];
    for n in 0..FACTS_MAX + 5 {
        desk.handle_fact(outside(&format!("a{n}"), "Slow", &labels("warning")), at(0), at(0));
    }
    assert_eq!((desk.only().severity, desk.only().more_facts), (Severity::Sev3, 5));
    desk.deliver(0);
    // One that is told once more is counted once.
    desk.handle_fact(outside(&format!("a{}", FACTS_MAX + 1), "Slow", &labels("warning")), at(1), at(1));
    assert_eq!(desk.only().more_facts, 5);
    desk.handle_fact(outside("worst", "Slow", &labels("critical")), at(2), at(2));
    assert_eq!(desk.only().severity, Severity::Sev2);
    assert_eq!(desk.waiting(), ["page pager ada"]);
    // All that is listed is over, and something that is not still lasts.
    let listed: Vec<String> = desk.only().facts.iter().map(|held| held.key.clone()).collect();
    for key in listed {
        desk.handle_fact(Change::Ended(key), at(3), at(3));
    }
    assert_eq!(desk.only().quiet_since, None);
    for n in 0..FACTS_MAX + 5 {
        desk.handle_fact(Change::Ended(format!("alert/a{n}")), at(4), at(4));
    }
    assert_eq!(desk.only().quiet_since, Some(at(4)));
}

#[test]
fn what_is_told_once_more_after_somebody_resolved_it_changes_nothing() {
    let mut desk = desk();
    let labels = [("alertname", "Slow"), ("severity", "critical")];
    desk.handle_fact(outside("slow", "Slow", &labels), at(0), at(0));
    desk.deliver(0);
    let id = desk.only().id.clone();
    let resolved = Asked::Status { to: Status::Resolved, reason: "known".to_owned() };
    desk.handle_asked(&id, resolved, "ada", at(10)).unwrap();
    desk.deliver(10);
    for hours in [1, 5, 20, 40] {
        let secs = hours * 3_600;
        desk.pass(secs);
        desk.handle_fact(outside("slow", "Slow", &labels), at(secs), at(secs));
        assert!(desk.incidents().values().all(|it| !it.status.is_open()) && desk.waiting().is_empty());
    }
    // It ends, and comes again: that is something new.
    desk.handle_fact(Change::Ended("alert/slow".to_owned()), at(150_000), at(150_000));
    desk.handle_fact(outside("slow", "Slow", &labels), at(160_000), at(160_000));
    assert_eq!(desk.incidents().values().filter(|it| it.status.is_open()).count(), 1);
}

#[test]
fn what_a_person_opened_without_a_place_takes_nothing_in() {
    let mut desk = desk();
    let new = New {
        title: "the coffee machine is broken".to_owned(),
        kind: "unclassified".to_owned(),
        severity: Severity::Sev4,
        routes: Vec::new(),
        onset: None,
        note: None,
    };
    desk.handle_opened(new, "ada", at(0)).unwrap();
    desk.handle_fact(outside("disk", "DiskFull", &[("alertname", "DiskFull")]), at(1), at(1));
    assert_eq!(desk.incidents().len(), 2);
}

//! Where an incident may go, what survives, and what is proposed.

use mainstay_core::event::EventKind;
use mainstay_core::incident::kind::{Severity, Status};
use mainstay_core::incident::record::{Act, ActionState, Findings, Item};
use mainstay_core::plan::TypeTerms;
use mainstay_core::response::desk::{Asked, Desk, New, Refused};
use std::time::Duration;

use crate::{Play, alert, at, breaker, burn, desk, drift, level, terms};

fn status(to: Status) -> Asked {
    Asked::Status { to, reason: String::new() }
}

#[test]
fn illegal_transitions_are_refused_with_the_legal_ones_named() {
    let mut desk = desk();
    desk.hear(0, burn("latency", "page"));
    let id = desk.only().id.clone();
    let ask = |desk: &mut Desk, to| desk.handle_asked(&id, status(to), "ada", at(10));
    let refused = ask(&mut desk, Status::PostMortem).unwrap_err();
    assert_eq!(refused, Refused::Illegal { from: Status::Detected, to: Status::PostMortem });
    assert_eq!(
        refused.to_string(),
        "an incident that is detected cannot become post_mortem; it may become investigating, mitigating, resolved, cancelled, merged"
    );
    // From every status, every other one: refused or done, as the table says.
    for from in Status::ALL {
        for to in Status::ALL.into_iter().filter(|to| *to != from && *to != Status::Merged) {
            let mut desk = desk.clone();
            let mut there = desk.only().clone();
            there.status = from;
            there.resolved = Some(at(5));
            there.review.root_cause = "known".to_owned();
            there.id = "AI-20260302-0099".to_owned();
            desk.recall(there);
            let done = desk.handle_asked("AI-20260302-0099", status(to), "ada", at(10));
            assert_eq!(done.is_ok(), from.next().contains(&to), "{from:?} to {to:?}: {done:?}");
        }
    }
    assert_eq!(
        desk.handle_asked("AI-20260302-9999", Asked::Acknowledge, "ada", at(10)),
        Err(Refused::Unknown("AI-20260302-9999".to_owned()))
    );
}

#[test]
fn what_was_bad_is_closed_with_its_cause() {
    let mut desk = desk();
    desk.hear(0, burn("latency", "page"));
    let id = desk.only().id.clone();
    desk.handle_asked(&id, status(Status::Resolved), "ada", at(10)).unwrap();
    assert_eq!(desk.handle_asked(&id, status(Status::PostMortem), "ada", at(20)), Err(Refused::NoRootCause));
    let items = vec![Item {
        id: 0,
        text: "watch capacity".to_owned(),
        owner: "ada".to_owned(),
        due: Some("2026-04-01".to_owned()),
        purpose: "prevent".to_owned(),
        state: "open".to_owned(),
    }];
    let mut bad = items.clone();
    bad[0].due = Some("soon".to_owned());
    let review = |items| {
        Asked::Review(Box::new(Findings { root_cause: "no capacity".to_owned(), items, ..Findings::default() }))
    };
    assert!(desk.clone().handle_asked(&id, review(bad), "ada", at(21)).is_err());
    desk.handle_asked(&id, review(items), "ada", at(21)).unwrap();
    desk.handle_asked(&id, status(Status::PostMortem), "ada", at(22)).unwrap();
    let it = desk.only();
    assert_eq!((it.status, it.closed, it.review.items[0].id), (Status::PostMortem, Some(at(22)), 1));
}

#[test]
fn recovery_is_proposed_and_somebody_decides() {
    let mut desk = desk();
    desk.hear(0, burn("latency", "page"));
    desk.deliver(0);
    desk.hear(100, EventKind::SloAlertResolved(alert("latency", "page", "burn")));
    desk.pass(399);
    assert_eq!(desk.only().proposed, None);
    desk.pass(400);
    assert_eq!((desk.only().proposed, desk.only().status), (Some(at(400)), Status::Detected));
    // It comes back: the proposal is void.
    desk.hear(410, burn("latency", "page"));
    assert_eq!(desk.only().proposed, None);

    let mut terms = terms();
    terms.incidents.auto_resolve = true;
    let mut desk = Desk::new(terms, 1);
    desk.hear(0, burn("latency", "page"));
    desk.deliver(0);
    desk.hear(100, EventKind::SloAlertResolved(alert("latency", "page", "burn")));
    desk.pass(400);
    assert_eq!((desk.only().status, desk.only().resolved), (Status::Resolved, Some(at(400))));
    assert!(desk.only().timeline.iter().any(|it| it.what == "status" && it.source == "rule"));
}

#[test]
fn ids_are_of_their_day_and_never_return() {
    let mut desk = desk();
    let open = |desk: &mut Desk, secs| {
        let new = New {
            title: "x".to_owned(),
            kind: "data_quality".to_owned(),
            severity: Severity::Sev4,
            routes: Vec::new(),
            onset: None,
            note: None,
        };
        desk.handle_opened(new, "ada", at(secs)).unwrap()
    };
    assert_eq!(open(&mut desk, 0), "AI-20260302-0001");
    assert_eq!(open(&mut desk, 1), "AI-20260302-0002");
    assert_eq!(open(&mut desk, 86_400), "AI-20260303-0001");
    // The clock is set back.
    assert_eq!(open(&mut desk, 0), "AI-20260303-0002");
    // Another instance took one.
    desk.saw("AI-20260303-0007");
    assert_eq!(open(&mut desk, 86_400), "AI-20260303-0008");
    // After a start.
    let mut again = crate::desk();
    again.restore(desk.memory(), Vec::new(), Vec::new());
    assert_eq!(open(&mut again, 86_400), "AI-20260303-0009");
}

#[test]
fn a_desk_that_starts_again_goes_on() {
    let mut desk = desk();
    desk.hear(0, burn("latency", "page"));
    desk.hear(1, level("chat", 1, "backend_unhealthy"));
    let mut again = crate::desk();
    let incidents = desk.incidents().values().cloned().collect();
    again.restore(desk.memory(), incidents, desk.deliveries().values().cloned().collect());
    assert_eq!(again.waiting(), desk.waiting());
    assert_eq!(again.poll_timeout(), desk.poll_timeout());
    // The same event again, and its end: both find their place.
    again.hear(2, burn("latency", "page"));
    again.hear(3, EventKind::SloAlertResolved(alert("latency", "page", "burn")));
    let it = again.incidents().values().next().unwrap();
    assert_eq!((again.incidents().len(), it.facts.len(), it.facts[0].times), (1, 1, 1));
    assert_eq!(it.facts[0].until, Some(at(3)));
    let json = serde_json::to_string(it).unwrap();
    assert_eq!(serde_json::from_str::<mainstay_core::incident::record::Incident>(&json).unwrap(), *it);
}

#[test]
fn what_an_earlier_process_saw_is_over_until_it_is_seen_again() {
    let mut desk = desk();
    desk.hear(0, burn("latency", "page"));
    desk.hear(1, level("score", 2, "backend_unhealthy"));
    desk.hear(2, drift("amount", "alert", "psi"));
    desk.hear(10, EventKind::Starting {});
    desk.hear(11, burn("latency", "page"));
    let it = desk.incidents().values().next().unwrap();
    let lasts = |fact: &str| it.facts.iter().find(|held| held.fact == fact).map(|held| held.until.is_none());
    assert_eq!((lasts("slo_burn"), lasts("degraded")), (Some(true), Some(false)));
    assert_eq!(it.facts[0].since, at(0), "it is the same as before");
    // Drift is remembered by whoever found it: it opens its incident when it has lasted.
    desk.pass(60);
    assert!(desk.incidents().values().any(|it| it.kind == "drift_detected"));
}

#[test]
fn what_is_wrong_with_a_part_that_is_gone_is_over() {
    let mut desk = desk();
    desk.hear(0, burn("latency", "page"));
    let mut terms = terms();
    terms.reach.objectives.remove("latency");
    desk.set_terms(terms, at(5));
    assert_eq!(desk.only().facts[0].until, Some(at(5)));
}

#[test]
fn what_is_set_up_anew_is_well_until_it_is_seen_to_be_not() {
    let mut before = terms();
    before.reach.configs.insert("primary".to_owned(), 1);
    let mut desk = Desk::new(before.clone(), 1);
    desk.hear(0, breaker("primary", "open"));
    desk.hear(1, level("score", 2, "backend_unhealthy"));
    desk.pass(60);
    desk.set_terms(before.clone(), at(70));
    assert!(desk.only().facts.iter().all(|held| held.until.is_none()), "another config of something else");
    before.reach.configs.insert("primary".to_owned(), 2);
    desk.set_terms(before, at(80));
    let ended: Vec<_> =
        desk.only().facts.iter().filter(|held| held.until.is_some()).map(|held| held.fact.as_str()).collect();
    assert_eq!(ended, ["breaker_open"], "the route tells itself when it is back");
}

#[test]
fn what_is_proposed_is_what_the_ladder_has() {
    let mut terms = terms();
    terms.reach.levels.insert("score".to_owned(), [0, 3, 4].into());
    let mut desk = Desk::new(terms, 1);
    desk.hear(0, burn("features", "page"));
    let route = || "score".to_owned();
    assert_eq!(desk.proposals(desk.only()), [Act::PinLevel { route: route(), level: 3 }]);
    let id = desk.only().id.clone();
    let asked = Asked::Act { act: Act::CachedFeatures { route: route() }, lasting: None };
    assert!(desk.handle_asked(&id, asked, "ada", at(1)).is_err());
}

#[test]
fn merging_moves_what_is_wrong_and_what_comes_of_it() {
    let mut desk = desk();
    desk.hear(0, burn("latency", "ticket"));
    desk.hear(1, burn("chat_latency", "page"));
    let ids: Vec<_> = desk.incidents().keys().cloned().collect();
    let merge = Asked::Merge { into: ids[1].clone(), reason: "one network".to_owned() };
    desk.handle_asked(&ids[0], merge, "ada", at(10)).unwrap();
    assert_eq!(desk.incidents()[&ids[0]].status, Status::Merged);
    let target = &desk.incidents()[&ids[1]];
    assert_eq!((target.facts.len(), target.routes.len(), target.onset), (2, 2, at(0)));
    desk.hear(20, EventKind::SloAlertResolved(alert("latency", "ticket", "burn")));
    let ended = desk.incidents()[&ids[1]].facts.iter().filter(|held| held.until.is_some()).count();
    assert_eq!(ended, 1);
    let back = Asked::Merge { into: ids[0].clone(), reason: String::new() };
    assert!(desk.handle_asked(&ids[1], back, "ada", at(30)).is_err());
}

#[test]
fn actions_have_effect_for_a_while_and_can_be_undone() {
    let mut desk = desk();
    desk.hear(0, burn("latency", "page"));
    let id = desk.only().id.clone();
    let pin = Act::PinLevel { route: "score".to_owned(), level: 2 };
    assert!(desk.proposals(desk.only()).contains(&pin));
    let act = |act: &Act, secs| Asked::Act { act: act.clone(), lasting: Some(Duration::from_secs(secs)) };
    desk.take_changes();
    desk.handle_asked(&id, act(&pin, 600), "ada", at(1)).unwrap();
    let doing = desk.take_changes().doing;
    assert_eq!((doing.len(), &doing[0].act, doing[0].back), (1, &pin, false));
    assert!(desk.clone().handle_asked(&id, act(&pin, 600), "ada", at(2)).is_err(), "it is done already");
    desk.handle_done(&id, 1, Ok(None), at(2));
    assert_eq!((desk.only().status, desk.only().actions[0].state), (Status::Mitigating, ActionState::Active));
    assert!(desk.only().escalation.is_some(), "it is not somebody who has it");
    // A start brings it back into effect.
    let mut again = crate::desk();
    again.restore(desk.memory(), vec![desk.only().clone()], Vec::new());
    assert_eq!(again.take_changes().doing.len(), 1);
    // Its time is over.
    desk.deliver(2);
    desk.take_changes();
    desk.pass(601);
    let doing = desk.take_changes().doing;
    assert_eq!((doing.len(), doing[0].back), (1, true));
    desk.handle_done(&id, 1, Ok(None), at(602));
    assert_eq!(desk.only().actions[0].state, ActionState::Expired);
    for bad in [
        Act::PinLevel { route: "none".to_owned(), level: 2 },
        Act::PinLevel { route: "score".to_owned(), level: 5 },
        Act::BlockPattern { route: "score".to_owned(), pattern: " ".to_owned() },
        Act::PreviousModel { model: "none".to_owned() },
    ] {
        assert!(desk.clone().handle_asked(&id, act(&bad, 60), "ada", at(700)).is_err(), "{bad:?}");
    }
    assert!(desk.clone().handle_asked(&id, act(&pin, 0), "ada", at(700)).is_err());
    assert!(desk.clone().handle_asked(&id, Asked::Undo(1), "ada", at(700)).is_err());
}

#[test]
fn what_the_config_allows_is_done_without_asking() {
    let mut terms = terms();
    let auto = vec!["pin_level".to_owned()];
    terms.incidents.types.insert("serving_latency".to_owned(), TypeTerms { auto, ..TypeTerms::default() });
    let mut desk = Desk::new(terms, 1);
    desk.hear(0, burn("latency", "page"));
    let doing = desk.take_changes().doing;
    assert_eq!(doing[0].act, Act::PinLevel { route: "score".to_owned(), level: 2 });
    desk.handle_done(&doing[0].incident, 1, Err("no such level".to_owned()), at(1));
    assert_eq!((desk.only().actions[0].state, desk.only().status), (ActionState::Failed, Status::Detected));
}

#[test]
fn what_a_person_says_of_its_severity_holds_until_it_becomes_worse() {
    let mut desk = desk();
    desk.hear(0, burn("latency", "page"));
    let id = desk.only().id.clone();
    let to = Asked::Severity { to: Severity::Sev4, reason: "a test".to_owned() };
    desk.handle_asked(&id, to, "ada", at(1)).unwrap();
    assert!(!desk.waiting().iter().any(|it| it.starts_with("page")), "nobody is paged for it any more");
    desk.hear(2, burn("latency", "page"));
    desk.hear(3, level("score", 2, "backend_unhealthy"));
    assert_eq!(desk.only().severity, Severity::Sev4);
    desk.hear(4, burn("availability", "page"));
    desk.hear(5, level("score", 4, "backend_unhealthy"));
    assert_eq!(desk.only().severity, Severity::Sev1);
}

#[test]
fn a_type_that_a_person_chooses_pages_where_its_severity_does() {
    let mut desk = desk();
    desk.hear(0, burn("latency", "ticket"));
    let id = desk.only().id.clone();
    let to = Asked::Type { kind: "safety_violation".to_owned(), reason: String::new() };
    desk.handle_asked(&id, to, "ada", at(1)).unwrap();
    assert_eq!((desk.only().severity, desk.waiting()[1].as_str()), (Severity::Sev2, "page pager ada"));
}

#[test]
fn what_another_action_keeps_is_not_undone() {
    let mut desk = desk();
    desk.hear(0, burn("latency", "page"));
    desk.hear(1, EventKind::SloAlertFired(alert("quality", "page", "burn")));
    let ids: Vec<String> = desk.incidents().keys().cloned().collect();
    let act = Act::RaiseSampling { route: "score".to_owned() };
    for id in &ids {
        desk.handle_asked(id, Asked::Act { act: act.clone(), lasting: None }, "ada", at(2)).unwrap();
        desk.handle_done(id, 1, Ok(None), at(2));
    }
    desk.take_changes();
    desk.handle_asked(&ids[0], Asked::Undo(1), "ada", at(3)).unwrap();
    assert!(desk.take_changes().doing.is_empty());
    assert_eq!(desk.incidents()[&ids[0]].actions[0].state, ActionState::Undone);
    desk.handle_asked(&ids[1], Asked::Undo(1), "ada", at(4)).unwrap();
    assert_eq!(desk.take_changes().doing.len(), 1);
}

#[test]
fn what_is_remembered_rests_in_pieces() {
    let mut desk = desk();
    for n in 0..3_000 {
        desk.hear(0, breaker(&format!("b{n}"), "open"));
    }
    let pieces = desk.memory().pieces(100_000);
    assert!(pieces.len() > 3 && pieces.iter().all(|piece| piece.len() < 300_000));
    let mut memory = mainstay_core::response::desk::Memory::default();
    for piece in pieces {
        memory.add(&piece).unwrap();
    }
    let mut again = crate::desk();
    again.restore(memory, Vec::new(), Vec::new());
    let text = |desk: &Desk| serde_json::to_string(&desk.memory()).unwrap();
    assert_eq!(text(&again), text(&desk));
}

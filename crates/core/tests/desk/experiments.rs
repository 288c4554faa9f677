//! Experiments: what goes on meanwhile says so, and what they leave behind is an incident.

use mainstay_core::event::{EventKind, ExperimentChange};
use mainstay_core::incident::kind::{Severity, Status};
use mainstay_core::incident::notice::Purpose;
use mainstay_core::incident::record::{Act, ActionState};
use mainstay_core::response::desk::Asked;

use crate::{Play as _, at, burn, desk};

fn phase(run: &str, route: &str, phase: &'static str) -> EventKind {
    EventKind::ExperimentChanged(ExperimentChange {
        run: run.to_owned(),
        experiment: "slow-model".to_owned(),
        route: route.to_owned(),
        fault: "model_latency".to_owned(),
        phase: phase.into(),
        reason: None,
        by: "ada".to_owned(),
    })
}

fn ended(run: &str, verdict: &'static str) -> EventKind {
    EventKind::ExperimentEnded {
        run: run.to_owned(),
        experiment: "slow-model".to_owned(),
        route: "score".to_owned(),
        verdict: verdict.into(),
        reason: "the burn rate stayed above its bound".to_owned(),
    }
}

#[test]
fn what_opens_meanwhile_names_the_experiment_whatever_its_type_and_offers_to_stop_it() {
    for slo in ["latency", "quality", "features", "safety"] {
        let route = if slo == "safety" { "chat" } else { "score" };
        let mut desk = desk();
        desk.hear(0, phase("EXP-2026-0001", route, "injecting"));
        assert!(desk.incidents().is_empty(), "an experiment is nothing wrong by itself");
        desk.hear(60, burn(slo, "page"));
        let it = desk.only().clone();
        assert!(it.facts.iter().any(|held| held.text.contains("EXP-2026-0001") && held.until.is_none()), "{slo}");
        let stop = Act::StopExperiment { run: "EXP-2026-0001".to_owned() };
        assert_eq!(desk.proposals(&it)[0], stop, "{slo}");
        let page = desk.deliveries().values().find(|it| it.notice.purpose == Purpose::Page).unwrap();
        assert!(page.notice.summary.contains("slow-model (EXP-2026-0001)"), "{}", page.notice.summary);
        // The type is what it would be without the experiment.
        let mut without = crate::desk();
        without.hear(60, burn(slo, "page"));
        assert_eq!((&it.kind, &it.title), (&without.only().kind, &without.only().title));
        desk.hear(120, phase("EXP-2026-0001", route, "recovering"));
        assert!(!desk.proposals(desk.only()).contains(&stop), "{slo}: what is over needs no end");
        let asked = Asked::Act { act: stop, lasting: None };
        assert!(desk.handle_asked(&it.id, asked, "ada", at(121)).is_err());
    }
}

#[test]
fn an_experiment_on_another_route_has_nothing_to_do_with_it() {
    let mut desk = desk();
    desk.hear(0, phase("EXP-2026-0001", "chat", "injecting"));
    desk.hear(60, burn("latency", "page"));
    assert!(desk.only().facts.iter().all(|held| !held.text.contains("EXP-2026-0001")));
    assert!(!desk.proposals(desk.only()).iter().any(|act| matches!(act, Act::StopExperiment { .. })));
}

#[test]
fn an_experiment_is_stopped_for_good() {
    let mut desk = desk();
    desk.hear(0, phase("EXP-2026-0001", "score", "injecting"));
    desk.hear(60, burn("latency", "page"));
    let id = desk.only().id.clone();
    let act = Act::StopExperiment { run: "EXP-2026-0001".to_owned() };
    desk.handle_asked(&id, Asked::Act { act: act.clone(), lasting: None }, "ada", at(61)).unwrap();
    let taken = desk.take_changes();
    assert!(taken.doing.iter().any(|doing| doing.act == act && !doing.back && doing.until.is_none()));
    desk.handle_done(&id, 1, Ok(None), at(62));
    assert_eq!((desk.only().actions[0].state, desk.only().status), (ActionState::Active, Status::Mitigating));
    // It does not end by itself, and a restart does not do it again.
    desk.pass(8 * 24 * 3_600);
    assert_eq!(desk.incidents()[&id].actions[0].state, ActionState::Active);
    let mut again = crate::desk();
    again.restore(desk.memory(), desk.incidents().values().cloned().collect(), Vec::new());
    assert!(again.take_changes().doing.is_empty());
}

#[test]
fn what_is_not_well_again_is_an_incident_until_somebody_sees_that_it_is() {
    let mut desk = desk();
    desk.hear(0, phase("EXP-2026-0001", "score", "injecting"));
    desk.hear(300, phase("EXP-2026-0001", "score", "recovering"));
    desk.hear(600, ended("EXP-2026-0001", "not_recovered"));
    let it = desk.only();
    assert_eq!((it.kind.as_str(), it.severity), ("not_recovered", Severity::Sev2));
    assert_eq!(it.routes, ["score"]);
    assert!(it.timeline.iter().any(|it| it.text.contains("EXP-2026-0001") && it.text.contains("slow-model")));
    assert!(it.quiet_since.is_none());
    desk.hear(900, phase("EXP-2026-0002", "score", "lead_in"));
    assert!(desk.only().quiet_since.is_some(), "the next one begins only where all is well");
    for verdict in ["tolerated", "degraded", "violated", "inconclusive", "invalid", "aborted"] {
        let mut desk = crate::desk();
        desk.hear(0, ended("EXP-2026-0001", verdict));
        assert!(desk.incidents().is_empty(), "{verdict}");
    }
}

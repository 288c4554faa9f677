//! Every type is recognised by what it shows itself by.

use mainstay_core::event::{EventKind, ModelPromoted};
use mainstay_core::incident::kind::Severity;
use mainstay_core::response::desk::Desk;
use mainstay_core::response::fact;
use mainstay_core::response::signature::{Catalogue, UNCLASSIFIED};

use crate::{Play, alert, at, breaker, burn, desk, drift, level, outside, quality, run, signal};

/// The incident that these make, one each second, once what must last has lasted.
fn provoked(events: Vec<EventKind>) -> Desk {
    let mut desk = desk();
    for (second, kind) in events.into_iter().enumerate() {
        desk.hear(second as u64, kind);
    }
    desk.pass(60);
    desk
}

fn assert_first(events: Vec<EventKind>, kind: &str, severity: Severity) {
    let desk = provoked(events);
    let it = desk.only();
    let ranking: Vec<_> = it.ranking.iter().map(|it| (it.kind.as_str(), it.score)).collect();
    assert_eq!((it.kind.as_str(), it.severity), (kind, severity), "{ranking:?}");
    assert_eq!(it.ranking[0].kind, kind);
    assert!(it.ranking.iter().map(|it| it.probability).sum::<f64>() - 1.0 < 1e-9);
    let signature = desk.catalogue().get(kind).unwrap();
    let (fired, silent) = (it.ranking[0].fired.len(), it.ranking[0].silent.len());
    assert_eq!(fired + silent, signature.signals.len(), "each signal fired or did not");
}

#[test]
fn model_degradation() {
    assert_first(vec![burn("quality", "page")], "model_degradation", Severity::Sev2);
    assert_first(vec![quality("confidence", "likely_violated")], "model_degradation", Severity::Sev3);
    let promoted = EventKind::ModelPromoted(ModelPromoted {
        model: "fraud".to_owned(),
        model_version: "4".to_owned(),
        previous: Some("3".to_owned()),
        by: "ada".to_owned(),
        rollback: false,
        data_max_event_time: None,
    });
    // A model without confidence burns availability; that it was changed just before, and is in doubt, tells it from an outage.
    let events = vec![promoted, quality("confidence", "potential_issue"), burn("availability", "page")];
    assert_first(events, "model_degradation", Severity::Sev2);
}

#[test]
fn data_quality() {
    assert_first(vec![drift("amount", "drift_detected", "missing")], "data_quality", Severity::Sev3);
    let events = vec![drift("amount", "alert", "out_of_range"), quality("positive_rate", "likely_violated")];
    assert_first(events, "data_quality", Severity::Sev3);
}

#[test]
fn feature_pipeline() {
    let events = vec![breaker("account", "open"), level("score", 1, "features_unhealthy")];
    assert_first(events, "feature_pipeline", Severity::Sev3);
    assert_first(vec![burn("features", "page")], "feature_pipeline", Severity::Sev2);
    // A promise that tolerates nothing, and is broken, did no harm.
    let broken = EventKind::SloAlertFired(alert("features", "page", "harm"));
    assert_first(vec![broken], "feature_pipeline", Severity::Sev2);
    let events = vec![breaker("account", "open"), level("score", 1, "features_unhealthy"), burn("latency", "page")];
    assert_first(events, "feature_pipeline", Severity::Sev2);
}

#[test]
fn serving_latency() {
    assert_first(vec![burn("latency", "page")], "serving_latency", Severity::Sev2);
    let events = vec![breaker("primary", "open"), level("score", 2, "backend_unhealthy"), burn("availability", "page")];
    assert_first(events, "serving_latency", Severity::Sev2);
    let events = vec![breaker("primary", "open"), level("score", 4, "backend_unhealthy"), burn("availability", "page")];
    assert_first(events, "serving_latency", Severity::Sev1);
}

#[test]
fn safety_violation() {
    assert_first(vec![EventKind::SloAlertFired(alert("safety", "page", "harm"))], "safety_violation", Severity::Sev1);
    assert_first(vec![burn("safety", "page")], "safety_violation", Severity::Sev1);
    assert_first(vec![burn("safety", "ticket")], "safety_violation", Severity::Sev2);
}

#[test]
fn drift_detected() {
    assert_first(vec![drift("amount", "drift_detected", "psi")], "drift_detected", Severity::Sev4);
    assert_first(vec![drift("amount", "alert", "ks")], "drift_detected", Severity::Sev3);
}

#[test]
fn training_failure() {
    assert_first(vec![run(true)], "training_failure", Severity::Sev3);
}

#[test]
fn feedback_loop() {
    assert_first(vec![signal("label_caused", "beyond")], "feedback_loop", Severity::Sev3);
    assert_first(
        vec![signal("exposure_gini", "beyond"), signal("label_caused", "beyond")],
        "feedback_loop",
        Severity::Sev3,
    );
}

#[test]
fn what_no_type_explains_is_unclassified_and_what_names_a_type_is_of_it() {
    let mut desk = desk();
    desk.handle_fact(outside("disk", "disk", &[("alertname", "DiskFull")]), at(0), at(0));
    assert_eq!(desk.only().kind, UNCLASSIFIED);
    let mut desk = crate::desk();
    let labels = [("alertname", "x"), ("incident_type", "data_quality"), ("severity", "critical")];
    desk.handle_fact(outside("x", "x", &labels), at(0), at(0));
    assert_eq!((desk.only().kind.as_str(), desk.only().severity), ("data_quality", Severity::Sev2));
}

#[test]
fn what_says_least_is_not_called_a_worse_model() {
    assert_first(vec![burn("availability", "page")], "serving_latency", Severity::Sev2);
}

#[test]
fn the_catalogue_is_whole() {
    let catalogue = Catalogue::default();
    let kinds: Vec<&str> = catalogue.types().iter().map(|it| it.kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "model_degradation",
            "data_quality",
            "feature_pipeline",
            "serving_latency",
            "safety_violation",
            "drift_detected",
            "training_failure",
            "feedback_loop",
            "not_recovered",
            "unclassified"
        ]
    );
    for it in catalogue.types() {
        assert!(
            !it.steps.is_empty() && !it.escalation.is_empty() && !it.questions.is_empty() && !it.prevention.is_empty()
        );
        assert!(it.kind == UNCLASSIFIED || (it.causes.len() >= 3 && !it.actions.is_empty()), "{}", it.kind);
        for signal in &it.signals {
            assert!(0.0 < signal.often && signal.often < 1.0 && 0.0 < signal.otherwise && signal.otherwise < 1.0);
            for condition in &signal.any {
                let labels = fact::KINDS.iter().find(|(kind, _)| *kind == condition.fact).map(|(_, labels)| *labels);
                assert!(labels.is_some() || condition.fact == fact::ALERT, "{} looks for {}", it.kind, condition.fact);
                let has = |name: &String| labels.is_none_or(|labels| labels.contains(&name.as_str()));
                assert!(condition.with.keys().all(has), "{} of {}", signal.name, it.kind);
            }
        }
    }
}

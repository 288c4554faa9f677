//! The JSON of events is a promise: one golden file for each kind.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test reads its golden files")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use mainstay_core::event::{
    self, DriftChange, Event, EventKind, ExperimentChange, IncidentNews, Kept, ModelPromoted, QualityChange,
    RequestFinished, Scalar, SloAlert, TrainingEnded,
};
use mainstay_core::route::{Class, Level};
use mainstay_core::time::Time;
use proptest::prelude::*;

fn level(number: u8) -> Level {
    Level::new(number).unwrap()
}

fn alert() -> SloAlert {
    SloAlert {
        slo: "fraud_availability".to_owned(),
        severity: "page".into(),
        why: "burn".into(),
        long_s: Some(3600),
        short_s: Some(300),
        factor: Some(14.4),
        burn: Some(22.5),
    }
}

fn incident(status: &'static str, by: &str) -> IncidentNews {
    IncidentNews {
        incident: "inc-2026-03-01-1".to_owned(),
        kind: "model_degradation".to_owned(),
        severity: "sev2".into(),
        status: status.into(),
        title: "Model degradation on score".to_owned(),
        by: by.to_owned(),
    }
}

/// A request of which no more is known than must be.
fn request() -> RequestFinished {
    let json =
        r#"{"request_id":"r-1","route":"score","class":0,"code":200,"attempts":0,"duration_us":0,"overhead_us":0}"#;
    serde_json::from_str(json).unwrap()
}

fn every_kind() -> Vec<(&'static str, EventKind)> {
    let route = || "score".to_owned();
    let backend = || "primary".to_owned();
    let endpoint = || "http://127.0.0.1:9001".to_owned();
    vec![
        ("service.starting", EventKind::Starting {}),
        ("service.started", EventKind::Started { service: "fraud".to_owned(), build: "0.1.0".into() }),
        ("service.draining", EventKind::Draining {}),
        ("service.stopped", EventKind::Stopped {}),
        ("config.reloaded", EventKind::ConfigReloaded {}),
        ("config.refused", EventKind::ConfigRefused { findings: vec!["unknown key `lisen`".to_owned()] }),
        (
            "level.changed",
            EventKind::LevelChanged { route: route(), from: level(0), to: level(2), reason: "breaker_open".into() },
        ),
        (
            "level.pinned",
            EventKind::LevelPinned {
                route: route(),
                level: level(3),
                until: Some(Time::from_secs(1_772_370_000)),
                by: "api".into(),
                reason: "model rollout".to_owned(),
            },
        ),
        ("level.released", EventKind::LevelReleased { route: route(), reason: "expired".into() }),
        (
            "breaker.changed",
            EventKind::BreakerChanged {
                backend: backend(),
                from: "closed".into(),
                to: "open".into(),
                reason: "consecutive_failures".into(),
            },
        ),
        (
            "group.changed",
            EventKind::GroupChanged {
                group: "west".to_owned(),
                members: vec![backend(), "small".to_owned()],
                from: "half_open".into(),
                to: "open".into(),
                reason: "probe_failed".into(),
            },
        ),
        ("limit.changed", EventKind::LimitChanged { backend: backend(), from: 64, to: 48, reason: "latency".into() }),
        ("endpoint.ejected", EventKind::EndpointEjected { backend: backend(), endpoint: endpoint() }),
        ("endpoint.returned", EventKind::EndpointReturned { backend: backend(), endpoint: endpoint() }),
        (
            "key.rests",
            EventKind::KeyRests {
                backend: backend(),
                key: 1,
                reason: "spent".into(),
                until: Time::from_secs(1_772_370_000),
            },
        ),
        ("key.returned", EventKind::KeyReturned { backend: backend(), key: 1 }),
        (
            "health.changed",
            EventKind::HealthChanged { component: "account".to_owned(), healthy: false, reason: "timeout".into() },
        ),
        (
            "slo.status_changed",
            EventKind::SloStatusChanged {
                slo: "fraud_availability".to_owned(),
                from: "healthy".into(),
                to: "warning".into(),
                remaining: 0.4,
                event: None,
            },
        ),
        ("slo.alert_fired", EventKind::SloAlertFired(alert())),
        ("slo.alert_resolved", EventKind::SloAlertResolved(alert())),
        (
            "drift.status_changed",
            EventKind::DriftStatusChanged(DriftChange {
                name: "amount".to_owned(),
                route: Some(route()),
                from: "ok".into(),
                to: "alert".into(),
                method: Some("psi".into()),
                value: Some(0.375),
            }),
        ),
        (
            "drift.alarm_raised",
            EventKind::DriftAlarmRaised {
                name: "amount".to_owned(),
                route: Some(route()),
                detector: "conformal".into(),
                run_length: 1e6,
            },
        ),
        (
            "quality.status_changed",
            EventKind::QualityStatusChanged(QualityChange {
                route: route(),
                metric: "precision".to_owned(),
                from: "healthy".into(),
                to: "violated".into(),
                value: Some(0.75),
            }),
        ),
        (
            "experiment.changed",
            EventKind::ExperimentChanged(ExperimentChange {
                run: "EXP-2026-0001".to_owned(),
                experiment: "feature-store-slow".to_owned(),
                route: route(),
                fault: "feature_latency".to_owned(),
                phase: "recovering".into(),
                reason: Some("burn_rate".into()),
                by: "guard".to_owned(),
            }),
        ),
        (
            "experiment.ended",
            EventKind::ExperimentEnded {
                run: "EXP-2026-0001".to_owned(),
                experiment: "feature-store-slow".to_owned(),
                route: route(),
                verdict: "tolerated".into(),
                reason: "no worse than the control by more than 1 %".to_owned(),
            },
        ),
        (
            "chaos.halt_changed",
            EventKind::HaltChanged { halted: true, by: "alice".to_owned(), reason: "a real incident".to_owned() },
        ),
        (
            "gameday.changed",
            EventKind::GamedayChanged {
                gameday: "GD-2026-0001".to_owned(),
                scenario: "store-outage".to_owned(),
                to: "running".into(),
                what: "feature-store-slow".to_owned(),
            },
        ),
        (
            "signal.status_changed",
            EventKind::SignalChanged {
                name: "complaints".to_owned(),
                from: "within".into(),
                to: "beyond".into(),
                value: 0.0625,
                bound: 0.02,
            },
        ),
        ("incident.opened", EventKind::IncidentOpened(incident("detected", "mainstay"))),
        ("incident.changed", EventKind::IncidentChanged(incident("investigating", "ada"))),
        (
            "incident.notified",
            EventKind::IncidentNotified {
                incident: "inc-2026-03-01-1".to_owned(),
                notice: "inc-2026-03-01-1/1".to_owned(),
                channel: "pager".to_owned(),
                purpose: "page".into(),
                outcome: "delivered".into(),
            },
        ),
        (
            "training.run_failed",
            EventKind::TrainingFailed(TrainingEnded {
                run: "fraud-1".to_owned(),
                name: "fraud".to_owned(),
                state: "failed".into(),
                reason: "oom".into(),
                step: 1500,
                attempts: 3,
            }),
        ),
        (
            "training.run_finished",
            EventKind::TrainingFinished(TrainingEnded {
                run: "fraud-1".to_owned(),
                name: "fraud".to_owned(),
                state: "succeeded".into(),
                reason: "done".into(),
                step: 2000,
                attempts: 2,
            }),
        ),
        (
            "model.promoted",
            EventKind::ModelPromoted(ModelPromoted {
                model: "fraud".to_owned(),
                model_version: "4".to_owned(),
                previous: Some("3".to_owned()),
                by: "ada".to_owned(),
                rollback: false,
                data_max_event_time: Some(Time::from_secs(1_772_280_000)),
            }),
        ),
        (
            "model.promotion_failed",
            EventKind::ModelPromotionFailed {
                model: "fraud".to_owned(),
                model_version: "4".to_owned(),
                outcome: "rolled_back".into(),
                reason: "the hook answered 500".to_owned(),
            },
        ),
        (
            "request.finished",
            EventKind::RequestFinished(Box::new(RequestFinished {
                request_id: "r-1".to_owned(),
                client: Some("checkout".to_owned()),
                route: route(),
                class: Class::BEST,
                level: Some(level(1)),
                code: 200,
                reason: Some("features_cached".into()),
                attempts: 2,
                duration: Duration::from_micros(20_125),
                overhead: Duration::from_micros(310),
                confidence: Some(0.875),
                model: Some("fraud".to_owned()),
                model_version: Some("3".to_owned()),
                ..request()
            })),
        ),
    ]
}

/// `UPDATE_GOLDEN=1` writes the files anew; a change to one that exists is a change of [`event::VERSION`].
#[test]
fn every_kind_is_pinned_by_its_golden_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/event");
    let mut expected_files = Vec::new();
    for (name, kind) in every_kind() {
        let event = Event { at: Time::from_nanos(1_772_366_400_250_000_000), kind };
        let json = event.to_json();
        assert!(json.contains(&format!(r#""type":"{name}""#)), "{json}");
        let path = folder.join(format!("{name}.json"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, format!("{json}\n")).unwrap();
        }
        let pinned = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(pinned.trim_end(), json, "{name}");
        assert_eq!(Event::from_json(&pinned).unwrap(), event, "{name}");
        let extended = json.replacen('{', r#"{"added_later":{"a":[1]},"#, 1);
        assert_eq!(Event::from_json(&extended).unwrap(), event, "{name} with a field that is not known");
        expected_files.push(format!("{name}.json"));
    }
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    expected_files.sort();
    assert_eq!(files, expected_files);
}

#[test]
fn all_that_is_known_of_a_request_is_read_back() {
    let kind = EventKind::RequestFinished(Box::new(RequestFinished {
        inference: Some(Duration::from_micros(5)),
        prediction: Some(Scalar::Number(0.25)),
        features: BTreeMap::from([
            ("account:country".to_owned(), Scalar::Word("NO".to_owned())),
            ("account:new".to_owned(), Scalar::Flag(true)),
        ]),
        stale_features: 1,
        stream: true,
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()),
        kept: vec![Kept { why: "reservoir".into(), probability: 0.5 }],
        ..request()
    }));
    let event = Event { at: Time::from_secs(5), kind };
    let json = event.to_json();
    let expected = r#""inference_us":5,"prediction":0.25,"features":{"account:country":"NO","account:new":true},"stale_features":1,"stream":true,"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","kept":[{"why":"reservoir","probability":0.5}]}"#;
    assert!(json.ends_with(expected), "{json}");
    assert_eq!(Event::from_json(&json).unwrap(), event);
}

#[test]
fn what_does_not_apply_may_be_missing() {
    let json = r#"{"version":1,"at":"2026-03-01T13:00:00+01:00","type":"request.finished","request_id":"r","route":"a","class":3,"code":429,"attempts":0,"duration_us":5,"overhead_us":5}"#;
    let event = Event::from_json(json).unwrap();
    assert_eq!(event.to_json(), json.replace("13:00:00+01:00", "12:00:00Z"));
}

#[test]
fn what_cannot_be_understood_is_refused() {
    for (json, complaint) in [
        (r#"{"version":2,"at":"2026-03-01T12:00:00Z","type":"service.stopped"}"#, "version 2"),
        (r#"{"version":1,"at":"yesterday","type":"service.stopped"}"#, "RFC 3339"),
        (r#"{"version":1,"at":"2026-03-01T12:00:00Z","type":"service.exploded"}"#, "service.exploded"),
        (
            r#"{"version":1,"at":"2026-03-01T12:00:00Z","type":"level.changed","route":"a","from":0,"to":5,"reason":"x"}"#,
            "a level is",
        ),
    ] {
        let error = Event::from_json(json).unwrap_err().to_string();
        assert!(error.contains(complaint), "{error}");
    }
}

#[test]
fn times_are_read_strictly() {
    for (text, millis) in [
        ("1970-01-01T00:00:00Z", Some(0)),
        ("2000-02-29T23:59:59.999Z", Some(951_868_799_999)),
        ("2024-02-29t00:00:00-00:30", Some(1_709_166_600_000)),
        ("2023-02-29T00:00:00Z", None),
        ("2023-13-01T00:00:00Z", None),
        ("2023-01-01T24:00:00Z", None),
        ("2023-01-01T00:00:00", None),
        ("2023-01-01T00:00:00.Z", None),
        ("2023-1-01T00:00:00Z", None),
        ("1969-12-31T23:59:59Z", None),
        ("9999-12-31T23:59:59Z", None),
        ("2023-01-01T00:00:00+2é:00", None),
    ] {
        assert_eq!(event::parse_time(text).map(Time::as_millis), millis, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_time_is_read_back(nanos in any::<u64>()) {
        let time = Time::from_nanos(nanos);
        prop_assert_eq!(event::parse_time(&event::format_time(time)), Some(time));
    }

    #[test]
    fn no_text_breaks_the_reader(text in r"[0-9TtZz:.+\-é]{0,32}") {
        if let Some(time) = event::parse_time(&text) {
            prop_assert_eq!(event::parse_time(&event::format_time(time)), Some(time));
        }
    }
}

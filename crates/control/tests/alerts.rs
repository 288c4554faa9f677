//! The body of Alertmanager's webhook: what is read, and what is said of what is wrong.

#![expect(clippy::unwrap_used, reason = "a test")]

use mainstay_control::alerts::{ALERTS_MAX, AlertsError, BODY_MAX, LABELS_MAX, NAME_MAX, Status, VALUE_MAX, read};
use mainstay_core::time::Time;
use serde_json::{Value, json};

fn alert() -> Value {
    json!({
        "status": "firing",
        "labels": { "alertname": "Slow", "service": "fraud" },
        "annotations": { "summary": "it is slow" },
        "startsAt": "2026-03-01T13:00:00.25+01:00",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": "0123456789abcdef",
    })
}

fn body(alerts: &[Value]) -> Value {
    json!({
        "version": "4",
        "groupKey": "{}:{alertname=\"Slow\"}",
        "truncatedAlerts": 3,
        "status": "firing",
        "receiver": "mainstay",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager",
        "notification_reason": "first notification",
        "alerts": alerts,
    })
}

/// A body whose second alert has this in the place of a pointer; without the field for `null` at its end.
fn with(pointer: &str, value: Value) -> Vec<u8> {
    let mut second = alert();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    second.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(name.to_owned(), value);
    body(&[alert(), second]).to_string().into_bytes()
}

fn without(field: &str) -> Vec<u8> {
    let mut second = alert();
    second.as_object_mut().unwrap().remove(field);
    body(&[alert(), second]).to_string().into_bytes()
}

fn told(body: &[u8]) -> String {
    read(body).unwrap_err().to_string()
}

#[test]
fn all_that_is_said_is_read() {
    let webhook = read(body(&[alert()]).to_string().as_bytes()).unwrap();
    assert_eq!(webhook.group_key, "{}:{alertname=\"Slow\"}");
    assert_eq!((webhook.status, webhook.receiver.as_str(), webhook.truncated), (Status::Firing, "mainstay", 3));
    let alert = &webhook.alerts[0];
    assert!(alert.firing);
    assert_eq!((alert.labels["alertname"].as_str(), alert.labels["service"].as_str()), ("Slow", "fraud"));
    assert_eq!(alert.annotations["summary"], "it is slow");
    assert_eq!(alert.starts_at, Time::from_millis(1_772_366_400_250));
    assert_eq!(alert.ends_at, None);
    assert_eq!(
        (alert.fingerprint.as_str(), alert.generator.as_deref()),
        ("0123456789abcdef", Some("http://prometheus/graph"))
    );
}

#[test]
fn what_may_be_missing_may_be_missing() {
    for field in ["annotations", "endsAt", "generatorURL", "fingerprint"] {
        let bare = &read(&without(field)).unwrap().alerts[1];
        assert_eq!(bare, &read(&with(&format!("/{field}"), Value::Null)).unwrap().alerts[1]);
        assert!(!bare.fingerprint.is_empty());
    }
    let mut whole = body(&[]);
    whole.as_object_mut().unwrap().remove("truncatedAlerts");
    whole["status"] = json!("resolved");
    let webhook = read(whole.to_string().as_bytes()).unwrap();
    assert_eq!((webhook.alerts.len(), webhook.truncated, webhook.status), (0, 0, Status::Resolved));
}

#[test]
fn times_are_read_whenever_they_are() {
    let at = |field: &str, text: &str| read(&with(field, json!(text))).unwrap().alerts.remove(1);
    assert_eq!(at("/endsAt", "2026-03-01T12:00:00Z").ends_at, Some(Time::from_secs(1_772_366_400)));
    assert_eq!(at("/endsAt", "1960-01-01T00:00:00Z").ends_at, Some(Time::ZERO));
    assert_eq!(at("/endsAt", "9999-12-30T00:00:00Z").ends_at, Some(Time::MAX));
    assert_eq!(at("/endsAt", "0001-01-01T00:00:00Z").ends_at, None);
    assert_eq!(at("/endsAt", "").ends_at, None);
    assert_eq!(at("/startsAt", "0001-01-01T00:00:00Z").starts_at, Time::ZERO);
    assert_eq!(at("/startsAt", "1969-12-31T23:59:59.9Z").starts_at, Time::ZERO);
}

#[test]
fn fingerprints_are_those_of_prometheus() {
    // FNV-1a of nothing, and of "name", 0xff, "value", 0xff, computed by the definition in other words.
    let fnv = |bytes: &[u8]| {
        bytes.iter().fold(14_695_981_039_346_656_037_u64, |sum, byte| {
            (u128::from(sum ^ u64::from(*byte)) * 1_099_511_628_211 % (1 << 64)) as u64
        })
    };
    let labels = |labels: Value| {
        let mut second = alert();
        second["labels"] = labels;
        second["fingerprint"] = json!("");
        read(body(&[second]).to_string().as_bytes()).unwrap().alerts.remove(0).fingerprint
    };
    assert_eq!(labels(json!({ "name": "value" })), format!("{:016x}", fnv(b"name\xffvalue\xff")));
    // The order in which they are written is nothing, and an empty one is not there.
    assert_eq!(labels(json!({ "b": "1", "a": "2" })), format!("{:016x}", fnv(b"a\xff2\xffb\xff1\xff")));
    assert_eq!(labels(json!({ "a": "2", "c": "", "b": "1" })), labels(json!({ "a": "2", "b": "1" })));
    assert_ne!(labels(json!({ "a": "bc" })), labels(json!({ "ab": "c" })));
}

#[test]
fn faults_name_the_alert_and_the_field() {
    assert_eq!(told(&without("labels")), "alert 2: `labels` is missing");
    assert_eq!(told(&without("status")), "alert 2: `status` is missing");
    assert_eq!(told(&without("startsAt")), "alert 2: `startsAt` is missing");
    assert_eq!(told(&with("/status", json!("on"))), "alert 2: `status` is neither \"firing\" nor \"resolved\"");
    assert_eq!(told(&with("/labels", json!({}))), "alert 2: `labels` is empty");
    assert_eq!(told(&with("/labels", json!([]))), "alert 2: `labels` is no object");
    assert_eq!(told(&with("/labels/n", json!(1))), "alert 2: `labels.n` is no text");
    assert_eq!(told(&with("/annotations/n", json!(null))), "alert 2: `annotations.n` is no text");
    assert_eq!(told(&with("/startsAt", json!("yesterday"))), "alert 2: `startsAt` is no time of RFC 3339");
    assert_eq!(told(&with("/endsAt", json!(5))), "alert 2: `endsAt` is no text");
    assert_eq!(told(body(&[alert(), json!(7)]).to_string().as_bytes()), "alert 2: `alerts` holds what is no object");
    for (field, value, expected) in [
        ("alerts", json!({}), "`alerts` is no list"),
        ("status", json!("on"), "`status` is neither \"firing\" nor \"resolved\""),
        ("groupKey", json!(1), "`groupKey` is no text"),
        ("receiver", Value::Null, "`receiver` is missing"),
        ("truncatedAlerts", json!(-1), "`truncatedAlerts` is no whole number"),
        ("version", json!("3"), "`version` must be \"4\""),
        ("version", json!(4), "`version` must be \"4\""),
    ] {
        let mut whole = body(&[alert()]);
        whole[field] = value;
        assert_eq!(told(whole.to_string().as_bytes()), expected);
    }
    for text in ["[]", "7", "null", "{}"] {
        assert_eq!(read(text.as_bytes()), Err(AlertsError::Version), "{text}");
    }
    for text in [&b""[..], b"{", b"\xff", b"{} {}"] {
        assert!(matches!(read(text), Err(AlertsError::Json(_))));
    }
    assert!(matches!(read("[".repeat(100_000).as_bytes()), Err(AlertsError::Json(_))));
}

#[test]
fn bounds_hold_to_the_byte() {
    let named = |n: usize| json!({ "n".repeat(n): "v" });
    assert!(read(&with("/labels", named(NAME_MAX))).is_ok());
    let long = format!("has a name that is empty or longer than {NAME_MAX} bytes");
    assert_eq!(told(&with("/labels", named(NAME_MAX + 1))), format!("alert 2: `labels` {long}"));
    assert_eq!(told(&with("/annotations", named(0))), format!("alert 2: `annotations` {long}"));

    let many = |n: usize| Value::Object((0..n).map(|n| (format!("l{n}"), json!("v"))).collect());
    assert_eq!(read(&with("/labels", many(LABELS_MAX))).unwrap().alerts[1].labels.len(), LABELS_MAX);
    assert_eq!(told(&with("/labels", many(LABELS_MAX + 1))), "alert 2: `labels` has 65 names; at most 64");

    // Labels say which alert it is: half of one would be another. Other texts are cut.
    assert!(read(&with("/labels/n", json!("v".repeat(VALUE_MAX)))).is_ok());
    let text = told(&with("/labels/n", json!("v".repeat(VALUE_MAX + 1))));
    assert_eq!(text, format!("alert 2: `labels.n` is longer than {VALUE_MAX} bytes"));
    for (length, kept) in [(VALUE_MAX / 2, VALUE_MAX), (VALUE_MAX / 2 + 1, VALUE_MAX - 1)] {
        let value = &read(&with("/annotations/n", json!("é".repeat(length)))).unwrap().alerts[1].annotations["n"];
        assert_eq!((value.len(), value.ends_with('…')), (kept, length > VALUE_MAX / 2));
    }
    let text = told(&with("/fingerprint", json!("f".repeat(NAME_MAX + 1))));
    assert_eq!(text, format!("alert 2: `fingerprint` is longer than {NAME_MAX} bytes"));

    let short = json!({ "status": "firing", "labels": { "a": "b" }, "startsAt": "2026-03-01T12:00:00Z" });
    let full = body(&vec![short.clone(); ALERTS_MAX]).to_string();
    assert!(full.len() <= BODY_MAX, "{}", full.len());
    assert_eq!(read(full.as_bytes()).unwrap().alerts.len(), ALERTS_MAX);
    let over = body(&vec![short; ALERTS_MAX + 1]).to_string();
    assert_eq!(told(over.as_bytes()), "`alerts` has 10001 alerts; at most 10000");

    let mut filled = body(&[alert()]).to_string();
    filled.push_str(&" ".repeat(BODY_MAX - filled.len()));
    assert!(read(filled.as_bytes()).is_ok());
    filled.push(' ');
    assert_eq!(read(filled.as_bytes()), Err(AlertsError::TooLong));
}

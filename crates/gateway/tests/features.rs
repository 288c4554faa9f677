//! Feast's wire shapes, holes and their fillings, and values in requests.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use mainstay_core::plan::{FeatureCache, FeatureSet, Into};
use mainstay_core::resilience::breaker;
use mainstay_core::time::Time;
use mainstay_gateway::features::{FeastError, FeatureSetError, FeatureStage, InjectError, KeyError, Keys, Retrieved};
use proptest::prelude::*;
use serde_json::{Value, json};

/// 2023-11-14T22:13:20Z.
const NOW: Time = Time::from_secs(1_700_000_000);

fn set(into: Option<Into>) -> FeatureSet {
    FeatureSet {
        name: "account".to_owned(),
        url: "http://127.0.0.1:6566".to_owned(),
        timeout: Duration::from_millis(50),
        refs: vec!["account:tx".to_owned(), "account:avg".to_owned()],
        entity: vec![("account_id".to_owned(), "/parameters/account_id".to_owned())],
        into,
        max_age: Some(Duration::from_hours(1)),
        cache: FeatureCache { entries: 100, max_age: Duration::from_hours(24) },
        defaults: BTreeMap::from([("account:tx".to_owned(), json!(0))]),
        health: None,
        breaker: breaker::Config::default(),
    }
}

fn tensor(datatype: &str) -> FeatureStage {
    let into = Into::Tensor { input: "features".to_owned(), datatype: datatype.to_owned() };
    FeatureStage::new(&set(Some(into))).unwrap()
}

fn keys(stage: &FeatureStage, ids: &Value) -> Keys {
    let body = json!({"parameters": {"account_id": ids}}).to_string();
    stage.keys(&HeaderMap::new(), body.as_bytes()).unwrap()
}

/// An answer for the two features, column-major: values and statuses per entity.
fn answer(ids: &Value, columns: [(&Value, Value); 2], at: &str) -> Vec<u8> {
    let rows = ids.as_array().unwrap().len();
    let times = vec![at; rows];
    let column = |(values, statuses): (&Value, Value)| json!({"values": values, "statuses": statuses, "event_timestamps": times});
    let entity = column((ids, json!(vec!["PRESENT"; rows])));
    let [tx, avg] = columns.map(column);
    let names = ["account_id", "account__tx", "account__avg"];
    json!({"metadata": {"feature_names": names}, "results": [entity, tx, avg]}).to_string().into_bytes()
}

const FRESH: &str = "2023-11-14T22:00:00Z";
const OLD: &str = "2023-11-14T20:00:00+00:00";

/// Values, then stale, hits, misses, defaulted, missing.
fn account(features: &Retrieved) -> (Value, [usize; 5]) {
    let counts = [features.stale, features.hits, features.misses, features.defaulted, features.missing];
    (json!(features.values()), counts)
}

#[test]
fn the_request_is_column_major() {
    let stage = tensor("FP64");
    let body: Value = serde_json::from_slice(&stage.request(&keys(&stage, &json!(["a", 7])))).unwrap();
    let expected = json!({"features": ["account:tx", "account:avg"], "entities": {"account_id": ["a", 7]}, "full_feature_names": true});
    assert_eq!(body, expected);
    let fails = |body: &str| stage.keys(&HeaderMap::new(), body.as_bytes()).unwrap_err();
    assert!(matches!(fails("{}"), KeyError::Absent { .. }));
    assert!(matches!(fails(r#"{"parameters": {"account_id": null}}"#), KeyError::Absent { .. }));
    assert!(matches!(fails(r#"{"parameters": {"account_id": {}}}"#), KeyError::Kind { .. }));
    assert!(matches!(fails(r#"{"parameters": {"account_id": []}}"#), KeyError::Rows { found: 0, .. }));
    let many = json!({"parameters": {"account_id": vec![1; 1025]}}).to_string();
    assert!(matches!(fails(&many), KeyError::Rows { found: 1025, .. }));
    assert!(matches!(fails("garbage"), KeyError::Request(_)));
}

#[test]
fn columns_become_rows() {
    let stage = tensor("FP64");
    let ids = json!(["a", "b"]);
    let present = json!(["PRESENT", "PRESENT"]);
    let response = answer(&ids, [(&json!([1, 2]), present.clone()), (&json!([0.1, 0.2]), present)], FRESH);
    let features = stage.absorb(&response, &keys(&stage, &ids), NOW).unwrap();
    assert_eq!(account(&features), (json!([1, 0.1, 2, 0.2]), [0; 5]));
    assert_eq!(features.get("account:avg"), Some(&json!(0.1)));
    // The cache knows each entity by itself, and what it knows gets stale and then too old.
    let b = keys(&stage, &json!("b"));
    assert_eq!(account(&stage.retrieve_cached(&b, NOW)), (json!([2, 0.2]), [0, 2, 0, 0, 0]));
    let later = NOW + Duration::from_hours(2);
    assert_eq!(account(&stage.retrieve_cached(&b, later)), (json!([2, 0.2]), [2, 2, 0, 0, 0]));
    let tomorrow = NOW + Duration::from_hours(25);
    let gone = stage.retrieve_cached(&b, tomorrow);
    assert_eq!(account(&gone), (json!([0, null]), [0, 0, 2, 1, 1]));
    assert_eq!(gone.missing_refs(), ["account:avg"]);
}

#[test]
fn holes_are_filled_from_the_cache_then_the_default() {
    let stage = tensor("FP64");
    let id = json!(["a"]);
    let keys = keys(&stage, &id);
    let absorb = |tx: (Value, &str), avg: (Value, &str), at: &str| {
        let response = answer(&id, [(&json!([tx.0]), json!([tx.1])), (&json!([avg.0]), json!([avg.1]))], at);
        account(&stage.absorb(&response, &keys, NOW).unwrap())
    };
    let not_found = absorb((Value::Null, "NOT_FOUND"), (Value::Null, "NOT_FOUND"), "1970-01-01T00:00:00Z");
    assert_eq!(not_found, (json!([0, null]), [0, 0, 2, 1, 1]));
    assert_eq!(absorb((json!(5), "PRESENT"), (json!(0.5), "PRESENT"), FRESH), (json!([5, 0.5]), [0; 5]));
    let half = absorb((Value::Null, "NOT_FOUND"), (json!(0.6), "PRESENT"), FRESH);
    assert_eq!(half, (json!([5, 0.6]), [0, 1, 0, 0, 0]));
    let invalid = absorb((Value::Null, "INVALID"), (Value::Null, "OUTSIDE_MAX_AGE"), FRESH);
    assert_eq!(invalid, (json!([5, 0.6]), [0, 2, 0, 0, 0]));
    let outside = absorb((json!(9), "OUTSIDE_MAX_AGE"), (json!(0.7), "PRESENT"), OLD);
    assert_eq!(outside, (json!([9, 0.7]), [2, 0, 0, 0, 0]));
    // A null is a fact: it is not replaced by what was known, and what was known is gone.
    let null = absorb((Value::Null, "NULL_VALUE"), (json!(0.8), "PRESENT"), FRESH);
    assert_eq!(null, (json!([0, 0.8]), [0, 0, 0, 1, 0]));
    assert_eq!(account(&stage.retrieve_cached(&keys, NOW)), (json!([0, 0.8]), [0, 1, 1, 1, 0]));
}

#[test]
fn names_come_in_several_forms() {
    let stage = tensor("FP64");
    let keys = keys(&stage, &json!(1001));
    let read = |names: Value| {
        let column = |value: Value| json!({"values": [value]});
        let response = json!({"metadata": {"feature_names": names}, "results": [column(json!(0.5)), column(json!("1001")), column(json!(3))]});
        stage.absorb(response.to_string().as_bytes(), &keys, NOW).map(|features| json!(features.values()))
    };
    for names in [json!(["avg", "account_id", "tx"]), json!({"val": ["account:avg", "account_id", "account__tx"]})] {
        assert_eq!(read(names), Ok(json!([3, 0.5])));
    }
    assert_eq!(read(json!(["avg", "account_id", "other"])), Err(FeastError::Lacks("account:tx".to_owned())));
}

/// Feast's documentation prints one result per entity. Read by columns, that would give one entity's values to another.
#[test]
fn row_major_answers_are_refused() {
    let stage = tensor("FP64");
    let absorb = |names: Value, results: Value, ids: Value| {
        let response = json!({"metadata": {"feature_names": names}, "results": results}).to_string();
        stage.absorb(response.as_bytes(), &keys(&stage, &ids), NOW).unwrap_err()
    };
    let row = |id: u64| json!({"values": [id, 5, 0.5], "statuses": ["PRESENT", "PRESENT", "PRESENT"]});
    let names = json!(["account_id", "account__tx", "account__avg"]);
    let two = absorb(names.clone(), json!([row(1), row(2)]), json!([1, 2]));
    assert_eq!(two, FeastError::Columns { results: 2, names: 3 });
    let square = absorb(names.clone(), json!([row(1), row(2), row(3)]), json!([1, 2, 3]));
    assert_eq!(square, FeastError::Entities { name: "account_id".to_owned() });
    let uneven = absorb(names, json!([{"values": [1]}, {"values": [5, 6]}, {"values": [0.5]}]), json!([1]));
    assert_eq!(uneven, FeastError::Rows { name: "account__tx".to_owned(), found: 2, rows: 1 });
}

#[test]
fn tensors_are_spliced_in() {
    let stage = tensor("FP64");
    let ids = json!(["a"]);
    let present = json!(["PRESENT"]);
    let response = answer(&ids, [(&json!([3]), present.clone()), (&json!([0.5]), present)], FRESH);
    let features = stage.absorb(&response, &keys(&stage, &ids), NOW).unwrap();
    let inject = |body: &'static str| {
        let body = stage.inject(&HeaderMap::new(), &Bytes::from_static(body.as_bytes()), &features)?;
        Ok::<_, InjectError>(String::from_utf8(body.to_vec()).unwrap())
    };
    let tensor_text = r#"{"name":"features","shape":[1,2],"datatype":"FP64","data":[3,0.5]}"#;
    assert_eq!(inject(r#"{"inputs" : [ ] , "x": 1e2}"#), Ok(format!(r#"{{"inputs" : [ {tensor_text}] , "x": 1e2}}"#)));
    let appended = format!(r#"{{"inputs":[{{"name":"a","data":[1.50]}},{tensor_text}]}}"#);
    assert_eq!(inject(r#"{"inputs":[{"name":"a","data":[1.50]}]}"#), Ok(appended));
    let replaced = format!(r#"{{"inputs":[{tensor_text}, {{"name":"b"}}]}}"#);
    assert_eq!(inject(r#"{"inputs":[{"name":"features","data":[0]}, {"name":"b"}]}"#), Ok(replaced));
    assert!(matches!(inject("{}"), Err(InjectError::NoPlace { .. })));
    assert!(matches!(inject(r#"{"inputs": {}}"#), Err(InjectError::NoPlace { .. })));
    assert!(matches!(inject("{"), Err(InjectError::Json(_))));
    let mut binary = HeaderMap::new();
    binary.insert("inference-header-content-length", 2.into());
    assert_eq!(stage.inject(&binary, &Bytes::from_static(b"{}"), &features), Err(InjectError::Binary));
}

#[test]
fn values_must_fit_the_datatype() {
    let fits = |datatype: &str, value: Value| {
        let stage = tensor(datatype);
        let ids = json!(["a"]);
        let present = json!(["PRESENT"]);
        let columns = [(&json!([value]), present.clone()), (&json!([value]), present)];
        let features = stage.absorb(&answer(&ids, columns, FRESH), &keys(&stage, &ids), NOW).unwrap();
        let body = Bytes::from_static(br#"{"inputs":[]}"#);
        match stage.inject(&HeaderMap::new(), &body, &features) {
            Ok(body) => Some(serde_json::from_slice::<Value>(&body).unwrap()["inputs"][0]["data"][0].clone()),
            Err(InjectError::Datatype { .. }) => None,
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(fits("INT8", json!(-128)), Some(json!(-128)));
    assert_eq!(fits("INT8", json!(128)), None);
    assert_eq!(fits("UINT64", json!(u64::MAX)), Some(json!(u64::MAX)));
    assert_eq!(fits("UINT8", json!(-1)), None);
    assert_eq!(fits("INT64", json!(3.0)), Some(json!(3)));
    assert_eq!(fits("INT64", json!(3.5)), None);
    assert_eq!(fits("FP32", json!(1e39)), None);
    assert_eq!(fits("FP64", json!("NaN")), None);
    assert_eq!(fits("BYTES", json!("x")), Some(json!("x")));
    assert_eq!(fits("BYTES", json!(1)), None);
    assert_eq!(fits("BOOL", json!(true)), Some(json!(true)));
    let missing = tensor("FP64");
    let features = missing.retrieve_cached(&keys(&missing, &json!("new")), NOW);
    let refused = missing.inject(&HeaderMap::new(), &Bytes::from_static(br#"{"inputs":[]}"#), &features);
    assert_eq!(refused, Err(InjectError::Missing("account:avg".to_owned())));
}

#[test]
fn plain_json_gets_an_object() {
    let stage = FeatureStage::new(&set(Some(Into::Pointer("/a/f".to_owned())))).unwrap();
    let features = stage.retrieve_cached(&keys(&stage, &json!("x")), NOW);
    let inject = |body: &'static str| {
        let body = stage.inject(&HeaderMap::new(), &Bytes::from_static(body.as_bytes()), &features)?;
        Ok::<_, InjectError>(String::from_utf8(body.to_vec()).unwrap())
    };
    let object = r#"{"account:avg":null,"account:tx":0}"#;
    assert_eq!(inject(r#"{"a": { }}"#), Ok(format!(r#"{{"a": {{"f":{object} }}}}"#)));
    assert_eq!(inject(r#"{"a": {"b": 1}}"#), Ok(format!(r#"{{"a": {{"f":{object},"b": 1}}}}"#)));
    assert_eq!(inject(r#"{"a": {"f": [1], "b": 1}}"#), Ok(format!(r#"{{"a": {{"f": {object}, "b": 1}}}}"#)));
    assert!(matches!(inject(r#"{"a": []}"#), Err(InjectError::NoPlace { .. })));
    let root = FeatureStage::new(&set(Some(Into::Pointer(String::new())))).unwrap_err();
    assert_eq!(root, FeatureSetError::IntoRoot);
    let unknown = Into::Tensor { input: "x".to_owned(), datatype: "FP8".to_owned() };
    assert_eq!(FeatureStage::new(&set(Some(unknown))).unwrap_err(), FeatureSetError::Datatype("FP8".to_owned()));
}

proptest! {
    #[test]
    fn garbage_never_panics_and_is_refused(text in "[\\[\\]{}\":,a-z0-9 ]{0,60}", cut in any::<prop::sample::Index>()) {
        let stage = tensor("FP64");
        let ids = json!(["a", "b"]);
        let keys = keys(&stage, &ids);
        let present = json!(["PRESENT", "NOT_FOUND"]);
        let whole = answer(&ids, [(&json!([1, 2]), present.clone()), (&json!([0.1, 0.2]), present)], FRESH);
        let cut = &whole[..cut.index(whole.len())];
        for response in [text.as_bytes(), cut] {
            prop_assert!(matches!(stage.absorb(response, &keys, NOW), Err(FeastError::Shape(_))));
        }
        let features = stage.absorb(&whole, &keys, NOW).unwrap();
        drop(stage.inject(&HeaderMap::new(), &Bytes::from(text.clone()), &features));
        drop(stage.keys(&HeaderMap::new(), text.as_bytes()));
    }
}

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use mainstay_core::plan::{FeatureCache, FeatureSet, Into};
use mainstay_core::time::Time;
use mainstay_gateway::features::FeatureStage;
use serde_json::Value;

const REQUEST: &[u8] =
    br#"{"parameters":{"account_id":[1,2]},"inputs":[{"name":"x","shape":[2,1],"datatype":"FP64","data":[1,2]}]}"#;

/// A feature server's answer: refused, or a full table whose values go into the model's request as JSON.
pub fn feast(bytes: &[u8]) {
    let stage = FeatureStage::new(&set()).expect("the set is well-formed");
    let headers = HeaderMap::new();
    let keys = stage.keys(&headers, REQUEST).expect("the request names its entities");
    let now = Time::from_secs(1_795_000_000);
    let Ok(retrieved) = stage.absorb(bytes, &keys, now) else {
        assert_eq!(stage.retrieve_cached(&keys, now).hits, 0, "a refused answer leaves nothing in the cache");
        return;
    };
    assert_eq!(retrieved.rows(), 2);
    assert_eq!(retrieved.values().len(), 2 * stage.refs().len());
    assert_eq!(retrieved.values().iter().filter(|value| value.is_none()).count(), retrieved.missing);
    if let Ok(body) = stage.inject(&headers, &Bytes::from_static(REQUEST), &retrieved) {
        let body: Value = serde_json::from_slice(&body).expect("what goes to the model is JSON");
        let shape = body.pointer("/inputs/1/shape").map(ToString::to_string);
        assert_eq!(shape.as_deref(), Some("[2,2]"));
    }
}

fn set() -> FeatureSet {
    FeatureSet {
        name: "account".to_owned(),
        url: "http://127.0.0.1:6566".to_owned(),
        timeout: Duration::from_millis(50),
        refs: vec!["account:tx_count_24h".to_owned(), "account:amount_avg_7d".to_owned()],
        entity: vec![("account_id".to_owned(), "/parameters/account_id".to_owned())],
        into: Some(Into::Tensor { input: "features".to_owned(), datatype: "FP64".to_owned() }),
        max_age: Some(Duration::from_hours(1)),
        cache: FeatureCache { entries: 100, max_age: Duration::from_hours(24) },
        defaults: BTreeMap::from([("account:tx_count_24h".to_owned(), Value::from(0))]),
        health: None,
        breaker: mainstay_core::resilience::breaker::Config::default(),
    }
}

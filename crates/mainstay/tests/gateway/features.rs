//! Features on their way from a store that speaks Feast's protocol into the model's request.

use std::sync::Arc;
use std::sync::Mutex;

use serde_json::{Value, json as value};

use crate::support::upstream::predicts;
use crate::support::{Plane, Seen, Upstream, ask, dead, fill, json, post, until};

const CONFIG: &str = r#"
features:
  account:
    store: { url: 'http://$store', protocol: feast, timeout: 200ms }
    refs: [account:tx, account:avg]
    entity: { account_id: /parameters/account_id }
    into: { input: features, datatype: FP64 }
    max_age: 1h
    cache: { entries: 1000, max_age: 24h }
    defaults: { "account:avg": 1.5 }
    breaker: { consecutive: 5, open: 1h, open_max: 1h }
backends:
  primary: { url: 'http://$primary', protocol: open-inference, limit: none, retry: { attempts: 1 } }
  small: { url: 'http://$small', protocol: open-inference, limit: none, retry: { attempts: 1 } }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 30s
    ladder:
      - { level: 0, backend: primary, features: { set: account, mode: online } }
      - { level: 1, backend: primary, features: { set: account, mode: cached } }
      - { level: 2, backend: small, features: { set: account, mode: cached } }
      - level: 3
        rules: [{ when: 'feature("account:tx", 0.0) > 50.0', respond: { outputs: [{ name: p, value: 0.9 }] } }]
        otherwise: { outputs: [{ name: p, value: 0.1 }] }
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
"#;

/// What the stand-in for a feature store says next.
#[derive(Clone)]
enum Says {
    /// For each feature: the value, its status, and its event time.
    Columns([(Value, &'static str, &'static str); 2]),
    Nothing,
    Text(&'static str),
}

const FRESH: &str = "2099-01-01T00:00:00Z";
const OLD: &str = "2001-09-09T01:46:40Z";

fn present(tx: f64, avg: f64) -> Says {
    Says::Columns([(value!(tx), "PRESENT", FRESH), (value!(avg), "PRESENT", FRESH)])
}

/// A stand-in for a feature store that speaks Feast's protocol.
struct Store {
    upstream: Upstream,
    says: Arc<Mutex<Says>>,
}

impl Store {
    async fn start(says: Says) -> Store {
        let says = Arc::new(Mutex::new(says));
        let shared = Arc::clone(&says);
        let upstream = Upstream::start(move |seen| {
            let says = shared.lock().expect("nobody panics with it").clone();
            async move {
                match says {
                    Says::Columns(columns) => json(200, columnar(&seen, &columns)),
                    Says::Nothing => std::future::pending().await,
                    Says::Text(text) => json(200, text),
                }
            }
        })
        .await;
        Store { upstream, says }
    }

    fn says(&self, says: Says) {
        *self.says.lock().expect("nobody panics with it") = says;
    }
}

/// Column-major, as Feast's server writes it.
fn columnar(seen: &Seen, columns: &[(Value, &str, &str); 2]) -> String {
    let entities = seen.json()["entities"]["account_id"].clone();
    let rows = entities.as_array().expect("a list").len();
    let mut results =
        vec![value!({ "values": entities, "statuses": vec!["PRESENT"; rows], "event_timestamps": vec![FRESH; rows] })];
    for (value, status, at) in columns {
        let values = vec![value.clone(); rows];
        results.push(value!({ "values": values, "statuses": vec![status; rows], "event_timestamps": vec![at; rows] }));
    }
    value!({ "metadata": { "feature_names": ["account_id", "account__tx", "account__avg"] }, "results": results })
        .to_string()
}

fn asks(account: &str) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    let body = value!({
        "id": "f-1",
        "parameters": { "account_id": account },
        "inputs": [{ "name": "x", "shape": [1, 1], "datatype": "FP64", "data": [4.0] }],
    });
    post("/v2/models/fraud/infer", &[], body.to_string())
}

/// The tensor that the model got.
fn tensor(seen: &Seen) -> Value {
    let inputs = seen.json()["inputs"].as_array().expect("a list").clone();
    assert_eq!((inputs.len(), &inputs[0]["name"]), (2, &value!("x")), "the request's own input stays");
    inputs[1].clone()
}

fn place(store: &Store, primary: &Upstream, small: &Upstream) -> Plane {
    let values: [(&str, &dyn std::fmt::Display); 3] =
        [("store", &store.upstream.addr), ("primary", &primary.addr), ("small", &small.addr)];
    Plane::start(&fill(CONFIG, &values))
}

#[tokio::test]
async fn online_values_go_into_the_models_request() {
    let store = Store::start(present(7.0, 2.5)).await;
    let (primary, small) = (Upstream::predicting("m", 0.5).await, Upstream::predicting("s", 0.5).await);
    let plane = place(&store, &primary, &small);
    let answer = ask(plane.addr(), asks("a")).await;
    assert_eq!(answer.facts(), (200, "0", "false", "1", ""));
    assert_eq!((answer.header("x-mainstay-stale-features"), answer.json()["id"].as_str()), ("", Some("f-1")));
    let wanted = value!({ "name": "features", "shape": [1, 2], "datatype": "FP64", "data": [7.0, 2.5] });
    assert_eq!(tensor(&primary.only()), wanted);
    let asked = store.upstream.only();
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/get-online-features"));
    assert_eq!(asked.json()["features"], value!(["account:tx", "account:avg"]));
    assert_eq!(asked.json()["entities"], value!({ "account_id": ["a"] }));
    assert_eq!(asked.header("x-request-id"), answer.header("x-request-id"));
    plane.counted("mainstay_feature_retrieval_latency_seconds", &[("features", "account")], 1).await;
    for name in ["mainstay_feature_cache_hits", "mainstay_feature_cache_misses", "mainstay_stale_features"] {
        assert_eq!(plane.metric(name, &[]), 0.0, "{name}");
    }
    plane.close().await;
}

#[tokio::test]
async fn a_slow_store_costs_one_level_and_its_last_values_serve() {
    let store = Store::start(present(7.0, 2.5)).await;
    let (primary, small) = (Upstream::predicting("m", 0.5).await, Upstream::predicting("s", 0.5).await);
    let plane = place(&store, &primary, &small);
    assert_eq!(ask(plane.addr(), asks("a")).await.header("x-mainstay-level"), "0");

    store.says(Says::Nothing);
    let answer = ask(plane.addr(), asks("a")).await;
    assert_eq!(answer.facts(), (200, "1", "true", "1", "features_timeout"));
    assert_eq!(tensor(&primary.seen()[1])["data"], value!([7.0, 2.5]));
    until("the call to be given up", || (store.upstream.cancelled() == 1).then_some(())).await;
    plane.counted("mainstay_feature_cache_hits", &[("features", "account")], 2).await;

    // Nothing is known of another account, and one of the features has no default.
    let answer = ask(plane.addr(), asks("b")).await;
    assert_eq!(answer.facts(), (200, "3", "true", "0", "features_timeout"));
    assert_eq!(answer.json()["outputs"][0]["data"], value!([0.1]));
    assert_eq!((primary.count(), small.count()), (2, 0));
    let step = [("from_level", "1"), ("to_level", "2"), ("reason", "features_missing")];
    plane.counted("mainstay_degradation_events", &step, 1).await;
    plane.close().await;
}

#[tokio::test]
async fn a_dead_store_does_not_hide_a_dead_model() {
    let store = Store::start(present(70.0, 2.5)).await;
    let primary = Upstream::start(|seen| async move {
        if seen.number == 0 { predicts(&seen, "m", 0.5) } else { json(500, r#"{"error":"down"}"#) }
    })
    .await;
    let small = Upstream::predicting("s", 0.5).await;
    let plane = place(&store, &primary, &small);
    assert_eq!(ask(plane.addr(), asks("a")).await.header("x-mainstay-level"), "0");
    store.says(Says::Text("not JSON"));
    let answer = ask(plane.addr(), asks("a")).await;
    assert_eq!(answer.facts(), (200, "2", "true", "2", "features_bad_answer"), "level 1 has the same dead model");
    assert_eq!(tensor(&small.only())["data"], value!([70.0, 2.5]));

    let (gone, _socket) = dead();
    let values: [(&str, &dyn std::fmt::Display); 3] =
        [("store", &store.upstream.addr), ("primary", &gone), ("small", &gone)];
    plane.reload(&fill(CONFIG, &values)).unwrap();
    let answer = loop {
        let answer = ask(plane.addr(), asks("a")).await;
        if answer.header("x-mainstay-level") == "3" {
            break answer;
        }
    };
    assert_eq!(answer.json()["outputs"][0]["data"], value!([0.9]), "rules see what the cache knows");
    plane.close().await;
}

#[tokio::test]
async fn stale_values_are_marked_and_holes_filled_with_defaults() {
    let store =
        Store::start(Says::Columns([(value!(7.0), "PRESENT", OLD), (value!(2.5), "OUTSIDE_MAX_AGE", FRESH)])).await;
    let (primary, small) = (Upstream::predicting("m", 0.5).await, Upstream::predicting("s", 0.5).await);
    let plane = place(&store, &primary, &small);
    let answer = ask(plane.addr(), asks("a")).await;
    assert_eq!(answer.facts(), (200, "0", "false", "1", ""));
    assert_eq!(answer.header("x-mainstay-stale-features"), "2");
    plane.counted("mainstay_stale_features", &[("features", "account")], 2).await;

    store.says(Says::Columns([(value!(8.0), "PRESENT", FRESH), (value!(null), "NULL_VALUE", FRESH)]));
    let answer = ask(plane.addr(), asks("b")).await;
    assert_eq!(answer.facts(), (200, "0", "false", "1", ""));
    assert_eq!(answer.header("x-mainstay-stale-features"), "");
    assert_eq!(tensor(&primary.seen()[1])["data"], value!([8.0, 1.5]), "the default");

    store.says(Says::Columns([(value!(null), "NOT_FOUND", FRESH), (value!(3.0), "PRESENT", FRESH)]));
    let answer = ask(plane.addr(), asks("c")).await;
    assert_eq!(answer.facts(), (200, "3", "true", "0", "features_missing"), "no value, no default: no model");

    // A value that is missing now, and was known: the old one.
    let answer = ask(plane.addr(), asks("b")).await;
    assert_eq!(answer.facts(), (200, "0", "false", "1", ""));
    assert_eq!(tensor(&primary.seen()[2])["data"], value!([8.0, 3.0]));
    plane.close().await;
}

#[tokio::test]
async fn an_answer_without_a_model_is_marked_by_what_it_was_made_from() {
    let store = Store::start(Says::Columns([(value!(70.0), "PRESENT", OLD), (value!(2.5), "PRESENT", OLD)])).await;
    let (gone, _socket) = dead();
    let values: [(&str, &dyn std::fmt::Display); 3] =
        [("store", &store.upstream.addr), ("primary", &gone), ("small", &gone)];
    let config = fill(CONFIG, &values);
    let plane = Plane::start(&config);
    let answer = ask(plane.addr(), asks("a")).await;
    assert_eq!((answer.header("x-mainstay-level"), answer.json()["outputs"][0]["data"].clone()), ("3", value!([0.9])));
    assert_eq!(answer.header("x-mainstay-stale-features"), "2", "its rules saw them");
    plane.close().await;

    let without = config.find("      - level: 3").zip(config.find("      - { level: 4"));
    let (from, to) = without.expect("both levels");
    let plane = Plane::start(&[&config[..from], &config[to..]].concat());
    let answer = ask(plane.addr(), asks("a")).await;
    assert_eq!((answer.header("x-mainstay-level"), answer.header("x-mainstay-stale-features")), ("4", ""));
    plane.close().await;
}

#[tokio::test]
async fn a_store_that_answers_nonsense_is_left_alone_and_requests_without_an_entity_go_deeper() {
    // Row-major, as the documentation prints it.
    let rows = r#"{"metadata":{"feature_names":["account_id","account__tx","account__avg"]},"results":[{"values":["a",7,2.5]}]}"#;
    let store = Store::start(Says::Text(rows)).await;
    let (primary, small) = (Upstream::predicting("m", 0.5).await, Upstream::predicting("s", 0.5).await);
    let plane = place(&store, &primary, &small);
    for _ in 0..5 {
        assert_eq!(ask(plane.addr(), asks("a")).await.facts(), (200, "3", "true", "0", "features_bad_answer"));
    }
    until("an open breaker", || (plane.gateway.status().features[0].breaker == "open").then_some(())).await;
    assert_eq!(ask(plane.addr(), asks("a")).await.facts(), (200, "3", "true", "0", "features_breaker_open"));
    assert_eq!((store.upstream.count(), primary.count()), (5, 0));
    for body in ["{}", "nonsense", r#"{"parameters":{"account_id":{}}}"#] {
        let answer = ask(plane.addr(), post("/v2/models/fraud/infer", &[], body)).await;
        assert_eq!(answer.facts(), (200, "3", "true", "0", "entity_missing"), "{body}");
    }
    plane.close().await;
}

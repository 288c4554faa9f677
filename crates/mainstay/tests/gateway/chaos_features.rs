//! Faults on purpose at a feature store: what the model gets, and what answers in its place.

use serde_json::{Value, json as value};

use crate::support::experiment::{TOUCHED, order};
use crate::support::{Answer, Plane, Seen, Upstream, ask, fill, json, post};

const CONFIG: &str = r"
features:
  account:
    store: { url: 'http://$store', protocol: feast, timeout: 2s }
    refs: [account:tx, account:avg]
    entity: { account_id: /parameters/account_id }
    into: { input: features, datatype: FP64 }
    max_age: 1h
    cache: { entries: 1000, max_age: 24h }
    breaker: { consecutive: 5, open: 1h, open_max: 1h }
backends:
  primary: { url: 'http://$primary', protocol: open-inference, limit: none, retry: { attempts: 1 } }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 30s
    ladder:
      - { level: 0, backend: primary, features: { set: account, mode: online } }
      - { level: 1, backend: primary, features: { set: account, mode: cached } }
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
slos:
  - freshness: { features: 1h }
";

struct Bench {
    store: Upstream,
    primary: Upstream,
    plane: Plane,
}

/// Column-major, as Feast's server writes it; true as of this moment.
fn columnar(seen: &Seen) -> String {
    let now = jiff::Timestamp::now().to_string();
    let column = |value: Value| value!({ "values": [value], "statuses": ["PRESENT"], "event_timestamps": [now] });
    let account = seen.json()["entities"]["account_id"][0].clone();
    let results = [column(account), column(value!(7.0)), column(value!(2.5))];
    value!({ "metadata": { "feature_names": ["account_id", "account__tx", "account__avg"] }, "results": results })
        .to_string()
}

impl Bench {
    async fn start() -> Bench {
        let store = Upstream::start(|seen| async move { json(200, columnar(&seen)) }).await;
        let primary = Upstream::predicting("m", 0.5).await;
        let plane = Plane::start(&fill(CONFIG, &[("store", &store.addr), ("primary", &primary.addr)]));
        Bench { store, primary, plane }
    }

    async fn ask(&self, account: &str) -> Answer {
        let body = value!({
            "parameters": { "account_id": account },
            "inputs": [{ "name": "x", "shape": [1, 1], "datatype": "FP64", "data": [4.0] }],
        });
        ask(self.plane.addr(), post("/v2/models/fraud/infer", &[], body.to_string())).await
    }

    fn inject(&self, generation: u64, fault: &str) {
        let order = mainstay_core::chaos::order::Order { generation, ..order(fault) };
        self.plane.gateway.inject(order).expect("the order is one that can be taken");
    }

    /// The features that the model was given last.
    fn given(&self) -> Value {
        self.primary.seen().last().expect("it was asked").json()["inputs"][1]["data"].clone()
    }
}

#[tokio::test]
async fn a_store_that_fails_or_is_slow_costs_one_level_and_its_last_values_serve() {
    for (fault, reason) in [
        (r#"{"feature_latency":{"fixed":"10m"}}"#, "features_timeout"),
        (r#"{"feature_error":{"status":500}}"#, "features_error"),
        (r#"{"feature_error":{"how":"connect"}}"#, "features_unreachable"),
        (r#"{"feature_error":{"how":"reset"}}"#, "features_unreachable"),
    ] {
        let bench = Bench::start().await;
        assert_eq!(bench.ask("a").await.facts(), (200, "0", "false", "1", ""), "{fault}");
        bench.inject(1, fault);
        for _ in 0..5 {
            let answer = bench.ask("a").await;
            assert_eq!(answer.facts(), (200, "1", "true", "1", reason), "{fault}");
            assert_eq!((answer.header(TOUCHED), bench.given()), ("EXP-2026-0001", value!([7.0, 2.5])), "{fault}");
        }
        let answer = bench.ask("a").await;
        assert_eq!((answer.facts().4, answer.header(TOUCHED)), ("features_breaker_open", ""), "{fault}");
        assert_eq!(bench.store.count(), 1, "{fault}");
        bench.plane.close().await;
    }
}

#[tokio::test]
async fn stale_values_are_counted_and_the_freshness_objective_sees_them() {
    let bench = Bench::start().await;
    let answer = bench.ask("a").await;
    assert_eq!((answer.facts(), answer.header("x-mainstay-stale-features")), ((200, "0", "false", "1", ""), ""));
    bench.plane.counted("mainstay_stale_features", &[], 0).await;
    bench.inject(1, r#"{"stale_features":{"age":"59m"}}"#);
    assert_eq!(bench.ask("a").await.header("x-mainstay-stale-features"), "");
    bench.inject(2, r#"{"stale_features":{"age":"2d"}}"#);
    let answer = bench.ask("a").await;
    assert_eq!((answer.facts(), answer.header("x-mainstay-stale-features")), ((200, "0", "false", "1", ""), "2"));
    assert_eq!((answer.header(TOUCHED), bench.given()), ("EXP-2026-0001", value!([7.0, 2.5])));
    bench.plane.counted("mainstay_stale_features", &[("features", "account")], 2).await;
    let (mut good, mut bad) = (0, 0);
    crate::support::until("the objective's counts", || {
        for (_, _, counts) in bench.plane.gateway.take_sums().counts {
            (good, bad) = (good + counts.good, bad + counts.bad);
        }
        (good + bad == 3).then_some(())
    })
    .await;
    assert_eq!((good, bad), (2, 1));
    bench.plane.close().await;
}

#[tokio::test]
async fn values_are_spoiled_as_the_fault_says_and_nothing_learns_from_them() {
    for (fault, given) in [
        (r#"{"data_quality":{"change":{"shifted":3.0}}}"#, value!([10.0, 5.5])),
        (r#"{"data_quality":{"change":{"shifted":3.0},"refs":["account:avg"]}}"#, value!([7.0, 5.5])),
        (r#"{"data_quality":{"change":{"scaled":100.0},"refs":["account:tx"]}}"#, value!([700.0, 2.5])),
        (r#"{"data_quality":{"change":"swapped"}}"#, value!([2.5, 7.0])),
        (r#"{"data_quality":{"change":"out_of_range","refs":["account:tx"]}}"#, value!([1e9, 2.5])),
    ] {
        let bench = Bench::start().await;
        bench.inject(1, fault);
        let answer = bench.ask("a").await;
        assert_eq!((answer.facts(), answer.header(TOUCHED)), ((200, "0", "false", "1", ""), "EXP-2026-0001"));
        assert_eq!(bench.given(), given, "{fault}");
        // The cache has nothing of it.
        bench.inject(2, r#"{"feature_error":{}}"#);
        assert_eq!(bench.ask("a").await.facts(), (200, "4", "true", "0", "features_error"), "{fault}");
        bench.plane.gateway.withdraw_fault("EXP-2026-0001", 2);
        assert_eq!(bench.ask("a").await.facts(), (200, "0", "false", "1", ""));
        assert_eq!(bench.given(), value!([7.0, 2.5]), "{fault}");
        bench.plane.close().await;
    }
}

#[tokio::test]
async fn missing_values_come_from_the_cache_and_without_one_the_level_is_skipped() {
    let bench = Bench::start().await;
    bench.ask("known").await;
    bench.inject(1, r#"{"data_quality":{"change":"missing","refs":["account:tx"]}}"#);
    let answer = bench.ask("known").await;
    assert_eq!((answer.facts(), bench.given()), ((200, "0", "false", "1", ""), value!([7.0, 2.5])));
    let answer = bench.ask("unknown").await;
    assert_eq!(answer.facts(), (200, "4", "true", "0", "features_missing"));
    assert_eq!(answer.header(TOUCHED), "EXP-2026-0001");
    bench.plane.counted("mainstay_feature_cache_hits", &[("features", "account")], 1).await;
    bench.plane.close().await;
}

#[tokio::test]
async fn features_that_the_set_lacks_are_refused() {
    let bench = Bench::start().await;
    let refused = |fault: &str| bench.plane.gateway.inject(order(fault)).expect_err("it is wrong").to_string();
    assert_eq!(
        refused(r#"{"data_quality":{"change":"missing","refs":["account:age"]}}"#),
        "`data_quality` is nothing that `account` can have: it has no `account:age`"
    );
    assert_eq!(
        refused(r#"{"data_quality":{"change":"swapped","refs":["account:tx"]}}"#),
        "`data_quality` is nothing that `account` can have: to swap takes two features"
    );
    bench.plane.close().await;
}

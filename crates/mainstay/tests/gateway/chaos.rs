//! Faults on purpose at a backend: what callers see of each, and what answers it.

use std::time::{Duration, Instant};

use mainstay_core::chaos::order::Order;
use mainstay_core::metric::Value;

use crate::support::experiment::{TOUCHED, order};
use crate::support::upstream::predicts;
use crate::support::{Answer, Plane, Upstream, ask, dead, fill, infer, json, soon, until};

const CONFIG: &str = r#"
backends:
  primary:
    url: http://$primary
    protocol: open-inference
    model: fraud
    version: "3"
    limit: none
    breaker: { consecutive: 5, open: 1h, open_max: 1h }
    retry: { attempts: $attempts }
  small: { url: 'http://$small', protocol: open-inference, model: lite, limit: none, retry: { attempts: 1 } }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 60s
    confidence: { pointer: /outputs/0/data/0, as: probability }
    ladder:
      - { level: 0, backend: primary, timeout: $timeout }
      - { level: 2, backend: small }
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
"#;

struct Pair {
    primary: Upstream,
    small: Upstream,
    plane: Plane,
}

impl Pair {
    async fn start(attempts: u32, timeout: &str) -> Pair {
        let (primary, small) = (versioned().await, Upstream::predicting("lite", 0.9).await);
        let config = fill(
            CONFIG,
            &[("primary", &primary.addr), ("small", &small.addr), ("attempts", &attempts), ("timeout", &timeout)],
        );
        Pair { plane: Plane::start(&config), primary, small }
    }

    async fn ask(&self) -> Answer {
        ask(self.plane.addr(), infer(&[])).await
    }
}

/// One that says which version it was asked for.
async fn versioned() -> Upstream {
    Upstream::start(|seen| async move {
        let version = seen.path.split('/').skip_while(|part| *part != "versions").nth(1).unwrap_or("1").to_owned();
        let outputs = serde_json::json!([{ "name": "p", "shape": [1], "datatype": "FP64", "data": [0.75] }]);
        json(
            200,
            serde_json::json!({ "model_name": "fraud", "model_version": version, "outputs": outputs }).to_string(),
        )
    })
    .await
}

#[tokio::test]
async fn each_way_to_fail_costs_a_level_and_opens_the_breaker_as_a_real_one_does() {
    for (fault, reason) in [
        (r#"{"model_error":{}}"#, "backend_error"),
        (r#"{"model_error":{"status":429}}"#, "throttled"),
        (r#"{"model_error":{"status":500,"retry_after":"1h"}}"#, "backend_error"),
        (r#"{"model_error":{"how":"connect"}}"#, "connect_failed"),
        (r#"{"model_error":{"how":"reset"}}"#, "backend_closed"),
        (r#"{"model_error":{"how":"error_body"}}"#, "error_in_answer"),
        (r#"{"malformed_answer":{"how":"broken"}}"#, "bad_answer"),
        (r#"{"malformed_answer":{"how":"empty"}}"#, "bad_answer"),
        (r#"{"wrong_version":{"version":"2"}}"#, "wrong_version"),
    ] {
        let pair = Pair::start(1, "30s").await;
        assert_eq!(pair.ask().await.facts(), (200, "0", "false", "1", ""), "{fault}");
        pair.plane.gateway.inject(order(fault)).unwrap();
        let mut touched = 0;
        loop {
            let answer = pair.ask().await;
            if answer.facts() == (200, "2", "true", "1", "breaker_open") {
                assert_eq!(answer.header(TOUCHED), "", "{fault} came to nobody behind an open breaker");
                break;
            }
            assert_eq!(answer.facts(), (200, "2", "true", "2", reason), "{fault}");
            assert_eq!((answer.header(TOUCHED), answer.header("x-mainstay-backend")), ("EXP-2026-0001", "small"));
            touched += 1;
            // Being throttled says nothing against a backend.
            if reason == "throttled" && touched == 10 {
                break;
            }
        }
        let wanted = if reason == "throttled" { 10 } else { 5 };
        // Whoever asks to be left alone for an hour is, at once.
        assert!(touched == wanted || (touched == 1 && fault.contains("retry_after")), "{fault}: {touched}");
        let asked = fault.contains("malformed") || fault.contains("wrong");
        assert_eq!(pair.primary.count(), if asked { 1 + touched } else { 1 }, "{fault}");
        let name = serde_json::from_str::<serde_json::Value>(fault).unwrap();
        let name = name.as_object().unwrap().keys().next().unwrap().clone();
        let labels = [("fault", name.as_str()), ("route", "score")];
        pair.plane.counted("mainstay_faults_injected", &labels, touched as u32).await;
        pair.plane.close().await;
    }
}

#[tokio::test]
async fn a_wrong_version_is_what_the_backend_is_asked_for() {
    let pair = Pair::start(1, "30s").await;
    pair.plane.gateway.inject(order(r#"{"wrong_version":{"model":"other","version":"9"}}"#)).unwrap();
    assert_eq!(pair.ask().await.facts(), (200, "2", "true", "2", "wrong_version"));
    assert_eq!(pair.primary.only().path, "/v2/models/other/versions/9/infer");
    assert_eq!(pair.small.only().path, "/v2/models/lite/infer");
    pair.plane.gateway.withdraw_fault("EXP-2026-0001", 1);
    assert_eq!(pair.ask().await.facts(), (200, "0", "false", "1", ""));
    assert_eq!(pair.primary.seen()[1].path, "/v2/models/fraud/versions/3/infer");
    pair.plane.close().await;
}

#[tokio::test]
async fn an_answer_of_another_shape_reaches_the_caller_without_a_confidence() {
    let pair = Pair::start(1, "30s").await;
    pair.plane.gateway.inject(order(r#"{"malformed_answer":{"how":"other_shape"}}"#)).unwrap();
    let answer = pair.ask().await;
    assert_eq!(answer.facts(), (200, "0", "false", "1", ""));
    assert_eq!((answer.header(TOUCHED), answer.json().get("outputs")), ("EXP-2026-0001", None));
    pair.plane.counted("mainstay_prediction_confidence", &[("route", "score")], 0).await;
    pair.plane.close().await;
}

#[tokio::test]
async fn every_attempt_at_the_target_meets_the_fault_and_retry_after_is_obeyed() {
    let pair = Pair::start(3, "30s").await;
    pair.plane.gateway.inject(order(r#"{"model_error":{"status":429}}"#)).unwrap();
    // Three attempts and the next level's.
    assert_eq!(pair.ask().await.facts(), (200, "2", "true", "4", "throttled"));
    // To wait for an hour ends after the deadline: no second attempt.
    let mut patient = order(r#"{"model_error":{"status":429,"retry_after":"1h"}}"#);
    patient.generation = 2;
    pair.plane.gateway.inject(patient).unwrap();
    assert_eq!(pair.ask().await.facts(), (200, "2", "true", "2", "throttled"));
    pair.plane.counted("mainstay_faults_injected", &[("fault", "model_error"), ("route", "score")], 2).await;
    assert_eq!(pair.primary.count(), 0);
    pair.plane.close().await;
}

#[tokio::test]
async fn a_status_that_is_the_callers_reaches_the_caller_in_the_protocols_shape() {
    let pair = Pair::start(1, "30s").await;
    pair.plane.gateway.inject(order(r#"{"model_error":{"status":422}}"#)).unwrap();
    let answer = pair.ask().await;
    assert_eq!((answer.status, answer.header(TOUCHED)), (422, "EXP-2026-0001"));
    assert!(answer.json()["error"].is_string(), "{:?}", answer.body);
    pair.plane.close().await;
}

#[tokio::test]
async fn latency_is_waited_for_within_the_levels_time_and_no_longer() {
    let pair = Pair::start(1, "400ms").await;
    pair.plane.gateway.inject(order(r#"{"model_latency":{"fixed":"50ms"}}"#)).unwrap();
    let began = Instant::now();
    let answer = pair.ask().await;
    assert_eq!((answer.facts(), answer.header(TOUCHED)), ((200, "0", "false", "1", ""), "EXP-2026-0001"));
    assert!(began.elapsed() >= Duration::from_millis(50));
    let mut long = order(r#"{"model_latency":{"fixed":"10m"}}"#);
    long.generation = 2;
    pair.plane.gateway.inject(long).unwrap();
    assert_eq!(pair.ask().await.facts(), (200, "2", "true", "2", "timeout"));
    assert_eq!(pair.primary.count(), 1);
    // Time spent waiting is none of ours.
    let families = pair.plane.gateway.metrics();
    let of = families.iter().filter(|family| family.name == "mainstay_overhead_seconds").flat_map(|f| &f.samples);
    let overhead: f64 = of.map(|s| if let Value::Histogram(h) = &s.value { h.sum } else { 0.0 }).sum();
    assert!(overhead < 0.3, "{overhead}");
    pair.plane.close().await;
}

#[tokio::test]
async fn who_is_delayed_goes_on_when_the_fault_is_taken_back() {
    for end in 0..3 {
        let pair = Pair::start(1, "30s").await;
        let mut long = order(r#"{"model_latency":{"fixed":"10m"}}"#);
        if end == 2 {
            long.ttl = Duration::from_millis(300);
        }
        pair.plane.gateway.inject(long).unwrap();
        let asked = tokio::spawn(ask(pair.plane.addr(), infer(&[])));
        until("a call under way", || (pair.plane.backend("primary").in_flight == 1).then_some(())).await;
        match end {
            0 => pair.plane.gateway.withdraw_fault("EXP-2026-0001", 1),
            1 => pair.plane.gateway.halt_faults(true),
            _ => {}
        }
        let answer = soon("an answer", asked).await.unwrap();
        assert_eq!((answer.facts(), answer.header(TOUCHED)), ((200, "0", "false", "1", ""), "EXP-2026-0001"));
        assert_eq!(pair.primary.count(), 1);
        pair.plane.close().await;
    }
}

#[tokio::test]
async fn a_backend_that_is_slow_on_purpose_is_slow_to_its_breaker() {
    let config = fill(CONFIG, &[("attempts", &1), ("timeout", &"30s")])
        .replace("consecutive: 5,", "consecutive: 5, slow_after: 20ms, slow_share: 0.5, min_calls: 5,");
    let (primary, small) = (versioned().await, Upstream::predicting("lite", 0.9).await);
    let plane = Plane::start(&fill(&config, &[("primary", &primary.addr), ("small", &small.addr)]));
    plane.gateway.inject(order(r#"{"model_latency":{"fixed":"60ms"}}"#)).unwrap();
    for _ in 0..20 {
        ask(plane.addr(), infer(&[])).await;
    }
    plane.backend_is("primary", "an open breaker", |b| b.breaker == "open").await;
    plane.close().await;
}

#[tokio::test]
async fn a_chat_is_asked_of_another_model_and_an_error_behind_a_200_is_none_of_its_answers() {
    let config = r"
backends:
  chat: { url: 'http://$chat', protocol: openai, model: big, limit: none, retry: { attempts: 1 } }
routes:
  - name: score
    path: /v1/chat/completions
    deadline: 30s
    ladder:
      - { level: 0, backend: chat }
      - { level: 4, respond: { text: 'Later, please.' } }
";
    let chat = Upstream::start(|_| async { json(200, r#"{"choices":[{"message":{"content":"hi"}}]}"#) }).await;
    let plane = Plane::start(&fill(config, &[("chat", &chat.addr)]));
    let request = || crate::support::post("/v1/chat/completions", &[], r#"{"model":"m","messages":[]}"#);
    plane.gateway.inject(order(r#"{"wrong_version":{"model":"tiny"}}"#)).unwrap();
    assert_eq!(ask(plane.addr(), request()).await.facts(), (200, "0", "false", "1", ""));
    assert_eq!(chat.only().json()["model"], "tiny");
    let mut error = order(r#"{"model_error":{"how":"error_body"}}"#);
    error.generation = 2;
    plane.gateway.inject(error).unwrap();
    assert_eq!(ask(plane.addr(), request()).await.facts(), (200, "4", "true", "1", "error_in_answer"));
    assert_eq!(chat.count(), 1);
    plane.close().await;
}

#[tokio::test]
async fn what_nothing_can_have_is_refused_with_its_reason() {
    let pair = Pair::start(1, "30s").await;
    let refused = |change: &dyn Fn(&mut Order), fault: &str| {
        let mut order = order(fault);
        change(&mut order);
        pair.plane.gateway.inject(order).map_err(|error| error.to_string()).expect_err("it is wrong")
    };
    let failing = r#"{"model_error":{}}"#;
    assert_eq!(refused(&|o| o.route = "other".into(), failing), "there is no route `other`");
    assert_eq!(refused(&|o| o.target = Some("third".into()), failing), "there is no backend `third`");
    assert_eq!(refused(&|o| o.dose = 1.5, failing), "`dose` and `cohort.share` are above 0% and at most 100%");
    assert_eq!(
        refused(&|o| o.cohort.clients.push("nobody".into()), failing),
        "`cohort.clients`: there is no client `nobody`"
    );
    assert_eq!(
        refused(&|_| (), r#"{"model_error":{"how":"tls"}}"#),
        "`model_error` is nothing that `primary` can have: it does not speak TLS"
    );
    assert_eq!(
        refused(&|_| (), r#"{"stalled_stream":{"parts":1}}"#),
        "`stalled_stream` is nothing that `primary` can have: its protocol has no streams"
    );
    assert_eq!(
        refused(&|_| (), r#"{"feature_error":{}}"#),
        "route `score` has no entry that asks a feature set with `mode: online`"
    );
    assert_eq!(refused(&|_| (), r#"{"model_error":{"status":200}}"#), "`status` is from 400 to 599");
    assert_eq!(refused(&|o| o.target = Some("primary".into()), r#"{"overload":{"factor":2.0}}"#), {
        "`overload` is nothing that `primary` can have: it is the route's own: leave `target` out"
    });
    assert_eq!(pair.ask().await.facts(), (200, "0", "false", "1", ""));
    pair.plane.close().await;
}

#[tokio::test]
async fn a_named_target_is_the_only_one_that_fails() {
    let pair = Pair::start(1, "30s").await;
    let mut of_small = order(r#"{"model_error":{}}"#);
    of_small.target = Some("small".to_owned());
    pair.plane.gateway.inject(of_small).unwrap();
    let answer = pair.ask().await;
    assert_eq!((answer.facts(), answer.header(TOUCHED)), ((200, "0", "false", "1", ""), ""));
    // With the first gone, its stand-in is asked, and fails as well.
    let (gone, _socket) = dead();
    let config =
        fill(CONFIG, &[("primary", &gone), ("small", &pair.small.addr), ("attempts", &1), ("timeout", &"30s")]);
    pair.plane.reload(&config).unwrap();
    let answer = pair.ask().await;
    assert_eq!((answer.facts(), answer.header(TOUCHED)), ((200, "4", "true", "2", "connect_failed"), "EXP-2026-0001"));
    assert_eq!(pair.small.count(), 0);
    pair.plane.close().await;
}

#[tokio::test]
async fn callers_that_are_not_trusted_are_told_nothing() {
    let (primary, small) = (Upstream::start(|seen| async move { predicts(&seen, "fraud", 0.9) }).await, 1);
    let config = fill(CONFIG, &[("primary", &primary.addr), ("attempts", &small), ("timeout", &"30s")])
        .replace("$small", "127.0.0.1:9");
    let plane = Plane::start(&format!("trust: {{ from: [10.0.0.0/8] }}\n{config}"));
    plane.gateway.inject(order(r#"{"model_error":{}}"#)).unwrap();
    let answer = ask(plane.addr(), infer(&[])).await;
    assert_eq!((answer.status, answer.header(TOUCHED)), (200, ""));
    assert!(answer.header("x-mainstay-level") != "0");
    plane.close().await;
}

//! What an answer says, and where it comes from.

use mainstay_core::route::Level;
use serde_json::json as value;

use crate::support::caller::INFER;
use crate::support::upstream::predicts;
use crate::support::{Plane, Upstream, ask, dead, fill, infer, json, post};

/// Five levels' worth of ladder; attempts are not repeated, so that they can be counted.
pub(crate) const LADDER: &str = r#"
trust: { headers: [x-rule] }
backends:
  primary: { url: 'http://$primary', protocol: open-inference, model: fraud, limit: none, retry: { attempts: 1 } }
  small: { url: 'http://$small', protocol: open-inference, model: fraud-lite, version: "7", limit: none, retry: { attempts: 1 } }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 10s
    ladder:
      - { level: 0, backend: primary }
      - { level: 2, backend: small }
      - level: 3
        rules: [{ when: 'header("x-rule") == "yes"', respond: { outputs: [{ name: p, value: 0.9 }] } }]
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
"#;

#[tokio::test]
async fn a_healthy_primary_answers_at_level_0_and_its_bytes_are_kept() {
    let primary = Upstream::predicting("fraud", 0.25).await;
    let (small, _socket) = dead();
    let plane = Plane::start(&fill(LADDER, &[("primary", &primary.addr), ("small", &small)]));

    let answer = ask(plane.addr(), infer(&[("x-request-id", "r-1"), ("x-app", "kept")])).await;
    assert_eq!(answer.facts(), (200, "0", "false", "1", ""));
    assert_eq!(answer.header("x-request-id"), "r-1");
    assert_eq!(answer.header("x-mainstay-backend"), "primary");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    assert_eq!(answer.json()["id"], "caller-1");
    assert_eq!(answer.json()["outputs"][0]["data"], value!([0.25]));

    let seen = primary.only();
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/v2/models/fraud/infer"));
    assert_eq!(seen.body, INFER);
    assert_eq!((seen.header("x-request-id"), seen.header("x-app")), ("r-1", "kept"));
    assert_eq!(seen.header("host"), primary.addr.to_string());

    let unnamed = ask(plane.addr(), infer(&[])).await;
    let made = unnamed.header("x-request-id").to_owned();
    assert!(made.len() == 32 && made.bytes().all(|b| b.is_ascii_hexdigit()), "{made}");
    assert_eq!(primary.seen()[1].header("x-request-id"), made);

    plane.counted("mainstay_requests", &[("route", "score"), ("class", "3"), ("level", "0"), ("code", "200")], 2).await;
    plane.counted("mainstay_predictions", &[("model", "fraud"), ("model_version", "")], 2).await;
    plane.close().await;
}

#[tokio::test]
async fn a_dead_level_passes_the_request_to_the_next_down_to_the_last() {
    let (primary, _socket) = dead();
    let small = Upstream::predicting("fraud-lite", 0.5).await;
    let plane = Plane::start(&fill(LADDER, &[("primary", &primary), ("small", &small.addr)]));

    let answer = ask(plane.addr(), infer(&[])).await;
    assert_eq!(answer.facts(), (200, "2", "true", "2", "connect_failed"));
    assert_eq!((answer.header("x-mainstay-backend"), answer.json()["id"].as_str()), ("small", Some("caller-1")));
    assert_eq!(small.only().path, "/v2/models/fraud-lite/versions/7/infer", "the model has another name there");

    let (other, _other_socket) = dead();
    plane.reload(&fill(LADDER, &[("primary", &primary), ("small", &other)])).unwrap();
    let answer = loop {
        let answer = ask(plane.addr(), infer(&[("x-rule", "yes")])).await;
        if answer.header("x-mainstay-level") != "2" {
            break answer;
        }
    };
    assert_eq!(answer.facts(), (200, "3", "true", "2", "connect_failed"));
    assert_eq!(answer.header("x-mainstay-backend"), "rules");
    assert_eq!(answer.json()["id"], "caller-1");
    assert_eq!(answer.json()["outputs"][0]["data"], value!([0.9]));

    let answer = ask(plane.addr(), infer(&[])).await;
    assert_eq!(answer.facts(), (200, "4", "true", "2", "connect_failed"));
    assert_eq!(answer.json()["outputs"][0]["data"], value!(["review"]));
    assert_eq!(answer.json()["id"], "caller-1");

    plane.counted("mainstay_fallback_level", &[("route", "score"), ("level", "3")], 1).await;
    plane.counted("mainstay_fallback_level", &[("route", "score"), ("level", "4")], 1).await;
    let step = |from, to, why| [("from_level", from), ("to_level", to), ("reason", why)];
    plane.counted("mainstay_degradation_events", &step("2", "3", "connect_failed"), 2).await;
    plane.counted("mainstay_degradation_events", &step("3", "4", "no_rule_matched"), 1).await;
    assert_eq!(plane.route("score").level, Level::FULL, "a few failures do not move the route's level");
    plane.close().await;
}

#[tokio::test]
async fn entries_of_one_level_are_tried_in_order() {
    let first = Upstream::start(|_| async { json(500, "{}") }).await;
    let second = Upstream::predicting("b", 0.5).await;
    let config = r"
backends:
  first: { url: 'http://$first', protocol: open-inference, retry: { attempts: 1 } }
  second: { url: 'http://$second', protocol: open-inference }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 10s
    ladder:
      - { level: 0, backend: first }
      - { level: 0, backend: second }
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
";
    let plane = Plane::start(&fill(config, &[("first", &first.addr), ("second", &second.addr)]));
    let answer = ask(plane.addr(), infer(&[])).await;
    assert_eq!(answer.facts(), (200, "0", "false", "2", ""));
    assert_eq!(answer.header("x-mainstay-backend"), "second");
    assert_eq!((first.count(), second.count()), (1, 1));
    plane.counted("mainstay_fallback_level", &[("level", "0")], 1).await;
    assert_eq!(plane.metric("mainstay_degradation_events", &[]), 0.0, "the level is the same");
    plane.close().await;
}

#[tokio::test]
async fn what_a_backend_says_in_our_name_is_not_passed_on() {
    let primary = Upstream::start(|seen| async move {
        let mut answer = predicts(&seen, "fraud", 0.5);
        for name in ["level", "degraded", "attempts", "reason", "backend", "stale-features"] {
            answer
                .headers_mut()
                .insert(format!("x-mainstay-{name}").parse::<http::HeaderName>().unwrap(), "77".parse().unwrap());
        }
        answer.headers_mut().insert("x-request-id", "theirs".parse().unwrap());
        answer.headers_mut().insert("x-model-said", "kept".parse().unwrap());
        answer
    })
    .await;
    let config =
        fill(LADDER, &[("primary", &primary.addr), ("small", &primary.addr)]).replace("trust: {", "trust: { from: [],");
    let plane = Plane::start(&config);
    let answer = ask(plane.addr(), infer(&[("x-request-id", "mine")])).await;
    assert_eq!(answer.facts(), (200, "0", "false", "1", ""));
    assert_eq!(answer.header("x-mainstay-backend"), "", "only trusted callers learn who answered");
    assert_eq!(answer.header("x-mainstay-stale-features"), "");
    assert_eq!((answer.header("x-request-id"), answer.header("x-model-said")), ("mine", "kept"));
    plane.close().await;
}

#[tokio::test]
async fn a_model_is_renamed_in_the_body_for_openai_and_the_rest_is_kept() {
    let chat = Upstream::start(|_| async {
        json(200, r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}"#)
    })
    .await;
    let config = r"
backends:
  chat: { url: 'http://$chat/openai', protocol: openai, model: big, keys: [env:SECRET] }
routes:
  - name: chat
    path: /v1/*
    deadline: 10s
    ladder:
      - { level: 0, backend: chat }
      - { level: 4, respond: { text: 'Later, please.' } }
";
    let plane = Plane::start(&fill(config, &[("chat", &chat.addr)]));
    let body = r#"{ "messages":[{"role":"user","content":"model \u00e9"}],  "model" : "gpt" ,"x":1.0e3}"#;
    let request = post("/v1/chat/completions?a=b%20c", &[("authorization", "Bearer callers-own")], body);
    let answer = ask(plane.addr(), request).await;
    assert_eq!(answer.facts(), (200, "0", "false", "1", ""));
    let seen = chat.only();
    assert_eq!(seen.path, "/openai/v1/chat/completions?a=b%20c");
    assert_eq!(seen.body, body.replace(r#""gpt""#, r#""big""#));
    assert_eq!(seen.header("authorization"), "Bearer SECRET");
    assert_eq!(seen.header("content-length"), seen.body.len().to_string());
    plane.close().await;
}

#[tokio::test]
async fn the_last_good_answer_is_given_again_under_the_new_id() {
    let primary = Upstream::start(|seen| async move {
        if seen.number == 0 { predicts(&seen, "fraud", 0.125) } else { json(503, r#"{"error":"down"}"#) }
    })
    .await;
    let config = r"
backends:
  primary: { url: 'http://$primary', protocol: open-inference, retry: { attempts: 1 } }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 10s
    ladder:
      - { level: 0, backend: primary }
      - { level: 1, cache: { max_age: 1m } }
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
";
    let plane = Plane::start(&fill(config, &[("primary", &primary.addr)]));
    let good = ask(plane.addr(), infer(&[("x-request-id", "first")])).await;
    assert_eq!(good.facts(), (200, "0", "false", "1", ""));

    let again = infer(&[("x-request-id", "second")]).map(|_| INFER.replace("caller-1", "caller-2").into());
    let cached = ask(plane.addr(), again).await;
    assert_eq!(cached.facts(), (200, "1", "true", "1", "backend_error"));
    assert_eq!((cached.header("x-request-id"), cached.header("x-mainstay-backend")), ("second", "cache"));
    assert_eq!(cached.header("content-type"), "application/json");
    assert_eq!(cached.json()["id"], "caller-2");
    assert_eq!(cached.json()["outputs"], good.json()["outputs"]);

    let other = infer(&[]).map(|_| INFER.replace("1.5", "1.25").into());
    let answer = ask(plane.addr(), other).await;
    assert_eq!(answer.facts(), (200, "4", "true", "1", "backend_error"), "another question has no answer there");
    plane.close().await;
}

#[tokio::test]
async fn the_confidence_of_answers_is_observed_and_probes_are_answered() {
    let primary = Upstream::predicting("fraud", 0.25).await;
    let config = r"
backends:
  primary: { url: 'http://$primary', protocol: open-inference }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 10s
    confidence: { pointer: /outputs/0/data/0, as: probability }
    ladder:
      - { level: 0, backend: primary }
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
";
    let plane = Plane::start(&fill(config, &[("primary", &primary.addr)]));
    assert_eq!(ask(plane.addr(), infer(&[])).await.status, 200);
    plane.counted("mainstay_prediction_confidence", &[("route", "score")], 1).await;
    for path in ["/v2/health/live", "/v2/health/ready", "/v2/models/fraud/ready"] {
        let probe = http::Request::get(path).body(http_body_util::Full::default()).unwrap();
        let answer = ask(plane.addr(), probe).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("x-request-id").len(), 32, "{path}");
    }
    assert_eq!(primary.count(), 1, "probes are answered here");
    plane.close().await;
}

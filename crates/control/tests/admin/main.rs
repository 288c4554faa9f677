//! The admin API over real connections.

#![expect(clippy::unwrap_used, reason = "a test fails where the server breaks its word")]

mod reviews;
mod filled;
mod gamedays;
mod model_pages;
mod models;
mod pages;
mod roles;
mod scale;
mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mainstay_control::{Admin, BindError, Site};
use mainstay_core::plan::Role;
use mainstay_core::route::Level;
use serde_json::{Value, json};
use support::{Answer, Plane, Server, token};
use tokio::net::TcpStream;
use tokio::time::timeout;

fn problem(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    let body = answer.json();
    assert_eq!(body["status"], answer.status, "{answer:?}");
    assert!(body["title"].is_string() && body["detail"].is_string(), "{answer:?}");
    let kind = body["type"].as_str().unwrap().strip_prefix("urn:mainstay:problem:").unwrap();
    (answer.status, kind.to_owned())
}

#[track_caller]
fn assert_problem(answer: &Answer, status: u16, kind: &str) {
    assert_eq!(problem(answer), (status, kind.to_owned()), "{answer:?}");
}

#[tokio::test]
async fn what_the_service_is_can_be_read() {
    let server = Server::start().await;
    assert_eq!(server.get("/healthz").await.json(), json!({"status": "ok"}));
    assert_eq!(server.get("/readyz").await.status, 200);
    let status = server.get("/api/v1/status").await.json();
    assert_eq!(status["at"], "2026-03-01T12:00:00Z");
    assert_eq!(status["routes"][0]["served"], json!([1, 2, 3, 4, 5]));
    assert_eq!(status["backends"][0]["endpoints"][0]["url"], "http://127.0.0.1:9001/v2");
    assert!(!status.to_string().contains("secret"));
    let levels = server.get("/api/v1/levels").await.json();
    assert_eq!(
        levels["levels"][0],
        json!({"route": "score", "level": 0, "name": "full_service", "reason": "healthy", "pin": null})
    );
    server.plane.set_ready(Err("draining".to_owned()));
    let answer = server.get("/readyz").await;
    assert_problem(&answer, 503, "unavailable");
    assert_eq!(answer.json()["detail"], "draining");
    assert_eq!(server.get("/healthz").await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_route_is_pinned_and_released() {
    let server = Server::start().await;
    let answer = server.put("/api/v1/levels/score", r#"{"level":3,"for":"30m","reason":"rollout"}"#).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let pin = json!({"level": 3, "until": "2026-03-01T12:30:00Z", "reason": "rollout"});
    assert_eq!(answer.json()["pin"], pin);
    assert_eq!(server.get("/api/v1/levels").await.json()["levels"][0]["pin"], pin);
    assert_eq!(server.plane.pinned(), Some(Level::new(3).unwrap()));
    let answer = server.send("DELETE", "/api/v1/levels/score", &[], "").await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    assert_eq!(server.plane.pinned(), None);
    let answer = server.put("/api/v1/levels/score", r#"{"level":2}"#).await;
    assert_eq!(answer.json()["pin"], json!({"level": 2, "until": null, "reason": ""}));
    server.stop().await;
}

#[tokio::test]
async fn a_reload_says_what_it_did_or_what_is_wrong() {
    let server = Server::start().await;
    let answer = server.send("POST", "/api/v1/config/reload", &[], "").await;
    assert_eq!(
        (answer.status, answer.json()),
        (200, json!({"applied": ["routes.score"], "needs_restart": ["listen"]}))
    );
    server.plane.break_config();
    let answer = server.send("POST", "/api/v1/config/reload", &[], "").await;
    assert_problem(&answer, 422, "config-refused");
    assert_eq!(
        answer.json()["findings"],
        json!([{"code": "unknown-key", "message": "unknown key `lisen`", "line": 3}])
    );
    server.stop().await;
}

#[tokio::test]
async fn every_failure_is_a_problem_document() {
    let server = Server::start().await;
    let pin = "/api/v1/levels/score";
    assert_problem(&server.get("/nothing").await, 404, "not-found");
    assert_problem(&server.get("/api/v1/levels/score/more").await, 404, "not-found");
    let answer = server.send("POST", "/api/v1/status", &[], "").await;
    assert_problem(&answer, 405, "method-not-allowed");
    assert_eq!(answer.header("allow"), Some("GET,HEAD"));
    assert_problem(&server.put("/api/v1/levels/other", r#"{"level":1}"#).await, 404, "unknown-route");
    assert_problem(&server.put("/api/v1/levels/%FF", r#"{"level":1}"#).await, 400, "bad-request");
    assert_problem(&server.send("DELETE", "/api/v1/levels/other", &[], "").await, 404, "unknown-route");
    for (body, status, kind) in [
        ("{", 400, "bad-request"),
        ("", 400, "bad-request"),
        (r#"{"level":"a"}"#, 422, "invalid"),
        (r#"{"level":5}"#, 422, "invalid"),
        (r#"{"level":1,"until":"x"}"#, 422, "invalid"),
        (r#"{"level":1,"for":"30"}"#, 422, "invalid"),
        (r#"{"level":1,"for":"0s"}"#, 422, "invalid"),
        (r#"{"level":1,"for":"31d"}"#, 422, "invalid"),
        (r#"{"level":1,"for":"99999999999999999999d"}"#, 422, "invalid"),
        (r#"{"level":4}"#, 422, "invalid"),
    ] {
        assert_problem(&server.put(pin, body).await, status, kind);
    }
    let long = format!(r#"{{"level":1,"reason":"{}"}}"#, "x".repeat(501));
    assert_problem(&server.put(pin, &long).await, 422, "invalid");
    let form = server.send("PUT", pin, &[("content-type", "text/plain")], r#"{"level":1}"#).await;
    assert_problem(&form, 415, "media-type");
    let huge = format!(r#"{{"level":1,"reason":"{}"}}"#, "x".repeat(1 << 20));
    assert_problem(&server.put(pin, &huge).await, 413, "too-large");
    assert_eq!(server.plane.pinned(), None);
    server.stop().await;
}

#[tokio::test]
async fn a_page_from_elsewhere_gets_nowhere() {
    let server = Server::start().await;
    let port = server.addr.port();
    for host in
        [format!("localhost:{port}"), "127.0.0.1".to_owned(), "[::1]:8090".to_owned(), "Ops.Example.:443".to_owned()]
    {
        assert_eq!(server.send("GET", "/api/v1/status", &[("host", &host)], "").await.status, 200, "{host}");
    }
    for host in ["rebound.example", "127.0.0.1.rebound.example:8090", "[::2]", "localhost.rebound.example", ""] {
        let answer = server.send("GET", "/api/v1/status", &[("host", host)], "").await;
        assert_problem(&answer, 421, "foreign-host");
        assert_eq!(server.send("GET", "/healthz", &[("host", host)], "").await.status, 421, "{host}");
    }
    let twice =
        server.raw("GET /healthz HTTP/1.1\r\nhost: localhost\r\nhost: b.example\r\nconnection: close\r\n\r\n").await;
    assert_problem(&twice, 400, "bad-request");
    let absolute =
        server.raw("GET http://b.example/healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert_problem(&absolute, 421, "foreign-host");

    let reload = "/api/v1/config/reload";
    let own = format!("http://127.0.0.1:{port}");
    assert_eq!(server.send("POST", reload, &[("origin", &own)], "").await.status, 200);
    assert_eq!(server.send("POST", reload, &[("sec-fetch-site", "same-origin")], "").await.status, 200);
    for (name, value) in [
        ("origin", "http://b.example"),
        ("origin", "null"),
        ("origin", "http://127.0.0.1:1"),
        ("sec-fetch-site", "cross-site"),
    ] {
        assert_problem(&server.send("POST", reload, &[(name, value)], "").await, 403, "foreign-origin");
        assert_eq!(server.send("GET", "/api/v1/status", &[(name, value)], "").await.status, 200);
    }
    assert_eq!(server.plane.reloads(), 2);
    server.stop().await;
}

#[tokio::test]
async fn tokens_are_asked_for_where_there_are_any() {
    let server =
        Server::start_with(&[token("alpha", Role::Operator, "alpha-token"), token("beta", Role::Viewer, "beta-token")])
            .await;
    for probe in ["/healthz", "/readyz"] {
        assert_eq!(server.get(probe).await.status, 200);
    }
    for path in ["/api/v1/status", "/metrics", "/openapi.json", "/nothing"] {
        let answer = server.get(path).await;
        assert_problem(&answer, 401, "unauthorized");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    for (value, status) in [
        ("Bearer alpha-token", 200),
        ("bearer  beta-token ", 200),
        ("Bearer alpha-toke", 401),
        ("Bearer alpha-tokenn", 401),
        ("Bearer ", 401),
        ("Basic alpha-token", 401),
        ("alpha-token", 401),
    ] {
        let answer = server.send("GET", "/api/v1/status", &[("authorization", value)], "").await;
        assert_eq!(answer.status, status, "{value}");
        assert!(!answer.body.contains("alpha"), "{value}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_open_address_needs_tokens() {
    let everywhere: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let site = || Site::new(Arc::new(Plane::new()));
    let refused = Admin::bind(everywhere, &[], site()).await.err().unwrap();
    assert!(matches!(refused, BindError::TokensRequired(_)), "{refused}");
    let refused = Admin::bind(everywhere, &[token("blank", Role::Operator, " ")], site()).await.err().unwrap();
    assert!(matches!(refused, BindError::EmptyToken), "{refused}");
    let taken = Server::start().await;
    let refused = Admin::bind(taken.addr, &[], site()).await.err().unwrap();
    assert!(matches!(refused, BindError::Listen { .. }), "{refused}");
    taken.stop().await;
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let server = Server::start().await;
    let plain = server.get("/metrics").await;
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(plain.body.contains("# TYPE mainstay_requests_total counter\n"), "{}", plain.body);
    let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
    let open = server.send("GET", "/metrics", &[("accept", accept)], "").await;
    assert_eq!(open.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(open.body.ends_with("# EOF\n"), "{}", open.body);
    let refuses = server.send("GET", "/metrics", &[("accept", "application/openmetrics-text;q=0, */*")], "").await;
    assert_eq!(refuses.body, plain.body);
    server.stop().await;
}

/// Each path and method of the document answers, each other method of its paths is refused, and what it says of
/// answers holds for them.
#[tokio::test]
async fn the_description_matches_the_service() {
    let server = Server::start().await;
    let document = server.get("/openapi.json").await.json();
    assert_eq!(document, mainstay_control::openapi());
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let concrete = path.replace("{route}", "score");
        for method in ["get", "put", "post", "delete", "patch"] {
            let body = match (method, path.as_str()) {
                ("put", _) => r#"{"level":1}"#,
                ("post", "/api/v1/reviews") => r#"{"action":"claim","by":"ana"}"#,
                _ => "",
            };
            let headers = [("content-type", "application/json")];
            let answer = server.send(&method.to_uppercase(), &concrete, &headers, body).await;
            let Some(operation) = methods.get(method) else {
                assert_problem(&answer, 405, "method-not-allowed");
                continue;
            };
            operations.push(format!("{} {path}", method.to_uppercase()));
            let described = &operation["responses"][answer.status.to_string()];
            assert!(described.is_object(), "{method} {path}: {answer:?}");
            if let Some(media) = answer.header("content-type") {
                assert!(described["content"][media].is_object(), "{method} {path}: {media}");
                let schema = &described["content"][media]["schema"];
                // A problem leaves out what it has nothing to say about.
                if let Some(name) = schema["$ref"].as_str().filter(|_| answer.status < 300) {
                    let schema = document.pointer(name.trim_start_matches('#')).expect(name);
                    assert_same_keys(schema, &answer.json());
                }
            }
        }
    }
    let pin = &document["components"]["schemas"]["PinRequest"];
    assert_eq!(pin["required"], json!(["level"]));
    assert_eq!(pin["properties"].as_object().unwrap().keys().collect::<Vec<_>>(), ["for", "level", "reason"]);
    operations.sort();
    expect_test::expect![[r"
        DELETE /api/v1/chaos/halt
        DELETE /api/v1/corrections/{id}
        DELETE /api/v1/incidents/{id}/actions/{action}
        DELETE /api/v1/levels/{route}
        DELETE /api/v1/maintenance/{name}
        DELETE /api/v1/overrides/{id}
        DELETE /api/v1/silences/{id}
        GET /api/v1/chaos/halt
        GET /api/v1/corrections
        GET /api/v1/drift
        GET /api/v1/drift/{name}
        GET /api/v1/events
        GET /api/v1/experiments
        GET /api/v1/experiments/catalogue
        GET /api/v1/experiments/{id}
        GET /api/v1/experiments/{id}/verdict
        GET /api/v1/gamedays
        GET /api/v1/gamedays/findings
        GET /api/v1/gamedays/{id}
        GET /api/v1/gamedays/{id}/report
        GET /api/v1/incidents
        GET /api/v1/incidents/metrics
        GET /api/v1/incidents/{id}
        GET /api/v1/incidents/{id}/review
        GET /api/v1/levels
        GET /api/v1/live
        GET /api/v1/maintenance
        GET /api/v1/models
        GET /api/v1/models/{name}
        GET /api/v1/oncall
        GET /api/v1/oncall/{schedule}
        GET /api/v1/overrides
        GET /api/v1/quality
        GET /api/v1/requests
        GET /api/v1/reviews
        GET /api/v1/runbooks
        GET /api/v1/runbooks/{type}
        GET /api/v1/runs
        GET /api/v1/runs/{id}
        GET /api/v1/silences
        GET /api/v1/slos
        GET /api/v1/slos/export
        GET /api/v1/slos/{name}
        GET /api/v1/status
        GET /healthz
        GET /metrics
        GET /openapi.json
        GET /readyz
        POST /api/v1/alerts
        POST /api/v1/backup
        POST /api/v1/config/reload
        POST /api/v1/corrections
        POST /api/v1/drift/check
        POST /api/v1/events
        POST /api/v1/experiments
        POST /api/v1/experiments/{id}/approve
        POST /api/v1/experiments/{id}/hold
        POST /api/v1/experiments/{id}/stop
        POST /api/v1/flags
        POST /api/v1/gamedays
        POST /api/v1/gamedays/{id}/answers
        POST /api/v1/gamedays/{id}/stop
        POST /api/v1/incidents
        POST /api/v1/incidents/{id}/ack
        POST /api/v1/incidents/{id}/actions
        POST /api/v1/incidents/{id}/notes
        POST /api/v1/incidents/{id}/status
        POST /api/v1/labels
        POST /api/v1/maintenance
        POST /api/v1/models/{name}/promote
        POST /api/v1/models/{name}/rollback
        POST /api/v1/overrides
        POST /api/v1/reviews
        POST /api/v1/signals
        POST /api/v1/silences
        POST /api/v1/slos/import
        PUT /api/v1/chaos/halt
        PUT /api/v1/drift/references/{name}
        PUT /api/v1/incidents/{id}/review
        PUT /api/v1/levels/{route}
        PUT /api/v1/models/{name}/versions/{version}
        PUT /api/v1/quality/baselines/{route}
        PUT /api/v1/runs/{id}"]]
    .assert_eq(&operations.join("\n"));
    server.stop().await;
}

#[track_caller]
fn assert_same_keys(schema: &Value, answer: &Value) {
    let (known, answer) = (schema["properties"].as_object().unwrap(), answer.as_object().unwrap());
    assert!(answer.keys().all(|key| known.contains_key(key)), "{answer:?}");
    let required = schema["required"].as_array().map_or(&[][..], Vec::as_slice);
    assert!(required.iter().all(|key| answer.contains_key(key.as_str().unwrap())), "{answer:?}");
}

#[tokio::test]
async fn running_requests_finish_when_the_service_stops() {
    let server = Server::start().await;
    server.plane.hold_reload();
    let held = server.client("POST", "/api/v1/config/reload", &[], "");
    let held = tokio::spawn(held);
    server.plane.reload_started().await;
    let addr = server.addr;
    let stopped = tokio::spawn(server.plane.clone().release_when_closed(addr));
    server.stop().await;
    stopped.await.unwrap();
    assert_eq!(held.await.unwrap().status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_arrive_is_given_up() {
    let server = Server::start().await;
    let started = tokio::time::Instant::now();
    let answer = server.raw_bytes("GET /healthz HTTP/1.1\r\nhost: loc").await;
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    assert_eq!(started.elapsed().as_secs(), 15);
    server.stop().await;
}

/// Time is paused: it passes only while nothing else can happen.
#[tokio::test(start_paused = true)]
async fn connections_beyond_the_bound_wait_for_their_turn() {
    let server = Server::start().await;
    let mut held = Vec::new();
    for _ in 0..256 {
        held.push(TcpStream::connect(server.addr).await.unwrap());
    }
    let mut late = tokio::spawn(server.client("GET", "/healthz", &[], ""));
    assert!(timeout(Duration::from_secs(1), &mut late).await.is_err());
    drop(held.pop());
    let answer = timeout(Duration::from_secs(1), late).await.expect("there is room").unwrap();
    assert_eq!(answer.status, 200);
    drop(held);
    server.stop().await;
}

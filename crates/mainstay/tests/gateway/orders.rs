//! What is ordered of a route at run time: every request kept, some requests blocked.

use std::time::Duration;

use http::Request;
use http_body_util::Full;
use mainstay_core::event::{EventKind, Kept};
use mainstay_core::status::Raised;
use mainstay_gateway::BlockError;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::raw::read_answer;
use crate::support::upstream::{parts, predicts};
use crate::support::{Answer, Plane, Upstream, ask, fill, json, post, until};

const ROUTES: &str = r"
limits: { replay: 4KiB, body: 64KiB }
observability: { sample: { log: 0%, reservoir: 0 } }
backends:
  oip: { url: 'http://$up', protocol: open-inference }
  chat: { url: 'http://$up', protocol: openai }
  web: { url: 'http://$up', protocol: http }
features:
  account:
    store: { url: 'http://$store', protocol: feast }
    refs: [account:x]
    entity: { account_id: /parameters/account_id }
    into: { input: features, datatype: FP64 }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 10s
    ladder:
      - { level: 0, backend: oip, features: { set: account, mode: online } }
      - { level: 4, respond: { outputs: [{ name: d, value: 1 }] } }
  - name: chat
    path: /v1/chat/completions
    deadline: 10s
    ladder: [{ level: 0, backend: chat }, { level: 4, respond: { text: sorry } }]
  - name: other
    path: /other
    deadline: 10s
    ladder: [{ level: 0, backend: web }, { level: 4, respond: { body: {} } }]
  - name: web
    path: /web/*
    deadline: 10s
    ladder: [{ level: 0, backend: web }, { level: 4, respond: { body: {} } }]
slos: [availability: { name: up, target: 99.9% }]
";

const PATHS: [(&str, &str); 3] =
    [("score", "/v2/models/fraud/infer"), ("chat", "/v1/chat/completions"), ("web", "/web/x")];

struct Place {
    plane: Plane,
    up: Upstream,
    store: Upstream,
    config: String,
}

async fn place() -> Place {
    let up = Upstream::start(|seen| async move {
        if seen.path == "/v1/chat/completions" {
            return json(200, r#"{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}"#);
        }
        if seen.path != "/web/stream" {
            return predicts(&seen, "fraud", 0.5);
        }
        let (sender, answer) = parts("text/event-stream");
        drop(sender.send(Ok("data: 1\n\n".into())));
        answer
    })
    .await;
    let store = Upstream::start(|_| async { json(500, "{}") }).await;
    let config = fill(ROUTES, &[("up", &up.addr), ("store", &store.addr)]);
    Place { plane: Plane::start(&config), up, store, config }
}

impl Place {
    async fn ask(&self, request: Request<Full<bytes::Bytes>>) -> Answer {
        ask(self.plane.addr(), request).await
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        self.ask(post(path, &[], body.to_owned())).await
    }

    /// Calls so far: to models, to the feature store.
    fn calls(&self) -> (usize, usize) {
        (self.up.count(), self.store.count())
    }

    /// Ids of the requests that are kept as every one is asked for, the first one first.
    fn kept(&self) -> Vec<String> {
        let raised = Kept { why: "raised".into(), probability: 1.0 };
        let kept = self.plane.gateway.kept(1_000).into_iter().rev().map(|(_, request)| request);
        kept.filter(|request| request.kept.contains(&raised)).map(|request| request.request_id).collect()
    }
}

fn web(id: &str) -> Request<Full<bytes::Bytes>> {
    post("/web/x", &[("x-request-id", id)], "{}")
}

#[tokio::test]
async fn every_request_is_kept_while_that_is_asked_for_and_none_after() {
    let place = place().await;
    let (plane, gateway) = (&place.plane, &place.plane.gateway);
    for route in ["nowhere", ""] {
        assert_eq!(
            gateway.raise_sampling(route, None).unwrap_err().to_string(),
            format!("there is no route `{route}`")
        );
        assert!(gateway.lower_sampling(route).is_err());
    }
    place.ask(web("before")).await;
    gateway.raise_sampling("web", None).unwrap();
    assert_eq!((plane.route("web").raised, plane.route("chat").raised), (Some(Raised { until: None }), None));
    for id in ["one", "two", "three"] {
        assert_eq!(place.ask(web(id)).await.facts(), (200, "0", "false", "1", ""));
    }
    place.ask(post("/v1/chat/completions", &[("x-request-id", "other")], "{}")).await;
    assert_eq!(place.ask(post("/web/stream", &[("x-request-id", "streamed")], "{}")).await.status, 200);
    // What is refused before its ladder has ended as well.
    let long = post("/web/x", &[("x-request-id", "refused")], "x".repeat(70_000));
    assert_eq!(place.ask(long).await.status, 413);
    plane.reload(&place.config.replace("replay: 4KiB", "replay: 5KiB")).unwrap();
    plane.status("the other config", |status| status.routes[3].raised.is_some()).await;
    place.ask(web("reloaded")).await;
    gateway.lower_sampling("web").unwrap();
    place.ask(web("after")).await;
    let wanted = ["one", "two", "three", "streamed", "refused", "reloaded"];
    assert_eq!(place.kept(), wanted);
    let refused = gateway.kept(1_000).into_iter().find(|(_, request)| request.request_id == "refused").unwrap().1;
    assert_eq!((refused.code, refused.level, refused.reason.as_deref()), (413, None, Some("request_too_large")));
    let told = plane.events().into_iter().filter_map(|event| match event {
        EventKind::RequestFinished(request) => Some(request.request_id),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), wanted, "sinks get the same");
    place.plane.close().await;
}

#[tokio::test]
async fn keeping_every_request_ends_by_itself() {
    let place = place().await;
    let (plane, gateway) = (&place.plane, &place.plane.gateway);
    gateway.raise_sampling("web", Some(plane.clock.now())).unwrap();
    place.ask(web("never")).await;
    let late = plane.clock.now() + Duration::from_hours(1);
    gateway.raise_sampling("web", Some(late)).unwrap();
    assert_eq!(plane.route("web").raised, Some(Raised { until: Some(late) }));
    place.ask(web("within")).await;
    let end = plane.clock.now() + Duration::from_millis(300);
    gateway.raise_sampling("web", Some(end)).unwrap();
    until("the end", || plane.route("web").raised.is_none().then_some(())).await;
    assert!(plane.clock.now() >= end);
    place.ask(web("after")).await;
    assert_eq!(place.kept(), ["within"]);
    place.plane.close().await;
}

#[tokio::test]
async fn a_blocked_request_is_answered_in_its_protocols_shape_and_asks_nobody() {
    let place = place().await;
    let (plane, gateway) = (&place.plane, &place.plane.gateway);
    for (route, _) in PATHS {
        gateway.block(route, "Free Money", None).unwrap();
    }
    let body =
        r#"{"parameters":{"account_id":"a"},"inputs":[],"messages":[{"role":"user","content":"get FREE m\u006fney"}]}"#;
    let says = "the request holds what this route does not take at the moment";
    let mut answers = Vec::new();
    for (route, path) in PATHS {
        let answer = place.ask(post(path, &[("x-request-id", "r1")], body)).await;
        assert_eq!(answer.facts(), (403, "0", "false", "0", "blocked"), "{route}");
        assert_eq!((answer.header("x-should-retry"), answer.header("retry-after")), ("false", ""));
        assert_eq!(answer.header("x-request-id"), "r1");
        plane.counted("mainstay_shed", &[("route", route), ("class", "0"), ("reason", "blocked")], 1).await;
        plane.counted("mainstay_requests", &[("route", route), ("level", "none"), ("code", "403")], 1).await;
        assert_eq!((plane.route(route).blocked, plane.route(route).shed), (1, 0), "no backend was full");
        answers.push((answer.header("content-type").to_owned(), answer.json()));
    }
    let error = |kind: &str| serde_json::json!({ "type": kind, "message": says, "param": null, "code": "blocked" });
    let wanted = [
        ("application/json", serde_json::json!({ "error": says })),
        ("application/json", serde_json::json!({ "error": error("permission_error") })),
        (
            "application/problem+json",
            serde_json::json!({
                "type": "about:blank", "title": "Forbidden", "status": 403, "detail": says, "code": "blocked", "request_id": "r1",
            }),
        ),
    ];
    assert_eq!(answers, wanted.map(|(kind, body)| (kind.to_owned(), body)));
    assert_eq!(place.calls(), (0, 0), "neither a model nor a feature store");
    // It is the operator's choice, and nobody's failure.
    assert_eq!(place.post("/web/x", "{}").await.status, 200);
    let (mut good, mut bad) = (0, 0);
    until("the good one", || {
        gateway
            .take_sums()
            .counts
            .iter()
            .for_each(|(_, _, counts)| (good, bad) = (good + counts.good, bad + counts.bad));
        (good > 0).then_some(())
    })
    .await;
    assert_eq!((good, bad), (1, 0));
    place.plane.close().await;
}

#[tokio::test]
async fn patterns_are_found_in_any_case_on_their_route_only_and_until_they_are_taken_back() {
    let place = place().await;
    let gateway = &place.plane.gateway;
    assert!(matches!(gateway.block("nowhere", "x", None), Err(BlockError::UnknownRoute(_))));
    assert!(matches!(gateway.block("web", "", None), Err(BlockError::Length)));
    assert!(gateway.unblock("nowhere", "x").is_err());
    gateway.unblock("web", "what was never blocked").unwrap();
    gateway.block("web", "bomb", None).unwrap();
    gateway.block("web", "Überfall", None).unwrap();
    let bad = ["a BoMB b", "bomb", r#"{"q":"b\u004fmb"}"#, "ÜBERFALL", r#"["\u00fcberfall"]"#];
    for body in bad {
        assert_eq!(place.post("/web/x", body).await.status, 403, "{body}");
        assert_eq!(place.post("/v1/chat/completions", &serde_json::json!({ "x": body }).to_string()).await.status, 200);
    }
    for body in ["", "bom b", r#"{"q":"harmless \n"}"#, "unberfall"] {
        assert_eq!(place.post("/web/x", body).await.status, 200, "{body}");
    }
    gateway.unblock("web", "BOMB").unwrap();
    assert_eq!(
        (place.post("/web/x", "a bomb").await.status, place.post("/web/x", "überfall").await.status),
        (200, 403)
    );
    gateway.unblock("web", "überfall").unwrap();
    assert_eq!(place.post("/web/x", "überfall").await.status, 200);
    place.plane.close().await;
}

#[tokio::test]
async fn a_block_ends_by_itself_and_outlives_a_reload() {
    let place = place().await;
    let (plane, gateway) = (&place.plane, &place.plane.gateway);
    gateway.block("web", "bomb", Some(plane.clock.now())).unwrap();
    assert_eq!(place.post("/web/x", "bomb").await.status, 200, "it ended as it began");
    let (soon, late) = (Duration::from_millis(500), Duration::from_hours(1));
    gateway.block("web", "knife", None).unwrap();
    gateway.block("web", "bomb", Some(plane.clock.now() + late)).unwrap();
    assert_eq!(place.post("/web/x", "bomb").await.status, 403);
    let end = plane.clock.now() + soon;
    gateway.block("web", "rope", Some(end)).unwrap();
    // Another backend before the others, another ladder, and no route of the name `other` any more.
    let other = place
        .config
        .replace("backends:\n", "backends:\n  another: { url: 'http://127.0.0.1:9', protocol: http }\n")
        .replace("deadline: 10s", "deadline: 9s")
        .replace("{ level: 4, respond: { body: {} } }", "{ level: 3, respond: { body: {} } }")
        .replace("name: other", "name: renamed");
    gateway.block("other", "x", None).unwrap();
    plane.reload(&other).unwrap();
    assert_eq!(plane.route("renamed").blocked, 0);
    until("the end", || (plane.route("web").blocked == 2).then_some(())).await;
    assert!(plane.clock.now() >= end);
    for (body, status) in [("rope", 200), ("bomb", 403), ("knife", 403)] {
        assert_eq!(place.post("/web/x", body).await.status, status, "{body}");
    }
    // The same again has another end.
    gateway.block("web", "Bomb", Some(plane.clock.now())).unwrap();
    assert_eq!((place.post("/web/x", "bomb").await.status, plane.route("web").blocked), (200, 1));
    place.plane.close().await;
}

#[tokio::test]
async fn a_body_that_cannot_be_looked_through_is_refused_while_a_pattern_is_in_force() {
    let place = place().await;
    let (plane, gateway) = (&place.plane, &place.plane.gateway);
    let long = "x".repeat(10_000);
    let wide: Vec<u8> = r#"{"q":"bomb"}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let requests = || {
        [
            (post("/web/x", &[], long.clone()), 413, "request_too_large"),
            (post("/web/x", &[("content-encoding", "gzip")], "not looked into"), 415, "unsupported_encoding"),
            (post("/web/x", &[], wide.clone()), 415, "unsupported_encoding"),
            (post("/web/x", &[], format!("bomb{long}")), 403, "blocked"),
        ]
    };
    gateway.block("chat", "bomb", None).unwrap();
    gateway.block("web", "bomb", Some(plane.clock.now())).unwrap();
    for (request, ..) in requests() {
        assert_eq!(place.ask(request).await.status, 200, "nothing is blocked on this route");
    }
    gateway.block("web", "bomb", None).unwrap();
    for (request, status, reason) in requests() {
        let answer = place.ask(request).await;
        assert_eq!((answer.facts(), answer.header("x-should-retry")), ((status, "0", "false", "0", reason), "false"));
        assert_eq!(answer.json()["code"], reason);
    }
    let answer = place.post("/web/x", &long).await;
    let says =
        "while this route blocks requests by what they hold, a body is at most 4096 bytes long (`limits.replay`)";
    assert_eq!(answer.json()["detail"], says);
    // Without a length told, and without an end.
    let mut stream = TcpStream::connect(plane.addr()).await.unwrap();
    let head = "POST /web/x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(format!("{head}2000\r\n{}\r\n", " ".repeat(0x2000)).as_bytes()).await.unwrap();
    assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 413 "));
    assert_eq!(place.up.count(), 4);
    gateway.unblock("web", "bomb").unwrap();
    assert_eq!(place.post("/web/x", &long).await.status, 200);
    place.plane.close().await;
}

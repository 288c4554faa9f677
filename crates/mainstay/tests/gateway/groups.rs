//! Backends that share their fate: a region that dies costs a few calls, and whichever of it answers first brings it back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use mainstay_core::event::EventKind;

use crate::support::{Flow, Plane, Upstream, ask, fill, json, post, until};

const GOOD: &str = r#"{"id":"c","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}"#;
const BUSY: &str = r#"{"error":{"message":"overloaded"}}"#;
const REFUSED: &str =
    r#"{"error":{"message":"Incorrect API key provided","type":"invalid_request_error","code":"invalid_api_key"}}"#;
const LIMITED: &str = r#"{"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}"#;

/// Three backends of `west`, then one that stands alone.
fn config(open: &str) -> String {
    let names = ["one", "two", "three"];
    let backend = |name| {
        format!(
            "  {name}: {{ url: 'http://$west', protocol: openai, group: west, keys: [env:{name}], model: {name}, limit: none, retry: {{ attempts: 1 }}, breaker: {{ open: {open}, open_max: {open} }} }}\n"
        )
    };
    let entry = |name| format!("      - {{ level: 0, backend: {name} }}\n");
    format!(
        "backends:\n{}  east: {{ url: 'http://$east', protocol: openai, model: east, limit: none }}\nroutes:\n  - name: chat\n    path: /v1/chat/completions\n    deadline: 10s\n    ladder:\n{}{}      - {{ level: 4, respond: {{ text: Later. }} }}\n",
        names.map(backend).concat(),
        names.map(entry).concat(),
        entry("east"),
    )
}

fn chat() -> http::Request<http_body_util::Full<bytes::Bytes>> {
    post("/v1/chat/completions", &[], r#"{"model":"any","messages":[]}"#)
}

fn status(of: u16) -> http::Response<Flow> {
    let body = match of {
        200 => GOOD,
        401 => REFUSED,
        429 => LIMITED,
        _ => BUSY,
    };
    json(of, body)
}

/// A region that answers with a status that can be changed, and one that is well.
async fn regions(first: u16, open: &str) -> (Plane, Upstream, Upstream, Arc<AtomicU16>) {
    let code = Arc::new(AtomicU16::new(first));
    let told = Arc::clone(&code);
    let west = Upstream::start(move |_| {
        let code = told.load(Ordering::Relaxed);
        async move { status(code) }
    })
    .await;
    let east = Upstream::start(|_| async { status(200) }).await;
    let plane = Plane::start(&fill(&config(open), &[("west", &west.addr), ("east", &east.addr)]));
    (plane, west, east, code)
}

fn group_changes(plane: &Plane) -> Vec<(String, String)> {
    let changed = |kind| match kind {
        EventKind::GroupChanged { to, reason, members, group, .. } => {
            assert_eq!((group.as_str(), members), ("west", vec!["one".into(), "two".into(), "three".into()]));
            Some((to.into_owned(), reason.into_owned()))
        }
        _ => None,
    };
    plane.events().into_iter().filter_map(changed).collect()
}

#[tokio::test]
async fn a_region_that_dies_costs_a_few_calls_and_is_tried_by_one_at_a_time() {
    let (plane, west, east, code) = regions(503, "400ms").await;
    for _ in 0..20 {
        let answer = ask(plane.addr(), chat()).await;
        assert_eq!((answer.status, answer.header("x-mainstay-level")), (200, "0"));
    }
    // Five failures in a row of several requests and members, and one call besides. Each alone would have cost five.
    assert!(west.count() <= 7, "{} calls", west.count());
    assert_eq!(east.count(), 20);
    let group = plane.gateway.status().groups.remove(0);
    assert_eq!((group.name.as_str(), group.breaker, group.members.len(), group.open), ("west", "open", 3, 0));
    assert_eq!(plane.metric("mainstay_group_state", &[("group", "west")]), 2.0);
    assert_eq!(plane.metric("mainstay_breaker_state", &[]), 0.0, "none of them was ill for long enough by itself");
    code.store(200, Ordering::Relaxed);
    let before = west.count();
    plane.status("a region that may be tried", |it| it.groups[0].breaker == "half_open").await;
    for _ in 0..8 {
        assert_eq!(ask(plane.addr(), chat()).await.status, 200);
    }
    plane.status("a region that is well", |it| it.groups[0].breaker == "closed").await;
    assert!(west.count() > before);
    assert_eq!(west.most(), 1);
    let mut told = Vec::new();
    until("four events", || {
        told.extend(group_changes(&plane));
        (told.len() == 4).then_some(())
    })
    .await;
    let told: Vec<_> = told.iter().map(|(to, why)| (to.as_str(), why.as_str())).collect();
    let expected =
        [("half_open", "streak"), ("open", "probe_failed"), ("half_open", "elapsed"), ("closed", "recovered")];
    assert_eq!(told, expected);
    plane.close().await;
}

#[tokio::test]
async fn what_is_wrong_with_keys_is_nothing_against_the_region() {
    for code in [401, 429] {
        let (plane, west, _east, _) = regions(code, "1h").await;
        for _ in 0..20 {
            assert_eq!(ask(plane.addr(), chat()).await.status, 200);
        }
        assert_eq!(plane.gateway.status().groups[0].breaker, "closed", "{code}");
        if code == 401 {
            let own = |it: &mainstay_core::status::Status| it.groups[0].open == 3;
            plane.status("breakers of their own", own).await;
            assert_eq!(west.count(), 15);
        }
        assert_eq!(group_changes(&plane), [], "{code}");
        plane.close().await;
    }
}

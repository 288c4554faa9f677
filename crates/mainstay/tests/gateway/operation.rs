//! Reloads, pins, shutdowns, and the numbers that people watch.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mainstay_core::event::EventKind;
use mainstay_core::route::Level;
use mainstay_gateway::StartError;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::support::upstream::predicts;
use crate::support::{Caller, Plane, Upstream, ask, fill, infer, json, soon, until};

const ONE: &str = r"
backends:
  primary: { url: 'http://$primary', protocol: open-inference, limit: { fixed: { max: 500 } }, retry: { attempts: 1 } }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 30s
    ladder:
      - { level: 0, backend: primary }
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
";

#[tokio::test]
async fn reloads_under_load_lose_no_request() {
    let (one, two) = (Upstream::predicting("one", 0.5).await, Upstream::predicting("two", 0.5).await);
    let (with_one, with_two) = (fill(ONE, &[("primary", &one.addr)]), fill(ONE, &[("primary", &two.addr)]));
    let plane = Plane::start(&with_one);
    let stop = Arc::new(AtomicBool::new(false));
    let answered: Arc<[AtomicUsize; 50]> = Arc::new([const { AtomicUsize::new(0) }; 50]);
    let each = |more: usize| {
        let before: Vec<usize> = answered.iter().map(|n| n.load(Ordering::SeqCst) + more).collect();
        let answered = Arc::clone(&answered);
        until("some answers", move || {
            answered.iter().zip(&before).all(|(n, wanted)| n.load(Ordering::SeqCst) >= *wanted).then_some(())
        })
    };
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..50 {
        let (stop, answered, addr) = (Arc::clone(&stop), Arc::clone(&answered), plane.addr());
        clients.spawn(async move {
            let mut caller = if client % 5 == 0 { Caller::connect_h2(addr).await } else { Caller::connect(addr).await };
            while !stop.load(Ordering::SeqCst) {
                let answer = caller.ask(infer(&[])).await;
                assert_eq!(answer.facts(), (200, "0", "false", "1", ""));
                answered[client].fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    for round in 1..=20 {
        each(1).await;
        plane.reload(if round % 2 == 0 { &with_one } else { &with_two }).unwrap();
    }
    plane.reload(&with_two).unwrap();
    // The first may have begun under the old config, and workers hear of the new one a moment later.
    each(3).await;
    let before = one.count();
    each(3).await;
    assert_eq!(one.count(), before, "the new config is in force");
    stop.store(true, Ordering::SeqCst);
    clients.join_all().await;
    let total = u32::try_from(answered.iter().map(|n| n.load(Ordering::SeqCst)).sum::<usize>()).unwrap();
    plane.counted("mainstay_requests", &[("level", "0"), ("code", "200")], total).await;
    assert_eq!(one.count() + two.count(), total as usize);
    plane.close().await;
}

#[tokio::test]
async fn a_config_that_cannot_run_changes_nothing() {
    let one = Upstream::predicting("one", 0.5).await;
    let config = fill(ONE, &[("primary", &one.addr)]);
    let plane = Plane::start(&config);
    let before = plane.gateway.plan();
    let tls = format!("tls: {{ cert: /nowhere/cert.pem, key: /nowhere/key.pem }}\n{config}");
    let error = plane.reload(&tls).unwrap_err();
    assert_eq!(error.to_string(), "read /nowhere/cert.pem");
    assert!(error.source().is_some(), "the chain says why");
    let mut other = crate::support::plane::plan(&config);
    other.listen = "127.0.0.1:1".parse().unwrap();
    let error = plane.gateway.reload(Arc::new(other)).unwrap_err();
    assert!(matches!(error, StartError::ListenChanged(_)), "{error}");
    let twins = format!("clients: {{ a: {{ key: env:SAME }}, b: {{ key: env:SAME }} }}\n{config}");
    assert!(matches!(plane.reload(&twins).unwrap_err(), StartError::SharedKey(_)));
    assert!(Arc::ptr_eq(&before, &plane.gateway.plan()));
    assert_eq!(ask(plane.addr(), infer(&[])).await.facts(), (200, "0", "false", "1", ""));
    plane.close().await;
}

#[tokio::test]
async fn breakers_and_pins_outlive_a_reload_that_does_not_concern_them() {
    let bad = Upstream::start(|_| async { json(500, "{}") }).await;
    let config = fill(ONE, &[("primary", &bad.addr)]);
    let plane = Plane::start(&config);
    for _ in 0..5 {
        ask(plane.addr(), infer(&[])).await;
    }
    plane.backend_is("primary", "an open breaker", |b| b.breaker == "open").await;
    let pinned = Level::STATIC;
    plane.gateway.pin("score", pinned, None, "by hand").unwrap();
    // One more backend, named before the others, and one more route.
    let more = config
        .replace("backends:\n", "backends:\n  another: { url: 'http://127.0.0.1:9', protocol: http }\n")
        .replace("routes:\n", "routes:\n  - name: other\n    path: /other\n    deadline: 1s\n    ladder: [{ level: 0, backend: another }, { level: 4, respond: { body: {} } }]\n");
    plane.reload(&more).unwrap();
    assert_eq!(plane.backend("primary").breaker, "open");
    let route = plane.route("score");
    assert_eq!((route.level, route.pin.as_ref().map(|p| (p.level, &*p.reason))), (pinned, Some((pinned, "by hand"))));
    assert_eq!(plane.route("other").level, Level::FULL);
    let answer = ask(plane.addr(), infer(&[])).await;
    assert_eq!(answer.facts(), (200, "4", "true", "0", "pinned"));
    plane.gateway.unpin("score").unwrap();
    until("the level of health", || (plane.route("score").level == Level::FULL).then_some(())).await;
    let answer = ask(plane.addr(), infer(&[])).await;
    assert_eq!(answer.facts(), (200, "4", "true", "0", "breaker_open"));
    assert_eq!(bad.count(), 5);
    plane.close().await;
}

#[tokio::test]
async fn a_pin_holds_a_level_until_it_expires() {
    let one = Upstream::predicting("one", 0.5).await;
    let plane = Plane::start(&fill(ONE, &[("primary", &one.addr)]));
    let until_then = plane.clock.now() + Duration::from_millis(400);
    plane.gateway.pin("score", Level::STATIC, Some(until_then), "a test").unwrap();
    let answer = ask(plane.addr(), infer(&[])).await;
    assert_eq!(answer.facts(), (200, "4", "true", "0", "pinned"));
    let pin = plane.route("score").pin.expect("a pin");
    assert_eq!((pin.level, pin.until, &*pin.reason), (Level::STATIC, Some(until_then), "a test"));
    until("the pin's end", || plane.route("score").pin.is_none().then_some(())).await;
    assert!(plane.clock.now() >= until_then);
    assert_eq!(ask(plane.addr(), infer(&[])).await.facts(), (200, "0", "false", "1", ""));
    assert_eq!(one.count(), 1);
    let words: Vec<String> = plane
        .events()
        .into_iter()
        .filter_map(|event| match event {
            EventKind::LevelPinned { .. } => Some("pin".to_owned()),
            EventKind::LevelChanged { from, to, reason, .. } => Some(format!("{from} to {to}: {reason}")),
            _ => None,
        })
        .collect();
    assert_eq!(words, ["pin", "0 to 4: pinned", "4 to 0: pin_expired"]);
    assert!(plane.gateway.pin("nowhere", Level::FULL, None, "x").is_err());
    plane.close().await;
}

/// An upstream that answers as `gate` lets it.
async fn held(gate: &Arc<Semaphore>) -> Upstream {
    let gate = Arc::clone(gate);
    Upstream::start(move |seen| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.expect("it is never closed").forget();
            predicts(&seen, "fraud", 0.5)
        }
    })
    .await
}

#[tokio::test]
async fn a_shutdown_finishes_what_runs_and_takes_nothing_new() {
    let gate = Arc::new(Semaphore::new(1));
    let primary = held(&gate).await;
    let plane = Plane::start(&format!("limits: {{ drain: 20s }}\n{}", fill(ONE, &[("primary", &primary.addr)])));
    let mut idle = Caller::connect(plane.addr()).await;
    idle.ask(infer(&[])).await;
    let mut silent = TcpStream::connect(plane.addr()).await.unwrap();
    let addr = plane.addr();
    let running: Vec<_> = [false, true]
        .map(|h2| {
            tokio::spawn(async move {
                let mut caller = if h2 { Caller::connect_h2(addr).await } else { Caller::connect(addr).await };
                let answer = caller.ask(infer(&[])).await;
                caller.closed().await;
                answer
            })
        })
        .into_iter()
        .collect();
    until("the calls", || (primary.under_way() == 2).then_some(())).await;
    let gateway = Arc::clone(&plane.gateway);
    let stopping = tokio::task::spawn_blocking(move || gateway.shutdown());
    until("the drain", || plane.gateway.ready().is_err().then_some(())).await;
    idle.closed().await;
    let closed = soon("the end", tokio::io::AsyncReadExt::read_u8(&mut silent)).await;
    assert!(closed.is_err(), "nothing is written to a caller that asked nothing");
    let refused = async {
        while TcpStream::connect(addr).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    soon("new callers to be refused", refused).await;
    assert!(!stopping.is_finished(), "two calls are under way");
    gate.add_permits(10);
    for one in running {
        assert_eq!(one.await.unwrap().facts(), (200, "0", "false", "1", ""));
    }
    soon("the shutdown", stopping).await.unwrap();
    assert!(plane.gateway.status().draining);
    assert_eq!(plane.metric("mainstay_requests", &[("code", "200")]), 3.0, "the last counts are not lost");
    plane.close().await;
}

#[tokio::test]
async fn a_shutdown_does_not_wait_longer_than_its_drain() {
    let primary = Upstream::hanging().await;
    let plane = Plane::start(&format!("limits: {{ drain: 200ms }}\n{}", fill(ONE, &[("primary", &primary.addr)])));
    let mut caller = Caller::connect(plane.addr()).await;
    let asking = tokio::spawn(async move { caller.begin(infer(&[])).await.map(drop) });
    until("the call", || (primary.under_way() == 1).then_some(())).await;
    let gateway = Arc::clone(&plane.gateway);
    let began = Instant::now();
    tokio::task::spawn_blocking(move || gateway.shutdown()).await.unwrap();
    assert!((Duration::from_millis(200)..Duration::from_secs(3)).contains(&began.elapsed()), "{:?}", began.elapsed());
    soon("the end", asking).await.unwrap().expect_err("it is cut off");
    until("the upstream to see it", || (primary.cancelled() == 1).then_some(())).await;
    assert_eq!(plane.backend("primary").in_flight, 0);
}

#[tokio::test]
async fn a_shutdown_amid_new_connections_is_quick() {
    let primary = Upstream::predicting("one", 0.5).await;
    for _ in 0..10 {
        let plane = Plane::start(&fill(ONE, &[("primary", &primary.addr)]));
        let addr = plane.addr();
        let knocking = tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok(stream) = TcpStream::connect(addr).await {
                open.push(stream);
                if open.len() % 64 == 0 {
                    open.clear();
                }
            }
        });
        until("some connections", || Some(())).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        plane.close().await;
        soon("the knocking to end", knocking).await.unwrap();
    }
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_their_turn() {
    let primary = Upstream::predicting("one", 0.5).await;
    let plane = Plane::start(&format!("limits: {{ connections: 2 }}\n{}", fill(ONE, &[("primary", &primary.addr)])));
    let (mut one, mut two) = (Caller::connect(plane.addr()).await, Caller::connect(plane.addr()).await);
    assert_eq!((one.ask(infer(&[])).await.status, two.ask(infer(&[])).await.status), (200, 200));
    let addr = plane.addr();
    let third = tokio::spawn(async move { ask(addr, infer(&[])).await });
    for _ in 0..20 {
        assert_eq!(one.ask(infer(&[])).await.status, 200);
    }
    assert_eq!(primary.count(), 22, "the third is not served");
    drop(two);
    assert_eq!(third.await.unwrap().status, 200);
    plane.close().await;
}

#[tokio::test]
async fn the_numbers_have_the_names_that_dashboards_use_and_agree_with_each_other() {
    let primary = Upstream::start(|seen| async move {
        tokio::time::sleep(Duration::from_millis(30)).await;
        predicts(&seen, "fraud", 0.5)
    })
    .await;
    let plane = Plane::start(&fill(ONE, &[("primary", &primary.addr)]));
    for _ in 0..4 {
        ask(plane.addr(), infer(&[])).await;
    }
    plane.counted("mainstay_requests", &[("route", "score"), ("class", "3"), ("level", "0"), ("code", "200")], 4).await;
    let families = plane.gateway.metrics();
    let names: Vec<&str> = families.iter().map(|f| f.name).collect();
    for name in [
        "requests",
        "request_duration_seconds",
        "overhead_seconds",
        "shed",
        "predictions",
        "prediction_latency_seconds",
        "prediction_confidence",
        "feature_retrieval_latency_seconds",
        "feature_cache_hits",
        "feature_cache_misses",
        "stale_features",
        "degradation_events",
        "fallback_level",
        "all_failed",
        "breaker_state",
        "limit",
        "inflight",
        "events_dropped",
    ] {
        let full = format!("mainstay_{name}");
        assert_eq!(names.iter().filter(|n| **n == full).count(), 1, "{full} in {names:?}");
    }
    let sum = |name: &str| {
        let family = families.iter().find(|f| f.name == name).unwrap();
        match &family.samples[0].value {
            mainstay_core::metric::Value::Histogram(h) => h.sum,
            other => panic!("{name} is {other:?}"),
        }
    };
    let (duration, overhead, model) = (
        sum("mainstay_request_duration_seconds"),
        sum("mainstay_overhead_seconds"),
        sum("mainstay_prediction_latency_seconds"),
    );
    assert!(model >= 0.12 && duration >= model, "{duration} s of which {model} s for the model");
    assert!(overhead < 0.1 && (duration - model - overhead).abs() < 0.01, "{overhead} s of {duration} s");
    for name in
        ["mainstay_request_duration_seconds", "mainstay_overhead_seconds", "mainstay_prediction_latency_seconds"]
    {
        assert_eq!(plane.metric(name, &[]), 4.0, "{name}");
    }
    assert_eq!(plane.metric("mainstay_limit", &[("backend", "primary")]), 500.0);
    assert_eq!(plane.metric("mainstay_inflight", &[("backend", "primary")]), 0.0);
    assert_eq!(plane.metric("mainstay_breaker_state", &[("backend", "primary")]), 0.0);
    plane.close().await;
}

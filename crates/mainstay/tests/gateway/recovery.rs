//! Breakers, endpoints, levels: how parts that failed are left alone and come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_core::event::EventKind;
use mainstay_core::route::Level;
use tokio::sync::Semaphore;

use crate::support::upstream::predicts;
use crate::support::{Plane, Upstream, ask, dead, fill, infer, json, post, until};

/// An upstream that fails while `failing`, and otherwise answers as `gate` lets it.
async fn gated(failing: &Arc<AtomicBool>, gate: &Arc<Semaphore>) -> Upstream {
    let (failing, gate) = (Arc::clone(failing), Arc::clone(gate));
    Upstream::start(move |seen| {
        let (failing, gate) = (Arc::clone(&failing), Arc::clone(&gate));
        async move {
            if failing.load(Ordering::SeqCst) {
                return json(500, r#"{"error":"down"}"#);
            }
            gate.acquire().await.expect("it is never closed").forget();
            predicts(&seen, "fraud", 0.5)
        }
    })
    .await
}

/// Asks `n` times at once and counts the answers of level 0 as they come.
fn crowd(plane: &Plane, n: usize) -> (Arc<AtomicUsize>, Arc<AtomicUsize>, tokio::task::JoinSet<()>) {
    let (well, deeper) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..n {
        let (addr, well, deeper) = (plane.addr(), Arc::clone(&well), Arc::clone(&deeper));
        asking.spawn(async move {
            let answer = ask(addr, infer(&[])).await;
            assert_eq!(answer.status, 200);
            let count = if answer.header("x-mainstay-level") == "0" { well } else { deeper };
            count.fetch_add(1, Ordering::SeqCst);
        });
    }
    (well, deeper, asking)
}

#[tokio::test]
async fn a_breaker_opens_lets_only_so_many_probe_and_closes_again() {
    let (failing, gate) = (Arc::new(AtomicBool::new(true)), Arc::new(Semaphore::new(0)));
    let primary = gated(&failing, &gate).await;
    let config = r"
backends:
  primary:
    url: http://$primary
    protocol: open-inference
    limit: none
    breaker: { consecutive: 5, open: 200ms, open_max: 200ms, successes: 4, half_open_max: 2 }
    retry: { attempts: 1 }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 30s
    ladder:
      - { level: 0, backend: primary }
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
";
    let plane = Plane::start(&fill(config, &[("primary", &primary.addr)]));
    for _ in 0..5 {
        assert_eq!(ask(plane.addr(), infer(&[])).await.facts().4, "backend_error");
    }
    let status = plane.backend("primary");
    assert!(status.breaker == "open" && status.retry_at.is_some(), "{status:?}");
    assert_eq!(plane.metric("mainstay_breaker_state", &[("backend", "primary")]), 2.0);

    failing.store(false, Ordering::SeqCst);
    plane.backend_is("primary", "half-open", |b| b.breaker == "half_open").await;
    assert_eq!(plane.metric("mainstay_breaker_state", &[("backend", "primary")]), 1.0);

    // 200 callers: one may probe; then, after each success, as many as are configured.
    let before = primary.count();
    let (well, deeper, asking) = crowd(&plane, 200);
    until("199 answers", || (deeper.load(Ordering::SeqCst) == 199).then_some(())).await;
    assert_eq!((primary.count() - before, primary.under_way()), (1, 1));
    assert_eq!((plane.backend("primary").in_flight, plane.backend("primary").limit), (1, None));
    gate.add_permits(1);
    asking.join_all().await;
    assert_eq!(well.load(Ordering::SeqCst), 1);

    let before = primary.count();
    let (well, deeper, asking) = crowd(&plane, 200);
    until("198 answers", || (deeper.load(Ordering::SeqCst) == 198).then_some(())).await;
    assert_eq!((primary.count() - before, primary.under_way()), (2, 2));
    gate.add_permits(2);
    asking.join_all().await;
    assert_eq!(well.load(Ordering::SeqCst), 2);
    assert_eq!(plane.backend("primary").breaker, "half_open", "three successes of four");

    gate.add_permits(1000);
    assert_eq!(ask(plane.addr(), infer(&[])).await.facts(), (200, "0", "false", "1", ""));
    plane.backend_is("primary", "closed", |b| b.breaker == "closed").await;
    let (well, _, asking) = crowd(&plane, 200);
    asking.join_all().await;
    assert_eq!(well.load(Ordering::SeqCst), 200);

    let path: Vec<(String, String)> = until("the events", || {
        let changes = plane.events().into_iter().filter_map(|event| match event {
            EventKind::BreakerChanged { from, to, .. } => Some((from.into_owned(), to.into_owned())),
            _ => None,
        });
        Some(changes.collect::<Vec<_>>()).filter(|all| !all.is_empty())
    })
    .await;
    let named: Vec<(&str, &str)> = path.iter().map(|(from, to)| (&**from, &**to)).collect();
    assert_eq!(named, [("closed", "open"), ("open", "half_open"), ("half_open", "closed")]);
    plane.close().await;
}

#[tokio::test]
async fn a_body_too_long_to_be_held_goes_to_the_next_where_a_probe_is_under_way() {
    let (failing, gate) = (Arc::new(AtomicBool::new(true)), Arc::new(Semaphore::new(0)));
    let primary = gated(&failing, &gate).await;
    let small = Upstream::predicting("small", 0.5).await;
    let config = r"
limits: { replay: 1KiB, body: 64KiB }
backends:
  primary:
    url: http://$primary
    protocol: open-inference
    limit: none
    breaker: { consecutive: 2, open: 100ms, open_max: 100ms, half_open_max: 1 }
    retry: { attempts: 1 }
  small: { url: 'http://$small', protocol: open-inference, limit: none }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 30s
    ladder:
      - { level: 0, backend: primary }
      - { level: 1, backend: small }
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
";
    let plane = Plane::start(&fill(config, &[("primary", &primary.addr), ("small", &small.addr)]));
    for _ in 0..2 {
        assert_eq!(ask(plane.addr(), infer(&[])).await.facts().1, "1");
    }
    failing.store(false, Ordering::SeqCst);
    plane.backend_is("primary", "half-open", |b| b.breaker == "half_open").await;
    let addr = plane.addr();
    let probe = tokio::spawn(async move { ask(addr, infer(&[])).await.status });
    until("the probe", || (primary.under_way() == 1).then_some(())).await;

    let long = format!(r#"{{"inputs":[],"parameters":{{"note":"{}"}}}}"#, "x".repeat(20_000));
    let answer = ask(addr, post("/v2/models/fraud/infer", &[], long.clone())).await;
    assert_eq!(answer.facts(), (200, "1", "true", "1", "breaker_open"));
    assert_eq!(small.seen().last().map(|seen| seen.body.len()), Some(long.len()));

    gate.add_permits(1);
    assert_eq!(probe.await.unwrap(), 200);
    plane.close().await;
}

const SEVERAL: &str = r"
backends:
  primary:
    endpoints: [$endpoints]
    protocol: open-inference
    limit: none
    breaker: { consecutive: 10000, min_calls: 1000000 }
    retry: { attempts: 3 }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 30s
    ladder:
      - { level: 0, backend: primary }
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
";

#[tokio::test]
async fn a_dead_endpoint_is_left_out_but_at_most_half_and_never_the_last() {
    let (one, two) = (Upstream::predicting("one", 0.5).await, Upstream::predicting("two", 0.5).await);
    let (gone, _socket) = dead();
    let endpoints = format!("'http://{}', 'http://{gone}', 'http://{}'", one.addr, two.addr);
    let plane = Plane::start(&fill(SEVERAL, &[("endpoints", &endpoints)]));
    let mut repeated = 0;
    while !plane.backend("primary").endpoints[1].ejected {
        let answer = ask(plane.addr(), infer(&[])).await;
        assert_eq!(answer.facts().0..=answer.facts().0, 200..=200);
        assert_eq!(answer.header("x-mainstay-level"), "0", "another endpoint answers");
        repeated += usize::from(answer.header("x-mainstay-attempts") == "2");
    }
    assert_eq!(repeated, 5, "five failures in a row");
    for _ in 0..30 {
        assert_eq!(ask(plane.addr(), infer(&[])).await.facts(), (200, "0", "false", "1", ""));
    }
    assert!(one.count() >= 5 && two.count() >= 5, "{} and {}", one.count(), two.count());
    let ejected = |kind: &EventKind| matches!(kind, EventKind::EndpointEjected { endpoint, .. } if endpoint.contains(&gone.to_string()));
    until("the event", || plane.events().iter().any(ejected).then_some(())).await;
    plane.close().await;

    // Two of three are dead: one is left out. A lone endpoint stays.
    let (gone_too, _other_socket) = dead();
    let endpoints = format!("'http://{gone_too}', 'http://{gone}', 'http://{}'", one.addr);
    let plane = Plane::start(&fill(SEVERAL, &[("endpoints", &endpoints)]));
    for _ in 0..40 {
        assert_eq!(ask(plane.addr(), infer(&[])).await.status, 200);
    }
    let out = plane.backend("primary").endpoints.iter().filter(|e| e.ejected).count();
    assert_eq!(out, 1);
    plane.close().await;

    let plane = Plane::start(&fill(SEVERAL, &[("endpoints", &format!("'http://{gone}'"))]));
    for _ in 0..10 {
        assert_eq!(ask(plane.addr(), infer(&[])).await.facts().1, "4");
    }
    assert!(!plane.backend("primary").endpoints[0].ejected);
    plane.close().await;
}

#[tokio::test]
async fn a_route_goes_down_with_its_backends_health_and_comes_back_step_by_step() {
    let ill = Arc::new(AtomicBool::new(false));
    let sick = Arc::clone(&ill);
    let primary = Upstream::start(move |seen| {
        let is_check = seen.path == "/ready";
        let ill = is_check && sick.load(Ordering::SeqCst);
        async move { if ill { json(503, "{}") } else { predicts(&seen, "fraud", 0.5) } }
    })
    .await;
    let small = Upstream::predicting("small", 0.5).await;
    let config = r"
backends:
  primary: { url: 'http://$primary', protocol: open-inference, health: { path: /ready, every: 20ms } }
  small: { url: 'http://$small', protocol: open-inference }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 30s
    hysteresis: { window: 50ms, down: 2, up: 200ms }
    ladder:
      - { level: 0, backend: primary }
      - { level: 2, backend: small }
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
";
    let plane = Plane::start(&fill(config, &[("primary", &primary.addr), ("small", &small.addr)]));
    plane.backend_is("primary", "well", |b| b.healthy == Some(true)).await;
    assert_eq!(ask(plane.addr(), infer(&[])).await.facts(), (200, "0", "false", "1", ""));

    ill.store(true, Ordering::SeqCst);
    until("level 2", || (plane.route("score").level.number() == 2).then_some(())).await;
    assert_eq!(plane.route("score").reason, "backend_unhealthy");
    let answer = ask(plane.addr(), infer(&[])).await;
    assert_eq!(answer.facts(), (200, "2", "true", "1", "unhealthy"), "it starts at its level");
    assert_eq!(plane.metric("mainstay_level", &[("route", "score")]), 2.0);

    ill.store(false, Ordering::SeqCst);
    until("level 0", || (plane.route("score").level == Level::FULL).then_some(())).await;
    assert_eq!(ask(plane.addr(), infer(&[])).await.facts(), (200, "0", "false", "1", ""));

    // A health check that is no longer configured has no say.
    ill.store(true, Ordering::SeqCst);
    until("level 2", || (plane.route("score").level.number() == 2).then_some(())).await;
    let without = config.replace(", health: { path: /ready, every: 20ms }", "");
    plane.reload(&fill(&without, &[("primary", &primary.addr), ("small", &small.addr)])).unwrap();
    until("level 0", || (plane.route("score").level == Level::FULL).then_some(())).await;
    assert_eq!(plane.backend("primary").healthy, None);
    plane.close().await;
}

#[tokio::test]
async fn an_open_breaker_moves_the_level_and_its_recovery_does_not_wait_for_the_ladder() {
    let (failing, gate) = (Arc::new(AtomicBool::new(true)), Arc::new(Semaphore::new(1000)));
    let primary = gated(&failing, &gate).await;
    let config = r"
backends:
  primary:
    url: http://$primary
    protocol: open-inference
    breaker: { consecutive: 5, open: 300ms, open_max: 300ms, successes: 1 }
    retry: { attempts: 1 }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 30s
    hysteresis: { window: 20ms, down: 1, up: 1h }
    ladder:
      - { level: 0, backend: primary }
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
";
    let plane = Plane::start(&fill(config, &[("primary", &primary.addr)]));
    for _ in 0..5 {
        ask(plane.addr(), infer(&[])).await;
    }
    until("level 4", || (plane.route("score").level == Level::STATIC).then_some(())).await;
    failing.store(false, Ordering::SeqCst);
    plane.backend_is("primary", "half-open", |b| b.breaker == "half_open").await;
    let answer = ask(plane.addr(), infer(&[])).await;
    assert_eq!(answer.facts(), (200, "0", "false", "1", ""), "a request is the probe");
    plane.backend_is("primary", "closed", |b| b.breaker == "closed").await;
    let answer = ask(plane.addr(), infer(&[])).await;
    assert_eq!(answer.facts(), (200, "4", "true", "0", "unhealthy"), "the level itself is in no hurry");
    tokio::time::timeout(Duration::from_secs(5), plane.close()).await.unwrap();
}

const PINNED: &str = r"
backends:
  primary:
    url: http://$primary
    protocol: open-inference
    breaker: { consecutive: 5, open: 100ms, open_max: 100ms, successes: 2 }
    retry: { attempts: 1 }
trust: { from: [127.0.0.0/8] }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 30s
    hysteresis: { window: 50ms, down: 2, up: 200ms }
    ladder:
      - { level: 0, backend: primary }
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
";

/// A route whose better backend failed, was pinned below it, and has its breaker half-open for a while.
async fn pinned_below(primary: &Upstream) -> Plane {
    let plane = Plane::start(&fill(PINNED, &[("primary", &primary.addr)]));
    for _ in 0..5 {
        ask(plane.addr(), infer(&[])).await;
    }
    plane.backend_is("primary", "an open breaker", |b| b.breaker != "closed").await;
    plane.gateway.pin("score", Level::STATIC, None, "distrusted").expect("a route");
    plane.backend_is("primary", "half-open", |b| b.breaker == "half_open").await;
    plane
}

/// Asks for as long as the breaker's and the ladder's times together; nobody is to be let through.
async fn nobody_passes_the_pin(plane: &Plane, primary: &Upstream) {
    let (before, began) = (primary.count(), std::time::Instant::now());
    while began.elapsed() < Duration::from_millis(600) {
        assert_eq!(ask(plane.addr(), infer(&[])).await.facts(), (200, "4", "true", "0", "pinned"));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(primary.count(), before);
    assert_eq!(plane.backend("primary").breaker, "half_open");
}

#[tokio::test]
async fn after_a_pin_a_route_is_at_once_where_its_backends_let_it_be() {
    let (failing, gate) = (Arc::new(AtomicBool::new(true)), Arc::new(Semaphore::new(1000)));
    let primary = gated(&failing, &gate).await;
    let plane = pinned_below(&primary).await;
    failing.store(false, Ordering::SeqCst);
    nobody_passes_the_pin(&plane, &primary).await;
    plane.gateway.unpin("score").expect("a route");
    for _ in 0..2 {
        assert_eq!(ask(plane.addr(), infer(&[])).await.facts(), (200, "0", "false", "1", ""));
    }
    plane.backend_is("primary", "closed", |b| b.breaker == "closed").await;
    plane.close().await;
}

#[tokio::test]
async fn after_a_pin_a_backend_that_is_still_dead_costs_one_call_and_its_level() {
    let (failing, gate) = (Arc::new(AtomicBool::new(true)), Arc::new(Semaphore::new(0)));
    let primary = gated(&failing, &gate).await;
    let config = PINNED.replace("open: 100ms, open_max: 100ms", "open: 100ms, open_max: 1h");
    let plane = Plane::start(&fill(&config, &[("primary", &primary.addr)]));
    for _ in 0..5 {
        ask(plane.addr(), infer(&[])).await;
    }
    plane.gateway.pin("score", Level::STATIC, None, "distrusted").expect("a route");
    plane.backend_is("primary", "half-open", |b| b.breaker == "half_open").await;
    nobody_passes_the_pin(&plane, &primary).await;
    // Time for the ladder to judge: nobody was let try it, which is no reason to leave the level.
    plane.gateway.unpin("score").expect("a route");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(plane.route("score").level, Level::FULL);
    let before = primary.count();
    let (well, deeper, asking) = crowd(&plane, 50);
    asking.join_all().await;
    assert_eq!((well.load(Ordering::SeqCst), deeper.load(Ordering::SeqCst)), (0, 50));
    assert_eq!(primary.count() - before, 1);
    until("level 4", || (plane.route("score").level == Level::STATIC).then_some(())).await;
    plane.close().await;
}

#[tokio::test]
async fn under_a_pin_the_operators_own_probes_try_what_is_above() {
    let (failing, gate) = (Arc::new(AtomicBool::new(true)), Arc::new(Semaphore::new(1000)));
    let primary = gated(&failing, &gate).await;
    let plane = pinned_below(&primary).await;
    failing.store(false, Ordering::SeqCst);
    nobody_passes_the_pin(&plane, &primary).await;
    for _ in 0..2 {
        let probe = ask(plane.addr(), infer(&[("x-mainstay-synthetic", "true")])).await;
        assert_eq!(probe.facts(), (200, "0", "false", "1", ""));
    }
    plane.backend_is("primary", "closed", |b| b.breaker == "closed").await;
    let answer = ask(plane.addr(), infer(&[])).await;
    assert_eq!(answer.facts(), (200, "4", "true", "0", "pinned"), "users stay where the pin is");
    plane.close().await;
}

#[tokio::test]
async fn what_has_recovered_gets_its_share_of_the_requests_back_little_by_little() {
    let (failing, gate) = (Arc::new(AtomicBool::new(true)), Arc::new(Semaphore::new(10_000)));
    let primary = gated(&failing, &gate).await;
    let small = Upstream::predicting("small", 0.5).await;
    let config = r"
backends:
  primary: { url: 'http://$primary', protocol: open-inference, limit: none, breaker: { consecutive: 5, open: 100ms, successes: 1, ramp: 3s }, retry: { attempts: 1 } }
  small: { url: 'http://$small', protocol: open-inference, limit: none }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 30s
    hysteresis: { window: 100ms, down: 1, up: 4s }
    ladder:
      - { level: 0, backend: primary }
      - { level: 2, backend: small }
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
";
    let config = fill(config, &[("primary", &primary.addr), ("small", &small.addr)]);
    let plane = Plane::start(&config);
    for _ in 0..5 {
        ask(plane.addr(), infer(&[])).await;
    }
    until("level 2", || (plane.route("score").level.number() == 2).then_some(())).await;
    failing.store(false, Ordering::SeqCst);
    until("a closed breaker", || {
        tokio::spawn(ask(plane.addr(), infer(&[])));
        (plane.backend("primary").breaker == "closed").then_some(())
    })
    .await;
    // It is the way back of the route that counts, however long its breaker has been closed by then, under the next config as well.
    until("level 0", || (plane.route("score").level == Level::FULL).then_some(())).await;
    plane.reload(&config.replace("deadline: 30s", "deadline: 29s")).unwrap();
    let began = std::time::Instant::now();
    let (well, deeper, asking) = crowd(&plane, 200);
    asking.join_all().await;
    let (early, took) = (well.load(Ordering::SeqCst), began.elapsed());
    assert_eq!(early + deeper.load(Ordering::SeqCst), 200);
    assert!(early > 0 && (early < 120 || took > Duration::from_secs(1)), "{early} of 200 within {took:?}");
    let mut reasons = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let answer = ask(plane.addr(), infer(&[])).await;
        reasons.insert((answer.header("x-mainstay-level").to_owned(), answer.header("x-mainstay-reason").to_owned()));
    }
    assert!(reasons.contains(&("2".into(), "ramping".into())), "{reasons:?}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (well, _, asking) = crowd(&plane, 200);
    asking.join_all().await;
    assert_eq!(well.load(Ordering::SeqCst), 200);
    plane.close().await;
}

//! Second calls that cannot be made: they cost nothing.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;

use crate::support::upstream::predicts;
use crate::support::{Answer, Caller, Plane, Upstream, ask, fill, infer, json, soon, until};

const KNOWN: usize = 400;
const LATE: usize = 50;

/// One that is late, or fails at the first attempt, where its request says so; `broken`: it fails always. `A` is asked too often from then on.
async fn obeying(
    name: &'static str,
    gate: Arc<Semaphore>,
    broken: Arc<AtomicBool>,
    limits: Arc<AtomicBool>,
) -> Upstream {
    Upstream::start(move |seen| {
        let (gate, broken, limits) = (Arc::clone(&gate), broken.load(Ordering::SeqCst), limits.load(Ordering::SeqCst));
        async move {
            if broken {
                return json(503, "{}");
            }
            if limits && seen.header("authorization") == "Bearer A" {
                let mut answer = json(429, "{}");
                answer.headers_mut().insert("retry-after", "3600".parse().unwrap());
                return answer;
            }
            match seen.header("x-do") {
                "late" => gate.acquire().await.expect("it is never closed").forget(),
                "fails" if seen.header("x-mainstay-attempt").is_empty() => return json(503, "{}"),
                _ => {}
            }
            predicts(&seen, name, 0.75)
        }
    })
    .await
}

fn hedges(plane: &Plane, outcome: &str) -> f64 {
    plane.metric("mainstay_hedges", &[("route", "score"), ("outcome", outcome)])
}

fn calls(plane: &Plane) -> f64 {
    plane.metric("mainstay_key_calls", &[("backend", "pair")])
}

fn model(answer: &Answer) -> String {
    answer.json()["model_name"].as_str().unwrap_or_default().to_owned()
}

/// Fifty late calls, none of which can be made a second time; then one that fails is made again all the same.
async fn late_calls_cost_nothing(plane: &Plane, gate: &Semaphore) {
    let before = [hedges(plane, "no_capacity"), hedges(plane, "no_budget")];
    let asked: Vec<_> = (0..LATE).map(|_| tokio::spawn(ask(plane.addr(), infer(&[("x-do", "late")])))).collect();
    until("late calls", || {
        let seen = hedges(plane, "no_capacity") - before[0] + hedges(plane, "no_budget") - before[1];
        (seen >= LATE as f64).then_some(())
    })
    .await;
    gate.add_permits(LATE);
    for asked in asked {
        assert_eq!(soon("an answer", asked).await.unwrap().facts(), (200, "0", "false", "1", ""));
    }
    assert_eq!(hedges(plane, "no_budget"), before[1], "what cannot be made is not paid for");
    let failed = ask(plane.addr(), infer(&[("x-do", "fails")])).await;
    assert_eq!(failed.facts(), (200, "0", "false", "2", ""), "the retry budget is as it was");
}

#[tokio::test]
async fn a_call_whose_other_endpoint_is_left_out_costs_nothing() {
    let config = r"
backends:
  pair: { endpoints: ['http://$one', 'http://$two'], protocol: open-inference, keys: [env:A, env:B], limit: none, retry: { attempts: 2 }, breaker: { consecutive: 10000, min_calls: 1000000 } }
  other: { url: 'http://$other', protocol: open-inference, limit: { fixed: { max: 1 } } }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 30s
    hedge: { share: 10%, quantile: 0.99 }
    ladder: [{ level: 0, backend: pair }, { level: 0, backend: other }, { level: 4, respond: { outputs: [{ name: decision, value: review }] } }]
  - name: aside
    path: /v2/models/aside/infer
    deadline: 30s
    ladder: [{ level: 0, backend: other }, { level: 4, respond: { outputs: [{ name: decision, value: review }] } }]
";
    let (gate, aside_gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (broken, never) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let one = obeying("one", Arc::clone(&gate), Arc::clone(&never), Arc::clone(&never)).await;
    let two = obeying("two", Arc::clone(&gate), Arc::clone(&broken), Arc::clone(&never)).await;
    let other = {
        let gate = Arc::clone(&aside_gate);
        Upstream::start(move |seen| {
            let gate = Arc::clone(&gate);
            async move {
                if seen.path.contains("aside") {
                    gate.acquire().await.expect("it is never closed").forget();
                }
                predicts(&seen, "other", 0.75)
            }
        })
        .await
    };
    let plane = Plane::start(&fill(config, &[("one", &one.addr), ("two", &two.addr), ("other", &other.addr)]));
    let mut caller = Caller::connect(plane.addr()).await;
    for _ in 0..KNOWN {
        assert_eq!(caller.ask(infer(&[])).await.status, 200);
    }
    let mut aside = infer(&[]);
    *aside.uri_mut() = "/v2/models/aside/infer".parse().unwrap();
    let aside = tokio::spawn(ask(plane.addr(), aside));
    plane.backend_is("other", "its place taken", |other| other.in_flight == 1).await;
    broken.store(true, Ordering::SeqCst);
    until("an endpoint left out", || {
        plane.backend("pair").endpoints[1].ejected.then_some(()).or_else(|| {
            tokio::spawn(ask(plane.addr(), infer(&[])));
            None
        })
    })
    .await;
    plane.backend_is("pair", "idle", |pair| pair.in_flight == 0).await;
    let (made, borne) = (one.count() + two.count(), calls(&plane));
    assert_eq!(borne, made as f64);
    late_calls_cost_nothing(&plane, &gate).await;
    assert_eq!(calls(&plane) - borne, (one.count() + two.count() - made) as f64, "a key counts the calls that bore it");
    // With room elsewhere one is made a second time.
    aside_gate.add_permits(1);
    assert_eq!(soon("an answer", aside).await.unwrap().status, 200);
    plane.backend_is("other", "its place free", |other| other.in_flight == 0).await;
    let answer = ask(plane.addr(), infer(&[("x-do", "late")])).await;
    assert_eq!((answer.facts(), model(&answer).as_str()), ((200, "0", "false", "2", ""), "other"));
    gate.add_permits(LATE);
    plane.close().await;
}

#[tokio::test]
async fn a_call_whose_other_key_rests_costs_nothing() {
    let config = r"
backends:
  pair: { url: 'http://$one', protocol: open-inference, keys: [env:A, env:B], limit: none, retry: { attempts: 2 }, breaker: { consecutive: 10000, min_calls: 1000000 } }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 30s
    hedge: { share: 10%, quantile: 0.99 }
    ladder: [{ level: 0, backend: pair }, { level: 4, respond: { outputs: [{ name: decision, value: review }] } }]
";
    let gate = Arc::new(Semaphore::new(0));
    let (never, limits) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let one = obeying("one", Arc::clone(&gate), never, Arc::clone(&limits)).await;
    let plane = Plane::start(&fill(config, &[("one", &one.addr)]));
    let mut caller = Caller::connect(plane.addr()).await;
    for _ in 0..KNOWN {
        assert_eq!(caller.ask(infer(&[])).await.status, 200);
    }
    limits.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        assert_eq!(caller.ask(infer(&[])).await.status, 200);
    }
    plane.backend_is("pair", "idle", |pair| pair.in_flight == 0).await;
    let (made, borne) = (one.count(), calls(&plane));
    late_calls_cost_nothing(&plane, &gate).await;
    assert_eq!(one.count() - made, LATE + 2);
    assert_eq!(calls(&plane) - borne, (LATE + 2) as f64);
    plane.close().await;
}

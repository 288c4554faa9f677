//! Late calls that are made a second time, and what becomes of the two.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Response;
use mainstay_core::rng::Rng;
use tokio::sync::Semaphore;

use crate::support::upstream::predicts;
use crate::support::{Answer, Caller, Flow, Plane, Seen, Upstream, ask, fill, infer, json, soon, until};

const CONFIG: &str = r"
trust: { from: [127.0.0.0/8], headers: [] }
backends:
  one: { url: 'http://$one', protocol: open-inference, limit: none, retry: { attempts: 1 }, breaker: { consecutive: 2, open: 1h, open_max: 1h } }
  two: { url: 'http://$two', protocol: open-inference, limit: { fixed: { max: 1 } }, retry: { attempts: 1 }, breaker: { consecutive: 2, open: 1h, open_max: 1h } }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 30s
    queue: { max: 0, wait: 0s }
    hedge: true
    ladder:
      - { level: 0, backend: one }
      - { level: 0, backend: two }
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
  - name: aside
    path: /v2/models/aside/infer
    deadline: 30s
    ladder:
      - { level: 0, backend: two }
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
";

/// So many latencies are known before anything is hedged.
const KNOWN: usize = 200;

/// An upstream that answers at once until it is to be late: then each call waits until it is let go.
pub(crate) struct Tardy {
    pub(crate) upstream: Upstream,
    late: Arc<AtomicBool>,
    go: Arc<Semaphore>,
}

impl Tardy {
    /// `answer` is told whether the call was late.
    pub(crate) async fn start(answer: impl Fn(&Seen, bool) -> Response<Flow> + Clone + Send + Sync + 'static) -> Tardy {
        let (late, go) = (Arc::new(AtomicBool::new(false)), Arc::new(Semaphore::new(0)));
        let (is_late, gate) = (Arc::clone(&late), Arc::clone(&go));
        let upstream = Upstream::start(move |seen| {
            let (is_late, gate, answer) = (is_late.load(Ordering::SeqCst), Arc::clone(&gate), answer.clone());
            async move {
                if is_late {
                    gate.acquire().await.expect("it is never closed").forget();
                }
                answer(&seen, is_late)
            }
        });
        Tardy { upstream: upstream.await, late, go }
    }

    async fn predicting(model: &'static str) -> Tardy {
        Tardy::start(move |seen, _| predicts(seen, model, 0.75)).await
    }

    pub(crate) fn is_late(&self) {
        self.late.store(true, Ordering::SeqCst);
    }

    pub(crate) fn let_go(&self, calls: usize) {
        self.go.add_permits(calls);
    }

    pub(crate) async fn has_seen(&self, calls: usize) {
        until("calls", || (self.upstream.count() >= calls).then_some(())).await;
        assert_eq!(self.upstream.count(), calls);
    }

    async fn was_left_by(&self, calls: usize) {
        until("cancelled calls", || (self.upstream.cancelled() >= calls).then_some(())).await;
    }
}

/// A plane that knows how long `one` takes, and both upstreams.
async fn bench(config: &str) -> (Plane, Tardy, Tardy) {
    let (one, two) = (Tardy::predicting("one").await, Tardy::predicting("two").await);
    let plane = Plane::start(&fill(config, &[("one", &one.upstream.addr), ("two", &two.upstream.addr)]));
    let mut caller = Caller::connect(plane.addr()).await;
    for _ in 0..KNOWN {
        assert_eq!(caller.ask(infer(&[])).await.status, 200);
    }
    assert_eq!((one.upstream.count(), two.upstream.count()), (KNOWN, 0));
    (plane, one, two)
}

fn model(answer: &Answer) -> String {
    answer.json()["model_name"].as_str().unwrap_or_default().to_owned()
}

async fn outcome(plane: &Plane, outcome: &str, times: u32) {
    plane.counted("mainstay_hedges", &[("route", "score"), ("outcome", outcome)], times).await;
}

#[tokio::test]
async fn a_late_call_is_beaten_by_one_elsewhere_and_cancelled_without_blame() {
    let (plane, one, two) = bench(CONFIG).await;
    one.is_late();
    // More than failures that the breaker takes.
    for nth in 1..=3 {
        let answer = ask(plane.addr(), infer(&[])).await;
        assert_eq!(answer.facts(), (200, "0", "false", "2", ""));
        assert_eq!((model(&answer).as_str(), answer.header("x-mainstay-backend")), ("two", "two"));
        assert_eq!(answer.json()["id"], "caller-1");
        one.was_left_by(nth).await;
    }
    let seen = two.upstream.seen();
    assert_eq!(seen.iter().map(|seen| seen.header("x-mainstay-attempt")).collect::<Vec<_>>(), ["2", "2", "2"]);
    assert!(one.upstream.seen().iter().all(|seen| seen.header("x-mainstay-attempt").is_empty()));
    outcome(&plane, "won", 3).await;
    assert_eq!(plane.backend("one").breaker, "closed");
    assert_eq!(plane.backend("two").breaker, "closed");
    plane.close().await;
}

#[tokio::test]
async fn the_first_call_wins_where_it_is_sooner_after_all() {
    let (plane, one, two) = bench(CONFIG).await;
    one.is_late();
    two.is_late();
    let asked = tokio::spawn(ask(plane.addr(), infer(&[])));
    two.has_seen(1).await;
    one.let_go(1);
    let answer = soon("an answer", asked).await.unwrap();
    assert_eq!(answer.facts(), (200, "0", "false", "2", ""));
    assert_eq!((model(&answer).as_str(), answer.header("x-mainstay-backend")), ("one", "one"));
    two.was_left_by(1).await;
    assert_eq!(one.upstream.cancelled(), 0);
    outcome(&plane, "lost", 1).await;
    plane.close().await;
}

#[tokio::test]
async fn what_fails_leaves_the_answer_to_the_other() {
    let fails = || json(503, r#"{"error":"overloaded"}"#);
    let two_of = |status: u16, body: &'static str| Tardy::start(move |_, _| json(status, body));
    let one = Tardy::start(move |seen, late| if late { fails() } else { predicts(seen, "one", 0.75) }).await;
    let good = r#"{"model_name":"two","outputs":[]}"#;
    let busy = r#"{"error":"overloaded"}"#;
    let cases = [(200, good, "two", "0", "won"), (503, busy, "", "4", "failed"), (400, busy, "", "4", "failed")];
    for (status, body, by, level, came_of_it) in cases {
        let two = two_of(status, body).await;
        let config = CONFIG.replace("consecutive: 2", "consecutive: 1000");
        let plane = Plane::start(&fill(&config, &[("one", &one.upstream.addr), ("two", &two.upstream.addr)]));
        one.late.store(false, Ordering::SeqCst);
        let mut caller = Caller::connect(plane.addr()).await;
        for _ in 0..KNOWN {
            assert_eq!(caller.ask(infer(&[])).await.status, 200);
        }
        one.is_late();
        two.is_late();
        let asked = tokio::spawn(ask(plane.addr(), infer(&[])));
        two.has_seen(1).await;
        // The second call's failure is nobody's answer while the first may have one; here both end.
        if came_of_it == "won" {
            one.let_go(1);
            until("the first call's failure", || (plane.backend("one").in_flight == 0).then_some(())).await;
            two.let_go(1);
        } else {
            two.let_go(1);
            until("the second call's end", || (plane.backend("two").in_flight == 0).then_some(())).await;
            one.let_go(1);
            // The ladder goes on, and asks the second backend in its turn.
            two.has_seen(2).await;
            two.let_go(1);
        }
        let answer = soon("an answer", asked).await.unwrap();
        if status == 400 {
            // Asked in its turn, its refusal is the caller's to read.
            assert_eq!(answer.status, 400);
        } else {
            assert_eq!((answer.status, answer.header("x-mainstay-level")), (200, level), "{came_of_it}");
            assert!(by.is_empty() || model(&answer) == by);
        }
        outcome(&plane, came_of_it, 1).await;
        plane.close().await;
    }
}

#[tokio::test]
async fn no_more_is_hedged_than_the_share_and_the_rest_still_have_their_answers() {
    const LATE: usize = 100;
    let config = CONFIG.replace("fixed: { max: 1 }", "fixed: { max: 1000 }");
    let (plane, one, two) = bench(&config).await;
    one.is_late();
    let asked: Vec<_> = (0..LATE).map(|_| tokio::spawn(ask(plane.addr(), infer(&[])))).collect();
    // Each is hedged, or denied it.
    until("late calls", || {
        let of = |outcome| plane.metric("mainstay_hedges", &[("outcome", outcome)]);
        (of("won") + of("no_budget") == LATE as f64).then_some(())
    })
    .await;
    one.let_go(LATE);
    for asked in asked {
        assert_eq!(soon("an answer", asked).await.unwrap().facts().0, 200);
    }
    let hedges = two.upstream.count();
    assert!(hedges >= 1 && hedges as f64 <= 0.02 * (KNOWN + LATE) as f64, "{hedges} hedges");
    assert_eq!(one.upstream.count(), KNOWN + LATE);
    plane.close().await;
}

#[tokio::test]
async fn a_spent_retry_budget_hedges_nothing_and_fails_nothing() {
    // Callers that come again pay nothing in: the floor of the budget, ten in ten seconds, is all there is.
    let config =
        CONFIG.replace("fixed: { max: 1 }", "fixed: { max: 1000 }").replace("hedge: true", "hedge: { share: 10% }");
    let (one, two) = (Tardy::predicting("one").await, Tardy::predicting("two").await);
    let plane = Plane::start(&fill(&config, &[("one", &one.upstream.addr), ("two", &two.upstream.addr)]));
    let again = || infer(&[("x-mainstay-attempt", "2")]);
    let mut caller = Caller::connect(plane.addr()).await;
    for _ in 0..2 * KNOWN {
        assert_eq!(caller.ask(again()).await.status, 200);
    }
    one.is_late();
    let (began, before) = (std::time::Instant::now(), two.upstream.count());
    let asked: Vec<_> = (0..40).map(|_| tokio::spawn(ask(plane.addr(), again()))).collect();
    until("late calls", || {
        let of = |outcome| plane.metric("mainstay_hedges", &[("outcome", outcome)]);
        (of("won") + of("no_budget") >= 40.0).then_some(())
    })
    .await;
    one.let_go(40);
    for asked in asked {
        assert_eq!(soon("an answer", asked).await.unwrap().status, 200);
    }
    let windows = 1 + began.elapsed().as_secs() as usize / 10;
    let hedges = two.upstream.count() - before;
    assert!(hedges >= 1 && hedges <= 10 * (windows + 1), "{hedges} hedges, of which the hedges' own share allows 44");
    plane.close().await;
}

#[tokio::test]
async fn nothing_is_hedged_to_a_backend_that_is_full() {
    let (plane, one, two) = bench(CONFIG).await;
    one.is_late();
    two.is_late();
    let mut aside = infer(&[]);
    *aside.uri_mut() = "/v2/models/aside/infer".parse().unwrap();
    let aside = tokio::spawn(ask(plane.addr(), aside));
    two.has_seen(1).await;
    let asked = tokio::spawn(ask(plane.addr(), infer(&[])));
    outcome(&plane, "no_capacity", 1).await;
    one.let_go(1);
    let answer = soon("an answer", asked).await.unwrap();
    assert_eq!((answer.facts(), model(&answer).as_str()), ((200, "0", "false", "1", ""), "one"));
    two.has_seen(1).await;
    two.let_go(1);
    assert_eq!(soon("an answer", aside).await.unwrap().status, 200);
    plane.close().await;
}

#[tokio::test]
async fn nothing_is_hedged_to_a_backend_whose_breaker_is_not_closed() {
    for (open, phase) in [("1h", "open"), ("1ms", "half_open")] {
        let one = Tardy::predicting("one").await;
        let two = Tardy::start(|_, _| json(500, r#"{"error":"broken"}"#)).await;
        let config = CONFIG.replace("open: 1h, open_max: 1h", &format!("open: {open}, open_max: 1h"));
        let plane = Plane::start(&fill(&config, &[("one", &one.upstream.addr), ("two", &two.upstream.addr)]));
        let mut caller = Caller::connect(plane.addr()).await;
        for _ in 0..KNOWN {
            assert_eq!(caller.ask(infer(&[])).await.status, 200);
        }
        for _ in 0..2 {
            let mut aside = infer(&[]);
            *aside.uri_mut() = "/v2/models/aside/infer".parse().unwrap();
            assert_eq!(caller.ask(aside).await.facts().1, "4");
        }
        plane.backend_is("two", phase, |two| two.breaker == phase).await;
        let before = two.upstream.count();
        one.is_late();
        let asked = tokio::spawn(ask(plane.addr(), infer(&[])));
        outcome(&plane, "no_capacity", 1).await;
        one.let_go(1);
        assert_eq!(soon("an answer", asked).await.unwrap().facts(), (200, "0", "false", "1", ""));
        assert_eq!(two.upstream.count(), before, "{phase}");
        plane.close().await;
    }
}

#[tokio::test]
async fn a_caller_that_leaves_ends_both_calls() {
    let (plane, one, two) = bench(CONFIG).await;
    one.is_late();
    two.is_late();
    let mut caller = Caller::connect(plane.addr()).await;
    let asked = tokio::spawn(async move { caller.begin(infer(&[])).await.map(|_| caller) });
    two.has_seen(1).await;
    asked.abort();
    one.was_left_by(1).await;
    two.was_left_by(1).await;
    outcome(&plane, "cancelled", 1).await;
    assert_eq!((plane.backend("one").breaker, plane.backend("two").breaker), ("closed", "closed"));
    plane.close().await;
}

#[tokio::test]
async fn a_backend_alone_is_asked_again_at_another_endpoint_or_with_another_key() {
    let config = r"
backends:
  one: { endpoints: ['http://$one', 'http://$two'], protocol: open-inference, limit: none, retry: { attempts: 1 } }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 30s
    hedge: { share: 10%, quantile: 0.5 }
    ladder: [{ level: 0, backend: one }, { level: 4, respond: { outputs: [{ name: decision, value: review }] } }]
";
    let (one, two) = (Tardy::predicting("one").await, Tardy::predicting("two").await);
    let plane = Plane::start(&fill(config, &[("one", &one.upstream.addr), ("two", &two.upstream.addr)]));
    let mut caller = Caller::connect(plane.addr()).await;
    for _ in 0..KNOWN {
        assert_eq!(caller.ask(infer(&[])).await.status, 200);
    }
    one.is_late();
    for _ in 0..10 {
        let answer = caller.ask(infer(&[])).await;
        assert_eq!((answer.status, model(&answer).as_str()), (200, "two"), "{:?}", answer.facts());
    }
    one.was_left_by(1).await;
    plane.close().await;

    let config = r"
backends:
  one: { url: 'http://$one', protocol: open-inference, keys: [env:A, env:B], limit: none, retry: { attempts: 1 } }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 30s
    hedge: true
    ladder: [{ level: 0, backend: one }, { level: 4, respond: { outputs: [{ name: decision, value: review }] } }]
";
    let one = Tardy::predicting("one").await;
    let plane = Plane::start(&fill(config, &[("one", &one.upstream.addr)]));
    let mut caller = Caller::connect(plane.addr()).await;
    for _ in 0..KNOWN {
        assert_eq!(caller.ask(infer(&[])).await.status, 200);
    }
    one.is_late();
    let asked = tokio::spawn(ask(plane.addr(), infer(&[])));
    one.has_seen(KNOWN + 2).await;
    one.let_go(2);
    assert_eq!(soon("an answer", asked).await.unwrap().facts(), (200, "0", "false", "2", ""));
    let seen = one.upstream.seen().split_off(KNOWN);
    assert_ne!(seen[0].header("authorization"), seen[1].header("authorization"));
    plane.close().await;
}

#[tokio::test]
async fn requests_that_may_do_something_are_asked_once() {
    // A model's being ready is no inference, and its answer may be another at another place.
    let config = CONFIG.replace("/v2/models/fraud/infer", "/v2/models/fraud/*");
    let (plane, one, two) = bench(&config).await;
    one.is_late();
    let ready = http::Request::get("/v2/models/fraud/ready").body(http_body_util::Full::default()).unwrap();
    let asked = tokio::spawn(ask(plane.addr(), ready));
    one.has_seen(KNOWN + 1).await;
    // An inference that came later is hedged: so would that request have been.
    assert_eq!(model(&ask(plane.addr(), infer(&[])).await), "two");
    two.has_seen(1).await;
    one.let_go(2);
    assert_eq!(soon("an answer", asked).await.unwrap().facts().3, "1");
    plane.close().await;
}

/// One that does what the request's header of its name says.
async fn obeying(name: &'static str) -> Upstream {
    Upstream::start(move |seen| async move {
        match seen.header(name) {
            "fails" => json(503, r#"{"error":"overloaded"}"#),
            "hangs" => std::future::pending().await,
            "dawdles" => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                predicts(&seen, name, 0.75)
            }
            _ => predicts(&seen, name, 0.75),
        }
    })
    .await
}

/// Answers, failures, silence and callers that leave, in any mixture: what was let in at a backend is given back.
#[tokio::test]
async fn whatever_becomes_of_the_two_both_are_reported() {
    const REQUESTS: usize = 150;
    let config = r"
backends:
  pair: { endpoints: ['http://$one', 'http://$two'], protocol: open-inference, limit: { fixed: { max: 1000 } }, retry: { attempts: 1 }, breaker: { consecutive: 10000, min_calls: 10000 } }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 3s
    hedge: { share: 10%, quantile: 0.5 }
    ladder: [{ level: 0, backend: pair }, { level: 4, respond: { outputs: [{ name: decision, value: review }] } }]
";
    let (one, two) = (obeying("x-one").await, obeying("x-two").await);
    let plane = Plane::start(&fill(config, &[("one", &one.addr), ("two", &two.addr)]));
    let mut caller = Caller::connect(plane.addr()).await;
    for _ in 0..2 * KNOWN {
        assert_eq!(caller.ask(infer(&[])).await.status, 200);
    }
    let mut rng = Rng::new(11);
    let mut asked = Vec::new();
    for _ in 0..REQUESTS {
        let mut act = || ["", "fails", "hangs", "dawdles", "dawdles", "hangs"][(rng.unit() * 6.0) as usize];
        let acts = [("x-one", act()), ("x-two", act())];
        let leaves = (rng.unit() < 0.3).then(|| Duration::from_secs_f64(rng.unit() * 0.05));
        let asking = ask(plane.addr(), infer(&acts));
        asked.push(tokio::spawn(async move {
            match leaves {
                Some(after) => tokio::time::timeout(after, asking).await.ok(),
                None => Some(asking.await),
            }
        }));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for asked in asked {
        if let Some(answer) = soon("an answer", asked).await.unwrap() {
            assert_eq!(answer.status, 200);
            let (by, level) = (model(&answer), answer.header("x-mainstay-level"));
            assert!((by == "x-one" || by == "x-two") == (level == "0"), "{by} at {level}");
        }
    }
    let idle = |plane: &Plane| {
        let pair = plane.backend("pair");
        pair.in_flight == 0 && pair.endpoints.iter().all(|endpoint| endpoint.in_flight == 0)
    };
    until("all calls' ends", || idle(&plane).then_some(())).await;
    // Each second call is counted once, by what came of it; one whose caller left may not have come as far as its backend.
    let again = |of: &Upstream| of.seen().iter().filter(|seen| seen.header("x-mainstay-attempt") == "2").count();
    let arrived = (again(&one) + again(&two)) as f64;
    until("the counts", || {
        let of = |outcome| plane.metric("mainstay_hedges", &[("outcome", outcome)]);
        let answered = of("won") + of("lost") + of("failed");
        (answered > 0.0 && answered <= arrived && arrived <= answered + of("cancelled")).then_some(())
    })
    .await;
    plane.close().await;
}

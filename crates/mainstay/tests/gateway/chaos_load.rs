//! More traffic on purpose: what is sent on top of real requests, what the route does with it, and when it stops.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mainstay_core::chaos::arms::Beat;
use mainstay_core::chaos::experiment::Caps;
use mainstay_core::chaos::order::{Blocks, Order};
use tokio::task::JoinHandle;

use crate::support::caller::INFER;
use crate::support::experiment::{TOUCHED, beats, order, summed};
use crate::support::upstream::predicts;
use crate::support::{Answer, Plane, Seen, Upstream, ask, fill, infer, soon, until};

const CONFIG: &str = r#"
clients: { shop: { key: env:SHOP_KEY_0123456789, max_class: 0, rate: $rate } }
trust: { headers: [x-class] }
backends:
  primary: { url: 'http://$primary', protocol: open-inference, limit: $limit, retry: { attempts: 1 } }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 30s
    priority:
      - { class: 0, when: 'header("x-class") == "0"' }
    queue: { max: 8, wait: 10s }
    ladder:
      - { level: 0, backend: primary }
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
"#;

const KEY: &str = "SHOP_KEY_0123456789";

/// Whether the backend got this from a real caller: those name their requests.
fn is_real(seen: &Seen) -> bool {
    seen.header("x-request-id").starts_with("real-")
}

fn generated(upstream: &Upstream) -> Vec<Seen> {
    upstream.seen().into_iter().filter(|seen| !is_real(seen)).collect()
}

fn start(upstream: &Upstream, limit: &str, rate: &str) -> Plane {
    Plane::start(&fill(CONFIG, &[("primary", &upstream.addr), ("limit", &limit), ("rate", &rate)]))
}

fn overload(factor: f64) -> Order {
    order(&format!(r#"{{"overload":{{"factor":{factor:.1}}}}}"#))
}

/// Real callers, one request every `every`, of these classes in turn, until they are told to stop.
struct Callers {
    stop: Arc<AtomicBool>,
    running: JoinHandle<Vec<(&'static str, Answer)>>,
}

impl Callers {
    fn start(plane: &Plane, every: Duration, classes: &'static [&'static str]) -> Callers {
        let (stop, addr) = (Arc::new(AtomicBool::new(false)), plane.addr());
        let stopped = Arc::clone(&stop);
        let running = tokio::spawn(async move {
            let (mut asked, mut tick) = (Vec::new(), tokio::time::interval(every));
            for (number, class) in classes.iter().cycle().enumerate() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let id = format!("real-{number}");
                let request = infer(&[
                    ("x-class", class),
                    ("x-request-id", &id),
                    ("authorization", &format!("Bearer {KEY}")),
                    ("cookie", "session=1"),
                    ("x-copy", &format!("of {KEY}")),
                ]);
                asked.push((*class, tokio::spawn(ask(addr, request))));
                tick.tick().await;
            }
            let mut answers = Vec::new();
            for (class, answer) in asked {
                answers.push((class, soon("an answer", answer).await.expect("it is answered")));
            }
            answers
        });
        Callers { stop, running }
    }

    async fn stop(self) -> Vec<(&'static str, Answer)> {
        self.stop.store(true, Ordering::SeqCst);
        self.running.await.expect("callers do not panic")
    }
}

fn sent(beats: &[Beat]) -> [u64; 2] {
    beats.iter().fold([0, 0], |sum, beat| [sum[0] + beat.sent[0], sum[1] + beat.sent[1]])
}

#[tokio::test]
async fn an_overload_is_paid_by_the_worse_classes_and_stops_when_it_is_withdrawn() {
    let upstream = Upstream::start(|seen| async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        predicts(&seen, "fraud", 0.5)
    })
    .await;
    // Twenty calls in a second, of which real callers want twelve, two of them for class 0.
    let plane = start(&upstream, "{ fixed: { max: 4 } }", "1000/s");
    plane.gateway.inject(Order { injects: false, ..overload(4.0) }).unwrap();
    let callers = Callers::start(&plane, Duration::from_millis(83), &["0", "3", "3", "3", "3", "3"]);
    until("a mix", || (upstream.count() > 20).then_some(())).await;
    let lead_in = plane.gateway.take_beats();
    assert!(generated(&upstream).is_empty(), "nothing is sent before the fault is in force");
    assert_eq!(sent(&lead_in), [0, 0]);
    plane.gateway.inject(Order { generation: 2, ..overload(4.0) }).unwrap();
    until("overload", || (plane.metric("mainstay_shed", &[("class", "3")]) >= 20.0).then_some(())).await;
    // What came in the last ten seconds is multiplied for a while after the last of it.
    let answers = callers.stop().await;
    plane.gateway.withdraw_fault("EXP-2026-0001", 2);
    plane.backend_is("primary", "what was under way to end", |b| b.waiting == 0 && b.in_flight == 0).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let so_far = generated(&upstream).len();
    let mut levels = BTreeMap::<(&str, String), u32>::new();
    for (class, answer) in &answers {
        *levels.entry((class, answer.header("x-mainstay-level").to_owned())).or_default() += 1;
        assert_eq!(answer.header(TOUCHED), "", "real requests meet more traffic, and no fault of their own");
    }
    assert!(!levels.contains_key(&("0", "4".to_owned())), "{levels:?}");
    assert!(levels.contains_key(&("3", "4".to_owned())), "{levels:?}");
    // Real requests are the arms, all of them in one where there are no blocks; what was sent is in none.
    let mut told = lead_in;
    let already: u64 = summed(&told).iter().map(|arm| arm.requests).sum();
    told.extend(beats(&plane, answers.len() as u64 - already).await);
    let [control, experiment] = summed(&told);
    assert_eq!((control.requests, experiment.requests), (0, answers.len() as u64));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(generated(&upstream).len(), so_far, "nothing comes after it was withdrawn");
    told.extend(plane.gateway.take_beats());
    let [sent, _] = sent(&told);
    assert!(sent >= 20 && sent >= so_far as u64, "{sent} were sent, {so_far} came");
    plane.counted("mainstay_faults_injected", &[("fault", "overload")], sent as u32).await;
    plane.close().await;
}

#[tokio::test]
async fn what_is_sent_is_what_was_asked_without_credentials_and_does_not_count_against_the_rate() {
    let upstream = Upstream::predicting("fraud", 0.5).await;
    let plane = start(&upstream, "none", "40/s");
    plane.gateway.inject(overload(9.0)).unwrap();
    // Twenty in a second are real, and a hundred and sixty more are sent.
    let callers = Callers::start(&plane, Duration::from_millis(50), &["0", "3"]);
    until("a load", || (generated(&upstream).len() > 100).then_some(())).await;
    plane.gateway.withdraw_fault("EXP-2026-0001", 1);
    let answers = callers.stop().await;
    assert!(answers.iter().all(|(_, answer)| answer.facts() == (200, "0", "false", "1", "")), "none was over its rate");
    let generated = generated(&upstream);
    let mut classes = BTreeMap::<String, u32>::new();
    for seen in &generated {
        assert_eq!((&*seen.path, &*seen.body), ("/v2/models/fraud/infer", INFER.as_bytes()));
        for name in ["authorization", "cookie", "x-copy", "x-api-key"] {
            assert_eq!(seen.header(name), "", "{name}");
        }
        assert_eq!(seen.header("content-type"), "application/json");
        assert!(!seen.headers.keys().any(|name| name.as_str().contains("mainstay")), "calls carry no tag");
        *classes.entry(seen.header("x-class").to_owned()).or_default() += 1;
    }
    let ids: std::collections::BTreeSet<&str> = generated.iter().map(|seen| seen.header("x-request-id")).collect();
    assert_eq!(ids.len(), generated.len(), "each has an id of its own");
    assert!(classes["0"] >= 20 && classes["3"] >= 20, "both halves of the mix are sent: {classes:?}");
    // At its caller's class, whatever of its headers is left.
    let real = answers.iter().filter(|(class, _)| *class == "0").count();
    let served = || plane.metric("mainstay_requests", &[("class", "0"), ("code", "200")]);
    until("those of class 0", || (served() >= (real + 20) as f64).then_some(())).await;
    plane.close().await;
}

#[tokio::test]
async fn what_is_not_answered_holds_nothing_back_up_to_the_caps_and_ends_with_the_order() {
    let upstream = Upstream::start(|seen| async move {
        if !is_real(&seen) {
            std::future::pending::<()>().await;
        }
        predicts(&seen, "fraud", 0.5)
    })
    .await;
    for ends in ["withdrawn", "halted", "expired"] {
        let plane = start(&upstream, "none", "1000/s");
        let cancelled = upstream.cancelled();
        let caps = Caps { concurrent: 10, total: 1_000 };
        // Long enough to renew it as others would.
        let ttl = if ends == "expired" { Duration::from_secs(2) } else { Duration::from_mins(1) };
        plane.gateway.inject(Order { caps, ttl, ..overload(10.0) }).unwrap();
        let callers = Callers::start(&plane, Duration::from_millis(20), &["3"]);
        let mut told = Vec::new();
        until("the cap", || {
            if ends == "expired" {
                plane.gateway.renew_fault("EXP-2026-0001", 1).expect("it stands");
            }
            told.extend(plane.gateway.take_beats());
            (upstream.cancelled() == cancelled && upstream.under_way() >= 10 && sent(&told)[1] > 10).then_some(())
        })
        .await;
        assert_eq!(sent(&told)[0], 10, "no more than ten at once");
        match ends {
            "withdrawn" => plane.gateway.withdraw_fault("EXP-2026-0001", 1),
            "halted" => plane.gateway.halt_faults(true),
            _ => {}
        }
        until("all of it to end", || (upstream.cancelled() == cancelled + 10).then_some(())).await;
        let answers = callers.stop().await;
        assert!(answers.iter().all(|(_, answer)| answer.facts() == (200, "0", "false", "1", "")), "{ends}");
        plane.close().await;
    }
}

#[tokio::test]
async fn without_a_mix_nothing_is_sent_and_it_says_so() {
    let upstream = Upstream::predicting("fraud", 0.5).await;
    let plane = start(&upstream, "none", "1000/s");
    plane.gateway.inject(overload(3.0)).unwrap();
    // A request whose effect is to happen once is none to send again.
    for number in 0..20 {
        let id = format!("real-{number}");
        let answer = ask(plane.addr(), infer(&[("x-request-id", &id), ("idempotency-key", "7")])).await;
        assert_eq!(answer.facts(), (200, "0", "false", "1", ""));
    }
    let mut told = Vec::new();
    until("word of it", || {
        told.extend(plane.gateway.take_beats());
        (sent(&told)[1] > 0).then_some(())
    })
    .await;
    assert_eq!((sent(&told)[0], generated(&upstream).len()), (0, 0));
    plane.close().await;
}

#[tokio::test]
async fn blocks_without_the_fault_send_nothing() {
    let upstream = Upstream::predicting("fraud", 0.5).await;
    let plane = start(&upstream, "none", "1000/s");
    let length = Duration::from_secs(2);
    let began = Instant::now();
    let blocks = Some(Blocks { length, washout: Duration::ZERO });
    plane.gateway.inject(Order { blocks, ..overload(3.0) }).unwrap();
    let callers = Callers::start(&plane, Duration::from_millis(20), &["3"]);
    until("the second block", || (!generated(&upstream).is_empty()).then_some(())).await;
    assert!(began.elapsed() >= length, "the first block is without it");
    // In the third block nothing new comes.
    until("the third block", || {
        let now = plane.gateway.take_beats();
        now.iter().any(|beat| beat.stands && !beat.injects).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let so_far = generated(&upstream).len();
    let third = began.elapsed();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let then = generated(&upstream).len();
    // A machine that slept through the block tells nothing.
    assert!(
        so_far == then || third + Duration::from_secs(1) > length * 3 || began.elapsed() > length * 3,
        "{so_far} {then}"
    );
    callers.stop().await;
    plane.close().await;
}

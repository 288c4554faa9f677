//! What objectives count, beside what callers saw.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_core::rng::Rng;
use mainstay_core::slo::series::Counts;

use crate::support::upstream::predicts;
use crate::support::{Answer, Caller, Plane, Seen, Upstream, fill, json, post, until};

const CONFIG: &str = r#"
backends:
  primary: { url: 'http://$primary', protocol: open-inference, limit: none, breaker: { consecutive: 10000 }, retry: { attempts: 1 } }
  small: { url: 'http://$small', protocol: open-inference, limit: none, breaker: { consecutive: 10000 }, retry: { attempts: 1 } }
  narrow: { url: 'http://$narrow', protocol: open-inference, limit: { fixed: { max: 1 } } }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 30s
    confidence: { pointer: /outputs/0/data/0, as: probability }
    hysteresis: { window: 1s, down: 1000, up: 1s }
    ladder:
      - { level: 0, backend: primary }
      - { level: 2, backend: small }
      - level: 3
        rules: [{ when: 'request.id == "both"', respond: { outputs: [{ name: p, value: 0.9 }] } }]
        otherwise: { outputs: [{ name: decision, value: review }] }
  - name: narrow
    path: /v2/models/narrow/infer
    deadline: 30s
    queue: { max: 1, wait: 1ms }
    shed_before: 4
    ladder:
      - { level: 0, backend: narrow }
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
slos:
  - availability: { name: score, target: 99%, min_confidence: 0.6, route: score }
  - availability: { name: sure, target: 99%, min_confidence: 0.6, confidence_required: true, good_levels: 1, route: score }
  - latency: { name: slow, within: 20s, target: 99%, route: score }
  - availability: { name: narrow, target: 99%, route: narrow }
  - safety: { name: harm, max_rate: 0.001, route: score }
"#;

/// What a caller saw: status, level, and how sure the answer was, if it was an answer.
struct Saw {
    status: u16,
    level: u8,
    confidence: Option<f64>,
}

impl Saw {
    fn of(answer: &Answer) -> Saw {
        let probability = serde_json::from_slice::<serde_json::Value>(&answer.body).ok();
        let probability = probability.and_then(|body| body["outputs"][0]["data"][0].as_f64());
        let level = answer.header("x-mainstay-level").parse().unwrap_or(0);
        Saw { status: answer.status, level, confidence: probability.map(|p| p.max(1.0 - p)) }
    }

    /// The caller's own mistakes are in nobody's total.
    fn counts(&self) -> bool {
        !(400..500).contains(&self.status) || self.status == 429
    }

    fn is_answer(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn is_available(&self, good_levels: u8, required: bool) -> bool {
        let sure = self.confidence.map_or(!required, |confidence| confidence >= 0.6);
        self.is_answer() && sure && self.level <= good_levels
    }
}

fn tally<'a>(saw: impl IntoIterator<Item = &'a Saw>, is_good: impl Fn(&Saw) -> bool) -> Counts {
    let mut counts = Counts::default();
    for saw in saw.into_iter().filter(|saw| saw.counts()) {
        counts.add(if is_good(saw) { Counts::GOOD } else { Counts::BAD });
    }
    counts
}

fn behaves(seen: &Seen) -> String {
    serde_json::from_slice::<serde_json::Value>(&seen.body)
        .map(|body| body["id"].as_str().unwrap_or_default().to_owned())
        .unwrap_or_default()
}

/// Waits until everything was handed over, and a moment longer: nothing may be counted twice.
async fn counted(plane: &Plane, wanted: &BTreeMap<&str, Counts>) -> BTreeMap<String, Counts> {
    let mut all: BTreeMap<String, Counts> = BTreeMap::new();
    let mut take = || {
        for (name, _, counts) in plane.gateway.take_sums().counts {
            all.entry(name).or_default().add(counts);
        }
        wanted.iter().all(|(name, counts)| all.get(*name).copied().unwrap_or_default().total() >= counts.total())
    };
    until("all to be counted", || take().then_some(())).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    take();
    all
}

#[tokio::test]
async fn objectives_count_what_callers_saw() {
    let primary = Upstream::start(|seen| async move {
        match behaves(&seen).as_str() {
            "unsure" => predicts(&seen, "fraud", 0.5),
            "fails" | "both" | "nobody" => json(503, r#"{"error":"broken"}"#),
            "refused" => json(422, r#"{"error":"no such input"}"#),
            "hangs" => std::future::pending().await,
            _ => predicts(&seen, "fraud", 0.95),
        }
    })
    .await;
    let small = Upstream::start(|seen| async move {
        match behaves(&seen).as_str() {
            "both" | "nobody" => json(500, r#"{"error":"broken"}"#),
            _ => predicts(&seen, "small", 0.8),
        }
    })
    .await;
    let narrow = Upstream::hanging().await;
    let config = fill(CONFIG, &[("primary", &primary.addr), ("small", &small.addr), ("narrow", &narrow.addr)]);
    let plane = Plane::start(&config);
    let kinds = ["ok", "ok", "ok", "unsure", "fails", "both", "nobody", "refused", "hangs", "garbage", "no_route"];
    let mut asking = Vec::new();
    for caller in 0..8_u64 {
        let addr = plane.addr();
        asking.push(tokio::spawn(async move {
            let mut rng = Rng::new(caller);
            let mut saw = Vec::new();
            let mut connection = Caller::connect(addr).await;
            for _ in 0..60 {
                let kind = kinds[(rng.unit() * kinds.len() as f64) as usize];
                let body = match kind {
                    "garbage" => "[1, 2".to_owned(),
                    kind => format!(r#"{{"id":"{kind}","inputs":[]}}"#),
                };
                let path = if kind == "no_route" { "/v2/models/none/infer" } else { "/v2/models/fraud/infer" };
                if kind == "hangs" {
                    // The caller leaves, and asks again on another connection.
                    let left = tokio::time::timeout(Duration::from_millis(30), connection.begin(post(path, &[], body)));
                    assert!(left.await.is_err(), "it hangs");
                    connection = Caller::connect(addr).await;
                    continue;
                }
                saw.push(Saw::of(&connection.ask(post(path, &[], body)).await));
            }
            saw
        }));
    }
    let mut saw = Vec::new();
    for one in asking {
        saw.extend(one.await.unwrap());
    }
    // One call hangs and one waits for it; the others are shed.
    let mut crowd = Vec::new();
    for _ in 0..10 {
        let mut connection = Caller::connect(plane.addr()).await;
        crowd.push(tokio::spawn(async move {
            let ask = connection.ask(post("/v2/models/narrow/infer", &[], r#"{"id":"x","inputs":[]}"#));
            tokio::time::timeout(Duration::from_secs(2), ask).await.ok().map(|answer| Saw::of(&answer))
        }));
    }
    let mut narrowed = Vec::new();
    for one in crowd {
        narrowed.extend(one.await.unwrap());
    }
    let shed = narrowed.iter().filter(|saw| saw.status == 429).count();
    assert!(shed >= 8, "{shed} of {} were shed", narrowed.len());
    for (status, least) in [(200, 200), (422, 20), (404, 20)] {
        let seen = saw.iter().filter(|saw| saw.status == status).count();
        assert!(seen >= least, "{seen} answers with {status}");
    }
    let wanted = BTreeMap::from([
        ("score", tally(&saw, |saw| saw.is_available(2, false))),
        ("sure", tally(&saw, |saw| saw.is_available(1, true))),
        ("slow", tally(&saw, Saw::is_answer)),
        ("narrow", tally(&narrowed, |saw| saw.is_available(2, false))),
        ("harm", tally(saw.iter().filter(|saw| saw.is_answer()), |_| true)),
    ]);
    let counted = counted(&plane, &wanted).await;
    for (name, counts) in wanted {
        assert_eq!(counted.get(name).copied().unwrap_or_default(), counts, "{name}");
    }
    plane.close().await;
}

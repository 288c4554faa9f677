//! Gateways in a row, in front of a backend that always fails: who retries, and how often in all.

use std::time::Instant;

use crate::support::{Caller, Plane, Upstream, fill, infer, json};

const GATEWAY: &str = r"
backends:
  primary:
    url: http://$next
    protocol: open-inference
    limit: { fixed: { max: 64 } }
    breaker: { consecutive: 10000, min_calls: 1000000, open: 1h, open_max: 1h }
    retry: { attempts: 4 }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 10s
    ladder:
      - { level: 0, backend: primary }
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
";

/// Most requests of a caller for one question, as language models' clients make.
const TRIES: u32 = 3;

#[tokio::test]
async fn three_layers_that_retry_do_not_multiply_what_a_failing_backend_is_asked() {
    const ASKED: usize = 600;
    let upstream = Upstream::start(|_| async { json(503, "{}") }).await;
    let inner = Plane::start(&fill(GATEWAY, &[("next", &upstream.addr)]));
    let outer = Plane::start(&fill(GATEWAY, &[("next", &inner.addr())]));
    let (mut caller, began) = (Caller::connect(outer.addr()).await, Instant::now());
    for _ in 0..ASKED {
        for tries in 0..TRIES {
            let count = tries.to_string();
            let answer = caller.ask(infer(&[("x-stainless-retry-count", &count)])).await;
            if answer.status == 200 || answer.header("x-should-retry") == "false" {
                break;
            }
        }
    }
    // Each layer alone would ask four times: 4 x 4 x 3. What the inner one answers itself is an answer: nobody asks again.
    let floor = 10 + began.elapsed().as_secs() as usize + 1;
    let (most, calls) = (ASKED + ASKED / 10 + floor, upstream.count());
    assert!((ASKED..=most).contains(&calls), "{calls} calls for {ASKED} questions");
    outer.close().await;
    inner.close().await;
}

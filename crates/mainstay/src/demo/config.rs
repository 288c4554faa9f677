//! The demo's config: a five-level route over the services that were just started.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::data::MEASUREMENTS;
use super::feast::{ENTITY, VIEW, references};
use super::load::PATH;
use super::peers::STORED_INPUT;

/// The route's name.
pub(super) const ROUTE: &str = "tumour";

/// Part of the demo after which a model is old: well after the first phase, and a bucket of the engine's clock before the
/// models are made anew.
const MODEL_AGE: f64 = 0.18;

/// From which age on a model is old.
pub(super) fn model_age(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.mul_f64(MODEL_AGE).as_millis()).unwrap_or(u64::MAX))
}

/// The config's text. `check` accepts it, `serve` runs it.
///
/// Time limits are far above what the services take: a machine that is busy with other things may not run one of the
/// demo's threads for a tenth of a second, and that is no failure to show.
pub(super) fn text([primary, small, store, pager]: [SocketAddr; 4], dir: &Path, duration: Duration) -> String {
    let mut refs = String::new();
    for reference in references() {
        // Writing into a string cannot fail.
        let _ = write!(refs, "{}\"{reference}\"", if refs.is_empty() { "" } else { ", " });
    }
    let radius = format!("{VIEW}:{}_worst", MEASUREMENTS[0]);
    let points = format!("{VIEW}:{}_worst", MEASUREMENTS[7]);
    format!(
        r#"# Written by `mainstay demo`. Ports are those of this run.
service: demo
environment: demo
listen: 127.0.0.1:0
admin: {{ listen: 127.0.0.1:0 }}
store: 'sqlite:{dir}/mainstay.db'
limits: {{ workers: 1 }}
trust: {{ from: [127.0.0.0/8], headers: [x-safety-critical, x-user-tier, x-user-id] }}

backends:
  primary:                          # all 30 measurements; 4 slots of 20 ms
    url: http://{primary}
    protocol: open-inference
    model: tumour
    version: registry               # the champion
    health: {{ path: /v2/health/ready, every: 500ms, timeout: 400ms }}
    limit: {{ knee: {{}} }}
    breaker: {{ consecutive: 5, window: 5s, open: 1s, open_max: 1s, successes: 3 }}
    retry: {{ attempts: 2 }}
  small:                            # 4 of the caller's measurements; 4 slots of 4 ms
    url: http://{small}
    protocol: open-inference
    model: tumour-small
    version: "1"
    health: {{ path: /v2/health/ready, every: 500ms, timeout: 400ms }}
    limit: {{ knee: {{}} }}
    breaker: {{ consecutive: 5, window: 5s, open: 1s, open_max: 1s, successes: 3 }}

features:
  history:
    store: {{ url: 'http://{store}', protocol: feast, timeout: 250ms, health: {{ path: /health, every: 500ms, timeout: 400ms }} }}
    refs: [{refs}]
    entity: {{ {ENTITY}: /parameters/{ENTITY} }}
    into: {{ input: {STORED_INPUT}, datatype: FP64 }}
    max_age: 1h
    cache: {{ entries: 1000, max_age: 24h }}
    breaker: {{ open: 1s, open_max: 1s }}

routes:
  - name: {ROUTE}
    path: {PATH}
    deadline: 1s
    prediction: {{ pointer: /outputs/0/data/0, task: binary, threshold: 0.5 }}
    confidence: {{ pointer: /outputs/0/data/0, as: probability }}
    priority:
      - {{ class: 0, when: 'header("x-safety-critical") == "true"' }}
      - {{ class: 1, when: 'header("x-user-tier") == "premium"' }}
      - {{ class: 2, when: 'header("x-user-id") != ""' }}
    queue: {{ max: 64, wait: 50ms }}
    hysteresis: {{ window: 250ms, down: 4, up: 500ms }}
    ladder:
      - {{ level: 0, backend: primary, features: {{ set: history, mode: online }}, timeout: 450ms }}
      - {{ level: 1, backend: primary, features: {{ set: history, mode: cached }}, timeout: 300ms }}
      - {{ level: 2, backend: small, timeout: 200ms, quality_impact: "about 4 of 100 more predictions are wrong" }}
      - level: 3                      # clear cases, by what the feature store said of them last; the others go to a human
        rules:
          - {{ when: 'feature("{radius}", 0.0) > 17.5', respond: {{ outputs: [{{ name: malignant, value: 0.9 }}] }} }}
          - {{ when: 'feature("{points}", 0.0) > 0.16', respond: {{ outputs: [{{ name: malignant, value: 0.9 }}] }} }}
          - when: 'feature("{radius}", 99.0) < 15.0 && feature("{points}", 1.0) < 0.11'
            respond: {{ outputs: [{{ name: malignant, value: 0.1 }}] }}
      - {{ level: 4, respond: {{ outputs: [{{ name: decision, value: review }}] }} }}

slos:                               # an hour is short for a window, and far more than the demo lasts
  - availability: {{ target: 95%, window: 1h, route: {ROUTE}, description: "A model answers, be it the simpler one." }}
  - latency: {{ p99: 200ms, window: 1h, route: {ROUTE} }}
  - freshness: {{ model: {model_age}ms, window: 1h }}
  - safety: {{ max_rate: 0.0001, window: 1h, route: {ROUTE} }}

incidents:                          # everything is quicker than in earnest
  page: [sev1, sev2, sev3]
  hold: 250ms
  quiet: 1s
  group: 5s
  escalation: operations
oncall:
  people: {{ you: {{ channels: [pager] }} }}
  policies: {{ operations: {{ steps: [{{ tell: [person:you] }}] }} }}
notify:                             # the demo's own receiver
  pager: {{ webhook: {{ url: 'http://{pager}/page' }} }}
"#,
        dir = dir.display(),
        model_age = model_age(duration).as_millis(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_no_errors() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let text = text(
            [address(9001), address(9002), address(6566), address(9009)],
            Path::new("/tmp"),
            Duration::from_mins(1),
        );
        let (plan, findings) = mainstay_config::load(&text);
        assert!(
            findings.iter().all(|finding| !finding.is_error()),
            "{}",
            mainstay_config::render(&findings, "demo", &text, false)
        );
        let plan = plan.unwrap();
        assert_eq!((plan.routes[0].ladder.len(), plan.slos.len()), (5, 4));
    }
}

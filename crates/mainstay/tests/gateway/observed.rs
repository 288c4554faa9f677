//! What monitors and labels get to see of requests.

use mainstay_core::observed::{Observed, Value, is_remembered};
use mainstay_core::route::Level;

use crate::support::upstream::predicts;
use crate::support::{Caller, Plane, Upstream, fill, json, post, until};

const CONFIG: &str = r#"
backends:
  primary: { url: 'http://$primary', protocol: open-inference, model: fraud, version: "3", limit: none, retry: { attempts: 1 } }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 30s
    prediction: { pointer: /outputs/0/data/0, task: binary, threshold: 0.5 }
    confidence: { pointer: /outputs/0/data/0, as: probability }
    ladder:
      - { level: 0, backend: primary }
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
drift:
  rate: 100000/s
  names:
    first: { route: score, request: /inputs/0/data/0 }
    name: { route: score, request: /inputs/0/name, kind: category }
    vector: { route: score, request: /inputs/0/data, kind: embedding }
    absent: { route: score, request: /nowhere }
    score: { route: score, of: prediction }
    sure: { route: score, of: confidence }
    output: { route: score, answer: /outputs/0/name, kind: category }
labels: { share: $share }
"#;

fn request(n: u32) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    let body = format!(r#"{{"inputs":[{{"name":"x","shape":[1,2],"datatype":"FP64","data":[{n}.5,2.0]}}]}}"#);
    post("/v2/models/fraud/infer", &[("x-request-id", &format!("r-{n}"))], body)
}

async fn observed(plane: &Plane, wanted: usize) -> Vec<Observed> {
    let mut all = Vec::new();
    until("observations", || {
        all.extend(plane.gateway.take_observed().into_iter().flat_map(|(_, batch)| batch));
        (all.len() >= wanted).then_some(())
    })
    .await;
    all
}

#[tokio::test]
async fn values_predictions_and_ids_are_seen_as_they_were() {
    let upstream = Upstream::start(|seen| async move { predicts(&seen, "fraud", 0.9) }).await;
    let plane = Plane::start(&fill(CONFIG, &[("primary", &upstream.addr), ("share", &"100%")]));
    let mut caller = Caller::connect(plane.addr()).await;
    assert_eq!(caller.ask(request(7)).await.status, 200);
    let seen = observed(&plane, 1).await.remove(0);
    let names: Vec<String> = plane.gateway.plan().drift.monitors.iter().map(|monitor| monitor.name.clone()).collect();
    let value = |name: &str| {
        let at = names.iter().position(|own| own == name).expect("a monitor") as u32;
        seen.values.iter().find(|(monitor, _)| *monitor == at).map(|(_, value)| value.clone())
    };
    assert_eq!((&*seen.request_id, seen.level, seen.for_labels), ("r-7", Level::FULL, true));
    assert_eq!(value("first"), Some(Value::Number(7.5)));
    assert_eq!(value("name"), Some(Value::word("x")));
    assert_eq!(value("vector"), Some(Value::Vector([7.5, 2.0].into())));
    assert_eq!(value("absent"), Some(Value::Missing));
    assert_eq!((value("score"), seen.prediction.clone()), (Some(Value::Number(0.9)), Some(Value::Number(0.9))));
    assert_eq!((value("sure"), seen.confidence), (Some(Value::Number(0.9)), Some(0.9)));
    assert!(value("output").is_some());
    plane.close().await;
}

#[tokio::test]
async fn a_local_answer_has_no_prediction_and_its_request_is_seen_all_the_same() {
    let upstream = Upstream::start(|_| async { json(500, "{}") }).await;
    let plane = Plane::start(&fill(CONFIG, &[("primary", &upstream.addr), ("share", &"100%")]));
    let mut caller = Caller::connect(plane.addr()).await;
    assert_eq!(caller.ask(request(1)).await.facts().1, "4");
    let seen = observed(&plane, 1).await.remove(0);
    assert_eq!((seen.level, seen.for_labels, seen.prediction, seen.backend), (Level::STATIC, false, None, None));
    // Values of the request, and nothing of an answer.
    assert_eq!(seen.values.len(), 4, "{:?}", seen.values);
    plane.close().await;
}

#[tokio::test]
async fn a_share_of_predictions_is_remembered_by_their_ids() {
    let upstream = Upstream::start(|seen| async move { predicts(&seen, "fraud", 0.2) }).await;
    let plane = Plane::start(&fill(CONFIG, &[("primary", &upstream.addr), ("share", &"30%")]));
    let mut caller = Caller::connect(plane.addr()).await;
    for n in 0..60 {
        assert_eq!(caller.ask(request(n)).await.status, 200);
    }
    let seen = observed(&plane, 60).await;
    assert!(seen.iter().all(|one| one.for_labels == is_remembered("", &one.request_id, 0.3)));
    let kept = seen.iter().filter(|one| one.for_labels).count();
    assert!((5..=35).contains(&kept), "{kept} of 60");
    plane.close().await;
}

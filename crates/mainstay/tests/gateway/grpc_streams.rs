//! Streams over gRPC whose messages are errors.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::Full;
use mainstay_core::event::EventKind;

use crate::support::{Answer, Caller, Flow, Plane, Upstream, fill, until};

const CONFIG: &str = r"
backends:
  first: { url: 'http://$first', protocol: open-inference-grpc, retry: { attempts: 1 }, breaker: { consecutive: 2 } }
  second: { url: 'http://$second', protocol: open-inference-grpc, retry: { attempts: 1 } }
routes:
  - name: score
    path: /inference.GRPCInferenceService/*
    deadline: 10s
    ladder:
      - { level: 0, backend: first }
      - { level: 2, backend: second }
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
";

/// A message: an error, or an answer of a model.
fn message(field: u8, text: &str) -> Bytes {
    let length = u8::try_from(text.len()).expect("a short text");
    let mut framed = vec![0, 0, 0, 0, length + 2, field << 3 | 2, length];
    framed.extend_from_slice(text.as_bytes());
    framed.into()
}

/// Streams these messages, and ends as if all were well.
async fn streams(messages: Vec<Bytes>) -> Upstream {
    ends(messages, "0").await
}

/// Streams these messages, and ends with a status.
async fn ends(messages: Vec<Bytes>, status: &'static str) -> Upstream {
    Upstream::start(move |_| {
        let name = http::HeaderName::from_static("grpc-status");
        let trailers = HeaderMap::from_iter([(name, HeaderValue::from_static(status))]);
        let frames = messages.iter().cloned().map(Frame::data).chain([Frame::trailers(trailers)]);
        let answer =
            Response::builder().header("content-type", "application/grpc").body(Flow::Frames(frames.collect()));
        async move { answer.expect("an answer") }
    })
    .await
}

async fn infer(caller: &mut Caller) -> Answer {
    let request = Request::post("/inference.GRPCInferenceService/ModelStreamInfer")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(message(1, "fraud")));
    caller.ask(request.expect("a request")).await
}

#[tokio::test]
async fn a_stream_that_begins_with_an_error_is_answered_by_somebody_else_and_nobody_is_blamed() {
    let (bad, good) = (message(1, "unexpected shape"), message(2, "an answer"));
    let (first, second) = (streams(vec![bad.clone()]).await, streams(vec![good.clone(), good.clone()]).await);
    let plane = Plane::start(&fill(CONFIG, &[("first", &first.addr), ("second", &second.addr)]));
    let mut caller = Caller::connect_h2(plane.addr()).await;
    for _ in 0..5 {
        let answer = infer(&mut caller).await;
        assert_eq!(answer.facts(), (200, "2", "true", "2", "error_in_answer"));
        assert_eq!(answer.body, [&good[..], &good].concat());
    }
    assert_eq!(plane.backend("first").breaker, "closed", "it does not say whose fault it is");
    plane.close().await;

    // What was shown is not taken back; but it is no answer.
    let first = streams(vec![good.clone(), bad.clone(), good.clone()]).await;
    let plane = Plane::start(&fill(CONFIG, &[("first", &first.addr), ("second", &second.addr)]));
    let mut caller = Caller::connect_h2(plane.addr()).await;
    for _ in 0..5 {
        let answer = infer(&mut caller).await;
        assert_eq!(
            (answer.facts(), answer.body.clone()),
            ((200, "0", "false", "1", ""), [&good[..], &bad, &good].concat().into())
        );
    }
    assert_eq!(plane.backend("first").breaker, "closed");
    plane.close().await;
}

#[tokio::test]
async fn a_stream_that_ends_with_an_error_is_told_with_the_code_that_is_counted() {
    let first = ends(vec![message(2, "an answer")], "14").await;
    let plane = Plane::start(&fill(CONFIG, &[("first", &first.addr), ("second", &first.addr)]));
    let mut caller = Caller::connect_h2(plane.addr()).await;
    assert_eq!(infer(&mut caller).await.facts(), (200, "0", "false", "1", ""));
    plane.counted("mainstay_requests", &[("code", "503")], 1).await;
    let told = until("the event", || {
        plane.events().into_iter().find_map(|kind| match kind {
            EventKind::RequestFinished(request) => Some((request.code, request.stream)),
            _ => None,
        })
    });
    assert_eq!(told.await, (503, true));
    plane.close().await;
}

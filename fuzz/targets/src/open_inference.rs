use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use mainstay_core::plan::{Answer, Confidence, ConfidenceFrom, ConfidenceScale};
use mainstay_core::route::Protocol;
use mainstay_gateway::protocol::{AnswerContext, ConfidenceReader, body_with_model, facts, json_part, render};
use serde_json::{Value, json};

/// A body of the Open Inference Protocol, with and without Triton's binary part: its facts, a confidence, a new model
/// name, and a local answer that is JSON and echoes the id.
pub fn open_inference(bytes: &[u8]) {
    let plain = HeaderMap::new();
    one(&plain, bytes);
    let mut binary = HeaderMap::new();
    binary.insert("inference-header-content-length", HeaderValue::from(bytes.len() / 2));
    one(&binary, bytes);
    for protocol in [Protocol::Openai, Protocol::Anthropic] {
        // A body that is read as two protocols has facts in both, or none.
        facts(protocol, &plain, bytes).ok();
        if let Ok(body) = body_with_model(protocol, &Bytes::copy_from_slice(bytes), "other") {
            let valid = serde_json::from_slice::<Value>(bytes).is_ok();
            assert!(!valid || serde_json::from_slice::<Value>(&body).is_ok(), "JSON stays JSON");
        }
    }
}

fn one(headers: &HeaderMap, body: &[u8]) {
    let confidence = reader().read(headers, body);
    assert!(confidence.is_none_or(|confidence| (0.5..=1.0).contains(&confidence)), "{confidence:?}");
    let facts = facts(Protocol::OpenInference, headers, body);
    let context = AnswerContext {
        path: "/v2/models/m/infer",
        headers,
        request_body: body,
        model: "rules",
        version: None,
        created: 0,
        request_id: "r",
    };
    let answer = Answer::Outputs(vec![json!({ "name": "p", "value": 0.5 })]);
    if let Ok(rendered) = render(Protocol::OpenInference, &answer, &context) {
        let rendered: Value = serde_json::from_slice(&rendered.body).expect("a local answer is JSON");
        // Facts are read without a look at the rest of the body; an answer echoes the id of one that is JSON.
        let is_json = json_part(headers, body).is_ok_and(|part| serde_json::from_slice::<Value>(part).is_ok());
        if let Some(id) = facts.ok().and_then(|facts| facts.id).filter(|_| is_json) {
            assert_eq!(rendered["id"], id);
        }
    }
}

fn reader() -> ConfidenceReader {
    let from = ConfidenceFrom::Pointer("/outputs/0/data".to_owned());
    ConfidenceReader::new(&Confidence { from, scale: ConfidenceScale::Probability }).expect("a well-formed pointer")
}

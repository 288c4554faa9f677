//! Golden cases of what goes over the wire.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use mainstay_core::plan::{Answer, Confidence, ConfidenceFrom, ConfidenceScale, Prediction};
use mainstay_core::resilience::outcome::{FailureKind, Outcome};
use mainstay_core::route::{Class, Protocol};
use mainstay_core::time::Time;
use mainstay_gateway::protocol::{
    AnswerContext, BadRequest, ConfidenceReader, Facts, Failure, FailureCause, MAX_RETRY_AFTER, Predicted,
    PredictionReader, RenderError, Rendered, body_with_model, classify, error, facts, hints, needs_body,
    path_with_model, render, retry_after,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const PROTOCOLS: [Protocol; 4] = [Protocol::OpenInference, Protocol::Openai, Protocol::Anthropic, Protocol::Http];
const NOW: Time = Time::from_secs(1_700_000_000);

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair =
        |(name, value): &(&str, &str)| (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
    pairs.iter().map(pair).collect()
}

fn oip_facts(body: &str) -> Facts {
    facts(Protocol::OpenInference, &HeaderMap::new(), body.as_bytes()).unwrap()
}

#[test]
fn open_inference_facts() {
    let read = oip_facts(r#"{"id": "a\"b", "parameters": {"priority": 2, "timeout": 250000}, "inputs": []}"#);
    let timeout = Some(Duration::from_millis(250));
    let expected = Facts { id: Some("a\"b".to_owned()), priority: Class::new(1), timeout, ..Facts::default() };
    assert_eq!(read, expected);
    let class = |priority: &str| oip_facts(&format!(r#"{{"parameters": {{"priority": {priority}}}}}"#)).priority;
    let classes = ["0", "1", "3", "4", "18446744073709551615", "-1", "\"1\"", "1.5"].map(class);
    assert_eq!(classes.map(|c| c.map(Class::number)), [None, Some(0), Some(2), Some(3), Some(3), None, None, None]);
    // An escape does not hide a name.
    assert_eq!(oip_facts(r#"{"\u0069d": "x"}"#).id.as_deref(), Some("x"));
    let error = facts(Protocol::OpenInference, &HeaderMap::new(), br#"{"id": "x", }"#).unwrap_err();
    assert!(matches!(error, BadRequest::Json(json) if json.offset == 13));
}

#[test]
fn binary_data_is_never_looked_at() {
    let json =
        br#"{"id":"7","inputs":[{"name":"x","shape":[2],"datatype":"FP32","parameters":{"binary_data_size":8}}]}"#;
    let mut body = json.to_vec();
    body.extend([0, 0xff, b'{', 0, 0, 0, 0, 1]);
    let binary = |length: &str| headers(&[("inference-header-content-length", length)]);
    let read = facts(Protocol::OpenInference, &binary(&json.len().to_string()), &body).unwrap();
    assert_eq!(read.id.as_deref(), Some("7"));
    assert!(facts(Protocol::OpenInference, &HeaderMap::new(), &body).is_err());
    for wrong in ["-1", "x", "99999"] {
        assert_eq!(facts(Protocol::OpenInference, &binary(wrong), &body), Err(BadRequest::BinaryHeader));
    }
}

#[test]
fn chat_facts() {
    let body = br#"{"model": "big", "messages": [], "stream": true, "stream_options": {"include_usage": true}}"#;
    let read = facts(Protocol::Openai, &HeaderMap::new(), body).unwrap();
    assert_eq!((read.model.as_deref(), read.stream, read.include_usage), (Some("big"), true, true));
    // What users write is no field, and an earlier field is overruled by a later one.
    let quoted = br#"{"messages": [{"content": "\"stream\": true", "stream": true}], "stream": true, "stream": false}"#;
    assert_eq!(facts(Protocol::Openai, &HeaderMap::new(), quoted).unwrap(), Facts::default());
}

#[test]
fn models_are_swapped_byte_for_byte() {
    let swap = |body: &'static str| {
        let swapped = body_with_model(Protocol::Openai, &Bytes::from_static(body.as_bytes()), "s\"m").unwrap();
        String::from_utf8(swapped.to_vec()).unwrap()
    };
    assert_eq!(swap(r#"{"x" : 1.0, "model": "big" }"#), r#"{"x" : 1.0, "model": "s\"m" }"#);
    assert_eq!(swap(r#" {"x": 1}"#), r#" {"model":"s\"m","x": 1}"#);
    assert_eq!(swap(" { }"), r#" {"model":"s\"m" }"#);
    assert!(body_with_model(Protocol::Openai, &Bytes::from_static(b"[]"), "m").is_err());
    let path = "/p/v2/models/fraud/infer";
    assert_eq!(path_with_model(path, "lite", Some("2")), "/p/v2/models/lite/versions/2/infer");
    assert_eq!(path_with_model("/v2/health/ready", "lite", None), "/v2/health/ready");
}

#[test]
fn errors_have_the_protocols_shape() {
    let failure = Failure::new(FailureCause::Shed, "no capacity").with_retry(Duration::from_millis(1200), true);
    let shape = |protocol| {
        let rendered = error(protocol, &failure, "r1");
        assert_eq!(rendered.status, 429);
        (rendered.content_type, String::from_utf8(rendered.body.to_vec()).unwrap())
    };
    let golden = |content_type, body: &str| (content_type, body.to_owned());
    assert_eq!(shape(Protocol::OpenInference), golden("application/json", r#"{"error":"no capacity"}"#));
    let openai = r#"{"error":{"message":"no capacity","type":"rate_limit_error","param":null,"code":"overloaded"}}"#;
    assert_eq!(shape(Protocol::Openai), golden("application/json", openai));
    let anthropic = r#"{"type":"error","error":{"type":"rate_limit_error","message":"no capacity"},"request_id":"r1"}"#;
    assert_eq!(shape(Protocol::Anthropic), golden("application/json", anthropic));
    let problem = r#"{"type":"about:blank","title":"Too Many Requests","status":429,"detail":"no capacity","code":"overloaded","request_id":"r1"}"#;
    assert_eq!(shape(Protocol::Http), golden("application/problem+json", problem));

    let mut written = HeaderMap::new();
    failure.write_headers(&mut written);
    assert_eq!(written, headers(&[("retry-after", "2"), ("retry-after-ms", "1200"), ("x-should-retry", "true")]));
    let mut written = HeaderMap::new();
    Failure::new(FailureCause::Exhausted, "").write_headers(&mut written);
    assert_eq!(written, headers(&[("x-should-retry", "false")]));
}

#[test]
fn a_model_that_loads_is_not_the_callers_fault() {
    let says = |protocol, text: &[u8]| classify(protocol, 400, &HeaderMap::new(), Some(text), NOW);
    let not_ready = br#"{"error":"Model fraud is not ready yet."}"#;
    assert_eq!(says(Protocol::OpenInference, not_ready), Outcome::failure(FailureKind::Server));
    assert_eq!(says(Protocol::OpenInference, br#"{"error":"bad shape"}"#), Outcome::Caller { status: 400 });
    assert_eq!(says(Protocol::Http, not_ready), Outcome::Caller { status: 400 });
    assert!(needs_body(Protocol::OpenInference, 400) && !needs_body(Protocol::OpenInference, 500));
}

#[test]
fn a_spent_quota_is_not_waited_for() {
    let wait = headers(&[("retry-after", "1")]);
    let says = |code: &str| classify(Protocol::Openai, 429, &wait, Some(code.as_bytes()), NOW);
    let hour = Some(Duration::from_hours(1));
    let spent = Outcome::Failure { kind: FailureKind::Server, retry_after: hour };
    assert_eq!(says(r#"{"error":{"code":"insufficient_quota"}}"#), spent);
    let second = Some(Duration::from_secs(1));
    assert_eq!(says(r#"{"error":{"code":"slow_down"}}"#), Outcome::Throttled { retry_after: second });
    assert!(needs_body(Protocol::Openai, 429) && !needs_body(Protocol::Openai, 200));
}

#[test]
fn statuses_are_classified_alike_everywhere() {
    for protocol in PROTOCOLS {
        let class = |status| classify(protocol, status, &HeaderMap::new(), None, NOW);
        assert_eq!(class(204), Outcome::Success);
        for status in [400, 401, 404, 422] {
            assert_eq!(class(status), Outcome::Caller { status });
        }
        // Providers of language models answer so when they were too slow or too early themselves, and their clients come again.
        let asks_again = matches!(protocol, Protocol::Openai | Protocol::Anthropic);
        for status in [408, 409, 425] {
            let callers = Outcome::Caller { status };
            assert_eq!(class(status), if asks_again { Outcome::failure(FailureKind::Server) } else { callers });
        }
        assert_eq!(class(429), Outcome::Throttled { retry_after: None });
        for status in [500, 503, 529] {
            assert_eq!(class(status), Outcome::failure(FailureKind::Server));
        }
        // What is left of a budget says nothing about a fault.
        let budget = headers(&[("x-ratelimit-reset-requests", "6m0s")]);
        assert_eq!(classify(protocol, 500, &budget, None, NOW), Outcome::failure(FailureKind::Server));
    }
}

#[test]
fn wishes_to_be_left_alone() {
    let ms = |pairs: &[(&str, &str)]| retry_after(&headers(pairs), NOW).map(|wish| wish.as_millis());
    assert_eq!(ms(&[("retry-after", "3"), ("retry-after-ms", "1500.5")]), Some(1500));
    assert_eq!(ms(&[("x-ms-retry-after-ms", "20"), ("retry-after", "3")]), Some(20));
    assert_eq!(ms(&[("retry-after", " 0.25 ")]), Some(250));
    assert_eq!(ms(&[("retry-after", "Tue, 14 Nov 2023 22:13:30 GMT")]), Some(10_000));
    assert_eq!(ms(&[("retry-after", "Tue, 14 Nov 2023 22:13:10 GMT")]), Some(0));
    let reset = ("x-ratelimit-reset-requests", "6m0.5s");
    assert_eq!(ms(&[reset, ("x-ratelimit-reset-tokens", "20ms")]), Some(360_500));
    let left = ("x-ratelimit-remaining-requests", "3");
    assert_eq!(ms(&[reset, left, ("x-ratelimit-reset-tokens", "20ms")]), Some(20));
    assert_eq!(ms(&[("x-ratelimit-reset", "1700000007")]), Some(7000));
    assert_eq!(ms(&[("retry-after", "1e99")]), Some(86_400_000));
    for nonsense in ["-1", "NaN", "soon", "", "1m1"] {
        assert_eq!(ms(&[("retry-after", nonsense), ("x-ratelimit-reset", nonsense)]), None, "{nonsense}");
    }
}

#[test]
fn hints_only_where_they_make_sense() {
    let objectives = BTreeMap::from([("batch".to_owned(), Class::WORST), ("chat".to_owned(), Class::BEST)]);
    let names = [
        "x-mainstay-priority",
        "x-gateway-inference-objective",
        "x-mainstay-deadline-ms",
        "x-stainless-read-timeout",
        "x-slo-ttft-ms",
    ];
    let read = |values: [&str; 5]| {
        let pairs: Vec<_> = names.into_iter().zip(values).collect();
        hints(&headers(&pairs), &objectives)
    };
    let sense = read(["1", "batch", "1500", "0.9", "200"]);
    assert_eq!(sense.class, Some(Class::WORST));
    let millis = |n| Some(Duration::from_millis(n));
    assert_eq!((sense.deadline, sense.patience, sense.ttft), (millis(1500), millis(900), millis(200)));
    let both = headers(&[("x-stainless-read-timeout", "600"), ("x-stainless-timeout", "30")]);
    assert_eq!(hints(&both, &objectives).patience, millis(30_000));
    assert_eq!(read(["4", "?", "-5", "NaN", "0"]), hints(&HeaderMap::new(), &objectives));
}

fn context<'a>(path: &'a str, headers: &'a HeaderMap, request_body: &'a [u8]) -> AnswerContext<'a> {
    let (created, request_id) = (1_700_000_000, "r1");
    AnswerContext { path, headers, request_body, model: "rules", version: Some("1"), created, request_id }
}

fn oip_answer(request: &str, outputs: &Value) -> Result<Value, RenderError> {
    let none = HeaderMap::new();
    let answer = Answer::Outputs(outputs.as_array().unwrap().clone());
    let rendered = render(Protocol::OpenInference, &answer, &context("/v2/models/m/infer", &none, request.as_bytes()))?;
    assert_eq!((rendered.status.as_u16(), rendered.content_type), (200, "application/json"));
    Ok(serde_json::from_slice(&rendered.body).unwrap())
}

#[test]
fn tensors_have_a_value_per_row() {
    let request =
        r#"{"id": "q\u00e9", "inputs": [{"name": "a", "shape": [2, 3], "data": [1,2,3,4,5,6]}, {"shape": [2]}]}"#;
    let outputs = json!([
        {"name": "p", "value": 0.5}, {"name": "n", "value": 3}, {"name": "d", "value": "review"},
        {"name": "b", "value": true}, {"name": "v", "value": [0.25, 1]}, {"name": "h", "value": 1, "datatype": "FP32"},
        {"name": "t", "shape": [1], "datatype": "FP64", "data": [7]},
    ]);
    let expected = json!({"model_name": "rules", "model_version": "1", "id": "q\u{e9}", "outputs": [
        {"name": "p", "shape": [2], "datatype": "FP64", "data": [0.5, 0.5]},
        {"name": "n", "shape": [2], "datatype": "INT64", "data": [3, 3]},
        {"name": "d", "shape": [2], "datatype": "BYTES", "data": ["review", "review"]},
        {"name": "b", "shape": [2], "datatype": "BOOL", "data": [true, true]},
        {"name": "v", "shape": [2, 2], "datatype": "FP64", "data": [0.25, 1, 0.25, 1]},
        {"name": "h", "shape": [2], "datatype": "FP32", "data": [1, 1]},
        {"name": "t", "shape": [1], "datatype": "FP64", "data": [7]},
    ]});
    assert_eq!(oip_answer(request, &outputs), Ok(expected));
}

#[test]
fn local_tensors_survive_odd_requests() {
    let one = json!([{"name": "p", "value": 1}]);
    let rows = |request: &str| oip_answer(request, &one).unwrap()["outputs"][0]["shape"][0].clone();
    assert_eq!(rows("garbage"), 1);
    assert_eq!(rows(r#"{"inputs": [{"shape": [2]}, {"shape": [3]}]}"#), 1);
    assert_eq!(rows(r#"{"inputs": [{"shape": [4000000000]}]}"#), 1);
    assert_eq!(oip_answer("{}", &json!([{"name": "p", "value": null}])), Err(RenderError::Output { index: 0 }));
    let many = format!(r#"{{"inputs": [{{"shape": [100001]}}]}}{}"#, " ".repeat(200_000));
    assert!(matches!(oip_answer(&many, &one), Err(RenderError::TooManyRows { .. })));
}

fn chat(request: &str) -> Rendered {
    let none = HeaderMap::new();
    let answer = Answer::Text("Sorry.\n".to_owned());
    render(Protocol::Openai, &answer, &context("/v1/chat/completions", &none, request.as_bytes())).unwrap()
}

#[test]
fn chat_answers_whole() {
    let message = json!({"role": "assistant", "content": "Sorry.\n", "refusal": null});
    let expected = json!({
        "id": "chatcmpl-r1", "object": "chat.completion", "created": 1_700_000_000, "model": "rules",
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    });
    let rendered = chat(r#"{"model": "big", "messages": []}"#);
    assert_eq!(serde_json::from_slice::<Value>(&rendered.body).unwrap(), expected);
    assert_eq!(chat("garbage \"model\"").content_type, "application/json");
}

#[test]
fn chat_answers_streamed() {
    let rendered = chat(r#"{"stream": true, "stream_options": {"include_usage": true}}"#);
    assert_eq!(rendered.content_type, "text/event-stream");
    let chunk = |choices: &str, usage: &str| {
        let head = r#""id":"chatcmpl-r1","object":"chat.completion.chunk","created":1700000000,"model":"rules""#;
        format!("data: {{{head},\"choices\":[{choices}]{usage}}}\n\n")
    };
    let choice = |delta: &str, reason: &str| {
        chunk(&format!(r#"{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{reason}}}"#), "")
    };
    let expected = [
        choice(r#"{"role":"assistant","content":""}"#, "null"),
        choice(r#"{"content":"Sorry.\n"}"#, "null"),
        choice("{}", "\"stop\""),
        chunk("", r#","usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}"#),
        "data: [DONE]\n\n".to_owned(),
    ];
    assert_eq!(String::from_utf8(rendered.body.to_vec()).unwrap(), expected.concat());
    let without = String::from_utf8(chat(r#"{"stream": true}"#).body.to_vec()).unwrap();
    assert!(!without.contains("usage"));
}

#[test]
fn completions_and_responses_have_answers_of_our_own() {
    let none = HeaderMap::new();
    let text = Answer::Text("Later, please.".to_owned());
    let rendered =
        |path: &str, body: &str| render(Protocol::Openai, &text, &context(path, &none, body.as_bytes())).unwrap();
    let read = |rendered: &Rendered| serde_json::from_slice::<Value>(&rendered.body).unwrap();

    let whole = read(&rendered("/v1/completions", r#"{"model":"m","prompt":["a","b"],"n":2}"#));
    assert_eq!((&whole["object"], whole["choices"].as_array().unwrap().len()), (&"text_completion".into(), 4));
    assert_eq!((&whole["choices"][3]["text"], &whole["choices"][3]["index"]), (&"Later, please.".into(), &3.into()));
    let streamed = rendered("/v1/completions", r#"{"stream":true}"#);
    assert_eq!(streamed.content_type, "text/event-stream");
    let streamed = String::from_utf8(streamed.body.to_vec()).unwrap();
    assert!(streamed.contains(r#""text":"Later, please.""#) && streamed.ends_with("data: [DONE]\n\n"), "{streamed}");

    let whole = read(&rendered("/v1/responses", r#"{"input":"Hi"}"#));
    assert_eq!((&whole["object"], &whole["status"]), (&"response".into(), &"completed".into()));
    assert_eq!(whole["output"][0]["content"][0]["text"], "Later, please.");
    let streamed = String::from_utf8(rendered("/v1/responses", r#"{"stream":true}"#).body.to_vec()).unwrap();
    let events: Vec<Value> = streamed
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    assert_eq!((&events[0]["type"], &events[4]["delta"]), (&"response.created".into(), &"Later, please.".into()));
    assert_eq!(events.last().unwrap()["response"]["output"], whole["output"]);
}

#[test]
fn answers_of_the_wrong_kind_are_refused() {
    let none = HeaderMap::new();
    let text = Answer::Text("x".to_owned());
    let kinds = [
        (Protocol::Openai, "/v1/embeddings", text.clone()),
        (Protocol::OpenInference, "/v2/models/m/infer", text),
        (Protocol::Http, "/x", Answer::Outputs(vec![])),
    ];
    for (protocol, path, answer) in kinds {
        assert!(matches!(render(protocol, &answer, &context(path, &none, b"{}")), Err(RenderError::Kind { .. })));
    }
    let body = Answer::Body(json!({"a": 1}));
    assert_eq!(render(Protocol::Http, &body, &context("/x", &none, b"")).unwrap().body, &br#"{"a":1}"#[..]);
}

#[test]
fn confidence_of_batches_is_the_smallest() {
    let read = |scale, data: &str| {
        let from = ConfidenceFrom::Pointer("/outputs/0/data".to_owned());
        let reader = ConfidenceReader::new(&Confidence { from, scale }).unwrap();
        reader.read(&HeaderMap::new(), format!(r#"{{"outputs": [{{"data": {data}}}]}}"#).as_bytes())
    };
    assert_eq!(read(ConfidenceScale::Probability, "[0.1, 0.75, 0.8]"), Some(0.75));
    assert_eq!(read(ConfidenceScale::Score, "[[3], [-2]]"), Some(-2.0));
    assert_eq!(read(ConfidenceScale::Margin, "0.3"), Some(0.3));
    for none in ["[]", "[0.4, \"NaN\"]", "[0.4, null]", "[1.5, 0.5]", "{}", "\"0.5\"", "[true]"] {
        assert_eq!(read(ConfidenceScale::Probability, none), None, "{none}");
    }
    let from = ConfidenceFrom::Header("x-confidence".to_owned());
    let reader = ConfidenceReader::new(&Confidence { from, scale: ConfidenceScale::Probability }).unwrap();
    assert_eq!(reader.read(&headers(&[("x-confidence", " 0.2")]), b""), Some(0.8));
    assert_eq!(reader.read(&headers(&[("x-confidence", "NaN")]), b""), None);
}

#[test]
fn predictions() {
    let plan = Prediction { pointer: "/p".to_owned(), task: Some("binary".to_owned()), threshold: Some(0.7) };
    let reader = PredictionReader::new(&plan).unwrap();
    let read = |body: &str| reader.read(body.as_bytes()).map(|found| (reader.is_positive(&found), found));
    assert_eq!(read(r#"{"p": 0.7}"#), Some((Some(true), Predicted::Number(0.7))));
    assert_eq!(read(r#"{"p": false}"#), Some((Some(false), Predicted::Decision(false))));
    assert_eq!(read(r#"{"p": "spam"}"#), Some((None, Predicted::Label("spam".to_owned()))));
    assert_eq!(read(r#"{"p": [1]}"#), None);
}

proptest! {
    #[test]
    fn garbage_never_panics(
        body in prop::collection::vec(any::<u8>(), 0..80),
        json in "[\\[\\]{}\":,a-z0-9\\\\ ]{0,60}",
        length in 0..100usize,
        status in 0..1000u16,
    ) {
        let binary = headers(&[("inference-header-content-length", &length.to_string())]);
        for (bytes, protocol) in [body.as_slice(), json.as_bytes()].into_iter().flat_map(|b| PROTOCOLS.map(|p| (b, p))) {
            drop(facts(protocol, &binary, bytes));
            drop(facts(protocol, &HeaderMap::new(), bytes));
            classify(protocol, status, &HeaderMap::new(), Some(bytes), NOW);
            let context = context("/v1/chat/completions", &binary, bytes);
            for answer in [Answer::Text(json.clone()), Answer::Outputs(vec![json!({"name": "p", "value": 1})])] {
                drop(render(protocol, &answer, &context));
            }
            drop(body_with_model(protocol, &Bytes::copy_from_slice(bytes), "m"));
        }
    }

    #[test]
    fn retry_headers_never_panic(text in "[ -~]{0,30}") {
        for name in ["retry-after", "retry-after-ms", "x-ms-retry-after-ms", "x-ratelimit-reset-tokens"] {
            let wish = retry_after(&headers(&[(name, &text)]), NOW);
            prop_assert!(wish.is_none_or(|wish| wish <= MAX_RETRY_AFTER));
        }
    }
}

//! What is counted of language models: whole answers, and streams that end in all three ways.

use http_body_util::BodyExt;
use mainstay_core::metric::Value;
use serde_json::json;

use crate::support::upstream::parts;
use crate::support::{Caller, Plane, Seen, Upstream, ask, fill, json as whole, post, soon};

const CHAT: &str = r"
backends:
  chat: { url: 'http://$chat', protocol: openai, model: big, limit: none, retry: { attempts: 1 } }
routes:
  - name: chat
    path: /v1/*
    deadline: 20s
    stream: { buffer: { tokens: 1 } }
    ladder:
      - { level: 0, backend: chat }
      - { level: 4, respond: { text: 'Later, please.' } }
";

const TOKEN: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi \"}}]}\n\n";
const REST: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
                    data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";

fn asked(user: &str, stream: bool) -> String {
    json!({ "model": "m", "stream": stream, "user": user, "messages": [] }).to_string()
}

/// Answers as the `user` of the request wants it.
async fn chat() -> Upstream {
    Upstream::start(|seen: Seen| async move {
        let body = seen.json();
        if seen.path == "/v1/embeddings" {
            return whole(200, r#"{"data":[{"embedding":[0.5]}],"usage":{"prompt_tokens":300,"total_tokens":300}}"#);
        }
        if body["stream"] != true {
            return match body["user"].as_str() {
                Some("down") => whole(500, "{}"),
                _ => whole(
                    200,
                    r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],
                        "usage":{"prompt_tokens":5,"completion_tokens":17}}"#,
                ),
            };
        }
        let (sender, answer) = parts("text/event-stream");
        let how = body["user"].as_str().unwrap_or_default().to_owned();
        sender.send(Ok(TOKEN.into())).expect("it is read");
        tokio::spawn(async move {
            match how.as_str() {
                "whole" => drop([TOKEN, REST].map(|part| sender.send(Ok(part.into())))),
                "broken" => drop(sender),
                _ => sender.closed().await,
            }
        });
        answer
    })
    .await
}

#[tokio::test]
async fn language_models_are_counted_by_operation_model_and_how_streams_end() {
    let upstream = chat().await;
    let plane = Plane::start(&fill(CHAT, &[("chat", &upstream.addr)]));
    let addr = plane.addr();
    for user in ["whole", "whole", "broken"] {
        let answer = ask(addr, post("/v1/chat/completions", &[], asked(user, true))).await;
        assert_eq!(answer.body.ends_with(b"[DONE]\n\n"), user == "whole", "{:?}", answer.body);
    }
    let mut caller = Caller::connect(addr).await;
    let leaves = post("/v1/chat/completions", &[], asked("stays", true));
    let mut answer = soon("a head", caller.begin(leaves)).await.expect("a head");
    soon("a token", answer.body_mut().frame()).await.expect("a part").expect("it is whole");
    drop((answer, caller));
    for (path, user) in [("/v1/chat/completions", "x"), ("/v1/chat/completions", "down"), ("/v1/embeddings", "x")] {
        ask(addr, post(path, &[], asked(user, false))).await;
    }

    let outcome = |outcome| [("route", "chat"), ("outcome", outcome)];
    plane.counted("mainstay_streams_ended", &outcome("caller_left"), 1).await;
    plane.counted("mainstay_streams_ended", &outcome("complete"), 2).await;
    plane.counted("mainstay_streams_ended", &outcome("broken"), 1).await;
    plane.counted("mainstay_streams_begun", &[("route", "chat")], 4).await;
    let ratio = plane.metric("mainstay_streams_complete_ratio", &[("route", "chat")]);
    assert!((ratio - 2.0 / 3.0).abs() < 1e-9, "{ratio}");

    // Who left, and what broke, has no time to its first token that stands for anything.
    let big = [("gen_ai_operation_name", "chat"), ("gen_ai_request_model", "big"), ("gen_ai_provider_name", "openai")];
    plane.counted("gen_ai_server_time_to_first_token", &big, 2).await;
    plane.counted("gen_ai_server_time_per_output_token", &big, 2).await;
    plane.counted("gen_ai_server_request_duration", &big, 5).await;
    plane.counted("gen_ai_server_request_duration", &[("error_type", "502")], 1).await;
    plane.counted("gen_ai_client_operation_duration", &big, 5).await;
    plane.counted("gen_ai_client_operation_duration", &[("error_type", "502")], 1).await;
    plane.counted("gen_ai_client_operation_duration", &[("gen_ai_provider_name", "mainstay")], 0).await;
    plane.counted("gen_ai_server_request_duration", &[("error_type", "499")], 1).await;
    // The answer of our own that took the place of a failed one.
    plane.counted("gen_ai_server_request_duration", &[("gen_ai_provider_name", "mainstay")], 1).await;
    plane.counted("gen_ai_server_request_duration", &[("gen_ai_operation_name", "embeddings")], 1).await;

    plane.counted("gen_ai_client_token_usage", &[("gen_ai_token_type", "output")], 3).await;
    let families = plane.gateway.metrics();
    let tokens = families.iter().find(|family| family.name == "gen_ai_client_token_usage").expect("the family");
    let input = tokens.samples.iter().filter(|sample| sample.labels.iter().any(|(_, value)| value == "input"));
    let buckets: Vec<_> = input
        .map(|sample| match &sample.value {
            Value::Histogram(seen) => (seen.sum, seen.counts.iter().position(|count| *count > 0), seen.bounds.len()),
            other => panic!("{other:?} is no histogram"),
        })
        .collect();
    // 9 + 9 + 5 tokens of chats, of which the least lies beyond 4 and within 16; 300 of what is embedded.
    assert_eq!(buckets, [(23.0, Some(2), 14), (300.0, Some(5), 14)]);
    plane.close().await;
}

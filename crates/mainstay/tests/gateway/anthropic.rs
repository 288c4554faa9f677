//! Anthropic's messages, as its clients ask for them.

use serde_json::Value;

use crate::support::upstream::parts;
use crate::support::{Plane, Upstream, ask, fill, json, post};

const MESSAGES: &str = r"
backends:
  claude: { url: 'http://$claude', protocol: anthropic, keys: [env:MAINSTAY_TEST_KEY], model: claude, limit: none, retry: { attempts: 1 }, breaker: { consecutive: 1000 } }
routes:
  - name: messages
    path: /v1/messages
    deadline: 5s
    stream: { buffer: { tokens: 1 } }
    ladder:
      - { level: 0, backend: claude }
      - { level: 4, respond: { text: 'Later, please.' } }
";

const STREAM: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude\",\"content\":[],\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n\
event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n\
event: ping\ndata: {\"type\":\"ping\"}\n\n\
event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\n\n\
event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n\
event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\n\
event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

fn asked(stream: bool) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    let body =
        format!(r#"{{"model":"any","max_tokens":10,"stream":{stream},"messages":[{{"role":"user","content":"Hi"}}]}}"#);
    post("/v1/messages", &[("x-api-key", "the caller's own")], body)
}

#[tokio::test]
async fn messages_are_asked_for_with_our_key_and_passed_on_as_they_are() {
    let upstream = Upstream::start(|seen| async move {
        let body: Value = serde_json::from_slice(&seen.body).expect("it is JSON");
        assert_eq!(body["model"], "claude");
        if body["stream"] == true {
            let (sender, answer) = parts("text/event-stream");
            sender.send(Ok(STREAM.into())).expect("it is read");
            answer
        } else {
            json(200, r#"{"id":"msg_2","type":"message","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":2}}"#)
        }
    })
    .await;
    let plane = Plane::start(&fill(MESSAGES, &[("claude", &upstream.addr)]));
    let answer = ask(plane.addr(), asked(true)).await;
    assert_eq!(answer.facts(), (200, "0", "false", "1", ""));
    assert_eq!(std::str::from_utf8(&answer.body), Ok(STREAM));
    let answer = ask(plane.addr(), asked(false)).await;
    assert_eq!(answer.facts(), (200, "0", "false", "1", ""));
    for seen in upstream.seen() {
        assert_eq!(seen.header("x-api-key"), "MAINSTAY_TEST_KEY");
        assert_eq!((seen.header("anthropic-version"), seen.header("authorization")), ("2023-06-01", ""));
    }
    plane.close().await;
}

#[tokio::test]
async fn our_own_answers_are_messages_whole_and_streamed() {
    let upstream = Upstream::start(|_| async {
        json(529, r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#)
    })
    .await;
    let plane = Plane::start(&fill(MESSAGES, &[("claude", &upstream.addr)]));
    let answer = ask(plane.addr(), asked(false)).await;
    assert_eq!((answer.status, answer.header("x-mainstay-level")), (200, "4"));
    let message: Value = serde_json::from_slice(&answer.body).expect("it is JSON");
    assert_eq!(
        (&message["content"][0]["text"], &message["stop_reason"]),
        (&"Later, please.".into(), &"end_turn".into())
    );
    let answer = ask(plane.addr(), asked(true)).await;
    let text = std::str::from_utf8(&answer.body).expect("it is text");
    let names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    let wanted = [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(names, wanted, "{text}");
    assert!(text.contains("Later, please."));
    plane.close().await;
}

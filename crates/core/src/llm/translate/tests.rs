use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn put(from: Dialect, to: Dialect, body: &Value) -> Result<Value, Untranslatable> {
    request(from, to, body.to_string().as_bytes()).map(|body| serde_json::from_slice(&body).unwrap())
}

fn to_anthropic(body: &Value) -> Result<Value, Untranslatable> {
    put(Dialect::OpenaiChat, Dialect::AnthropicMessages, body)
}

fn to_openai(body: &Value) -> Result<Value, Untranslatable> {
    put(Dialect::AnthropicMessages, Dialect::OpenaiChat, body)
}

fn chat() -> Value {
    json!({
        "model": "big", "stream": true, "stream_options": {"include_usage": true}, "temperature": 1.5, "top_p": 0.9,
        "max_completion_tokens": 100, "stop": "END", "user": "u-1", "seed": 7, "store": true, "reasoning_effort": "low",
        "response_format": {"type": "text"}, "n": 1, "logprobs": false, "parallel_tool_calls": false, "tool_choice": "required",
        "tools": [{"type": "function", "function": {
            "name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}, "strict": true}}],
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "developer", "content": [{"type": "text", "text": "Be short."}]},
            {"role": "user", "content": [
                {"type": "text", "text": "What is it?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "https://images.example/a.jpg"}}]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "call.1:0", "type": "function", "function": {"name": "look", "arguments": "{\"at\":\"it\"}"}},
                {"id": "call_2", "type": "function", "function": {"name": "look", "arguments": ""}}]},
            {"role": "tool", "tool_call_id": "call.1:0", "content": "a cat"},
            {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "nothing"}]},
            {"role": "user", "content": "And?"},
            {"role": "assistant", "content": "It is "}],
    })
}

fn messages() -> Value {
    json!({
        "model": "big", "stream": true, "temperature": 1.0, "top_p": 0.9, "max_tokens": 100, "stop_sequences": ["END"],
        "metadata": {"user_id": "u-1"}, "system": "Be kind.\n\nBe short.",
        "tools": [{"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}}}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "What is it?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
                {"type": "image", "source": {"type": "url", "url": "https://images.example/a.jpg"}}]},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "call_1_0", "name": "look", "input": {"at": "it"}},
                {"type": "tool_use", "id": "call_2", "name": "look", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "call_1_0", "content": "a cat"},
                {"type": "tool_result", "tool_use_id": "call_2", "content": "nothing"},
                {"type": "text", "text": "And?"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "It is"}]}],
    })
}

#[test]
fn a_chat_becomes_messages() {
    assert_eq!(to_anthropic(&chat()), Ok(messages()));
    let plain = to_anthropic(&json!({"messages": [{"role": "user", "content": "Hi"}]})).unwrap();
    assert_eq!(plain["max_tokens"], to_anthropic::MAX_TOKENS, "a bound that Anthropic demands");
}

#[test]
fn messages_become_a_chat() {
    let mut body = messages();
    body["thinking"] = json!({"type": "enabled", "budget_tokens": 1024});
    body["messages"][1]["content"] = json!([
        {"type": "thinking", "thinking": "Hm.", "signature": "s"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "call_2", "name": "look", "input": {"at": "it"}, "cache_control": {"type": "ephemeral"}}]);
    let mut expected = chat();
    for left_out in ["stream_options", "seed", "store", "reasoning_effort", "response_format", "n", "logprobs"] {
        expected.as_object_mut().unwrap().remove(left_out);
    }
    expected["temperature"] = json!(1.0);
    expected["stop"] = json!(["END"]);
    expected["tools"][0]["function"].as_object_mut().unwrap().remove("strict");
    expected["messages"] = json!([
        {"role": "system", "content": "Be kind.\n\nBe short."},
        {"role": "user", "content": [
            {"type": "text", "text": "What is it?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
            {"type": "image_url", "image_url": {"url": "https://images.example/a.jpg"}}]},
        {"role": "assistant", "content": "I look.", "tool_calls": [
            {"id": "call_2", "type": "function", "function": {"name": "look", "arguments": "{\"at\":\"it\"}"}}]},
        {"role": "tool", "tool_call_id": "call_1_0", "content": "a cat"},
        {"role": "tool", "tool_call_id": "call_2", "content": "nothing"},
        {"role": "user", "content": [{"type": "text", "text": "And?"}]},
        {"role": "assistant", "content": "It is"}]);
    assert_eq!(to_openai(&body), Ok(expected));
}

#[test]
fn what_has_no_counterpart_is_refused_by_name() {
    let user = |part: Value| json!({"messages": [{"role": "user", "content": [part]}]});
    let with = |name: &str, value: Value| {
        let mut body = json!({"messages": [{"role": "user", "content": "Hi"}]});
        body[name] = value;
        body
    };
    for (body, field) in [
        (with("n", json!(2)), "n"),
        (with("logprobs", json!(true)), "logprobs"),
        (with("logit_bias", json!({"50256": -100})), "logit_bias"),
        (with("response_format", json!({"type": "json_object"})), "response_format"),
        (with("modalities", json!(["text", "audio"])), "modalities"),
        (with("guided_regex", json!("a+")), "guided_regex"),
        (with("tools", json!([{"type": "custom", "custom": {"name": "x"}}])), "tools/custom"),
        (user(json!({"type": "input_audio", "input_audio": {}})), "messages/content/input_audio"),
        (
            user(json!({"type": "image_url", "image_url": {"url": "data:image/svg+xml,<svg/>"}})),
            "messages/content/image_url",
        ),
        (json!({"messages": [{"role": "function", "name": "f", "content": "1"}]}), "messages/function"),
        (json!({"messages": [{"role": "assistant", "content": "Hi"}]}), "messages"),
        (json!({"model": "m"}), "messages"),
        (
            json!({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{\"a\":"}}]}]}),
            "messages/tool_calls/arguments",
        ),
    ] {
        assert_eq!(to_anthropic(&body), Err(Untranslatable::Field(field.to_owned())), "{body}");
    }
    for (body, field) in [
        (with("tools", json!([{"type": "web_search_20250305", "name": "web_search"}])), "tools/web_search_20250305"),
        (with("mcp_servers", json!([{"url": "https://mcp.example"}])), "mcp_servers"),
        (user(json!({"type": "document", "source": {}})), "messages/content/document"),
        (user(json!({"type": "image", "source": {"type": "file", "file_id": "f"}})), "messages/content/image/file"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image"}]}]}]}),
            "messages/content/image",
        ),
    ] {
        assert_eq!(to_openai(&body), Err(Untranslatable::Field(field.to_owned())), "{body}");
    }
    let dialects = put(Dialect::OpenaiCompletions, Dialect::AnthropicMessages, &json!({"prompt": "x"}));
    assert!(matches!(dialects, Err(Untranslatable::Dialects { .. })));
    assert_eq!(request(Dialect::OpenaiChat, Dialect::AnthropicMessages, b"[]"), Err(Untranslatable::NotJson));
    assert_eq!(request(Dialect::OpenaiChat, Dialect::OpenaiChat, b"as it is").unwrap(), b"as it is");
}

/// A turn of a conversation that both dialects have room for.
fn turn() -> impl Strategy<Value = Vec<Value>> {
    let word = "[a-z\"\\\\\u{e4}\n]{1,8}";
    let calls = proptest::collection::vec((0_u32..1000, word), 1..3);
    prop_oneof![
        word.prop_map(|text| vec![json!({"role": "user", "content": [{"type": "text", "text": text}]}), json!({"role": "assistant", "content": "ok"})]),
        (word, calls).prop_map(|(text, calls)| {
            let list: Vec<_> = calls
                .iter()
                .map(|(id, at)| json!({"id": format!("c{id}"), "type": "function", "function": {"name": "look", "arguments": json!({"at": at}).to_string()}}))
                .collect();
            let mut turn = vec![json!({"role": "user", "content": [{"type": "text", "text": text}]}), json!({"role": "assistant", "content": null, "tool_calls": list})];
            turn.extend(calls.iter().map(|(id, at)| json!({"role": "tool", "tool_call_id": format!("c{id}"), "content": at})));
            turn.push(json!({"role": "assistant", "content": "seen"}));
            turn
        }),
    ]
}

proptest! {
    #[test]
    fn a_conversation_survives_the_way_there_and_back(turns in proptest::collection::vec(turn(), 1..5)) {
        let body = json!({"model": "m", "max_completion_tokens": 9, "messages": turns.concat()});
        let there = to_anthropic(&body).unwrap();
        prop_assert_eq!(to_openai(&there).unwrap(), body);
    }
}

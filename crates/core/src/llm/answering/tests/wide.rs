//! Streams of more than one text (reasoning, calls of tools, several choices), cut at every byte.

use std::collections::BTreeMap;

use super::*;

/// By choice and by what of it is one text.
type Texts = BTreeMap<String, String>;

/// What a caller has of an answer. Lines and JSON only.
#[derive(Debug, Default)]
struct Had {
    texts: Texts,
    ended: bool,
    error: bool,
    after_the_end: bool,
}

fn had(dialect: Dialect, bytes: &[u8]) -> Had {
    let mut had = Had::default();
    let mut blocks = BTreeMap::new();
    for data in std::str::from_utf8(bytes).unwrap().lines().filter_map(|line| line.strip_prefix("data: ")) {
        had.after_the_end |= had.ended || had.error;
        if data == "[DONE]" {
            had.ended = true;
            continue;
        }
        let event: Value = serde_json::from_str(data).unwrap();
        if event["mainstay"]["restart"] == true || event["type"] == "mainstay_restart" {
            had.texts.clear();
        }
        had.error |= !event["error"].is_null();
        had.ended |= event["type"] == "message_stop";
        let mut add =
            |name: String, text: &Value| *had.texts.entry(name).or_default() += text.as_str().unwrap_or_default();
        if dialect == Dialect::AnthropicMessages {
            let index = event["index"].as_u64();
            if event["type"] == "content_block_start" {
                let block = &event["content_block"];
                let name = if block["type"] == "tool_use" {
                    block["name"].as_str().unwrap()
                } else {
                    block["type"].as_str().unwrap()
                };
                blocks.insert(index, format!("0 {name}"));
            }
            for kind in ["text", "thinking", "partial_json"] {
                if event["delta"][kind].is_string() {
                    add(blocks[&index].clone(), &event["delta"][kind]);
                }
            }
            continue;
        }
        for choice in event["choices"].as_array().into_iter().flatten() {
            let (index, delta) = (&choice["index"], &choice["delta"]);
            add(format!("{index} text"), &delta["content"]);
            add(format!("{index} thinking"), &delta["reasoning_content"]);
            for call in delta["tool_calls"].as_array().into_iter().flatten() {
                let name = if call["index"] == 0 { "look" } else { "fetch" };
                add(format!("{index} {name}"), &call["function"]["arguments"]);
            }
        }
    }
    had.texts.retain(|_, text| !text.is_empty());
    had
}

fn chunks(deltas: &[(u32, &str, &str)]) -> String {
    let event = |(index, delta, finish): &(u32, &str, &str)| {
        format!(
            "data: {{\"id\":\"c-1\",\"model\":\"big\",\"choices\":[{{\"index\":{index},\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
        )
    };
    deltas.iter().map(event).collect::<String>() + "data: [DONE]\n\n"
}

/// Thoughts, a text and two calls of tools.
fn tools() -> String {
    chunks(&[
        (0, r#"{"role":"assistant","reasoning_content":"Hm, "}"#, "null"),
        (0, r#"{"reasoning_content":"well."}"#, "null"),
        (0, r#"{"content":"I look."}"#, "null"),
        (
            0,
            r#"{"tool_calls":[{"index":0,"id":"c0","type":"function","function":{"name":"look","arguments":""}}]}"#,
            "null",
        ),
        (0, r#"{"tool_calls":[{"index":0,"function":{"arguments":"{\"at\":"}}]}"#, "null"),
        (0, r#"{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}"#, "null"),
        (
            0,
            r#"{"tool_calls":[{"index":1,"id":"c1","type":"function","function":{"name":"fetch","arguments":"{\"of\":2}"}}]}"#,
            "null",
        ),
        (0, "{}", r#""tool_calls""#),
    ])
}

/// Two choices, by turns; the second one ends long after the first.
fn choices() -> String {
    chunks(&[
        (0, r#"{"role":"assistant","content":""}"#, "null"),
        (0, r#"{"content":"one "}"#, "null"),
        (1, r#"{"role":"assistant","content":"two "}"#, "null"),
        (0, r#"{"content":"and all"}"#, "null"),
        (0, "{}", r#""stop""#),
        (1, r#"{"content":"and "}"#, "null"),
        (1, r#"{"content":"more"}"#, "null"),
        (1, "{}", r#""length""#),
    ])
}

fn run(settings: Settings, stream: &str, at: usize, end: End, is_rescued: bool) -> (Vec<u8>, Summary) {
    let mut answering = edges::fresh(settings, Dialect::OpenaiChat);
    answering.handle_bytes(&stream.as_bytes()[..at], now());
    answering.handle_end(end, now());
    let (mut sent, mut rescued) = (Vec::new(), false);
    while let Some(effect) = answering.poll_effect() {
        match effect {
            Effect::Commit => {}
            Effect::Send(bytes) => sent.extend(bytes),
            Effect::Done(summary) => return (sent, *summary),
            Effect::Failed(_) | Effect::Rescue(Rescue::Restart, _)
                if is_rescued && !std::mem::replace(&mut rescued, true) =>
            {
                answering.handle_upstream(Dialect::OpenaiChat, Begun::Fresh, now());
                answering.handle_bytes(stream.as_bytes(), now());
                answering.handle_end(End::Clean, now());
            }
            Effect::Failed(_) | Effect::Rescue(..) => answering.handle_no_rescue(&broken(&Fault::Cut), now()),
        }
    }
    panic!("it is not over");
}

#[test]
fn whatever_an_answer_is_made_of_it_is_whole_or_told_wherever_it_is_cut() {
    for (stream, count, dialects) in
        [(tools(), 1, &[Dialect::OpenaiChat, Dialect::AnthropicMessages][..]), (choices(), 2, &[Dialect::OpenaiChat])]
    {
        for to in dialects {
            let all =
                had(*to, &run(settings(*to, AfterCommit::Fail), &stream, stream.len(), End::Clean, false).0).texts;
            assert_eq!(all.len(), if count == 1 { 4 } else { 2 }, "{all:?}");
            for (policy, at, end, is_rescued) in POLICIES.iter().flat_map(|policy| {
                (0..=stream.len()).flat_map(move |at| {
                    [End::Clean, End::Broken]
                        .into_iter()
                        .flat_map(move |end| [true, false].map(|is_rescued| (*policy, at, end, is_rescued)))
                })
            }) {
                let what = format!("{count} to {to:?}, {policy:?}, cut at {at}, {end:?}, rescued {is_rescued}");
                let settings = Settings { choices: count, ..settings(*to, policy) };
                let (sent, done) = run(settings, &stream, at, end, is_rescued);
                let had = had(*to, &sent);
                assert!(!had.after_the_end, "{what}: {had:?}");
                assert_eq!(
                    (had.ended, had.error),
                    (done.complete, !done.complete && !sent.is_empty()),
                    "{what}: {had:?}"
                );
                if done.complete {
                    assert_eq!(had.texts, all, "{what}");
                }
                let is_begun =
                    had.texts.iter().all(|(name, text)| all.get(name).is_some_and(|all| all.starts_with(text)));
                assert!(is_begun, "{what}: {had:?}");
                if is_rescued && matches!(policy, AfterCommit::Atomic | AfterCommit::Restart) {
                    assert!(done.complete, "{what}");
                }
            }
        }
    }
}

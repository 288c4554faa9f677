//! Streams cut at every byte, in every policy, read back as their callers read them.

mod counted;
mod edges;
mod filtered;
mod wide;

use serde_json::Value;

use super::*;

const WORDS: &str = "one two three four five six seven eight";

fn chat(piece: &str, finish: &str) -> String {
    format!(
        "data: {{\"id\":\"c-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"big\",\"choices\":[{{\"index\":0,\"delta\":{piece},\"finish_reason\":{finish}}}],\"usage\":null}}\n\n"
    )
}

/// As OpenAI sends it: a role first, usage last.
fn openai(text: &str) -> String {
    let mut stream = chat(r#"{"role":"assistant","content":""}"#, "null");
    for word in text.split_inclusive(' ') {
        stream += &chat(&format!("{{\"content\":{}}}", Value::from(word)), "null");
    }
    stream += &chat("{}", "\"stop\"");
    stream += "data: {\"id\":\"c-1\",\"model\":\"big\",\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":8,\"total_tokens\":15}}\n\n";
    stream + "data: [DONE]\n\n"
}

fn completions(text: &str) -> String {
    use std::fmt::Write as _;
    let mut stream = String::new();
    for word in text.split_inclusive(' ') {
        write!(stream, "data: {{\"id\":\"cmpl-1\",\"model\":\"big\",\"choices\":[{{\"index\":0,\"text\":{},\"finish_reason\":null}}]}}\n\n", Value::from(word)).unwrap();
    }
    stream += "data: {\"id\":\"cmpl-1\",\"model\":\"big\",\"choices\":[{\"index\":0,\"text\":\"\",\"finish_reason\":\"stop\"}]}\n\n";
    stream + "data: [DONE]\n\n"
}

/// As Anthropic sends it: pings between, usage at both ends.
fn anthropic(text: &str) -> String {
    let event = |name: &str, data: &str| format!("event: {name}\ndata: {{\"type\":\"{name}\"{data}}}\n\n");
    let mut stream = event(
        "message_start",
        r#","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":[],"stop_reason":null,"usage":{"input_tokens":7,"output_tokens":1}}"#,
    );
    stream += &event("content_block_start", r#","index":0,"content_block":{"type":"text","text":""}"#);
    stream += &event("ping", "");
    for word in text.split_inclusive(' ') {
        stream += &event(
            "content_block_delta",
            &format!(",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":{}}}", Value::from(word)),
        );
    }
    stream += &event("content_block_stop", r#","index":0"#);
    stream += &event(
        "message_delta",
        r#","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":8}"#,
    );
    stream + &event("message_stop", "")
}

fn stream_of(dialect: Dialect, text: &str) -> String {
    match dialect {
        Dialect::OpenaiChat => openai(text),
        Dialect::OpenaiCompletions => completions(text),
        Dialect::AnthropicMessages => anthropic(text),
    }
}

/// What a caller makes of what it was sent. Written without the code under test: lines and JSON only.
#[derive(Debug, Default, PartialEq)]
struct Read {
    text: String,
    finish: Option<String>,
    ended: bool,
    error: bool,
    after_the_end: bool,
    restarts: u32,
}

fn read(dialect: Dialect, bytes: &[u8]) -> Read {
    let mut read = Read::default();
    for block in std::str::from_utf8(bytes).unwrap().split("\n\n").filter(|block| !block.is_empty()) {
        let Some(data) = block.lines().find_map(|line| line.strip_prefix("data: ")) else { continue };
        read.after_the_end |= read.ended || read.error;
        if data == "[DONE]" {
            read.ended = true;
            continue;
        }
        let value: Value = serde_json::from_str(data).unwrap();
        if dialect == Dialect::AnthropicMessages {
            let name = block.lines().find_map(|line| line.strip_prefix("event: ")).unwrap();
            assert_eq!(value["type"], name);
            match name {
                "message_stop" => read.ended = true,
                "error" => read.error = true,
                "mainstay_restart" => {
                    read.restarts += 1;
                    read.text.clear();
                }
                "content_block_delta" => read.text += value["delta"]["text"].as_str().unwrap_or_default(),
                "message_delta" => read.finish = value["delta"]["stop_reason"].as_str().map(Into::into),
                _ => {}
            }
            continue;
        }
        if value["mainstay"]["restart"] == true {
            read.restarts += 1;
            read.text.clear();
        }
        read.error |= !value["error"].is_null();
        for choice in value["choices"].as_array().into_iter().flatten() {
            let text = choice["delta"]["content"].as_str().or(choice["text"].as_str());
            read.text += text.unwrap_or_default();
            if let Some(finish) = choice["finish_reason"].as_str() {
                read.finish = Some(finish.into());
            }
        }
    }
    read
}

/// Who takes over.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Other {
    Nobody,
    Answers(Dialect),
    /// It repeats what it was given.
    Echoes(Dialect),
    /// It is cut as well.
    IsCut(Dialect),
}

struct Run {
    sent: Vec<u8>,
    failed: Vec<Fault>,
    done: Option<Summary>,
}

fn now() -> Time {
    Time::from_secs(1000)
}

fn drive(settings: Settings, from: Dialect, bytes: &[u8], end: End, other: Other) -> Run {
    let mut answering = Answering::new(settings);
    let mut run = Run { sent: Vec::new(), failed: Vec::new(), done: None };
    answering.handle_upstream(from, Begun::Fresh, now());
    answering.handle_bytes(bytes, now());
    answering.handle_end(end, now());
    let mut committed = false;
    while let Some(effect) = answering.poll_effect() {
        match effect {
            Effect::Commit => committed = !std::mem::replace(&mut committed, true),
            Effect::Send(bytes) => {
                assert!(committed, "something was shown before its time");
                run.sent.extend(bytes);
            }
            Effect::Failed(fault) => {
                assert!(run.sent.is_empty());
                run.failed.push(fault);
                let other = if run.failed.len() > 1 { Other::Nobody } else { other };
                take_over(&mut answering, None, other);
            }
            Effect::Rescue(rescue, _) => take_over(&mut answering, Some(&rescue), other),
            Effect::Done(summary) => assert!(run.done.replace(*summary).is_none()),
        }
    }
    run
}

fn take_over(answering: &mut Answering, rescue: Option<&Rescue>, other: Other) {
    let nobody = |answering: &mut Answering| answering.handle_no_rescue(&broken(&Fault::Cut), now());
    let (dialect, echoes, whole) = match other {
        Other::Nobody => return nobody(answering),
        Other::Answers(dialect) => (dialect, false, true),
        Other::Echoes(dialect) => (dialect, true, true),
        Other::IsCut(dialect) => (dialect, false, false),
    };
    let (begun, text) = match rescue {
        Some(Rescue::Continue { so_far }) => {
            let rest = WORDS.strip_prefix(so_far.as_str()).unwrap();
            (Begun::Continued, if echoes { WORDS } else { rest })
        }
        Some(Rescue::Restart) | None => (Begun::Fresh, WORDS),
    };
    let stream = stream_of(dialect, text);
    answering.handle_upstream(dialect, begun, now());
    if whole {
        answering.handle_bytes(stream.as_bytes(), now());
        answering.handle_end(End::Clean, now());
    } else {
        let half = stream.len() / 2;
        answering.handle_bytes(&stream.as_bytes()[..half], now());
        answering.handle_end(End::Broken, now());
    }
}

const DIALECTS: [Dialect; 3] = [Dialect::OpenaiChat, Dialect::OpenaiCompletions, Dialect::AnthropicMessages];
const POLICIES: [AfterCommit; 4] =
    [AfterCommit::Atomic, AfterCommit::Continue, AfterCommit::Restart, AfterCommit::Fail];

fn settings(dialect: Dialect, policy: AfterCommit) -> Settings {
    Settings::new(dialect, Stream { after_commit: policy, buffer_tokens: 2, ..Stream::default() })
}

/// The one promise: all of it with its end, or an error; and no word that was not said.
fn check(to: Dialect, run: &Run, what: &str) {
    let read = read(to, &run.sent);
    let done = run.done.as_ref().unwrap_or_else(|| panic!("{what}: not over"));
    assert!(!read.after_the_end, "{what}: {read:?}");
    if done.complete {
        assert!(read.ended && !read.error, "{what}: {read:?}");
        assert_eq!(read.text, WORDS, "{what}");
        assert!(read.finish.is_some(), "{what}");
    } else {
        assert!(!read.ended, "{what}: an end mark without the answer: {read:?}");
        assert!(run.sent.is_empty() || read.error, "{what}: cut and not told: {read:?}");
        assert!(WORDS.starts_with(&read.text), "{what}: {read:?}");
    }
}

#[test]
fn a_stream_cut_at_every_byte_is_whole_or_told() {
    for from in DIALECTS {
        let stream = stream_of(from, WORDS);
        let to_list: &[Dialect] = if from == Dialect::OpenaiCompletions {
            &[Dialect::OpenaiCompletions]
        } else {
            &[Dialect::OpenaiChat, Dialect::AnthropicMessages]
        };
        for (to, policy) in to_list.iter().flat_map(|to| POLICIES.map(|policy| (*to, policy))) {
            let others =
                [Other::Nobody, Other::Answers(from), Other::Answers(to), Other::Echoes(to), Other::IsCut(from)];
            for (at, end, other) in (0..=stream.len())
                .flat_map(|at| [End::Clean, End::Broken].map(|end| (at, end)))
                .flat_map(|(at, end)| others.map(|other| (at, end, other)))
            {
                let what = format!("{from:?} to {to:?}, {policy:?}, cut at {at}, {end:?}, {other:?}");
                let run = drive(settings(to, policy), from, &stream.as_bytes()[..at], end, other);
                check(to, &run, &what);
                let can_be_saved = matches!(other, Other::Answers(_) | Other::Echoes(_));
                if can_be_saved && policy != AfterCommit::Fail {
                    assert!(run.done.unwrap().complete, "{what}");
                }
            }
        }
    }
}

#[test]
fn a_whole_stream_is_passed_on_as_it_is() {
    let stream = openai(WORDS);
    let asked = Settings { include_usage: true, ..settings(Dialect::OpenaiChat, AfterCommit::Fail) };
    let run = drive(asked, Dialect::OpenaiChat, stream.as_bytes(), End::Clean, Other::Nobody);
    assert_eq!(String::from_utf8(run.sent).unwrap(), stream);
    let done = run.done.unwrap();
    assert_eq!(
        (done.usage.input, done.usage.output, done.tokens, done.model.as_deref()),
        (Some(7), Some(8), 8, Some("big"))
    );

    let run = drive(
        settings(Dialect::OpenaiChat, AfterCommit::Fail),
        Dialect::OpenaiChat,
        stream.as_bytes(),
        End::Clean,
        Other::Nobody,
    );
    assert!(!String::from_utf8(run.sent).unwrap().contains("total_tokens"), "usage for a caller that did not ask");

    let stream = anthropic(WORDS);
    let run = drive(
        settings(Dialect::AnthropicMessages, AfterCommit::Fail),
        Dialect::AnthropicMessages,
        stream.as_bytes(),
        End::Clean,
        Other::Nobody,
    );
    assert_eq!(String::from_utf8(run.sent).unwrap(), stream);
}

#[test]
fn a_missing_end_mark_is_put_where_the_model_had_stopped() {
    let stream = openai(WORDS).replace("data: [DONE]\n\n", "");
    let mut answering = Answering::new(settings(Dialect::OpenaiChat, AfterCommit::Fail));
    answering.handle_upstream(Dialect::OpenaiChat, Begun::Fresh, now());
    answering.handle_bytes(stream.as_bytes(), now());
    assert_eq!(answering.poll_timeout(), Some(now() + END_GRACE));
    answering.handle_timeout(now() + END_GRACE);
    let mut sent = Vec::new();
    while let Some(effect) = answering.poll_effect() {
        if let Effect::Send(bytes) = effect {
            sent.extend(bytes);
        }
    }
    assert!(sent.ends_with(b"data: [DONE]\n\n") && answering.is_over());
}

#[test]
fn roles_and_pings_are_no_tokens() {
    let mut answering = Answering::new(settings(Dialect::OpenaiChat, AfterCommit::Fail));
    answering.handle_upstream(Dialect::OpenaiChat, Begun::Fresh, now());
    answering.handle_bytes(chat(r#"{"role":"assistant","content":""}"#, "null").as_bytes(), now());
    let limit = now() + Stream::default().first_token;
    assert_eq!(answering.poll_timeout(), Some(limit));
    answering.handle_bytes(b": keep-alive\n\n", limit);
    answering.handle_timeout(limit);
    assert_eq!(answering.poll_effect(), Some(Effect::Failed(Fault::FirstToken)));
}

#[test]
fn a_stall_a_slow_stream_and_an_error_event_are_told_apart() {
    let faults = |min_tokens, later: &[(u64, &str)]| {
        let stream = Stream { min_tokens, buffer_tokens: 1, ..Stream::default() };
        let mut answering = Answering::new(Settings::new(Dialect::OpenaiChat, stream));
        answering.handle_upstream(Dialect::OpenaiChat, Begun::Fresh, now());
        answering.handle_bytes(chat(r#"{"content":"a"}"#, "null").as_bytes(), now());
        for (ms, bytes) in later {
            let at = now() + Duration::from_millis(*ms);
            while let Some(due) = answering.poll_timeout().filter(|due| *due <= at) {
                answering.handle_timeout(due);
            }
            answering.handle_bytes(bytes.as_bytes(), at);
        }
        std::iter::from_fn(|| answering.poll_effect())
            .find_map(|effect| if let Effect::Done(summary) = effect { summary.fault } else { None })
    };
    let word = chat(r#"{"content":"a"}"#, "null");
    assert_eq!(faults(None, &[(4999, &word), (9998, &word)]), None);
    assert_eq!(faults(None, &[(4999, &word), (10_000, "")]), Some(Fault::Stall));
    assert_eq!(faults(Some(2.0), &[(2500, &word), (5000, "")]), Some(Fault::Slow));
    let told = faults(None, &[(1, "data: {\"error\":{\"message\":\"m\",\"type\":\"server_error\",\"code\":503}}\n\n")]);
    assert!(matches!(told, Some(Fault::Told(told)) if told.code == "503" && told.kind == "server_error"));
}

#[test]
fn what_a_caller_does_not_take_is_no_silence_of_the_backend() {
    let stream = Stream { min_tokens: Some(2.0), buffer_tokens: 1, ..Stream::default() };
    let gap = stream.gap;
    let mut answering = Answering::new(Settings::new(Dialect::OpenaiChat, stream));
    answering.handle_upstream(Dialect::OpenaiChat, Begun::Fresh, now());
    answering.handle_bytes(chat(r#"{"content":"a"}"#, "null").as_bytes(), now());
    while answering.poll_effect().is_some() {}
    let unread = gap * 3;
    answering.handle_pause(unread);
    // The beginning of an event is all that had come meanwhile.
    answering.handle_bytes(b"data: {", now() + unread);
    answering.handle_timeout(now() + unread);
    assert_eq!(answering.poll_effect(), None);
    // From there on silence counts again.
    answering.handle_timeout(now() + unread + gap);
    let faults: Vec<_> = std::iter::from_fn(|| answering.poll_effect()).collect();
    assert!(matches!(faults.last(), Some(Effect::Done(done)) if done.fault == Some(Fault::Stall)), "{faults:?}");
}

#[test]
fn malformed_events_are_passed_over_and_only_malformed_ones_are_a_fault() {
    let stream = openai(WORDS).replacen("data: {\"id\":\"c-1\"", "data: {nonsense\n\ndata: {\"id\":\"c-1\"", 3);
    let run = drive(
        settings(Dialect::OpenaiChat, AfterCommit::Fail),
        Dialect::OpenaiChat,
        stream.as_bytes(),
        End::Clean,
        Other::Nobody,
    );
    check(Dialect::OpenaiChat, &run, "malformed");
    assert_eq!(run.done.map(|done| (done.complete, done.malformed)), Some((true, 3)));
    let run = drive(
        settings(Dialect::OpenaiChat, AfterCommit::Fail),
        Dialect::OpenaiChat,
        b"data: <html>\n\n",
        End::Clean,
        Other::Nobody,
    );
    assert_eq!(run.failed, [Fault::Malformed]);
}

#[test]
fn tools_cross_dialects_in_both_directions() {
    let call = |delta: &str| chat(&format!("{{\"tool_calls\":[{{\"index\":0,{delta}}}]}}"), "null");
    let stream = call(r#""id":"call_1","type":"function","function":{"name":"look","arguments":""}"#)
        + &call(r#""function":{"arguments":"{\"a\":"}"#)
        + &call(r#""function":{"arguments":"1}"}"#)
        + &chat("{}", "\"tool_calls\"")
        + "data: [DONE]\n\n";
    let run = drive(
        settings(Dialect::AnthropicMessages, AfterCommit::Fail),
        Dialect::OpenaiChat,
        stream.as_bytes(),
        End::Clean,
        Other::Nobody,
    );
    let sent = String::from_utf8(run.sent).unwrap();
    assert!(
        sent.contains(r#""type":"tool_use""#) && sent.contains(r#""name":"look""#) && sent.contains(r#""id":"call_1""#),
        "{sent}"
    );
    assert!(sent.contains(r#""stop_reason":"tool_use""#), "{sent}");
    let arguments: String = sent
        .lines()
        .filter_map(|line| {
            serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok()?["delta"]["partial_json"]
                .as_str()
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(arguments, r#"{"a":1}"#);
    // And back again.
    let run = drive(
        settings(Dialect::OpenaiChat, AfterCommit::Fail),
        Dialect::AnthropicMessages,
        sent.as_bytes(),
        End::Clean,
        Other::Nobody,
    );
    let sent = String::from_utf8(run.sent).unwrap();
    assert!(
        sent.contains(r#""name":"look""#)
            && sent.contains(r#""finish_reason":"tool_calls""#)
            && sent.ends_with("data: [DONE]\n\n"),
        "{sent}"
    );
}

#[test]
fn a_call_of_a_tool_is_not_continued() {
    let stream = chat(r#"{"tool_calls":[{"index":0,"id":"c","function":{"name":"look","arguments":"{"}}]}"#, "null");
    let mut settings = settings(Dialect::OpenaiChat, AfterCommit::Continue);
    settings.stream.buffer_tokens = 1;
    let run = drive(settings, Dialect::OpenaiChat, stream.as_bytes(), End::Broken, Other::Answers(Dialect::OpenaiChat));
    assert!(read(Dialect::OpenaiChat, &run.sent).error && !run.done.unwrap().complete);
}

proptest::proptest! {
    #[test]
    fn garbage_neither_panics_nor_lies(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400), at in 0_usize..2000, broken in proptest::prelude::any::<bool>()) {
        let mut stream = openai(WORDS).into_bytes();
        let at = at.min(stream.len());
        stream.splice(at..at, bytes);
        let end = if broken { End::Broken } else { End::Clean };
        let run = drive(settings(Dialect::OpenaiChat, AfterCommit::Fail), Dialect::OpenaiChat, &stream, end, Other::Nobody);
        let read = read(Dialect::OpenaiChat, &run.sent);
        proptest::prop_assert!(run.sent.is_empty() || read.ended != read.error);
    }
}

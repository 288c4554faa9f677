//! Streams that are nearly right.

use super::super::super::sse::EVENT_BYTES_MAX;
use super::*;

pub(super) fn fresh(settings: Settings, from: Dialect) -> Answering {
    let mut answering = Answering::new(settings);
    answering.handle_upstream(from, Begun::Fresh, now());
    answering
}

/// What was sent so far, and how it ended.
pub(super) fn drain(answering: &mut Answering) -> (Vec<u8>, Option<Summary>) {
    let (mut sent, mut done) = (Vec::new(), None);
    while let Some(effect) = answering.poll_effect() {
        match effect {
            Effect::Send(bytes) => sent.extend(bytes),
            Effect::Done(summary) => done = Some(*summary),
            Effect::Commit | Effect::Failed(_) | Effect::Rescue(..) => {}
        }
    }
    (sent, done)
}

fn role(choice: u32) -> String {
    format!("data: {{\"choices\":[{{\"index\":{choice},\"delta\":{{\"role\":\"assistant\",\"content\":\"\"}}}}]}}\n\n")
}

fn of_choice(choice: u32, rest: &str) -> String {
    format!("data: {{\"choices\":[{{\"index\":{choice},{rest}}}]}}\n\n")
}

#[test]
fn an_answer_of_several_choices_is_whole_when_each_of_them_is() {
    let said = r#""delta":{"content":"x"}"#;
    let stop = r#""delta":{},"finish_reason":"stop""#;
    let opened = role(0) + &role(1) + &of_choice(0, said) + &of_choice(0, stop);
    let whole = opened.clone() + &of_choice(1, said) + &of_choice(1, stop);
    for (stream, complete) in [(&opened, false), (&whole, true)] {
        let settings = settings(Dialect::OpenaiChat, AfterCommit::Fail);
        let mut answering = fresh(settings, Dialect::OpenaiChat);
        answering.handle_bytes(stream.as_bytes(), now());
        answering.handle_end(End::Clean, now());
        let is_complete = matches!(drain(&mut answering).1, Some(Summary { complete: true, .. }));
        assert_eq!(is_complete, complete, "{stream}");
    }
}

#[test]
fn an_answer_is_not_whole_before_each_choice_that_was_asked_for_is() {
    let settings = || Settings { choices: 2, ..super::settings(Dialect::OpenaiChat, AfterCommit::Fail) };
    let one = role(0)
        + &of_choice(0, r#""delta":{"content":"a "},"finish_reason":null"#)
        + &of_choice(0, r#""delta":{},"finish_reason":"stop""#);
    let run = |bytes: &str| drive(settings(), Dialect::OpenaiChat, bytes.as_bytes(), End::Clean, Other::Nobody);
    assert!(!run(&one).done.is_some_and(|done| done.complete), "the second one never came");
    let begun = format!("{one}{}{}", role(1), of_choice(1, r#""delta":{"content":"b "},"finish_reason":null"#));
    assert!(!run(&begun).done.is_some_and(|done| done.complete), "the second one broke off");
    let both = begun + &of_choice(1, r#""delta":{},"finish_reason":"stop""#);
    assert!(run(&both).done.unwrap().complete);
    // A server that knows no `n` says itself that this is all.
    assert!(run(&format!("{one}data: [DONE]\n\n")).done.unwrap().complete);

    // Nor does it end by itself while the second one is waited for.
    let mut answering = fresh(settings(), Dialect::OpenaiChat);
    answering.handle_bytes(one.as_bytes(), now());
    let later = now() + END_GRACE;
    answering.handle_timeout(later);
    assert!(!answering.is_over());
    answering.handle_bytes(role(1).as_bytes(), later);
    answering.handle_timeout(now() + Stream::default().gap);
    let (_, done) = drain(&mut answering);
    assert!(done.is_some_and(|done| !done.complete && done.fault == Some(Fault::Stall)));
}

/// vLLM ends what it gives up with a word, and then as if all were well.
#[test]
fn a_finish_that_says_that_it_broke_is_a_cut() {
    for word in ["abort", "error", "insufficient_system_resource"] {
        let stream = openai(WORDS).replace("\"stop\"", &format!("\"{word}\""));
        // Before anything is shown, and after.
        let run = drive(
            settings(Dialect::OpenaiChat, AfterCommit::Fail),
            Dialect::OpenaiChat,
            stream.as_bytes(),
            End::Clean,
            Other::Nobody,
        );
        assert_eq!((run.failed, run.sent.len()), (vec![Fault::Cut], 0), "{word}");
        let mut answering = fresh(settings(Dialect::OpenaiChat, AfterCommit::Fail), Dialect::OpenaiChat);
        let (shown, rest) = stream.as_bytes().split_at(stream.len() / 2);
        answering.handle_bytes(shown, now());
        answering.handle_bytes(rest, now());
        let (sent, done) = drain(&mut answering);
        assert!(done.is_some_and(|done| !done.complete && done.fault == Some(Fault::Cut)), "{word}");
        let told = read(Dialect::OpenaiChat, &sent);
        assert!(told.error && !told.ended && told.finish.is_none(), "{word}: {told:?}");
        let other = Other::Answers(Dialect::OpenaiChat);
        let run = drive(
            settings(Dialect::OpenaiChat, AfterCommit::Continue),
            Dialect::OpenaiChat,
            stream.as_bytes(),
            End::Clean,
            other,
        );
        check(Dialect::OpenaiChat, &run, word);
    }
}

#[test]
fn one_that_takes_over_and_says_nothing_saves_nothing() {
    for from in [Dialect::OpenaiChat, Dialect::AnthropicMessages] {
        let mut answering = fresh(settings(from, AfterCommit::Restart), from);
        let begun = stream_of(from, "one two three four");
        answering.handle_bytes(&begun.as_bytes()[..begun.len() * 2 / 3], now());
        answering.handle_end(End::Broken, now());
        for _ in 0..=RESCUES_MAX {
            answering.handle_upstream(from, Begun::Fresh, now());
            let stream = match from {
                Dialect::OpenaiChat | Dialect::OpenaiCompletions => chat("{}", "\"stop\"") + "data: [DONE]\n\n",
                Dialect::AnthropicMessages => {
                    let whole = anthropic("x");
                    let events = whole.split_inclusive("\n\n").filter(|event| !event.contains("text_delta"));
                    events.collect()
                }
            };
            answering.handle_bytes(stream.as_bytes(), now());
        }
        let (sent, done) = drain(&mut answering);
        let read = read(from, &sent);
        assert!(read.error && !read.ended && read.restarts == 0 && read.finish.is_none(), "{from:?}: {read:?}");
        assert!(!done.unwrap().complete);
    }
}

#[test]
fn a_refusal_takes_the_place_of_what_came_before() {
    let mut answering = fresh(settings(Dialect::OpenaiChat, AfterCommit::Restart), Dialect::OpenaiChat);
    answering.handle_bytes(chat(r#"{"content":"a"}"#, "null").repeat(3).as_bytes(), now());
    answering.handle_end(End::Broken, now());
    answering.handle_upstream(Dialect::OpenaiChat, Begun::Fresh, now());
    answering.handle_bytes((chat("{}", "\"content_filter\"") + "data: [DONE]\n\n").as_bytes(), now());
    let read = read(Dialect::OpenaiChat, &drain(&mut answering).0);
    assert!(read.ended && read.text.is_empty() && read.restarts == 1, "{read:?}");
    assert_eq!(read.finish.as_deref(), Some("content_filter"));
}

#[test]
fn an_error_after_the_model_has_stopped_takes_nothing_from_its_answer() {
    let error = "data: {\"error\":{\"message\":\"no usage today\"}}\n\n";
    let stream = openai(WORDS).replace("data: [DONE]", &format!("{error}data: [DONE]"));
    let settings = settings(Dialect::OpenaiChat, AfterCommit::Fail);
    let run = drive(settings, Dialect::OpenaiChat, stream.as_bytes(), End::Broken, Other::Nobody);
    check(Dialect::OpenaiChat, &run, "an error at the end");
    assert!(run.done.unwrap().complete);
}

#[test]
fn events_without_names_get_them() {
    let stream = anthropic(WORDS);
    let without: String = stream.split_inclusive('\n').filter(|line| !line.starts_with("event:")).collect();
    let settings = settings(Dialect::AnthropicMessages, AfterCommit::Fail);
    let run = drive(settings, Dialect::AnthropicMessages, without.as_bytes(), End::Clean, Other::Nobody);
    assert_eq!(String::from_utf8(run.sent).unwrap(), stream);
}

#[test]
fn what_is_sent_does_not_depend_on_how_it_came() {
    for (from, to) in [
        (Dialect::OpenaiChat, Dialect::OpenaiChat),
        (Dialect::OpenaiChat, Dialect::AnthropicMessages),
        (Dialect::AnthropicMessages, Dialect::OpenaiChat),
    ] {
        let stream = stream_of(from, "ä €\u{1f600} two three").replace('\n', "\r\n");
        let sent = |parts: &[&[u8]]| {
            let mut answering = fresh(settings(to, AfterCommit::Continue), from);
            for part in parts {
                answering.handle_bytes(part, now());
            }
            answering.handle_end(End::Clean, now());
            let (sent, done) = drain(&mut answering);
            assert!(done.unwrap().complete);
            sent
        };
        let bytes = stream.as_bytes();
        let whole = sent(&[bytes]);
        assert!(read(to, &whole).text.starts_with("ä €\u{1f600}"));
        for at in 0..=bytes.len() {
            assert_eq!(sent(&[&bytes[..at], &bytes[at..]]), whole, "{from:?} to {to:?}, cut at {at}");
        }
        let each: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(sent(&each), whole);
    }
}

#[test]
fn usage_and_time_are_told_whatever_the_dialects() {
    let asked = Settings { include_usage: true, ..settings(Dialect::OpenaiChat, AfterCommit::Fail) };
    let mut answering = fresh(asked, Dialect::AnthropicMessages);
    let stream = anthropic(WORDS);
    let first = stream.find("one").unwrap();
    answering.handle_bytes(&stream.as_bytes()[..first], now());
    let later = now() + Duration::from_secs(3);
    answering.handle_bytes(&stream.as_bytes()[first..], later);
    let (sent, done) = drain(&mut answering);
    let sent = String::from_utf8(sent).unwrap();
    assert!(sent.contains(r#""usage":{"completion_tokens":8,"prompt_tokens":7,"total_tokens":15}"#), "{sent}");
    let done = done.unwrap();
    assert_eq!((done.first_token, done.tokens, done.finish), (Some(later), 8, Some(Finish::Stop)));
    assert_eq!((done.usage, done.model.as_deref()), (Usage { input: Some(7), output: Some(8) }, Some("claude")));
}

#[test]
fn a_stream_of_nothing_is_not_held_for_ever() {
    let event = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
    let start = anthropic("x");
    let start = &start[..start.find("event: ping").unwrap()];
    for (dialect, start, nothing) in
        [(Dialect::AnthropicMessages, start, event.to_owned()), (Dialect::OpenaiChat, "", role(0))]
    {
        let bounded = Settings { hold_bytes: 10_000, ..settings(dialect, AfterCommit::Continue) };
        let mut answering = fresh(bounded, dialect);
        answering.handle_bytes(start.as_bytes(), now());
        for _ in 0..1000 {
            answering.handle_bytes(nothing.as_bytes(), now());
            assert!(answering.held_bytes() < 11_000);
        }
        assert_eq!(answering.poll_effect(), Some(Effect::Failed(Fault::TooLong)), "{dialect:?}");
    }
}

#[test]
fn white_space_that_was_not_given_on_does_not_come_twice() {
    for (from, rest) in [(Dialect::OpenaiChat, "three"), (Dialect::AnthropicMessages, " three")] {
        let mut answering = fresh(settings(from, AfterCommit::Continue), from);
        let begun = stream_of(from, "one two ");
        let until = begun.find("two").unwrap();
        let until = until + begun[until..].find("\n\n").unwrap() + 2;
        answering.handle_bytes(&begun.as_bytes()[..until], now());
        answering.handle_end(End::Broken, now());
        answering.handle_upstream(from, Begun::Continued, now());
        answering.handle_bytes(stream_of(from, rest).as_bytes(), now());
        let sent = drain(&mut answering).0;
        assert_eq!(read(from, &sent).text, "one two three", "{from:?}");
    }
}

proptest::proptest! {
    #[test]
    fn whatever_comes_memory_is_bounded(
        parts in proptest::collection::vec(proptest::prop_oneof![
            proptest::strategy::Just(b"data: ".to_vec()),
            proptest::strategy::Just(b"\n\n".to_vec()),
            proptest::strategy::Just(b"event: ".to_vec()),
            proptest::strategy::Just(chat(r#"{"content":"a"}"#, "null").into_bytes()),
            proptest::strategy::Just(role(1).into_bytes()),
            proptest::collection::vec(proptest::prelude::any::<u8>(), 0..100),
        ], 1..20),
        policy in 0_usize..4,
    ) {
        let bounded = Settings { hold_bytes: 10_000, ..settings(Dialect::OpenaiChat, POLICIES[policy]) };
        let mut answering = fresh(bounded, Dialect::OpenaiChat);
        // Enough rounds for whatever grows to show it.
        let round = parts.concat();
        for _ in 0..(200_000 / round.len().max(1)).min(2000) {
            answering.handle_bytes(&round, now());
            while answering.poll_effect().is_some() {}
            proptest::prop_assert!(answering.held_bytes() <= 10_000 + CONTINUED_BYTES_MAX + EVENT_BYTES_MAX + round.len());
        }
    }
}

/// A thousand long streams would hold all that was said in them.
#[test]
fn what_was_said_is_kept_only_for_whoever_is_to_go_on_from_it() {
    let event = of_choice(0, r#""delta":{"content":"word "}"#);
    for policy in [AfterCommit::Continue, AfterCommit::Restart, AfterCommit::Fail] {
        let mut answering = fresh(settings(Dialect::OpenaiChat, policy), Dialect::OpenaiChat);
        let shown: usize = (0..1000)
            .map(|_| {
                answering.handle_bytes(event.as_bytes(), now());
                drain(&mut answering).0.len()
            })
            .sum();
        assert_eq!(shown, event.len() * 1000, "{policy:?}");
        let kept = if policy == AfterCommit::Continue { "word ".len() * 1000 } else { 0 };
        assert_eq!(answering.held_bytes(), kept, "{policy:?}");
    }
}

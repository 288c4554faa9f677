//! Answers that a provider's filter cuts, on routes that have others asked then.

use super::edges::{drain, fresh};
use super::*;

fn asks_others(to: Dialect, policy: AfterCommit) -> Settings {
    Settings { others_on_filter: true, ..settings(to, policy) }
}

/// The first three words and a filter's end, as events.
fn cut(dialect: Dialect) -> Vec<String> {
    let whole = stream_of(dialect, WORDS);
    let mut events: Vec<String> = whole.split_inclusive("\n\n").map(ToOwned::to_owned).collect();
    let is_word = |event: &String| WORDS.split(' ').any(|word| event.contains(&format!("\"{word}")));
    let fourth = events.iter().enumerate().filter(|(_, event)| is_word(event)).nth(3).expect("a fourth word").0;
    let end = events.iter().position(|event| event.contains("\"stop\"") || event.contains("content_block_stop"));
    events.drain(fourth..end.expect("an end"));
    events.iter().map(|event| event.replace("\"stop\"", "\"content_filter\"").replace("end_turn", "refusal")).collect()
}

/// What comes of it where each event comes alone, so that the caller sees the first words before the cut.
fn run(settings: Settings, from: Dialect, other: Other) -> Run {
    let mut answering = Answering::new(settings);
    let mut run = Run { sent: Vec::new(), failed: Vec::new(), done: None };
    answering.handle_upstream(from, Begun::Fresh, now());
    for event in cut(from) {
        answering.handle_bytes(event.as_bytes(), now());
    }
    answering.handle_end(End::Clean, now());
    while let Some(effect) = answering.poll_effect() {
        match effect {
            Effect::Commit => {}
            Effect::Send(bytes) => run.sent.extend(bytes),
            Effect::Failed(fault) => {
                run.failed.push(fault);
                take_over(&mut answering, None, other);
            }
            Effect::Rescue(rescue, fault) => {
                run.failed.push(fault);
                take_over(&mut answering, Some(&rescue), other);
            }
            Effect::Done(summary) => run.done = Some(*summary),
        }
    }
    run
}

#[test]
fn who_takes_over_is_for_the_policy_to_say() {
    for (from, to) in [
        (Dialect::OpenaiChat, Dialect::OpenaiChat),
        (Dialect::OpenaiChat, Dialect::AnthropicMessages),
        (Dialect::AnthropicMessages, Dialect::AnthropicMessages),
        (Dialect::AnthropicMessages, Dialect::OpenaiChat),
    ] {
        let filtered = if to == Dialect::AnthropicMessages { "refusal" } else { "content_filter" };
        for policy in POLICIES {
            let what = format!("{from:?} to {to:?}, {policy:?}");
            let taken = run(asks_others(to, policy), from, Other::Answers(to));
            let got = read(to, &taken.sent);
            assert!(got.ended && !got.error && !got.after_the_end, "{what}: {got:?}");
            assert!(taken.done.unwrap().complete, "{what}");
            if policy == AfterCommit::Fail {
                assert_eq!((got.text.as_str(), got.finish.as_deref()), ("one two three ", Some(filtered)), "{what}");
                assert!(taken.failed.is_empty(), "{what}");
            } else {
                assert_eq!(
                    (got.text.as_str(), got.restarts),
                    (WORDS, u32::from(policy == AfterCommit::Restart)),
                    "{what}"
                );
                assert_ne!(got.finish.as_deref(), Some(filtered), "{what}");
                assert_eq!(taken.failed, [Fault::Filtered], "{what}");
            }
        }
    }
}

#[test]
fn where_nobody_takes_over_the_answer_ends_as_its_provider_ended_it() {
    for to in [Dialect::OpenaiChat, Dialect::AnthropicMessages] {
        for policy in [AfterCommit::Continue, AfterCommit::Restart] {
            let alone = run(asks_others(to, policy), to, Other::Nobody);
            let got = read(to, &alone.sent);
            let filtered = if to == Dialect::AnthropicMessages { "refusal" } else { "content_filter" };
            assert_eq!((got.text.as_str(), got.finish.as_deref()), ("one two three ", Some(filtered)), "{policy:?}");
            assert!(got.ended && !got.error && got.restarts == 0, "{got:?}");
            let done = alone.done.unwrap();
            assert_eq!((done.complete, done.finish), (true, Some(Finish::Content)));
        }
    }
}

#[test]
fn elsewhere_a_filters_end_is_an_end() {
    for policy in POLICIES {
        let plain = run(settings(Dialect::OpenaiChat, policy), Dialect::OpenaiChat, Other::Nobody);
        let got = read(Dialect::OpenaiChat, &plain.sent);
        assert_eq!(
            (got.finish.as_deref(), got.ended, plain.failed.len()),
            (Some("content_filter"), true, 0),
            "{policy:?}"
        );
    }
}

#[test]
fn one_of_several_choices_is_not_the_answer() {
    let mut answering = fresh(asks_others(Dialect::OpenaiChat, AfterCommit::Restart), Dialect::OpenaiChat);
    let second = chat(r#"{"content":"b"}"#, "null").replace("\"index\":0", "\"index\":1");
    answering.handle_bytes((chat(r#"{"content":"a"}"#, "null") + &second).as_bytes(), now());
    answering.handle_bytes(chat("{}", "\"content_filter\"").as_bytes(), now());
    let end = chat("{}", "\"stop\"").replace("\"index\":0", "\"index\":1");
    answering.handle_bytes((end + "data: [DONE]\n\n").as_bytes(), now());
    assert!(drain(&mut answering).1.unwrap().complete);
}

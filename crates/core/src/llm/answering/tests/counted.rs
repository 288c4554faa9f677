//! Tokens that the caller of an answer in parts is told.

use super::*;

/// The first words of a stream.
fn cut_after(from: Dialect, word: &str) -> Vec<u8> {
    let stream = stream_of(from, WORDS);
    let at = stream.find(&Value::from(word).to_string()).expect("it is said");
    let end = stream[at..].find("\n\n").expect("an event ends") + at + 2;
    stream.into_bytes()[..end].to_vec()
}

/// What the caller reads: of the request, and of the answer.
fn told(to: Dialect, sent: &[u8]) -> (Option<u64>, Option<u64>) {
    let text = String::from_utf8(sent.to_vec()).expect("text");
    let mut told = (None, None);
    for value in text.lines().filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok()) {
        let usage = if value["usage"].is_object() { &value["usage"] } else { &value["message"]["usage"] };
        let names = match to {
            Dialect::AnthropicMessages => ["input_tokens", "output_tokens"],
            Dialect::OpenaiChat | Dialect::OpenaiCompletions => ["prompt_tokens", "completion_tokens"],
        };
        let [input, output] = names.map(|name| usage[name].as_u64());
        told = (input.or(told.0), output.or(told.1));
    }
    told
}

fn asked(to: Dialect, policy: AfterCommit) -> Settings {
    Settings { include_usage: true, ..settings(to, policy) }
}

#[test]
fn a_caller_is_told_the_tokens_of_its_own_request_and_of_all_parts_of_its_answer() {
    let (openai, anthropic) = (Dialect::OpenaiChat, Dialect::AnthropicMessages);
    for (to, first, second) in [openai, anthropic]
        .into_iter()
        .flat_map(|to| [openai, anthropic].map(|first| (to, first)))
        .flat_map(|(to, first)| [openai, anthropic].map(|second| (to, first, second)))
    {
        let run = |other| {
            let cut = cut_after(first, "three ");
            let run = drive(asked(to, AfterCommit::Continue), first, &cut, End::Broken, other);
            check(to, &run, "continued");
            (told(to, &run.sent), run.done.expect("it is over").usage)
        };
        // Three words came of the first; each of the fixtures counts 7 and 8. Anthropic's says what the request has at its head; of OpenAI's
        // nothing is known, but that the second one's request had the three besides.
        let input = if first == anthropic { 7 } else { 7 - 3 };
        let own = Usage { input: Some(7), output: Some(8) };
        assert_eq!(run(Other::Answers(second)), ((Some(input), Some(3 + 8)), own), "{first:?}, {second:?} to {to:?}");
        // Who repeats what the caller has counts all of it.
        assert_eq!(run(Other::Echoes(second)), ((Some(input), Some(8)), own), "{first:?}, {second:?} to {to:?}");
    }
}

#[test]
fn what_begins_again_counts_for_itself() {
    for to in [Dialect::OpenaiChat, Dialect::AnthropicMessages] {
        let cut = cut_after(Dialect::OpenaiChat, "three ");
        let other = Other::Answers(Dialect::OpenaiChat);
        let run = drive(asked(to, AfterCommit::Restart), Dialect::OpenaiChat, &cut, End::Broken, other);
        assert_eq!(told(to, &run.sent), (Some(7), Some(8)), "{to:?}");
    }
}

#[test]
fn several_that_break_off_are_added_up() {
    let mut answering = Answering::new(asked(Dialect::OpenaiChat, AfterCommit::Continue));
    let mut parts = WORDS.split_inclusive(' ');
    let mut sent = Vec::new();
    for (begun, words) in [(Begun::Fresh, 2), (Begun::Continued, 3), (Begun::Continued, 1)] {
        answering.handle_upstream(Dialect::OpenaiChat, begun, now());
        for word in parts.by_ref().take(words) {
            answering.handle_bytes(chat(&format!("{{\"content\":{}}}", Value::from(word)), "null").as_bytes(), now());
        }
        answering.handle_end(End::Broken, now());
    }
    answering.handle_upstream(Dialect::OpenaiChat, Begun::Continued, now());
    answering.handle_bytes(openai(&parts.collect::<String>()).as_bytes(), now());
    while let Some(effect) = answering.poll_effect() {
        if let Effect::Send(bytes) = effect {
            sent.extend(bytes);
        }
    }
    assert_eq!(read(Dialect::OpenaiChat, &sent).text, WORDS);
    assert_eq!(told(Dialect::OpenaiChat, &sent), (Some(7 - 6), Some(6 + 8)));
}

#[test]
fn events_of_much_text_are_several_tokens() {
    let mut answering = Answering::new(asked(Dialect::OpenaiChat, AfterCommit::Continue));
    answering.handle_upstream(Dialect::OpenaiChat, Begun::Fresh, now());
    for _ in 0..2 {
        answering.handle_bytes(chat(&format!("{{\"content\":\"{}\"}}", "word".repeat(25)), "null").as_bytes(), now());
    }
    answering.handle_end(End::Broken, now());
    answering.handle_upstream(Dialect::OpenaiChat, Begun::Continued, now());
    answering.handle_bytes(openai("end").as_bytes(), now());
    let sent: Vec<u8> = std::iter::from_fn(|| answering.poll_effect())
        .filter_map(|effect| if let Effect::Send(bytes) = effect { Some(bytes) } else { None })
        .flatten()
        .collect();
    assert_eq!(told(Dialect::OpenaiChat, &sent), (Some(0), Some(50 + 8)), "more than the second one's request had");
}

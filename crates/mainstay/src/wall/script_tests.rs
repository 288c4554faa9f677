use std::time::Duration;

use super::*;
use crate::wall::streams::waits;

fn asked(name: &str, dialect: Dialect, stream: bool) -> Asked {
    Asked {
        dialect,
        name: name.to_owned(),
        stream,
        include_usage: true,
        prefill: None,
        prompt_tokens: 7,
        attempt: 1,
        since_first: Duration::ZERO,
        key: "key".to_owned(),
    }
}

fn played(name: &str, asked: &Asked) -> Script {
    script(&Model::parse(name).unwrap(), asked)
}

fn sent(script: &Script) -> String {
    let bytes = |step: &Step| match step {
        Step::Send(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Step::Stamp(..) | Step::Wait(_) => String::new(),
    };
    script.steps.iter().map(bytes).collect()
}

/// The text that a stream of either dialect says.
fn said(script: &Script) -> String {
    let text = sent(script);
    let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let parsed = events.filter_map(|data| serde_json::from_str::<serde_json::Value>(data).ok());
    parsed
        .map(|event| {
            let openai = event["choices"][0]["delta"]["content"].as_str();
            openai.or(event["delta"]["text"].as_str()).unwrap_or_default().to_owned()
        })
        .collect()
}

#[test]
fn scenarios_fail_as_they_say_and_recover_where_they_say() {
    for dialect in [Dialect::Openai, Dialect::Anthropic] {
        for (name, first, second) in [
            ("s01", 429, 200),
            ("s02", 429, 429),
            ("s03", 500, 200),
            ("s04", 503, 503),
            ("s05", 0, 200),
            ("s06", 0, 0),
            ("s12", 400, 400),
            ("s13", 400, 400),
            ("s15", 503, 503),
            ("s16", 503, 503),
        ] {
            let mut asked = asked(name, dialect, true);
            assert_eq!(played(name, &asked).status(), first, "{name}");
            asked.attempt = 2;
            assert_eq!(played(name, &asked).status(), second, "{name}");
        }
        let mut later = asked("s15", dialect, true);
        later.since_first = Duration::from_mins(1);
        assert_eq!(played("s15", &later).status(), 200);
    }
    let hint = played("s01", &asked("s01", Dialect::Openai, true)).head.unwrap().headers;
    assert!(hint.contains(&("retry-after", "2".to_owned())));
}

#[test]
fn streams_break_where_they_say() {
    for dialect in [Dialect::Openai, Dialect::Anthropic] {
        let said_of = |name: &str| said(&played(name, &asked(name, dialect, true)));
        let words = |text: &str| text.split_whitespace().count();
        assert_eq!((words(&said_of("s08")), words(&said_of("s14")), words(&said_of("s09"))), (40, 40, 20));
        for whole in ["s07", "s10", "s11", "fallback", "bom", "crlf", "comments"] {
            assert_eq!(said_of(whole), answer::ANSWER, "{whole}");
        }
        let script_of = |name: &str| played(name, &asked(name, dialect, true));
        assert_eq!(
            (script_of("s08").end, script_of("s09").end, script_of("s11").end),
            (End::Cut, End::Cut, End::Whole)
        );
        assert_eq!(waits(&script_of("s07")), [FIRST_TOKEN]);
        assert_eq!(waits(&script_of("s09")), [STALL]);
        let mark = String::from_utf8(dialect.mark()).unwrap();
        assert!(sent(&script_of("s10")).ends_with(&mark) && !sent(&script_of("s11")).contains(&mark));
        assert!(sent(&script_of("s11")).contains("usage"));
    }
}

#[test]
fn a_fallback_goes_on_from_what_was_said_or_refuses_to() {
    for dialect in [Dialect::Openai, Dialect::Anthropic] {
        for at in [10, 100, answer::ANSWER.len()] {
            let mut asked = asked("fallback", dialect, true);
            asked.prefill = Some(answer::ANSWER[..at].to_owned());
            assert_eq!(said(&played("fallback", &asked)), answer::ANSWER[at..]);
            assert_eq!(played("fallback-noprefill", &asked).status(), 400);
        }
    }
}

#[test]
fn knobs_choose_keys_and_speed() {
    let mut one = asked("keyed,good=a", Dialect::Openai, false);
    assert_eq!(played("keyed,good=a", &one).status(), 429);
    one.key = "a".to_owned();
    assert_eq!(played("keyed,good=a", &one).status(), 200);
    let slow = played("slow,rate=20,tokens=100,stamp", &asked("slow", Dialect::Openai, true));
    assert_eq!(waits(&slow), [Duration::from_millis(50); 100]);
    assert_eq!(slow.steps.iter().filter(|step| matches!(step, Step::Stamp(..))).count(), 100);
}

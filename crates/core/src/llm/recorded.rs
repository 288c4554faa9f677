//! Answers as providers gave them, recorded: what is read of them is what stands in them, and less of them is no answer.

use serde::Deserialize;
use serde_json::Value;

use super::answering::{Answering, Begun, Effect, End, Settings, Summary};
use super::delta::{Reader, Said};
use super::sse::Parser;
use super::whole::{Call, Choice, Whole, glance, judge};
use super::{Dialect, Finish, Usage};
use crate::plan::Stream;
use crate::time::Time;

const RECORDINGS: [&str; 13] = [
    include_str!("fixtures/recorded/anthropic.json"),
    include_str!("fixtures/recorded/azure.json"),
    include_str!("fixtures/recorded/cerebras.json"),
    include_str!("fixtures/recorded/deepseek.json"),
    include_str!("fixtures/recorded/gemini.json"),
    include_str!("fixtures/recorded/groq.json"),
    include_str!("fixtures/recorded/heroku.json"),
    include_str!("fixtures/recorded/huggingface.json"),
    include_str!("fixtures/recorded/mistral.json"),
    include_str!("fixtures/recorded/openai.json"),
    include_str!("fixtures/recorded/openrouter.json"),
    include_str!("fixtures/recorded/together.json"),
    include_str!("fixtures/recorded/vllm.json"),
];

const DIALECTS: [Dialect; 2] = [Dialect::OpenaiChat, Dialect::AnthropicMessages];

const NOW: Time = Time::from_secs(1000);

/// An answer, with what another program read in it.
#[derive(Deserialize)]
struct Recording {
    recorded: String,
    dialect: String,
    #[serde(default)]
    stream: Option<String>,
    #[serde(default)]
    body: Option<String>,
    says: Says,
}

#[derive(Deserialize)]
struct Says {
    id: String,
    model: String,
    input: Option<u64>,
    output: Option<u64>,
    choices: Vec<SaysChoice>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SaysChoice {
    text: String,
    reasoning: String,
    refusal: String,
    /// Id, name and arguments.
    tools: Vec<[String; 3]>,
    finish: String,
}

impl Recording {
    fn all() -> Vec<Recording> {
        RECORDINGS.iter().flat_map(|file| serde_json::from_str::<Vec<Recording>>(file).unwrap()).collect()
    }

    fn dialect(&self) -> Dialect {
        match self.dialect.as_str() {
            "openai_chat" => Dialect::OpenaiChat,
            "openai_completions" => Dialect::OpenaiCompletions,
            "anthropic_messages" => Dialect::AnthropicMessages,
            other => panic!("{}: {other}", self.recorded),
        }
    }

    fn usage(&self) -> Usage {
        Usage { input: self.says.input, output: self.says.output }
    }

    /// The answer that was recorded. Arguments are compared as JSON: blanks in them may go on the way.
    fn whole(&self) -> Whole {
        let choice = |says: &SaysChoice| Choice {
            reasoning: says.reasoning.clone(),
            text: says.text.clone(),
            refusal: says.refusal.clone(),
            tools: (0..).zip(says.tools.iter().map(call)).collect(),
            finish: Some(Finish::parse(&says.finish)),
        };
        let choices = (0..).zip(self.says.choices.iter().map(choice)).collect();
        Whole { id: Some(self.says.id.clone()), model: Some(self.says.model.clone()), choices, usage: self.usage() }
    }

    fn each(kind: fn(&Recording) -> Option<&String>, mut test: impl FnMut(&Recording, &str)) {
        let all = Recording::all();
        let with: Vec<_> = all.iter().filter_map(|recording| Some((recording, kind(recording)?))).collect();
        assert!(with.len() > 20, "{}", with.len());
        for (recording, bytes) in with {
            test(recording, bytes);
        }
    }
}

fn call([id, name, arguments]: &[String; 3]) -> Call {
    Call { id: id.clone(), name: name.clone(), arguments: compact(arguments) }
}

fn compact(arguments: &str) -> String {
    let text = if arguments.is_empty() { "{}" } else { arguments };
    serde_json::from_str(text).map_or_else(|_| text.to_owned(), |value: Value| value.to_string())
}

fn compacted(mut whole: Whole) -> Whole {
    for call in whole.choices.values_mut().flat_map(|choice| choice.tools.values_mut()) {
        call.arguments = compact(&call.arguments);
    }
    whole
}

/// What the other dialect has no field for: what was thought, in a body, and a refusal as such.
fn crossed(mut choices: Vec<Choice>, keeps_reasoning: bool) -> Vec<Choice> {
    for choice in &mut choices {
        let refusal = std::mem::take(&mut choice.refusal);
        choice.text.push_str(&refusal);
        if !keeps_reasoning {
            choice.reasoning.clear();
        }
    }
    choices
}

fn choices(whole: &Whole) -> Vec<Choice> {
    compacted(whole.clone()).choices.into_values().collect()
}

fn gathered(dialect: Dialect, stream: &[u8], from: &str) -> Whole {
    let (mut parser, mut reader, mut whole) = (Parser::default(), Reader::new(dialect), Whole::default());
    let mut take = |mut event| match reader.read(&mut event) {
        Said::Part(part) => whole.take(part, 1 << 20).unwrap(),
        Said::End | Said::Nothing => {}
        other => panic!("{from}: {other:?} of {}", String::from_utf8_lossy(&event.data)),
    };
    parser.push(stream, &mut take).unwrap();
    compacted(whole)
}

/// One that has come in these pieces and ended so.
fn answering(from: Dialect, to: Dialect, pieces: &[&[u8]], end: End) -> Answering {
    let settings = Settings { include_usage: true, whole_max: 1 << 20, ..Settings::new(to, Stream::default()) };
    let mut answering = Answering::new(settings);
    answering.handle_upstream(from, Begun::Fresh, NOW);
    for piece in pieces {
        answering.handle_bytes(piece, NOW);
    }
    answering.handle_end(end, NOW);
    answering
}

/// What a caller in this dialect is sent, and how it ended.
fn answered(from: Dialect, to: Dialect, pieces: &[&[u8]], end: End) -> (Vec<u8>, Option<Summary>) {
    let mut answering = answering(from, to, pieces, end);
    let mut sent = Vec::new();
    while let Some(effect) = answering.poll_effect() {
        match effect {
            Effect::Commit => {}
            Effect::Send(bytes) => sent.extend(bytes),
            Effect::Done(summary) => return (sent, Some(*summary)),
            Effect::Failed(_) | Effect::Rescue(..) => return (sent, None),
        }
    }
    (sent, None)
}

#[test]
fn streams_are_read_and_passed_on_as_they_were_recorded() {
    Recording::each(
        |recording| recording.stream.as_ref(),
        |recording, stream| {
            let (dialect, from, bytes) = (recording.dialect(), &recording.recorded, stream.as_bytes());
            let whole = gathered(dialect, bytes, from);
            assert_eq!(whole, recording.whole(), "{from}");
            assert_eq!(whole.judge(), Ok(()), "{from}");
            let (answering, mut kept) = (answering(dialect, dialect, &[bytes], End::Clean), Whole::default());
            kept.take(answering.whole().unwrap().clone(), 1 << 20).unwrap();
            assert_eq!(compacted(kept), whole, "{from}: as it is kept");
            for size in [1, 7, 1000, bytes.len()] {
                let pieces: Vec<_> = bytes.chunks(size).collect();
                let (sent, summary) = answered(dialect, dialect, &pieces, End::Clean);
                let summary = summary.unwrap_or_else(|| panic!("{from}: in pieces of {size}"));
                assert!(summary.complete && summary.malformed == 0 && summary.fault.is_none(), "{from}: {summary:?}");
                assert_eq!(summary.usage, recording.usage(), "{from}");
                assert_eq!(summary.model.as_ref(), Some(&recording.says.model), "{from}");
                assert_eq!(gathered(dialect, &sent, from), whole, "{from}: in pieces of {size}");
            }
        },
    );
}

#[test]
fn streams_cross_to_the_other_dialect() {
    Recording::each(
        |recording| recording.stream.as_ref(),
        |recording, stream| {
            let (dialect, from) = (recording.dialect(), &recording.recorded);
            let whole = recording.whole();
            for to in DIALECTS.into_iter().filter(|to| *to != dialect && whole.choices.len() == 1) {
                let (sent, summary) = answered(dialect, to, &[stream.as_bytes()], End::Clean);
                assert!(summary.is_some_and(|summary| summary.complete), "{from}: {to:?}");
                let again = gathered(to, &sent, from);
                assert_eq!(crossed(choices(&again), true), crossed(choices(&whole), true), "{from}: {to:?}");
                let none = Usage { input: Some(0), output: Some(0) };
                assert_eq!(again.usage.or(none), whole.usage.or(none), "{from}: {to:?}");
            }
        },
    );
}

/// Where the model stopped: the first and the last place that says why.
fn stops(stream: &str) -> (usize, usize) {
    let marks = ["finish_reason", "stop_reason"].map(|name| [format!("\"{name}\":\""), format!("\"{name}\": \"")]);
    let marks = marks.as_flattened();
    let first = marks.iter().filter_map(|mark| stream.find(mark)).min().unwrap();
    (first, marks.iter().filter_map(|mark| stream.rfind(mark)).max().unwrap())
}

#[test]
fn a_stream_that_breaks_off_is_no_answer_until_the_model_has_stopped() {
    Recording::each(
        |recording| recording.stream.as_ref(),
        |recording, stream| {
            let (dialect, from, bytes) = (recording.dialect(), &recording.recorded, stream.as_bytes());
            let (first, last) = stops(stream);
            for at in (0..50).map(|part| first * part / 50).chain([first]) {
                for end in [End::Clean, End::Broken] {
                    let (sent, summary) = answered(dialect, dialect, &[&bytes[..at]], end);
                    assert!(summary.is_none_or(|summary| !summary.complete), "{from}: cut at {at}, {end:?}");
                    let sent = String::from_utf8(sent).unwrap();
                    let is_told = sent.contains("\"code\":\"stream_cut\"") || sent.contains("event: error");
                    assert!(sent.is_empty() || is_told, "{from}: cut at {at}, {end:?}: {sent}");
                }
            }
            let over = last + stream[last..].find("\n\n").unwrap() + 2;
            let (sent, summary) = answered(dialect, dialect, &[&bytes[..over]], End::Broken);
            assert!(summary.is_some_and(|summary| summary.complete), "{from}: cut after its end");
            assert_eq!(choices(&gathered(dialect, &sent, from)), choices(&recording.whole()), "{from}");
        },
    );
}

#[test]
fn whole_answers_are_read_as_they_were_recorded() {
    Recording::each(
        |recording| recording.body.as_ref(),
        |recording, body| {
            let (dialect, from) = (recording.dialect(), &recording.recorded);
            let whole = compacted(Whole::read(dialect, body.as_bytes()).unwrap());
            assert_eq!(whole, recording.whole(), "{from}");
            assert_eq!(whole.judge(), Ok(()), "{from}");
            let seen = judge(dialect, body.as_bytes()).unwrap_or_else(|fault| panic!("{from}: {fault:?}"));
            assert_eq!(seen, glance(body.as_bytes()), "{from}");
            assert_eq!(seen.usage, recording.usage(), "{from}");
            assert_eq!(seen.finish, choices(&whole)[0].finish, "{from}");
            for to in DIALECTS.into_iter().filter(|_| whole.choices.len() == 1) {
                let keeps = to == Dialect::OpenaiChat;
                let again = Whole::read(to, &whole.write(to, "r", 0)).unwrap();
                assert_eq!(crossed(choices(&again), keeps), crossed(choices(&whole), keeps), "{from}: {to:?}");
                assert_eq!(again.usage, whole.usage, "{from}: {to:?}");
            }
            let body = body.trim_ascii_end().as_bytes();
            for at in (0..body.len()).step_by(1 + body.len() / 200).chain([body.len() - 1]) {
                assert!(judge(dialect, &body[..at]).is_err(), "{from}: cut at {at}");
            }
        },
    );
}

/// Nothing of `/responses` is translated; what they count is seen.
#[test]
fn tokens_of_recorded_responses_are_counted() {
    let recordings: Vec<Value> = serde_json::from_str(include_str!("fixtures/recorded/responses.json")).unwrap();
    let bodies: Vec<&str> = recordings.iter().filter_map(|recording| recording["body"].as_str()).collect();
    let counted: Vec<_> = bodies.iter().map(|body| glance(body.as_bytes()).usage).collect();
    let known = |input, output| Usage { input: Some(input), output: Some(output) };
    assert_eq!(counted, [known(10, 1), known(40, 11)]);
}

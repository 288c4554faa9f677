//! OpenAI's chat completions and completions: facts, and text answers whole or streamed.

use bytes::Bytes;
use http::StatusCode;
use mainstay_core::llm::Dialect;
use mainstay_core::llm::answering::{Answering, Effect, Settings};
use mainstay_core::plan::{AfterCommit, Stream};
use mainstay_core::time::Time;
use memchr::memmem::Finder;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::{AnswerContext, BadRequest, Facts, Names, Rendered, owned_string};
use crate::json;

pub(super) fn facts(body: &[u8]) -> Result<Facts, BadRequest> {
    static NAMES: Names = Names::new(|| vec![Finder::new("\"model\""), Finder::new("\"stream\"")]);
    if !NAMES.may_be_in(body) {
        return Ok(Facts::default());
    }
    let [model, stream, options, n, prompt] = json::fields(body, ["model", "stream", "stream_options", "n", "prompt"])?;
    let [include_usage] = match options {
        Some(options) => json::fields(options.get().as_bytes(), ["include_usage"])?,
        None => [None],
    };
    Ok(Facts {
        model: owned_string(model),
        stream: stream.and_then(json::boolean).unwrap_or(false),
        include_usage: include_usage.and_then(json::boolean).unwrap_or(false),
        choices: choices(n, prompt),
        ..Facts::default()
    })
}

/// So many for each prompt: completions take a list of them.
fn choices(n: Option<&RawValue>, prompt: Option<&RawValue>) -> u32 {
    let n = n.and_then(|n| n.get().parse::<u32>().ok());
    let prompts = prompt.and_then(|prompt| serde_json::from_str::<Vec<&RawValue>>(prompt.get()).ok());
    // A list of numbers is one prompt.
    let prompts = prompts.filter(|list| list.first().is_some_and(|first| first.get().starts_with(['"', '['])));
    match (n, prompts) {
        (None, None) => 0,
        (n, prompts) => {
            let prompts = prompts.map_or(1, |list| u32::try_from(list.len()).unwrap_or(u32::MAX));
            n.unwrap_or(1).saturating_mul(prompts)
        }
    }
}

pub(super) fn is_chat(path: &str) -> bool {
    path.ends_with("/chat/completions")
}

pub(super) fn with_model(body: &Bytes, model: &str) -> Result<Bytes, BadRequest> {
    let [old] = json::fields(body, ["model"])?;
    let name = serde_json::to_string(model).expect("a string is always JSON");
    match old {
        Some(old) if old.get() == name => Ok(body.clone()),
        Some(old) => Ok(json::splice(body, json::span(body, old), &[name.as_bytes()])),
        None => {
            let front = json::front(body).filter(|(at, _)| body[at - 1] == b'{');
            let (at, is_empty) = front.ok_or(BadRequest::Missing("JSON object"))?;
            let comma: &[u8] = if is_empty { b"" } else { b"," };
            Ok(json::splice(body, at..at, &[b"\"model\":", name.as_bytes(), comma]))
        }
    }
}

pub(super) fn with_usage(body: &Bytes) -> Result<Bytes, BadRequest> {
    const ASKED: &[u8] = b"\"stream_options\":{\"include_usage\":true}";
    let [options] = json::fields(body, ["stream_options"])?;
    let Some(options) = options else {
        let front = json::front(body).filter(|(at, is_empty)| body[at - 1] == b'{' && !is_empty);
        let (at, _) = front.ok_or(BadRequest::Missing("JSON object"))?;
        return Ok(json::splice(body, at..at, &[ASKED, b","]));
    };
    let mut told: serde_json::Map<String, serde_json::Value> = serde_json::from_str(options.get()).unwrap_or_default();
    told.insert("include_usage".into(), true.into());
    let told = serde_json::Value::Object(told).to_string();
    Ok(json::splice(body, json::span(body, options), &[told.as_bytes()]))
}

pub(super) fn is_completions(path: &str) -> bool {
    path.ends_with("/completions") && !is_chat(path)
}

/// A text as the answer to `/completions`: the same for each choice that is asked for.
pub(super) fn completion(text: &str, context: &AnswerContext<'_>) -> Rendered {
    let facts = facts(context.request_body).unwrap_or_default();
    if facts.stream {
        let body = streamed(Dialect::OpenaiCompletions, facts.include_usage, text, context);
        return Rendered { status: StatusCode::OK, content_type: "text/event-stream", body: body.into() };
    }
    let choices = (0..facts.choices.clamp(1, CHOICES_MAX))
        .map(|index| json!({"index": index, "text": text, "logprobs": null, "finish_reason": "stop"}));
    let body = json!({
        "id": format!("cmpl-{}", context.request_id), "object": "text_completion", "created": context.created,
        "model": context.model, "choices": choices.collect::<Vec<_>>(), "usage": Usage::default(),
    });
    Rendered::json(StatusCode::OK, body.to_string())
}

/// Most choices of an answer of our own.
const CHOICES_MAX: u32 = 128;

/// A text of our own as a stream that comes at once.
pub(super) fn streamed(dialect: Dialect, include_usage: bool, text: &str, context: &AnswerContext<'_>) -> Vec<u8> {
    let stream = Stream { after_commit: AfterCommit::Atomic, ..Stream::default() };
    let settings = Settings {
        request_id: context.request_id.to_owned(),
        created: context.created,
        hold_bytes: usize::MAX,
        include_usage,
        ..Settings::new(dialect, stream)
    };
    let mut answering = Answering::new(settings);
    answering.handle_text(text, context.model, Time::ZERO);
    let sent = std::iter::from_fn(|| answering.poll_effect());
    sent.filter_map(|effect| if let Effect::Send(bytes) = effect { Some(bytes) } else { None }).flatten().collect()
}

pub(super) fn render(text: &str, context: &AnswerContext<'_>) -> Rendered {
    // A local answer is given to whatever the request is: one that cannot be read gets a whole answer.
    let facts = facts(context.request_body).unwrap_or_default();
    if facts.stream {
        let body = stream(text, facts.include_usage, context);
        return Rendered { status: StatusCode::OK, content_type: "text/event-stream", body: body.into() };
    }
    let message = Message { role: Some("assistant"), content: Some(text), refusal: Some(()) };
    let completion = Completion {
        choices: &[Choice { index: 0, message: Some(message), delta: None, logprobs: (), finish_reason: Some("stop") }],
        usage: Some(Usage::default()),
        ..Completion::new("chat.completion", context)
    };
    Rendered::json(StatusCode::OK, to_json(&completion))
}

/// The role, the text, the end, the usage where it is asked for, and the mark that ends every stream.
fn stream(text: &str, include_usage: bool, context: &AnswerContext<'_>) -> Vec<u8> {
    let role = Message { role: Some("assistant"), content: Some(""), refusal: None };
    let content = Message { role: None, content: Some(text), refusal: None };
    let end = Message { role: None, content: None, refusal: None };
    let mut body = Vec::with_capacity(1024 + text.len());
    let mut event = |choices: &[Choice<'_>], usage| {
        let chunk = Completion { choices, usage, ..Completion::new("chat.completion.chunk", context) };
        body.extend_from_slice(b"data: ");
        body.extend_from_slice(&to_json(&chunk));
        body.extend_from_slice(b"\n\n");
    };
    for (delta, finish_reason) in [(role, None), (content, None), (end, Some("stop"))] {
        event(&[Choice { index: 0, message: None, delta: Some(delta), logprobs: (), finish_reason }], None);
    }
    if include_usage {
        event(&[], Some(Usage::default()));
    }
    body.extend_from_slice(b"data: [DONE]\n\n");
    body
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("strings and numbers are always JSON")
}

#[derive(Serialize)]
struct Completion<'a> {
    id: String,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: &'a [Choice<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

impl<'a> Completion<'a> {
    fn new(object: &'static str, context: &AnswerContext<'a>) -> Completion<'a> {
        let id = format!("chatcmpl-{}", context.request_id);
        Completion { id, object, created: context.created, model: context.model, choices: &[], usage: None }
    }
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<Message<'a>>,
    logprobs: (),
    finish_reason: Option<&'static str>,
}

/// `refusal: Some(())` writes the `null` that a whole message has.
#[derive(Serialize)]
struct Message<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<()>,
}

/// No model ran, no token was used.
#[derive(Serialize, Default)]
#[expect(clippy::struct_field_names, reason = "the names are the wire's")]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
}

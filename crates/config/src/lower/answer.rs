//! Local answers: written as the route's protocol calls for.

use mainstay_core::answer::template::place;
use mainstay_core::plan::{Answer, Template};
use mainstay_core::route::Protocol;
use serde_json::Value;

use crate::code::Code;
use crate::finding::Finding;
use crate::raw::route as raw;
use crate::read::Reader;
use crate::span::At;

const SHAPES: [&str; 3] = ["outputs", "text", "body"];

/// The protocol whose answers are written so.
pub(super) fn protocol_of(raw: &raw::Answer) -> Option<Protocol> {
    match SHAPES.iter().find(|shape| raw.given.contains(*shape)) {
        Some(&"outputs") => Some(Protocol::OpenInference),
        Some(&"text") => Some(Protocol::Openai),
        Some(&"body") => Some(Protocol::Http),
        Some(_) | None => None,
    }
}

/// The key under which answers of a protocol are written.
const fn shape_of(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::OpenInference | Protocol::OpenInferenceGrpc => "outputs",
        Protocol::Openai | Protocol::Anthropic => "text",
        Protocol::Http => "body",
    }
}

/// An answer without places.
pub(super) fn answer(at: &At<raw::Answer>, protocol: Option<Protocol>, reader: &mut Reader<'_>) -> Option<Answer> {
    shaped(at, protocol, is_value, reader)
}

/// An answer with places; `known` are those that have a value, where that is known before the file is read.
pub(super) fn template(
    at: &At<raw::Answer>,
    protocol: Option<Protocol>,
    known: Option<&[&str]>,
    reader: &mut Reader<'_>,
) -> Option<Template> {
    let template = Template::new(shaped(at, protocol, |value| place(value).is_some() || is_value(value), reader)?);
    let unknown = template.columns().iter().find(|name| known.is_some_and(|known| !known.contains(&name.as_str())));
    if let (Some(name), Some(known)) = (unknown, known) {
        let message = format!("there is nothing called `{name}` to put here");
        let help = crate::suggest::did_you_mean(name, known);
        reader.report(Finding::new(Code::NoPlace, at.span, message).help_maybe(help));
    }
    Some(template)
}

fn shaped(
    at: &At<raw::Answer>,
    protocol: Option<Protocol>,
    fits: fn(&Value) -> bool,
    reader: &mut Reader<'_>,
) -> Option<Answer> {
    let raw = &at.value;
    let written: Vec<&str> = SHAPES.into_iter().filter(|shape| raw.given.contains(shape)).collect();
    if written.len() != 1 {
        let finding =
            Finding::new(Code::ExactlyOne, at.span, "an answer is exactly one of `outputs`, `text` and `body`");
        reader.report(finding.help("`outputs` for open-inference, `text` for chat, `body` for http"));
        return None;
    }
    if let Some(protocol) = protocol.filter(|protocol| shape_of(*protocol) != written[0]) {
        let message = format!("answers on this route are written as `{}`, not `{}`", shape_of(protocol), written[0]);
        let finding = Finding::new(Code::AnswerShape, at.span, message);
        let help = match protocol {
            Protocol::Http => "plain HTTP is answered with JSON, and so is a language model's path that gives no text, such as embeddings".to_owned(),
            protocol => format!("its protocol is {}", protocol.name()),
        };
        reader.report(finding.help(help));
        return None;
    }
    let text = raw.text.as_ref().map(|text| Answer::Text(text.value.clone()));
    let body = raw.body.as_ref().map(|body| Answer::Body(body.value.clone()));
    text.or(body).or_else(|| Some(outputs(raw.outputs.as_ref()?, fits, reader)))
}

fn outputs(raw: &At<Vec<At<Value>>>, fits: fn(&Value) -> bool, reader: &mut Reader<'_>) -> Answer {
    if raw.value.is_empty() {
        super::empty(raw.span, "`outputs`", reader);
    }
    for output in raw.value.iter().filter(|output| !is_output(&output.value, fits)) {
        let finding = Finding::new(Code::AnswerShape, output.span, "this is not an output")
            .help("write `{ name: NAME, value: VALUE }`, or a tensor: `{ name, shape, datatype, data }`");
        reader.report(finding);
    }
    Answer::Outputs(raw.value.iter().map(|output| output.value.clone()).collect())
}

fn is_output(output: &Value, fits: fn(&Value) -> bool) -> bool {
    let Some(output) = output.as_object() else { return false };
    let named = output.get("name").is_some_and(|name| name.as_str().is_some_and(|name| !name.is_empty()));
    let simple = output.get("value").is_some_and(fits);
    let tensor = output.get("shape").is_some_and(Value::is_array)
        && output.get("datatype").is_some_and(Value::is_string)
        && output.get("data").is_some_and(Value::is_array);
    named && simple != tensor
}

fn is_value(value: &Value) -> bool {
    let scalar = |value: &Value| value.is_number() || value.is_string() || value.is_boolean();
    scalar(value) || value.as_array().is_some_and(|items| !items.is_empty() && items.iter().all(scalar))
}

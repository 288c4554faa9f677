//! The attributes of OpenTelemetry's conventions for generative AI: all names in one table, since they still change.

use mainstay_core::event::RequestFinished;

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Attribute {
    Text(String),
    Whole(i64),
    Number(f64),
    Flag(bool),
    Texts(Vec<String>),
}

const OPERATION: &str = "gen_ai.operation.name";
const PROVIDER: &str = "gen_ai.provider.name";
const REQUEST_MODEL: &str = "gen_ai.request.model";
const RESPONSE_MODEL: &str = "gen_ai.response.model";
const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
const FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
const STREAM: &str = "gen_ai.request.stream";
const FIRST_CHUNK: &str = "gen_ai.response.time_to_first_chunk";

/// What a request of a language model says of itself; nothing for others.
pub(crate) fn attributes(request: &RequestFinished) -> Vec<(&'static str, Attribute)> {
    let is_language = request.operation.is_some()
        || request.input_tokens.is_some()
        || request.output_tokens.is_some()
        || request.finish_reason.is_some()
        || (request.stream && request.first_token.is_some());
    if !is_language {
        return Vec::new();
    }
    let text = |value: &str| Attribute::Text(value.to_owned());
    let count = |tokens: u64| Attribute::Whole(i64::try_from(tokens).unwrap_or(i64::MAX));
    let operation = request.operation.as_deref().unwrap_or("chat");
    // What no model answered is an answer of our own.
    let mut all =
        vec![(OPERATION, text(operation)), (PROVIDER, text(request.provider.as_deref().unwrap_or("mainstay")))];
    if let Some(model) = &request.model {
        all.extend([(REQUEST_MODEL, text(model)), (RESPONSE_MODEL, text(model))]);
    }
    all.extend(request.input_tokens.map(|tokens| (INPUT_TOKENS, count(tokens))));
    all.extend(request.output_tokens.map(|tokens| (OUTPUT_TOKENS, count(tokens))));
    all.extend(request.finish_reason.iter().map(|reason| (FINISH_REASONS, Attribute::Texts(vec![reason.clone()]))));
    all.extend(request.stream.then_some((STREAM, Attribute::Flag(true))));
    all.extend(request.first_token.map(|after| (FIRST_CHUNK, Attribute::Number(after.as_secs_f64()))));
    all
}

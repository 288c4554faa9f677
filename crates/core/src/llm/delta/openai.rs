//! Chunks of OpenAI's chat completions and completions.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::Finish;
use super::{Part, Piece, Said, Tokens, Told, What, bit, loose, told};

/// Reads an event with this name.
pub(super) fn read(name: &str, data: &str) -> Said {
    match serde_json::from_str::<Openai>(data) {
        Ok(chunk) => chunk.said(name, data),
        Err(_) => match loose::tidied(data) {
            Some(tidy) => serde_json::from_str::<Openai>(&tidy).map_or(Said::Malformed, |chunk| chunk.said(name, data)),
            None => Said::Malformed,
        },
    }
}

#[derive(Deserialize)]
struct Openai<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<Tokens>,
    /// Groq's own field, with the tokens where nobody asked for them.
    #[serde(default)]
    x_groq: Option<Groq>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    object: Option<&'a str>,
}

impl Openai<'_> {
    fn said(self, name: &str, data: &str) -> Said {
        if let Some(error) = self.error.filter(|error| !matches!(error.get(), "null" | "false")) {
            return Said::Error(told(error));
        }
        // An older vLLM's error is the object itself.
        if name == "error" || self.object == Some("error") {
            let told = serde_json::from_str::<&RawValue>(data).map(told);
            return Said::Error(told.unwrap_or_else(|_| Told { message: data.to_owned(), ..Told::default() }));
        }
        let groq = self.x_groq.and_then(|groq| groq.usage).unwrap_or_default().known();
        let usage = self.usage.unwrap_or_default().known().or(groq);
        // Azure's first chunk, about its filter, has both, and nothing in them.
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        let mut part = Part { id: some(self.id), model: some(self.model), usage, ..Part::default() };
        for choice in self.choices.unwrap_or_default() {
            part.choices |= bit(choice.index);
            choice.read_into(&mut part.pieces);
        }
        part.is_opening = part.choices != 0 && part.pieces.is_empty();
        Said::Part(part)
    }
}

#[derive(Deserialize)]
struct Groq {
    #[serde(default)]
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u32,
    #[serde(default)]
    delta: Option<OpenaiDelta>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct OpenaiDelta {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    reasoning_content: Option<String>,
    /// The same under its other name; some servers write both.
    #[serde(default)]
    reasoning: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<Call>>,
    #[serde(default)]
    function_call: Option<Function>,
}

#[derive(Deserialize)]
struct Call {
    #[serde(default)]
    index: u32,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Option<Function>,
}

#[derive(Default, Deserialize)]
struct Function {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
}

impl Choice {
    fn read_into(self, pieces: &mut Vec<Piece>) {
        let choice = self.index;
        let mut piece = |what| pieces.push(Piece { choice, what });
        let delta = self.delta.unwrap_or_default();
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        if let Some(text) = some(delta.reasoning_content).or(some(delta.reasoning)) {
            piece(What::Reasoning(text));
        }
        if let Some(text) = some(delta.content).or(some(self.text)) {
            piece(What::Text(text));
        }
        if let Some(text) = some(delta.refusal) {
            piece(What::Refusal(text));
        }
        for call in delta.tool_calls.into_iter().flatten() {
            let Function { name, arguments } = call.function.unwrap_or_default();
            piece(What::Tool { index: call.index, id: call.id, name, arguments: arguments.unwrap_or_default() });
        }
        if let Some(Function { name, arguments }) = delta.function_call {
            piece(What::Tool { index: 0, id: None, name, arguments: arguments.unwrap_or_default() });
        }
        if let Some(word) = some(self.finish_reason) {
            piece(What::Finish(Finish::parse(&word)));
        }
    }
}

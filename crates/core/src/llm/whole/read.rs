//! Bodies of either dialect as a [`Whole`].

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::super::answering::Fault;
use super::super::delta::Tokens;
use super::super::delta::loose::joined;
use super::super::translate::told;
use super::super::{Dialect, Finish};
use super::{Call, Choice, PARTS_MAX, Whole};

impl Whole {
    /// Reads a body with a success's status. An error object is [`Fault::Told`]; what is no JSON object of the dialect is
    /// [`Fault::Malformed`]. Whether it says anything is for [`Whole::judge`].
    pub fn read(dialect: Dialect, body: &[u8]) -> Result<Whole, Fault> {
        let body: Value = serde_json::from_slice(body).map_err(|_| Fault::Malformed)?;
        let list = match dialect {
            Dialect::OpenaiChat | Dialect::OpenaiCompletions => &body["choices"],
            Dialect::AnthropicMessages => &body["content"],
        };
        let Some(list) = list.as_array() else {
            return Err(if body["error"].is_null() { Fault::Malformed } else { Fault::Told(told(&body)) });
        };
        let choices = match dialect {
            Dialect::OpenaiChat | Dialect::OpenaiCompletions => {
                list.iter().take(PARTS_MAX).enumerate().map(|(at, choice)| openai(at as u32, choice)).collect()
            }
            Dialect::AnthropicMessages => [(0, anthropic(list, &body))].into(),
        };
        let usage = Tokens::deserialize(&body["usage"]).map(|tokens| tokens.known()).unwrap_or_default();
        Ok(Whole { id: string(&body["id"]), model: string(&body["model"]), choices, usage })
    }
}

fn string(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(ToOwned::to_owned)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn openai(at: u32, choice: &Value) -> (u32, Choice) {
    let message = &choice["message"];
    let calls = message["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut tools: BTreeMap<u32, Call> = (0..).zip(calls.iter().take(PARTS_MAX).map(openai_call)).collect();
    // The call of a function as it was before there were tools.
    if message["function_call"].is_object() {
        tools.entry(0).or_insert_with(|| function(&message["function_call"]));
    }
    let index = choice["index"].as_u64().map_or(at, |index| index as u32);
    // Some servers write what the model thought under one name, some under the other, some under both.
    let reasoning = string(&message["reasoning_content"]).or_else(|| string(&message["reasoning"]));
    // Mistral writes a list of parts where the model thought.
    let reasoning = reasoning.unwrap_or_else(|| joined(&message["content"], "thinking"));
    let content = Some(joined(&message["content"], "text")).filter(|text| !text.is_empty());
    let content = content.or_else(|| string(&choice["text"]));
    let choice = Choice {
        reasoning,
        text: content.unwrap_or_default(),
        refusal: text(&message["refusal"]).to_owned(),
        tools,
        finish: string(&choice["finish_reason"]).map(|word| Finish::parse(&word)),
    };
    (index, choice)
}

fn openai_call(call: &Value) -> Call {
    Call { id: text(&call["id"]).to_owned(), ..function(&call["function"]) }
}

fn function(function: &Value) -> Call {
    Call {
        id: String::new(),
        name: text(&function["name"]).to_owned(),
        arguments: text(&function["arguments"]).to_owned(),
    }
}

fn anthropic(blocks: &[Value], body: &Value) -> Choice {
    let mut choice =
        Choice { finish: string(&body["stop_reason"]).map(|word| Finish::parse(&word)), ..Choice::default() };
    for block in blocks {
        match text(&block["type"]) {
            "text" => choice.text.push_str(text(&block["text"])),
            "thinking" => choice.reasoning.push_str(text(&block["thinking"])),
            "tool_use" if choice.tools.len() < PARTS_MAX => {
                let call = Call {
                    id: text(&block["id"]).to_owned(),
                    name: text(&block["name"]).to_owned(),
                    arguments: block["input"].to_string(),
                };
                choice.tools.insert(choice.tools.len() as u32, call);
            }
            _ => {}
        }
    }
    choice
}

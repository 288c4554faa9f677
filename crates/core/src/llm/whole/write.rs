//! A [`Whole`] as a body of either dialect.

use serde_json::{Map, Value, json};

use super::super::{Dialect, Finish, Usage};
use super::{Call, Choice, Whole};

impl Whole {
    /// The body in a dialect. `request_id` takes the place of an id that it does not have; `created` is in seconds since the
    /// Unix epoch. Where a dialect has room for one choice only, that is the first.
    pub fn write(&self, dialect: Dialect, request_id: &str, created: u64) -> Vec<u8> {
        let id = self.id.as_deref().unwrap_or(request_id);
        let model = self.model.as_deref().unwrap_or_default();
        let body = match dialect {
            Dialect::OpenaiChat => self.openai(id, model, created, "chat.completion", &chat),
            Dialect::OpenaiCompletions => self.openai(id, model, created, "text_completion", &completion),
            Dialect::AnthropicMessages => self.anthropic(id, model),
        };
        body.to_string().into_bytes()
    }

    fn openai(
        &self,
        id: &str,
        model: &str,
        created: u64,
        object: &str,
        write: &dyn Fn(u32, &Choice) -> Value,
    ) -> Value {
        let choices: Vec<Value> = self.choices.iter().map(|(index, choice)| write(*index, choice)).collect();
        let mut body = json!({"id": id, "object": object, "created": created, "model": model, "choices": choices});
        if self.usage.is_known() {
            let Usage { input, output } = self.usage;
            let (input, output) = (input.unwrap_or(0), output.unwrap_or(0));
            let total = input.saturating_add(output);
            body["usage"] = json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": total});
        }
        body
    }

    fn anthropic(&self, id: &str, model: &str) -> Value {
        let choice = self.choices.values().next();
        let finish = choice.and_then(|choice| choice.finish.as_ref()).map(Finish::anthropic);
        let Usage { input, output } = self.usage;
        json!({
            "id": id, "type": "message", "role": "assistant", "model": model,
            "content": choice.map(blocks).unwrap_or_default(),
            "stop_reason": finish, "stop_sequence": null,
            "usage": {"input_tokens": input.unwrap_or(0), "output_tokens": output.unwrap_or(0)},
        })
    }
}

fn chat(index: u32, choice: &Choice) -> Value {
    let text = |text: &String| if text.is_empty() { Value::Null } else { Value::from(text.as_str()) };
    let mut message = json!({"role": "assistant", "content": text(&choice.text), "refusal": text(&choice.refusal)});
    if !choice.reasoning.is_empty() {
        message["reasoning_content"] = text(&choice.reasoning);
    }
    if !choice.tools.is_empty() {
        let call = |call: &Call| json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}});
        message["tool_calls"] = choice.tools.values().map(call).collect();
    }
    let finish = choice.finish.as_ref().map(Finish::openai);
    json!({"index": index, "message": message, "logprobs": null, "finish_reason": finish})
}

fn completion(index: u32, choice: &Choice) -> Value {
    let finish = choice.finish.as_ref().map(Finish::openai);
    json!({"index": index, "text": choice.text, "logprobs": null, "finish_reason": finish})
}

/// Anthropic's blocks, in the order in which its own models write them.
fn blocks(choice: &Choice) -> Vec<Value> {
    let mut blocks = Vec::new();
    if !choice.reasoning.is_empty() {
        blocks.push(json!({"type": "thinking", "thinking": choice.reasoning, "signature": ""}));
    }
    for text in [&choice.text, &choice.refusal] {
        if !text.is_empty() {
            blocks.push(json!({"type": "text", "text": text}));
        }
    }
    for call in choice.tools.values() {
        blocks.push(json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input(&call.arguments)}));
    }
    blocks
}

/// A call's arguments as the object that Anthropic's dialect has for them. What a model wrote wrongly stays readable, under a name of ours.
fn input(arguments: &str) -> Value {
    if arguments.trim().is_empty() {
        return Value::Object(Map::new());
    }
    match serde_json::from_str(arguments) {
        Ok(Value::Object(input)) => Value::Object(input),
        Ok(_) | Err(_) => json!({"unparsed_arguments": arguments}),
    }
}

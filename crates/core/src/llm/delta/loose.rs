//! Chunks in OpenAI's dialect from servers that write some of it in another shape.

use serde_json::{Value, json};

/// The chunk with what its dialect has, in the types that it has for them; `None`: it is no JSON object.
///
/// Known are: `content` as a list of parts (Mistral), arguments as an object instead of a text, `null` where a number stands, a number as an id.
pub(super) fn tidied(data: &str) -> Option<String> {
    let chunk: Value = serde_json::from_str(data).ok().filter(Value::is_object)?;
    let choices: Vec<Value> = list(&chunk["choices"]).iter().zip(0..).map(choice).collect();
    let tidy = json!({
        "id": chunk["id"].as_str(), "model": chunk["model"].as_str(), "object": chunk["object"].as_str(),
        "error": chunk["error"], "choices": choices, "usage": Some(&chunk["usage"]).filter(|usage| usage.is_object()),
    });
    Some(tidy.to_string())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn choice((choice, at): (&Value, u64)) -> Value {
    let delta = &choice["delta"];
    let (text, thought) = (joined(&delta["content"], "text"), joined(&delta["content"], "thinking"));
    let thought = [joined(&delta["reasoning_content"], "text"), joined(&delta["reasoning"], "text"), thought];
    json!({
        "index": index(&choice["index"], at), "text": choice["text"].as_str(), "finish_reason": choice["finish_reason"].as_str(),
        "delta": {
            "content": text, "refusal": delta["refusal"].as_str(),
            "reasoning_content": thought.into_iter().find(|text| !text.is_empty()),
            "tool_calls": list(&delta["tool_calls"]).iter().zip(0..).map(call).collect::<Vec<_>>(),
        },
    })
}

fn call((call, at): (&Value, u64)) -> Value {
    let function = &call["function"];
    let arguments = match &function["arguments"] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let function = json!({"name": function["name"].as_str(), "arguments": arguments});
    json!({"index": index(&call["index"], at), "id": call["id"].as_str(), "function": function})
}

fn index(value: &Value, otherwise: u64) -> u32 {
    u32::try_from(value.as_u64().unwrap_or(otherwise)).unwrap_or(u32::MAX)
}

/// A text, or the texts under this name in a list of parts.
pub(in super::super) fn joined(value: &Value, name: &str) -> String {
    match value {
        Value::String(text) => {
            if name == "text" {
                text.clone()
            } else {
                String::new()
            }
        }
        Value::Array(parts) => parts
            .iter()
            .map(|part| match &part[name] {
                Value::String(text) => text.clone(),
                inner => joined(inner, "text"),
            })
            .collect(),
        _ => String::new(),
    }
}

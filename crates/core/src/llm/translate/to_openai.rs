//! Anthropic's messages as OpenAI's chat completions.

use serde_json::{Value, json};

use super::{Object, Untranslatable, carry, list, refuse, refused, text};

/// What changes the answer and has no counterpart.
const REFUSED: [&str; 4] = ["mcp_servers", "container", "output_format", "context_management"];

pub(super) fn request(body: &Object) -> Result<Object, Untranslatable> {
    refuse(body, &REFUSED)?;
    if body.get("output_config").is_some_and(|config| !config["format"].is_null()) {
        return refused("output_config/format");
    }
    let mut to = Object::new();
    for same in ["model", "stream", "temperature", "top_p"] {
        carry(body, same, &mut to, same);
    }
    // The newer of the two names: OpenAI's models that think refuse the other.
    carry(body, "max_tokens", &mut to, "max_completion_tokens");
    carry(body, "stop_sequences", &mut to, "stop");
    if let Some(user) = body.get("metadata").and_then(|metadata| metadata["user_id"].as_str()) {
        to.insert("user".into(), user.into());
    }
    tools(body, &mut to)?;
    let mut messages = Vec::new();
    let system = body.get("system").map(plain).transpose()?.unwrap_or_default();
    if !system.is_empty() {
        messages.push(json!({"role": "system", "content": system}));
    }
    for message in body.get("messages").map(list).unwrap_or_default() {
        match text(&message["role"]) {
            "user" => user(&message["content"], &mut messages)?,
            "assistant" => messages.push(assistant(&message["content"])?),
            other => return refused(format!("messages/{other}")),
        }
    }
    to.insert("messages".into(), messages.into());
    Ok(to)
}

fn tools(body: &Object, to: &mut Object) -> Result<(), Untranslatable> {
    let tools = body.get("tools").map(list).unwrap_or_default();
    if tools.is_empty() {
        return Ok(());
    }
    let tools: Vec<Value> = tools.iter().map(tool).collect::<Result<_, _>>()?;
    to.insert("tools".into(), tools.into());
    let Some(choice) = body.get("tool_choice").filter(|choice| !choice.is_null()) else { return Ok(()) };
    let translated = match text(&choice["type"]) {
        word @ ("auto" | "none") => json!(word),
        "any" => json!("required"),
        "tool" => json!({"type": "function", "function": {"name": choice["name"]}}),
        _ => return refused("tool_choice"),
    };
    to.insert("tool_choice".into(), translated);
    if choice["disable_parallel_tool_use"] == true {
        to.insert("parallel_tool_calls".into(), false.into());
    }
    Ok(())
}

/// A tool of the caller's; those that Anthropic runs itself have no counterpart.
fn tool(tool: &Value) -> Result<Value, Untranslatable> {
    let kind = tool.get("type").filter(|kind| !kind.is_null());
    if kind.is_some_and(|kind| kind != "custom") {
        return refused(format!("tools/{}", kind.map(text).unwrap_or_default()));
    }
    let mut function = json!({"name": tool["name"], "parameters": tool["input_schema"]});
    if tool["description"].is_string() {
        function["description"] = tool["description"].clone();
    }
    Ok(json!({"type": "function", "function": function}))
}

/// Text alone, of a string or of blocks.
fn plain(content: &Value) -> Result<String, Untranslatable> {
    if let Some(text) = content.as_str() {
        return Ok(text.to_owned());
    }
    let mut joined = Vec::new();
    for block in list(content) {
        if block["type"] != "text" {
            return refused(format!("messages/content/{}", text(&block["type"])));
        }
        joined.push(text(&block["text"]));
    }
    Ok(joined.join("\n\n"))
}

/// A user's turn: first a message for each result of a tool, then what the user says.
fn user(content: &Value, messages: &mut Vec<Value>) -> Result<(), Untranslatable> {
    if let Some(text) = content.as_str() {
        messages.push(json!({"role": "user", "content": text}));
        return Ok(());
    }
    let mut parts = Vec::new();
    for block in list(content) {
        match text(&block["type"]) {
            "text" => parts.push(json!({"type": "text", "text": block["text"]})),
            "image" => parts.push(image(&block["source"])?),
            "tool_result" => {
                let content = plain(&block["content"])?;
                messages.push(json!({"role": "tool", "tool_call_id": block["tool_use_id"], "content": content}));
            }
            other => return refused(format!("messages/content/{other}")),
        }
    }
    if !parts.is_empty() {
        messages.push(json!({"role": "user", "content": parts}));
    }
    Ok(())
}

fn image(source: &Value) -> Result<Value, Untranslatable> {
    let url = match text(&source["type"]) {
        "url" => text(&source["url"]).to_owned(),
        "base64" => format!("data:{};base64,{}", text(&source["media_type"]), text(&source["data"])),
        other => return refused(format!("messages/content/image/{other}")),
    };
    Ok(json!({"type": "image_url", "image_url": {"url": url}}))
}

/// An answer of the model; what it thought has no place in the other dialect.
fn assistant(content: &Value) -> Result<Value, Untranslatable> {
    if let Some(text) = content.as_str() {
        return Ok(json!({"role": "assistant", "content": text}));
    }
    let (mut said, mut calls) = (String::new(), Vec::new());
    for block in list(content) {
        match text(&block["type"]) {
            "text" => said.push_str(text(&block["text"])),
            "thinking" | "redacted_thinking" => {}
            "tool_use" => {
                let function = json!({"name": block["name"], "arguments": block["input"].to_string()});
                calls.push(json!({"id": block["id"], "type": "function", "function": function}));
            }
            other => return refused(format!("messages/content/{other}")),
        }
    }
    let mut message = json!({"role": "assistant", "content": null});
    if !said.is_empty() || calls.is_empty() {
        message["content"] = said.into();
    }
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    Ok(message)
}

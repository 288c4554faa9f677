//! OpenAI's chat completions as Anthropic's messages.

use serde_json::{Value, json};

use super::{Object, Untranslatable, carry, is_set, list, refuse, refused, text};

/// The bound of an answer where the caller has none: Anthropic's dialect demands one.
pub(super) const MAX_TOKENS: u64 = 4096;

/// What changes the answer and has no counterpart. The last ones are vLLM's, for answers of a given form.
const REFUSED: [&str; 13] = [
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "functions",
    "function_call",
    "audio",
    "web_search_options",
    "guided_json",
    "guided_regex",
    "guided_choice",
    "guided_grammar",
    "structured_outputs",
    "suffix",
];

pub(super) fn request(body: &Object) -> Result<Object, Untranslatable> {
    refuse(body, &REFUSED)?;
    refuse_forms(body)?;
    let mut to = Object::new();
    for same in ["model", "stream", "top_p"] {
        carry(body, same, &mut to, same);
    }
    to.insert("max_tokens".into(), MAX_TOKENS.into());
    carry(body, "max_tokens", &mut to, "max_tokens");
    carry(body, "max_completion_tokens", &mut to, "max_tokens");
    if let Some(temperature) = body.get("temperature").and_then(Value::as_f64) {
        // OpenAI's scale ends at 2, Anthropic's at 1.
        to.insert("temperature".into(), temperature.clamp(0.0, 1.0).into());
    }
    match body.get("stop") {
        Some(Value::String(stop)) => drop(to.insert("stop_sequences".into(), json!([stop]))),
        _ => carry(body, "stop", &mut to, "stop_sequences"),
    }
    if let Some(user) = body.get("user").and_then(Value::as_str) {
        to.insert("metadata".into(), json!({"user_id": user}));
    }
    tools(body, &mut to)?;
    messages(body, &mut to)?;
    Ok(to)
}

fn refuse_forms(body: &Object) -> Result<(), Untranslatable> {
    if body.get("n").and_then(Value::as_u64).is_some_and(|n| n > 1) {
        return refused("n");
    }
    let is_text = |format: &Value| format.is_null() || format["type"] == "text";
    if !body.get("response_format").is_none_or(is_text) {
        return refused("response_format");
    }
    let modalities = body.get("modalities").map(list).unwrap_or_default();
    if modalities.iter().any(|modality| modality != "text") { refused("modalities") } else { Ok(()) }
}

fn tools(body: &Object, to: &mut Object) -> Result<(), Untranslatable> {
    let tools = body.get("tools").map(list).unwrap_or_default();
    if tools.is_empty() {
        return Ok(());
    }
    let tools: Vec<Value> = tools.iter().map(tool).collect::<Result<_, _>>()?;
    to.insert("tools".into(), tools.into());
    let mut choice = match body.get("tool_choice") {
        None | Some(Value::Null) => Object::new(),
        Some(choice) => tool_choice(choice)?,
    };
    if body.get("parallel_tool_calls") == Some(&Value::Bool(false)) && choice.get("type") != Some(&json!("none")) {
        choice.entry("type").or_insert_with(|| "auto".into());
        choice.insert("disable_parallel_tool_use".into(), true.into());
    }
    if !choice.is_empty() {
        to.insert("tool_choice".into(), choice.into());
    }
    Ok(())
}

fn tool(tool: &Value) -> Result<Value, Untranslatable> {
    let function = &tool["function"];
    if tool["type"] != "function" || !function["name"].is_string() {
        return refused(format!("tools/{}", text(&tool["type"])));
    }
    let schema = Some(&function["parameters"]).filter(|schema| schema.is_object()).cloned();
    let schema = schema.unwrap_or_else(|| json!({"type": "object", "properties": {}}));
    let mut to = json!({"name": function["name"], "input_schema": schema});
    if function["description"].is_string() {
        to["description"] = function["description"].clone();
    }
    Ok(to)
}

fn tool_choice(choice: &Value) -> Result<Object, Untranslatable> {
    let word = |word: &str| Object::from_iter([("type".to_owned(), Value::from(word))]);
    match choice {
        Value::String(name) if name == "auto" || name == "none" => Ok(word(name)),
        Value::String(name) if name == "required" => Ok(word("any")),
        Value::Object(_) if choice["type"] == "function" => {
            let mut to = word("tool");
            to.insert("name".into(), choice["function"]["name"].clone());
            Ok(to)
        }
        _ => refused("tool_choice"),
    }
}

/// The messages; what the system and the developer say, wherever they say it, comes before all of them.
fn messages(body: &Object, to: &mut Object) -> Result<(), Untranslatable> {
    let mut turns = Turns::default();
    for message in body.get("messages").map(list).unwrap_or_default() {
        let content = &message["content"];
        match text(&message["role"]) {
            "system" | "developer" => turns.system.push(plain(content)?),
            "user" => turns.push("user", blocks(content)?),
            "assistant" => turns.push("assistant", assistant(message)?),
            "tool" => turns.push("user", vec![tool_result(message)?]),
            other => return refused(format!("messages/{other}")),
        }
    }
    // Anthropic's conversations begin with the user.
    if turns.list.first().is_none_or(|turn| turn["role"] != "user") {
        return refused("messages");
    }
    trim_last(&mut turns.list);
    turns.system.retain(|text| !text.is_empty());
    if !turns.system.is_empty() {
        to.insert("system".into(), turns.system.join("\n\n").into());
    }
    to.insert("messages".into(), turns.list.into());
    Ok(())
}

#[derive(Default)]
struct Turns {
    system: Vec<String>,
    list: Vec<Value>,
}

impl Turns {
    /// Adds what somebody says; the results of several calls have to be one turn, so turns of the same role are joined.
    fn push(&mut self, role: &str, mut blocks: Vec<Value>) {
        if blocks.is_empty() {
            return;
        }
        match self.list.last_mut().filter(|last| last["role"] == role) {
            Some(last) => {
                if let Some(content) = last["content"].as_array_mut() {
                    content.append(&mut blocks);
                }
            }
            None => self.list.push(json!({"role": role, "content": blocks})),
        }
    }
}

/// An answer that is begun for the model must not end in white space.
fn trim_last(turns: &mut [Value]) {
    let Some(turn) = turns.last_mut().filter(|turn| turn["role"] == "assistant") else { return };
    let Some(block) = turn["content"].as_array_mut().and_then(|blocks| blocks.last_mut()) else { return };
    if let Some(trimmed) = block["text"].as_str().map(|text| text.trim_end().to_owned()).filter(|text| !text.is_empty())
    {
        block["text"] = trimmed.into();
    }
}

/// Text alone, of a string or of parts.
fn plain(content: &Value) -> Result<String, Untranslatable> {
    if let Some(text) = content.as_str() {
        return Ok(text.to_owned());
    }
    let mut joined = String::new();
    for part in list(content) {
        if part["type"] != "text" {
            return refused(format!("messages/content/{}", text(&part["type"])));
        }
        joined.push_str(text(&part["text"]));
    }
    Ok(joined)
}

fn blocks(content: &Value) -> Result<Vec<Value>, Untranslatable> {
    if let Some(text) = content.as_str() {
        return Ok(text_block(text).into_iter().collect());
    }
    let mut blocks = Vec::new();
    for part in list(content) {
        match text(&part["type"]) {
            "text" => blocks.extend(text_block(text(&part["text"]))),
            "refusal" => blocks.extend(text_block(text(&part["refusal"]))),
            "image_url" => blocks.push(image(text(&part["image_url"]["url"]))?),
            other => return refused(format!("messages/content/{other}")),
        }
    }
    Ok(blocks)
}

/// Anthropic refuses blocks without text.
fn text_block(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| json!({"type": "text", "text": text}))
}

/// An image by its address, or within the request as base64.
fn image(url: &str) -> Result<Value, Untranslatable> {
    let source = match url.strip_prefix("data:") {
        Some(rest) => match rest.split_once(";base64,") {
            Some((media_type, data)) => json!({"type": "base64", "media_type": media_type, "data": data}),
            None => return refused("messages/content/image_url"),
        },
        None => json!({"type": "url", "url": url}),
    };
    Ok(json!({"type": "image", "source": source}))
}

fn assistant(message: &Value) -> Result<Vec<Value>, Untranslatable> {
    if is_set(message.get("function_call")) || is_set(message.get("audio")) {
        return refused("messages/function_call");
    }
    let mut blocks = blocks(&message["content"])?;
    blocks.extend(text_block(text(&message["refusal"])));
    for call in list(&message["tool_calls"]) {
        let function = &call["function"];
        let arguments = Some(text(&function["arguments"])).filter(|text| !text.trim().is_empty()).unwrap_or("{}");
        let Ok(input) = serde_json::from_str::<Object>(arguments) else {
            return refused("messages/tool_calls/arguments");
        };
        blocks.push(json!({"type": "tool_use", "id": id(&call["id"]), "name": function["name"], "input": input}));
    }
    Ok(blocks)
}

fn tool_result(message: &Value) -> Result<Value, Untranslatable> {
    let content = plain(&message["content"])?;
    Ok(json!({"type": "tool_result", "tool_use_id": id(&message["tool_call_id"]), "content": content}))
}

/// A call's id with the letters that Anthropic takes; some servers use others.
fn id(id: &Value) -> String {
    let keep = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
    text(id).chars().map(keep).collect()
}

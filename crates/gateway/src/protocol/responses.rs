//! OpenAI's responses: text answers of our own, whole or streamed.

use http::StatusCode;
use serde_json::{Value, json};

use super::{AnswerContext, Rendered, openai};

pub(super) fn is_responses(path: &str) -> bool {
    path.ends_with("/responses")
}

pub(super) fn render(text: &str, context: &AnswerContext<'_>) -> Rendered {
    // A local answer is given to whatever the request is: one that cannot be read gets a whole answer.
    if openai::facts(context.request_body).unwrap_or_default().stream {
        let body = stream(text, context);
        return Rendered { status: StatusCode::OK, content_type: "text/event-stream", body: body.into() };
    }
    Rendered::json(
        StatusCode::OK,
        response("completed", &[item("completed", Some(text), context)], context).to_string(),
    )
}

/// The response in this state. No model ran, no token was used, and nothing is kept.
fn response(status: &str, output: &[Value], context: &AnswerContext<'_>) -> Value {
    let usage = json!({
        "input_tokens": 0, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 0,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 0,
    });
    json!({
        "id": format!("resp_{}", context.request_id), "object": "response", "created_at": context.created,
        "status": status, "background": false, "error": null, "incomplete_details": null, "instructions": null,
        "max_output_tokens": null, "metadata": {}, "model": context.model, "output": output,
        "parallel_tool_calls": false, "previous_response_id": null, "reasoning": {"effort": null, "summary": null},
        "store": false, "temperature": null, "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [],
        "top_p": null, "truncation": "disabled", "usage": if status == "completed" { usage } else { Value::Null },
    })
}

fn item(status: &str, text: Option<&str>, context: &AnswerContext<'_>) -> Value {
    let content: Vec<Value> = text.map(part).into_iter().collect();
    json!({
        "id": format!("msg_{}", context.request_id), "type": "message", "status": status, "role": "assistant",
        "content": content,
    })
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

/// The events in the order in which the provider sends them, all at once.
fn stream(text: &str, context: &AnswerContext<'_>) -> Vec<u8> {
    let id = format!("msg_{}", context.request_id);
    let whole = item("completed", Some(text), context);
    let at = |more: Value| {
        let mut event = json!({"item_id": id, "output_index": 0, "content_index": 0});
        if let (Some(event), Value::Object(more)) = (event.as_object_mut(), more) {
            event.extend(more);
        }
        event
    };
    let events = [
        ("response.created", json!({"response": response("in_progress", &[], context)})),
        ("response.in_progress", json!({"response": response("in_progress", &[], context)})),
        ("response.output_item.added", json!({"output_index": 0, "item": item("in_progress", None, context)})),
        ("response.content_part.added", at(json!({"part": part("")}))),
        ("response.output_text.delta", at(json!({"delta": text, "logprobs": []}))),
        ("response.output_text.done", at(json!({"text": text, "logprobs": []}))),
        ("response.content_part.done", at(json!({"part": part(text)}))),
        ("response.output_item.done", json!({"output_index": 0, "item": &whole})),
        ("response.completed", json!({"response": response("completed", std::slice::from_ref(&whole), context)})),
    ];
    let mut body = Vec::with_capacity(8192);
    for (number, (name, mut event)) in events.into_iter().enumerate() {
        event["type"] = name.into();
        event["sequence_number"] = number.into();
        body.extend_from_slice(format!("event: {name}\ndata: {event}\n\n").as_bytes());
    }
    body
}

//! Anthropic's messages: text answers of our own, whole or streamed.

use http::StatusCode;
use mainstay_core::llm::Dialect;
use serde_json::json;

use super::{AnswerContext, Rendered, openai};

pub(super) fn is_messages(path: &str) -> bool {
    path.ends_with("/messages")
}

pub(super) fn render(text: &str, context: &AnswerContext<'_>) -> Rendered {
    // A local answer is given to whatever the request is: one that cannot be read gets a whole answer.
    if openai::facts(context.request_body).unwrap_or_default().stream {
        let body = openai::streamed(Dialect::AnthropicMessages, false, text, context);
        return Rendered { status: StatusCode::OK, content_type: "text/event-stream", body: body.into() };
    }
    let message = json!({
        "id": format!("msg_{}", context.request_id), "type": "message", "role": "assistant", "model": context.model,
        "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 0, "output_tokens": 0},
    });
    Rendered::json(StatusCode::OK, message.to_string())
}

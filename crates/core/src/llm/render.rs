//! What the caller of a streamed answer gets to read, in its own dialect.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::delta::{Part, Piece, Told, What};
use super::sse::Event;
use super::{Dialect, Finish, Usage};

/// Writes one answer for one caller.
///
/// An event of the caller's own dialect is passed on as it is ([`Renderer::pass`]); everything else is written anew ([`Renderer::write`]).
#[derive(Clone, Debug)]
pub struct Renderer {
    dialect: Dialect,
    /// Whether the caller asked for a chunk about usage (OpenAI).
    include_usage: bool,
    id: String,
    model: String,
    /// Seconds since the Unix epoch.
    created: u64,
    /// The caller knows who answers.
    opened: bool,
    /// Tokens of the request that it was told of then (Anthropic).
    told_input: Option<u64>,
    /// Anthropic's blocks.
    blocks: Blocks,
    /// The caller knows why the answer ended.
    finished: bool,
    /// Why it ended, kept for the end where usage is told with it (Anthropic).
    finish: Option<Finish>,
    ended: bool,
}

#[derive(Clone, Debug, Default)]
struct Blocks {
    /// The next block's index.
    next: u32,
    /// The open block's index and what it holds.
    open: Option<(u32, Holds)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Holds {
    Text,
    Reasoning,
    Tool(u32),
}

impl Renderer {
    /// For an answer with this id where its backend tells none.
    pub fn new(dialect: Dialect, include_usage: bool, id: &str, created: u64) -> Renderer {
        Renderer {
            dialect,
            include_usage,
            id: id.to_owned(),
            model: String::new(),
            created,
            opened: false,
            told_input: None,
            blocks: Blocks::default(),
            finished: false,
            finish: None,
            ended: false,
        }
    }

    /// The dialect that it writes.
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Remembers what every chunk says of the answer.
    fn note(&mut self, part: &Part) {
        if let Some(model) = part.model.as_ref().filter(|model| !model.is_empty()) {
            self.model.clone_from(model);
        }
        if !self.opened
            && let Some(id) = part.id.as_ref().filter(|id| !id.is_empty())
        {
            self.id.clone_from(id);
        }
    }

    /// Passes an event of the caller's own dialect on as it is. `part` is what it says.
    pub fn pass(&mut self, event: &Event, part: &Part, out: &mut Vec<u8>) {
        self.note(part);
        let tells_usage_only = part.pieces.is_empty() && !part.is_opening && part.usage.is_known();
        if self.dialect != Dialect::AnthropicMessages && tells_usage_only && !self.include_usage {
            return;
        }
        self.opened = true;
        self.told_input = self.told_input.or(part.usage.input);
        self.finished |= part.pieces.iter().any(|piece| !piece.what.is_token());
        self.keep_blocks(event, part);
        out.reserve(event.data.len() + event.name.len() + 24);
        if self.dialect == Dialect::AnthropicMessages && !event.name.is_empty() {
            out.extend_from_slice(b"event: ");
            out.extend_from_slice(event.name.as_bytes());
            out.push(b'\n');
        }
        for line in event.data.split(|byte| *byte == b'\n') {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(line);
            out.push(b'\n');
        }
        out.push(b'\n');
    }

    /// Passes on what says nothing about the answer, but that its provider is there.
    pub fn pass_nothing(&mut self, event: &Event, out: &mut Vec<u8>) {
        if self.dialect == Dialect::AnthropicMessages && self.opened {
            self.pass(event, &Part::default(), out);
        }
    }

    /// Knows which block is open where the provider's own events are passed on.
    fn keep_blocks(&mut self, event: &Event, part: &Part) {
        if self.dialect != Dialect::AnthropicMessages {
            return;
        }
        match event.name.as_str() {
            "content_block_start" => {
                let holds = part.pieces.first().map_or(Holds::Text, |piece| holds(&piece.what));
                self.blocks.open = Some((self.blocks.next, holds));
                self.blocks.next += 1;
            }
            "content_block_delta" => {
                if let (Some((_, open)), Some(piece)) = (&mut self.blocks.open, part.pieces.first()) {
                    *open = holds(&piece.what);
                }
            }
            "content_block_stop" => self.blocks.open = None,
            _ => {}
        }
    }

    /// Writes what a part says. Pieces of further choices are left out where the dialect has only one.
    pub fn write(&mut self, part: &Part, out: &mut Vec<u8>) {
        self.note(part);
        for piece in &part.pieces {
            match self.dialect {
                Dialect::OpenaiChat | Dialect::OpenaiCompletions => self.openai(piece, out),
                Dialect::AnthropicMessages => self.anthropic(piece, part.usage, out),
            }
        }
    }

    /// The answer is over: the mark that says so, once.
    pub fn end(&mut self, usage: Usage, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        match self.dialect {
            Dialect::OpenaiChat | Dialect::OpenaiCompletions => out.extend_from_slice(b"data: [DONE]\n\n"),
            Dialect::AnthropicMessages => {
                self.close(out);
                if !self.finished {
                    let why = self.finish.take().unwrap_or(Finish::Stop);
                    let news = usage.input.filter(|_| usage.input != self.told_input);
                    message_delta(&why, Usage { input: news, ..usage }, out);
                }
                event(out, "message_stop", &json!({"type": "message_stop"}));
            }
        }
    }

    /// The last chunk about usage, for a caller that asked for one, where no event of its own dialect told it.
    pub fn usage(&mut self, usage: Usage, out: &mut Vec<u8>) {
        if self.include_usage && self.dialect != Dialect::AnthropicMessages && usage.is_known() {
            let mut chunk = self.chunk(&json!([]));
            chunk["usage"] = openai_usage(usage);
            data(out, &chunk);
        }
    }

    /// The answer breaks off, and its caller is told; nothing comes after it.
    pub fn error(&mut self, told: &Told, out: &mut Vec<u8>) {
        self.ended = true;
        match self.dialect {
            Dialect::OpenaiChat | Dialect::OpenaiCompletions => {
                let error = json!({"message": told.message, "type": told.kind, "param": null, "code": told.code});
                data(out, &json!({ "error": error }));
            }
            Dialect::AnthropicMessages => {
                let error = json!({"type": told.kind, "message": told.message});
                event(out, "error", &json!({"type": "error", "error": error, "request_id": self.id}));
            }
        }
    }

    /// The answer begins again: what the caller has so far is no part of it.
    ///
    /// OpenAI's dialect has no word for it: a chunk with an empty delta and the field `"mainstay": {"restart": true}`, which clients keep as an extra
    /// field. Anthropic's clients get the event `mainstay_restart`, which they pass over, and the new answer in blocks of their own.
    pub fn restart(&mut self, out: &mut Vec<u8>) {
        match self.dialect {
            Dialect::OpenaiChat | Dialect::OpenaiCompletions => {
                let mut chunk = self.chunk(&json!([self.choice(0, &json!({}), None)]));
                chunk["mainstay"] = json!({"restart": true});
                data(out, &chunk);
            }
            Dialect::AnthropicMessages => {
                self.close(out);
                event(out, "mainstay_restart", &json!({"type": "mainstay_restart"}));
            }
        }
    }

    /// Shows a caller that waits that somebody is there.
    pub fn heartbeat(&self, out: &mut Vec<u8>) {
        match self.dialect {
            Dialect::OpenaiChat | Dialect::OpenaiCompletions => out.extend_from_slice(b": keep-alive\n\n"),
            Dialect::AnthropicMessages => event(out, "ping", &json!({"type": "ping"})),
        }
    }

    fn chunk(&self, choices: &Value) -> Value {
        let (prefix, object) = match self.dialect {
            Dialect::OpenaiCompletions => ("cmpl-", "text_completion"),
            Dialect::OpenaiChat | Dialect::AnthropicMessages => ("chatcmpl-", "chat.completion.chunk"),
        };
        let id = if self.id.contains('-') { self.id.clone() } else { format!("{prefix}{}", self.id) };
        json!({"id": id, "object": object, "created": self.created, "model": self.model, "choices": choices})
    }

    fn choice(&self, index: u32, delta: &Value, finish: Option<&str>) -> Value {
        match self.dialect {
            Dialect::OpenaiCompletions => {
                let text = delta["content"].as_str().unwrap_or_default();
                json!({"index": index, "text": text, "logprobs": null, "finish_reason": finish})
            }
            Dialect::OpenaiChat | Dialect::AnthropicMessages => {
                json!({"index": index, "delta": delta, "logprobs": null, "finish_reason": finish})
            }
        }
    }

    fn openai(&mut self, piece: &Piece, out: &mut Vec<u8>) {
        let (mut delta, mut finish) = (json!({}), None);
        match &piece.what {
            What::Text(text) => delta["content"] = json!(text),
            What::Reasoning(text) => delta["reasoning_content"] = json!(text),
            What::Refusal(text) => delta["refusal"] = json!(text),
            What::Tool { index, id, name, arguments } => {
                let mut call = json!({"index": index, "function": {"arguments": arguments}});
                if let Some(id) = id {
                    call["id"] = json!(id);
                    call["type"] = json!("function");
                }
                if let Some(name) = name {
                    call["function"]["name"] = json!(name);
                }
                delta["tool_calls"] = json!([call]);
            }
            What::Finish(why) => finish = Some(why.openai()),
        }
        if !std::mem::replace(&mut self.opened, true) && self.dialect == Dialect::OpenaiChat {
            delta["role"] = json!("assistant");
        }
        self.finished |= finish.is_some();
        let chunk = self.chunk(&json!([self.choice(piece.choice, &delta, finish)]));
        data(out, &chunk);
    }

    fn anthropic(&mut self, piece: &Piece, usage: Usage, out: &mut Vec<u8>) {
        if piece.choice != 0 {
            return;
        }
        self.open_message(usage, out);
        let index = match &piece.what {
            What::Finish(why) => {
                self.finish = Some(why.clone());
                return self.close(out);
            }
            what => self.open(what, out),
        };
        let delta = match &piece.what {
            What::Text(text) | What::Refusal(text) => json!({"type": "text_delta", "text": text}),
            What::Reasoning(text) => json!({"type": "thinking_delta", "thinking": text}),
            What::Tool { arguments, .. } if arguments.is_empty() => return,
            What::Tool { arguments, .. } => json!({"type": "input_json_delta", "partial_json": arguments}),
            What::Finish(_) => return,
        };
        event(out, "content_block_delta", &json!({"type": "content_block_delta", "index": index, "delta": delta}));
    }

    fn open_message(&mut self, usage: Usage, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.opened, true) {
            return;
        }
        self.told_input = usage.input;
        let message = json!({
            "id": if self.id.contains('_') { self.id.clone() } else { format!("msg_{}", self.id) },
            "type": "message", "role": "assistant", "model": self.model, "content": [],
            "stop_reason": null, "stop_sequence": null,
            "usage": {"input_tokens": usage.input.unwrap_or(0), "output_tokens": 0},
        });
        event(out, "message_start", &json!({"type": "message_start", "message": message}));
    }

    /// The index of the open block that takes this, which may have to be opened first.
    fn open(&mut self, what: &What, out: &mut Vec<u8>) -> u32 {
        let wanted = holds(what);
        let begins = matches!(what, What::Tool { id: Some(_), .. });
        if let Some((index, open)) = self.blocks.open
            && open == wanted
            && !begins
        {
            return index;
        }
        self.close(out);
        let index = self.blocks.next;
        self.blocks.next += 1;
        self.blocks.open = Some((index, wanted));
        let block = match what {
            What::Tool { id, name, .. } => json!({
                "type": "tool_use", "id": id.as_deref().unwrap_or_default(),
                "name": name.as_deref().unwrap_or_default(), "input": {},
            }),
            What::Reasoning(_) => json!({"type": "thinking", "thinking": "", "signature": ""}),
            What::Text(_) | What::Refusal(_) | What::Finish(_) => json!({"type": "text", "text": ""}),
        };
        event(
            out,
            "content_block_start",
            &json!({"type": "content_block_start", "index": index, "content_block": block}),
        );
        index
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if let Some((index, _)) = self.blocks.open.take() {
            event(out, "content_block_stop", &json!({"type": "content_block_stop", "index": index}));
        }
    }
}

/// Tokens of the request are told where their number was not known before.
fn message_delta(why: &Finish, told: Usage, out: &mut Vec<u8>) {
    let delta = json!({"stop_reason": why.anthropic(), "stop_sequence": null});
    let mut usage = json!({"output_tokens": told.output.unwrap_or(0)});
    if let Some(input) = told.input {
        usage["input_tokens"] = input.into();
    }
    event(out, "message_delta", &json!({"type": "message_delta", "delta": delta, "usage": usage}));
}

const fn holds(what: &What) -> Holds {
    match what {
        What::Tool { index, .. } => Holds::Tool(*index),
        What::Reasoning(_) => Holds::Reasoning,
        What::Text(_) | What::Refusal(_) | What::Finish(_) => Holds::Text,
    }
}

fn openai_usage(usage: Usage) -> Value {
    let (input, output) = (usage.input.unwrap_or(0), usage.output.unwrap_or(0));
    json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output})
}

fn data(out: &mut Vec<u8>, value: &Value) {
    let mut line = String::with_capacity(256);
    let _ = write!(line, "data: {value}\n\n");
    out.extend_from_slice(line.as_bytes());
}

fn event(out: &mut Vec<u8>, name: &str, value: &Value) {
    let mut lines = String::with_capacity(256);
    let _ = write!(lines, "event: {name}\ndata: {value}\n\n");
    out.extend_from_slice(lines.as_bytes());
}

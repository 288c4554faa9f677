//! Events of Anthropic's messages.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::Finish;
use super::{Part, Piece, Reader, Said, TOOLS_MAX, Tokens, What, told};

const fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// An object of another shape: an error, or nothing that is known here; its reader may know it.
fn stranger(name: &str, data: &str) -> Said {
    #[derive(Deserialize)]
    struct Stranger<'a> {
        #[serde(borrow, default, rename = "type")]
        kind: Option<&'a RawValue>,
        #[serde(borrow, default)]
        error: Option<&'a RawValue>,
    }
    let Ok(stranger) = serde_json::from_str::<Stranger>(data) else { return Said::Malformed };
    let kind = stranger.kind.and_then(|kind| serde_json::from_str::<String>(kind.get()).ok()).unwrap_or_default();
    match stranger.error.filter(|error| error.get() != "null") {
        Some(error) => Said::Error(told(error)),
        None if kind == "message_stop" => Said::End,
        None if name == "error" || kind == "error" => {
            Said::Error(serde_json::from_str(data).map(told).unwrap_or_default())
        }
        None => Said::Nothing,
    }
}

impl Reader {
    /// What an event's data says, and the name that goes with it, if it tells one.
    pub(super) fn anthropic(&mut self, name: &str, data: &str) -> (Said, String) {
        match serde_json::from_str::<Anthropic>(data) {
            Ok(mut message) => {
                let kind = std::mem::take(&mut message.kind);
                let said = self.message(&kind, message);
                (said, if kind.bytes().all(is_of_name) { kind } else { String::new() })
            }
            Err(_) => (stranger(name, data), String::new()),
        }
    }

    fn message(&mut self, kind: &str, message: Anthropic) -> Said {
        match kind {
            "message_start" => {
                let start = message.message.unwrap_or_default();
                let usage = start.usage.unwrap_or_default().known();
                Said::Part(Part { id: start.id, model: start.model, usage, is_opening: true, ..Part::default() })
            }
            "content_block_start" => Said::Part(self.block(message.index, message.content_block.unwrap_or_default())),
            "content_block_delta" => match self.delta(message.index, message.delta.unwrap_or_default()) {
                Some(what) => Said::Part(Part { pieces: vec![Piece { choice: 0, what }], ..Part::default() }),
                None => Said::Nothing,
            },
            "message_delta" => {
                let reason = message.delta.and_then(|delta| delta.stop_reason);
                let finish = reason.map(|word| Piece { choice: 0, what: What::Finish(Finish::parse(&word)) });
                let usage = message.usage.unwrap_or_default().known();
                Said::Part(Part { pieces: finish.into_iter().collect(), usage, ..Part::default() })
            }
            "message_stop" => Said::End,
            "error" => Said::Error(message.error.map(told).unwrap_or_default()),
            _ => Said::Nothing,
        }
    }

    fn block(&mut self, index: u32, block: Block) -> Part {
        let mut part = Part { is_opening: true, ..Part::default() };
        let mut piece = |what| part.pieces.push(Piece { choice: 0, what });
        match block.kind.as_str() {
            "tool_use" | "server_tool_use" => {
                if self.tools.len() < TOOLS_MAX {
                    self.tools.push((index, self.tools.len() as u32));
                }
                let index = self.tool(index);
                piece(What::Tool { index, id: block.id, name: block.name, arguments: String::new() });
            }
            "thinking" if !block.thinking.is_empty() => piece(What::Reasoning(block.thinking)),
            "text" if !block.text.is_empty() => piece(What::Text(block.text)),
            _ => {}
        }
        part
    }

    fn tool(&self, block: u32) -> u32 {
        self.tools.iter().rev().find(|(index, _)| *index == block).map_or(0, |(_, call)| *call)
    }

    fn delta(&self, index: u32, delta: AnthropicDelta) -> Option<What> {
        let what = match delta.kind.as_str() {
            "text_delta" => What::Text(delta.text),
            "thinking_delta" => What::Reasoning(delta.thinking),
            "input_json_delta" => {
                What::Tool { index: self.tool(index), id: None, name: None, arguments: delta.partial_json }
            }
            _ => return None,
        };
        Some(what)
    }
}

#[derive(Deserialize)]
struct Anthropic<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    index: u32,
    #[serde(default)]
    message: Option<Start>,
    #[serde(default)]
    content_block: Option<Block>,
    #[serde(default)]
    delta: Option<AnthropicDelta>,
    #[serde(default)]
    usage: Option<Tokens>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Start {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    usage: Option<Tokens>,
}

#[derive(Default, Deserialize)]
struct Block {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    text: String,
    #[serde(default)]
    thinking: String,
}

#[derive(Default, Deserialize)]
struct AnthropicDelta {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    thinking: String,
    #[serde(default)]
    partial_json: String,
    #[serde(default)]
    stop_reason: Option<String>,
}

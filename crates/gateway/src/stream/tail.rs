//! Whether a relayed stream of OpenAI's `/responses` is whole: it ends with an event that says so, or was cut.
//!
//! Nothing of it is translated. Events go on as they came, each once it is over, so that a cut one is not half an event to its reader.

use bytes::Bytes;
use mainstay_core::llm::sse::EVENT_BYTES_MAX;
use serde_json::json;

/// How much of a line is looked at.
const LINE_BYTES: usize = 96;

/// How a stream says that it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Said {
    /// With all of its answer, or as much as was allowed.
    Whole,
    /// With an error.
    Failed,
}

/// A stream as it goes by.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// Of an event that is not over.
    held: Vec<u8>,
    /// That event is longer than what is held, and goes on as it comes.
    passes: bool,
    /// The start of the line at hand.
    line: Vec<u8>,
    /// Whether that line has no byte so far.
    is_blank: bool,
    /// The last byte was a carriage return, with which an event was over or not.
    after_return: Option<bool>,
    /// What the event at hand says, once it is over.
    says: Option<Said>,
    said: Option<Said>,
}

impl Tail {
    /// What goes on of these bytes.
    pub(super) fn push(&mut self, bytes: &Bytes) -> Bytes {
        let mut over = None;
        for (at, byte) in bytes.iter().enumerate() {
            if self.read(*byte) {
                over = Some(at + 1);
            }
        }
        if self.passes {
            self.passes = over.is_none();
            let rest = over.map_or(Bytes::new(), |over| bytes.slice(over..));
            self.hold(&rest);
            return bytes.slice(..bytes.len() - rest.len());
        }
        let Some(over) = over else {
            self.hold(bytes);
            return self.overflow();
        };
        let going = if self.held.is_empty() {
            bytes.slice(..over)
        } else {
            let mut going = std::mem::take(&mut self.held);
            going.extend_from_slice(&bytes[..over]);
            going.into()
        };
        self.hold(&bytes[over..]);
        going
    }

    fn hold(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    fn overflow(&mut self) -> Bytes {
        if self.held.len() <= EVENT_BYTES_MAX {
            return Bytes::new();
        }
        self.passes = true;
        std::mem::take(&mut self.held).into()
    }

    /// Reads a byte; whether an event is over with it.
    fn read(&mut self, byte: u8) -> bool {
        if let Some(over) = self.after_return.take()
            && byte == b'\n'
        {
            // The second half of an end of line.
            return over;
        }
        if !matches!(byte, b'\n' | b'\r') {
            self.is_blank = false;
            if self.line.len() < LINE_BYTES && !byte.is_ascii_whitespace() {
                self.line.push(byte);
            }
            return false;
        }
        let over = std::mem::replace(&mut self.is_blank, true);
        if over {
            self.said = self.says.take().or(self.said);
        } else {
            self.says = said(&self.line).or(self.says);
            self.line.clear();
        }
        self.after_return = (byte == b'\r').then_some(over);
        over
    }

    /// How it ended, so far.
    pub(super) const fn said(&self) -> Option<Said> {
        self.said
    }

    /// What is left when all has come.
    pub(super) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.held).into()
    }
}

/// What a line says of the end, without its white space.
fn said(line: &[u8]) -> Option<Said> {
    let name = match (line.strip_prefix(b"event:"), line.strip_prefix(b"data:")) {
        (Some(name), _) => name,
        (None, Some(b"[DONE]")) => return Some(Said::Whole),
        (None, Some(data)) => {
            let named = data.strip_prefix(br#"{"type":""#)?;
            named.split(|byte| *byte == b'"').next()?
        }
        (None, None) => return None,
    };
    match name {
        b"response.completed" | b"response.incomplete" => Some(Said::Whole),
        b"response.failed" | b"response.cancelled" | b"error" => Some(Said::Failed),
        _ => None,
    }
}

/// The event that tells the caller of a stream that was cut. OpenAI's clients raise what has an `error`.
pub(super) fn error(code: &str, message: &str) -> Bytes {
    let message = format!("{message}; what came before is not all of it");
    let error = json!({"type": "api_error", "code": code, "message": message, "param": null});
    let event = json!({"type": "error", "code": code, "message": message, "param": null, "error": error});
    format!("event: error\ndata: {event}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "event: response.created\r\ndata: {\"type\":\"response.created\"}\r\n\r\n\
                          : a comment\n\nevent: response.output_text.delta\ndata: {\"delta\":\"event: error\"}\n\n\
                          event: response.completed\ndata: {\"type\":\"response.completed\"}\n\n";

    /// What went on, and what was said, where it comes in such pieces and ends there.
    fn run(stream: &str, pieces: usize) -> (String, Option<Said>) {
        let mut tail = Tail::default();
        let mut on = Vec::new();
        for piece in stream.as_bytes().chunks(pieces) {
            on.extend_from_slice(&tail.push(&Bytes::copy_from_slice(piece)));
        }
        (String::from_utf8(on).expect("it is text"), tail.said())
    }

    #[test]
    fn events_go_on_as_they_came_and_a_cut_one_not_at_all() {
        let ends: Vec<usize> = STREAM.match_indices("\n\n").map(|(at, _)| at + 2).collect();
        let first = STREAM.find("\r\n\r\n").expect("an event") + 4;
        for pieces in [1, 2, 3, 7, 1000] {
            for at in 0..=STREAM.len() {
                let (on, said) = run(&STREAM[..at], pieces);
                assert!(STREAM[..at].starts_with(&on), "{at}, {pieces}: {on:?}");
                assert_eq!(said, (at == STREAM.len()).then_some(Said::Whole), "{at}, {pieces}");
                let whole = ends.iter().chain([&first]).filter(|end| **end <= at).max().copied().unwrap_or(0);
                // An end of line of two bytes may be cut between them.
                assert!(
                    on.len() == whole || (on.len() + 1 == whole || on.len() == first - 1),
                    "{at}, {pieces}: {}",
                    on.len()
                );
            }
        }
    }

    /// As OpenAI sent them, recorded.
    #[test]
    fn recorded_streams_are_whole_and_cut_ones_are_not() {
        let recordings = include_str!("../../../core/src/llm/fixtures/recorded/responses.json");
        let recordings: Vec<serde_json::Value> = serde_json::from_str(recordings).expect("JSON");
        let streams: Vec<&str> = recordings.iter().filter_map(|recording| recording["stream"].as_str()).collect();
        assert_eq!(streams.len(), 2);
        for stream in streams {
            for pieces in [1, 50, stream.len()] {
                assert_eq!(run(stream, pieces), (stream.to_owned(), Some(Said::Whole)));
            }
            let last = stream.trim_end().rfind("\n\n").expect("events") + 2;
            for at in (0..=last).step_by(31).chain([last, stream.len() - 1]) {
                assert_eq!(run(&stream[..at], 50).1, None, "cut at {at}");
            }
        }
    }

    #[test]
    fn ends_are_told_from_each_other() {
        let says = |line: &str| run(&format!("{line}\n\n"), 5).1;
        assert_eq!(says("data: {\"type\": \"response.incomplete\", \"sequence_number\": 9}"), Some(Said::Whole));
        assert_eq!(says("data: [DONE]"), Some(Said::Whole));
        assert_eq!(says("event: response.failed"), Some(Said::Failed));
        assert_eq!(says("data: {\"type\":\"error\",\"code\":\"x\"}"), Some(Said::Failed));
        assert_eq!(says("data: {\"delta\":\"response.completed\"}"), None);
        assert_eq!(says(": response.completed"), None);
    }

    #[test]
    fn an_event_that_is_too_long_goes_on_as_it_comes() {
        let long = format!("event: response.completed\ndata: {}\n\nevent: x\n", "y".repeat(EVENT_BYTES_MAX + 9));
        let (on, said) = run(&long, 1 << 16);
        assert_eq!((on.len(), said), (long.len() - "event: x\n".len(), Some(Said::Whole)));
        let mut tail = Tail::default();
        tail.push(&Bytes::from(vec![b'z'; EVENT_BYTES_MAX * 2]));
        assert!(tail.held.len() <= EVENT_BYTES_MAX);
    }
}

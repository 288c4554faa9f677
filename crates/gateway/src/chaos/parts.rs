//! Where the parts of a streamed answer end.
//!
//! A language model's server sends one event for each token, or nearly so, and a chunk of the connection may hold many events or
//! a piece of one. What is counted is an event that holds something: comments, events without data, and the mark of the end
//! (`[DONE]`) do not.

use http::{HeaderMap, header};

/// The mark that the stream of a language model ends with.
const DONE: &[u8] = b"[DONE]";
/// As much of an event's data as tells whether it holds something.
const SEEN_MAX: usize = DONE.len() + 1;
/// May stand before the first event.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The field whose value is an event's data.
const DATA: &[u8] = b"data";

/// Tells parts apart.
#[derive(Debug)]
pub(crate) enum Parts {
    /// Server-sent events.
    Events(Events),
    /// Chunks as they come: what is not written as events, or cannot be read.
    Chunks,
}

impl Parts {
    /// What tells the parts of an answer with these headers apart.
    pub(crate) fn of(headers: &HeaderMap) -> Parts {
        let is = |name, wanted: fn(&str) -> bool| headers.get(name).and_then(|v| v.to_str().ok()).is_some_and(wanted);
        let events = is(header::CONTENT_TYPE, |value| {
            let kind = value.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("text/event-stream")
        });
        let coded = is(header::CONTENT_ENCODING, |value| !value.trim().eq_ignore_ascii_case("identity"));
        if events && !coded { Parts::Events(Events::default()) } else { Parts::Chunks }
    }

    /// Goes through the next bytes up to the end of the next part, and says where that is; `None`: not in these bytes.
    pub(crate) fn next_end(&mut self, bytes: &[u8]) -> Option<usize> {
        match self {
            Parts::Events(events) => events.next_end(bytes),
            Parts::Chunks => (!bytes.is_empty()).then_some(bytes.len()),
        }
    }
}

/// Reads a stream of events byte by byte, as far as it takes to tell where one ends and whether it holds something.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// Bytes of the byte order mark that have been seen.
    marked: usize,
    /// Something other than that mark has been seen.
    begun: bool,
    line: Line,
    /// The last byte was a carriage return: a line feed after it ends no further line.
    returned: bool,
    /// The start of the event's data.
    data: Vec<u8>,
    /// Whether the event has had a line of data.
    has_data: bool,
}

/// Where in a line it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Line {
    /// At its start.
    #[default]
    Start,
    /// In its field's name, which so far is the start of `data`.
    Name(usize),
    /// Right after the colon of data: one space there is no part of it.
    Colon,
    /// In a value of data.
    Value,
    /// In something that does not matter.
    Other,
}

impl Events {
    /// As [`Parts::next_end`]. A line feed that belongs to the carriage return before it is taken along where it is there.
    fn next_end(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, byte) in bytes.iter().enumerate() {
            if self.push(*byte) {
                let paired = *byte == b'\r' && bytes.get(at + 1) == Some(&b'\n');
                if paired {
                    self.push(b'\n');
                }
                return Some(at + 1 + usize::from(paired));
            }
        }
        None
    }

    /// Whether an event that holds something ends with this byte.
    fn push(&mut self, byte: u8) -> bool {
        if !self.begun {
            if BYTE_ORDER_MARK.get(self.marked) == Some(&byte) {
                self.marked += 1;
                return false;
            }
            self.begun = true;
        }
        let paired = std::mem::replace(&mut self.returned, byte == b'\r') && byte == b'\n';
        match byte {
            b'\n' if paired => false,
            b'\n' | b'\r' => self.end_line(),
            _ => {
                self.within_line(byte);
                false
            }
        }
    }

    fn within_line(&mut self, byte: u8) {
        self.line = match self.line {
            Line::Start if byte == DATA[0] => Line::Name(1),
            Line::Name(known) if DATA.get(known) == Some(&byte) => Line::Name(known + 1),
            Line::Name(known) if known == DATA.len() && byte == b':' => {
                self.begin_data();
                Line::Colon
            }
            Line::Colon if byte == b' ' => Line::Value,
            Line::Colon | Line::Value => {
                self.keep(byte);
                Line::Value
            }
            Line::Start | Line::Name(_) | Line::Other => Line::Other,
        };
    }

    fn end_line(&mut self) -> bool {
        let line = std::mem::take(&mut self.line);
        match line {
            Line::Start => {
                let holds = self.data.iter().any(|byte| *byte != b'\n') && self.data != DONE;
                self.data.clear();
                self.has_data = false;
                return holds;
            }
            // The field's name alone is data too, without a value.
            Line::Name(known) if known == DATA.len() => self.begin_data(),
            Line::Name(_) | Line::Colon | Line::Value | Line::Other => {}
        }
        false
    }

    /// Further lines of data follow the ones before, each on a line of its own.
    fn begin_data(&mut self) {
        if std::mem::replace(&mut self.has_data, true) {
            self.keep(b'\n');
        }
    }

    fn keep(&mut self, byte: u8) {
        // Line breaks alone hold nothing, however many they are.
        if self.data.len() < SEEN_MAX || (byte != b'\n' && self.data.iter().all(|kept| *kept == b'\n')) {
            self.data.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    /// What the standard says of a whole stream: the data of each event that is dispatched, and where its blank line ends.
    fn events(stream: &[u8]) -> Vec<(Vec<u8>, usize)> {
        let body = stream.strip_prefix(BYTE_ORDER_MARK).unwrap_or(stream);
        let (mut at, mut found, mut data) = (stream.len() - body.len(), Vec::new(), Vec::<Vec<u8>>::new());
        while let Some(length) = stream[at..].iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let line = &stream[at..at + length];
            at += length + 1 + usize::from(stream[at + length..].starts_with(b"\r\n"));
            if line.is_empty() {
                if !data.is_empty() {
                    found.push((data.join(&b'\n'), at));
                }
                data.clear();
            } else if line == DATA {
                data.push(Vec::new());
            } else if let Some(value) = line.strip_prefix(b"data:") {
                data.push(value.strip_prefix(b" ").unwrap_or(value).to_vec());
            }
        }
        found
    }

    fn ends_by_the_standard(stream: &[u8]) -> Vec<usize> {
        let holds = |data: &[u8]| data != DONE && data.iter().any(|byte| *byte != b'\n');
        events(stream).into_iter().filter(|(data, _)| holds(data)).map(|(_, end)| end).collect()
    }

    /// The ends of parts, where the stream comes in these chunks.
    fn ends(stream: &[u8], chunks: &[usize]) -> Vec<usize> {
        let (mut reader, mut found, mut start) = (Events::default(), Vec::new(), 0);
        for cut in chunks.iter().copied().chain([stream.len()]) {
            while let Some(length) = reader.next_end(&stream[start..cut]) {
                start += length;
                found.push(start);
            }
            start = cut;
        }
        found
    }

    /// Streams of lines that do and do not matter, with all three line ends.
    fn streams() -> impl Strategy<Value = Vec<u8>> {
        let line = prop::sample::select(vec![
            "data: {\"a\":1}",
            "data:x",
            "data",
            "data:",
            "data: ",
            "data:  ",
            "data: [DONE]",
            "data: [DONE] ",
            "dat: x",
            "database: x",
            ": keep-alive",
            "event: token",
            "id: 7",
            "",
            "",
            "",
            "d\u{e9}",
            "data: \u{1f600}",
            "data: [DO",
        ]);
        let end = prop::sample::select(vec!["\n", "\r\n", "\r"]);
        let mark = prop::sample::select(vec!["", "\u{feff}"]);
        (mark, prop::collection::vec((line, end), 0..40)).prop_map(|(mark, lines)| {
            lines.into_iter().fold(mark.to_owned(), |text, (line, end)| text + line + end).into_bytes()
        })
    }

    proptest! {
        #[test]
        fn parts_end_where_the_standard_says_wherever_chunks_are_cut(
            stream in streams(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.sort_unstable();
            let wanted = ends_by_the_standard(&stream);
            let found = ends(&stream, &cuts);
            prop_assert_eq!(found.len(), wanted.len());
            for (found, wanted) in found.iter().zip(&wanted) {
                // A line feed that comes in the next chunk belongs to the carriage return before it.
                let late = found + 1 == *wanted && stream[*found - 1] == b'\r' && cuts.contains(found);
                prop_assert!(found == wanted || late, "{} is not {}", found, wanted);
            }
        }
    }

    #[test]
    fn every_single_cut_gives_the_same_parts() {
        let stream = "\u{feff}: hello\n\ndata: {\"a\":\"\u{e9}\"}\r\n\r\nevent: x\ndata: 1\ndata: 2\n\ndata:\n\ndata: [DONE]\n\n";
        let stream = stream.as_bytes();
        let wanted = ends_by_the_standard(stream);
        assert_eq!(wanted.len(), 2);
        for cut in 0..=stream.len() {
            assert_eq!(ends(stream, &[cut]).len(), 2, "{cut}");
        }
        assert_eq!(ends(stream, &[]), wanted);
    }

    #[test]
    fn what_is_no_readable_stream_of_events_is_counted_in_chunks() {
        let parts = |content_type: &'static str, encoding: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            if let Some(encoding) = encoding {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
            }
            Parts::of(&headers)
        };
        assert!(matches!(parts("text/event-stream; charset=utf-8", None), Parts::Events(_)));
        assert!(matches!(parts("Text/Event-Stream", Some("identity")), Parts::Events(_)));
        assert!(matches!(parts("text/event-stream", Some("gzip")), Parts::Chunks));
        assert!(matches!(parts("application/x-ndjson", None), Parts::Chunks));
        assert_eq!((Parts::Chunks.next_end(b"ab"), Parts::Chunks.next_end(b"")), (Some(2), None));
    }
}

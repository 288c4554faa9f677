//! Server-sent events, read as they come (WHATWG HTML, section 9.2).

/// The longest line, and the most data of one event, in bytes.
pub const EVENT_BYTES_MAX: usize = 2 << 20;

/// One event.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Event {
    /// Its name; empty where it has none.
    pub name: String,
    /// Its data lines, joined by line feeds.
    pub data: Vec<u8>,
}

/// A line or an event is longer than [`EVENT_BYTES_MAX`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an event is longer than {EVENT_BYTES_MAX} bytes")]
pub struct TooLong;

/// Takes a stream apart, whatever the places at which it was cut on its way.
///
/// ```
/// use mainstay_core::llm::sse::Parser;
///
/// let mut parser = Parser::default();
/// let mut seen = Vec::new();
/// for part in ["\u{feff}: hello\r\nda", "ta: one\r", "\n\r\ndata: two\n"] {
///     parser.push(part.as_bytes(), &mut |event| seen.push(String::from_utf8(event.data).unwrap())).unwrap();
/// }
/// assert_eq!(seen, ["one"]); // the second is not over
/// ```
#[derive(Clone, Debug, Default)]
pub struct Parser {
    /// A line that has begun.
    line: Vec<u8>,
    /// The event that has begun.
    event: Event,
    has_data: bool,
    /// The last byte was a carriage return: a line feed right after it is no line of its own.
    after_return: bool,
    /// The first line is over.
    started: bool,
}

const BOM: &[u8] = b"\xef\xbb\xbf";

impl Parser {
    /// Reads on; calls `sink` with each event that is over. After an error nothing more can be read.
    pub fn push(&mut self, mut bytes: &[u8], sink: &mut impl FnMut(Event)) -> Result<(), TooLong> {
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_return) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let Some(at) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                if self.line.len() + bytes.len() > EVENT_BYTES_MAX {
                    return Err(TooLong);
                }
                self.line.extend_from_slice(bytes);
                return Ok(());
            };
            self.after_return = bytes[at] == b'\r';
            let (line, rest) = (&bytes[..at], &bytes[at + 1..]);
            if self.line.is_empty() {
                self.take_line(line, sink)?;
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.take_line(&whole, sink)?;
                whole.clear();
                self.line = whole;
            }
            bytes = rest;
        }
        Ok(())
    }

    /// How many bytes are held.
    pub fn held(&self) -> usize {
        self.line.len() + self.event.data.len() + self.event.name.len()
    }

    fn take_line(&mut self, mut line: &[u8], sink: &mut impl FnMut(Event)) -> Result<(), TooLong> {
        if !std::mem::replace(&mut self.started, true) {
            line = line.strip_prefix(BOM).unwrap_or(line);
        }
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            if std::mem::take(&mut self.has_data) {
                sink(event);
            }
            return Ok(());
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &line[..colon] {
            b"data" => {
                if self.event.data.len() + value.len() >= EVENT_BYTES_MAX {
                    return Err(TooLong);
                }
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push(b'\n');
                }
                self.event.data.extend_from_slice(value);
            }
            b"event" => self.event.name = String::from_utf8_lossy(&value[..value.len().min(256)]).into_owned(),
            // Comments, ids, times to reconnect: of no use to an answer that is not asked for twice.
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(parts: &[&[u8]]) -> Result<Vec<Event>, TooLong> {
        let (mut parser, mut seen) = (Parser::default(), Vec::new());
        for part in parts {
            parser.push(part, &mut |event| seen.push(event))?;
        }
        Ok(seen)
    }

    const STREAM: &str = "\u{feff}: c\r\nevent: a\r\ndata: ä€\u{1f600}\r\ndata:x\r\n\r\ndata\n\nid: 7\nretry: 1\n\nevent: lost\n\ndata:  two\rdata: \r\r: end\n\ndata: cut";

    #[test]
    fn every_cut_gives_the_same_events() {
        let bytes = STREAM.as_bytes();
        let whole = read(&[bytes]).unwrap();
        let data: Vec<_> =
            whole.iter().map(|event| (&*event.name, std::str::from_utf8(&event.data).unwrap())).collect();
        assert_eq!(data, [("a", "ä€\u{1f600}\nx"), ("", ""), ("", " two\n")]);
        for at in 0..=bytes.len() {
            assert_eq!(read(&[&bytes[..at], &bytes[at..]]).unwrap(), whole, "cut at {at}");
        }
        let each: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(read(&each).unwrap(), whole);
    }

    #[test]
    fn what_is_too_long_is_named_and_not_held() {
        let long = vec![b'a'; EVENT_BYTES_MAX / 2 + 1];
        assert_eq!(read(&[b"data: ", &long, &long]), Err(TooLong));
        assert_eq!(read(&[b"data: ", &long, b"\ndata: ", &long, b"\n"]), Err(TooLong));
        assert_eq!(read(&[b"data: ", &long, b"\n\n"]).unwrap()[0].data.len(), long.len());
    }

    proptest! {
        #[test]
        fn garbage_is_read_alike_however_it_is_cut(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), Just(b'd'), any::<u8>()], 0..200), at in 0usize..200) {
            let at = at.min(bytes.len());
            prop_assert_eq!(read(&[&bytes]), read(&[&bytes[..at], &bytes[at..]]));
        }
    }
}

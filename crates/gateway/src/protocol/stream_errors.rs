//! Errors within a stream of answers over gRPC: `ModelStreamInferResponse` has a field for them, and the stream may end as if all were well.

/// The prefix of a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// `error_message` is field 1, a text. Messages are written in the order of their fields.
const ERROR_KEY: u8 = 1 << 3 | 2;

/// Looks for errors in messages as they pass, however they are cut.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamErrors {
    /// The prefix of the message at hand, as far as it has come, and the first two bytes of what follows.
    start: Vec<u8>,
    /// What is left of the message beyond that.
    left: usize,
    found: bool,
}

impl StreamErrors {
    /// More of the stream.
    pub(crate) fn handle(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len());
                (self.left, bytes) = (self.left - skipped, &bytes[skipped..]);
                continue;
            }
            self.start.push(bytes[0]);
            bytes = &bytes[1..];
            self.look();
        }
    }

    /// Whether a message told of an error.
    pub(crate) const fn found(&self) -> bool {
        self.found
    }

    fn look(&mut self) {
        let Some((prefix, content)) = self.start.split_first_chunk::<PREFIX_BYTES>() else { return };
        let [compressed, length @ ..] = *prefix;
        let length = u32::from_be_bytes(length) as usize;
        if content.len() < length.min(2) {
            return;
        }
        // A text of no length is none.
        self.found |= compressed == 0 && matches!(content, [ERROR_KEY, text] if *text > 0);
        self.left = length - content.len();
        self.start.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::grpc::frame;
    use super::*;

    #[test]
    fn an_error_is_found_in_whatever_pieces_it_comes() {
        let (good, bad) = (frame(b"\x12\x04\x0a\x02ab"), frame(b"\x0a\x03bad"));
        let (none, empty) = (frame(b"\x0a\x00\x12\x01x"), frame(b""));
        let well = [&good[..], &none, &empty, &good].concat();
        let ill = [&well[..], &bad, &good].concat();
        let mut compressed = bad.to_vec();
        compressed[0] = 1;
        for piece in 1..=ill.len() {
            let found = |stream: &[u8]| {
                let mut errors = StreamErrors::default();
                stream.chunks(piece).for_each(|chunk| errors.handle(chunk));
                errors.found()
            };
            assert!(!found(&well) && found(&ill) && found(&bad), "in pieces of {piece}");
            assert!(!found(&compressed), "what is compressed cannot be read");
        }
    }
}

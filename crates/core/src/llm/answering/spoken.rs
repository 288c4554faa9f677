//! What an answer says, kept for whoever is to look at it.

use std::collections::BTreeMap;

use super::super::delta::{Piece, What};

/// What is kept of what was said: by choice, and by what of it is one text.
#[derive(Clone, Debug, Default)]
pub(super) struct Spoken {
    texts: BTreeMap<(u32, u32), String>,
    /// More than may be kept, where it was more.
    bytes: usize,
}

impl Spoken {
    /// Adds a piece, as long as no more than `max` bytes are kept.
    pub(super) fn add(&mut self, piece: &Piece, max: usize) {
        let (of, texts) = match &piece.what {
            What::Reasoning(text) => (0, [text.as_str(), ""]),
            What::Text(text) => (1, [text.as_str(), ""]),
            What::Refusal(text) => (2, [text.as_str(), ""]),
            What::Tool { index, name, arguments, .. } => {
                (index.saturating_add(3), [name.as_deref().unwrap_or_default(), arguments.as_str()])
            }
            What::Finish(_) => return,
        };
        for text in texts.into_iter().filter(|text| !text.is_empty() && max > 0) {
            self.bytes = self.bytes.saturating_add(text.len());
            if self.bytes > max {
                return self.texts.clear();
            }
            self.texts.entry((piece.choice, of)).or_default().push_str(text);
        }
    }

    /// All of it, a line between what is not one text; `None`: it was more than `max`.
    pub(super) fn all(&self, max: usize) -> Option<String> {
        let texts = self.texts.values().map(String::as_str);
        (self.bytes <= max).then(|| texts.collect::<Vec<_>>().join("\n"))
    }
}

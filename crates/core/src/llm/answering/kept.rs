//! An answer that is kept in whole, to be given once more.

use crate::llm::delta::{Part, Piece, What};

/// What a piece costs beside its text.
const PIECE_BYTES: usize = 32;

/// All of an answer as one part, as far as it is not too long.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    part: Part,
    bytes: usize,
}

impl Kept {
    /// Adds a part of the answer; false: it is longer than `bytes_max`.
    pub(super) fn add(&mut self, part: &Part, bytes_max: usize) -> bool {
        self.part.id = self.part.id.take().or_else(|| part.id.clone());
        self.part.model = part.model.clone().or(self.part.model.take());
        self.part.usage = part.usage.or(self.part.usage);
        for piece in &part.pieces {
            self.bytes += bytes(&piece.what);
            if !self.part.pieces.last_mut().is_some_and(|last| goes_on(last, piece)) {
                self.bytes += PIECE_BYTES;
                self.part.pieces.push(piece.clone());
            }
        }
        self.bytes <= bytes_max
    }

    /// All of it.
    pub(super) const fn part(&self) -> &Part {
        &self.part
    }
}

/// Whether a piece was added to the one before it.
fn goes_on(last: &mut Piece, piece: &Piece) -> bool {
    if last.choice != piece.choice {
        return false;
    }
    match (&mut last.what, &piece.what) {
        (What::Text(all), What::Text(more))
        | (What::Reasoning(all), What::Reasoning(more))
        | (What::Refusal(all), What::Refusal(more)) => all.push_str(more),
        (
            What::Tool { index, arguments: all, .. },
            What::Tool { index: same, id: None, name: None, arguments: more },
        ) if index == same => all.push_str(more),
        _ => return false,
    }
    true
}

fn bytes(what: &What) -> usize {
    match what {
        What::Text(text) | What::Reasoning(text) | What::Refusal(text) => text.len(),
        What::Tool { id, name, arguments, .. } => {
            id.as_ref().map_or(0, String::len) + name.as_ref().map_or(0, String::len) + arguments.len()
        }
        What::Finish(_) => 0,
    }
}

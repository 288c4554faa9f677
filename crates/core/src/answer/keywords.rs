//! Many words at once.

/// Where a match may begin and end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Boundaries {
    /// At the edges of words.
    Word,
    /// Anywhere.
    None,
}

//! An order of items.

/// What decides an order.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum By {
    /// How well an item's text fits the query.
    Bm25(Bm25),
    /// A number, the largest first.
    Popularity,
    /// A time, the latest first.
    Recency,
    /// The items stay as they are.
    Unranked,
}

impl By {
    /// The name that the config uses.
    pub const fn name(self) -> &'static str {
        match self {
            By::Bm25(_) => "bm25",
            By::Popularity => "popularity",
            By::Recency => "recency",
            By::Unranked => "none",
        }
    }
}

/// The two constants of BM25.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Bm25 {
    /// How soon a repeated term counts no more.
    pub k1: f64,
    /// How much longer texts are held back, from 0 to 1.
    pub b: f64,
}

impl Default for Bm25 {
    fn default() -> Bm25 {
        Bm25 { k1: 1.2, b: 0.75 }
    }
}

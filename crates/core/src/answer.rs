//! Answers when no model can: what decides them, pure.
//!
//! ```text
//! template    an answer with places, filled from a row
//! text        words and characters as they are compared
//! rank        BM25, popularity, recency: an order of items
//! keywords    many words at once, over normalised text
//! velocity    how often a key was seen of late, in bounded memory
//! context     the turns of a chat that fit
//! review      requests that wait for a person
//! ```
//!
//! Files, clocks and requests are the gateway's: here are values in, decisions out.

pub mod template;
pub mod text;
pub mod rank;
pub mod keywords;
pub mod velocity;
pub mod context;
pub mod review;

//! What the fuzzers call: one function for each thing that reads bytes from outside.
//!
//! Each takes any bytes and panics where a promise is broken; that no code below panics is the first of the promises.
//! They are run by `cargo fuzz` (`fuzz/fuzz_targets`, nightly) and by `tests/mutate.rs` (stable), on the same corpus.

mod answering;
mod config;
mod expression;
mod feast;
mod headers;
mod keywords;
pub mod mutate;
mod open_inference;
mod packed;
mod pointer;
mod queue_file;
mod table;

pub use answering::answering;
pub use config::config;
pub use expression::expression;
pub use feast::feast;
pub use headers::headers;
pub use keywords::keywords;
pub use open_inference::open_inference;
pub use packed::packed;
pub use pointer::pointer;
pub use queue_file::queue_file;
pub use table::table;

/// A function that takes any bytes.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also the name of its corpus.
pub const TARGETS: [(&str, Target); 11] = [
    ("answering", answering),
    ("config", config),
    ("expression", expression),
    ("feast", feast),
    ("headers", headers),
    ("keywords", keywords),
    ("open_inference", open_inference),
    ("packed", packed),
    ("pointer", pointer),
    ("queue_file", queue_file),
    ("table", table),
];

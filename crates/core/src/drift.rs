//! Whether two samples of a feature come from the same law, and by how much they differ.
//!
//! Pure functions on finite values; what is missing or no finite number is counted by the caller, apart. The formulas and their
//! sources stand in `docs/drift.md`. `evidently` and `nannyml` compute what the Python packages of that name compute.

pub mod kolmogorov;
pub mod bins;
pub mod shares;
pub mod sample;
pub mod evidently;
pub mod nannyml;
pub mod embedding;
pub mod sketch;
pub mod verdict;
pub mod figures;
pub mod reference;
pub mod window;
pub mod alarm;
pub mod board;

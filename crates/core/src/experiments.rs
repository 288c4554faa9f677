//! Experiments as a plan sees them: whether what they point at is there, and those that every plan has.

pub mod reference;
pub mod catalogue;

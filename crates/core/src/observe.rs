//! What is kept of single requests: which ones, with what chance, and with what taken out.

pub mod trace;
pub mod sample;
pub mod redact;

//! Every decision of mainstay, pure.
//!
//! No clock, no I/O, no async, no SQL, no threads: time and randomness are arguments, state machines return effects,
//! shells perform them. A module uses only those listed above it.

pub mod event;
pub mod expr;
pub mod metric;
pub mod plan;
pub mod resilience;
pub mod rng;
pub mod route;
pub mod stats;
pub mod status;
pub mod time;

//! Every decision of mainstay, pure.
//!
//! No clock, no I/O, no async, no SQL, no threads: time and randomness are arguments, state machines return effects,
//! shells perform them. A module uses only those listed above it.

pub mod time;
pub mod rng;
pub mod stats;
pub mod suggest;
pub mod route;
pub mod observed;
pub mod drift;
pub mod quality;
pub mod event;
pub mod observe;
pub mod expr;
pub mod resilience;
pub mod answer;
pub mod slo;
pub mod incident;
pub mod chaos;
pub mod plan;
pub mod drill;
pub mod llm;
pub mod safety;
pub mod metric;
pub mod status;
pub mod registry;
pub mod response;
pub mod experiments;
pub mod training;
pub mod engine;

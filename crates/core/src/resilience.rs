//! Keeping requests answered: who is called, who waits, who is turned away, what is served instead.

pub mod outcome;
pub mod keys;
pub mod deadline;
pub mod retry;
pub mod hedge;
pub mod permit;
pub mod breaker;
pub mod ramp;
pub mod ejection;
pub mod lease;
pub mod limiter;
pub mod demand;
pub mod features;
pub mod queue;
pub mod admission;
pub mod ladder;

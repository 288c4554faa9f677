//! Keeping requests answered: who is called, who waits, who is turned away, what is served instead.

pub mod breaker;
pub mod deadline;
pub mod ejection;
pub mod hedge;
pub mod ladder;
pub mod limiter;
pub mod outcome;
pub mod permit;
pub mod queue;
pub mod retry;

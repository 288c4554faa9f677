//! Training runs that survive: what a failure means, what is tried again and from where, and when it is enough.
//!
//! ```text
//!             started                     exited
//! [starting] ---------> [running(phase)] --------> failure::classify --> failure::Policy
//!                          |  progress, metrics                            | retry after a pause, from chain::resume
//!                          |  checkpoint ready -> committed -> verified    | stop: failed, timed out, preempted, ...
//!                          |  watch: no progress -> hang                   v
//!                          `-> numeric: NaN, spike -> rollback          [ended]
//! ```
//!
//! Invariants: a budget is reset by a newly *verified* checkpoint beyond the best one and by nothing else; a resume never takes
//! a checkpoint that was not read back; retention never removes the last good one; every second is in one bucket of the ledger.

pub mod failure;
pub mod chain;
pub mod watch;
pub mod numeric;
pub mod goodput;
pub mod interval;
pub mod gate;

//! Service level objectives: what is promised, what counts as kept, and how much of the allowance is left.
//!
//! ```text
//! Facts of a request ──sli::judge──> Good | Bad | Ignored ──> Series (good, bad by 10 s, 1 min, 1 h)
//!                                                               │
//! Objective (target, window, budgeting) ──────────────────────> budget::Answer: remaining, burn, status, forecast
//!                                                               └──> burn::Alerts: page, ticket
//! ```
//!
//! Everything is counted in events: a minute without traffic weighs nothing, and a failed request weighs as much at night
//! as at noon. Times are arguments; nothing here reads a clock.

pub mod window;
pub mod objective;
pub mod sli;
pub mod series;
pub mod budget;
pub mod burn;
pub mod slices;
pub mod safety;
pub mod sketch;
pub mod correction;
pub mod policy;

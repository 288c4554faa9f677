//! The machines of `mainstay-core` as tower layers, for any Rust service.
//!
//! Each layer is a shell: `poll_ready` forwards, `call` asks the machine, and a guard reports back, from `Drop` if
//! need be. Permits are taken in `call`, so that an idle connection holds none.
//!
//! [`clock`] is the only source of time. [`breaker`], [`limit`], [`retry`], [`hedge`], [`deadline`] and [`ladder`]
//! each hold a shared machine and a layer that uses it.

pub mod clock;
pub mod breaker;
pub mod limit;
pub mod retry;
pub mod hedge;
pub mod deadline;
pub mod ladder;
mod shard;

//! `mainstay train`: runs any command so that it ends, or says why not. The only crate that spawns processes.
//!
//! ```text
//! place       the directory: lock, pointer, journal, status; one supervisor at a time
//! adopt       checkpoints that libraries write in a layout of their own
//! checkpoint  commit, verification, scan
//! hook        a program that is run for what it does, within a time
//! limits      what enforces them, and whether it does
//! process     spawn, the whole tree ended, a worker that outlived its supervisor
//! weights     the numbers in a checkpoint's files: all finite, or not
//! wire        the socket, the events' files
//! supervise   the loop that asks the core what to do
//! ```
//!
//! Invariants: at most one writer per directory; what is resumed from was read again and is as its manifest says; after a
//! run no process of it is left.

mod adopt;
pub mod checkpoint;
pub mod hook;
mod limits;
pub mod options;
pub mod place;
pub mod process;
pub mod supervise;
mod weights;
mod wire;

pub use options::{Error, Guards, Options};
pub use supervise::{Summary, run};

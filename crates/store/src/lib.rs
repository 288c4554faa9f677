//! What rests: events from outside, budgets' buckets, states, labels, models, runs, the audit log.
//!
//! The only crate with SQL. [`Store`] is what the rest of mainstay sees; [`Sqlite`] is the store of one machine. No clock is
//! read here: `now` comes in, and decides what is old.
//!
//! What was acknowledged is durable: a future that resolves with `Ok` speaks of a transaction that has reached the disk.
//! Writes that wait at the same moment share one transaction. A write whose future was dropped may or may not have happened;
//! everything that is written from outside has a key of its own, so that it may be repeated.

pub mod error;
pub mod item;
pub mod bucket;
pub mod pack;
pub mod record;
pub mod registry;
pub mod audit;
pub mod change;
pub mod options;
mod limits;
pub mod store;
pub mod sqlite;

pub use error::{OpenError, StoreError};
pub use options::{Options, Retention};
pub use sqlite::Sqlite;
pub use store::{Answer, Store};

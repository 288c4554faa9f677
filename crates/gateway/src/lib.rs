//! The request path: protocols, features, and the stack of machines that keeps requests answered.
//!
//! ```text
//!   acceptor ──deals connections──> workers (one thread, one runtime each; nothing on the way is locked for long)
//!                                     connection ─> pipeline: identity ─> class ─> ladder ─┬─> attempt ─> upstream pool
//!                                                                                          └─> answers of our own
//!   keeper: health checks, ladders' judgement, events          shared: breakers, limits, queues, caches of all workers
//! ```
//!
//! What the crate does not have: SQL, processes, configuration text, the wall clock. [`Gateway`] is its outside.

mod acceptor;
pub mod answers;
mod attempt;
mod blocked;
mod body;
mod chaos;
mod checks;
mod connection;
mod counters;
mod crossing;
mod events;
pub mod features;
mod first_bytes;
mod gateway;
mod going;
mod headers;
mod identity;
pub mod json;
mod keeper;
mod kept;
mod local;
mod models;
mod pipeline;
mod probes;
pub mod protocol;
pub mod reviews;
mod routing;
mod shared;
mod stalled;
mod stream;
mod streamed;
mod tls;
mod until;
mod upstream;
mod watch;
mod worker;

pub use chaos::InjectError;
pub use counters::Summed;
pub use events::EventSink;
pub use gateway::{Gateway, StartError, UnknownRoute};
pub use shared::BlockError;
pub use tls::TlsError;
pub use upstream::endpoint::BadEndpoint;
pub use watch::Batch;

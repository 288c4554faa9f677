//! The data plane end to end: a config, a gateway in this process, real sockets on loopback on both sides of it.

mod anthropic;
mod answers;
mod bad_input;
mod chaos;
mod chaos_features;
mod chaos_load;
mod chaos_orders;
mod chaos_streams;
mod checks;
mod failure;
mod features;
mod keys;
mod language_metrics;
mod local_answers;
mod mixed;
mod observed;
mod operation;
mod orders;
mod overload;
mod recovery;
mod rescues;
mod stream_ends;
mod streams;
mod support;
mod tally;
mod transport;

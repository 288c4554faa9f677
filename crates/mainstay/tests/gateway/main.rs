//! The data plane end to end: a config, a gateway in this process, real sockets on loopback on both sides of it.

mod answers;
mod bad_input;
mod failure;
mod features;
mod local_answers;
mod observed;
mod operation;
mod orders;
mod overload;
mod recovery;
mod streams;
mod support;
mod tally;
mod transport;

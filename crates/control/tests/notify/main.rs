//! Notices by every channel, against receivers on this machine.

#![expect(clippy::unwrap_used, reason = "a test")]

mod bodies;
mod delivery;
mod hostile;
mod mail;
mod redirects;
mod support;

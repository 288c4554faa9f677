//! Experiments: when they may run, what has to hold before, and the course of a run.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod bench;
mod course;
mod crash;
mod gates;
mod random;
mod recovery;
mod stops;
mod windows;

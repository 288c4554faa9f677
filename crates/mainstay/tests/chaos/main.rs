//! Experiments on a service of its own: from the start to the verdict, and that no fault outlives whoever asked for it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod approval;
mod bed;
mod gameday;
mod halt;
mod kill;
mod refused;
mod run;
#[path = "../durability/support.rs"]
#[expect(dead_code, reason = "shared with the tests of durability")]
mod support;

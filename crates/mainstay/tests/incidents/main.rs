//! From a signal to the page, the action and the review; and that nothing of it is lost when the process is killed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod bad_input;
mod kill;
mod receiver;
mod story;
#[path = "../durability/support.rs"]
#[expect(dead_code, reason = "shared with the tests of durability")]
mod support;
mod types;

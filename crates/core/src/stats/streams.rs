//! Detectors of a change in a stream of numbers, the same as river's of that name.
//!
//! They are well known and cheap, and promise no rate of false alarms: see [`sequential`](super::sequential) for those that do.

mod adwin;
mod page_hinkley;

pub use adwin::Adwin;
pub use page_hinkley::{Mode, PageHinkley};

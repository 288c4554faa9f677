//! Good and bad events per span of time, at three resolutions.

use mainstay_core::time::Time;

/// The finest buckets, in seconds.
pub const TEN_SECONDS: u64 = 10;
/// The middle buckets, in seconds.
pub const MINUTE: u64 = 60;
/// The coarsest buckets, in seconds.
pub const HOUR: u64 = 3600;

/// Events within one span of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bucket {
    /// Where the span starts.
    pub start: Time,
    /// Good events.
    pub good: u64,
    /// Bad events.
    pub bad: u64,
}

/// All that rests of one objective. An event is in exactly one bucket of one resolution: the sum of all three is the truth.
/// Each list is in order of time, without gaps being filled.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Series {
    /// The objective's name.
    pub objective: String,
    /// Buckets of [`TEN_SECONDS`], and older ones that came late and are not rolled up yet.
    pub tens: Vec<Bucket>,
    /// Buckets of a [`MINUTE`].
    pub minutes: Vec<Bucket>,
    /// Buckets of an [`HOUR`].
    pub hours: Vec<Bucket>,
}

/// The start of the span of `width_secs` that holds the second `secs`.
pub(crate) const fn floor(secs: u64, width_secs: u64) -> u64 {
    secs - secs % width_secs
}

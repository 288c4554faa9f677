//! The clock of a shell: tokio's monotonic time, written as the core's [`Time`].

use mainstay_core::time::Time;
use tokio::time::Instant;

/// A clock that never runs backwards and follows tokio's paused time in tests.
///
/// It is anchored to the wall clock once, by whoever starts the process. Copies agree with each other.
///
/// ```
/// use mainstay_core::time::Time;
/// use mainstay_tower::clock::Clock;
///
/// let clock = Clock::anchored(Time::from_secs(1_767_225_600));
/// assert!(clock.now() >= Time::from_secs(1_767_225_600));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    anchor: Instant,
    anchored_at: Time,
}

impl Clock {
    /// A clock that reads `now` at this moment.
    pub fn anchored(now: Time) -> Clock {
        Clock { anchor: Instant::now(), anchored_at: now }
    }

    /// The time at this moment.
    #[inline]
    pub fn now(&self) -> Time {
        self.anchored_at + self.anchor.elapsed()
    }

    /// The instant of `time`, for timers. Times before the anchor are the anchor.
    pub fn instant(&self, time: Time) -> Instant {
        self.anchor + time.since(self.anchored_at)
    }
}

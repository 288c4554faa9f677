//! How a store is kept: bounds and retention.

use std::fmt;
use std::sync::Arc;

pub use mainstay_core::plan::Retention;
use mainstay_core::time::Time;

/// How a store is kept.
#[derive(Clone)]
pub struct Options {
    /// What stays how long. Beyond its `size_max` writes end in [`StoreError::Full`](crate::StoreError::Full).
    pub retention: Retention,
    /// Most writes that wait at once.
    pub queue: usize,
    /// Most bytes that wait to be written at once.
    pub queue_bytes: usize,
    /// Connections that read at once.
    pub readers: u32,
    /// A clock for the time that commits take. Nothing else asks it.
    pub clock: Clock,
}

/// Tells the time. In the binary it is the service's clock.
pub type Clock = Arc<dyn Fn() -> Time + Send + Sync>;

impl Default for Options {
    /// A clock that stands still: commits seem to take no time.
    fn default() -> Options {
        Options {
            retention: Retention::default(),
            queue: 1024,
            queue_bytes: 64 << 20,
            readers: 2,
            clock: Arc::new(|| Time::ZERO),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("retention", &self.retention)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

//! How a store is kept: bounds and retention.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::time::Time;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// How a store is kept.
#[derive(Clone)]
pub struct Options {
    /// What stays how long.
    pub retention: Retention,
    /// Most writes that wait at once.
    pub queue: usize,
    /// Most bytes that wait to be written at once.
    pub queue_bytes: usize,
    /// Largest size of the file, in bytes; beyond it writes end in [`StoreError::Full`](crate::StoreError::Full).
    /// `None`: as large as the disk allows.
    pub size_max: Option<u64>,
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
            size_max: None,
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

/// What stays how long. Models, runs, documents, states and the audit log stay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    /// Buckets of ten seconds; older ones become minutes.
    pub tens: Duration,
    /// Buckets of a minute; older ones become hours.
    pub minutes: Duration,
    /// Buckets of an hour; older ones go.
    pub hours: Duration,
    /// Items: predictions, labels, flags, signals.
    pub items: Duration,
    /// The log of events.
    pub events: Duration,
    /// Sketches.
    pub sketches: Duration,
    /// How long the last number of a source is remembered after it was last heard of.
    pub sources: Duration,
}

impl Default for Retention {
    /// One hour, one day, 92 days (a calendar quarter); 30 days of items, 90 of events, 31 of sketches, 7 of sources.
    fn default() -> Retention {
        Retention {
            tens: Duration::from_secs(HOUR),
            minutes: Duration::from_secs(DAY),
            hours: Duration::from_secs(92 * DAY),
            items: Duration::from_secs(30 * DAY),
            events: Duration::from_secs(90 * DAY),
            sketches: Duration::from_secs(31 * DAY),
            sources: Duration::from_secs(7 * DAY),
        }
    }
}

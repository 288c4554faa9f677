//! What the store keeps, how long, and how much of it.

use std::time::Duration;

/// What stays how long. Models, runs, documents, states and the audit log stay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    /// Counts per ten seconds; older ones become minutes.
    pub tens: Duration,
    /// Counts per minute; older ones become hours.
    pub minutes: Duration,
    /// Counts per hour; older ones go.
    pub hours: Duration,
    /// What came from outside: predictions, labels, flags, signals.
    pub items: Duration,
    /// The log of events.
    pub events: Duration,
    /// Sketches of latency.
    pub sketches: Duration,
    /// How long the last number of a source of counts is remembered after it was last heard of.
    pub sources: Duration,
    /// Largest size of the store, in bytes; `None`: as large as the disk allows.
    pub size_max: Option<u64>,
}

impl Default for Retention {
    fn default() -> Retention {
        let days = |days: u64| Duration::from_hours(24 * days);
        Retention {
            tens: Duration::from_hours(1),
            minutes: days(1),
            // A calendar quarter, and the hour that a change of clocks may add.
            hours: days(93),
            items: days(30),
            events: days(90),
            sketches: days(31),
            sources: days(7),
            size_max: None,
        }
    }
}

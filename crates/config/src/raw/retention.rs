//! What stays in the store, and how long.

use crate::read::section;
use crate::values::{Dur, Size};

section! {
    /// What stays in the store, and how long. Models, runs and the audit log stay.
    Retention = "`retention`" {
        /// Counts of objectives per ten seconds; older ones become minutes. Default: 1h.
        tens: Dur,
        /// Counts of objectives per minute; older ones become hours. Default: 1d.
        minutes: Dur,
        /// Counts of objectives per hour. Default: 93d, or as long as the longest window.
        hours: Dur,
        /// Predictions, labels, flags and signals from outside, and labels of requests that never came. Default: 30d.
        items: Dur,
        /// The log of events. Default: 90d.
        events: Dur,
        /// Sketches of latency. Default: 31d.
        sketches: Dur,
        /// Largest size of the store; beyond it nothing is accepted until something is deleted. Default: the disk's.
        size: Size,
    }
}

//! One component's health over a window.

use std::time::Duration;

use crate::time::Time;

/// How long a component has been well, and how much of the current window it has not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Health {
    well: bool,
    since: Time,
    /// Bad time within the current window, up to `counted`.
    bad: Duration,
    counted: Time,
    /// It was bad for at least half of the last window.
    was_bad: bool,
}

impl Health {
    pub(super) const fn new(now: Time) -> Health {
        Health { well: true, since: now, bad: Duration::ZERO, counted: now, was_bad: false }
    }

    pub(super) fn handle(&mut self, well: bool, now: Time) {
        self.count(now);
        if well != self.well {
            self.well = well;
            self.since = now;
        }
    }

    pub(super) fn close_window(&mut self, window: Duration, now: Time) {
        self.count(now);
        self.was_bad = self.bad * 2 >= window;
        self.bad = Duration::ZERO;
    }

    pub(super) fn is_well(&self) -> bool {
        self.well
    }

    pub(super) const fn was_bad(&self) -> bool {
        self.was_bad
    }

    /// How long it has been well without a break; zero while it is bad.
    pub(super) const fn well_for(&self, now: Time) -> Duration {
        if self.well { now.since(self.since) } else { Duration::ZERO }
    }

    fn count(&mut self, now: Time) {
        if !self.well {
            self.bad += now.since(self.counted);
        }
        self.counted = now.max(self.counted);
    }
}

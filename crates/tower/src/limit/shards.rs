//! Where threads count without getting into each other's way.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mainstay_core::resilience::limiter::{Sample, Signal, Slice};

use crate::shard::{self, Padded};

/// A slice per thread; its lock is taken by another thread only when settling.
#[derive(Debug)]
pub(super) struct Shards {
    shards: [Padded<Mutex<Slice>>; shard::SHARDS],
    signal: Signal,
}

impl Shards {
    pub(super) fn new(signal: Signal) -> Shards {
        Shards { shards: Default::default(), signal }
    }

    pub(super) fn record(&self, sample: &Sample, in_flight: u32) {
        let Padded(shard) = &self.shards[shard::index()];
        shard.lock().unwrap_or_else(PoisonError::into_inner).record(sample, in_flight, self.signal);
    }

    pub(super) fn record_first_byte(&self, elapsed: Duration) {
        let Padded(shard) = &self.shards[shard::index()];
        shard.lock().unwrap_or_else(PoisonError::into_inner).record_first_byte(elapsed, self.signal);
    }

    /// Moves everything counted so far into `into`.
    pub(super) fn drain(&self, into: &mut Slice) {
        for Padded(shard) in &self.shards {
            let mut slice = shard.lock().unwrap_or_else(PoisonError::into_inner);
            if slice.finished() > 0 || slice.signal.count() > 0 {
                into.merge(&slice);
                slice.clear();
            }
        }
    }
}

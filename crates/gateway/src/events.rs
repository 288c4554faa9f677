//! Where the data plane's events go: a bounded channel that never makes a request wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use mainstay_core::event::Event;

/// Takes events; what does not fit is dropped and counted.
#[derive(Clone, Debug)]
pub struct EventSink {
    sender: SyncSender<Event>,
    dropped: Arc<[AtomicU64; 2]>,
}

const FULL: usize = 0;
const CLOSED: usize = 1;

impl EventSink {
    /// A sink that holds up to `capacity` events, and its other end.
    pub fn channel(capacity: usize) -> (EventSink, Receiver<Event>) {
        let (sender, receiver) = sync_channel(capacity);
        (EventSink { sender, dropped: Arc::default() }, receiver)
    }

    /// Hands an event over, or drops it where nobody keeps up.
    pub fn emit(&self, event: Event) {
        let lost = match self.sender.try_send(event) {
            Ok(()) => return,
            Err(TrySendError::Full(_)) => FULL,
            Err(TrySendError::Disconnected(_)) => CLOSED,
        };
        self.dropped[lost].fetch_add(1, Ordering::Relaxed);
    }

    /// Events dropped since start, by reason.
    pub fn dropped(&self) -> [(&'static str, u64); 2] {
        [
            ("channel_full", self.dropped[FULL].load(Ordering::Relaxed)),
            ("channel_closed", self.dropped[CLOSED].load(Ordering::Relaxed)),
        ]
    }
}

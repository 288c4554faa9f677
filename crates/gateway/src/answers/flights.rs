//! One call for all that ask the same at the same time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::key::RequestKey;

/// Requests that are being answered, by what they ask.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flights(Arc<Mutex<HashMap<RequestKey, watch::Receiver<Upshot>>>>);

/// The first to ask, until dropped.
#[derive(Debug)]
pub(crate) struct Lead {
    flights: Flights,
    key: RequestKey,
    /// Whoever waits is woken when it is dropped.
    done: watch::Sender<Upshot>,
}

/// What came of the first to ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Upshot {
    /// Its caller left before anything did.
    Left,
    /// It had an answer.
    Answered,
    /// It was asked in vain.
    InVain,
}

/// What comes of asking.
pub(crate) enum Led {
    /// Nobody asks the same.
    First(Lead),
    /// Somebody does.
    Behind(Leader),
}

/// Somebody who asks the same.
pub(crate) struct Leader(watch::Receiver<Upshot>);

impl Flights {
    pub(crate) fn join(&self, key: RequestKey) -> Led {
        let mut flights = self.0.lock().expect("joining does not panic");
        if let Some(leader) = flights.get(&key) {
            return Led::Behind(Leader(leader.clone()));
        }
        let (done, wait) = watch::channel(Upshot::Left);
        flights.insert(key, wait);
        Led::First(Lead { flights: self.clone(), key, done })
    }
}

impl Lead {
    /// It is over, and this came of it.
    pub(crate) fn end(self, ending: Upshot) {
        self.done.send_replace(ending);
    }
}

impl Leader {
    /// Waits until it is over.
    pub(crate) async fn end(mut self) -> Upshot {
        // The channel closes when the lead is dropped, after it is out of the way of whoever asks next.
        while self.0.changed().await.is_ok() {}
        *self.0.borrow()
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.flights.0.lock().expect("joining does not panic").remove(&self.key);
    }
}

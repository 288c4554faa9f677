//! One call for all that ask the same at the same time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::key::RequestKey;

/// Requests that are being answered, by what they ask.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flights(Arc<Mutex<HashMap<RequestKey, watch::Receiver<()>>>>);

/// The first to ask, until dropped.
#[derive(Debug)]
pub(crate) struct Lead {
    flights: Flights,
    key: RequestKey,
    /// Whoever waits is woken when it is dropped.
    _done: watch::Sender<()>,
}

/// What comes of asking.
pub(crate) enum Led {
    /// Nobody asks the same.
    First(Lead),
    /// Somebody does; this ends when it is done.
    Behind(watch::Receiver<()>),
}

impl Flights {
    pub(crate) fn join(&self, key: RequestKey) -> Led {
        let mut flights = self.0.lock().expect("joining does not panic");
        if let Some(leader) = flights.get(&key) {
            return Led::Behind(leader.clone());
        }
        let (done, wait) = watch::channel(());
        flights.insert(key, wait);
        Led::First(Lead { flights: self.clone(), key, _done: done })
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.flights.0.lock().expect("joining does not panic").remove(&self.key);
    }
}

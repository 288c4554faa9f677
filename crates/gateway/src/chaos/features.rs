//! Faults at a feature store.

use std::time::Duration;

use mainstay_core::chaos::fault::{Fault, How, Point};

use super::met::Met;
use crate::features::Spoil;
use crate::worker::State;

/// What comes of a retrieval that a fault came to.
#[derive(Clone, Copy)]
pub(crate) enum FeaturesFault<'a> {
    /// The store cannot be reached.
    Transport,
    /// The store answers with this status.
    Status(u16),
    /// The store is asked later.
    Later(Duration),
    /// The store's answer is changed.
    Spoil(Spoil<'a>),
}

impl Met {
    /// What comes of a retrieval of a feature set.
    pub(crate) fn features_fault(&self, state: &State, route: usize, set: &str) -> Option<FeaturesFault<'_>> {
        let fault = match self.fault_at(Point::Features, set)? {
            Fault::FeatureLatency(delay) => FeaturesFault::Later(delay.draw(&mut self.rng.borrow_mut())),
            Fault::FeatureError(failing) if failing.how == How::Status => FeaturesFault::Status(failing.status()),
            Fault::FeatureError(_) => FeaturesFault::Transport,
            Fault::StaleFeatures(stale) => FeaturesFault::Spoil(Spoil::Older(stale.age)),
            Fault::DataQuality(spoiled) => FeaturesFault::Spoil(Spoil::Changed(spoiled)),
            _ => return None,
        };
        self.touch(state, route).then_some(fault)
    }
}

//! The keys of a backend as all workers see them.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use mainstay_core::plan::{Backend, Secret};
use mainstay_core::resilience::keys::{Effect, Fault, Keys, View};
use mainstay_core::resilience::outcome::{FailureKind, Outcome};
use mainstay_core::time::Time;

use super::Shared;

/// The keys of one backend. Their places in the config stand for them, never what they are.
pub(crate) struct KeyRing {
    /// The backend's name.
    pub(crate) backend: String,
    secrets: Vec<Secret>,
    keys: Mutex<Keys>,
}

/// A key that a call bears.
#[derive(Clone)]
pub(crate) struct KeyInUse {
    ring: Arc<KeyRing>,
    /// Its place in the config, from 0.
    pub(crate) at: usize,
}

impl KeyRing {
    /// The running one where the keys are the same, or a new one.
    pub(crate) fn carry_over(config: &Backend, old: Option<&Shared>) -> Arc<KeyRing> {
        let same = |ring: &&Arc<KeyRing>| ring.backend == config.name && ring.secrets == config.keys;
        let running = old.and_then(|old| old.keys.iter().find(same)).cloned();
        running.unwrap_or_else(|| {
            let keys = Mutex::new(Keys::new(config.keys.len()));
            Arc::new(KeyRing { backend: config.name.clone(), secrets: config.keys.clone(), keys })
        })
    }

    /// The key of the next call, which is not to bear `avoid`; `None`: there are no keys. `Err`: none but that is used at this moment.
    pub(crate) fn pick(self: &Arc<Self>, avoid: Option<usize>, now: Time) -> Result<Option<KeyInUse>, ()> {
        if self.secrets.is_empty() {
            return Ok(None);
        }
        let at = self.lock().handle_pick_but(avoid, now).map_err(|_| ())?;
        Ok(Some(KeyInUse { ring: Arc::clone(self), at }))
    }

    /// How long it takes until one of them is used again; zero: there is one.
    pub(crate) fn wait(&self, now: Time) -> Duration {
        self.lock().free_at(now).since(now)
    }

    /// Whether a key can rest for this: where there are others, or where asking with it again is in vain for long.
    fn can_rest(&self, fault: Fault) -> bool {
        self.secrets.len() > 1 || fault == Fault::Spent
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.secrets.len()
    }

    /// What became of them since the last call.
    pub(crate) fn effects(&self, now: Time) -> Vec<Effect> {
        if self.secrets.is_empty() {
            return Vec::new();
        }
        let mut keys = self.lock();
        keys.handle_timeout(now);
        std::iter::from_fn(|| keys.poll_effect()).collect()
    }

    /// Each of them, in the config's order.
    pub(crate) fn view(&self) -> Vec<View> {
        self.lock().view().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().expect("counting does not panic")
    }
}

impl KeyInUse {
    /// The call that was to bear it is not made.
    pub(crate) fn unused(&self) {
        self.ring.lock().handle_unused(self.at);
    }

    /// A call with it has ended: what of that concerns the backend. A fault of one key among several does not, as long as another is left.
    ///
    /// A backend with one key is at fault with it: whether that rests is for its breaker to say, unless its money is spent.
    pub(crate) fn report(&self, outcome: Outcome, fault: Option<Fault>, now: Time) -> Outcome {
        let mut keys = self.ring.lock();
        let Some(fault) = fault else {
            if outcome == Outcome::Success {
                keys.handle_success(self.at);
            }
            return outcome;
        };
        if !self.ring.can_rest(fault) {
            keys.count_fault(self.at, fault);
            return outcome;
        }
        keys.handle_fault(self.at, fault, outcome.retry_after(), now);
        let wait = keys.free_at(now).since(now);
        match (fault, wait.is_zero()) {
            (_, true) => Outcome::Cancelled,
            (Fault::Limited, false) => Outcome::Throttled { retry_after: Some(wait) },
            (Fault::Refused | Fault::Spent, false) => {
                Outcome::Failure { kind: FailureKind::Server, retry_after: Some(wait) }
            }
        }
    }
}

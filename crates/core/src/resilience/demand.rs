//! How the best class fares at a backend's limit: whether the backend has as good as gone.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::route::Class;
use crate::time::Time;

/// How the best class fares at a backend's limit, judged once a second. The other classes are meant to be turned away.
///
/// ```
/// use mainstay_core::resilience::demand::Demand;
/// use mainstay_core::route::Class;
/// use mainstay_core::time::Time;
///
/// let demand = Demand::default();
/// (0..100).for_each(|_| demand.note(Class::BEST, false));
/// assert!(demand.is_collapsed(Time::from_secs(1)));
/// ```
#[derive(Debug, Default)]
pub struct Demand {
    asked: AtomicU64,
    refused: AtomicU64,
    judged_ms: AtomicU64,
    collapsed: AtomicBool,
}

impl Demand {
    /// Fewer requests say nothing.
    const ENOUGH: u64 = 20;
    const EVERY_MS: u64 = 1000;

    /// Notes a request's fate at the limit.
    pub fn note(&self, class: Class, admitted: bool) {
        if class != Class::BEST {
            return;
        }
        self.asked.fetch_add(1, Ordering::Relaxed);
        if !admitted {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether the limit turned away most of the best class in the last second: the backend has as good as gone.
    pub fn is_collapsed(&self, now: Time) -> bool {
        if now.as_millis().saturating_sub(self.judged_ms.load(Ordering::Relaxed)) >= Self::EVERY_MS {
            self.judged_ms.store(now.as_millis(), Ordering::Relaxed);
            let asked = self.asked.swap(0, Ordering::Relaxed);
            let refused = self.refused.swap(0, Ordering::Relaxed);
            self.collapsed.store(asked >= Self::ENOUGH && refused * 2 > asked, Ordering::Relaxed);
        }
        self.collapsed.load(Ordering::Relaxed)
    }
}

//! What was ordered of a route at run time: to keep every request, and to block some by what they hold.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use arc_swap::ArcSwapOption;
use mainstay_core::status::Raised;
use mainstay_core::time::Time;

use crate::UnknownRoute;
use crate::blocked::{Blocked, Pattern};

/// Most patterns of a route.
const PATTERNS_MAX: usize = 100;
/// Longest pattern, in characters.
const PATTERN_CHARS_MAX: usize = 200;

/// Why a pattern is not blocked.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// There is no route of this name.
    #[error(transparent)]
    UnknownRoute(#[from] UnknownRoute),
    /// It is empty, or too long.
    #[error("a pattern has 1 to {PATTERN_CHARS_MAX} characters")]
    Length,
    /// The route has no room for another one.
    #[error("a route has at most {PATTERNS_MAX} patterns")]
    TooMany,
}

/// What was ordered of a route. Requests under older configs see the same.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    /// Until when every request is kept, in nanoseconds.
    raised_until: AtomicU64,
    /// Whether `blocked` holds anything.
    blocks: AtomicBool,
    blocked: ArcSwapOption<Blocked>,
    /// What `blocked` is made from.
    patterns: Mutex<Vec<Pattern>>,
}

impl Orders {
    pub(crate) fn raise(&self, until: Option<Time>) {
        self.raised_until.store(until.unwrap_or(Time::MAX).as_nanos(), Ordering::Relaxed);
    }

    pub(crate) fn lower(&self) {
        self.raised_until.store(0, Ordering::Relaxed);
    }

    /// Whether a request is kept that ends at this moment.
    pub(crate) fn is_raised(&self, at: Time) -> bool {
        at.as_nanos() < self.raised_until.load(Ordering::Relaxed)
    }

    pub(crate) fn raised(&self, now: Time) -> Option<Raised> {
        let until = Time::from_nanos(self.raised_until.load(Ordering::Relaxed));
        (now < until).then_some(Raised { until: Some(until).filter(|until| *until < Time::MAX) })
    }

    /// Adds a pattern, or gives it another end.
    pub(crate) fn block(&self, pattern: &str, until: Option<Time>, now: Time) -> Result<(), BlockError> {
        if !(1..=PATTERN_CHARS_MAX).contains(&pattern.chars().count()) {
            return Err(BlockError::Length);
        }
        let pattern = Pattern::new(pattern, until.unwrap_or(Time::MAX));
        let mut patterns = self.patterns();
        patterns.retain(|other| other.until > now && other.text != pattern.text);
        let room = patterns.len() < PATTERNS_MAX;
        if room {
            patterns.push(pattern);
        }
        self.publish(&patterns);
        if room { Ok(()) } else { Err(BlockError::TooMany) }
    }

    pub(crate) fn unblock(&self, pattern: &str, now: Time) {
        let pattern = Pattern::new(pattern, now);
        let mut patterns = self.patterns();
        patterns.retain(|other| other.until > now && other.text != pattern.text);
        self.publish(&patterns);
    }

    /// What requests are looked through for; `None`, at the cost of one load, where no pattern was given.
    pub(crate) fn patterns_in_force(&self, now: Time) -> Option<Arc<Blocked>> {
        if !self.blocks.load(Ordering::Acquire) {
            return None;
        }
        self.blocked.load_full().filter(|blocked| blocked.in_force(now) > 0)
    }

    /// How many patterns are in force.
    pub(crate) fn blocked(&self, now: Time) -> usize {
        self.patterns_in_force(now).map_or(0, |blocked| blocked.in_force(now))
    }

    /// Forgets patterns that have ended.
    pub(crate) fn settle(&self, now: Time) {
        if !self.blocks.load(Ordering::Acquire) {
            return;
        }
        let mut patterns = self.patterns();
        let before = patterns.len();
        patterns.retain(|pattern| pattern.until > now);
        if patterns.len() < before {
            self.publish(&patterns);
        }
    }

    fn publish(&self, patterns: &[Pattern]) {
        self.blocked.store((!patterns.is_empty()).then(|| Arc::new(Blocked::new(patterns))));
        self.blocks.store(!patterns.is_empty(), Ordering::Release);
    }

    fn patterns(&self) -> MutexGuard<'_, Vec<Pattern>> {
        self.patterns.lock().expect("nothing panics while it is held")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_secs(1_000);
    const LATER: Time = Time::from_secs(2_000);

    #[test]
    fn patterns_are_bounded_and_make_room_when_they_end() {
        let orders = Orders::default();
        for wrong in [String::new(), "ä".repeat(201)] {
            assert!(matches!(orders.block(&wrong, None, NOW), Err(BlockError::Length)));
        }
        assert_eq!(orders.blocked(NOW), 0);
        orders.block(&"ä".repeat(200), Some(LATER), NOW).unwrap();
        (1..100).for_each(|n| orders.block(&format!("p{n}"), None, NOW).unwrap());
        assert!(matches!(orders.block("one more", None, NOW), Err(BlockError::TooMany)));
        assert_eq!(orders.blocked(NOW), 100, "those that are there stay");
        orders.block("P99", None, NOW).expect("the same again in other letters is no more");
        assert_eq!(orders.blocked(NOW), 100);
        orders.block("one more", None, LATER).expect("the first has ended");
        assert_eq!(orders.blocked(LATER), 100);
    }

    #[test]
    fn what_has_ended_costs_nothing_any_more() {
        let orders = Orders::default();
        orders.block("a", Some(LATER), NOW).unwrap();
        orders.block("b", Some(NOW), NOW).unwrap();
        assert_eq!((orders.blocked(NOW), orders.blocked(LATER)), (1, 0));
        assert!(orders.patterns_in_force(LATER).is_none(), "to the moment, whether or not it is forgotten");
        assert!(orders.blocks.load(Ordering::Relaxed));
        orders.settle(LATER);
        assert!(!orders.blocks.load(Ordering::Relaxed));
        orders.block("a", None, NOW).unwrap();
        orders.unblock("A", NOW);
        assert!(!orders.blocks.load(Ordering::Relaxed));
    }

    #[test]
    fn requests_are_kept_until_the_moment_given() {
        let orders = Orders::default();
        assert!(!orders.is_raised(NOW) && orders.raised(NOW).is_none());
        orders.raise(Some(LATER));
        assert_eq!(orders.raised(NOW), Some(Raised { until: Some(LATER) }));
        assert_eq!((orders.is_raised(NOW), orders.is_raised(LATER)), (true, false));
        assert_eq!(orders.raised(LATER), None);
        orders.raise(None);
        assert_eq!((orders.is_raised(LATER), orders.raised(LATER)), (true, Some(Raised { until: None })));
        orders.lower();
        assert!(!orders.is_raised(NOW));
    }
}

//! When an answer is due. A request has ONE deadline; whatever is done on its behalf gets a share of what remains.

use crate::time::Time;
use std::time::Duration;

/// The moment by which the caller must have an answer.
///
/// ```
/// use mainstay_core::resilience::deadline::Deadline;
/// use mainstay_core::time::Time;
/// use std::time::Duration;
///
/// let now = Time::from_secs(100);
/// let whole = Deadline::after(Duration::from_secs(10), now);
/// // An attempt may take 8 s, and one second must be left to answer from a cache.
/// let attempt = whole.child(Duration::from_secs(8), Duration::from_secs(1), now + Duration::from_secs(4));
/// assert_eq!(attempt.at, now + Duration::from_secs(9));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    /// The moment.
    pub at: Time,
}

impl Deadline {
    /// No deadline.
    pub const NEVER: Deadline = Deadline { at: Time::MAX };

    /// The deadline `timeout` from `now`.
    pub fn after(timeout: Duration, now: Time) -> Deadline {
        Deadline { at: now + timeout }
    }

    /// The time left; zero once it has passed.
    pub const fn remaining(&self, now: Time) -> Duration {
        self.at.since(now)
    }

    /// Whether it has passed.
    pub fn is_over(&self, now: Time) -> bool {
        now >= self.at
    }

    /// The deadline of a part: `timeout` from `now`, but `reserve` before this one at the latest. It is over at once
    /// when less than `reserve` is left.
    pub fn child(&self, timeout: Duration, reserve: Duration, now: Time) -> Deadline {
        if *self == Deadline::NEVER {
            return Deadline::after(timeout, now);
        }
        Deadline { at: (now + timeout).min(self.at - reserve) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_never_outlives_its_parent_less_the_reserve() {
        let (now, second) = (Time::from_secs(50), Duration::from_secs(1));
        let parent = Deadline::after(3 * second, now);
        assert_eq!(parent.child(second, second, now).remaining(now), second);
        assert_eq!(parent.child(9 * second, second, now).remaining(now), 2 * second);
        assert!(parent.child(9 * second, 4 * second, now).is_over(now));
        assert_eq!(Deadline::NEVER.child(second, second, now).remaining(now), second);
    }
}

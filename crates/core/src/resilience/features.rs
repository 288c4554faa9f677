//! Where the value of a feature comes from: the store's answer, what was last known to be good, or nowhere.
//!
//! ```text
//! the store gave a value ............ that one; it is kept as known
//! the store says that there is none . no value; what was known is erased
//! the store knows nothing ........... what is known, if it is young enough
//! the store was not asked ........... what is known, if it is young enough
//! ```
//!
//! Where nothing has a value the set's default counts, and without a default the entry that needs it is skipped. A value is
//! stale that is older than the set's `max_age`, by the time at which it was true.

use std::time::Duration;

use crate::time::Time;

/// Ages that a feature set allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ages {
    /// An older value is stale; `None`: none is.
    pub stale: Option<Duration>,
    /// A value that the store gave longer ago is not used.
    pub known: Duration,
}

/// What a store says of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Given {
    /// It has one.
    Value {
        /// When it was true, where the store says so.
        event: Option<Time>,
        /// The store itself calls it too old.
        outdated: bool,
    },
    /// It knows that there is none.
    Null,
    /// It knows nothing.
    Nothing,
}

/// A value that the store once gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// When it was true, where the store said so.
    pub event: Option<Time>,
    /// When the store gave it.
    pub seen: Time,
}

/// Where a value comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// The store.
    Online {
        /// When it was true, where that is known.
        event: Option<Time>,
        /// Whether it is stale.
        stale: bool,
    },
    /// What was last known to be good.
    Cached {
        /// When it was true, as far as that is known.
        event: Option<Time>,
        /// Whether it is stale.
        stale: bool,
    },
    /// Nowhere.
    Absent {
        /// Whether a known value was looked for.
        missed: bool,
    },
}

/// What becomes of what is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keeps {
    /// The store's value is known from now on.
    Given,
    /// What was known stays.
    Known,
    /// Nothing is known any more.
    Nothing,
}

impl Given {
    /// What becomes of what is known when the store has said this.
    pub const fn keeps(self) -> Keeps {
        match self {
            Given::Value { .. } => Keeps::Given,
            Given::Null => Keeps::Nothing,
            Given::Nothing => Keeps::Known,
        }
    }
}

impl Ages {
    /// Where a value comes from that the store was asked for.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mainstay_core::resilience::features::{Ages, Given, Known, Source};
    /// use mainstay_core::time::Time;
    ///
    /// let ages = Ages { stale: Some(Duration::from_secs(60)), known: Duration::from_secs(3_600) };
    /// let (seen, now) = (Time::from_secs(1_000), Time::from_secs(1_500));
    /// let known = Some(Known { event: None, seen });
    /// assert_eq!(ages.online(Given::Nothing, known, now), Source::Cached { event: Some(seen), stale: true });
    /// assert_eq!(ages.online(Given::Null, known, now), Source::Absent { missed: false });
    /// ```
    pub fn online(&self, given: Given, known: Option<Known>, now: Time) -> Source {
        match given {
            Given::Value { event, outdated } => Source::Online { event, stale: outdated || self.is_stale(event, now) },
            Given::Null => Source::Absent { missed: false },
            Given::Nothing => self.cached(known, now),
        }
    }

    /// Where a value comes from that the store was not asked for.
    pub fn cached(&self, known: Option<Known>, now: Time) -> Source {
        match known.filter(|known| now.since(known.seen) <= self.known) {
            Some(known) => {
                let event = known.event.or(Some(known.seen));
                Source::Cached { event, stale: self.is_stale(event, now) }
            }
            None => Source::Absent { missed: true },
        }
    }

    fn is_stale(&self, event: Option<Time>, now: Time) -> bool {
        self.stale.zip(event).is_some_and(|(stale, event)| now.since(event) > stale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGES: Ages = Ages { stale: Some(Duration::from_secs(10)), known: Duration::from_secs(100) };

    #[test]
    fn ages_count_from_when_a_value_was_true_and_the_cache_from_when_it_came() {
        let at = Time::from_secs;
        let value = |event, outdated| Given::Value { event: Some(at(event)), outdated };
        let online = |given| AGES.online(given, None, at(1_000));
        assert_eq!(online(value(990, false)), Source::Online { event: Some(at(990)), stale: false });
        assert_eq!(online(value(989, false)), Source::Online { event: Some(at(989)), stale: true });
        assert_eq!(online(value(1_000, true)), Source::Online { event: Some(at(1_000)), stale: true });
        let known = |seen| Some(Known { event: Some(at(995)), seen: at(seen) });
        assert_eq!(AGES.cached(known(900), at(1_000)), Source::Cached { event: Some(at(995)), stale: false });
        assert_eq!(AGES.cached(known(899), at(1_000)), Source::Absent { missed: true });
    }

    #[test]
    fn what_a_store_says_is_kept_unless_it_knows_nothing() {
        assert_eq!(Given::Value { event: None, outdated: true }.keeps(), Keeps::Given);
        assert_eq!(Given::Null.keeps(), Keeps::Nothing);
        assert_eq!(Given::Nothing.keeps(), Keeps::Known);
    }
}

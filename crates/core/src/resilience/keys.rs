//! Several keys of one backend: which one the next call bears, and which ones rest.
//!
//! A key that is refused, spent or asked too often says nothing about the backend behind it: that key rests, the others go on in turn. Only
//! when none is left is the backend itself at fault.
//!
//! ```
//! use mainstay_core::resilience::keys::{Fault, Keys};
//! use mainstay_core::time::Time;
//! use std::time::Duration;
//!
//! let now = Time::from_secs(100);
//! let mut keys = Keys::new(2);
//! assert_eq!(keys.handle_pick(now), Ok(0));
//! keys.handle_fault(0, Fault::Limited, Some(Duration::from_secs(7)), now);
//! assert_eq!((keys.handle_pick(now), keys.handle_pick(now)), (Ok(1), Ok(1)));
//! keys.handle_fault(1, Fault::Spent, None, now);
//! assert_eq!(keys.handle_pick(now), Err(Time::from_secs(107)));
//! assert_eq!(keys.handle_pick(Time::from_secs(107)), Ok(0));
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Time;

/// Most keys of one backend.
pub const KEYS_MAX: usize = 64;

/// How long a key that is asked too often rests for the first time, where its provider does not say; it doubles.
pub const LIMITED_REST: Duration = Duration::from_secs(1);

/// The longest of those rests.
pub const LIMITED_REST_MAX: Duration = Duration::from_secs(30);

/// How long a key that is refused rests for the first time; it doubles.
pub const REFUSED_REST: Duration = Duration::from_mins(1);

/// How long a key without money rests, and the longest rest of one that is refused.
pub const SPENT_REST: Duration = Duration::from_hours(1);

/// Providers' longer wishes are cut to this.
pub const REST_MAX: Duration = Duration::from_hours(24);

/// Effects that nobody fetched; the oldest are forgotten.
const EFFECTS: usize = 4 * KEYS_MAX;

/// What is wrong with a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fault {
    /// It asks too often.
    Limited,
    /// It is not accepted.
    Refused,
    /// Its money is spent.
    Spent,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 3] = [Fault::Limited, Fault::Refused, Fault::Spent];

    /// In one word, for events and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Fault::Limited => "limited",
            Fault::Refused => "refused",
            Fault::Spent => "spent",
        }
    }

    /// How long a key rests that had this fault `before` times in a row already. Wishes count where they are longer, or where asking too
    /// often is all that is wrong.
    fn rest(self, before: u32, wish: Option<Duration>) -> Duration {
        let doubled = |first: Duration, most: Duration| first.saturating_mul(1 << before.min(16)).min(most);
        let rest = match self {
            Fault::Limited => wish.unwrap_or_else(|| doubled(LIMITED_REST, LIMITED_REST_MAX)),
            Fault::Refused => doubled(REFUSED_REST, SPENT_REST).max(wish.unwrap_or_default()),
            Fault::Spent => SPENT_REST.max(wish.unwrap_or_default()),
        };
        rest.min(REST_MAX)
    }
}

/// What became of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// It rests.
    Rests {
        /// Which, from 0.
        key: usize,
        /// Why.
        why: Fault,
        /// Until when.
        until: Time,
    },
    /// It is used again.
    Returned {
        /// Which, from 0.
        key: usize,
    },
}

/// A key at one moment. Which secret it stands for is nobody's business here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct View {
    /// Calls that bore it.
    pub calls: u64,
    /// Its faults, in the order of [`Fault::ALL`].
    pub faults: [u64; 3],
    /// Until when it rests.
    pub rests_until: Option<Time>,
}

#[derive(Clone, Debug, Default)]
struct Key {
    rests_until: Option<Time>,
    /// Rests since it last was accepted.
    streak: u32,
    calls: u64,
    faults: [u64; 3],
}

/// The keys of one backend.
#[derive(Clone, Debug)]
pub struct Keys {
    all: Vec<Key>,
    /// Whose turn it is.
    next: usize,
    effects: VecDeque<Effect>,
}

impl Keys {
    /// So many keys, none of which rests.
    pub fn new(count: usize) -> Keys {
        Keys { all: vec![Key::default(); count], next: 0, effects: VecDeque::new() }
    }

    /// The key of the next call: in turn, without those that rest. `Err`: all of them do, the first of them until then.
    pub fn handle_pick(&mut self, now: Time) -> Result<usize, Time> {
        self.handle_pick_but(None, now)
    }

    /// The same for a call that shall bear another key than `avoid`. `Err` says nothing of that one.
    pub fn handle_pick_but(&mut self, avoid: Option<usize>, now: Time) -> Result<usize, Time> {
        self.handle_timeout(now);
        let count = self.all.len();
        let in_turn = (0..count).map(|step| (self.next + step) % count);
        let Some(at) = in_turn.into_iter().find(|at| Some(*at) != avoid && self.all[*at].rests_until.is_none()) else {
            return Err(self.poll_timeout().unwrap_or(now));
        };
        self.next = at + 1;
        self.all[at].calls += 1;
        Ok(at)
    }

    /// The key was picked for a call that was not made after all.
    pub fn handle_unused(&mut self, key: usize) {
        if let Some(key) = self.all.get_mut(key) {
            key.calls = key.calls.saturating_sub(1);
        }
    }

    /// A call with this key was taken.
    pub fn handle_success(&mut self, key: usize) {
        // A call that began before the rest says nothing about what ended in it.
        if let Some(key) = self.all.get_mut(key).filter(|key| key.rests_until.is_none()) {
            key.streak = 0;
        }
    }

    /// A call with this key was not taken for the key's sake; `wish` is how long its provider asked to be left alone.
    pub fn handle_fault(&mut self, key: usize, why: Fault, wish: Option<Duration>, now: Time) {
        let Some(found) = self.all.get_mut(key) else { return };
        found.faults[why as usize] += 1;
        // Calls that were under way together are one reason to rest, not several.
        let before = found.streak.saturating_sub(u32::from(found.rests_until.is_some()));
        let until = now + why.rest(before, wish);
        if until <= now || found.rests_until.is_some_and(|earlier| earlier >= until) {
            return;
        }
        match found.rests_until.replace(until) {
            // A little more of the same is no news.
            Some(earlier) if until < earlier + LIMITED_REST => return,
            Some(_) => {}
            None => found.streak = found.streak.saturating_add(1),
        }
        self.emit(Effect::Rests { key, why, until });
    }

    /// The same for a key that does not rest for it.
    pub fn count_fault(&mut self, key: usize, why: Fault) {
        if let Some(found) = self.all.get_mut(key) {
            found.faults[why as usize] += 1;
        }
    }

    /// Time has passed: rests end.
    pub fn handle_timeout(&mut self, now: Time) {
        for at in 0..self.all.len() {
            if self.all[at].rests_until.is_some_and(|until| until <= now) {
                self.all[at].rests_until = None;
                self.emit(Effect::Returned { key: at });
            }
        }
    }

    /// When the next rest ends.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.all.iter().filter_map(|key| key.rests_until).min()
    }

    /// What became of them.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When a key can be used: now, or when the first rest ends.
    pub fn free_at(&self, now: Time) -> Time {
        self.all.iter().map(|key| key.rests_until.unwrap_or(now)).min().map_or(now, |at| at.max(now))
    }

    /// Each of them, in the config's order.
    pub fn view(&self) -> impl Iterator<Item = View> + '_ {
        self.all.iter().map(|key| View { calls: key.calls, faults: key.faults, rests_until: key.rests_until })
    }

    fn emit(&mut self, effect: Effect) {
        if self.effects.len() == EFFECTS {
            self.effects.pop_front();
        }
        self.effects.push_back(effect);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time::from_secs(1_000);

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn rests_double_until_a_call_is_taken_and_calls_together_count_once() {
        let mut keys = Keys::new(2);
        let mut now = START;
        for rest in [1, 2, 4, 8, 16, 30, 30] {
            for _ in 0..5 {
                keys.handle_fault(0, Fault::Limited, None, now);
            }
            // One that was under way all the time.
            keys.handle_success(0);
            assert_eq!(keys.view().next().unwrap().rests_until, Some(now + secs(rest)));
            assert!(!keys.effects.is_empty());
            now = now + secs(rest);
            keys.handle_timeout(now);
        }
        keys.handle_success(0);
        keys.handle_fault(0, Fault::Limited, None, now);
        assert_eq!(keys.poll_timeout(), Some(now + secs(1)));
        assert_eq!(keys.view().next().unwrap().faults, [36, 0, 0]);
    }

    #[test]
    fn a_call_that_was_not_made_is_not_counted() {
        let mut keys = Keys::new(2);
        assert_eq!((keys.handle_pick(START), keys.handle_pick(START), keys.handle_pick(START)), (Ok(0), Ok(1), Ok(0)));
        keys.handle_unused(0);
        keys.handle_unused(7);
        assert_eq!(keys.view().map(|key| key.calls).collect::<Vec<_>>(), [1, 1]);
    }

    #[test]
    fn wishes_are_honoured_within_reason() {
        let rest = |why, wish| {
            let mut keys = Keys::new(1);
            keys.handle_fault(0, why, wish, START);
            keys.free_at(START).since(START)
        };
        assert_eq!(rest(Fault::Limited, Some(secs(90))), secs(90));
        assert_eq!(rest(Fault::Limited, Some(Duration::ZERO)), Duration::ZERO);
        assert_eq!(rest(Fault::Refused, Some(secs(1))), REFUSED_REST);
        assert_eq!(rest(Fault::Spent, Some(secs(7 * 86_400))), REST_MAX);
        assert_eq!(rest(Fault::Spent, Some(secs(5))), SPENT_REST);
    }

    #[test]
    fn a_longer_rest_wins_and_each_change_is_told_once() {
        let mut keys = Keys::new(3);
        keys.handle_fault(1, Fault::Spent, None, START);
        keys.handle_fault(1, Fault::Limited, None, START + secs(1));
        let until = START + SPENT_REST;
        let picked: Vec<_> = (0..4).map(|_| keys.handle_pick(START + secs(2))).collect();
        assert_eq!(picked, [Ok(0), Ok(2), Ok(0), Ok(2)]);
        keys.handle_timeout(until);
        keys.handle_timeout(until);
        let told: Vec<_> = std::iter::from_fn(|| keys.poll_effect()).collect();
        assert_eq!(told, [Effect::Rests { key: 1, why: Fault::Spent, until }, Effect::Returned { key: 1 }]);
    }
}

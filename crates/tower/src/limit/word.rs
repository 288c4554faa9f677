//! Everything that admission needs to know, in one atomic word.
//!
//! ```text
//!   63        48 47              24 23               0
//!   [ waiting  ] [     limit      ] [   in flight    ]
//! ```
//!
//! Because all three change in one step, nobody can take a permit past the limit, overtake somebody who already waits,
//! or release a permit without noticing that somebody waits.

use std::sync::atomic::{AtomicU64, Ordering};

use mainstay_core::resilience::limiter::MAX_LIMIT;

const LIMIT_SHIFT: u32 = 24;
const WAITING_SHIFT: u32 = 48;
const FIELD: u64 = (1 << 24) - 1;
const ONE_WAITING: u64 = 1 << WAITING_SHIFT;

/// The most that can wait.
pub(super) const MAX_WAITING: usize = u16::MAX as usize;

/// What a [`Word`] says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Counts {
    pub(super) in_flight: u32,
    pub(super) limit: u32,
    pub(super) waiting: u32,
}

impl Counts {
    const fn unpack(word: u64) -> Counts {
        Counts {
            in_flight: (word & FIELD) as u32,
            limit: ((word >> LIMIT_SHIFT) & FIELD) as u32,
            waiting: (word >> WAITING_SHIFT) as u32,
        }
    }

    pub(super) const fn has_room(self) -> bool {
        self.in_flight < self.limit
    }
}

#[derive(Debug)]
pub(super) struct Word(AtomicU64);

impl Word {
    pub(super) fn new(limit: u32) -> Word {
        Word(AtomicU64::new(u64::from(limit.clamp(1, MAX_LIMIT)) << LIMIT_SHIFT))
    }

    pub(super) fn counts(&self) -> Counts {
        Counts::unpack(self.0.load(Ordering::Acquire))
    }

    /// Takes a permit if there is room and nobody waits.
    pub(super) fn try_take(&self) -> Result<(), Counts> {
        self.update(|counts| (counts.has_room() && counts.waiting == 0).then_some(1))
    }

    /// Takes a permit for somebody who waits, who then waits no more.
    pub(super) fn try_take_waiting(&self) -> Result<(), Counts> {
        self.update(|counts| (counts.has_room() && counts.waiting > 0).then_some(1u64.wrapping_sub(ONE_WAITING)))
    }

    /// Gives a permit back and says what was the case until then.
    pub(super) fn release(&self) -> Counts {
        Counts::unpack(self.0.fetch_sub(1, Ordering::AcqRel))
    }

    /// Somebody begins to wait. At most [`MAX_WAITING`] may.
    pub(super) fn join(&self) {
        self.0.fetch_add(ONE_WAITING, Ordering::AcqRel);
    }

    /// Somebody who waited gave up.
    pub(super) fn leave(&self) {
        self.0.fetch_sub(ONE_WAITING, Ordering::AcqRel);
    }

    /// Sets the limit. What is in flight above it stays until released.
    pub(super) fn set_limit(&self, limit: u32) {
        let bits = u64::from(limit.clamp(1, MAX_LIMIT)) << LIMIT_SHIFT;
        let set = |word| Some(word & !(FIELD << LIMIT_SHIFT) | bits);
        let _: Result<u64, u64> = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, set);
    }

    /// Adds `step(counts)`, or changes nothing where it is `None`.
    fn update(&self, step: impl Fn(Counts) -> Option<u64>) -> Result<(), Counts> {
        let add = |word: u64| step(Counts::unpack(word)).map(|by| word.wrapping_add(by));
        match self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, add) {
            Ok(_) => Ok(()),
            Err(word) => Err(Counts::unpack(word)),
        }
    }
}

#[cfg(test)]
mod tests {
    //! Every interleaving of callers, releasers and limit changes, step by step as [`super::super::SharedLimit`] takes
    //! them: each step is one operation on the word, or needs the lock.

    use super::*;
    use std::collections::BTreeSet;

    /// What a thread does next.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
    enum At {
        Try,
        Enqueue,
        Parked,
        Holds,
        /// Looks whether the next in line can be called; then goes on to the second field.
        Dispatch(Then),
        Lower,
        Done,
    }

    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
    enum Then {
        Park,
        Done,
    }

    #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
    struct State {
        word: u64,
        threads: Vec<At>,
        line: Vec<usize>,
        /// Called while it was still on its way to parking.
        called: BTreeSet<usize>,
        to: u32,
    }

    fn step(mut state: State, i: usize) -> State {
        let word = Word(AtomicU64::new(state.word));
        let before = word.counts();
        state.threads[i] = match state.threads[i] {
            At::Try => {
                if word.try_take().is_ok() {
                    At::Holds
                } else {
                    At::Enqueue
                }
            }
            At::Enqueue => {
                word.join();
                state.line.push(i);
                At::Dispatch(Then::Park)
            }
            At::Parked => At::Parked,
            At::Holds => {
                if word.release().waiting > 0 {
                    At::Dispatch(Then::Done)
                } else {
                    At::Done
                }
            }
            At::Dispatch(then) => {
                if word.try_take_waiting().is_ok() {
                    let next = state.line.remove(0);
                    if state.threads[next] == At::Parked {
                        state.threads[next] = At::Holds;
                    } else {
                        state.called.insert(next);
                    }
                    At::Dispatch(then)
                } else if then == Then::Done {
                    At::Done
                } else if state.called.remove(&i) {
                    At::Holds
                } else {
                    At::Parked
                }
            }
            At::Lower => {
                word.set_limit(state.to);
                At::Dispatch(Then::Done)
            }
            At::Done => At::Done,
        };
        let after = word.counts();
        assert!(after.in_flight <= before.in_flight || after.in_flight <= after.limit, "{before:?} -> {after:?}");
        assert_eq!(after.waiting as usize, state.line.len());
        state.word = word.0.into_inner();
        state
    }

    fn explore(limit: u32, to: u32, threads: &[At]) -> usize {
        let word = Word::new(limit).0.into_inner();
        let start = State { word, threads: threads.to_vec(), line: Vec::new(), called: BTreeSet::new(), to };
        let (mut seen, mut open) = (BTreeSet::new(), vec![start]);
        while let Some(state) = open.pop() {
            if !seen.insert(state.clone()) {
                continue;
            }
            let runnable = |i: &usize| !matches!(state.threads[*i], At::Done | At::Parked);
            let next: Vec<usize> = (0..state.threads.len()).filter(runnable).collect();
            if next.is_empty() {
                assert!(state.threads.iter().all(|at| *at == At::Done), "somebody waits for ever: {state:?}");
                assert_eq!(Counts::unpack(state.word), Counts { in_flight: 0, limit: to, waiting: 0 });
            }
            open.extend(next.into_iter().map(|i| step(state.clone(), i)));
        }
        seen.len()
    }

    #[test]
    fn no_interleaving_exceeds_the_limit_or_loses_a_permit() {
        assert!(explore(1, 1, &[At::Try; 4]) > 100);
        assert!(explore(2, 2, &[At::Try; 5]) > 100);
        assert!(explore(2, 1, &[At::Try, At::Try, At::Try, At::Lower]) > 100);
        assert!(explore(1, 3, &[At::Try, At::Try, At::Try, At::Try, At::Lower]) > 100);
    }

    #[test]
    fn the_fields_do_not_touch_each_other() {
        let word = Word::new(MAX_LIMIT);
        for _ in 0..MAX_WAITING {
            word.join();
        }
        assert_eq!(word.try_take(), Err(Counts { in_flight: 0, limit: MAX_LIMIT, waiting: 65535 }));
        assert_eq!(word.try_take_waiting(), Ok(()));
        word.set_limit(0);
        assert_eq!(word.release(), Counts { in_flight: 1, limit: 1, waiting: 65534 });
        word.leave();
        assert_eq!(word.counts(), Counts { in_flight: 0, limit: 1, waiting: 65533 });
    }
}

//! One word that a state machine publishes and many threads read: whether to let a call through.
//!
//! ```text
//! 63            32 31   28 27      14 13       0
//! +---------------+-------+----------+---------+
//! |  generation   | mode  |   out    | allowed |
//! +---------------+-------+----------+---------+
//! ```
//!
//! Invariants, shown by a model check of every interleaving (`tests/loom_permit.rs`):
//! - while metered, no more than `allowed` permits of one generation are out;
//! - a permit of an earlier generation never changes the count of a later one.

#[cfg(loom)]
use loom::sync::atomic::AtomicU64;
#[cfg(not(loom))]
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// Most permits that a metered gate can count.
pub const PERMITS_MAX: u32 = (1 << 14) - 1;

/// What a gate does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Every call passes.
    Pass,
    /// A call passes while fewer than the allowed number are out.
    Metered,
    /// No call passes.
    Shut,
}

/// The parts of the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// Which state of the machine this is; an outcome from another one decides nothing.
    pub generation: u32,
    /// What happens to calls.
    pub mode: Mode,
    /// Permits in use; 0 unless metered.
    pub out: u32,
    /// Permits allowed at once; 0 unless metered.
    pub allowed: u32,
}

/// What a gate answers to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Go ahead; nothing has to be returned.
    Free {
        /// The generation that let it pass.
        generation: u32,
    },
    /// Go ahead with a permit, which must be returned by [`Gate::leave`] or [`Gate::publish`].
    Permit {
        /// The generation that the permit belongs to.
        generation: u32,
    },
    /// All permits are out.
    Full,
    /// Shut.
    Shut,
}

/// The published word of one machine.
///
/// ```
/// use mainstay_core::resilience::permit::{Entry, Gate, Mode};
///
/// let gate = Gate::new(0, Mode::Pass, 0);
/// assert_eq!(gate.enter(), Entry::Free { generation: 0 });
/// gate.publish(1, Mode::Metered, 1, 0);
/// assert_eq!(gate.enter(), Entry::Permit { generation: 1 });
/// assert_eq!(gate.enter(), Entry::Full);
/// ```
#[derive(Debug)]
pub struct Gate {
    word: AtomicU64,
}

impl Gate {
    /// A gate in the given state with no permit out.
    pub fn new(generation: u32, mode: Mode, allowed: u32) -> Gate {
        Gate { word: AtomicU64::new(pack(Word { generation, mode, out: 0, allowed: allowed.min(PERMITS_MAX) })) }
    }

    /// Asks to pass: one load unless metered.
    #[inline]
    pub fn enter(&self) -> Entry {
        let mut seen = self.word.load(Ordering::Acquire);
        loop {
            let word = unpack(seen);
            match word.mode {
                Mode::Pass => return Entry::Free { generation: word.generation },
                Mode::Shut => return Entry::Shut,
                Mode::Metered if word.out >= word.allowed => return Entry::Full,
                Mode::Metered => {}
            }
            let taken = pack(Word { out: word.out + 1, ..word });
            match self.word.compare_exchange_weak(seen, taken, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Entry::Permit { generation: word.generation },
                Err(other) => seen = other,
            }
        }
    }

    /// Returns one permit of `generation`. Does nothing when that generation is over.
    pub fn leave(&self, generation: u32) {
        self.update(|word| {
            if word.generation == generation { Word { out: word.out.saturating_sub(1), ..word } } else { word }
        });
    }

    /// Publishes a state of the machine. Within one generation the permits that are out stay out, but for `returned`
    /// of them; a new generation starts with none.
    pub fn publish(&self, generation: u32, mode: Mode, allowed: u32, returned: u32) {
        self.update(|word| {
            let out = if word.generation == generation { word.out.saturating_sub(returned) } else { 0 };
            Word { generation, mode, out, allowed: allowed.min(PERMITS_MAX) }
        });
    }

    /// The word as it is at this moment.
    #[inline]
    pub fn word(&self) -> Word {
        unpack(self.word.load(Ordering::Acquire))
    }

    fn update(&self, change: impl Fn(Word) -> Word) {
        let mut seen = self.word.load(Ordering::Acquire);
        loop {
            let next = pack(change(unpack(seen)));
            match self.word.compare_exchange_weak(seen, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }
}

const fn pack(word: Word) -> u64 {
    let mode = match word.mode {
        Mode::Pass => 0,
        Mode::Metered => 1,
        Mode::Shut => 2,
    };
    (word.generation as u64) << 32 | mode << 28 | (word.out as u64) << 14 | word.allowed as u64
}

const fn unpack(bits: u64) -> Word {
    let mode = match bits >> 28 & 0xF {
        0 => Mode::Pass,
        1 => Mode::Metered,
        _ => Mode::Shut,
    };
    Word {
        generation: (bits >> 32) as u32,
        mode,
        out: (bits >> 14) as u32 & PERMITS_MAX,
        allowed: bits as u32 & PERMITS_MAX,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn packing_loses_nothing() {
        for mode in [Mode::Pass, Mode::Metered, Mode::Shut] {
            let word = Word { generation: u32::MAX, mode, out: PERMITS_MAX, allowed: 5 };
            assert_eq!(unpack(pack(word)), word);
        }
    }

    #[test]
    fn an_old_permit_leaves_the_new_count_alone() {
        let gate = Gate::new(1, Mode::Metered, 2);
        assert_eq!(gate.enter(), Entry::Permit { generation: 1 });
        gate.publish(2, Mode::Metered, 1, 0);
        assert_eq!(gate.enter(), Entry::Permit { generation: 2 });
        gate.leave(1);
        assert_eq!(gate.enter(), Entry::Full);
        gate.publish(2, Mode::Metered, 2, 0);
        assert_eq!(gate.enter(), Entry::Permit { generation: 2 });
        gate.leave(2);
        assert_eq!(gate.word().out, 1);
    }
}

//! How often a key was seen of late, in bounded memory.
//!
//! The window is cut into [`SLOTS`] equal slots. A key's count is the sum of its current slot and the [`SLOTS`] before it.
//!
//! - Up to `keys` keys have counts of their own. What is told is **never less** than how often the key was seen within
//!   the window, and **never more** than how often it was seen within a window one sixteenth longer.
//! - Further keys share a count-min sketch (Cormode and Muthukrishnan, 2005) of [`DEPTH`] rows and [`WIDTH`] columns per
//!   slot. What is told is still never less; it is more by at most `e / WIDTH` of all that the sketch counted in the
//!   window, with probability `1 - e^-DEPTH` (0.07 % in 98 of 100 cases).
//! - A key that moves from the sketch to a place of its own takes its estimate along, so that it never counts too little.
//! - A place is free again when its key was not seen for a window; a few places are looked at whenever one is wanted, so
//!   that no request waits for a sweep.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::Time;

/// Parts of the window.
pub const SLOTS: usize = 16;
/// Rows of the sketch.
pub const DEPTH: usize = 4;
/// Columns of the sketch.
pub const WIDTH: usize = 4096;
/// Slots that are kept: those of the window, and the current one.
const KEPT: usize = SLOTS + 1;
/// Places that are looked at when one is wanted.
const SWEPT: usize = 8;

/// Counts per key. Keys are given as 64-bit hashes: two keys with one hash count together.
///
/// ```
/// use mainstay_core::answer::velocity::Velocity;
/// use mainstay_core::time::Time;
/// use std::time::Duration;
///
/// let mut seen = Velocity::new(Duration::from_secs(60), 1000);
/// let at = Time::from_millis(1_000_000);
/// assert_eq!((seen.handle_key(7, at), seen.handle_key(7, at)), (1, 2));
/// assert_eq!(seen.count(7, at + Duration::from_secs(30)), 2);
/// assert_eq!(seen.count(7, at + Duration::from_secs(70)), 0);
/// ```
#[derive(Clone, Debug)]
pub struct Velocity {
    slot_nanos: u64,
    keys_max: usize,
    keys: BTreeMap<u64, Counts>,
    /// Where the next look for free places begins.
    cursor: u64,
    sketch: Option<Box<Sketch>>,
    /// The latest slot that was seen: time does not run backwards here.
    slot: u64,
}

/// Counts by slot, the newest being `slot`.
#[derive(Clone, Copy, Debug)]
struct Counts {
    slot: u64,
    counts: [u32; KEPT],
}

/// Counts of many keys together: by slot, row and column.
#[derive(Clone, Debug)]
struct Sketch {
    slot: u64,
    counts: Vec<u32>,
}

impl Velocity {
    /// Nothing was seen yet. At most `keys` keys are counted one by one.
    pub fn new(window: Duration, keys: usize) -> Velocity {
        let nanos = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
        Velocity {
            slot_nanos: nanos.div_ceil(SLOTS as u64).max(1),
            keys_max: keys,
            keys: BTreeMap::new(),
            cursor: 0,
            sketch: None,
            slot: 0,
        }
    }

    /// Counts a key, and tells how often it was seen within the window, this time included.
    pub fn handle_key(&mut self, key: u64, now: Time) -> u32 {
        let slot = self.slot(now);
        if let Some(counts) = self.keys.get_mut(&key) {
            return counts.add(slot);
        }
        if self.keys.len() >= self.keys_max && !self.free_a_place(slot) {
            let sketch = self.sketch.get_or_insert_with(|| Box::new(Sketch::new(slot)));
            return sketch.add(key, slot);
        }
        let mut counts = match &self.sketch {
            Some(sketch) => sketch.counts_of(key, slot),
            None => Counts { slot, counts: [0; KEPT] },
        };
        let seen = counts.add(slot);
        self.keys.insert(key, counts);
        seen
    }

    /// How often a key was seen within the window.
    pub fn count(&self, key: u64, now: Time) -> u32 {
        let slot = (now.as_nanos() / self.slot_nanos).max(self.slot);
        match (self.keys.get(&key), &self.sketch) {
            (Some(counts), _) => counts.sum(slot),
            (None, Some(sketch)) => sketch.counts_of(key, slot).sum(slot),
            (None, None) => 0,
        }
    }

    /// How many keys have a place of their own.
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    fn slot(&mut self, now: Time) -> u64 {
        self.slot = self.slot.max(now.as_nanos() / self.slot_nanos);
        self.slot
    }

    /// Looks at a few places and frees those whose keys were not seen for a window.
    fn free_a_place(&mut self, slot: u64) -> bool {
        let seen: Vec<(u64, bool)> =
            self.keys.range(self.cursor..).take(SWEPT).map(|(key, counts)| (*key, counts.sum(slot) == 0)).collect();
        self.cursor = match seen.last() {
            Some((last, _)) if seen.len() == SWEPT => last.wrapping_add(1),
            Some(_) | None => 0,
        };
        for (key, _) in seen.iter().filter(|(_, is_idle)| *is_idle) {
            self.keys.remove(key);
        }
        self.keys.len() < self.keys_max
    }
}

impl Counts {
    fn add(&mut self, slot: u64) -> u32 {
        for passed in (self.slot + 1..=slot).rev().take(KEPT) {
            self.counts[place(passed)] = 0;
        }
        self.slot = self.slot.max(slot);
        let count = &mut self.counts[place(self.slot)];
        *count = count.saturating_add(1);
        self.sum(slot)
    }

    /// The counts that are still within the window at `slot`.
    fn sum(&self, slot: u64) -> u32 {
        let oldest = slot.saturating_sub(SLOTS as u64).max(self.slot.saturating_sub(SLOTS as u64));
        (oldest..=self.slot).map(|slot| self.counts[place(slot)]).fold(0, u32::saturating_add)
    }
}

const fn place(slot: u64) -> usize {
    (slot % KEPT as u64) as usize
}

impl Sketch {
    fn new(slot: u64) -> Sketch {
        Sketch { slot, counts: vec![0; KEPT * DEPTH * WIDTH] }
    }

    fn add(&mut self, key: u64, slot: u64) -> u32 {
        for passed in (self.slot + 1..=slot).rev().take(KEPT) {
            let start = place(passed) * DEPTH * WIDTH;
            self.counts[start..start + DEPTH * WIDTH].fill(0);
        }
        self.slot = self.slot.max(slot);
        for row in 0..DEPTH {
            let count = &mut self.counts[at(self.slot, row, key)];
            *count = count.saturating_add(1);
        }
        self.counts_of(key, slot).sum(slot)
    }

    /// The least of a key's rows, slot by slot.
    fn counts_of(&self, key: u64, slot: u64) -> Counts {
        let mut counts = Counts { slot: self.slot, counts: [0; KEPT] };
        let oldest = slot.saturating_sub(SLOTS as u64).max(self.slot.saturating_sub(SLOTS as u64));
        for slot in oldest..=self.slot {
            let rows = (0..DEPTH).map(|row| self.counts[at(slot, row, key)]);
            counts.counts[place(slot)] = rows.min().unwrap_or_default();
        }
        counts
    }
}

fn at(slot: u64, row: usize, key: u64) -> usize {
    // Each row takes other bits of the key, mixed anew (Steele, Lea and Flood's splitmix64).
    let mut mixed = key.wrapping_add((row as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    let column = ((mixed ^ (mixed >> 31)) % WIDTH as u64) as usize;
    (place(slot) * DEPTH + row) * WIDTH + column
}

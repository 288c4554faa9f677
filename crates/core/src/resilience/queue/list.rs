//! Doubly linked lists over the slots of a slab: each slot is in two of them.

const NONE: u32 = u32::MAX;

/// The two ends of a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    head: u32,
    tail: u32,
}

impl Default for Ends {
    fn default() -> Ends {
        Ends { head: NONE, tail: NONE }
    }
}

impl Ends {
    /// The slot that was added first.
    pub(super) fn head(self) -> Option<u32> {
        (self.head != NONE).then_some(self.head)
    }

    /// The slot that was added last.
    pub(super) fn tail(self) -> Option<u32> {
        (self.tail != NONE).then_some(self.tail)
    }
}

/// The links of all slots.
#[derive(Debug, Default)]
pub(super) struct Lists {
    links: Vec<[Link; 2]>,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    before: u32,
    after: u32,
}

impl Lists {
    /// Adds links for one more slot.
    pub(super) fn grow(&mut self) {
        self.links.push([Link { before: NONE, after: NONE }; 2]);
    }

    pub(super) fn push_back(&mut self, which: usize, ends: &mut Ends, slot: u32) {
        self.links[slot as usize][which] = Link { before: ends.tail, after: NONE };
        match ends.tail() {
            Some(tail) => self.links[tail as usize][which].after = slot,
            None => ends.head = slot,
        }
        ends.tail = slot;
    }

    pub(super) fn unlink(&mut self, which: usize, ends: &mut Ends, slot: u32) {
        let Link { before, after } = self.links[slot as usize][which];
        if before == NONE {
            ends.head = after;
        } else {
            self.links[before as usize][which].after = after;
        }
        if after == NONE {
            ends.tail = before;
        } else {
            self.links[after as usize][which].before = before;
        }
    }
}

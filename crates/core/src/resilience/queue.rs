//! Who waits when a backend is full, who is called next, and who is turned away.
//!
//! A small, work-conserving priority queue: better classes first, within a class oldest first. (Newest first would
//! serve a standing class sooner, and starve whoever a moment's pause left at the far end; the bound on waiting does
//! the same for less.) When a route's share is full, its worst entry leaves, which may be the
//! newcomer. Every operation takes constant time; nothing is allocated once the queue has reached its size.
//!
//! Invariants: an entry leaves exactly once (called, expired, evicted or removed); a route never has more entries than
//! the most it asked for; an entry whose time is over is never called.

use crate::route::Class;
use crate::time::Time;

mod list;
mod shed;

use list::{Ends, Lists};
pub use shed::{LoadReason, Shed, saturation};

/// What a newcomer brings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticket {
    /// How much it matters.
    pub class: Class,
    /// Whose share it takes: a small dense number.
    pub route: u32,
    /// Most entries of this route at once.
    pub max: usize,
    /// When waiting is no use any more.
    pub wait_until: Time,
}

/// Names an entry that waits; a key of an entry that left names nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key {
    slot: u32,
    generation: u32,
}

/// What became of a newcomer.
#[derive(PartialEq, Eq, Debug)]
pub enum Pushed<T> {
    /// It waits.
    Waits(Key),
    /// It waits in the place of a worse entry.
    Evicted(Key, T),
    /// It is itself the worst.
    Refused(T),
}

/// An entry that left from the front.
#[derive(PartialEq, Eq, Debug)]
pub enum Popped<T> {
    /// Its turn.
    Call(T),
    /// Its time was over.
    Expired(T),
}

/// The waiting line of one backend, shared by the routes that use it.
///
/// ```
/// use mainstay_core::resilience::queue::{Popped, Pushed, Queue, Ticket};
/// use mainstay_core::route::Class;
/// use mainstay_core::time::Time;
///
/// let mut queue = Queue::new();
/// let ticket = |class| Ticket { class, route: 0, max: 2, wait_until: Time::from_secs(1) };
/// let now = Time::ZERO;
/// queue.push("background", ticket(Class::WORST), now);
/// queue.push("premium", ticket(Class::new(1).unwrap()), now);
/// assert!(matches!(queue.push("critical", ticket(Class::BEST), now), Pushed::Evicted(_, "background")));
/// assert_eq!(queue.pop(now), Some(Popped::Call("critical")));
/// ```
#[derive(Debug)]
pub struct Queue<T> {
    entries: Vec<Slot<T>>,
    free: Vec<u32>,
    lists: Lists,
    classes: [Ends; Class::COUNT],
    routes: Vec<Share>,
    len: usize,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    /// `None`: the slot is free.
    entry: Option<(Ticket, T)>,
}

#[derive(Debug, Default)]
struct Share {
    len: usize,
    classes: [Ends; Class::COUNT],
}

/// Of the two lists that an entry is in: its class's, and its route's part of it.
const BY_CLASS: usize = 0;
const BY_ROUTE: usize = 1;

impl<T> Queue<T> {
    /// An empty queue.
    pub fn new() -> Queue<T> {
        Queue {
            entries: Vec::new(),
            free: Vec::new(),
            lists: Lists::default(),
            classes: [Ends::default(); Class::COUNT],
            routes: Vec::new(),
            len: 0,
        }
    }

    /// How many wait.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nobody waits.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many of one route wait.
    pub fn len_of(&self, route: u32) -> usize {
        self.routes.get(route as usize).map_or(0, |share| share.len)
    }

    /// Lets a newcomer wait, in place of a worse entry of its route if need be. A newcomer whose time is over, or
    /// whose route may have no entries, is refused.
    pub fn push(&mut self, item: T, ticket: Ticket, now: Time) -> Pushed<T> {
        if ticket.max == 0 || ticket.wait_until <= now {
            return Pushed::Refused(item);
        }
        if self.len_of(ticket.route) < ticket.max {
            return Pushed::Waits(self.insert(item, ticket));
        }
        let Some(evicted) = self.worst_of(ticket.route, ticket.class).and_then(|slot| self.take(slot)) else {
            return Pushed::Refused(item);
        };
        Pushed::Evicted(self.insert(item, ticket), evicted)
    }

    /// Takes out the next entry: one whose turn it is, or one on the way to it whose time is over.
    pub fn pop(&mut self, now: Time) -> Option<Popped<T>> {
        let slot = self.classes.iter().find_map(|ends| ends.head())?;
        let over = self.entries[slot as usize].entry.as_ref().is_some_and(|(ticket, _)| ticket.wait_until <= now);
        let item = self.take(slot)?;
        Some(if over { Popped::Expired(item) } else { Popped::Call(item) })
    }

    /// Takes out an entry whose time is over, if one is the oldest of its class. For callers without a timer per entry.
    pub fn expire(&mut self, now: Time) -> Option<T> {
        let over = |slot: &u32| self.entries[*slot as usize].entry.as_ref().is_some_and(|(t, _)| t.wait_until <= now);
        let slot = self.classes.iter().filter_map(|ends| ends.head()).find(over)?;
        self.take(slot)
    }

    /// Takes out an entry that no longer wants to wait; `None` if it has left.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.entries.get(key.slot as usize)?;
        if slot.generation == key.generation { self.take(key.slot) } else { None }
    }

    /// The entry of `route` that would be called last, unless a newcomer of `class` would be called after it.
    fn worst_of(&self, route: u32, class: Class) -> Option<u32> {
        let share = self.routes.get(route as usize)?;
        let worse = &share.classes[class.index() + 1..];
        worse.iter().rev().find_map(|ends| ends.tail())
    }

    fn insert(&mut self, item: T, ticket: Ticket) -> Key {
        let slot = self.vacant();
        let class = ticket.class.index();
        let route = ticket.route as usize;
        if self.routes.len() <= route {
            self.routes.resize_with(route + 1, Share::default);
        }
        self.lists.push_back(BY_CLASS, &mut self.classes[class], slot);
        self.lists.push_back(BY_ROUTE, &mut self.routes[route].classes[class], slot);
        self.routes[route].len += 1;
        self.len += 1;
        let place = &mut self.entries[slot as usize];
        place.entry = Some((ticket, item));
        Key { slot, generation: place.generation }
    }

    fn vacant(&mut self) -> u32 {
        if let Some(slot) = self.free.pop() {
            return slot;
        }
        let slot = u32::try_from(self.entries.len()).expect("the routes' bounds keep the queue far below 2^32");
        self.entries.push(Slot { generation: 0, entry: None });
        self.lists.grow();
        slot
    }

    fn take(&mut self, slot: u32) -> Option<T> {
        let place = &mut self.entries[slot as usize];
        let (ticket, item) = place.entry.take()?;
        place.generation = place.generation.wrapping_add(1);
        let class = ticket.class.index();
        let share = &mut self.routes[ticket.route as usize];
        self.lists.unlink(BY_CLASS, &mut self.classes[class], slot);
        self.lists.unlink(BY_ROUTE, &mut share.classes[class], slot);
        share.len -= 1;
        self.len -= 1;
        self.free.push(slot);
        Some(item)
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Queue<T> {
        Queue::new()
    }
}

//! Changes that happen together or not at all.

use crate::audit::Entry;
use crate::item::{Sketch, State};
use crate::record::{Event, Expect, Run};
use crate::registry::{Move, Version};

/// Most changes in one call of [`Store::change`](crate::Store::change).
pub const CHANGES_MAX: usize = 10_000;

/// One of the changes of a call. Each one sees those before it.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    /// Makes or replaces a document; its number is its revision. [`StoreError::Conflict`](crate::StoreError::Conflict) where
    /// it is not as expected.
    Document {
        /// What it is.
        kind: String,
        /// Its id.
        id: String,
        /// What must be true of it.
        expect: Expect,
        /// Its JSON.
        body: String,
    },
    /// Deletes a document; its number is the revision that it had. [`StoreError::Unknown`](crate::StoreError::Unknown) where
    /// there is none.
    DeleteDocument {
        /// What it is.
        kind: String,
        /// Its id.
        id: String,
        /// What must be true of it.
        expect: Expect,
    },
    /// Stores a state. Its number is 0.
    State(State),
    /// Forgets a state; no error where there is none. Its number is 0.
    ForgetState(String),
    /// Stores a sketch. Its number is 0.
    Sketch(Sketch),
    /// Registers a version of a model, or tells of it again; its number is 1 where it is new, otherwise 0.
    /// [`StoreError::Conflict`](crate::StoreError::Conflict) where it is there with another digest.
    Version(Version),
    /// Moves a pointer; its number is the pointer's revision. [`StoreError::Conflict`](crate::StoreError::Conflict) where it
    /// does not stand where it should, [`StoreError::Unknown`](crate::StoreError::Unknown) where there is no such version.
    Move(Move),
    /// Stores a run, or what became of it; its number is 1 where it is new, otherwise 0.
    Run(Run),
    /// Appends to the log of events; its number is the event's.
    Event(Event),
    /// Appends to the audit log; its number is the entry's.
    Audit(Entry),
    /// Says that what these items are about was found. Its number is how many of them waited.
    Settle(Vec<u64>),
}

//! Documents, events and runs: JSON under a key, or in order.

use mainstay_core::time::Time;

/// Most records that one read returns.
pub const PAGE_MAX: usize = 10_000;

/// A document under `(kind, id)`: a correction, a maintenance window, an override, an incident.
#[derive(Clone, PartialEq, Debug)]
pub struct Document {
    /// What it is, for instance `correction`.
    pub kind: String,
    /// Its id, unique within its kind.
    pub id: String,
    /// 1 when it was made, one more with each change.
    pub revision: u64,
    /// Its JSON.
    pub body: String,
    /// When it last changed.
    pub at: Time,
}

/// What must be true of a document before it is changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    /// Nothing.
    Any,
    /// There is none.
    Absent,
    /// It is there, at this revision.
    Revision(u64),
}

/// Something that happened, in the log.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// Its number. Numbers grow and never return; 0 in what is to be appended.
    pub seq: u64,
    /// When it happened.
    pub at: Time,
    /// What, for instance `budget.changed`.
    pub kind: String,
    /// Its JSON.
    pub body: String,
}

/// Which events of the log, in their order.
#[derive(Clone, PartialEq, Debug)]
pub struct EventQuery {
    /// Of this kind; one that ends in `.` takes all that start with it.
    pub kind: Option<String>,
    /// Not before.
    pub from: Time,
    /// Before.
    pub until: Time,
    /// With a greater number than this.
    pub after: u64,
    /// At most so many; capped at [`PAGE_MAX`].
    pub limit: usize,
}

impl Default for EventQuery {
    fn default() -> EventQuery {
        EventQuery { kind: None, from: Time::ZERO, until: Time::MAX, after: 0, limit: PAGE_MAX }
    }
}

/// A training run.
#[derive(Clone, PartialEq, Debug)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// What is trained.
    pub name: String,
    /// Where it stands, in a word.
    pub state: String,
    /// Everything else, as JSON.
    pub body: String,
    /// When it was first stored. Ignored on the way in.
    pub created: Time,
    /// When it last changed. Ignored on the way in.
    pub updated: Time,
}

/// Which runs, the last changed first.
#[derive(Clone, PartialEq, Debug)]
pub struct RunQuery {
    /// Of this name.
    pub name: Option<String>,
    /// In this state.
    pub state: Option<String>,
    /// At most so many; capped at [`PAGE_MAX`].
    pub limit: usize,
}

impl Default for RunQuery {
    fn default() -> RunQuery {
        RunQuery { name: None, state: None, limit: PAGE_MAX }
    }
}

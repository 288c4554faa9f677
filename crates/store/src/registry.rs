//! Models: versions, and pointers such as `champion` with their history.

use mainstay_core::time::Time;

/// A version of a model. Its `digest` never changes; the rest may be told again.
#[derive(Clone, PartialEq, Debug)]
pub struct Version {
    /// The model's name.
    pub model: String,
    /// The version's name.
    pub version: String,
    /// Where it stands, in a word: `candidate`, `champion`, `archived`.
    pub stage: String,
    /// What its files hash to, in the form that its maker chose.
    pub digest: String,
    /// When it was made.
    pub created: Time,
    /// The latest event that it learned from: the age of what it knows.
    pub data_max_event_time: Option<Time>,
    /// Where it comes from, as JSON.
    pub lineage: String,
}

/// To move a pointer of a model to a version.
#[derive(Clone, PartialEq, Debug)]
pub struct Move {
    /// The model's name.
    pub model: String,
    /// The pointer's name, for instance `champion`.
    pub pointer: String,
    /// Where it must stand before; `None`: anywhere. `Some("")`: nowhere yet.
    pub expect: Option<String>,
    /// Where it goes. There must be such a version; the empty name is nowhere.
    pub version: String,
    /// Who moves it.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// A move that was made. The latest says where the pointer stands.
#[derive(Clone, PartialEq, Debug)]
pub struct Moved {
    /// The model's name.
    pub model: String,
    /// The pointer's name.
    pub pointer: String,
    /// 1 for the first move, one more with each.
    pub revision: u64,
    /// Where it stands from then on.
    pub version: String,
    /// Where it stood before.
    pub previous: Option<String>,
    /// When.
    pub at: Time,
    /// Who moved it.
    pub actor: String,
    /// Why.
    pub reason: String,
}

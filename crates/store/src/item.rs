//! What comes from outside with an id of its own, and what it does to budgets.

use mainstay_core::time::Time;

/// Most items in one call of [`Store::ingest`](crate::Store::ingest).
pub const ITEMS_MAX: usize = 10_000;
/// Most deltas that one item may carry.
pub const DELTAS_MAX: usize = 10_000;
/// Longest body of anything that is stored, in bytes.
pub const BODY_MAX: usize = 1 << 20;
/// Longest name, key or id, in bytes.
pub const NAME_MAX: usize = 1024;

/// What an item is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// A prediction that a service made.
    Prediction,
    /// A request that a service answered.
    Request,
    /// Features that were looked up.
    Features,
    /// What turned out to be true of a prediction.
    Label,
    /// A safety verdict about a prediction.
    Flag,
    /// What users did: clicks, complaints, results of experiments.
    Signal,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 6] = [Kind::Prediction, Kind::Request, Kind::Features, Kind::Label, Kind::Flag, Kind::Signal];

    /// The word at rest.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Prediction => "prediction",
            Kind::Request => "request",
            Kind::Features => "features",
            Kind::Label => "label",
            Kind::Flag => "flag",
            Kind::Signal => "signal",
        }
    }

    /// The kind of a word at rest.
    pub fn from_word(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Something from outside. `(kind, client, id)` is its key: the first content under a key stays.
#[derive(Clone, PartialEq, Debug)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// Who sent it; empty where nobody has a name.
    pub client: String,
    /// Its id, unique for the client and kind.
    pub id: String,
    /// The id of the request that it is about, for labels, flags and signals. It waits until it is settled
    /// ([`Change::Settle`](crate::change::Change::Settle)) or too old.
    pub about: Option<String>,
    /// When it happened, as its sender says.
    pub at: Time,
    /// Its JSON. With `about` it is the content: the same text is the same item, whatever `at` says.
    pub body: String,
    /// What it adds to budgets, once, if it is new.
    pub deltas: Vec<Delta>,
}

/// What is added to one bucket of one objective.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delta {
    /// The objective's name.
    pub objective: String,
    /// A time within the bucket; the store rounds down to [`TEN_SECONDS`](crate::bucket::TEN_SECONDS).
    pub start: Time,
    /// Good events.
    pub good: u64,
    /// Bad events.
    pub bad: u64,
}

/// What became of an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is stored and counted, under this number. Numbers grow and never return.
    New(u64),
    /// It was there already, with the same content. Nothing was counted.
    Duplicate,
    /// Its key is taken by other content (`about` or body), which stays. Nothing was counted.
    Conflict,
}

/// An item at rest.
#[derive(Clone, PartialEq, Debug)]
pub struct Stored {
    /// Its number.
    pub seq: u64,
    /// When the store got it.
    pub received: Time,
    /// When what it is about was found.
    pub settled: Option<Time>,
    /// The item, without its deltas.
    pub item: Item,
}

/// Which items.
#[derive(Clone, PartialEq, Debug)]
pub struct ItemQuery {
    /// Of this kind alone.
    pub kind: Option<Kind>,
    /// Of this client alone.
    pub client: Option<String>,
    /// Those that are about a request and not settled.
    pub waiting: bool,
    /// With a greater number than this.
    pub after: u64,
    /// At most so many; capped at [`ITEMS_MAX`].
    pub limit: usize,
}

impl Default for ItemQuery {
    fn default() -> ItemQuery {
        ItemQuery { kind: None, client: None, waiting: false, after: 0, limit: ITEMS_MAX }
    }
}

/// Counts that a source added up itself, and what belongs to exactly them.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Sums {
    /// Who counted. A name of its own per start of a process, so that its numbers begin anew.
    pub source: String,
    /// Grows from one call to the next. A number at or below the last one is not counted again.
    pub sequence: u64,
    /// The counts. Two for the same bucket add up.
    pub deltas: Vec<Delta>,
    /// States that are true once these counts are in: stored in the same transaction.
    pub states: Vec<State>,
    /// Sketches that are true once these counts are in: stored in the same transaction.
    pub sketches: Vec<Sketch>,
}

/// Whether sums were counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counted {
    /// They are in.
    New,
    /// They were in already: neither they nor their states and sketches were stored.
    Duplicate,
}

/// What an engine remembers under a key; bytes that the engine alone reads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    /// The key.
    pub key: String,
    /// The bytes.
    pub data: Vec<u8>,
}

/// A latency sketch of one series and span of time. A later one replaces it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sketch {
    /// What was measured, for instance a route.
    pub series: String,
    /// Where the span starts.
    pub start: Time,
    /// How long the span is, in seconds.
    pub width_secs: u32,
    /// The sketch.
    pub data: Vec<u8>,
}

//! What is counted of both arms, and what an injector says of an order.

use crate::chaos::order::Arm;
use crate::route::Level;
use crate::stats::LogHistogram;
use crate::time::Time;

/// What is counted of an arm over some time.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Requests that ended.
    pub requests: u64,
    /// Those of them that the dose chose, whether or not they came to where the fault works.
    pub dosed: u64,
    /// Those of them that met the fault.
    pub injected: u64,
    /// Those that nobody answered: 429, 5xx, a time-out, an answer that broke off.
    pub unanswered: u64,
    /// Answered ones, by level.
    pub levels: [u64; Level::COUNT],
    /// Those that met the fault and were answered, by level.
    pub injected_levels: [u64; Level::COUNT],
    /// How long they took, each from its head to its answer's end.
    pub latency: LogHistogram,
}

impl Counts {
    /// Adds what another has counted.
    pub fn add(&mut self, other: &Counts) {
        self.requests += other.requests;
        self.dosed += other.dosed;
        self.injected += other.injected;
        self.unanswered += other.unanswered;
        for (mine, theirs) in self.levels.iter_mut().zip(other.levels) {
            *mine += theirs;
        }
        for (mine, theirs) in self.injected_levels.iter_mut().zip(other.injected_levels) {
            *mine += theirs;
        }
        self.latency.merge(&other.latency);
    }
}

/// Both arms, by [`Arm::index`].
pub type Arms = [Counts; 2];

/// What an injector says of an order: since it was last asked.
#[derive(Clone, Debug)]
pub struct Beat {
    /// The run.
    pub run: String,
    /// The order's generation.
    pub generation: u64,
    /// When.
    pub at: Time,
    /// The order is in force.
    pub stands: bool,
    /// Its fault is in force, in the block at hand too.
    pub injects: bool,
    /// What was counted since it was last asked.
    pub arms: Arms,
    /// Requests of the arm that were spared because a cap was reached.
    pub spared: u64,
    /// Requests that the load generator sent, and those that it could not for its own bounds.
    pub sent: [u64; 2],
    /// The arms' counts are of this arm only, where arms are blocks of time.
    pub block: Option<Arm>,
}

//! Drills in virtual time: discrete events, one thread, one seed.
//!
//! ```text
//!  Drill ──> Sim: agenda of events ──> users ──> gateway (the core's machines, in the gateway's order) ──> servers
//!                                                   `──> figures (by span, by second) and transcript ──> Run
//! ```
//!
//! No policy lives here: limits, lines, breakers, retries, ladders and deadlines are those of `mainstay-core`, asked in
//! the order in which `mainstay-gateway` asks them. The same drill and seed give the same [`Run`], byte for byte.

mod agenda;
mod anchors;
mod curves;
mod engine;
mod figures;
mod fleet;
mod gateway;
mod groups;
mod judge;
pub mod rehearsal;
mod replay;
mod servers;
mod store;
mod tape;
mod transcript;
mod upstream;
mod users;
mod watch;
mod world;

use std::time::Duration;

use mainstay_core::drill::Drill;
use serde_json::Value;

pub use anchors::Anchor;
pub use curves::Curve;
pub use fleet::{Fleet, Spent, fleet};
pub use judge::{Held, Verdict};
pub use replay::{Estimate, OfObjective, OfRoute, Pair, Replayed, Unusable, replay};
pub use transcript::Line;

/// What came of a drill.
#[derive(Clone, PartialEq, Debug)]
pub struct Run {
    /// The seed that decided.
    pub seed: u64,
    /// What happened, in order.
    pub transcript: Vec<Line>,
    /// Lines of the transcript beyond its bound.
    pub untold: u64,
    /// Each expectation, in the drill's order.
    pub verdicts: Vec<Verdict>,
    /// All that was measured in the time of each expectation, in the drill's order.
    pub facts: Vec<Value>,
    /// What was measured over time.
    pub curves: Vec<Curve>,
    /// Requests that were simulated.
    pub requests: u64,
    /// How long it lasted, in virtual time.
    pub length: Duration,
}

impl Run {
    /// Whether everything held that is not known not to.
    pub fn passed(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.held != Held::No)
    }
}

/// Runs a drill with a seed.
pub fn run(drill: &Drill, seed: u64) -> Run {
    run_with(drill, seed, None)
}

/// Runs a drill with another limit at its backends, to compare: without a line, and the breaker only watches.
pub fn run_with(drill: &Drill, seed: u64, anchor: Option<Anchor>) -> Run {
    world::Prepared::new(drill, seed, anchor, None).run().0
}

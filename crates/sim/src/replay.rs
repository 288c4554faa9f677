//! What if: recorded requests again, under another config.
//!
//! Each replica draws the recorded requests anew (the bootstrap), each as often as the chance with which it was kept says
//! (Horvitz and Thompson), lets them come when they came, and asks the core's machines under the config in question.
//! Backends take as long and fail as often as they did around that moment. The spread of the replicas is the interval.

mod recording;
mod tally;

use std::time::Duration;

use mainstay_core::drill::{Around, Drill, Model, Rate, Servers, Users};
use mainstay_core::event::Event;
use mainstay_core::plan::Plan;
use mainstay_core::rng::Rng;

pub use recording::Unusable;
pub use tally::{Estimate, OfObjective, OfRoute, Pair};

use recording::Recording;
use tally::Tally;

/// What a changed config would have done.
#[derive(Clone, PartialEq, Debug)]
pub struct Replayed {
    /// Recorded requests that were used.
    pub recorded: usize,
    /// From the first to the last of them.
    pub length: Duration,
    /// By route, in the plan's order.
    pub routes: Vec<OfRoute>,
    /// By objective, in the plan's order.
    pub objectives: Vec<OfObjective>,
    /// What could not be taken into account.
    pub notes: Vec<String>,
}

/// Plays recorded requests under a plan, in so many replicas. Equal seeds give equal answers.
pub fn replay(plan: &Plan, events: &[Event], seed: u64, replicas: u32) -> Result<Replayed, Unusable> {
    let recording = Recording::of(plan, events)?;
    let drill = drill(plan, &recording, seed);
    let judged = tally::judged(plan);
    let mut rng = Rng::new(seed);
    let mut tallies = Vec::new();
    for _ in 0..replicas.max(1) {
        let mut tally = Tally::new(plan, &judged);
        let tape = recording.replica(&mut rng, |request, times| tally.recorded(request, times));
        let prepared = crate::world::Prepared::new(&drill, rng.next_u64(), None, Some(&tape));
        prepared.run().1.iter().for_each(|done| tally.replayed(done));
        tallies.push(tally);
    }
    let mut notes = recording.notes;
    notes.extend(tally::not_judged(plan, &judged));
    Ok(Replayed {
        recorded: recording.requests.len(),
        length: recording.length,
        routes: tally::routes(plan, &tallies),
        objectives: tally::objectives(plan, &judged, &tallies),
        notes,
    })
}

/// The world of a recording: nobody asks but those who asked.
fn drill(plan: &Plan, recording: &Recording, seed: u64) -> Drill {
    let asked = |at: usize| {
        let entries = plan.routes.iter().flat_map(|route| &route.ladder);
        entries.filter_map(|entry| entry.answer.asked()).any(|asked| asked.backend.0 == at)
    };
    // Only says that the backend is there; what it does is on the tape.
    let model = Model::Servers(Servers { servers: 1, mean: Duration::from_secs(1), spread: 0.0, drag: 0.0, parts: 1 });
    let users = plan.routes.iter().enumerate().map(|(route, it)| Users {
        name: it.name.clone(),
        route,
        rate: Rate::PerSecond(0.0),
        classes: [0.0, 0.0, 0.0, 1.0],
        retries: 0,
        day: None,
    });
    Drill {
        name: "replay".to_owned(),
        title: String::new(),
        seed,
        length: recording.length + Duration::from_secs(2),
        users: users.collect(),
        models: (0..plan.backends.len()).map(|at| asked(at).then_some(model)).collect(),
        plan: plan.clone(),
        script: Vec::new(),
        expect: Vec::new(),
        around: Around::default(),
    }
}

//! Requests that wait for a person.
//!
//! ```text
//!   hold ──> pending ──durable──> waiting ──claim──> claimed (until the lease ends, then waiting again)
//!               `──withdrawn──> gone   `────────decide────────> decided (the latest are kept, to tell again)
//! ```
//!
//! Invariants:
//! - At most `max` requests are pending, waiting or claimed.
//! - What is told to be held was made durable before.
//! - A request is decided once: the same decision by the same person again is no error, another one is.
//! - A caller's request id is held once while it waits; sent again it gets the same number.
//! - [`Line::restore`] of the records of a line is that line, but for claims: a lease does not outlive the process.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::Time;

/// Decided requests that are kept, so that a decision that is sent again is understood.
pub const DECIDED_KEPT: usize = 1000;
/// Longest name of a person, decision or note, in bytes.
pub const TEXT_MAX: usize = 4096;

/// A request as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// When it was held.
    pub at: Time,
    /// The route that took it.
    pub route: String,
    /// Who sent it; empty where the caller is no client.
    pub client: String,
    /// Its id.
    pub request_id: String,
    /// Why it went down the ladder.
    pub reason: String,
    /// Its body: the JSON, or text.
    pub body: String,
}

/// A person's decision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// What was decided, in a word such as `allow` or `block`.
    pub decision: String,
    /// Who did.
    pub by: String,
    /// Why; may be empty.
    pub note: String,
    /// When.
    pub at: Time,
}

/// How far a request is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// Nobody has it.
    Waiting,
    /// Somebody looks at it.
    Claimed {
        /// Who.
        by: String,
        /// When it waits again.
        until: Time,
    },
    /// Somebody decided.
    Decided(Decision),
}

impl State {
    /// The name on the wire.
    pub const fn name(&self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Claimed { .. } => "claimed",
            State::Decided(_) => "decided",
        }
    }
}

/// A request in its line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Review {
    /// Its number in the line, from 1.
    pub id: u64,
    /// The request.
    pub held: Held,
    /// How far it is.
    pub state: State,
}

/// What a line writes down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// A request is held.
    Held(u64, Held),
    /// It is decided.
    Decided(u64, Decision),
    /// It was not held after all: its caller was told so.
    Withdrawn(u64),
}

/// What came of holding a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holding {
    /// It has this number once its record is durable.
    New(u64),
    /// It has this number already.
    Again(u64),
}

/// There is no room.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the queue is full")]
pub struct Full;

/// Why something cannot be done with a request.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// The line has no such request.
    #[error("there is no such request")]
    NoSuch,
    /// Nothing waits.
    #[error("nothing waits")]
    NothingWaits,
    /// Somebody else has it.
    #[error("{by} has it")]
    Claimed {
        /// Who.
        by: String,
        /// Until when.
        until: Time,
    },
    /// It is decided otherwise.
    #[error("{0} decided it already")]
    Decided(String),
}

/// How a line is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    /// Requests that wait or are claimed.
    pub open: usize,
    /// Those that are claimed.
    pub claimed: usize,
    /// How long the oldest of them waits.
    pub oldest: Duration,
    /// Requests decided since the line was made or restored.
    pub decided: u64,
}

/// One line.
#[derive(Clone, Debug)]
pub struct Line {
    max: usize,
    next: u64,
    pending: BTreeMap<u64, Held>,
    open: BTreeMap<u64, (Held, Option<(String, Time)>)>,
    decided: BTreeMap<u64, (Held, Decision)>,
    decisions: u64,
    by_request: BTreeMap<(String, String), u64>,
}

impl Line {
    /// An empty line.
    pub fn new(max: usize) -> Line {
        Line {
            max,
            next: 1,
            pending: BTreeMap::new(),
            open: BTreeMap::new(),
            decided: BTreeMap::new(),
            decisions: 0,
            by_request: BTreeMap::new(),
        }
    }

    /// The line that wrote these records. What does not fit together is passed over: of two decisions the first counts.
    pub fn restore(max: usize, records: impl IntoIterator<Item = Record>) -> Line {
        let mut line = Line::new(max);
        for record in records {
            match record {
                Record::Held(id, held) => {
                    line.next = line.next.max(id.saturating_add(1));
                    line.open(id, held);
                }
                Record::Decided(id, decision) => drop(line.settle(id, decision)),
                Record::Withdrawn(id) => line.forget(id),
            }
        }
        line.decisions = 0;
        line
    }

    /// Another bound, from a new config. What waits beyond it stays.
    pub fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    /// Most that may be open.
    pub const fn max(&self) -> usize {
        self.max
    }

    /// A request comes to be held. Of a new one the shell makes the record durable and reports back.
    pub fn handle_hold(&mut self, held: &Held) -> Result<Holding, Full> {
        if let Some(id) = self.by_request.get(&who(held)) {
            return Ok(Holding::Again(*id));
        }
        if self.open.len() + self.pending.len() >= self.max {
            return Err(Full);
        }
        let id = self.next;
        self.next += 1;
        self.pending.insert(id, held.clone());
        Ok(Holding::New(id))
    }

    /// Its record is durable: it waits. A number that is not pending is of a request that was withdrawn.
    pub fn handle_durable(&mut self, id: u64) {
        if let Some(held) = self.pending.remove(&id) {
            self.open(id, held);
        }
    }

    /// Its record came to nothing, or its caller had left.
    pub fn handle_withdrawn(&mut self, id: u64) {
        self.pending.remove(&id);
        self.forget(id);
    }

    /// Somebody takes a request for a while, or the oldest that waits. Who has it already has it for longer.
    pub fn handle_claim(&mut self, id: Option<u64>, by: &str, lease: Duration, now: Time) -> Result<Review, Refused> {
        let id = match id {
            Some(id) => id,
            None => self.oldest_waiting(now).ok_or(Refused::NothingWaits)?,
        };
        self.check_open(id, by, now)?;
        let (held, claim) = self.open.get_mut(&id).ok_or(Refused::NoSuch)?;
        let until = now + lease;
        *claim = Some((by.to_owned(), until));
        Ok(Review { id, held: held.clone(), state: State::Claimed { by: by.to_owned(), until } })
    }

    /// Whether somebody may decide so. `Ok(None)`: it is decided so already.
    pub fn check_decision(&self, id: u64, decision: &Decision, now: Time) -> Result<Option<Record>, Refused> {
        if let Some((_, made)) = self.decided.get(&id) {
            let same = made.decision == decision.decision && made.by == decision.by;
            return if same { Ok(None) } else { Err(Refused::Decided(made.by.clone())) };
        }
        self.check_open(id, &decision.by, now)?;
        Ok(Some(Record::Decided(id, decision.clone())))
    }

    /// The decision is durable. Where another one came first, that one holds.
    pub fn handle_decided(&mut self, id: u64, decision: Decision) -> Result<Review, Refused> {
        self.settle(id, decision)
    }

    /// A request of the line.
    pub fn get(&self, id: u64, now: Time) -> Option<Review> {
        if let Some((held, decision)) = self.decided.get(&id) {
            return Some(Review { id, held: held.clone(), state: State::Decided(decision.clone()) });
        }
        let (held, claim) = self.open.get(&id)?;
        Some(Review { id, held: held.clone(), state: state(claim.as_ref(), now) })
    }

    /// Requests with numbers above `after`, in order, at most `limit`; `state` by its name.
    pub fn list(&self, state: Option<&str>, after: u64, limit: usize, now: Time) -> Vec<Review> {
        let mut ids: Vec<u64> = match state {
            Some("decided") => self.decided.keys().copied().collect(),
            Some(_) => self.open.keys().copied().collect(),
            None => self.open.keys().chain(self.decided.keys()).copied().collect(),
        };
        ids.sort_unstable();
        let reviews = ids.into_iter().filter(|id| *id > after).filter_map(|id| self.get(id, now));
        reviews.filter(|review| state.is_none_or(|state| review.state.name() == state)).take(limit).collect()
    }

    /// How it is.
    pub fn size(&self, now: Time) -> Size {
        let oldest = self.open.values().map(|(held, _)| held.at).min();
        Size {
            open: self.open.len(),
            claimed: self
                .open
                .values()
                .filter(|(_, claim)| matches!(state(claim.as_ref(), now), State::Claimed { .. }))
                .count(),
            oldest: oldest.map_or(Duration::ZERO, |at| now.since(at)),
            decided: self.decisions,
        }
    }

    /// Records that make this line, but for what is pending: those of a compacted file.
    pub fn records(&self) -> Vec<Record> {
        let decided = self.decided.iter().flat_map(|(id, (held, decision))| {
            [Record::Held(*id, held.clone()), Record::Decided(*id, decision.clone())]
        });
        let open = self.open.iter().map(|(id, (held, _))| Record::Held(*id, held.clone()));
        decided.chain(open).collect()
    }

    fn open(&mut self, id: u64, held: Held) {
        self.by_request.insert(who(&held), id);
        self.open.insert(id, (held, None));
    }

    fn forget(&mut self, id: u64) {
        if let Some((held, _)) = self.open.remove(&id) {
            self.by_request.remove(&who(&held));
        }
    }

    fn settle(&mut self, id: u64, decision: Decision) -> Result<Review, Refused> {
        let Some((held, _)) = self.open.remove(&id) else {
            return match self.decided.get(&id) {
                Some((held, made)) if *made == decision => {
                    Ok(Review { id, held: held.clone(), state: State::Decided(decision) })
                }
                Some((_, made)) => Err(Refused::Decided(made.by.clone())),
                None => Err(Refused::NoSuch),
            };
        };
        self.by_request.remove(&who(&held));
        self.decisions += 1;
        self.decided.insert(id, (held.clone(), decision.clone()));
        if self.decided.len() > DECIDED_KEPT {
            self.decided.pop_first();
        }
        Ok(Review { id, held, state: State::Decided(decision) })
    }

    fn check_open(&self, id: u64, by: &str, now: Time) -> Result<(), Refused> {
        if let Some((_, decision)) = self.decided.get(&id) {
            return Err(Refused::Decided(decision.by.clone()));
        }
        let (_, claim) = self.open.get(&id).ok_or(Refused::NoSuch)?;
        match state(claim.as_ref(), now) {
            State::Claimed { by: holder, until } if holder != by => Err(Refused::Claimed { by: holder, until }),
            State::Claimed { .. } | State::Waiting | State::Decided(_) => Ok(()),
        }
    }

    fn oldest_waiting(&self, now: Time) -> Option<u64> {
        self.open.iter().find(|(_, (_, claim))| state(claim.as_ref(), now) == State::Waiting).map(|(id, _)| *id)
    }
}

/// A lease that has ended is none.
fn state(claim: Option<&(String, Time)>, now: Time) -> State {
    match claim {
        Some((by, until)) if *until > now => State::Claimed { by: by.clone(), until: *until },
        Some(_) | None => State::Waiting,
    }
}

/// A client's request ids are its own.
fn who(held: &Held) -> (String, String) {
    (held.client.clone(), held.request_id.clone())
}

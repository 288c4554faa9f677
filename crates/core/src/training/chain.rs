//! Checkpoints of a run: which one to go on from, which ones to keep.

use std::collections::BTreeMap;

/// A checkpoint's name within its run: the step, and the attempt that made it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CheckpointId {
    /// Steps made.
    pub step: u64,
    /// The attempt that made it.
    pub attempt: u32,
}

impl CheckpointId {
    /// The directory's name: `step-0000000500-a2`.
    pub fn directory(self) -> String {
        format!("step-{:010}-a{}", self.step, self.attempt)
    }

    /// The checkpoint of a directory's name.
    pub fn of_directory(name: &str) -> Option<CheckpointId> {
        let (step, attempt) = name.strip_prefix("step-")?.split_once("-a")?;
        let plain = step.len() == 10 && step.bytes().all(|b| b.is_ascii_digit());
        if !plain {
            return None;
        }
        Some(CheckpointId { step: step.parse().ok()?, attempt: attempt.parse().ok()? })
    }
}

/// How far a checkpoint is trusted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum State {
    /// Written and named; not read back.
    Sealed,
    /// Read back, and every byte is as its manifest says.
    Verified,
    /// Its gates passed.
    Gated,
    /// It is, or was, what is served.
    Promoted,
    /// Broken or suspect: kept, never used.
    Quarantined,
}

impl State {
    /// The word in the journal.
    pub const fn name(self) -> &'static str {
        match self {
            State::Sealed => "sealed",
            State::Verified => "verified",
            State::Gated => "gated",
            State::Promoted => "promoted",
            State::Quarantined => "quarantined",
        }
    }

    /// The state of a word.
    pub fn of_name(name: &str) -> Option<State> {
        let all = [State::Sealed, State::Verified, State::Gated, State::Promoted, State::Quarantined];
        all.into_iter().find(|state| state.name() == name)
    }

    const fn is_good(self) -> bool {
        matches!(self, State::Verified | State::Gated | State::Promoted)
    }
}

/// What is known of a checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Checkpoint {
    parent: Option<CheckpointId>,
    state: State,
    bytes: u64,
}

/// How many checkpoints stay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    /// The newest good ones that always stay; at least 2.
    pub newest: usize,
}

impl Default for Retention {
    /// The newest three.
    fn default() -> Retention {
        Retention { newest: 3 }
    }
}

/// All checkpoints of a run, and the branch that it is on.
///
/// ```
/// use mainstay_core::training::chain::{Chain, CheckpointId, State};
///
/// let at = |step, attempt| CheckpointId { step, attempt };
/// let mut chain = Chain::default();
/// chain.add(at(100, 1), None, State::Verified, 0);
/// chain.add(at(200, 1), Some(at(100, 1)), State::Verified, 0);
/// // Rolled back to 100, and on from there: 200 is on no branch in use, though its step is greater than 150.
/// chain.go_back(at(100, 1));
/// chain.add(at(150, 2), Some(at(100, 1)), State::Verified, 0);
/// assert_eq!(chain.resume(), Some(at(150, 2)));
/// ```
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Chain {
    all: BTreeMap<CheckpointId, Checkpoint>,
    /// The newest checkpoint of the branch in use.
    head: Option<CheckpointId>,
}

impl Chain {
    /// A checkpoint that was sealed after `parent`, or found so. It is the head of the branch in use.
    pub fn add(&mut self, id: CheckpointId, parent: Option<CheckpointId>, state: State, bytes: u64) {
        self.all.insert(id, Checkpoint { parent, state, bytes });
        self.head = Some(id);
    }

    /// Its state from then on. What is promoted stays so.
    pub fn set(&mut self, id: CheckpointId, state: State) {
        if let Some(checkpoint) = self.all.get_mut(&id)
            && (checkpoint.state != State::Promoted || state == State::Quarantined)
        {
            checkpoint.state = state;
        }
    }

    /// Its state.
    pub fn state(&self, id: CheckpointId) -> Option<State> {
        self.all.get(&id).map(|checkpoint| checkpoint.state)
    }

    /// The newest checkpoint of the branch in use, good or not.
    pub const fn head(&self) -> Option<CheckpointId> {
        self.head
    }

    /// The run goes on from this checkpoint: what came after it is on no branch in use.
    pub fn go_back(&mut self, to: CheckpointId) {
        if self.all.contains_key(&to) {
            self.head = Some(to);
        }
    }

    /// Whether a checkpoint is known.
    pub fn contains(&self, id: CheckpointId) -> bool {
        self.all.contains_key(&id)
    }

    /// Where to go on: the newest good checkpoint of the branch in use, not the greatest step.
    pub fn resume(&self) -> Option<CheckpointId> {
        self.branch().find(|id| self.all[id].state.is_good())
    }

    /// Where to go on from before `step`.
    pub fn before(&self, step: u64) -> Option<CheckpointId> {
        self.branch().find(|id| id.step < step && self.all[id].state.is_good())
    }

    /// The checkpoints of the branch in use that come after `to`, newest first.
    pub fn after(&self, to: Option<CheckpointId>) -> Vec<CheckpointId> {
        self.branch().take_while(|id| Some(*id) != to).collect()
    }

    /// Bytes of the newest checkpoint: what the next one may take.
    pub fn bytes_of_newest(&self) -> Option<u64> {
        self.head.map(|head| self.all[&head].bytes).filter(|bytes| *bytes > 0)
    }

    /// The good checkpoints that may go, oldest first. Never: the newest good ones of the branch in use, promoted and newest
    /// gated ones, quarantined ones, what was not read back yet, and the last good one whatever else is said.
    pub fn expendable(&self, retention: Retention) -> Vec<CheckpointId> {
        let good: Vec<CheckpointId> = self.branch().filter(|id| self.all[id].state.is_good()).collect();
        let mut kept: Vec<CheckpointId> = good.iter().take(retention.newest.max(2)).copied().collect();
        kept.extend(good.iter().find(|id| self.all[id].state == State::Gated));
        let may_go = |(id, checkpoint): &(&CheckpointId, &Checkpoint)| {
            matches!(checkpoint.state, State::Verified | State::Gated) && !kept.contains(id)
        };
        let gone: Vec<CheckpointId> = self.all.iter().filter(may_go).map(|(id, _)| *id).collect();
        if kept.is_empty() { Vec::new() } else { gone }
    }

    /// A checkpoint whose files are gone.
    pub fn remove(&mut self, id: CheckpointId) {
        let parent = self.all.remove(&id).and_then(|checkpoint| checkpoint.parent);
        for checkpoint in self.all.values_mut().filter(|checkpoint| checkpoint.parent == Some(id)) {
            checkpoint.parent = parent;
        }
        if self.head == Some(id) {
            self.head = parent;
        }
    }

    /// The branch in use, newest first.
    fn branch(&self) -> impl Iterator<Item = CheckpointId> + '_ {
        // A parent has fewer steps, or an earlier attempt made it: a chain that says otherwise was tampered with, and ends.
        let mut at = self.head;
        std::iter::from_fn(move || {
            let id = at.filter(|id| self.all.contains_key(id))?;
            at = self.all[&id].parent.filter(|parent| *parent < id);
            Some(id)
        })
    }
}

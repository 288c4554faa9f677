//! Checkpoints of a run: from which one to go on, and which ones may go.
//!
//! Invariants: the newest verified checkpoint of the branch is never let go; what is broken is kept for a person to look
//! at, and never gone on from.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What is known of a checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Whole on the disk, not yet read again.
    Sealed,
    /// Read again, and as its manifest says.
    Verified,
    /// Its gates passed.
    Gated,
    /// It was handed on as the result.
    Promoted,
    /// After it the loss went wrong; not gone on from.
    Suspect,
    /// Not as its manifest says; kept, and not gone on from.
    Quarantined,
}

impl Standing {
    /// Whether a run may go on from it.
    pub const fn is_good(self) -> bool {
        match self {
            Standing::Verified | Standing::Gated | Standing::Promoted => true,
            Standing::Sealed | Standing::Suspect | Standing::Quarantined => false,
        }
    }
}

/// A checkpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// The name of its directory.
    pub id: String,
    /// Steps made.
    pub step: u64,
    /// The one that its attempt went on from.
    pub parent: Option<String>,
    /// What is known of it.
    pub standing: Standing,
}

/// All checkpoints of a run, in the order in which they were made.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    all: Vec<Checkpoint>,
    head: Option<String>,
}

impl Chain {
    /// From what a scan found, in the order in which they were made. The head is the newest good one that came after the one
    /// that `pointer` names: a crash may have kept the pointer from moving on, but never lets another branch win. Without
    /// such a one it is the newest good one.
    pub fn new(all: Vec<Checkpoint>, pointer: Option<&str>) -> Chain {
        let mut chain = Chain { all, head: None };
        let pointed = pointer.and_then(|id| chain.get(id)).filter(|found| found.standing.is_good());
        let mut good = chain.all.iter().rev().filter(|found| found.standing.is_good());
        let head = match pointed {
            Some(pointed) => good.find(|found| chain.line(&found.id).any(|of| of.id == pointed.id)).or(Some(pointed)),
            None => good.next(),
        };
        chain.head = head.map(|found| found.id.clone());
        chain
    }

    /// Where to go on: the newest good one of the branch, which is not always that of the greatest step.
    pub fn head(&self) -> Option<&Checkpoint> {
        self.head.as_deref().and_then(|id| self.get(id))
    }

    /// All of them.
    pub fn all(&self) -> &[Checkpoint] {
        &self.all
    }

    /// The one of this name.
    pub fn get(&self, id: &str) -> Option<&Checkpoint> {
        self.all.iter().find(|found| found.id == id)
    }

    /// A checkpoint was verified, which the current attempt made. It is where to go on from now.
    pub fn handle_verified(&mut self, checkpoint: Checkpoint) {
        self.all.retain(|found| found.id != checkpoint.id);
        self.head = Some(checkpoint.id.clone());
        self.all.push(Checkpoint { standing: Standing::Verified, ..checkpoint });
    }

    /// A checkpoint was made from after the loss went wrong: it is kept, and the head stays.
    pub fn handle_suspect(&mut self, checkpoint: Checkpoint) {
        self.all.retain(|found| found.id != checkpoint.id);
        self.all.push(Checkpoint { standing: Standing::Suspect, ..checkpoint });
    }

    /// Everything of the branch that came after `id` is not gone on from any more; `id` is the head. Gives those that
    /// became suspect.
    pub fn handle_return(&mut self, id: &str) -> Vec<String> {
        let after = |found: &&Checkpoint| {
            found.id != id && found.standing.is_good() && self.line(&found.id).any(|of| of.id == id)
        };
        let suspects: Vec<String> = self.all.iter().filter(after).map(|found| found.id.clone()).collect();
        for suspect in &suspects {
            self.mark(suspect, Standing::Suspect);
        }
        self.head = self.get(id).map(|found| found.id.clone());
        suspects
    }

    /// Something else is known of a checkpoint.
    pub fn mark(&mut self, id: &str, standing: Standing) {
        if let Some(found) = self.all.iter_mut().find(|found| found.id == id) {
            found.standing = standing;
        }
        if self.head.as_deref() == Some(id) && !standing.is_good() {
            self.head = self.before(id);
        }
    }

    /// The loss went wrong at `onset`: later ones of the branch are suspect, the head goes back. Gives those that became
    /// suspect.
    pub fn handle_trouble(&mut self, onset: u64) -> Vec<String> {
        let branch = self.branch();
        let late = |found: &&Checkpoint| branch.contains(&found.id) && found.step >= onset && found.standing.is_good();
        let suspects: Vec<String> = self.all.iter().filter(late).map(|found| found.id.clone()).collect();
        for id in &suspects {
            self.mark(id, Standing::Suspect);
        }
        suspects
    }

    /// Which may go: good ones of small step, all but the last `keep` of the branch. What is protected stays whatever
    /// `keep` says: the head, what is gated or promoted last, what is not good.
    pub fn expendable(&self, keep: usize) -> Vec<String> {
        let branch = self.branch();
        let good = self.all.iter().filter(|found| branch.contains(&found.id) && found.standing.is_good());
        let mut kept: BTreeSet<&str> = good.rev().take(keep.max(2)).map(|found| found.id.as_str()).collect();
        kept.extend(self.head.as_deref());
        let gated = self.all.iter().rev().find(|found| found.standing == Standing::Gated);
        kept.extend(gated.map(|found| found.id.as_str()));
        let may_go = |found: &&Checkpoint| found.standing == Standing::Verified || found.standing == Standing::Gated;
        let gone = self.all.iter().filter(may_go).filter(|found| !kept.contains(found.id.as_str()));
        gone.map(|found| found.id.clone()).collect()
    }

    /// A checkpoint was removed. The head cannot be.
    pub fn forget(&mut self, id: &str) {
        if self.head.as_deref() != Some(id) {
            self.all.retain(|found| found.id != id);
        }
    }

    /// The head and what it came from.
    fn branch(&self) -> BTreeSet<String> {
        self.head.iter().flat_map(|id| self.line(id)).map(|found| found.id.clone()).collect()
    }

    /// A checkpoint and what it came from.
    fn line(&self, id: &str) -> impl Iterator<Item = &Checkpoint> {
        let next = |found: &&Checkpoint| found.parent.as_deref().and_then(|parent| self.get(parent));
        // Parents that lead in a circle were tampered with.
        std::iter::successors(self.get(id), next).take(self.all.len())
    }

    /// The nearest good ancestor; where the chain of parents ends, the newest good one of a smaller step.
    fn before(&self, id: &str) -> Option<String> {
        let mut seen = BTreeSet::from([id.to_owned()]);
        let mut next = self.get(id).and_then(|found| found.parent.clone());
        while let Some(parent) = next.take().and_then(|id| self.get(&id)) {
            if parent.standing.is_good() {
                return Some(parent.id.clone());
            }
            if seen.insert(parent.id.clone()) {
                next.clone_from(&parent.parent);
            }
        }
        let limit = self.get(id).map_or(u64::MAX, |found| found.step);
        self.all.iter().rev().find(|found| found.standing.is_good() && found.step < limit).map(|found| found.id.clone())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn made(id: &str, step: u64, parent: Option<&str>) -> Checkpoint {
        Checkpoint { id: id.to_owned(), step, parent: parent.map(str::to_owned), standing: Standing::Verified }
    }

    #[test]
    fn a_stale_greater_step_does_not_win_after_a_rollback() {
        let mut chain = Chain::default();
        chain.handle_verified(made("a", 100, None));
        chain.handle_verified(made("b", 5000, Some("a")));
        assert_eq!(chain.handle_trouble(4000), ["b"]);
        assert_eq!(chain.head().unwrap().id, "a");
        chain.handle_verified(made("c", 200, Some("a")));
        assert_eq!(chain.head().unwrap().id, "c");
        let again = Chain::new(chain.all().to_vec(), None);
        assert_eq!(again.head().unwrap().id, "c");
    }

    #[test]
    fn a_pointer_that_a_crash_left_behind_moves_on_but_not_to_another_branch() {
        let all = |standing| {
            vec![
                made("a", 100, None),
                Checkpoint { standing, ..made("stale", 900, Some("a")) },
                made("b", 200, Some("a")),
                made("c", 300, Some("b")),
            ]
        };
        let head = |all, pointer| Chain::new(all, pointer).head().map(|head| head.id.clone());
        assert_eq!(head(all(Standing::Verified), Some("b")).as_deref(), Some("c"));
        assert_eq!(head(all(Standing::Verified), Some("c")).as_deref(), Some("c"));
        assert_eq!(head(all(Standing::Suspect), None).as_deref(), Some("c"));
        assert_eq!(head(all(Standing::Verified)[..3].to_vec(), Some("b")).as_deref(), Some("b"));
        assert_eq!(head(all(Standing::Verified), Some("gone")).as_deref(), Some("c"));
    }

    #[test]
    fn what_came_after_the_one_that_is_gone_back_to_never_comes_back() {
        let mut chain = Chain::default();
        chain.handle_verified(made("a", 100, None));
        chain.handle_verified(made("b", 200, Some("a")));
        assert_eq!(chain.handle_return("a"), ["b"]);
        assert_eq!(Chain::new(chain.all().to_vec(), Some("a")).head().unwrap().id, "a");
        chain.handle_suspect(made("c", 300, Some("a")));
        assert_eq!(chain.head().unwrap().id, "a");
    }

    #[test]
    fn a_circle_of_parents_ends() {
        let chain = Chain::new(vec![made("a", 1, Some("b")), made("b", 2, Some("a"))], Some("a"));
        assert_eq!(chain.head().unwrap().id, "b");
        assert!(chain.expendable(2).is_empty());
    }

    #[test]
    fn a_broken_head_falls_back_one_by_one() {
        let mut chain = Chain::default();
        for n in 1..=3u64 {
            let parent = (n > 1).then(|| (n - 1).to_string());
            chain.handle_verified(made(&n.to_string(), n, parent.as_deref()));
        }
        chain.mark("3", Standing::Quarantined);
        assert_eq!(chain.head().unwrap().id, "2");
        chain.mark("2", Standing::Quarantined);
        chain.mark("1", Standing::Quarantined);
        assert_eq!(chain.head(), None);
    }

    proptest! {
        #[test]
        fn retention_never_takes_the_last_good_one(
            inputs in prop::collection::vec((0u8..4, 0u64..50), 1..80), keep in 0usize..4,
        ) {
            let mut chain = Chain::default();
            for (n, (what, step)) in inputs.into_iter().enumerate() {
                match what {
                    0 | 1 => {
                        let parent = chain.head().map(|head| head.id.clone());
                        chain.handle_verified(made(&n.to_string(), step, parent.as_deref()));
                    }
                    2 => drop(chain.handle_trouble(step)),
                    _ => {
                        if let Some(id) = chain.head().map(|head| head.id.clone()) {
                            chain.mark(&id, Standing::Quarantined);
                        }
                    }
                }
                let head = chain.head().cloned();
                let good = |chain: &Chain| chain.all().iter().filter(|found| found.standing.is_good()).count();
                let before = good(&chain);
                for id in chain.expendable(keep) {
                    chain.forget(&id);
                }
                prop_assert_eq!(chain.head(), head.as_ref());
                prop_assert!(head.is_none_or(|head| head.standing.is_good()));
                prop_assert!(good(&chain) > 0 || before == 0);
            }
        }
    }
}

//! From a run's slices to blocks that hold both arms: what strikes both in a block is no difference within it.

use crate::chaos::experiment::Design;
use crate::chaos::record::{Phase, Run, Slice, read_latency};
use crate::stats::LogHistogram;

/// A block is a minute where the run is long enough for many of them.
const BLOCK_SECONDS: u64 = 60;
/// A run has at least so many blocks, where its slices are as fine.
const BLOCKS_WANTED: u64 = 20;
/// A run has at most so many blocks.
const BLOCKS_MOST: u64 = 120;

/// Figures of both arms over a stretch of time; control first.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    pub(super) requests: [u64; 2],
    pub(super) unanswered: [u64; 2],
    pub(super) latency: [LogHistogram; 2],
    pub(super) seconds: u64,
}

impl Block {
    fn add_arm(&mut self, slice: &Slice, arm: usize) {
        self.requests[arm] = self.requests[arm].saturating_add(slice.requests[arm]);
        let unanswered = slice.unanswered[arm].min(slice.requests[arm]);
        self.unanswered[arm] = self.unanswered[arm].saturating_add(unanswered);
        if let Some(histogram) = read_latency(&slice.latency[arm]) {
            self.latency[arm].merge(&histogram);
        }
    }

    fn add(&mut self, other: &Block) {
        for arm in [0, 1] {
            self.requests[arm] = self.requests[arm].saturating_add(other.requests[arm]);
            self.unanswered[arm] = self.unanswered[arm].saturating_add(other.unanswered[arm]);
            self.latency[arm].merge(&other.latency[arm]);
        }
        self.seconds = self.seconds.saturating_add(other.seconds);
    }

    /// Both arms are in it.
    fn is_whole(&self) -> bool {
        self.requests[0] > 0 && self.requests[1] > 0
    }

    /// All of some blocks.
    pub(super) fn sum(blocks: &[Block]) -> Block {
        let mut all = Block::default();
        for block in blocks {
            all.add(block);
        }
        all
    }
}

/// The blocks of a phase. Each holds requests of both arms.
pub(super) fn paired(run: &Run, phase: Phase) -> Vec<Block> {
    let slices = run.slices.iter().filter(|slice| slice.phase == phase);
    match run.design {
        Design::Concurrent => by_time(slices),
        Design::Switchback => by_turns(slices),
    }
}

/// Neighbouring slices together, until they are as long as a block should be.
fn by_time<'a>(slices: impl Iterator<Item = &'a Slice> + Clone) -> Vec<Block> {
    let all: u64 = slices.clone().map(|slice| u64::from(slice.seconds)).sum();
    let length = (all / BLOCKS_WANTED).min(BLOCK_SECONDS).max(all / BLOCKS_MOST);
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = Block::default();
    for slice in slices {
        open.add_arm(slice, 0);
        open.add_arm(slice, 1);
        open.seconds += u64::from(slice.seconds);
        if open.seconds >= length && open.is_whole() {
            blocks.push(std::mem::take(&mut open));
        }
    }
    if open.is_whole() && open.seconds * 2 >= length {
        blocks.push(open);
    } else if let Some(last) = blocks.last_mut() {
        last.add(&open);
    } else if open.is_whole() {
        blocks.push(open);
    }
    blocks
}

/// A stretch without the fault and the stretch with it that follows. A stretch that has no such neighbour is left out.
fn by_turns<'a>(slices: impl Iterator<Item = &'a Slice>) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open = Block::default();
    for slice in slices {
        if open.requests[1] > 0 && slice.requests[0] > 0 {
            // The fault was taken away: what the slice has of it still belongs to the stretch before.
            open.add_arm(slice, 1);
            blocks.push(std::mem::take(&mut open));
            open.add_arm(slice, 0);
        } else {
            open.add_arm(slice, 0);
            open.add_arm(slice, 1);
        }
    }
    blocks.push(open);
    blocks.retain(Block::is_whole);
    while blocks.len() as u64 > BLOCKS_MOST {
        blocks = blocks.chunks(2).map(Block::sum).collect();
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::super::tests::{run, slice};
    use super::*;

    fn sizes(run: &Run) -> Vec<[u64; 2]> {
        paired(run, Phase::Injecting).iter().map(|block| block.requests).collect()
    }

    #[test]
    fn slices_become_minutes_and_none_is_lost() {
        let mut run = run(std::iter::repeat_n(slice([10, 11], [0, 0]), 180));
        assert_eq!(sizes(&run), [[60, 66]; 30]);
        run.slices.truncate(62);
        assert_eq!(sizes(&run)[..2], [[40, 44], [40, 44]], "a short run has shorter blocks");
        assert_eq!(sizes(&run).iter().map(|block| block[0]).sum::<u64>(), 620);
        run.slices.truncate(1);
        assert_eq!(sizes(&run), [[10, 11]]);
        run.slices.clear();
        assert!(sizes(&run).is_empty());
    }

    #[test]
    fn a_block_waits_for_both_arms() {
        let run = run([slice([5, 0], [0, 0]), slice([5, 0], [0, 0]), slice([0, 4], [0, 0]), slice([3, 0], [0, 0])]);
        assert_eq!(sizes(&run), [[13, 4]]);
    }

    #[test]
    fn turns_pair_with_the_one_before() {
        let mut run =
            run([[0, 7], [6, 0], [6, 0], [4, 3], [0, 5], [2, 1], [1, 0], [0, 9], [8, 0]].map(|n| slice(n, [0, 0])));
        run.design = Design::Switchback;
        assert_eq!(sizes(&run), [[16, 9], [3, 9]]);
    }
}
